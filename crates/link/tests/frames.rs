//! Frames survive any split; what is not a frame is refused before its body is waited for.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use lethe_link::frame::{ENDPOINTS_LIMIT, Frame, HEADER_BYTES, SNAPSHOT_LIMIT};
use lethe_link::{
    ALPN, ALPN_BEFORE, Beat, Counted, Decoder, Down, FrameError, Gauge, Hello, Level, PROTOCOL, Routed, Tally, Up, version_of,
};
use lethe_policy::{
    Credential, Dialect, KeyEntry, Model, PromptCache, Provider, ProviderKind, Route, Rules, Snapshot, Strategy, Timeouts,
    UpstreamTls,
};
use lethe_types::{AccountPseudonym, Capability, Failure, KeyHash, KeyId, Operation, Refused, Region, RouteId, SecretBytes};
use lethe_usage::{InstanceId, Kind, Quality, RECORD_BYTES, RecordError, UnitClass, Usage, UsageRecord};
use proptest::prelude::*;

fn record(sequence: u64) -> UsageRecord {
    let usage = Usage {
        kind: Kind::Charge,
        operation: Operation::Chat,
        unit_class: UnitClass::Tokens,
        quality: Quality::Reported,
        status: 200,
        timestamp: 1,
        account: AccountPseudonym(2),
        route: RouteId(3),
        total_ms: 5,
        first_byte_ms: 4,
        input_units: 6,
        output_units: 7,
    };
    UsageRecord::new(&usage, InstanceId([9; 12]), sequence)
}

fn snapshot() -> Snapshot {
    let provider = Provider {
        id: "p".into(),
        kind: ProviderKind::Hosted,
        endpoint: 1,
        host: "api.example.com".into(),
        port: 443,
        base_path: "/v1".into(),
        tls: UpstreamTls::Public { extra_roots: vec![vec![1, 2, 3]] },
        credential: Credential::Key(SecretBytes::new(b"provider-credential".to_vec())),
        terms: None,
        dialect: Dialect::Openai,
        rules: Rules::default(),
        region: Region::new("eu"),
        max_concurrent: None,
        prompt_cache: PromptCache::Off,
        timeouts: Timeouts::default(),
    };
    let route = Route { id: RouteId(1), provider: 0, model: "m".into(), weight: 1, price: Some(7), max_output_tokens: None };
    let model = Model {
        id: "m".into(),
        capabilities: vec![Capability::Chat],
        strategy: Strategy::default(),
        routes: vec![route],
        created: 1,
    };
    let key = KeyEntry { hash: KeyHash([7; 32]), id: KeyId(4), account: AccountPseudonym(5), region: None };
    Snapshot { version: 3, keys: vec![key], providers: vec![provider], models: vec![model] }
}

fn bytes_of<F: Frame>(frames: &[F]) -> Vec<u8> {
    let mut bytes = Vec::new();
    frames.iter().for_each(|frame| frame.encode(&mut bytes).unwrap());
    bytes
}

fn read_all<F: Frame>(pieces: &[&[u8]]) -> Result<Vec<F>, FrameError> {
    let mut decoder = Decoder::new();
    let mut frames = Vec::new();
    for piece in pieces {
        decoder.push(piece);
        while let Some(frame) = decoder.next_frame()? {
            frames.push(frame);
        }
    }
    assert!(decoder.is_between_frames());
    Ok(frames)
}

fn every_up() -> Vec<Up> {
    vec![
        Up::Hello(Hello { protocol: 1, build: 77, instance: InstanceId([3; 12]) }),
        Up::Record(record(1)),
        Up::Heartbeat(Beat { started: 5, finished: 4, pending: 3 }),
        Up::Record(record(2)),
        Up::Tally(Tally { of: Counted::Failure(RouteId(7), Failure::Tls), total: 8 }),
        Up::Tally(Tally { of: Counted::Refused(Refused::InvalidApiKey), total: 9 }),
        Up::Tally(Tally { of: Counted::Routed(RouteId(7), Routed::Fallback), total: 10 }),
        Up::Level(Level { of: Gauge::RequestsOpen, route: RouteId(7), value: 11 }),
    ]
}

fn every_down() -> Vec<Down> {
    vec![
        Down::Endpoints(vec![1; 100]),
        Down::Snapshot(Box::new(snapshot())),
        Down::KeyAdded(KeyEntry {
            hash: KeyHash([1; 32]),
            id: KeyId(2),
            account: AccountPseudonym(3),
            region: Region::new("eu-central-1"),
        }),
        Down::KeyRevoked(KeyId(2)),
        Down::Ack { sequence: 9 },
        Down::Durable(false),
        Down::Durable(true),
        Down::Heartbeat,
        Down::Isolate,
    ]
}

#[test]
fn frames_survive_a_split_at_any_byte() {
    let bytes = bytes_of(&every_up());
    for at in 0..=bytes.len() {
        assert_eq!(read_all::<Up>(&[&bytes[..at], &bytes[at..]]).unwrap(), every_up());
    }
    let bytes = bytes_of(&every_down());
    for at in 0..=bytes.len() {
        // `Down` cannot be compared (it holds secrets): its bytes can.
        assert_eq!(bytes_of(&read_all::<Down>(&[&bytes[..at], &bytes[at..]]).unwrap()), bytes);
    }
    let single: Vec<&[u8]> = bytes.chunks(1).collect();
    assert_eq!(bytes_of(&read_all::<Down>(&single).unwrap()), bytes);
}

#[test]
fn a_header_that_cannot_be_is_refused_without_its_body() {
    let length = |length: usize| u32::try_from(length).unwrap().to_le_bytes();
    let head = |kind: u8, flags: u8, bytes: usize| [&[kind, flags], length(bytes).as_slice()].concat();
    let mut up = Vec::new();
    let mut down = Vec::new();
    for (kind, bytes) in
        [(1, 21), (1, 23), (2, 63), (2, 65), (3, 0), (0x10, 12), (0x10, 14), (0x11, 8), (0x11, 13), (2, 0x7fff_ffff)]
    {
        up.push((head(kind, 0, bytes), FrameError::Length));
    }
    up.extend([(head(0x81, 0, 8), FrameError::Type), (head(0, 0, 0), FrameError::Type), (head(2, 1, 64), FrameError::Flags)]);
    for (kind, bytes) in
        [(0x81, SNAPSHOT_LIMIT + 1), (0x82, ENDPOINTS_LIMIT + 1), (0x83, 43), (0x84, 5), (0x85, 0), (0x86, 1), (0x88, 0)]
    {
        down.push((head(kind, 0, bytes), FrameError::Length));
    }
    down.extend([(head(1, 0, 22), FrameError::Type), (head(0x86, 0x80, 0), FrameError::Flags)]);
    for (bytes, error) in up {
        assert_eq!(read_all::<Up>(&[&bytes]).unwrap_err(), error);
    }
    for (bytes, error) in down {
        assert_eq!(read_all::<Down>(&[&bytes]).err(), Some(error));
    }
    // The control: the largest bodies that may be are waited for.
    let mut decoder = Decoder::<Down>::new();
    decoder.push(&head(0x81, 0, SNAPSHOT_LIMIT));
    assert!(matches!(decoder.next_frame(), Ok(None)));
}

#[test]
fn a_record_is_checked_and_an_error_is_final() {
    let mut bytes = bytes_of(&[Up::Record(record(1)), Up::Record(record(2))]);
    bytes[HEADER_BYTES + 5] = 1;
    let mut decoder = Decoder::<Up>::new();
    decoder.push(&bytes);
    let error = FrameError::Record(RecordError::Reserved);
    assert_eq!(decoder.next_frame(), Err(error));
    assert_eq!(decoder.next_frame(), Err(error));
    assert!(!decoder.is_between_frames());
}

#[test]
fn a_tally_of_something_unknown_is_refused() {
    let tally = |code: u8, route: u8| [&[0x10, 0, 13, 0, 0, 0, code, route, 0, 0, 0][..], &[1, 0, 0, 0, 0, 0, 0, 0]].concat();
    let (step, reason) = (96 + Routed::ALL.len() as u8, 128 + Refused::Other.code());
    for known in [tally(Failure::Tls.code(), 7), tally(97, 7), tally(step, 7), tally(reason, 0)] {
        assert_eq!(read_all::<Up>(&[&known]).unwrap().len(), 1);
    }
    // No such failure, no such step, no such reason, a reason with a route.
    let unknown = [(0, 1), (95, 1), (96, 1), (step + 1, 1), (127, 1), (128, 0), (255, 0), (reason, 7)];
    for (code, route) in unknown {
        assert_eq!(read_all::<Up>(&[&tally(code, route)]), Err(FrameError::Body));
    }
    assert!(Failure::ALL.iter().all(|failure| failure.code() < 96), "failures end where steps begin");
}

#[test]
fn a_level_of_something_unknown_or_impossible_is_refused() {
    let level = |code: u8, value: u8| [0x11, 0, 9, 0, 0, 0, code, 7, 0, 0, 0, value, 0, 0, 0];
    for (code, value) in [(1, 0), (1, 1), (2, 0), (2, 200)] {
        assert_eq!(read_all::<Up>(&[&level(code, value)]).unwrap().len(), 1);
    }
    // No such gauge; a circuit breaker that is more than open.
    for (code, value) in [(0, 0), (3, 0), (255, 0), (1, 2)] {
        assert_eq!(read_all::<Up>(&[&level(code, value)]), Err(FrameError::Body));
    }
}

#[test]
fn what_is_said_of_routing_is_of_this_version_and_everything_else_of_the_one_before() {
    assert_eq!([ALPN, ALPN_BEFORE].map(version_of), [Some(PROTOCOL), Some(PROTOCOL - 1)]);
    assert_eq!([b"lethe-link/1".as_slice(), b"lethe-link/4", b"h2", b""].map(version_of), [None; 4]);
    let routing = |frame: &Up| matches!(frame, Up::Level(_) | Up::Tally(Tally { of: Counted::Routed(..), .. }));
    for frame in every_up() {
        assert_eq!(frame.since(), if routing(&frame) { PROTOCOL } else { PROTOCOL - 1 }, "{frame:?}");
    }
}

#[test]
fn a_snapshot_with_bytes_left_over_is_refused() {
    let mut bytes = bytes_of(&[Down::Snapshot(Box::default())]);
    assert!(read_all::<Down>(&[&bytes]).is_ok());
    bytes.push(0);
    bytes[2] += 1;
    assert_eq!(read_all::<Down>(&[&bytes]).err(), Some(FrameError::Body));
}

#[test]
fn a_word_that_is_neither_yes_nor_no_is_refused() {
    assert!(matches!(read_all::<Down>(&[&[0x88, 0, 1, 0, 0, 0, 1]]).as_deref(), Ok([Down::Durable(true)])));
    assert_eq!(read_all::<Down>(&[&[0x88, 0, 1, 0, 0, 0, 2]]).err(), Some(FrameError::Body));
}

#[test]
fn a_body_beyond_its_bound_is_not_sent() {
    let mut bytes = Vec::new();
    assert_eq!(Down::Endpoints(vec![0; ENDPOINTS_LIMIT + 1]).encode(&mut bytes), Err(FrameError::Length));
    assert!(bytes.is_empty());
    assert_eq!(Down::Endpoints(vec![0; ENDPOINTS_LIMIT]).encode(&mut bytes), Ok(()));
}

proptest! {
    #[test]
    fn the_decoder_takes_any_bytes(pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..90), 0..8)) {
        let pieces: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
        for decoded in [decode_some::<Up>(&pieces), decode_some::<Down>(&pieces)] {
            // What was accepted is a prefix of what came, byte for byte.
            prop_assert!(pieces.concat().starts_with(&decoded));
        }
        let mut decoder = Decoder::<Up>::new();
        for piece in pieces {
            decoder.push(piece);
            while let Ok(Some(_)) = decoder.next_frame() {}
            // Less than one record, whatever came; nothing once it was wrong.
            prop_assert!(decoder.held() < HEADER_BYTES + RECORD_BYTES);
            prop_assert!(decoder.next_frame().is_ok() || decoder.held() == 0);
        }
    }

    #[test]
    fn a_changed_byte_never_gives_a_frame_with_other_bytes(at in 0_usize..260, byte: u8) {
        let mut bytes = bytes_of(&every_up());
        let at = at % bytes.len();
        bytes[at] = byte;
        prop_assert!(bytes.starts_with(&decode_some::<Up>(&[&bytes])));
    }
}

/// The encoding of every frame until an error or the end.
fn decode_some<F: Frame>(pieces: &[&[u8]]) -> Vec<u8> {
    let mut decoder = Decoder::<F>::new();
    let mut bytes = Vec::new();
    for piece in pieces {
        decoder.push(piece);
        while let Ok(Some(frame)) = decoder.next_frame() {
            frame.encode(&mut bytes).unwrap();
        }
    }
    bytes
}
