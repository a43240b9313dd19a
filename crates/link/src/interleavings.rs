//! The outbox under every order in which its threads can take its lock (loom; a wait that nothing ends is a failure, too).
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use lethe_types::{AccountPseudonym, Operation, RouteId};
use lethe_usage::{InstanceId, Kind, Quality, UnitClass, Usage};
use loom::future::block_on;
use loom::thread;

use crate::{Beat, Outbox};

fn outbox(capacity: usize) -> Arc<Outbox> {
    Outbox::new(InstanceId([1; 12]), capacity)
}

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

/// One connection's life: takes what there is and acknowledges it, until it has seen `count` records. Returns their units.
fn link(outbox: &Outbox, count: usize) -> Vec<u32> {
    let mut seen = Vec::new();
    while seen.len() < count {
        let batch = outbox.unsent(seen.len() as u64, usize::MAX);
        if batch.is_empty() {
            block_on(outbox.news());
            continue;
        }
        seen.extend(batch.iter().map(|record| record.usage().input_units));
        outbox.ack(batch.last().unwrap().sequence()).unwrap();
    }
    seen
}

/// Three threads have very many orders: those with few interruptions are enough for a test run (LOOM_MAX_PREEMPTIONS asks for more).
fn three_threads(check: impl Fn() + Send + Sync + 'static) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound.get_or_insert(2);
    model.check(check);
}

#[test]
fn no_record_is_lost_or_sent_twice_and_all_room_comes_back() {
    three_threads(|| {
        let outbox = outbox(2);
        let workers: Vec<_> = (0..2)
            .map(|units| {
                let outbox = Arc::clone(&outbox);
                thread::spawn(move || outbox.try_reserve().unwrap().record(&usage(units)))
            })
            .collect();
        let mut seen = link(&outbox, 2);
        seen.sort_unstable();
        assert_eq!(seen, [0, 1]);
        let mut numbers: Vec<u64> = workers.into_iter().map(|worker| worker.join().unwrap()).collect();
        numbers.sort_unstable();
        assert_eq!(numbers, [1, 2]);
        assert_eq!(outbox.beat(), Beat { started: 2, finished: 2, pending: 0 });
        let room = [outbox.try_reserve(), outbox.try_reserve(), outbox.try_reserve()];
        assert_eq!(room.each_ref().map(Option::is_some), [true, true, false]);
    });
}

#[test]
fn permits_that_are_dropped_give_their_room_back_once() {
    loom::model(|| {
        let outbox = outbox(1);
        let workers: Vec<_> = (0..2)
            .map(|_| {
                let outbox = Arc::clone(&outbox);
                // Either of them, or one after the other: never both at once.
                thread::spawn(move || drop(outbox.try_reserve()))
            })
            .collect();
        workers.into_iter().for_each(|worker| worker.join().unwrap());
        let Beat { started, finished, pending } = outbox.beat();
        assert!((1..=2).contains(&started) && finished == 0 && pending == 0);
        let room = [outbox.try_reserve(), outbox.try_reserve()];
        assert_eq!(room.each_ref().map(Option::is_some), [true, false]);
    });
}

#[test]
fn a_reserve_is_sent_at_once_and_its_commit_wakes_the_one_who_waits() {
    loom::model(|| {
        let outbox = outbox(2);
        let control = {
            let outbox = Arc::clone(&outbox);
            thread::spawn(move || {
                // The link gathers: only this ends its wait.
                block_on(outbox.urgent());
                assert_eq!(link(&outbox, 1), [7]);
            })
        };
        let mut permit = outbox.try_reserve_strict().unwrap();
        let number = permit.reserve(&usage(7)).unwrap();
        block_on(outbox.committed(number));
        assert_eq!(outbox.acknowledged(), 1);
        control.join().unwrap();
        permit.record(&usage(8));
        assert_eq!(outbox.beat(), Beat { started: 1, finished: 1, pending: 1 });
    });
}

#[test]
fn the_end_is_seen_by_the_one_who_waits_for_it() {
    three_threads(|| {
        let outbox = outbox(2);
        let (used, unused) = (outbox.try_reserve().unwrap(), outbox.try_reserve().unwrap());
        let worker = thread::spawn(move || used.record(&usage(1)));
        let control = {
            let outbox = Arc::clone(&outbox);
            thread::spawn(move || {
                link(&outbox, 1);
                drop(unused);
            })
        };
        block_on(outbox.settled());
        assert_eq!(outbox.beat(), Beat { started: 2, finished: 1, pending: 0 });
        worker.join().unwrap();
        control.join().unwrap();
    });
}

#[test]
fn no_moment_has_more_requests_over_than_begun() {
    loom::model(|| {
        let outbox = outbox(4);
        let worker = {
            let outbox = Arc::clone(&outbox);
            thread::spawn(move || {
                let mut strict = outbox.try_reserve_strict().unwrap();
                strict.reserve(&usage(1)).unwrap();
                drop(outbox.try_reserve());
                strict.record(&usage(2));
            })
        };
        for _ in 0..3 {
            let beat = outbox.beat();
            assert!(beat.started >= beat.finished && beat.started <= 2, "{beat:?}");
            assert!(u64::from(beat.pending) <= 2 * beat.started, "{beat:?}");
        }
        worker.join().unwrap();
    });
}
