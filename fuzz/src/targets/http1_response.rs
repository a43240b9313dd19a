//! An answer is the same whatever pieces it comes in, and a connection with bytes left over is not used again.

use super::{Cuts, Peer, block_on};
use lethe_content::ContentBuf;
use lethe_http1::{ClientConn, ClientError, parse_response};

type Answer = (Result<u16, ClientError>, Vec<u8>, Option<ClientError>);

fn ask(text: &[u8], cuts: Option<Cuts>) -> Answer {
    let mut conn = ClientConn::new(Peer::new(text, cuts));
    let mut body = ContentBuf::new();
    let (status, end) = block_on(async {
        conn.send(&[b"GET / HTTP/1.1\r\n", b"host: a\r\n\r\n"]).await.expect("this peer takes everything");
        let head = match conn.read_head().await {
            Ok(head) => head,
            Err(error) => return (Err(error), None),
        };
        assert!((200..600).contains(&head.status), "an interim answer is not the answer");
        loop {
            match conn.read_some(&mut body).await {
                Ok(true) => {}
                Ok(false) => return (Ok(head.status), None),
                Err(error) => return (Ok(head.status), Some(error)),
            }
        }
    });
    if status.is_err() || end.is_some() {
        assert!(!conn.is_reusable(), "nothing follows a failure");
    }
    (status, body.expose().to_vec(), end)
}

/// One input.
pub fn run(input: &[u8]) {
    let Some((cuts, text)) = Cuts::split_off(input) else { return };
    // Where there is a body, there is one way to tell its end.
    if let Ok(head) = parse_response(text)
        && !matches!(head.status, 100..=199 | 204 | 304)
    {
        assert!(head.headers().all("content-length").count() <= 1);
    }
    let (status, body, end) = ask(text, None);
    let (cut_status, cut_body, cut_end) = ask(text, Some(cuts));
    assert_eq!((status, end), (cut_status, cut_end));
    // A body that turns out to be malformed may have been passed on up to there, by piece.
    assert_eq!(body, cut_body);
}
