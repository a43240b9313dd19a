//! What a key and a request may ask of the choice, and what they are told of it.

use lethe_testkit::client::Answer;
use lethe_testkit::lethe::Lethe;
use lethe_testkit::provider::Provider;
use serde_json::Value;

use super::{Scene, asked, route, told};
use crate::{CHAT, chat};

const JSON: (&str, &str) = ("content-type", "application/json");

fn ask(lethe: &Lethe, key: &str, headers: &[(&str, &str)], model: &str) -> Answer {
    let mut client = lethe.stranger().with_key(key);
    client.send("POST", CHAT, &[&[JSON], headers].concat(), chat(model, "").as_bytes());
    client.answer()
}

#[test]
fn a_region_that_a_key_or_a_request_requires_is_never_left() {
    let (inside, outside) = (Provider::start(None), Provider::start(None));
    let lethe = Scene::new("")
        .provider("us", outside.address, "region = \"us\"")
        .provider("bare", outside.address, "")
        .provider("eu", inside.address, "region = \"eu\"")
        .model("anywhere", "ordered", &[route("us", "a"), route("bare", "a"), route("eu", "a")])
        .model("failing", "ordered", &[route("eu", "f-error-500"), route("us", "f"), route("bare", "f")])
        .model("abroad", "ordered", &[route("us", "b"), route("bare", "b")])
        .start();
    let made = lethe.json(&["key", "create", "--name", "clinic", "--region", "eu", "--json"]).remove(0);
    assert_eq!(made["region"], "eu");
    let (free, bound) = (lethe.key(), made["key"].as_str().unwrap());
    let eu: &[(&str, &str)] = &[("lethe-region", "eu")];

    assert_eq!(told(&ask(&lethe, free, &[], "anywhere")), (200, "us", "1"), "control: nothing is required");
    assert_eq!(told(&ask(&lethe, free, eu, "anywhere")), (200, "eu", "1"));
    assert_eq!(told(&ask(&lethe, bound, &[], "anywhere")), (200, "eu", "1"));
    assert_eq!(told(&ask(&lethe, bound, eu, "anywhere")), (200, "eu", "1"));
    assert_eq!([asked(&inside, "a"), asked(&outside, "a")], [3, 1]);
    // Whoever fails there is not replaced from elsewhere.
    assert_eq!(told(&ask(&lethe, free, &[], "failing")), (200, "us", "2"), "control: without the requirement it is");
    assert_eq!(told(&ask(&lethe, bound, &[], "failing")), (500, "eu", "1"));
    assert_eq!(told(&ask(&lethe, free, eu, "failing")), (500, "eu", "1"));
    assert_eq!([asked(&inside, "f-error-500"), asked(&outside, "f")], [3, 1]);
    for (key, headers, model) in [
        (bound, &[][..], "abroad"),
        (free, eu, "abroad"),
        (bound, &[("lethe-region", "us")], "anywhere"),
        (free, &[("lethe-region", "mars")], "anywhere"),
    ] {
        let answer = ask(&lethe, key, headers, model);
        assert_eq!((answer.status, answer.code().as_str()), (400, "no_route"), "{}", answer.text());
    }
    for headers in
        [&[("lethe-region", "Canary!")][..], &[("lethe-region", "")], &[("lethe-region", "eu"), ("lethe-region", "us")]]
    {
        let answer = ask(&lethe, free, headers, "anywhere");
        assert_eq!((answer.status, answer.code().as_str()), (400, "unsupported_header"), "{headers:?}: {}", answer.text());
        assert!(!answer.text().contains("Canary"), "{}", answer.text());
    }
    assert_eq!(outside.seen().len(), 2, "only what was free to leave");
    the_command_line_knows_regions(&lethe);
}

fn the_command_line_knows_regions(lethe: &Lethe) {
    let regions: Vec<Value> = lethe.json(&["key", "list", "--json"]).into_iter().map(|key| key["region"].clone()).collect();
    assert_eq!(regions, [Value::Null, "eu".into()]);
    let list = String::from_utf8(lethe.run(&["key", "list"]).stdout).unwrap();
    let line = list.lines().find(|line| line.contains("clinic")).unwrap();
    assert!(list.lines().next().unwrap().contains("REGION") && line.split_whitespace().any(|cell| cell == "eu"), "{list}");
    let refused = lethe.run(&["key", "create", "--region", "EU"]);
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success() && said.contains("lower-case"), "{said}");
    assert_eq!(lethe.json(&["key", "list", "--json"]).len(), 2, "and no key was made");
}

#[test]
fn a_request_may_name_providers() {
    let server = Provider::start(None);
    let lethe = Scene::new("")
        .provider("one", server.address, "")
        .provider("two", server.address, "")
        .provider("three", server.address, "")
        .model("m", "ordered", &[route("one", "m-1"), route("two", "m-2-error-500"), route("three", "m-3")])
        .start();
    let named = |value: &str| ask(&lethe, lethe.key(), &[("lethe-provider", value)], "m");
    assert_eq!(told(&named("three")), (200, "three", "1"));
    assert_eq!(told(&named("nobody, three")), (200, "three", "1"));
    assert_eq!(told(&named("three,one")), (200, "three", "1"), "in the request's order");
    assert_eq!(told(&named("two, three")), (200, "three", "2"));
    assert_eq!(told(&named("two")), (500, "two", "1"), "and nobody else");
    assert_eq!(told(&named(" ")), (200, "one", "1"), "nobody is named");
    let lines = ask(&lethe, lethe.key(), &[("lethe-provider", "nobody"), ("lethe-provider", "three")], "m");
    assert_eq!(told(&lines), (200, "three", "1"), "a list may come in lines");
    for value in ["nobody", "Canary", "ONE", "one;two"] {
        let answer = named(value);
        assert_eq!((answer.status, answer.code().as_str()), (400, "no_route"), "{value}: {}", answer.text());
        assert!(!answer.text().contains("Canary"), "{}", answer.text());
    }
    assert_eq!(["m-1", "m-2-error-500", "m-3"].map(|model| asked(&server, model)), [1, 2, 5]);
}

#[test]
fn every_answer_says_how_it_was_served_and_the_record_says_the_same() {
    let server = Provider::start(None);
    let lethe = Scene::new("")
        .provider("bad", server.address, "")
        .provider("good", server.address, "")
        .model("m", "ordered", &[route("bad", "h-error-500"), route("good", "h-text")])
        .model("refused", "ordered", &[route("good", "h-error-400")])
        .start();
    let mut client = lethe.client();
    let stream = r#","stream":true"#;
    let message =
        |more: &str| format!(r#"{{"model":"m","max_tokens":64,"messages":[{{"role":"user","content":"Hello"}}]{more}}}"#);
    let answers = [
        client.post(CHAT, &chat("m", "")),
        client.post(CHAT, &chat("m", stream)),
        client.post(CHAT, &chat("refused", "")),
        client.post("/v1/messages", &message("")),
        client.post("/v1/messages", &message(stream)),
        lethe.client().post(CHAT, &chat("nothing", "")),
    ];
    let records = lethe.records(answers.len());
    let expected =
        [(200, "good", "2"), (200, "good", "2"), (400, "good", "1"), (200, "good", "2"), (200, "good", "2"), (404, "", "")];
    for ((answer, record), expected) in answers.iter().zip(&records).zip(expected) {
        assert_eq!(told(answer), expected, "{}", answer.text());
        assert_eq!((record["status"].as_u64(), record["provider"].as_str().unwrap_or("")), (Some(expected.0.into()), expected.1));
        let header = |name: &str| answer.headers.get(name).map_or("", String::as_str);
        let route = if expected.1.is_empty() { String::new() } else { record["route"].to_string() };
        assert_eq!(header("lethe-route"), route, "{record}");
        assert_eq!(header("lethe-api"), if expected.1.is_empty() { "" } else { "chat" });
    }
    assert_eq!(records.len(), 6, "one record each, however often was asked");
    assert_eq!([asked(&server, "h-error-500"), asked(&server, "h-text"), asked(&server, "h-error-400")], [4, 4, 1]);
}

#[test]
fn what_one_format_cannot_say_goes_to_a_route_that_can() {
    let server = Provider::start(None);
    let mut scene = Scene::new("").provider("plain", server.address, "");
    let key = scene.setup.folder().join("provider-key").display().to_string();
    scene.text += &format!(
        "[[provider]]\nid = \"claude\"\npreset = \"anthropic\"\nbase_url = \"http://{}/v1\"\napi_key = {{ file = \"{key}\" }}\nallow_private_network = true\n\
         [provider.terms]\ntraining = \"never\"\nretention_days = 0\nagreement = \"test\"\nreviewed = 2026-01-01\nreview_due = 2099-01-01\n\n",
        server.address
    );
    let lethe = scene
        .model("both", "ordered", &[route("claude", "x-text"), route("plain", "plain-two")])
        .model("one", "ordered", &[route("claude", "x-text")])
        .model("failing", "ordered", &[route("plain", "y-error-429"), route("claude", "x-text")])
        .provider("narrow", server.address, "max_concurrent = 1")
        .model("busy", "ordered", &[route("claude", "x-text"), route("narrow", "tick-stream")])
        .start();
    let mut client = lethe.client();
    assert_eq!(told(&client.post(CHAT, &chat("both", ""))), (200, "claude", "1"), "control: what it can say it serves");
    let two = client.post(CHAT, &chat("both", r#","n":2"#));
    assert_eq!(told(&two), (200, "plain", "1"), "{}", two.text());
    assert_eq!([asked(&server, "x-text"), asked(&server, "plain-two")], [1, 1]);
    let refused = client.post(CHAT, &chat("one", r#","n":2"#));
    assert_eq!((refused.status, refused.code().as_str()), (400, "unsupported_field"), "{}", refused.text());
    let said = &refused.json()["error"];
    assert_eq!(said["param"], "n");
    assert!(said["message"].as_str().is_some_and(|said| said.contains("Send one request for each answer")), "{said}");
    let otherwise = client.post(CHAT, &chat("one", r#","seed":2"#)).json();
    assert!(!otherwise["error"]["message"].as_str().is_some_and(|said| said.contains("each answer")), "{otherwise}");
    // Where nobody else can be told it, the answer of the one who failed is passed, with everything that it says.
    let failed = client.post(CHAT, &chat("failing", r#","n":2"#));
    assert_eq!(told(&failed), (429, "plain", "1"), "{}", failed.text());
    assert_eq!(failed.headers.get("retry-after").map(String::as_str), Some("7"));
    assert!(failed.text().contains("The script refuses this"), "{}", failed.text());
    // Who could be told it is full: that will pass.
    let mut open = lethe.client();
    open.send("POST", CHAT, &[JSON], chat("busy", r#","n":2,"stream":true"#).as_bytes());
    open.wait_for("tick ");
    let busy = client.post(CHAT, &chat("busy", r#","n":2"#));
    assert_eq!((busy.status, busy.code().as_str()), (503, "provider_busy"), "{}", busy.text());
    server.release();
    assert_eq!(told(&open.answer()), (200, "narrow", "1"));
    assert_eq!(["x-text", "y-error-429", "tick-stream"].map(|model| asked(&server, model)), [1; 3]);
    // Each failure is counted once, for the route that was asked.
    let limited = |series: &&String| series.contains("failure=\"rate_limited\"");
    let metrics = lethe.metrics_when(|metrics| metrics.keys().any(|series| limited(&series)));
    let counted: Vec<_> = metrics.iter().filter(|(series, _)| series.starts_with("lethe_failures_total{")).collect();
    let [(series, count)] = counted.as_slice() else { panic!("one failure: {counted:?}") };
    assert!(limited(series) && series.contains("provider=\"plain\"") && (**count - 1.0).abs() < f64::EPSILON, "{counted:?}");
}

#[test]
fn a_wildcard_serves_every_name_behind_it() {
    let server = Provider::start(None);
    let lethe = Scene::new("")
        .provider("up", server.address, "")
        .model("up/*", "weighted", &[route("up", "vendor/*")])
        .model("same/*", "weighted", &["{ provider = \"up\" }".to_owned()])
        .model("up/fixed", "weighted", &[route("up", "one")])
        .start();
    let mut client = lethe.client();
    for (name, upstream) in [("up/a", "vendor/a"), ("up/b/c", "vendor/b/c"), ("up/fixed", "one"), ("same/z", "same/z")] {
        assert_eq!(told(&client.post(CHAT, &chat(name, ""))), (200, "up", "1"), "{name}");
        assert_eq!(server.last().body["model"], upstream);
    }
    for name in ["up/", "up/*", "down/a", "up"] {
        assert_eq!(client.post(CHAT, &chat(name, "")).status, 404, "{name}");
    }
    let listed = client.get("/v1/models").text();
    assert!(listed.contains("up/fixed") && !listed.contains('*'), "{listed}");
    // Names that clients make up are no labels.
    let metrics = lethe.metrics_when(|metrics| metrics.keys().any(|series| series.contains("model=\"up/*\"")));
    assert!(!metrics.keys().any(|series| series.contains("up/a") || series.contains("vendor/a")), "{metrics:?}");
    assert_eq!(server.seen().len(), 4);
}
