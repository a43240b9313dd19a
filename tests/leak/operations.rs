//! Every operation that `/openapi.json` lists, through every outcome, to every provider that can be asked for it: then nothing of it anywhere,
//! with the connections open, and again with all of them closed.

use std::collections::{BTreeMap, BTreeSet};
use std::thread::sleep;
use std::time::{Duration, Instant};

use lethe_testkit::client::{Answer, Client};
use lethe_testkit::lethe::Lethe;
use lethe_testkit::pki::Pki;
use lethe_testkit::provider::Provider;
use lethe_testkit::websocket::{WebSocket, frame};
use serde_json::{Value, json};

use crate::formats::{About, Format, with_bad_picture, with_document};
use crate::places::{Found, memory, memory_is_readable, sinks};
use crate::providers::setup;
use crate::rows::{Operations, Row, TRANSLATED, operations};
use crate::{GRACE, PANIC};

/// More than a body may have.
pub(crate) const OVERSIZED: usize = 1_200_000;
/// The run so far.
pub(crate) struct Run<'a> {
    pub(crate) lethe: &'a Lethe,
    pub(crate) provider: &'a Provider,
    pub(crate) found: Found,
    /// Connections that are to be shown open after the scan.
    open: Vec<(String, Client)>,
    /// The same for those that speak WebSocket.
    pub(crate) sockets: Vec<(String, WebSocket)>,
    /// What each answer said of itself, for the counts at the end.
    pub(crate) statuses: BTreeMap<u16, usize>,
    fallbacks: usize,
    pub(crate) calls: usize,
    /// What clients were told.
    pub(crate) heard: Vec<u8>,
    /// Rows that came out otherwise than they had to.
    pub(crate) surprises: Vec<String>,
}

fn stays_open(answer: &Answer) -> bool {
    answer.complete && answer.headers.get("connection").is_none_or(|value| value != "close")
}

impl Run<'_> {
    fn connect(&self) -> Client {
        self.lethe.client()
    }

    /// Sends `body` for the model `target/behaviour-…`, in whose name something stands, too. Further headers carry more.
    fn send(
        &mut self,
        client: &mut Client,
        row: &Row,
        label: &str,
        model: &str,
        body: &dyn Fn(&mut Found, &str, &str) -> String,
    ) {
        let label = format!("{} {label}", row.id);
        let mut marks = self.found.row(label.clone());
        let model = format!("{model}-{}", marks.at("model"));
        let headers: Vec<(&str, String)> = ["x-note", "cookie", "user-agent", "traceparent", "x-forwarded-for"]
            .into_iter()
            .map(|name| (name, marks.at(name)))
            .collect();
        let mut headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        headers.push(("content-type", "application/json"));
        self.provider.set_reply(&format!("{0} and {0}", self.found.row(label.clone()).at("completion")));
        let mut path = row.path.replace("{model}", &model.replace('/', "%2F"));
        // A stream of Gemini's is an array of JSON otherwise.
        if row.format == Format::StreamGenerate && label.contains("everything") {
            path += "?alt=sse";
        }
        let body = body(&mut self.found, &label, &model);
        client.send("POST", &path, &headers, body.as_bytes());
    }

    /// Keeps the connection, if the gateway does.
    fn keep(&mut self, label: String, client: Client, answer: &Answer) {
        if stays_open(answer) {
            self.open.push((label, client));
        }
    }

    fn answered(&mut self, label: &str, answer: &Answer, allowed: &[u16]) {
        if !allowed.contains(&answer.status) {
            self.surprises.push(format!("{label}: {}: {}", answer.status, answer.text()));
        }
        *self.statuses.entry(answer.status).or_default() += 1;
        self.heard.extend_from_slice(&answer.body);
        self.fallbacks += usize::from(answer.headers.get("lethe-attempts").is_some_and(|attempts| attempts == "2"));
    }

    /// The rows of one target, on one connection as far as it goes.
    fn target(&mut self, row: &Row, target: &str) {
        let mut kept = None;
        for (outcome, behaviour, about, stream, allowed) in TRANSLATED {
            let chats = row.format.chats();
            let streamed = row.format == Format::StreamGenerate;
            if !chats && (*about != About::Text || *behaviour == "think")
                || *stream && !row.format.streams()
                || streamed && !stream
                // What a count or a vector is made of has no middle.
                || row.alias && !matches!(*outcome, "text" | "stream" | "provider error" | "provider error, stream")
                // The scripted provider looks at no model there.
                || matches!(row.format, Format::Count | Format::CountGemini | Format::Moderations) && behaviour.starts_with("error")
            {
                continue;
            }
            // Of Mistral's thoughts nothing is read; the scripted vectors know no errors where a provider has its own format for them.
            let vectors =
                matches!(row.format, Format::Batch | Format::Embed | Format::Embeddings) && behaviour.starts_with("error");
            if *behaviour == "think" && target == "mistral" || vectors && matches!(target, "gemini" | "ollama") {
                continue;
            }
            let label = format!("{outcome} at {target}");
            let mut client = kept.take().unwrap_or_else(|| self.connect());
            self.send(&mut client, row, &label, &format!("{target}/{behaviour}"), &|found, label, model| {
                let mut body = row.format.body(model, *about, &mut found.row(label));
                if *stream && !row.format.is_gemini() {
                    body["stream"] = json!(true);
                }
                body.to_string()
            });
            let answer = client.answer();
            self.answered(&format!("{} {label}", row.id), &answer, allowed);
            self.calls += usize::from(*behaviour == "tool" && answer.text().contains("look"));
            kept = stays_open(&answer).then_some(client);
        }
        self.open.extend(kept.map(|client| (format!("{} at {target}", row.id), client)));
    }

    /// What does not depend on the provider, or needs only one.
    fn refusals(&mut self, row: &Row) {
        let format = row.format;
        let model = format!("{}/text", format.targets()[0]);
        let plain = |found: &mut Found, label: &str, model: &str| format.body(model, About::Text, &mut found.row(label));
        type Change<'a> = Box<dyn Fn(&mut Found, &str, Value) -> Option<Value> + 'a>;
        let changes: Vec<(&str, &[u16], Change<'_>)> = vec![
            (
                "wrong type",
                &[400, 422],
                Box::new(|found, label, mut body| {
                    body[format.needed()] = json!({"unexpected": found.row(label).at("wrong type")});
                    Some(body)
                }),
            ),
            (
                "retention conflict",
                &[400],
                Box::new(|found, label, mut body| {
                    body[format.conflict()] = json!(found.row(label).at("retention conflict"));
                    Some(body)
                }),
            ),
            (
                "unsupported field",
                &[400],
                Box::new(|found, label, mut body| {
                    let (name, value) = (found.row(label).at("name of a field"), found.row(label).at("its value"));
                    body[name] = json!(value);
                    Some(body)
                }),
            ),
            ("document", &[200, 400], Box::new(|found, label, body| with_document(format, body, &mut found.row(label)))),
            ("bad media", &[400], Box::new(|found, label, body| with_bad_picture(format, body, &mut found.row(label)))),
        ];
        for (outcome, allowed, change) in changes {
            let mut client = self.connect();
            if change(&mut Found::default(), "", plain(&mut Found::default(), "", &model)).is_none() {
                continue;
            }
            self.send(&mut client, row, outcome, &model, &|found, label, model| {
                let body = plain(found, label, model);
                change(found, label, body).unwrap_or_default().to_string()
            });
            let answer = client.answer();
            self.answered(&format!("{} {outcome}", row.id), &answer, allowed);
            self.keep(format!("{} {outcome}", row.id), client, &answer);
        }
        let mut client = self.connect();
        self.send(&mut client, row, "malformed", &model, &|found, label, model| {
            let text = plain(found, label, model).to_string();
            format!("{}{}", &text[..text.len() - 1], found.row(label).at("malformed"))
        });
        let answer = client.answer();
        self.answered(&format!("{} malformed", row.id), &answer, &[400]);
        self.keep(format!("{} malformed", row.id), client, &answer);

        let mut client = self.connect();
        self.send(&mut client, row, "unknown model", "nobody/text", &|found, label, model| {
            plain(found, label, model).to_string()
        });
        let answer = client.answer();
        self.answered(&format!("{} unknown model", row.id), &answer, &[404]);
        self.keep(format!("{} unknown model", row.id), client, &answer);

        let mut client = self.connect();
        self.send(&mut client, row, "oversized", &model, &|found, label, _| {
            found.row(label).at("oversized").repeat(OVERSIZED / 32)
        });
        let answer = client.answer();
        self.answered(&format!("{} oversized", row.id), &answer, &[413]);

        self.heads(row, &model);
    }

    /// What is wrong before a body is read.
    fn heads(&mut self, row: &Row, model: &str) {
        for (outcome, status, name) in [
            ("query", 400, ""),
            ("media type", 415, "content-type"),
            ("encoding", 415, "content-encoding"),
            ("region", 400, "lethe-region"),
            ("provider's id", 0, "lethe-provider"),
            ("beta", 0, "anthropic-beta"),
        ] {
            let label = format!("{} {outcome}", row.id);
            let value = self.found.row(label.clone()).at(outcome);
            let mut path = row.path.replace("{model}", &model.replace('/', "%2F"));
            let mut headers = vec![("content-type", "application/json")];
            match name {
                "" => path += &format!("?q={value}"),
                "content-type" => headers = vec![(name, &value)],
                _ => headers.push((name, &value)),
            }
            let body = row.format.body(model, About::Text, &mut self.found.row(label.clone())).to_string();
            let mut client = self.connect();
            client.send("POST", &path, &headers, body.as_bytes());
            let answer = client.answer();
            let allowed = if status == 0 { vec![answer.status] } else { vec![status] };
            self.answered(&label, &answer, &allowed);
            self.keep(label, client, &answer);
        }
    }

    /// Who goes away: in its own body, before an answer, and in the middle of one.
    fn gone(&mut self, row: &Row) {
        let target = row.format.targets()[0];
        let asked = self.provider.seen().len();
        let mut client = self.connect();
        let stream = row.format.streams();
        let model = format!("{target}/text-{}", if stream { "stall" } else { "hang" });
        self.send(&mut client, row, "client gone", &model, &|found, label, model| {
            let mut body = row.format.body(model, About::Text, &mut found.row(label));
            if stream && !row.format.is_gemini() {
                body["stream"] = json!(true);
            }
            body.to_string()
        });
        assert!(self.provider.seen_within(asked + 1, Duration::from_secs(10)), "{} client gone", row.id);
        if stream {
            client.wait_for("\r\n\r\n");
        }
        drop(client);
        let mut client = self.connect();
        let text = self.found.row(format!("{} client gone in its own body", row.id)).at("prompt");
        let path = row.path.replace("{model}", &format!("{target}%2Ftext"));
        client.raw(
            format!(
                "POST {path} HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\n\
                 content-length: 9999\r\n\r\n{{\"a\":\"{text}",
                self.lethe.key()
            )
            .as_bytes(),
        );
    }

    /// A panic that formats the body on purpose.
    fn panic(&mut self, row: &Row) {
        let mut client = self.connect();
        let model = format!("{}/text", row.format.targets()[0]);
        self.send(&mut client, row, "panic", &model, &|found, label, model| {
            let mut body = row.format.body(model, About::All, &mut found.row(label));
            body["user"] = json!(PANIC);
            body.to_string()
        });
        assert!(client.try_answer().is_none(), "{}: the panic ended its connection", row.id);
    }

    /// Vectors as base64, which the gateway makes of numbers where the provider has no other.
    fn vectors(&mut self, row: &Row) {
        for target in row.format.targets().iter().filter(|_| row.format == Format::Embeddings) {
            let mut client = self.connect();
            let label = format!("base64 of {target}");
            self.send(&mut client, row, &label, &format!("{target}/text"), &|found, label, model| {
                let mut body = row.format.body(model, About::Text, &mut found.row(label));
                body["encoding_format"] = json!("base64");
                body.to_string()
            });
            let answer = client.answer();
            self.answered(&format!("{} {label}", row.id), &answer, &[200]);
            self.keep(label, client, &answer);
        }
    }

    fn fallback(&mut self, row: &Row) {
        let kind = match row.format {
            format if format.chats() => "chat",
            Format::Batch | Format::Embed | Format::Embeddings => "embeddings",
            Format::Completions => "completions",
            _ => return,
        };
        let mut client = self.connect();
        self.send(&mut client, row, "fallback", &format!("fallback-{kind}/text"), &|found, label, model| {
            row.format.body(model, About::Text, &mut found.row(label)).to_string()
        });
        let answer = client.answer();
        self.answered(&format!("{} fallback", row.id), &answer, &[200]);
        self.keep(format!("{} fallback", row.id), client, &answer);
    }

    /// Sends a request of each operation to a provider that says nothing, or says half of an answer and then nothing.
    fn all_at_once<'r>(&mut self, rows: &'r [Row], outcome: &str, quick: &str, behaviour: &str) -> Vec<(&'r Row, Client)> {
        let asked = self.provider.seen().len();
        let mut waiting = Vec::new();
        for row in rows.iter().filter(|row| behaviour == "hang" || row.format.streams()) {
            let mut client = self.connect();
            let model = format!("{quick}{}/text-{behaviour}", row.format.targets()[0]);
            self.send(&mut client, row, outcome, &model, &|found, label, model| {
                let mut body = row.format.body(model, About::All, &mut found.row(label));
                if behaviour == "stall" && !row.format.is_gemini() {
                    body["stream"] = json!(true);
                }
                body.to_string()
            });
            waiting.push((row, client));
        }
        assert!(self.provider.seen_within(asked + waiting.len(), Duration::from_secs(20)), "every silent provider is asked");
        waiting
    }

    fn silence(&mut self, rows: &[Row]) {
        let before = self.all_at_once(rows, "timeout", "quick-", "hang");
        let within = self.all_at_once(rows, "timeout in the middle", "quick-", "stall");
        for (row, mut client) in before {
            let answer = client.answer();
            self.answered(&format!("{} timeout", row.id), &answer, &[504]);
            self.keep(format!("{} timeout", row.id), client, &answer);
        }
        for (row, mut client) in within {
            let answer = client.answer();
            self.answered(&format!("{} timeout in the middle", row.id), &answer, &[200]);
            assert!(!answer.complete, "{}: no clean end", row.id);
        }
    }

    /// While they wait, what is looked for later is in the gateway's memory and in nobody else's: the control, for every place in each operation.
    /// Then all of these clients go.
    fn control(&mut self, rows: &[Row], sockets: &[Row]) {
        let all = std::mem::take(&mut self.found);
        let waiting = self.all_at_once(rows, "open", "", "hang");
        let waiting_sockets: Vec<_> = sockets.iter().flat_map(|row| self.waiting_sockets(row)).collect();
        let found = memory(self.lethe, &self.found.scanner());
        let in_gateway = |place: &str| found.iter().any(|find| find.starts_with("gateway:") && find.contains(place));
        for row in rows.iter().chain(sockets) {
            assert!(in_gateway(&format!(":{} open: ", row.id)), "control: an open {} is in memory", row.id);
        }
        for place in [
            "system",
            "prompt",
            "picture in base64",
            "tool",
            "arguments",
            "result",
            "text",
            "query",
            "suffix",
            "model",
            "part of a message",
        ] {
            assert!(in_gateway(&format!(" open: {place}@")), "control: {place}");
        }
        assert!(found.iter().all(|find| find.starts_with("gateway:")), "and in no other process's: {found:?}");
        drop((waiting, waiting_sockets));
        let waited = std::mem::replace(&mut self.found, all);
        self.found.join(waited);
    }
}

/// What is left once the time is over in which nothing may be.
fn left(lethe: &Lethe, found: &Found) -> BTreeSet<String> {
    sleep(GRACE);
    memory(lethe, &found.scanner())
}

#[test]
fn nothing_is_left_of_any_operation_and_outcome() {
    let pki = Pki::new();
    let provider = Provider::start(Some(pki.server()));
    let lethe = setup(&provider, &pki).start();
    let Operations { rows, sockets, plain } = operations(&lethe);
    assert!(rows.len() > 25 && sockets.len() == 2 && plain.len() > 5, "the document lists what is served");
    let mut run = Run {
        lethe: &lethe,
        provider: &provider,
        found: Found::default(),
        open: Vec::new(),
        sockets: Vec::new(),
        statuses: BTreeMap::new(),
        fallbacks: 0,
        calls: 0,
        heard: Vec::new(),
        surprises: Vec::new(),
    };
    let started = Instant::now();
    for row in &rows {
        let targets = if row.alias { &row.format.targets()[..1] } else { row.format.targets() };
        for target in targets {
            run.target(row, target);
        }
        if !row.alias {
            run.refusals(row);
            run.gone(row);
            run.fallback(row);
            run.vectors(row);
        }
        run.panic(row);
    }
    for row in &sockets {
        run.sockets(row);
    }
    for path in plain {
        let label = format!("GET {path}");
        let (mut client, mut marks) = (run.lethe.client(), run.found.row(label.clone()));
        let path = path.replace("{model}", &marks.at("model"));
        client.send("GET", &path, &[("x-note", &marks.at("x-note")), ("cookie", &marks.at("cookie"))], b"");
        let answer = client.answer();
        run.answered(&label, &answer, &[200, 404]);
        run.keep(label, client, &answer);
    }
    run.silence(&rows);
    run.control(&rows, &sockets);
    println!("{} rows in {:?}: {:?}", run.statuses.values().sum::<usize>(), started.elapsed(), run.statuses);
    assert!(run.surprises.is_empty(), "{}", run.surprises.join("\n"));
    assert!(run.fallbacks > 0, "a second provider was asked");
    assert!(run.calls > 50, "tools were called, with arguments that are looked for: {}", run.calls);

    run.found.said();
    let Run { found, open, sockets, heard, .. } = run;
    assert!(open.len() > 200, "{} connections are open", open.len());
    assert_eq!(left(&lethe, &found), BTreeSet::new(), "in memory, connections open");
    memory_is_readable(&lethe);
    for (label, client) in open {
        let mut client = client;
        client.send("GET", "/v1/models", &[], b"");
        let status = client.try_answer().map(|answer| answer.status);
        assert_eq!(status, Some(200), "{label}: the connection was open all the time");
    }
    for (label, mut socket) in sockets {
        socket.raw(&frame(0x89, b"open"));
        assert_eq!(socket.frame(), Some((10, b"open".to_vec())), "{label}: the connection was open all the time");
    }
    assert_eq!(left(&lethe, &found), BTreeSet::new(), "in memory, connections closed");
    let scanner = found.scanner();
    assert_eq!(sinks(&lethe, &scanner), BTreeSet::new(), "in files, the database and what was printed");
    let shown = [
        &["records", "--json"][..],
        &["metrics"],
        &["diagnose"],
        &["diagnose", "--json"],
        &["posture", "--json"],
        &["key", "list"],
        &["provider", "list"],
    ];
    for arguments in shown {
        let output = lethe.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        assert!(!output.stdout.is_empty(), "{arguments:?} says something");
        assert_eq!(scanner.bytes(&[output.stdout, output.stderr].concat()), BTreeSet::new(), "{arguments:?}");
    }
    for path in ["/livez", "/readyz"] {
        let answer = Client::connect(&lethe.probes(), None).get(path);
        assert_eq!(scanner.bytes(&answer.body), BTreeSet::new(), "{path}");
    }
    // Controls: what was sent to providers and what came back is what was looked for.
    let heard = scanner.bytes(&heard);
    for place in ["completion", "schema, and arguments of a call", "prompt", "thoughts", "vector in decimals", "vector in base64"]
    {
        assert!(heard.iter().any(|label| label.ends_with(place)), "control: {place} was told to a client");
    }
    let sent: Vec<u8> = provider.seen().into_iter().flat_map(|seen| [seen.head.into_bytes(), seen.raw].concat()).collect();
    let seen = scanner.bytes(&sent);
    for place in ["schema, and arguments of a call", "document in base64", "file name", "model"] {
        assert!(seen.iter().any(|label| label.ends_with(&format!(": {place}"))), "control: {place} was sent to a provider");
    }
}
