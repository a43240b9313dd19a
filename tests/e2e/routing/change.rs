//! Routes that change while requests are under way.

use std::fs;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use lethe_testkit::lethe::Lethe;
use lethe_testkit::provider::Provider;
use lethe_testkit::wire::{Say, Wire};

use super::{Scene, route, told};
use crate::supervision::{exactly, wait_until};
use crate::{CHAT, chat};

/// Has the running Lethe read its configuration after `change`.
fn reload(lethe: &Lethe, change: impl FnOnce(String) -> String) {
    let file = lethe.folder().join("lethe.toml");
    let before = fs::read_to_string(&file).unwrap();
    let after = change(before.clone());
    assert_ne!(after, before);
    fs::write(&file, after).unwrap();
    let output = lethe.run(&["reload"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn routes_change_under_load_without_a_failed_request_and_health_is_kept() {
    let limit = b"HTTP/1.1 429 X\r\nretry-after: 60\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}";
    let limited = Wire::start(Say::Bytes(limit.to_vec()));
    let (old, new) = (Provider::start(None), Provider::start(None));
    let lethe = Scene::new("")
        .provider("limited", limited.address, "")
        .provider("moving", old.address, "")
        .provider("staying", old.address, "")
        .model("m", "weighted", &[route("moving", "m"), route("staying", "m")])
        .model("l", "ordered", &[route("limited", "l"), route("staying", "l")])
        .model("slow", "ordered", &[route("moving", "slow")])
        .start();
    assert_eq!(told(&lethe.client().post(CHAT, &chat("l", ""))), (200, "staying", "2"));
    // Half of a request is on its way: its other half comes when its provider is elsewhere.
    let body = chat("slow", "");
    let mut slow = lethe.client();
    let head = format!(
        "POST {CHAT} HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        lethe.key(),
        body.len()
    );
    slow.raw(&[head.as_bytes(), &body.as_bytes()[..20]].concat());

    let (stop, served) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        let load = || {
            let mut client = lethe.client();
            while !stop.load(Ordering::Relaxed) {
                let answer = client.post(CHAT, &chat("m", ""));
                assert_eq!(answer.status, 200, "{}", answer.text());
                served.fetch_add(1, Ordering::Relaxed);
            }
        };
        let workers = [(); 4].map(|()| scope.spawn(load));
        // A failed worker is seen when it is joined; until then nobody waits for it for long.
        let more = |what: &str| {
            let goal = served.load(Ordering::Relaxed) + 20;
            let failed = || workers.iter().any(std::thread::ScopedJoinHandle::is_finished);
            wait_until(what, || (served.load(Ordering::Relaxed) >= goal || failed()).then_some(()));
        };
        more("a load");
        let moved = |text: String, id: &str| {
            let (before, table) = text.split_once(&format!("id = \"{id}\"")).unwrap();
            let table = table.replacen(&old.address.to_string(), &new.address.to_string(), 1);
            format!("{before}id = \"{id}\"{table}")
        };
        reload(&lethe, |text| moved(text, "moving"));
        wait_until("the new server is asked", || new.seen_within(1, std::time::Duration::from_millis(10)).then_some(()));
        more("a load after the move");
        reload(&lethe, |text| text.replacen(&route("moving", "m"), &route("moving", "n"), 1));
        more("a load after a change of routes");
        reload(&lethe, |text| text.replacen("strategy = \"weighted\"", "strategy = \"least-loaded\"", 1));
        more("a load after a change of strategy");
        stop.store(true, Ordering::Relaxed);
        workers.into_iter().for_each(|worker| worker.join().expect("every request was answered"));
    });
    slow.raw(&body.as_bytes()[20..]);
    let answer = slow.answer();
    assert_eq!(told(&answer), (200, "moving", "1"), "{}", answer.text());
    assert_eq!(new.last().body["model"], "slow");
    // What was known of who did not change is known still.
    assert_eq!(told(&lethe.client().post(CHAT, &chat("l", ""))), (200, "staying", "1"));
    assert_eq!(limited.requests(), 1);
    let served = served.into_inner();
    println!("four configurations: {served} requests, none failed");
    assert_eq!(old.seen().len() + new.seen().len(), served + 3, "each was asked for once");
    exactly(&lethe, served + 3);
}
