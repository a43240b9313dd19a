//! `GET /openapi.json`: what this API is, for tools that make clients of it.

use lethe_http1::{Response, ServerConn};
use lethe_tls::Socket;

use crate::answer::After;

/// Answers with the document, to whoever asks: it is the same everywhere.
pub(crate) async fn answer(connection: &mut ServerConn<Socket>) -> After {
    let response = Response { status: 200, content_type: "application/json", ..Response::default() };
    match connection.respond(response, DOCUMENT).await {
        Ok(()) => After::GoOn,
        Err(_) => After::Close,
    }
}

const DOCUMENT: &[u8] = b"{}";
