//! The record, its layout and its codec.
//!
//! | bytes | field | what it is |
//! |---|---|---|
//! | 0 | version | envelope |
//! | 1 | kind | envelope |
//! | 2 | operation | policy 2.1 "API endpoint identifier" (with the route) |
//! | 3 | unit class | envelope |
//! | 4 | quality | envelope |
//! | 5 | reserved, 0 | envelope |
//! | 6..8 | status | policy 2.1 "HTTP status code" |
//! | 8..16 | timestamp | policy 2.1 "Request timestamp (UTC)" |
//! | 16..24 | account | policy 2.1 "Account identifier (pseudonymised)" |
//! | 24..28 | route | policy 2.1 "API endpoint identifier" (with the operation) |
//! | 28..32 | total | policy 2.1 "latency metrics" |
//! | 32..36 | first byte | policy 2.1 "latency metrics" |
//! | 36..40 | input units | policy 2.1 "Token counts (input and output)" |
//! | 40..44 | output units | policy 2.1 "Token counts (input and output)" |
//! | 44..56 | instance | envelope |
//! | 56..64 | sequence | envelope |
//!
//! All numbers are little endian. The envelope serves exactly-once delivery and the meaning of the units.

use std::mem::{align_of, offset_of, size_of};

use lethe_types::{AccountPseudonym, Millis, Operation, RouteId};

use crate::{Kind, Quality, UnitClass};

/// Size of a record, in memory and encoded.
pub const RECORD_BYTES: usize = 64;
/// The version this code writes and reads.
pub const VERSION: u8 = 1;
/// Upper bound of each unit field: more than any model's window, so that a larger number is an error and not a bill.
pub const MAX_UNITS: u32 = 1_000_000_000;
/// Status of a reserve, whose request has none yet (RFC 2518 section 10.1, "Processing").
pub const UNDERWAY: u16 = 102;

const STATUS_MIN: u16 = 100;
const STATUS_MAX: u16 = 599;

/// Which start of which gateway a record comes from: 96 random bits, made anew at each start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(transparent)]
pub struct InstanceId(pub [u8; 12]);

/// What a gateway says about one request; [`UsageRecord::new`] puts it into an envelope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// What the record says about its request (envelope).
    pub kind: Kind,
    /// What was asked for (policy 2.1 "API endpoint identifier").
    pub operation: Operation,
    /// What the units count (envelope).
    pub unit_class: UnitClass,
    /// Where the units come from (envelope).
    pub quality: Quality,
    /// Status sent to the client, 100 to 599 (policy 2.1 "HTTP status code").
    pub status: u16,
    /// When the request began, ms since the epoch, UTC (policy 2.1 "Request timestamp (UTC)").
    pub timestamp: Millis,
    /// Who it is counted for (policy 2.1 "Account identifier (pseudonymised)").
    pub account: AccountPseudonym,
    /// Which catalogue route served it (policy 2.1 "API endpoint identifier").
    pub route: RouteId,
    /// From the request's first byte to the answer's last, ms (policy 2.1 "latency metrics").
    pub total_ms: u32,
    /// From the request's first byte to the answer's first, ms; at most `total_ms` (policy 2.1 "latency metrics").
    pub first_byte_ms: u32,
    /// Units in, at most [`MAX_UNITS`] (policy 2.1 "Token counts").
    pub input_units: u32,
    /// Units out, at most [`MAX_UNITS`] (policy 2.1 "Token counts").
    pub output_units: u32,
}

/// One usage record: policy 2.1's facts in an envelope. The fields are private, so that every record that exists is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct UsageRecord {
    version: u8,
    kind: Kind,
    operation: Operation,
    unit_class: UnitClass,
    quality: Quality,
    reserved: u8,
    status: u16,
    timestamp: Millis,
    account: AccountPseudonym,
    route: RouteId,
    total_ms: u32,
    first_byte_ms: u32,
    input_units: u32,
    output_units: u32,
    instance: InstanceId,
    sequence: u64,
}

const _: () = {
    assert!(size_of::<UsageRecord>() == RECORD_BYTES && align_of::<UsageRecord>() == 8);
    assert!(offset_of!(UsageRecord, status) == 6 && offset_of!(UsageRecord, timestamp) == 8);
    assert!(offset_of!(UsageRecord, account) == 16 && offset_of!(UsageRecord, route) == 24);
    assert!(offset_of!(UsageRecord, total_ms) == 28 && offset_of!(UsageRecord, first_byte_ms) == 32);
    assert!(offset_of!(UsageRecord, input_units) == 36 && offset_of!(UsageRecord, output_units) == 40);
    assert!(offset_of!(UsageRecord, instance) == 44 && offset_of!(UsageRecord, sequence) == 56);
    // No padding: the fields alone fill the record.
    assert!(6 + 2 + 8 + 8 + 5 * 4 + 12 + 8 == RECORD_BYTES);
};

/// Why 64 bytes are no record. Names the field, never its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RecordError {
    /// The first byte came later than the whole.
    FirstByte,
    /// Unknown kind.
    Kind,
    /// Unknown operation.
    Operation,
    /// Unknown quality.
    Quality,
    /// The reserved byte is not 0.
    Reserved,
    /// Sequence numbers begin at 1.
    Sequence,
    /// Not an HTTP status.
    Status,
    /// Unknown unit class.
    UnitClass,
    /// More units than [`MAX_UNITS`], or units of class `None`.
    Units,
    /// Another version of the record.
    Version,
}

impl std::fmt::Display for RecordError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::FirstByte => "record: first byte after the end",
            Self::Kind => "record: unknown kind",
            Self::Operation => "record: unknown operation",
            Self::Quality => "record: unknown quality",
            Self::Reserved => "record: reserved byte not zero",
            Self::Sequence => "record: sequence zero",
            Self::Status => "record: status out of range",
            Self::UnitClass => "record: unknown unit class",
            Self::Units => "record: units out of range",
            Self::Version => "record: unknown version",
        })
    }
}

impl std::error::Error for RecordError {}

impl UsageRecord {
    /// Puts `usage` into the envelope of `instance`, as its `sequence`-th record (from 1; 0 is taken as 1).
    ///
    /// Out-of-range numbers are brought to the nearest bound, so that a request is never unmetered for the sake of one field.
    #[must_use]
    pub fn new(usage: &Usage, instance: InstanceId, sequence: u64) -> Self {
        let most = match usage.unit_class {
            UnitClass::None => 0,
            UnitClass::Tokens => MAX_UNITS,
        };
        Self {
            version: VERSION,
            kind: usage.kind,
            operation: usage.operation,
            unit_class: usage.unit_class,
            quality: usage.quality,
            reserved: 0,
            status: usage.status.clamp(STATUS_MIN, STATUS_MAX),
            timestamp: usage.timestamp,
            account: usage.account,
            route: usage.route,
            total_ms: usage.total_ms,
            first_byte_ms: usage.first_byte_ms.min(usage.total_ms),
            input_units: usage.input_units.min(most),
            output_units: usage.output_units.min(most),
            instance,
            sequence: sequence.max(1),
        }
    }

    /// What the record says about its request.
    #[must_use]
    pub const fn usage(&self) -> Usage {
        Usage {
            kind: self.kind,
            operation: self.operation,
            unit_class: self.unit_class,
            quality: self.quality,
            status: self.status,
            timestamp: self.timestamp,
            account: self.account,
            route: self.route,
            total_ms: self.total_ms,
            first_byte_ms: self.first_byte_ms,
            input_units: self.input_units,
            output_units: self.output_units,
        }
    }

    /// Which start of which gateway it comes from.
    #[must_use]
    pub const fn instance(&self) -> InstanceId {
        self.instance
    }

    /// Its place among the records of its instance, from 1.
    #[must_use]
    pub const fn sequence(&self) -> u64 {
        self.sequence
    }

    /// The record as it travels.
    #[must_use]
    pub fn encode(&self) -> [u8; RECORD_BYTES] {
        let mut bytes = [0; RECORD_BYTES];
        bytes[0] = self.version;
        bytes[1] = self.kind.code();
        bytes[2] = self.operation.code();
        bytes[3] = self.unit_class.code();
        bytes[4] = self.quality.code();
        bytes[5] = self.reserved;
        bytes[6..8].copy_from_slice(&self.status.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.timestamp.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.account.0.to_le_bytes());
        bytes[24..28].copy_from_slice(&self.route.0.to_le_bytes());
        bytes[28..32].copy_from_slice(&self.total_ms.to_le_bytes());
        bytes[32..36].copy_from_slice(&self.first_byte_ms.to_le_bytes());
        bytes[36..40].copy_from_slice(&self.input_units.to_le_bytes());
        bytes[40..44].copy_from_slice(&self.output_units.to_le_bytes());
        bytes[44..56].copy_from_slice(&self.instance.0);
        bytes[56..64].copy_from_slice(&self.sequence.to_le_bytes());
        bytes
    }

    /// Reads a record.
    ///
    /// # Errors
    /// The first field, in the order of the layout, that is not valid.
    pub fn decode(bytes: &[u8; RECORD_BYTES]) -> Result<Self, RecordError> {
        let version = bytes[0];
        if version != VERSION {
            return Err(RecordError::Version);
        }
        let record = Self {
            version,
            kind: Kind::from_code(bytes[1]).ok_or(RecordError::Kind)?,
            operation: Operation::from_code(bytes[2]).ok_or(RecordError::Operation)?,
            unit_class: UnitClass::from_code(bytes[3]).ok_or(RecordError::UnitClass)?,
            quality: Quality::from_code(bytes[4]).ok_or(RecordError::Quality)?,
            reserved: bytes[5],
            status: u16::from_le_bytes(array(bytes, 6)),
            timestamp: u64::from_le_bytes(array(bytes, 8)),
            account: AccountPseudonym(u64::from_le_bytes(array(bytes, 16))),
            route: RouteId(u32::from_le_bytes(array(bytes, 24))),
            total_ms: u32::from_le_bytes(array(bytes, 28)),
            first_byte_ms: u32::from_le_bytes(array(bytes, 32)),
            input_units: u32::from_le_bytes(array(bytes, 36)),
            output_units: u32::from_le_bytes(array(bytes, 40)),
            instance: InstanceId(array(bytes, 44)),
            sequence: u64::from_le_bytes(array(bytes, 56)),
        };
        if record.reserved != 0 {
            return Err(RecordError::Reserved);
        }
        if !(STATUS_MIN..=STATUS_MAX).contains(&record.status) {
            return Err(RecordError::Status);
        }
        if record.first_byte_ms > record.total_ms {
            return Err(RecordError::FirstByte);
        }
        let most = match record.unit_class {
            UnitClass::None => 0,
            UnitClass::Tokens => MAX_UNITS,
        };
        if record.input_units > most || record.output_units > most {
            return Err(RecordError::Units);
        }
        if record.sequence == 0 {
            return Err(RecordError::Sequence);
        }
        Ok(record)
    }
}

/// Reads a record from a slice of any length; the entry for fuzzing. `None` unless there are exactly [`RECORD_BYTES`] bytes.
///
/// # Errors
/// As [`UsageRecord::decode`].
pub fn decode(bytes: &[u8]) -> Option<Result<UsageRecord, RecordError>> {
    bytes.try_into().ok().map(UsageRecord::decode)
}

/// The `N` bytes at `at`; every call above is within the record.
fn array<const N: usize>(bytes: &[u8; RECORD_BYTES], at: usize) -> [u8; N] {
    let mut field = [0; N];
    field.copy_from_slice(&bytes[at..at + N]);
    field
}
