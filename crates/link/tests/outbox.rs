//! The outbox against a model, and the client over an in-memory connection.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::VecDeque;
use std::sync::Arc;

use lethe_link::client::{self, LinkError};
use lethe_link::frame::Frame;
use lethe_link::{AckError, Beat, Counted, Counts, Decoder, Down, Hello, Outbox, PROTOCOL, Permit, Tally, Up};
use lethe_types::{AccountPseudonym, Failure, Operation, RouteId};
use lethe_usage::{InstanceId, Kind, Quality, UnitClass, Usage, UsageRecord};
use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

const INSTANCE: InstanceId = InstanceId([4; 12]);

fn usage(units: u32) -> Usage {
    Usage {
        kind: Kind::Charge,
        operation: Operation::Chat,
        unit_class: UnitClass::Tokens,
        quality: Quality::Counted,
        status: 200,
        timestamp: 1,
        account: AccountPseudonym(1),
        route: RouteId(1),
        total_ms: 1,
        first_byte_ms: 1,
        input_units: units,
        output_units: 0,
    }
}

fn sequences(records: &[UsageRecord]) -> Vec<u64> {
    records.iter().map(UsageRecord::sequence).collect()
}

#[test]
fn a_full_outbox_gives_no_permit_until_control_acknowledges() {
    let outbox = Outbox::new(INSTANCE, 2);
    let first = outbox.try_reserve().unwrap();
    let second = outbox.try_reserve().unwrap();
    assert!(outbox.try_reserve().is_none());
    drop(second);
    let second = outbox.try_reserve().unwrap();
    assert_eq!(second.record(&usage(1)), 1);
    assert_eq!(first.record(&usage(2)), 2);
    assert!(outbox.try_reserve().is_none());
    assert_eq!(outbox.ack(3), Err(AckError));
    assert_eq!(outbox.ack(1), Ok(()));
    assert!(outbox.try_reserve().is_some());
    assert_eq!(sequences(&outbox.unsent(outbox.acknowledged(), 9)), [2]);
    // Two of the permits above were dropped without a record: no record tells of their requests, and the counters say so.
    assert_eq!(outbox.beat(), Beat { started: 4, finished: 2, pending: 1 });
}

#[test]
fn a_strict_request_has_room_for_both_of_its_records() {
    let outbox = Outbox::new(INSTANCE, 3);
    let mut first = outbox.try_reserve_strict().unwrap();
    // One place is left: enough for a request with one record only.
    assert!(outbox.try_reserve_strict().is_none());
    assert_eq!((outbox.has_room(true), outbox.has_room(false)), (false, true));
    assert_eq!(first.reserve(&usage(1)), Some(1));
    assert_eq!(first.reserve(&usage(1)), None, "the last record's room is its own");
    assert_eq!(outbox.beat(), Beat { started: 1, finished: 0, pending: 1 });
    assert_eq!(first.record(&usage(2)), 2);
    assert_eq!(outbox.beat(), Beat { started: 1, finished: 1, pending: 2 });
    // Refused before it reached anybody: one record, and the room of the other comes back.
    outbox.ack(2).unwrap();
    let second = outbox.try_reserve_strict().unwrap();
    assert_eq!(second.record(&usage(3)), 3);
    assert!(outbox.has_room(true));
    // Dropped after its reserve (which no gateway does): it has begun, and the counters go on saying so.
    let mut lost = outbox.try_reserve_strict().unwrap();
    assert_eq!(lost.reserve(&usage(4)), Some(4));
    drop(lost);
    assert_eq!(outbox.beat(), Beat { started: 3, finished: 2, pending: 2 });
}

#[derive(Clone, Debug)]
enum Step {
    Ack(u64),
    Announce,
    Drop,
    Record,
    Reserve,
    ReserveStrict,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        (0_u64..12).prop_map(Step::Ack),
        Just(Step::Announce),
        Just(Step::Drop),
        Just(Step::Record),
        Just(Step::Reserve),
        Just(Step::ReserveStrict)
    ];
    prop::collection::vec(step, 0..60)
}

proptest! {
    #[test]
    fn the_outbox_behaves_like_its_model(capacity in 0_usize..5, steps in steps()) {
        let outbox = Outbox::new(INSTANCE, capacity);
        // Each with the room that it still has.
        let mut permits: Vec<(Permit, usize)> = Vec::new();
        let mut pending: VecDeque<u64> = VecDeque::new();
        let (mut last, mut finished, mut abandoned) = (0, 0, 0);
        for step in steps {
            let room = pending.len() + permits.iter().map(|(_, room)| room).sum::<usize>();
            match step {
                Step::Ack(sequence) => {
                    prop_assert_eq!(outbox.ack(sequence).is_ok(), sequence <= last);
                    if sequence <= last {
                        pending.retain(|waiting| *waiting > sequence);
                    }
                }
                Step::Announce => {
                    if let Some((permit, room)) = permits.last_mut() {
                        let expected = (*room > 1).then_some(last + 1);
                        prop_assert_eq!(permit.reserve(&usage(0)), expected);
                        if expected.is_some() {
                            (*room, last) = (*room - 1, last + 1);
                            pending.push_back(last);
                        }
                    }
                }
                Step::Drop => abandoned += u64::from(permits.pop().is_some()),
                Step::Record => {
                    if let Some((permit, _)) = permits.pop() {
                        last += 1;
                        finished += 1;
                        prop_assert_eq!(permit.record(&usage(0)), last);
                        pending.push_back(last);
                    }
                }
                Step::Reserve => {
                    prop_assert_eq!(outbox.has_room(false), room < capacity);
                    let permit = outbox.try_reserve();
                    prop_assert_eq!(permit.is_some(), room < capacity);
                    permits.extend(permit.map(|permit| (permit, 1)));
                }
                Step::ReserveStrict => {
                    prop_assert_eq!(outbox.has_room(true), room + 1 < capacity);
                    let permit = outbox.try_reserve_strict();
                    prop_assert_eq!(permit.is_some(), room + 1 < capacity);
                    permits.extend(permit.map(|permit| (permit, 2)));
                }
            }
            prop_assert_eq!(outbox.pending(), pending.len());
            prop_assert_eq!(outbox.acknowledged(), last - pending.len() as u64);
            let beat = outbox.beat();
            prop_assert_eq!((beat.started, beat.finished), (finished + abandoned + permits.len() as u64, finished));
            for after in 0..=last {
                let expected: Vec<u64> = pending.iter().copied().filter(|waiting| *waiting > after).collect();
                prop_assert_eq!(sequences(&outbox.unsent(after, usize::MAX)), expected);
            }
        }
    }
}

/// Control's end of a connection.
struct Control {
    io: DuplexStream,
    decoder: Decoder<Up>,
}

impl Control {
    async fn say(&mut self, frame: Down) {
        let mut bytes = Vec::new();
        frame.encode(&mut bytes).unwrap();
        self.io.write_all(&bytes).await.unwrap();
    }

    async fn hear(&mut self) -> Up {
        loop {
            if let Some(frame) = self.decoder.next_frame().unwrap() {
                return frame;
            }
            let mut piece = [0; 7];
            let count = self.io.read(&mut piece).await.unwrap();
            assert!(count > 0, "the client closed the connection");
            self.decoder.push(&piece[..count]);
        }
    }

    /// The sequence number of the next record.
    async fn hear_tally(&mut self) -> Tally {
        loop {
            if let Up::Tally(tally) = self.hear().await {
                return tally;
            }
        }
    }

    async fn hear_record(&mut self) -> u64 {
        loop {
            if let Up::Record(record) = self.hear().await {
                return record.sequence();
            }
        }
    }
}

fn pair() -> (DuplexStream, Control) {
    let (gateway, io) = tokio::io::duplex(100);
    (gateway, Control { io, decoder: Decoder::new() })
}

fn linked(outbox: &Arc<Outbox>) -> (tokio::task::JoinHandle<LinkError>, Control) {
    let (gateway, control) = pair();
    let outbox = Arc::clone(outbox);
    (tokio::spawn(async move { client::run(gateway, &outbox, &Counts::new(), Vec::new, 5, |_| {}).await }), control)
}

#[tokio::test]
async fn what_was_not_acknowledged_is_sent_again_on_the_next_connection() {
    let outbox = Outbox::new(INSTANCE, 100);
    (0..3).for_each(|units| assert!(outbox.try_reserve().unwrap().record(&usage(units)) > 0));

    let (client, mut control) = linked(&outbox);
    assert_eq!(control.hear().await, Up::Hello(Hello { protocol: PROTOCOL, build: 5, instance: INSTANCE }));
    for sequence in 1..=3 {
        assert_eq!(control.hear_record().await, sequence);
    }
    control.say(Down::Ack { sequence: 2 }).await;
    drop(control);
    assert_eq!(client.await.unwrap(), LinkError::Closed);

    let (client, mut control) = linked(&outbox);
    assert_eq!(control.hear_record().await, 3);
    // A record that is made while the link waits goes out without a further cause.
    outbox.try_reserve().unwrap().record(&usage(4));
    assert_eq!(control.hear_record().await, 4);
    control.say(Down::Ack { sequence: 4 }).await;
    outbox.settled().await;
    assert_eq!(outbox.pending(), 0);
    control.say(Down::Ack { sequence: 5 }).await;
    assert_eq!(client.await.unwrap(), LinkError::Ack);
}

#[tokio::test]
async fn frames_reach_the_caller_and_a_malformed_one_ends_the_link() {
    let outbox = Outbox::new(INSTANCE, 1);
    let (gateway, mut control) = pair();
    let (seen, mut frames) = tokio::sync::mpsc::unbounded_channel();
    let client =
        tokio::spawn(
            async move { client::run(gateway, &outbox, &Counts::new(), Vec::new, 5, |frame| drop(seen.send(frame))).await },
        );
    control.say(Down::Heartbeat).await;
    control.say(Down::Isolate).await;
    assert!(matches!(frames.recv().await, Some(Down::Heartbeat)));
    assert!(matches!(frames.recv().await, Some(Down::Isolate)));
    control.io.write_all(&[0xff; 6]).await.unwrap();
    assert!(matches!(client.await.unwrap(), LinkError::Frame(_)));
}

/// Under load many records leave together, with the counters behind them; one that somebody waits for leaves at once.
#[tokio::test(start_paused = true)]
async fn records_are_gathered_unless_somebody_waits() {
    let outbox = Outbox::new(INSTANCE, 100);
    let (client, mut control) = linked(&outbox);
    assert!(matches!(control.hear().await, Up::Hello(_)));
    assert_eq!(control.hear().await, Up::Heartbeat(Beat::default()));
    let start = tokio::time::Instant::now();
    for units in 0..3 {
        outbox.try_reserve().unwrap().record(&usage(units));
        tokio::task::yield_now().await;
    }
    for sequence in 1..=3 {
        assert_eq!(control.hear_record().await, sequence);
    }
    assert_eq!(control.hear().await, Up::Heartbeat(Beat { started: 3, finished: 3, pending: 3 }));
    assert!(start.elapsed() >= std::time::Duration::from_millis(1), "they were gathered");

    let mut strict = outbox.try_reserve_strict().unwrap();
    let urgent = tokio::time::Instant::now();
    assert_eq!(strict.reserve(&usage(9)), Some(4));
    assert_eq!(control.hear_record().await, 4);
    assert_eq!(urgent.elapsed(), std::time::Duration::ZERO, "it did not wait");
    let committed = tokio::spawn({
        let outbox = Arc::clone(&outbox);
        async move { outbox.committed(4).await }
    });
    control.say(Down::Ack { sequence: 3 }).await;
    tokio::task::yield_now().await;
    assert!(!committed.is_finished());
    control.say(Down::Ack { sequence: 4 }).await;
    committed.await.unwrap();
    client.abort();
}

#[tokio::test(start_paused = true)]
async fn heartbeats_come_by_themselves_and_silence_ends_the_link() {
    let outbox = Outbox::new(INSTANCE, 1);
    let (client, mut control) = linked(&outbox);
    assert!(matches!(control.hear().await, Up::Hello(_)));
    for _ in 0..3 {
        assert!(matches!(control.hear().await, Up::Heartbeat(_)));
    }
    assert_eq!(client.await.unwrap(), LinkError::Silent);
}

#[tokio::test]
async fn totals_are_told_when_they_change_and_anew_on_the_next_connection() {
    let (outbox, counts) = (Outbox::new(INSTANCE, 10), Arc::new(Counts::new()));
    let link = || {
        let (gateway, control) = pair();
        let (outbox, counts) = (Arc::clone(&outbox), Arc::clone(&counts));
        (tokio::spawn(async move { client::run(gateway, &outbox, &counts, Vec::new, 5, |_| {}).await }), control)
    };
    let of = Counted::Failure(RouteId(3), Failure::Cut);
    counts.know([RouteId(3)]);
    counts.failed(RouteId(3), Failure::Cut);
    let (_client, mut control) = link();
    assert_eq!(control.hear_tally().await, Tally { of, total: 1 });
    // With the record of the request that failed, at once; the one that had been told before is not told again.
    counts.failed(RouteId(3), Failure::Cut);
    outbox.try_reserve().unwrap().record(&usage(1));
    assert_eq!(control.hear_record().await, 1);
    assert_eq!(control.hear_tally().await, Tally { of, total: 2 });
    drop(control);
    let (_client, mut control) = link();
    assert_eq!(control.hear_tally().await, Tally { of, total: 2 });
}
