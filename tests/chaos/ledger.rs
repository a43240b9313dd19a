//! The ledger beside what the load knows.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use lethe_testkit::lethe::Lethe;
use serde_json::Value;

use crate::faults::Faults;
use crate::load::Done;

/// Requests of [`crate::load::warm_up`] by each worker, all answered.
const WARM_UP: usize = 2;
/// A gateway that has gone is booked after half a minute without a link.
const LIMIT: Duration = Duration::from_secs(90);

/// How far the ledger is from what was answered.
#[derive(Debug, Default)]
struct Difference {
    records: usize,
    /// Answered requests without a record.
    missing: usize,
    /// Records beyond the answered requests of their key and status that no unanswered request explains.
    unexplained: usize,
}

/// Waits until the ledger agrees, and says what was counted.
pub(crate) fn check(lethe: &Lethe, done: &Done, faults: &Faults) -> String {
    let answered: usize = done.tallies.values().flat_map(|tally| tally.answered.values()).sum();
    let unanswered: usize = done.tallies.values().map(|tally| tally.unanswered).sum();
    assert!(answered > 50, "the load did something: {answered} answers");
    let deadline = Instant::now() + LIMIT;
    loop {
        let (difference, unaccounted) = (compare(lethe, done), unaccounted(lethe));
        // A record that is there twice stays: there is nothing to wait for.
        assert_eq!(difference.unexplained, 0, "records of requests that nobody sent: {difference:?}");
        if faults.gateways_killed() == 0 && difference.missing == 0 || difference.missing <= unaccounted {
            return told(answered, unanswered, &difference, unaccounted);
        }
        if Instant::now() > deadline {
            // What a gateway began and answered after its last word before it was killed is nobody's to know.
            assert!(
                faults.gateways_killed() > 0 && difference.missing <= unaccounted + faults.untold,
                "{answered} answered, {difference:?}, {unaccounted} unaccounted, {} perhaps untold",
                faults.untold
            );
            return told(answered, unanswered, &difference, unaccounted);
        }
        std::thread::sleep(Duration::from_millis(500));
    }
}

fn told(answered: usize, unanswered: usize, difference: &Difference, unaccounted: usize) -> String {
    format!(
        "{answered} requests answered and {unanswered} not; {} records, {} answered without one, {unaccounted} unaccounted",
        difference.records, difference.missing
    )
}

fn compare(lethe: &Lethe, done: &Done) -> Difference {
    let mut records: BTreeMap<(String, u16), usize> = BTreeMap::new();
    // The last line counts the unaccounted ones.
    let is_record = |line: &Value| line.get("unaccounted_requests").is_none();
    for record in lethe.json(&["records", "--json"]).into_iter().filter(is_record) {
        let account = record["account"].as_str().expect("an account").to_owned();
        let status = record["status"].as_u64().and_then(|status| u16::try_from(status).ok()).expect("a status");
        *records.entry((account, status)).or_default() += 1;
    }
    let mut difference = Difference::default();
    for (account, tally) in &done.tallies {
        let own = records.range((account.clone(), 0)..=(account.clone(), u16::MAX));
        let own: BTreeMap<u16, usize> = own.map(|((_, status), count)| (*status, *count)).collect();
        difference.records += own.values().sum::<usize>();
        let mut answered = tally.answered.clone();
        *answered.entry(200).or_default() += WARM_UP;
        let missing = answered.iter().map(|(status, count)| count.saturating_sub(own.get(status).copied().unwrap_or(0)));
        difference.missing += missing.sum::<usize>();
        let beyond = own.iter().map(|(status, count)| count.saturating_sub(answered.get(status).copied().unwrap_or(0)));
        difference.unexplained += beyond.sum::<usize>().saturating_sub(tally.unanswered);
    }
    difference
}

/// Requests that gateways began and no record will ever tell of, as the operator's interface says.
fn unaccounted(lethe: &Lethe) -> usize {
    let mut socket = UnixStream::connect(lethe.state.join("control.sock")).expect("the operator's interface");
    socket.write_all(b"GET /v1/records?limit=1 HTTP/1.1\r\nhost: lethe\r\nconnection: close\r\n\r\n").expect("a request");
    let mut answer = String::new();
    socket.read_to_string(&mut answer).expect("an answer");
    let body = answer.split_once("\r\n\r\n").expect("a body").1;
    let page: Value = serde_json::from_str(body).expect("JSON");
    usize::try_from(page["unaccounted_requests"].as_u64().expect("a number")).expect("a number")
}
