//! What must not happen, counted: a closed list without any detail of the peer.

use std::sync::atomic::{AtomicU64, Ordering};

/// Something that a correct gateway never does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alarm {
    /// A client of the link without a certificate of this authority, or one that broke the handshake off.
    ForeignClient,
    /// Two certificates claim the same gateway start.
    InstanceTaken,
    /// A frame that is none.
    MalformedFrame,
    /// Another protocol, a frame out of its turn or of a later version, or a record of another gateway start.
    Protocol,
    /// A record is missing between two others.
    RecordGap,
    /// More records than a gateway can serve.
    RecordRate,
    /// A record with an unknown account or route, or a time that cannot be.
    RefusedRecord,
    /// A total or a state of a route that does not exist.
    RefusedTally,
    /// Records could not be committed.
    StoreFailed,
    /// A certificate of this authority, but not a gateway's.
    WrongRole,
}

impl Alarm {
    /// Every alarm, in alphabetical order.
    pub const ALL: [Self; 10] = [
        Self::ForeignClient,
        Self::InstanceTaken,
        Self::MalformedFrame,
        Self::Protocol,
        Self::RecordGap,
        Self::RecordRate,
        Self::RefusedRecord,
        Self::RefusedTally,
        Self::StoreFailed,
        Self::WrongRole,
    ];

    /// The name operators see.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ForeignClient => "foreign_client",
            Self::InstanceTaken => "instance_taken",
            Self::MalformedFrame => "malformed_frame",
            Self::Protocol => "protocol",
            Self::RecordGap => "record_gap",
            Self::RecordRate => "record_rate",
            Self::RefusedRecord => "refused_record",
            Self::RefusedTally => "refused_tally",
            Self::StoreFailed => "store_failed",
            Self::WrongRole => "wrong_role",
        }
    }
}

/// How often each alarm was raised since the start.
#[derive(Default)]
pub(crate) struct Alarms([AtomicU64; Alarm::ALL.len()]);

impl Alarms {
    pub(crate) fn raise(&self, alarm: Alarm) {
        self.0[alarm as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count(&self, alarm: Alarm) -> u64 {
        self.0[alarm as usize].load(Ordering::Relaxed)
    }
}
