//! Chaos: everything that Lethe does, while one part after the other is killed or paused at random.
//!
//! Afterwards: every answered request stands in the ledger once; what a killed gateway took with it is counted; every request was
//! answered or cleanly failed; nothing of what was said is in a file, in anything printed, or in the memory of a part at rest; and no
//! part has more descriptors than before.
//!
//! 20 seconds of faults, or `LETHE_CHAOS_SECONDS`; `LETHE_CHAOS_SEED` gives the same faults at the same times again (what they meet
//! is not the same). The last line says what was done.

mod dice;
mod faults;
mod ledger;
mod load;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use lethe_testkit::canary::Canary;
use lethe_testkit::lethe::{Lethe, Setup};
use lethe_testkit::pki::Pki;
use lethe_testkit::provider::Provider;
use lethe_testkit::scan::Scanner;

use crate::load::{Load, Worker};

/// For a condition that has to come true after the last fault, however busy the machine is.
const LIMIT: Duration = Duration::from_secs(60);
/// A part at rest may hold so many descriptors more than at the start: connections that are kept for a minute for the next request
/// (a node's take two each, and each client may have met another worker of the gateway), a timer.
const DESCRIPTORS: usize = 8 + 4 * load::WORKERS as usize;
const SECONDS: u64 = 20;
/// Of the short form: kills every part, and pauses control and the gateway.
const SEED: u64 = 7;

#[test]
fn answered_requests_are_booked_once_whatever_dies() {
    let number = |name: &str| std::env::var(name).ok().map(|value| value.parse::<u64>().expect("a number"));
    let seconds = number("LETHE_CHAOS_SECONDS").unwrap_or(SECONDS);
    let of_the_clock = || SystemTime::UNIX_EPOCH.elapsed().expect("a time").as_secs();
    // The short form is the same each time; long ones look for what no earlier one met.
    let seed = number("LETHE_CHAOS_SEED").unwrap_or_else(|| if seconds == SECONDS { SEED } else { of_the_clock() });
    println!("chaos for {seconds} s with LETHE_CHAOS_SEED={seed}");

    let pki = Pki::new();
    let provider = Provider::start(Some(pki.server()));
    let said = Canary::new("prompt or completion");
    provider.set_reply(&format!("{0} and {0}", said.value));
    let mut setup = Setup::provider(&provider, &pki);
    add_engine(&mut setup);
    setup.arguments = ["--restart-pause-ms", "200"].map(str::to_owned).into();
    let lethe = setup.start();
    let workers: Vec<Worker> = (0..load::WORKERS).map(|number| Worker::new(&lethe, &pki, &said, seed, number)).collect();

    // Everybody once, so that the descriptors that are counted are those of parts that have worked.
    load::warm_up(&workers);
    let before = descriptors_at_rest(&lethe);

    let load = Load::start(workers);
    let faults = faults::run(&lethe, seed, Duration::from_secs(seconds), &load);
    let recovered = recovery(&lethe, &pki);
    let done = load.stop();
    let said_of_it = ledger::check(&lethe, &done, &faults);
    for (role, count) in &before {
        within(&format!("the {role} has no more descriptors than before ({count})"), || {
            let now = pids(&lethe).get(role).map(|pid| faults::descriptors(*pid));
            now.is_some_and(|now| now <= count + DESCRIPTORS)
        });
    }
    nothing_is_left(&lethe, &said);
    println!(
        "chaos: {seconds} s, seed {seed}; {}; {said_of_it}; longest request {:.1} s; {:.1} s from the last fault to an answer",
        faults.told(),
        done.longest.as_secs_f64(),
        recovered.as_secs_f64()
    );
}

/// The embedded engine beside the provider.
fn add_engine(setup: &mut Setup) {
    let model = std::env::var("LETHE_TEST_MODEL").unwrap_or_else(|_| {
        let cache = std::env::var("XDG_CACHE_HOME").or_else(|_| std::env::var("HOME").map(|home| format!("{home}/.cache")));
        format!("{}/lethe/models/SmolLM2-135M-Instruct.Q4_1.gguf", cache.expect("a home"))
    });
    let shown = setup.folder().join("smollm2-135m-instruct.gguf");
    std::fs::copy(&model, &shown).unwrap_or_else(|_| panic!("the model is missing: {model} (run `lethe model fetch`)"));
    let config = setup.config.as_mut().expect("a configuration");
    *config += &format!("[engine]\nenabled = true\nthreads = 1\nmodel = \"{}\"\n", shown.display());
}

/// Time from now to the first answer of every kind of part, with all of them running.
fn recovery(lethe: &Lethe, pki: &Pki) -> Duration {
    let start = Instant::now();
    within("every part runs again", || faults::ROLES.iter().all(|role| pids(lethe).contains_key(*role)));
    for model in ["ok", load::ENGINE_MODEL] {
        within(&format!("`{model}` answers again"), || load::ask_once(lethe, pki, model) == Some(200));
    }
    start.elapsed()
}

/// Process numbers by role as they are now, of processes that are there.
fn pids(lethe: &Lethe) -> BTreeMap<String, u32> {
    lethe.pids_now().into_iter().filter(|(_, pid)| Path::new(&format!("/proc/{pid}")).exists()).collect()
}

fn descriptors_at_rest(lethe: &Lethe) -> BTreeMap<String, usize> {
    pids(lethe).into_iter().map(|(role, pid)| (role, faults::descriptors(pid))).collect()
}

fn nothing_is_left(lethe: &Lethe, said: &Canary) {
    let scanner = Scanner::new(std::slice::from_ref(said));
    assert_eq!(scanner.bytes(said.value.as_bytes()).len(), 1, "control: the scanner knows the canary");
    for folder in [lethe.folder(), Path::new("/tmp"), Path::new("/var/tmp"), Path::new("/dev/shm")] {
        assert!(scanner.files(folder, lethe.born()).is_empty(), "{}", folder.display());
    }
    assert!(scanner.bytes(lethe.printed().as_bytes()).is_empty(), "printed");
    for arguments in [["records", "--json"], ["posture", "--json"]] {
        let output = lethe.run(&arguments);
        assert!(scanner.bytes(&[output.stdout, output.stderr].concat()).is_empty(), "{arguments:?}");
    }
    // The scanner really sees into each of them: its own path is in its memory.
    let path = format!("{}/bin/lethe-", lethe.folder().display());
    let known = Scanner::new(&[Canary { label: "path".into(), value: path[path.len() - 32..].to_owned() }]);
    for (role, pid) in pids(lethe) {
        assert!(!known.memory(pid).is_empty(), "control: the scanner sees into the {role}");
        within(&format!("nothing is left in the memory of the {role}"), || scanner.memory(pid).is_empty());
    }
}

/// Waits until `holds`.
fn within(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + LIMIT;
    while !holds() {
        assert!(Instant::now() < deadline, "not within {LIMIT:?}: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}
