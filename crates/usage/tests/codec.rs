//! The codec: nothing is lost, nothing can hide.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use lethe_types::{AccountPseudonym, Operation, RouteId};
use lethe_usage::{InstanceId, Kind, MAX_UNITS, Quality, RECORD_BYTES, RecordError, UnitClass, Usage, UsageRecord, decode};
use proptest::prelude::*;

fn sample() -> Usage {
    Usage {
        kind: Kind::Charge,
        operation: Operation::Chat,
        unit_class: UnitClass::Tokens,
        quality: Quality::Reported,
        status: 200,
        timestamp: 1_764_000_000_123,
        account: AccountPseudonym(0x0102_0304_0506_0708),
        route: RouteId(7),
        total_ms: 900,
        first_byte_ms: 120,
        input_units: 11,
        output_units: 42,
    }
}

/// The layout is a contract between versions: byte for byte.
#[test]
fn the_layout_is_the_documented_one() {
    let bytes = UsageRecord::new(&sample(), InstanceId(*b"\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c"), 0x99).encode();
    let mut expected = vec![1, 1, 1, 1, 3, 0, 200, 0];
    expected.extend(1_764_000_000_123_u64.to_le_bytes());
    expected.extend([8, 7, 6, 5, 4, 3, 2, 1, 7, 0, 0, 0]);
    expected.extend(900_u32.to_le_bytes());
    expected.extend(120_u32.to_le_bytes());
    expected.extend([11, 0, 0, 0, 42, 0, 0, 0]);
    expected.extend(1..=12);
    expected.extend([0x99, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(bytes.as_slice(), expected);
}

#[test]
fn every_invalid_field_is_refused_by_name() {
    let good = UsageRecord::new(&sample(), InstanceId([5; 12]), 1).encode();
    assert!(UsageRecord::decode(&good).is_ok());
    let cases: &[(usize, &[u8], RecordError)] = &[
        (0, &[0], RecordError::Version),
        (0, &[2], RecordError::Version),
        (1, &[0], RecordError::Kind),
        (1, &[5], RecordError::Kind),
        (2, &[0], RecordError::Operation),
        (2, &[200], RecordError::Operation),
        (3, &[2], RecordError::UnitClass),
        (3, &[0], RecordError::Units),
        (4, &[0], RecordError::Quality),
        (4, &[4], RecordError::Quality),
        (5, &[1], RecordError::Reserved),
        (6, &[99, 0], RecordError::Status),
        (6, &[0x58, 0x02], RecordError::Status),
        (32, &[0x85, 0x03, 0, 0], RecordError::FirstByte),
        (36, &[0x01, 0xca, 0x9a, 0x3b], RecordError::Units),
        (40, &[0xff; 4], RecordError::Units),
        (56, &[0], RecordError::Sequence),
    ];
    for (at, change, error) in cases {
        let mut bytes = good;
        bytes[*at..at + change.len()].copy_from_slice(change);
        assert_eq!(UsageRecord::decode(&bytes), Err(*error), "byte {at}");
    }
    assert!(decode(&good[1..]).is_none());
}

prop_compose! {
    fn any_usage()(
        kind in 1_u8..=4, operation in 1_u8..=3, unit_class in 0_u8..=1, quality in 1_u8..=3, status: u16, timestamp: u64,
        account: u64, route: u32, total_ms: u32, first_byte_ms: u32, input_units: u32, output_units: u32,
    ) -> Usage {
        Usage {
            kind: Kind::from_code(kind).unwrap(),
            operation: Operation::from_code(operation).unwrap(),
            unit_class: UnitClass::from_code(unit_class).unwrap(),
            quality: Quality::from_code(quality).unwrap(),
            status, timestamp,
            account: AccountPseudonym(account),
            route: RouteId(route),
            total_ms, first_byte_ms, input_units, output_units,
        }
    }
}

/// Bytes that are often nearly a record: random ones alone would nearly always fail at the first byte.
fn nearly_a_record() -> impl Strategy<Value = [u8; RECORD_BYTES]> {
    let changes = prop::collection::vec((0..RECORD_BYTES, any::<u8>()), 0..6);
    (any_usage(), any::<[u8; 12]>(), any::<u64>(), changes).prop_map(|(usage, instance, sequence, changes)| {
        let mut bytes = UsageRecord::new(&usage, InstanceId(instance), sequence).encode();
        for (at, byte) in changes {
            bytes[at] = byte;
        }
        bytes
    })
}

proptest! {
    #[test]
    fn decode_after_encode_is_the_identity(usage in any_usage(), instance: [u8; 12], sequence: u64) {
        let record = UsageRecord::new(&usage, InstanceId(instance), sequence);
        prop_assert_eq!(UsageRecord::decode(&record.encode()), Ok(record));
        prop_assert_eq!(record.sequence(), sequence.max(1));
        prop_assert!(record.usage().input_units <= MAX_UNITS);
        // Valid numbers come back as they were given.
        prop_assert_eq!(UsageRecord::new(&record.usage(), record.instance(), record.sequence()), record);
    }

    #[test]
    fn what_decodes_encodes_to_the_same_bytes(bytes in prop_oneof![nearly_a_record(), any::<[u8; RECORD_BYTES]>()]) {
        if let Ok(record) = UsageRecord::decode(&bytes) {
            prop_assert_eq!(record.encode(), bytes);
        }
    }
}
