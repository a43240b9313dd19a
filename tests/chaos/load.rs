//! Mixed load: streams, whole answers, errors, clients that go away. Each worker has a key of its own, so that its records can be
//! told from the others'.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use lethe_testkit::canary::Canary;
use lethe_testkit::client::Client;
use lethe_testkit::lethe::Lethe;
use lethe_testkit::pki::Pki;
use rustls::ClientConfig;
use serde_json::json;

use crate::dice::Dice;

pub(crate) const WORKERS: u64 = 6;
pub(crate) const ENGINE_MODEL: &str = "smollm2-135m-instruct";
const CHAT: &str = "/v1/chat/completions";
/// Longer than any limit that Lethe has here, and than any pause: what takes longer hangs.
const LONGEST: Duration = Duration::from_secs(45);

/// What one worker asked, by how it ended.
#[derive(Clone, Default)]
pub(crate) struct Tally {
    /// Whole answers by status.
    pub(crate) answered: BTreeMap<u16, usize>,
    /// Requests that had no whole answer, or whose client went away: recorded or not, at most once.
    pub(crate) unanswered: usize,
}

/// What all of them asked.
pub(crate) struct Done {
    /// By key.
    pub(crate) tallies: BTreeMap<String, Tally>,
    pub(crate) longest: Duration,
}

#[derive(Default)]
struct Seen {
    longest: Duration,
    /// When the last answers came; older ones are dropped.
    answers: Vec<Instant>,
}

/// A client with a key of its own.
pub(crate) struct Worker {
    api: String,
    tls: Arc<ClientConfig>,
    key: String,
    account: String,
    said: String,
    dice: Dice,
    tally: Tally,
}

impl Worker {
    pub(crate) fn new(lethe: &Lethe, pki: &Pki, said: &Canary, seed: u64, number: u64) -> Self {
        let made = lethe.json(&["key", "create", "--name", &format!("worker {number}"), "--json"]);
        let text = |name: &str| made[0][name].as_str().expect("a new key").to_owned();
        Self {
            api: lethe.api(),
            tls: pki.client(),
            key: text("key"),
            account: text("account"),
            said: said.value.clone(),
            dice: Dice::new(seed.wrapping_mul(1_000_003).wrapping_add(number + 1)),
            tally: Tally::default(),
        }
    }

    /// One request on a new connection, or on the one of the last.
    fn turn(&mut self, kept: &mut Option<Client>, seen: &Mutex<Seen>) {
        let kind = self.dice.between(0, 100);
        let (model, stream, gone) = match kind {
            0..35 => ("ok", false, false),
            35..60 => ("ok", true, false),
            60..66 => ("no-usage", true, false),
            66..72 => ("error-echo", false, false),
            72..78 => ("e500", false, false),
            78..83 => ("cut-stream", true, false),
            83..88 => ("bad-json", false, false),
            88..95 => ("hang-stream", true, true),
            95..98 => ("none-such", false, false),
            _ => (ENGINE_MODEL, true, false),
        };
        let body = json!({
            "model": model, "stream": stream, "max_tokens": 4,
            "messages": [{"role": "user", "content": format!("Say {}", self.said)}],
        });
        let start = Instant::now();
        let status = self.ask(kept, &body.to_string(), gone);
        let took = start.elapsed();
        let mut seen = seen.lock().expect("what was seen");
        seen.longest = seen.longest.max(took);
        match status {
            Some(status) => {
                *self.tally.answered.entry(status).or_default() += 1;
                seen.answers.retain(|when| when.elapsed() < Duration::from_secs(10));
                seen.answers.push(Instant::now());
            }
            None => self.tally.unanswered += 1,
        }
        drop(seen);
        assert!(took < LONGEST, "a request for `{model}` took {took:?}");
        if status.is_none() {
            *kept = None;
        }
    }

    /// The status of a whole answer.
    fn ask(&mut self, kept: &mut Option<Client>, body: &str, gone: bool) -> Option<u16> {
        // Half of the time the connection of the last answer, if it is still there.
        let old = kept.take().filter(|_| self.dice.between(0, 2) == 0);
        let mut client = match old {
            Some(client) => client,
            None => Client::try_connect(&self.api, Some(&self.tls)).ok()?,
        };
        let head = format!(
            "POST {CHAT} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            self.key,
            body.len()
        );
        client.try_raw(head.as_bytes()).ok()?;
        if gone {
            // A while into the answer, or before it: the client goes away.
            std::thread::sleep(Duration::from_millis(self.dice.between(0, 50)));
            return None;
        }
        let answer = client.try_answer()?;
        if !answer.complete {
            return None;
        }
        *kept = Some(client);
        Some(answer.status)
    }
}

/// One request of each kind by each worker.
pub(crate) fn warm_up(workers: &[Worker]) {
    for worker in workers {
        for model in ["ok", ENGINE_MODEL] {
            let mut client = Client::connect(&worker.api, Some(&worker.tls)).with_key(&worker.key);
            let body = json!({"model": model, "max_tokens": 1, "messages": [{"role": "user", "content": "Hello"}]});
            assert_eq!(client.post("/v1/chat/completions", &body.to_string()).status, 200, "{model}");
        }
    }
}

/// The status of one answer by the first key, if there is one.
pub(crate) fn ask_once(lethe: &Lethe, pki: &Pki, model: &str) -> Option<u16> {
    let body = json!({"model": model, "max_tokens": 1, "messages": [{"role": "user", "content": "Hello"}]}).to_string();
    let mut client = Client::try_connect(&lethe.api(), Some(&pki.client())).ok()?;
    let head = format!(
        "POST {CHAT} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        lethe.key(),
        body.len()
    );
    client.try_raw(head.as_bytes()).ok()?;
    client.try_answer().filter(|answer| answer.complete).map(|answer| answer.status)
}

/// Workers at work.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    seen: Arc<Mutex<Seen>>,
    running: Vec<JoinHandle<Worker>>,
}

impl Load {
    pub(crate) fn start(workers: Vec<Worker>) -> Self {
        let (stop, seen) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Seen::default())));
        let work = |mut worker: Worker| {
            let (stop, seen) = (Arc::clone(&stop), Arc::clone(&seen));
            std::thread::spawn(move || {
                let mut kept = None;
                while !stop.load(Ordering::Relaxed) {
                    worker.turn(&mut kept, &seen);
                    // A load that leaves the machine room for what is tested.
                    std::thread::sleep(Duration::from_millis(worker.dice.between(5, 40)));
                }
                worker
            })
        };
        let running = workers.into_iter().map(work).collect();
        Self { stop, seen, running }
    }

    /// How many answers came within the last `time`.
    pub(crate) fn answered_within(&self, time: Duration) -> usize {
        self.seen.lock().expect("what was seen").answers.iter().filter(|when| when.elapsed() < time).count()
    }

    /// Lets every request come to its end.
    pub(crate) fn stop(self) -> Done {
        self.stop.store(true, Ordering::Relaxed);
        let workers = self.running.into_iter().map(|worker| worker.join().expect("a worker"));
        let tallies = workers.map(|worker| (worker.account, worker.tally)).collect();
        let longest = self.seen.lock().expect("what was seen").longest;
        Done { tallies, longest }
    }
}
