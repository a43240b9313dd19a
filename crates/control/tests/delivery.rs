//! Delivery under loss, repetition, reordering, cuts and crashes of both ends, over thousands of seeds: each record in the ledger exactly
//! once and in order, nothing that was acknowledged lost, and what a dead gateway took with it counted.
//!
//! A simulation of its own rather than a simulated network under the real tasks: everything that decides (outbox, courier, frames,
//! decoder, the store's rules) is the real code and needs no runtime, so a seed is a few microseconds of plain steps that happen again in
//! the same order, which a runtime's own randomness would not promise. The ledger is a model, compared with the real store below; some
//! seeds run on the real store.
//!
//! `LETHE_SEEDS` says how many seeds, `LETHE_SEED` runs one.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "delivery/ledger.rs"]
mod ledger;
#[path = "delivery/world.rs"]
mod world;

use ledger::{Ledger, ModelLedger, RealLedger};
use lethe_store::Delivery;
use lethe_usage::{InstanceId, Kind, UsageRecord};
use world::{Mutation, Rng, Statistics, World, usage};

const SEEDS: u64 = 2000;
const REAL_SEEDS: u64 = 12;

fn seeds(default: u64) -> std::ops::Range<u64> {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    match number("LETHE_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("LETHE_SEEDS").unwrap_or(default),
    }
}

fn run(seed: u64, ledger: impl Ledger, mutation: Mutation) -> Result<Statistics, String> {
    World::new(seed, ledger, mutation).run()
}

#[test]
fn each_record_is_booked_exactly_once_whatever_happens() {
    let mut all = Statistics::default();
    for seed in seeds(SEEDS) {
        match run(seed, ModelLedger::default(), Mutation::None) {
            Ok(statistics) => all += statistics,
            Err(fault) => panic!("seed {seed} (LETHE_SEED={seed} runs it alone): {fault}"),
        }
    }
    // The faults did happen: a simulation in which all goes well shows nothing.
    if std::env::var_os("LETHE_SEED").is_none() {
        let Statistics { duplicates, cuts, control_crashes, gateway_crashes, late, unaccounted, lost_acks, records } = all;
        assert!(
            [duplicates, cuts, control_crashes, gateway_crashes, late, unaccounted, lost_acks, records].iter().all(|n| *n > 0),
            "{all:?}"
        );
    }
}

#[test]
fn the_same_on_the_real_store() {
    for seed in 0..REAL_SEEDS {
        if let Err(fault) = run(seed, RealLedger::new(), Mutation::None) {
            panic!("seed {seed}: {fault}");
        }
    }
}

/// The control: the same simulation finds what it is there to find.
#[test]
fn each_mistake_is_found() {
    for mutation in [Mutation::NoDeduplication, Mutation::AcknowledgeFirst, Mutation::SendFromTheEnd, Mutation::ForgetCounters] {
        let found = (0..SEEDS).any(|seed| run(seed, ModelLedger::new(mutation), mutation).is_err());
        assert!(found, "{mutation:?} went unnoticed over {SEEDS} seeds");
    }
}

/// The model answers as the store does, to repetitions, gaps, reserves, refusals and counters alike.
#[test]
fn the_model_of_the_ledger_is_the_stores() {
    let mut rng = Rng::new(7);
    for _ in 0..12 {
        let (mut model, mut real) = (ModelLedger::default(), RealLedger::new());
        for _ in 0..40 {
            let instance = InstanceId([u8::try_from(rng.below(2)).unwrap(); 12]);
            let mark = model.mark(instance);
            // From a little behind the mark to a little beyond it.
            let first = (mark + 1 + rng.below(2)).saturating_sub(rng.below(6)).max(1);
            let mut records: Vec<Delivery> = (first..first + rng.below(9))
                .map(|sequence| {
                    let kind = if rng.below(3) == 0 { Kind::Reserve } else { Kind::Charge };
                    let record = UsageRecord::new(&usage(kind, u32::try_from(sequence).unwrap()), instance, sequence);
                    if rng.below(6) == 0 { Delivery::Refused(record) } else { Delivery::Keep(record) }
                })
                .collect();
            if records.len() > 2 && rng.below(12) == 0 {
                records.remove(1);
            }
            let started = rng.below(40);
            assert_eq!(model.deliver(instance, &records, started), real.deliver(instance, &records, started));
            assert_eq!(model.mark(instance), real.mark(instance));
            assert_eq!(model.owed(instance), real.owed(instance));
        }
        assert_eq!(model.rows(), real.rows());
    }
}
