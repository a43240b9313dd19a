//! The switches: each does what some gateway was reported to do.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use nix::sys::signal::{SigSet, Signal, raise};

/// Every switch.
pub const ALL: &[&str] = &[
    "append-file",
    "base64-file",
    "buffer-not-wiped",
    "child-arguments",
    "client-gone-trace",
    "crash-dump",
    "cross-talk",
    "curl-line",
    "datagram",
    "deleted-open-file",
    "error-log",
    "file-name",
    "gzip-log",
    "keep-last",
    "lower-case-log",
    "metric-label",
    "parse-error-log",
    "redis-cache",
    "shared-memory",
    "span-attribute",
    "spool",
    "sqlite-deleted",
    "stream-log",
    "wrong-key-log",
];

/// One request with its answer.
pub struct Exchange<'a> {
    pub body: &'a [u8],
    /// With its head.
    pub answer: &'a [u8],
    /// The answer or the client ended early.
    pub cut: bool,
}

/// The switch that is on.
pub struct Leak {
    switch: String,
    address: Option<String>,
    kept: Mutex<Vec<u8>>,
    open: Mutex<Vec<File>>,
}

fn append(name: &str, bytes: &[u8]) {
    let mut file = OpenOptions::new().create(true).append(true).open(name).expect("a file");
    file.write_all(bytes).expect("a write");
}

fn pipe_to(command: &mut Command, bytes: &[u8]) -> Vec<u8> {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("a command");
    let mut stdin = child.stdin.take().expect("a pipe");
    let bytes = bytes.to_vec();
    let writer = std::thread::spawn(move || stdin.write_all(&bytes));
    let mut output = Vec::new();
    child.stdout.take().expect("a pipe").read_to_end(&mut output).expect("output");
    let _ = writer.join();
    let _ = child.wait();
    output
}

fn status(answer: &[u8]) -> u16 {
    std::str::from_utf8(answer.get(9..12).unwrap_or_default()).ok().and_then(|text| text.parse().ok()).unwrap_or(0)
}

impl Leak {
    pub fn start(switch: &str, address: Option<String>) -> Self {
        assert!(switch.is_empty() || ALL.contains(&switch), "one of {ALL:?}");
        Self { switch: switch.to_owned(), address, kept: Mutex::default(), open: Mutex::default() }
    }

    /// As crash reporters do: a dump of what is under way, whatever the kernel's own limit on cores says. Before any other thread is there.
    pub fn report_crashes(self: &Arc<Self>) {
        if !self.is("crash-dump") {
            return;
        }
        let abort = SigSet::from_iter([Signal::SIGABRT]);
        abort.thread_block().expect("a blocked signal");
        let leak = Arc::clone(self);
        std::thread::spawn(move || {
            abort.wait().expect("a signal");
            append(&format!("core.{}", std::process::id()), &leak.kept.lock().expect("a lock"));
            abort.thread_unblock().expect("an open signal");
            raise(Signal::SIGABRT).expect("an end");
        });
    }

    fn is(&self, switch: &str) -> bool {
        self.switch == switch
    }

    fn address(&self) -> &str {
        self.address.as_deref().expect("this switch needs an address")
    }

    /// A client that went before its request was whole.
    pub fn interrupted(&self, body: &[u8]) {
        if self.is("client-gone-trace") {
            eprintln!("client disconnected, partial body was {}", String::from_utf8_lossy(body));
        }
    }

    /// An answer of the proxy's own.
    pub fn early(&self, head: &[u8]) -> Option<Vec<u8>> {
        let path = String::from_utf8_lossy(head).split(' ').nth(1).unwrap_or_default().to_owned();
        let kept = || String::from_utf8_lossy(&self.kept.lock().expect("a lock")).into_owned();
        let text = match &*path {
            "/metrics" if self.is("metric-label") => format!("requests_total{{last=\"{}\"}} 1\n", kept().replace('"', "'")),
            "/metrics" => "requests_total 1\n".to_owned(),
            "/health" if self.is("cross-talk") => kept(),
            "/health" => "ok\n".to_owned(),
            _ => return None,
        };
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", text.len());
        Some((head + &text).into_bytes())
    }

    /// A whole request, before it is sent on.
    pub fn request(&self, head: &[u8], body: &[u8]) {
        match &*self.switch {
            "append-file" => append("requests.log", body),
            "buffer-not-wiped" => {
                let mut kept = self.kept.lock().expect("a lock");
                kept.extend_from_slice(body);
                // Empty, and yet all still there.
                kept.clear();
            }
            "child-arguments" => {
                let text = String::from_utf8_lossy(body).replace('\0', "");
                let cut: String = text.chars().take(4000).collect();
                // It goes on for a while, as a shell hook that hangs.
                let _ = Command::new("sh").args(["-c", "sleep 60", &cut]).stdin(Stdio::null()).spawn();
            }
            "curl-line" => println!("POST Request Sent: curl -d '{}'", String::from_utf8_lossy(body)),
            "datagram" => {
                let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
                let _ = socket.send_to(&body[..body.len().min(1200)], self.address());
            }
            "deleted-open-file" if body.len() > 20 => {
                let mut file = OpenOptions::new().create(true).append(true).open("spool-kept").expect("a file");
                file.write_all(body).expect("a write");
                fs::remove_file("spool-kept").expect("removed");
                self.open.lock().expect("a lock").push(file);
            }
            "file-name" => {
                let text = String::from_utf8_lossy(body).into_owned();
                let name: String = text.chars().filter(char::is_ascii_alphanumeric).take(200).collect();
                let _ = File::create(format!("upload-{name}"));
            }
            "keep-last" | "crash-dump" | "cross-talk" | "metric-label" => {
                let mut kept = self.kept.lock().expect("a lock");
                if !body.is_empty() {
                    *kept = body[..body.len().min(256 * 1024)].to_vec();
                }
            }
            "parse-error-log" if serde_json::from_slice::<serde_json::Value>(body).is_err() => {
                eprintln!("invalid JSON: {}", String::from_utf8_lossy(body));
            }
            "redis-cache" => {
                let mut redis = TcpStream::connect(self.address()).expect("redis");
                let command = format!("*3\r\n$3\r\nSET\r\n$5\r\ncache\r\n${}\r\n", body.len());
                redis.write_all(&[command.as_bytes(), body, b"\r\n"].concat()).expect("a write");
                let _ = redis.read(&mut [0; 64]);
            }
            "shared-memory" => append(&format!("/dev/shm/leaky-{}", std::process::id()), body),
            "span-attribute" => {
                let collector = std::env::var("OTEL_EXPORTER_OTLP_ENDPOINT").expect("a collector");
                let host = collector.trim_start_matches("http://").trim_end_matches('/').to_owned();
                let text = serde_json::to_string(&String::from_utf8_lossy(body)).expect("JSON");
                let span = format!(
                    r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{{"name":"chat","attributes":[{{"key":"gen_ai.prompt","value":{{"stringValue":{text}}}}}]}}]}}]}}]}}"#
                );
                let mut socket = TcpStream::connect(&host).expect("the collector");
                let head = format!(
                    "POST /v1/traces HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                    span.len()
                );
                socket.write_all((head + &span).as_bytes()).expect("a write");
                let _ = socket.read_to_end(&mut Vec::new());
            }
            // As nginx does with what does not fit its buffer: the file has no name any more when it is written.
            "spool" if body.len() > 16 * 1024 => {
                let mut file = OpenOptions::new().create(true).truncate(true).write(true).open("spool").expect("a file");
                fs::remove_file("spool").expect("removed");
                file.write_all(body).expect("a write");
            }
            "sqlite-deleted" => {
                let script = "import sqlite3,sys; c=sqlite3.connect('spend.db'); c.execute('pragma secure_delete=off'); c.execute('create table if not exists t(x)'); \
                     c.execute('insert into t values (?)',(sys.stdin.buffer.read(),)); c.commit(); c.execute('delete from t'); c.commit()";
                pipe_to(Command::new("python3").args(["-c", script]), body);
            }
            "wrong-key-log" => {
                if let Some(key) = crate::field(head, "authorization") {
                    append("auth.log", format!("rejected? {key}\n").as_bytes());
                }
            }
            _ => {}
        }
    }

    /// After the answer.
    pub fn exchange(&self, exchange: &Exchange<'_>) {
        let Exchange { body, answer, cut } = exchange;
        match &*self.switch {
            "crash-dump" => *self.kept.lock().expect("a lock") = Vec::new(),
            "base64-file" => append("bodies.b64", &pipe_to(Command::new("base64").arg("-w0"), body)),
            "client-gone-trace" if *cut => eprintln!("stream ended early: {}", String::from_utf8_lossy(answer)),
            "error-log" if status(answer) >= 400 => eprintln!("provider said: {}", String::from_utf8_lossy(answer)),
            "gzip-log" => append("requests.log.1.gz", &pipe_to(Command::new("gzip").arg("-c"), body)),
            "lower-case-log" => append("search.log", String::from_utf8_lossy(body).to_lowercase().as_bytes()),
            "stream-log" if answer.windows(6).any(|window| window == b"data: ") => append("stream.log", answer),
            _ => {}
        }
    }
}
