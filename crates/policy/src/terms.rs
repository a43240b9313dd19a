//! A provider's reviewed terms: without them its routes do not serve (policy 3.2, "review of service provider arrangements").

use lethe_types::Millis;
use serde::{Deserialize, Serialize};

/// Whether a provider may train on what it is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Training {
    /// The provider may train unless asked not to.
    Allowed,
    /// Training is excluded.
    Never,
}

/// Terms as an operator recorded them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// Whether training is excluded.
    pub training: Training,
    /// Days that the provider keeps content.
    pub retention_days: u32,
    /// When the terms were reviewed, ms since the epoch.
    pub reviewed: Millis,
    /// When the next review is due, ms since the epoch; from then on the routes do not serve.
    pub review_due: Millis,
}

/// Whether a provider may serve now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Zero retention, no training, review not due.
    Good,
    /// No terms are recorded.
    Missing,
    /// The review is overdue, or lies in the future.
    Overdue,
    /// The provider keeps content.
    Retains,
    /// The provider may train.
    Trains,
}

impl Standing {
    /// The name operators see.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Missing => "missing",
            Self::Overdue => "overdue",
            Self::Retains => "retains",
            Self::Trains => "trains",
        }
    }
}

impl Terms {
    /// Whether a provider with these terms may serve at `now` (ms since the epoch).
    ///
    /// ```
    /// use lethe_policy::{Standing, Terms, Training};
    /// let terms = Terms { training: Training::Never, retention_days: 0, reviewed: 10, review_due: 20 };
    /// assert_eq!(Terms::standing(Some(&terms), 15), Standing::Good);
    /// assert_eq!(Terms::standing(Some(&terms), 20), Standing::Overdue);
    /// assert_eq!(Terms::standing(None, 15), Standing::Missing);
    /// ```
    #[must_use]
    pub fn standing(terms: Option<&Self>, now: Millis) -> Standing {
        match terms {
            None => Standing::Missing,
            Some(terms) if terms.training != Training::Never => Standing::Trains,
            Some(terms) if terms.retention_days > 0 => Standing::Retains,
            Some(terms) if now < terms.reviewed || now >= terms.review_due => Standing::Overdue,
            Some(_) => Standing::Good,
        }
    }
}
