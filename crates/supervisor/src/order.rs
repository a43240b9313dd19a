//! What an operator may have done to a running Lethe, and what came of it.

use serde::{Deserialize, Serialize};

/// An order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// Say what the configuration in force does; nothing changes.
    Describe,
    /// Start a new gateway and dialer in the place of old ones.
    Recycle,
    /// Read the files of secrets again; nothing else changes.
    Refresh,
    /// Read the configuration file again.
    Reload,
    /// Start every part anew from the executables that are on disk now.
    Upgrade,
}

impl Order {
    /// The name in messages.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Describe => "description",
            Self::Recycle => "recycling",
            Self::Refresh => "refreshing of secrets",
            Self::Reload => "reload",
            Self::Upgrade => "upgrade",
        }
    }
}

/// How an order ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It was carried out.
    Done,
    /// It was not, and what was before goes on.
    Failed,
    /// What it asks for is wrong, and what was before goes on.
    Refused,
}

/// The answer to an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// How it ended.
    pub outcome: Outcome,
    /// What there is to say, line by line.
    pub said: Vec<String>,
}

impl Answer {
    /// It was carried out.
    #[must_use]
    pub const fn done(said: Vec<String>) -> Self {
        Self { outcome: Outcome::Done, said }
    }

    /// It was not carried out.
    #[must_use]
    pub fn failed(why: impl Into<String>) -> Self {
        Self { outcome: Outcome::Failed, said: vec![why.into()] }
    }

    /// It was wrong.
    #[must_use]
    pub fn refused(why: impl Into<String>) -> Self {
        Self { outcome: Outcome::Refused, said: vec![why.into()] }
    }
}
