//! Rows of responses over WebSocket: what is asked of each provider, one message after the other on one connection, and what comes of it.

use std::time::Duration;

use lethe_testkit::websocket::{WebSocket, frame};
use serde_json::{Value, json};

use crate::PANIC;
use crate::formats::{About, Format};
use crate::operations::{OVERSIZED, Run};
use crate::rows::{Row, TRANSLATED};

/// What one message carries.
struct Asked<'a> {
    outcome: &'a str,
    model: &'a str,
    about: About,
}

impl Run<'_> {
    fn socket(&mut self, row: &Row, label: &str) -> WebSocket {
        let mut marks = self.found.row(format!("{} {label}", row.id));
        let headers: Vec<(&str, String)> =
            ["x-note", "cookie", "user-agent"].into_iter().map(|name| (name, marks.at(name))).collect();
        let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        WebSocket::open(self.lethe.client(), &row.path, &headers)
    }

    /// Sends one message, changed by `change`.
    fn create(&mut self, socket: &mut WebSocket, row: &Row, asked: &Asked<'_>, change: &dyn Fn(&mut Value, String)) {
        let label = format!("{} {}", row.id, asked.outcome);
        self.provider.set_reply(&format!("{0} and {0}", self.found.row(label.clone()).at("completion")));
        let mut marks = self.found.row(label);
        let model = format!("{}-{}", asked.model, marks.at("model"));
        let mut body = Format::Responses.body(&model, asked.about, &mut marks);
        change(&mut body, marks.at("changed"));
        socket.create(body);
    }

    /// The answer, which ends with an error of one of these statuses, or with none where 200 is among them.
    fn told(&mut self, socket: &mut WebSocket, row: &Row, outcome: &str, allowed: &[u64]) {
        let events = socket.answer();
        let last = events.last().cloned().unwrap_or_default();
        let status = last["status"].as_u64().unwrap_or(200);
        if !allowed.contains(&status) {
            self.surprises.push(format!("{} {outcome}: {last}", row.id));
        }
        *self.statuses.entry(u16::try_from(status).expect("a status")).or_default() += 1;
        let heard = Value::Array(events).to_string();
        self.calls += usize::from(heard.contains("\"look\""));
        self.heard.extend(heard.into_bytes());
    }

    /// Every row of one operation.
    pub(crate) fn sockets(&mut self, row: &Row) {
        let targets = if row.alias { &Format::Responses.targets()[..1] } else { Format::Responses.targets() };
        for target in targets {
            let mut socket = self.socket(row, &format!("handshake at {target}"));
            for (outcome, behaviour, about, stream, _) in TRANSLATED {
                if !stream {
                    continue;
                }
                let (outcome, model) = (format!("{outcome} at {target}"), format!("{target}/{behaviour}"));
                self.create(&mut socket, row, &Asked { outcome: &outcome, model: &model, about: *about }, &|_, _| {});
                self.told(&mut socket, row, &outcome, &[200, 400, 500, 502]);
            }
            self.sockets.push((format!("{} at {target}", row.id), socket));
        }
        if !row.alias {
            self.socket_refusals(row);
            self.socket_ends(row);
        }
    }

    fn socket_refusals(&mut self, row: &Row) {
        let mut socket = self.socket(row, "refusals");
        type Change<'a> = &'a dyn Fn(&mut Value, String);
        let changes: [(&str, u64, Change<'_>); 6] = [
            ("wrong type", 400, &|body, mark| body["input"] = json!({ "unexpected": mark })),
            ("retention conflict", 400, &|body, mark| body["previous_response_id"] = json!(mark)),
            ("unsupported field", 400, &|body, mark| body[&mark] = json!(mark)),
            ("lane", 400, &|body, mark| body["stream_id"] = json!(mark)),
            ("warm-up", 400, &|body, _| body["generate"] = json!(false)),
            ("stream", 200, &|body, _| body["stream"] = json!(false)),
        ];
        for (outcome, status, change) in changes {
            self.create(&mut socket, row, &Asked { outcome, model: "openai/text", about: About::Text }, change);
            self.told(&mut socket, row, outcome, &[status]);
        }
        self.create(&mut socket, row, &Asked { outcome: "unknown model", model: "nobody/text", about: About::Text }, &|_, _| {});
        self.told(&mut socket, row, "unknown model", &[404]);
        for (outcome, kind) in [("other event", "response.steer"), ("no event", "a.b")] {
            let mark = self.found.row(format!("{} {outcome}", row.id)).at("prompt");
            socket.send(&json!({"type": kind, "input": mark}).to_string());
            self.told(&mut socket, row, outcome, &[400]);
        }
        let mark = self.found.row(format!("{} malformed", row.id)).at("malformed");
        socket.send(&format!("{{\"input\":\"{mark}\","));
        self.told(&mut socket, row, "malformed", &[400]);
        // A ping's own text, and a message in pieces.
        let mark = self.found.row(format!("{} ping", row.id)).at("ping");
        socket.raw(&frame(0x89, mark.as_bytes()));
        assert_eq!(socket.frame(), Some((10, mark.into_bytes())));
        let mark = self.found.row(format!("{} pieces", row.id)).at("prompt");
        let text = json!({"type": "response.create", "model": "openai/text", "input": mark}).to_string();
        let (first, rest) = text.as_bytes().split_at(text.len() / 2);
        socket.raw(&[frame(0x01, first), frame(0x80, rest)].concat());
        self.told(&mut socket, row, "pieces", &[200]);
        self.sockets.push((format!("{} refusals", row.id), socket));
    }

    /// What ends a connection.
    fn socket_ends(&mut self, row: &Row) {
        let mark = self.found.row(format!("{} oversized", row.id)).at("oversized");
        let mut socket = self.socket(row, "oversized");
        socket.send(&mark.repeat(OVERSIZED / 32));
        self.told(&mut socket, row, "oversized", &[413]);
        assert_eq!(socket.closed(), Some(1009));
        for (outcome, first, more, code) in
            [("binary", 0x82, "", 1003), ("broken frame", 0xc1, "", 1002), ("not UTF-8", 0x81, "\u{fffd}", 1007)]
        {
            let mark = self.found.row(format!("{} {outcome}", row.id)).at("prompt");
            let mut bytes = mark.into_bytes();
            bytes.extend(more.as_bytes().first());
            let mut socket = self.socket(row, outcome);
            socket.raw(&frame(first, &bytes));
            assert_eq!(socket.closed(), Some(code), "{outcome}");
        }
        for behaviour in ["hang", "stall"] {
            let (asked, outcome) = (self.provider.seen().len(), format!("client gone, {behaviour}"));
            let mut socket = self.socket(row, &outcome);
            let model = format!("openai/text-{behaviour}");
            self.create(&mut socket, row, &Asked { outcome: &outcome, model: &model, about: About::All }, &|_, _| {});
            assert!(self.provider.seen_within(asked + 1, Duration::from_secs(10)), "{outcome}");
            if behaviour == "stall" {
                socket.event();
            }
        }
        let mark = self.found.row(format!("{} client gone in its own message", row.id)).at("prompt");
        let mut socket = self.socket(row, "client gone in its own message");
        socket.raw(&frame(0x01, mark.as_bytes()));
        drop(socket);
        let mut socket = self.socket(row, "panic");
        let asked = Asked { outcome: "panic", model: "openai/text", about: About::All };
        self.create(&mut socket, row, &asked, &|body, _| body["user"] = json!(PANIC));
        assert_eq!(socket.closed(), None, "the panic ended its connection");
    }

    /// While it waits, what is looked for later is in the gateway's memory: a message that is being answered, one of which a part has come, and
    /// one that waits for its turn.
    pub(crate) fn waiting_sockets(&mut self, row: &Row) -> Vec<WebSocket> {
        let asked = self.provider.seen().len();
        let mut open = self.socket(row, "open");
        self.create(&mut open, row, &Asked { outcome: "open", model: "openai/text-hang", about: About::All }, &|_, _| {});
        assert!(self.provider.seen_within(asked + 1, Duration::from_secs(10)));
        let mark = self.found.row(format!("{} open", row.id)).at("part of a message");
        let mut part = self.socket(row, "open");
        part.raw(&frame(0x01, mark.as_bytes()));
        // Once it answers, it has read what came before.
        part.raw(&frame(0x89, b""));
        assert_eq!(part.frame(), Some((10, Vec::new())));
        vec![open, part]
    }
}
