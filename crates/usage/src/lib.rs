//! The usage record: the only thing that leaves the data plane (policy 2.1).
//!
//! 64 bytes, fixed layout, no text. A leaf: no I/O, no allocation. [`UsageRecord::decode`] takes any 64 bytes and either
//! refuses them or gives a record that encodes to exactly these bytes, so that a record has no slack to hide anything in.

mod codes;
mod record;

pub use codes::{Kind, Quality, UnitClass};
pub use record::{InstanceId, MAX_UNITS, RECORD_BYTES, RecordError, UNDERWAY, Usage, UsageRecord, VERSION, decode};
