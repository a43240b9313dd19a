//! A scripted provider that speaks every provider's dialect, one room each: the path says which, and the model's name says what it
//! does ([`script`]). It checks keys and bodies as that provider does.
//!
//! The models of [`MODELS`] follow OpenAI's public API reference for chat completions and embeddings
//! (<https://platform.openai.com/docs/api-reference>) without looking closely at requests, and misbehave: the name says how.

mod anthropic;
mod azure;
mod bedrock;
mod cohere;
mod deliver;
mod embeddings;
mod event_stream;
mod gemini;
mod mistral;
mod ollama;
mod openai;
mod responses;
mod rooms;
pub mod script;
mod shape;
pub mod sigv4;
mod vertex;

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};

/// Every way to behave, as model names.
pub const MODELS: &[&str] = &[
    "ok",
    "ok-embed",
    "no-usage",
    "no-done",
    "error-echo",
    "error-key",
    "error-event",
    "error-event-key",
    "drip",
    "e401",
    "e403",
    "e429",
    "e500",
    "html",
    "html-error",
    "bad-json",
    "bad-sse",
    "bad-sse-json",
    "hang",
    "hang-stream",
    "cut-stream",
    "cut-body",
    "redirect",
    "not-http",
    "close-after",
    "tick-stream",
];

/// Between two words of a stream that ticks.
const TICK: Duration = Duration::from_millis(50);

/// A request as it arrived.
#[derive(Clone)]
pub struct Seen {
    pub path: String,
    pub head: String,
    /// `null` if it was not JSON.
    pub body: Value,
    /// The body's bytes.
    pub raw: Vec<u8>,
}

impl Seen {
    /// A header's value, by its name in lower case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let named = |line: &str| line.split_once(':').is_some_and(|(found, _)| found.eq_ignore_ascii_case(name));
        self.head.lines().skip(1).find(|line| named(line)).and_then(|line| line.split_once(':')).map(|(_, value)| value.trim())
    }

    /// The path without its query.
    #[must_use]
    pub fn route(&self) -> &str {
        self.path.split('?').next().unwrap_or_default()
    }

    /// The query, without its question mark.
    #[must_use]
    pub fn query(&self) -> &str {
        self.path.split_once('?').map_or("", |(_, query)| query)
    }

    #[must_use]
    pub fn method(&self) -> &str {
        self.head.split(' ').next().unwrap_or_default()
    }
}

#[derive(Default)]
struct State {
    seen: Vec<Seen>,
    cancelled: usize,
    /// What completions say.
    reply: String,
    /// Streams that tick may end.
    released: bool,
}

/// A running provider.
pub struct Provider {
    pub address: SocketAddr,
    state: Arc<(Mutex<State>, Condvar)>,
}

impl Provider {
    /// Starts on a free port of the loopback, with TLS if `tls` is given.
    #[must_use]
    pub fn start(tls: Option<Arc<ServerConfig>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let state =
            Arc::new((Mutex::new(State { reply: "Hello from the provider.".into(), ..State::default() }), Condvar::new()));
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for socket in listener.incoming().flatten() {
                let (tls, state) = (tls.clone(), Arc::clone(&shared));
                thread::spawn(move || {
                    let _ = socket.set_nodelay(true);
                    let _ = match tls {
                        None => serve(socket, &state),
                        Some(config) => match ServerConnection::new(config) {
                            Ok(connection) => serve(StreamOwned::new(connection, socket), &state),
                            Err(_) => Ok(()),
                        },
                    };
                });
            }
        });
        Self { address, state }
    }

    /// What completions say from now on.
    pub fn set_reply(&self, reply: &str) {
        self.state.0.lock().expect("state").reply = reply.to_owned();
    }

    /// Lets the streams that tick (`tick-stream`) come to their end, from now on.
    pub fn release(&self) {
        self.state.0.lock().expect("state").released = true;
        self.state.1.notify_all();
    }

    /// Has streams that begin from now on tick until the next release.
    pub fn hold(&self) {
        self.state.0.lock().expect("state").released = false;
    }

    /// The requests that have arrived.
    #[must_use]
    pub fn seen(&self) -> Vec<Seen> {
        self.state.0.lock().expect("state").seen.clone()
    }

    /// The request that arrived last.
    #[must_use]
    pub fn last(&self) -> Seen {
        self.seen().pop().expect("a request")
    }

    /// Forgets the requests that have arrived.
    pub fn forget(&self) {
        self.state.0.lock().expect("state").seen.clear();
    }

    /// Waits until `count` requests in all were cancelled by their client; false if they are not within `limit`.
    #[must_use]
    pub fn cancelled_within(&self, count: usize, limit: Duration) -> bool {
        self.wait(limit, |state| state.cancelled >= count)
    }

    /// Waits until `count` requests in all have arrived; false if they have not within `limit`.
    #[must_use]
    pub fn seen_within(&self, count: usize, limit: Duration) -> bool {
        self.wait(limit, |state| state.seen.len() >= count)
    }

    fn wait(&self, limit: Duration, holds: impl Fn(&State) -> bool) -> bool {
        let deadline = Instant::now() + limit;
        let (state, changed) = &*self.state;
        let mut state = state.lock().expect("state");
        while !holds(&state) {
            let Some(left) = deadline.checked_duration_since(Instant::now()) else { return false };
            state = changed.wait_timeout(state, left).expect("state").0;
        }
        true
    }
}

fn serve<S: Read + Write>(mut socket: S, state: &(Mutex<State>, Condvar)) -> io::Result<()> {
    let mut buffer = Vec::new();
    loop {
        let Some(seen) = read_request(&mut socket, &mut buffer)? else { return Ok(()) };
        let reply = {
            let mut state_now = state.0.lock().expect("state");
            state_now.seen.push(seen.clone());
            state.1.notify_all();
            state_now.reply.clone()
        };
        let model = seen.body["model"].as_str().unwrap_or_default().to_owned();
        if let Some((said, words)) = rooms::answer(&seen, &reply) {
            let goes_on = !words.has("hang") && deliver::deliver(&mut socket, said, &words)?;
            if words.has("hang") || !goes_on && words.has("stall") {
                wait_for_cancel(&mut socket, state);
            }
            if !goes_on {
                return Ok(());
            }
        } else if !answer(&mut socket, &seen, &model, &reply, state)? {
            return Ok(());
        }
    }
}

fn read_request<S: Read>(socket: &mut S, buffer: &mut Vec<u8>) -> io::Result<Option<Seen>> {
    let mut block = [0; 64 * 1024];
    loop {
        if let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&buffer[..end]).into_owned();
            let length = head
                .lines()
                .find_map(|line| {
                    line.to_ascii_lowercase().strip_prefix("content-length:").map(|value| value.trim().parse::<usize>())
                })
                .and_then(Result::ok)
                .unwrap_or(0);
            if buffer.len() >= end + 4 + length {
                let raw = buffer[end + 4..end + 4 + length].to_vec();
                let body = serde_json::from_slice(&raw).unwrap_or(Value::Null);
                buffer.drain(..end + 4 + length);
                let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
                return Ok(Some(Seen { path, head, body, raw }));
            }
        }
        let read = socket.read(&mut block)?;
        if read == 0 {
            return Ok(None);
        }
        buffer.extend_from_slice(&block[..read]);
    }
}

/// Answers; false when the connection ends with it.
fn answer<S: Read + Write>(
    socket: &mut S,
    seen: &Seen,
    model: &str,
    reply: &str,
    state: &(Mutex<State>, Condvar),
) -> io::Result<bool> {
    let prompt = seen.body["messages"].as_array().and_then(|all| all.last()).map(|last| last["content"].clone());
    let prompt = prompt.as_ref().and_then(Value::as_str).unwrap_or_default();
    let streamed = seen.body["stream"] == true;
    match model {
        "e401" => error(socket, 401, "Incorrect API key provided: sk-prov********.", "invalid_api_key"),
        "e403" => error(socket, 403, "Project `proj_x` does not have access to this model.", "model_not_found"),
        "e429" => write_all(
            socket,
            "HTTP/1.1 429 Too Many Requests\r\nretry-after: 7\r\ncontent-type: application/json\r\ncontent-length: 66\r\nset-cookie: a=b\r\n\r\n{\"error\":{\"message\":\"slow down\",\"type\":\"requests\",\"code\":\"limit\"}} ",
        ),
        "e500" => error(socket, 500, "The server had an error.", "server_error"),
        "error-echo" => error(socket, 400, &format!("Invalid prompt: {prompt}"), "invalid_prompt"),
        "error-key" => {
            let key = seen.head.lines().find_map(|line| line.strip_prefix("authorization: Bearer ")).unwrap_or_default();
            error(socket, 400, &format!("Your key {key} may not do this."), "forbidden")
        }
        "html" => body(socket, 200, "text/html", "<html>It works!</html>"),
        "html-error" => body(socket, 404, "text/html", &format!("<html>not found: {prompt}</html>")),
        "bad-json" => body(socket, 200, "application/json", &format!("{{\"choices\":[{{\"message\":\"{prompt}\"")),
        "redirect" => {
            write_all(socket, "HTTP/1.1 307 Temporary Redirect\r\nlocation: https://example.com/\r\ncontent-length: 0\r\n\r\n")
        }
        "not-http" => write_all(socket, "SSH-2.0-OpenSSH_9.2\r\n\r\n").map(|_| false),
        "hang" => {
            wait_for_cancel(socket, state);
            Ok(false)
        }
        "cut-body" => {
            let text = completion(seen, reply, true).to_string();
            let half = &text[..text.len() / 2];
            write_all(
                socket,
                &format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{half}", text.len()),
            )
            .map(|_| false)
        }
        _ if seen.path.ends_with("/embeddings") => {
            let inputs = seen.body["input"].as_array().map_or(1, Vec::len);
            let data: Vec<Value> =
                (0..inputs).map(|index| json!({"object": "embedding", "index": index, "embedding": [0.25, -0.5, 1.0]})).collect();
            let answer =
                json!({"object": "list", "data": data, "model": model, "usage": {"prompt_tokens": 8, "total_tokens": 8}});
            body(socket, 200, "application/json", &answer.to_string())
        }
        _ if streamed => stream(socket, seen, model, reply, state),
        "close-after" => body(socket, 200, "application/json", &completion(seen, reply, true).to_string()).map(|_| false),
        _ => body(socket, 200, "application/json", &completion(seen, reply, model != "no-usage").to_string()),
    }
}

fn completion(seen: &Seen, reply: &str, usage: bool) -> Value {
    let message = if seen.body["tools"].is_array() {
        json!({"role": "assistant", "content": null, "refusal": null, "tool_calls": [{
            "id": "call_1", "type": "function",
            "function": {"name": seen.body["tools"][0]["function"]["name"], "arguments": "{\"city\":\"Paris\"}"}}]})
    } else {
        json!({"role": "assistant", "content": reply, "refusal": null})
    };
    let reason = if seen.body["tools"].is_array() { "tool_calls" } else { "stop" };
    let mut answer = json!({
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1_700_000_000, "model": seen.body["model"],
        "choices": [{"index": 0, "message": message, "logprobs": null, "finish_reason": reason}],
        "service_tier": "default", "system_fingerprint": "fp_1"});
    if usage {
        answer["usage"] = json!({"prompt_tokens": 9, "completion_tokens": 12, "total_tokens": 21,
            "prompt_tokens_details": {"cached_tokens": 0}, "completion_tokens_details": {"reasoning_tokens": 0}});
    }
    answer
}

fn stream<S: Read + Write>(
    socket: &mut S,
    seen: &Seen,
    model: &str,
    reply: &str,
    state: &(Mutex<State>, Condvar),
) -> io::Result<bool> {
    write_all(socket, "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n")?;
    let with_usage = seen.body["stream_options"]["include_usage"] == true && model != "no-usage";
    let chunk = |choices: Value, usage: Value| {
        let mut chunk = json!({"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1_700_000_000,
            "model": seen.body["model"], "choices": choices});
        if with_usage {
            chunk["usage"] = usage;
        }
        format!("data: {chunk}\n\n")
    };
    let delta = |delta: Value, reason: Value| json!([{"index": 0, "delta": delta, "logprobs": null, "finish_reason": reason}]);
    send_chunk(socket, &chunk(delta(json!({"role": "assistant", "content": ""}), Value::Null), Value::Null))?;
    let (first, rest) = reply.split_at(reply.len() / 2);
    if seen.body["tools"].is_array() {
        let name = &seen.body["tools"][0]["function"]["name"];
        let call = json!({"tool_calls": [{"index": 0, "id": "call_1", "type": "function", "function": {"name": name, "arguments": "{\"city\":"}}]});
        send_chunk(socket, &chunk(delta(call, Value::Null), Value::Null))?;
        let more = json!({"tool_calls": [{"index": 0, "function": {"arguments": "\"Paris\"}"}}]});
        send_chunk(socket, &chunk(delta(more, Value::Null), Value::Null))?;
    } else {
        send_chunk(socket, &chunk(delta(json!({"content": first}), Value::Null), Value::Null))?;
    }
    match model {
        "hang-stream" => {
            wait_for_cancel(socket, state);
            return Ok(false);
        }
        "cut-stream" => return Ok(false),
        "tick-stream" => {
            while !released(state) {
                send_chunk(socket, &chunk(delta(json!({"content": "tick "}), Value::Null), Value::Null))?;
            }
        }
        // Never silent for long, and never done.
        "drip" => loop {
            thread::sleep(Duration::from_millis(100));
            send_chunk(socket, &chunk(delta(json!({"content": "."}), Value::Null), Value::Null))?;
        },
        "bad-sse" => return send_chunk(socket, "<html>gateway error</html>\n\n").map(|()| false),
        "bad-sse-json" => {
            return send_chunk(socket, &format!("data: {{\"choices\":[{{\"delta\":{{\"content\":\"{rest}\n\n")).map(|()| false);
        }
        "error-event" | "error-event-key" => {
            let key = seen.head.lines().find_map(|line| line.strip_prefix("authorization: Bearer ")).unwrap_or_default();
            let quoted = if model == "error-event-key" { format!(" Your key is {key}.") } else { String::new() };
            let error =
                json!({"error": {"message": format!("The server had an error.{quoted}"), "type": "server_error", "code": null}});
            send_chunk(socket, &format!("data: {error}\n\n"))?;
            return write_all(socket, "0\r\n\r\n");
        }
        _ => {}
    }
    if !seen.body["tools"].is_array() {
        send_chunk(socket, &chunk(delta(json!({"content": rest}), Value::Null), Value::Null))?;
    }
    let reason = if seen.body["tools"].is_array() { "tool_calls" } else { "stop" };
    send_chunk(socket, &chunk(delta(json!({}), json!(reason)), Value::Null))?;
    if with_usage {
        send_chunk(socket, &chunk(json!([]), json!({"prompt_tokens": 9, "completion_tokens": 12, "total_tokens": 21})))?;
    }
    if model != "no-done" {
        send_chunk(socket, "data: [DONE]\n\n")?;
    }
    write_all(socket, "0\r\n\r\n")
}

/// Whether streams that tick may end, after a moment if they may not.
fn released(state: &(Mutex<State>, Condvar)) -> bool {
    let state_now = state.0.lock().expect("state");
    state.1.wait_timeout_while(state_now, TICK, |state| !state.released).expect("state").0.released
}

/// Says nothing until the other side closes.
fn wait_for_cancel<S: Read>(socket: &mut S, state: &(Mutex<State>, Condvar)) {
    let mut block = [0; 1024];
    while let Ok(1..) = socket.read(&mut block) {}
    state.0.lock().expect("state").cancelled += 1;
    state.1.notify_all();
}

fn error<S: Write>(socket: &mut S, status: u16, message: &str, code: &str) -> io::Result<bool> {
    let text = json!({"error": {"message": message, "type": "invalid_request_error", "param": null, "code": code}}).to_string();
    body(socket, status, "application/json", &text)
}

fn body<S: Write>(socket: &mut S, status: u16, media_type: &str, text: &str) -> io::Result<bool> {
    let head = format!(
        "HTTP/1.1 {status} X\r\ncontent-type: {media_type}\r\nset-cookie: session=1\r\ncontent-length: {}\r\n\r\n",
        text.len()
    );
    write_all(socket, &(head + text))
}

fn send_chunk<S: Write>(socket: &mut S, text: &str) -> io::Result<()> {
    write_all(socket, &format!("{:x}\r\n{text}\r\n", text.len())).map(drop)
}

fn write_all<S: Write>(socket: &mut S, text: &str) -> io::Result<bool> {
    socket.write_all(text.as_bytes())?;
    socket.flush()?;
    Ok(true)
}

/// An address that refuses connections.
#[must_use]
pub fn closed_port() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address")
}

/// An address that takes no connection and refuses none: the queue of its listener is full, and nobody empties it.
pub struct FullPort {
    pub address: SocketAddr,
    _listener: TcpListener,
    _waiting: Vec<TcpStream>,
}

impl FullPort {
    #[must_use]
    pub fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        // A second listen(2) changes the length of the queue; Linux lets one more than that wait.
        rustix::net::listen(&listener, 0).expect("a short queue");
        let address = listener.local_addr().expect("an address");
        let try_connect = || TcpStream::connect_timeout(&address, Duration::from_millis(300)).ok();
        let waiting: Vec<_> = std::iter::from_fn(try_connect).take(16).collect();
        assert!(waiting.len() < 16, "the queue is full now");
        Self { address, _listener: listener, _waiting: waiting }
    }
}

impl Default for FullPort {
    fn default() -> Self {
        Self::new()
    }
}

/// Whether anything listens at `address`.
#[must_use]
pub fn is_open(address: SocketAddr) -> bool {
    TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_ok()
}
