//! Any 64 bytes are refused or are a record that encodes to exactly these bytes: a record has no slack to hide anything in.

use lethe_usage::{RECORD_BYTES, decode};

/// One input.
pub fn run(bytes: &[u8]) {
    match decode(bytes) {
        None => assert_ne!(bytes.len(), RECORD_BYTES),
        Some(Err(_)) => assert_eq!(bytes.len(), RECORD_BYTES),
        Some(Ok(record)) => assert_eq!(record.encode(), bytes),
    }
}
