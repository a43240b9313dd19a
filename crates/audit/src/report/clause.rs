//! Which promise a finding breaks.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::model::Sink;

/// A clause of the zero data retention policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Clause {
    /// 1, No Storage: processed in memory, discarded after each answer, never written to disk.
    NoStorage,
    /// 1, No Logging: never in logs, analytics, warehouses or another persistent store.
    NoLogging,
    /// 2.1: operational metadata holds no fragment of content.
    Metadata,
    /// 2.4: content is not captured by backups.
    Backups,
    /// 3.1: no persistent volumes, no writing to outside stores, encrypted in transit.
    Architecture,
}

impl Clause {
    /// Number and heading.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoStorage => "1 No Storage",
            Self::NoLogging => "1 No Logging",
            Self::Metadata => "2.1 Operational Metadata",
            Self::Backups => "2.4 Backup Systems",
            Self::Architecture => "3.1 Technical Architecture",
        }
    }
}

impl fmt::Display for Clause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The clause that a canary in this sink breaks.
#[must_use]
pub const fn clause_of(sink: Sink) -> Clause {
    match sink {
        Sink::Core | Sink::DeletedFile | Sink::File | Sink::Memory | Sink::SharedMemory | Sink::Sqlite | Sink::Swap => {
            Clause::NoStorage
        }
        Sink::Journal | Sink::Log | Sink::Output | Sink::Telemetry => Clause::NoLogging,
        Sink::Answer | Sink::CommandLine | Sink::Metrics => Clause::Metadata,
        Sink::Backup => Clause::Backups,
        Sink::Breakout | Sink::Network | Sink::Postgres | Sink::Redis | Sink::Write => Clause::Architecture,
    }
}
