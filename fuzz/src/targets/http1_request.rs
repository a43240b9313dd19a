//! A connection's requests are the same whatever pieces they come in, and two readers of one agree where it ends.

use std::time::Duration;

use super::{Cuts, Peer, block_on};
use lethe_http1::{BodyError, HeadError, RequestHead, ServerConn, parse_request};

const BODY_LIMIT: u64 = 1 << 16;

#[derive(Debug, PartialEq, Eq)]
enum Seen {
    BadBody(BodyError),
    BadHead(HeadError),
    End,
    Request { method: String, path: String, query: Option<String>, keeps: bool, body: Vec<u8> },
}

fn serve(text: &[u8], cuts: Option<Cuts>) -> Vec<Seen> {
    let mut conn = ServerConn::new(Peer::new(text, cuts), Duration::from_secs(60));
    let mut seen = Vec::new();
    block_on(async {
        loop {
            let head = match conn.read_head().await {
                Ok(Some(head)) => head,
                Ok(None) => break seen.push(Seen::End),
                Err(error) => break seen.push(Seen::BadHead(error)),
            };
            look(&head);
            match conn.read_body(&head, BODY_LIMIT).await {
                Ok(body) => seen.push(Seen::Request {
                    method: head.method().to_owned(),
                    path: head.path().to_owned(),
                    query: head.query().map(str::to_owned),
                    keeps: head.head.keep_alive,
                    body: body.expose().to_vec(),
                }),
                Err(error) => break seen.push(Seen::BadBody(error)),
            }
            if !head.head.keep_alive {
                break;
            }
        }
    });
    seen
}

fn look(head: &RequestHead) {
    assert!(head.path().starts_with('/') && head.path().is_ascii());
    assert!(!head.method().is_empty());
    for name in ["host", "content-length", "transfer-encoding", "authorization"] {
        for value in head.headers().all(name) {
            assert!(!value.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)), "a value holds no line end");
        }
    }
    assert!(head.headers().all("content-length").count() + head.headers().all("transfer-encoding").count() <= 1);
}

/// One input.
pub fn run(input: &[u8]) {
    let Some((cuts, text)) = Cuts::split_off(input) else { return };
    if let Ok(head) = parse_request(text) {
        look(&head);
    }
    assert_eq!(serve(text, None), serve(text, Some(cuts)));
}
