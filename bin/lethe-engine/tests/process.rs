//! The real process, started as a supervisor starts it: confined, answering, and keeping nothing.
//!
//! Runs as root: the process is not dumpable, and its memory is read here.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failed unwrap is a failed test")]

#[expect(dead_code, reason = "this file needs only a part")]
mod support;

use std::collections::HashSet;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use lethe_confine::channel::Channel;
use lethe_handover::{BootOptions, EngineBoot, FromChild, Posture, Stage, ToChild, Wall};
use serde_json::{Value, json};
use support::{Reply, model_path, post};

/// Puts the two descriptors where a supervisor puts them, and closes what the test itself was started with.
const HAND_OVER: &str = r#"
    exec 3<&0 4>&1 </dev/null >/dev/null 2>/dev/null
    for fd in /proc/self/fd/*; do
        fd="${fd##*/}"
        if ((fd > 4)); then eval "exec $fd>&-"; fi
    done
    exec "$0" engine"#;

struct Engine {
    child: Child,
    channel: Channel,
    acceptor: Channel,
    posture: Posture,
}

impl Engine {
    fn start(concurrent: u16) -> Self {
        let (channel, theirs) = Channel::pair().unwrap();
        let (mut stages, pipe) = std::io::pipe().unwrap();
        let child = Command::new("/bin/bash")
            .args(["-c", HAND_OVER, env!("CARGO_BIN_EXE_lethe-engine")])
            .env_clear()
            .stdin(theirs)
            .stdout(pipe)
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let (acceptor, front) = Channel::pair().unwrap();
        let boot = EngineBoot { model: "small".to_owned(), threads: 2, concurrent, queue: 4 };
        let options = BootOptions { user: Some((60_001, 60_001)), unconfined: false };
        let model = OwnedFd::from(File::open(model_path()).expect("the tests need the model"));
        channel.send(&ToChild::Engine(Box::new(boot), options), &[front.as_fd(), model.as_fd()]).unwrap();
        drop(front);
        let mut told = Vec::new();
        stages.read_to_end(&mut told).unwrap();
        let last = told.last().copied().and_then(Stage::from_code);
        let Ok((FromChild::Ready(posture), _)) = channel.recv() else { panic!("not ready; last stage {last:?}") };
        assert_eq!(last, Some(Stage::Serving));
        Self { child, channel, acceptor, posture: *posture }
    }

    /// Opens a connection as the node front does and sends a request.
    fn send(&self, body: &Value) -> UnixStream {
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        self.acceptor.send(&0_u8, &[theirs.as_fd()]).unwrap();
        ours.write_all(&post(body)).unwrap();
        ours
    }

    fn memory(&self) -> Memory {
        Memory { pid: self.child.id() }
    }

    /// Drains and waits for the end.
    fn drain(mut self) {
        self.channel.send(&ToChild::Drain, &[]).unwrap();
        loop {
            match self.channel.recv().expect("the last word") {
                (FromChild::Drained, _) => break,
                (FromChild::Panicked(report), _) => panic!("{report:?}"),
                _ => {}
            }
        }
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn finish(mut stream: UnixStream) -> Reply {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    Reply::parse(&bytes)
}

fn chat(content: &str, more: Value) -> Value {
    let mut body = json!({"model": "small", "messages": [{"role": "user", "content": content}], "temperature": 0});
    for (key, value) in more.as_object().unwrap() {
        body[key] = value.clone();
    }
    body
}

/// Another process's memory.
struct Memory {
    pid: u32,
}

/// Length of the shortest fragment that counts as content.
const FRAGMENT: usize = 12;

type Fragment = [u8; FRAGMENT];

fn fragments(text: &str) -> HashSet<Fragment> {
    text.as_bytes().array_windows().copied().collect()
}

impl Memory {
    /// Those of `fragments` that are anywhere in the process's memory.
    fn find(&self, fragments: &HashSet<Fragment>) -> HashSet<Fragment> {
        let maps = std::fs::read_to_string(format!("/proc/{}/maps", self.pid)).unwrap();
        let memory = File::open(format!("/proc/{}/mem", self.pid)).unwrap();
        let mut is_first = vec![false; 1 << 16];
        for fragment in fragments {
            is_first[usize::from(u16::from_le_bytes([fragment[0], fragment[1]]))] = true;
        }
        let mut found = HashSet::new();
        for line in maps.lines().filter(|line| line.split(' ').nth(1).is_some_and(|rights| rights.starts_with('r'))) {
            let (start, end) = line.split(' ').next().and_then(|range| range.split_once('-')).unwrap();
            let (start, end) = (u64::from_str_radix(start, 16).unwrap(), u64::from_str_radix(end, 16).unwrap());
            let mut bytes = vec![0; usize::try_from(end - start).unwrap()];
            // Some mappings of the kernel ([vvar]) cannot be read, and a mapping may go while this reads.
            if memory.read_exact_at(&mut bytes, start).is_err() {
                continue;
            }
            for window in bytes.array_windows::<FRAGMENT>() {
                if is_first[usize::from(u16::from_le_bytes([window[0], window[1]]))] && fragments.contains(window) {
                    found.insert(*window);
                }
            }
        }
        found
    }

    /// Looks until something is found, or `time` is over.
    fn finds_within(&self, fragments: &HashSet<Fragment>, time: Duration) -> bool {
        let start = Instant::now();
        loop {
            if !self.find(fragments).is_empty() {
                return true;
            }
            if start.elapsed() > time {
                return false;
            }
        }
    }

    /// Looks until nothing is found, or the two seconds that it has are over; what is then still found.
    fn left_over(&self, fragments: &HashSet<Fragment>) -> Vec<String> {
        let start = Instant::now();
        loop {
            let found = self.find(fragments);
            if found.is_empty() || start.elapsed() > Duration::from_secs(2) {
                return found.iter().map(|fragment| String::from_utf8_lossy(fragment).into_owned()).collect();
            }
        }
    }
}

#[test]
fn confined_and_answering() {
    let engine = Engine::start(2);
    assert!(engine.posture.walls.contains(&Wall::Seccomp) && engine.posture.walls.len() > 1, "{:?}", engine.posture.walls);
    assert!(engine.posture.descriptors.iter().all(|descriptor| descriptor.kind != "file"), "{:?}", engine.posture.descriptors);
    let both = [
        engine.send(&chat("What is the capital of France?", json!({"max_tokens": 20}))),
        engine.send(&chat("What is the capital of Germany?", json!({"max_tokens": 20}))),
    ];
    let [france, germany] = both.map(finish);
    assert!(france.content().contains("Paris"), "{}", france.body);
    assert!(germany.content().contains("Berlin"), "{}", germany.body);
    engine.channel.send(&ToChild::SelfTest, &[]).unwrap();
    let Ok((FromChild::Posture(posture), _)) = engine.channel.recv() else { panic!("no posture") };
    assert!(!posture.attempts.is_empty());
    engine.drain();
}

#[test]
fn nothing_of_a_conversation_is_left_in_memory() {
    let engine = Engine::start(1);
    let memory = engine.memory();
    let canary = "My word is kq7Vz-marzipan-0x5eedface-Tr0ubad0ur-9931; it says \"péché\" and 猫が好き. ";
    let request = chat(&format!("{canary}Tell me a long story about a lighthouse."), json!({"max_tokens": 400}));
    let answer = finish(engine.send(&request)).content();
    assert!(answer.len() > 500, "{answer}");
    // What is there from the start (the vocabulary's own words) is nobody's content; a second process knows only that.
    let fresh = Engine::start(1);
    let unique = |text: &str| {
        let all = fragments(text);
        let common = fresh.memory().find(&all);
        all.difference(&common).copied().collect::<HashSet<_>>()
    };
    let (prompt, answer) = (unique(canary), unique(&answer));
    assert!(prompt.len() > 50 && answer.len() > 200);
    assert_eq!(memory.left_over(&prompt), [""; 0], "of the prompt, after the answer");
    assert_eq!(memory.left_over(&answer), [""; 0], "of the answer, after the answer");

    // Control: the same search finds a prompt that waits for its turn, and an answer that is being made.
    let mut first = engine.send(&chat("Write the numbers from 1 to 100000.", json!({"stream": true, "max_tokens": 8000})));
    first.read_exact(&mut [0; 16]).unwrap();
    let second = engine.send(&request);
    assert!(memory.finds_within(&prompt, Duration::from_secs(20)), "the search does not find what is there");
    drop(first);
    assert!(memory.finds_within(&answer, Duration::from_secs(20)), "the search does not find what is there");
    finish(second).content();
    assert_eq!(memory.left_over(&prompt), [""; 0], "of the prompt, the second time");
    assert_eq!(memory.left_over(&answer), [""; 0], "of the answer, the second time");

    // And of a client that leaves in the middle.
    let mut third = engine.send(&chat(&format!("{canary}Tell me a long story."), json!({"stream": true})));
    third.read_exact(&mut [0; 2000]).unwrap();
    drop(third);
    assert_eq!(memory.left_over(&prompt), [""; 0], "of the prompt of a client that left");
    fresh.drain();
    engine.drain();
}
