//! The endpoints, over socket pairs, with the real model.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod support;

use std::sync::{Arc, LazyLock};

use lethe_engine::{Engine, Limits, serve};
use serde_json::{Value, json};
use support::{Reply, model_file, post};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, JoinSet, LocalSet};

static ENGINE: LazyLock<Arc<Engine>> = LazyLock::new(|| Arc::new(Engine::load(&model_file(), "small".to_owned()).unwrap()));

/// A running server and the way in.
struct Server {
    connections: mpsc::Sender<UnixStream>,
    task: JoinHandle<()>,
}

impl Server {
    fn start(limits: Limits) -> Self {
        let (connections, receiver) = mpsc::channel(1);
        let task = tokio::task::spawn_local(serve(receiver, Arc::clone(&ENGINE), limits));
        Self { connections, task }
    }

    async fn connect(&self) -> UnixStream {
        let (ours, theirs) = UnixStream::pair().unwrap();
        self.connections.send(theirs).await.unwrap();
        ours
    }

    /// Connects and sends, without waiting for the answer.
    async fn send(&self, request: &[u8]) -> UnixStream {
        let mut stream = self.connect().await;
        stream.write_all(request).await.unwrap();
        stream
    }

    async fn ask(&self, body: &Value) -> Reply {
        finish(self.send(&post(body)).await).await
    }
}

async fn finish(mut stream: UnixStream) -> Reply {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.unwrap();
    Reply::parse(&bytes)
}

/// Waits until the first bytes of an answer are there.
async fn begins(stream: &mut UnixStream) {
    assert!(stream.read(&mut [0; 16]).await.unwrap() > 0);
}

const TWO: Limits = Limits { concurrent: 2, queue: 4 };

fn run(limits: Limits, test: impl AsyncFnOnce(Server)) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(LocalSet::new().run_until(async { test(Server::start(limits)).await }));
}

fn chat(content: &str, more: Value) -> Value {
    let mut body =
        json!({"model": "small", "messages": [{"role": "user", "content": content}], "temperature": 0, "max_tokens": 24});
    for (key, value) in more.as_object().unwrap() {
        body[key] = value.clone();
    }
    body
}

#[test]
fn a_question_is_answered() {
    run(TWO, async |server| {
        let reply = server.ask(&chat("What is the capital of France?", json!({}))).await;
        assert!(reply.content().contains("Paris"), "{}", reply.body);
        assert!(reply.head.contains("cache-control: no-store"), "{}", reply.head);
        let object = reply.json();
        assert_eq!((&object["object"], &object["model"]), (&json!("chat.completion"), &json!("small")));
        let count = |name: &str| object["usage"][name].as_u64().unwrap();
        assert_eq!(count("prompt_tokens"), 37, "the model's own system message, the question, and the marks around them");
        assert!((1..=24).contains(&count("completion_tokens")));
        assert_eq!(count("total_tokens"), count("prompt_tokens") + count("completion_tokens"));
    });
}

#[test]
fn a_stream_says_what_the_whole_answer_says() {
    run(TWO, async |server| {
        let question = "Name three colours of the rainbow.";
        let whole = server.ask(&chat(question, json!({}))).await;
        let stream = server.ask(&chat(question, json!({"stream": true, "stream_options": {"include_usage": true}}))).await;
        assert_eq!(stream.streamed(), whole.content());
        let events = stream.events();
        assert_eq!(events[0]["choices"][0]["delta"]["role"], "assistant");
        let last = events.last().unwrap();
        assert_eq!((&last["choices"], &last["usage"]), (&json!([]), &whole.json()["usage"]));
        assert_eq!(events[events.len() - 2]["choices"][0]["finish_reason"], whole.json()["choices"][0]["finish_reason"]);
        assert!(events.len() > 5, "control: the answer came in pieces");
    });
}

#[test]
fn equal_seeds_give_equal_answers() {
    run(TWO, async |server| {
        let answer =
            async |seed: u64| server.ask(&chat("Tell me a story.", json!({"temperature": 1.2, "seed": seed}))).await.content();
        let first = answer(1).await;
        assert_eq!(first, answer(1).await);
        assert_ne!(first, answer(2).await, "control: another seed gives another answer");
    });
}

#[test]
fn a_stop_sequence_ends_the_answer_unseen() {
    run(TWO, async |server| {
        let question = "Count from one to ten, with commas.";
        let whole = server.ask(&chat(question, json!({}))).await.content();
        // A piece out of the middle, across tokens.
        let middle: String = whole.chars().skip(whole.chars().count() / 2).take(7).collect();
        let expected = whole.split(&middle).next().unwrap();
        for stream in [false, true] {
            let reply = server.ask(&chat(question, json!({"stop": ["not there", middle], "stream": stream}))).await;
            let shown = if stream { reply.streamed() } else { reply.content() };
            assert_eq!(shown, expected);
            assert!(reply.body.contains(r#""finish_reason":"stop""#));
        }
    });
}

#[test]
fn limits_on_tokens_are_kept() {
    run(TWO, async |server| {
        let reply = server.ask(&chat("Tell me a long story.", json!({"max_tokens": 5}))).await.json();
        assert_eq!((&reply["choices"][0]["finish_reason"], &reply["usage"]["completion_tokens"]), (&json!("length"), &json!(5)));
        let reply = server.ask(&chat(&"word ".repeat(9000), json!({}))).await;
        assert_eq!((reply.status, &reply.json()["error"]["code"]), (400, &json!("context_length_exceeded")));
        let reply = server.ask(&chat(&"x".repeat(1024 * 1024), json!({}))).await;
        assert_eq!((reply.status, &reply.json()["error"]["code"]), (413, &json!("request_too_large")));
    });
}

#[test]
fn a_written_control_token_does_not_end_the_message() {
    run(TWO, async |server| {
        let count = async |content: &str| {
            server.ask(&chat(content, json!({"max_tokens": 1}))).await.json()["usage"]["prompt_tokens"].as_u64().unwrap()
        };
        let without = count("ab").await;
        assert!(count("a<|im_end|>b").await >= without + 4, "as one control token it would add one or two");
    });
}

#[test]
fn what_cannot_be_served_is_refused_with_an_error_object() {
    run(TWO, async |server| {
        let get = async |line: &str| {
            finish(server.send(format!("{line} HTTP/1.1\r\nhost: engine\r\nconnection: close\r\n\r\n").as_bytes()).await).await
        };
        let reply = get("GET /v1/models").await;
        assert_eq!((reply.status, &reply.json()["data"][0]["id"]), (200, &json!("small")));
        let reply = get("GET /v1/chat/completions").await;
        assert_eq!((reply.status, reply.head.contains("allow: post")), (405, true));
        assert_eq!(get("GET /slots").await.json()["error"]["code"], "not_found");
        let reply = server.ask(&chat("hi", json!({"n": 2}))).await;
        assert_eq!((reply.status, &reply.json()["error"]["param"]), (400, &json!("n")));
        let reply = server.ask(&chat("hi", json!({"model": "large"}))).await;
        assert_eq!((reply.status, &reply.json()["error"]["code"]), (404, &json!("model_not_found")));
    });
}

#[test]
fn one_connection_serves_several_requests() {
    run(TWO, async |server| {
        let mut stream = server.connect().await;
        for _ in 0..2 {
            stream.write_all(b"GET /v1/models HTTP/1.1\r\nhost: engine\r\n\r\n").await.unwrap();
            let mut bytes = Vec::new();
            while !bytes.ends_with(b"]}") {
                assert!(stream.read_buf(&mut bytes).await.unwrap() > 0);
            }
            assert_eq!(Reply::parse(&bytes).status, 200);
        }
    });
}

#[test]
fn too_many_requests_are_turned_away_and_a_client_that_leaves_makes_room() {
    run(Limits { concurrent: 1, queue: 1 }, async |server| {
        let endless = chat("Write the numbers from 1 to 100000.", json!({"stream": true, "max_tokens": 8000}));
        let mut running = server.send(&post(&endless)).await;
        begins(&mut running).await;
        // Of three more, one may wait, whichever is read first; the others are turned away at once.
        let mut more = JoinSet::new();
        for _ in 0..3 {
            more.spawn_local(finish(server.send(&post(&chat("hi", json!({"max_tokens": 2})))).await));
        }
        for _ in 0..2 {
            let turned_away = more.join_next().await.unwrap().unwrap();
            assert_eq!((turned_away.status, &turned_away.json()["error"]["code"]), (503, &json!("overloaded")));
            assert!(turned_away.head.contains("retry-after: 1"));
        }
        let start = std::time::Instant::now();
        drop(running);
        assert_eq!(more.join_next().await.unwrap().unwrap().status, 200);
        assert!(start.elapsed().as_secs() < 20, "the generation went on for a client that had left");
    });
}

#[test]
fn a_drain_finishes_what_is_open_and_closes_what_idles() {
    run(TWO, async |server| {
        let mut idle = server.connect().await;
        let mut busy = server.send(&post(&chat("Tell me a story.", json!({"stream": true})))).await;
        begins(&mut busy).await;
        let Server { connections, task } = server;
        drop(connections);
        let mut rest = Vec::new();
        busy.read_to_end(&mut rest).await.unwrap();
        assert!(rest.ends_with(b"data: [DONE]\n\n\r\n0\r\n\r\n"), "the open answer was finished");
        assert_eq!(idle.read(&mut [0; 1]).await.unwrap(), 0);
        task.await.unwrap();
    });
}
