//! The embedded engine behind the gateway, without any configuration.

use lethe_testkit::lethe::Setup;

use crate::CHAT;

const MODEL: &str = "smollm2-135m-instruct";

fn ask(more: &str) -> String {
    format!(
        r#"{{"model":"{MODEL}","messages":[{{"role":"user","content":"What is the capital of France? Answer in one sentence."}}]{more}}}"#
    )
}

#[test]
fn a_real_model_answers() {
    let lethe = Setup::engine().start();
    let mut client = lethe.client();
    let models = client.get("/v1/models").json();
    assert_eq!(models["data"][0]["id"], MODEL);

    let answer = client.post(CHAT, &ask(r#","temperature":0,"max_tokens":24"#));
    assert_eq!(answer.status, 200, "{}", answer.text());
    let answer = answer.json();
    let text = answer["choices"][0]["message"]["content"].as_str().unwrap().to_owned();
    assert!(text.contains("Paris"), "{text}");
    assert!(answer["usage"]["prompt_tokens"].as_u64().unwrap() > 10);

    let streamed =
        client.post(CHAT, &ask(r#","temperature":0,"max_tokens":24,"stream":true,"stream_options":{"include_usage":true}"#));
    let chunks: Vec<serde_json::Value> = streamed
        .text()
        .lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .filter(|data| *data != "[DONE]")
        .map(|data| serde_json::from_str(data).unwrap())
        .collect();
    let joined: String = chunks.iter().filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str()).collect();
    assert_eq!(joined, text, "greedy decoding says the same in a stream");
    assert_eq!(chunks.last().unwrap()["usage"], answer["usage"]);

    let seeded = || {
        lethe.client().post(CHAT, &ask(r#","temperature":1,"seed":7,"max_tokens":12"#)).json()["choices"][0]["message"]["content"]
            .clone()
    };
    assert_eq!(seeded(), seeded());
    let stopped = client.post(CHAT, &ask(r#","temperature":0,"max_tokens":24,"stop":["Paris"]"#)).json();
    assert_eq!(stopped["choices"][0]["finish_reason"], "stop");
    assert!(!stopped["choices"][0]["message"]["content"].as_str().unwrap().contains("Par"));
    let short = client.post(CHAT, &ask(r#","temperature":0,"max_tokens":3"#)).json();
    assert_eq!((&short["choices"][0]["finish_reason"], &short["usage"]["completion_tokens"]), (&"length".into(), &3.into()));
    assert_eq!(client.post(CHAT, &ask(r#","temperature":"hot""#)).status, 400);
    assert_eq!(
        client.post(CHAT, &ask(r#","unknown_to_lethe":1,"max_tokens":1"#)).status,
        200,
        "unknown fields pass to an own node"
    );
    assert_eq!(client.post(CHAT, &ask(r#","store":true"#)).code(), "zero_retention_conflict", "no exception for an own node");

    let records = lethe.records(9);
    assert!(records.iter().any(|record| record["quality"] == "reported" && record["output_units"] == 3));
}
