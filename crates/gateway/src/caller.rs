//! Who is answered: a client of HTTP, or one of WebSocket, who gets the same answers as messages.

use std::io;

use lethe_content::ContentBuf;
use lethe_http1::{Response, ServerConn, WebSocketConn};
use lethe_tls::Socket;
use lethe_wire::responses::websocket;

/// A client's connection while a request of it is served.
pub(crate) enum Caller<'c> {
    Http(&'c mut ServerConn<Socket>),
    WebSocket(&'c mut WebSocketConn<Socket>),
}

impl Caller<'_> {
    /// Answers with a whole body. Over WebSocket only errors are answered so, since every answer there is a stream.
    pub(crate) async fn respond(&mut self, response: Response<'_>, body: &[u8]) -> io::Result<()> {
        match self {
            Self::Http(connection) => connection.respond(response, body).await,
            Self::WebSocket(connection) => {
                connection.stage(&[websocket::error(response.status, body).expose()]);
                connection.send().await
            }
        }
    }

    /// Begins a stream. What its head says has no place in a message.
    pub(crate) fn start(&mut self, response: Response<'_>) {
        if let Self::Http(connection) = self {
            connection.start(response);
        }
    }

    /// Sends whole events of a stream, and gives their block back before the client takes its time.
    pub(crate) async fn events(&mut self, events: &mut ContentBuf) -> io::Result<()> {
        match self {
            Self::Http(connection) => connection.chunk_of(events).await,
            Self::WebSocket(connection) => {
                websocket::messages(events.expose(), &mut |message| connection.stage(&[message]));
                events.release();
                connection.send().await
            }
        }
    }

    /// Ends a stream cleanly, with its last events.
    pub(crate) async fn finish(&mut self, events: &mut ContentBuf) -> io::Result<()> {
        match self {
            Self::Http(connection) => connection.finish(events.expose()).await,
            Self::WebSocket(_) => self.events(events).await,
        }
    }

    /// Resolves when the client has gone, while an answer is being waited for.
    pub(crate) async fn gone(&mut self) {
        match self {
            Self::Http(connection) => connection.gone().await,
            Self::WebSocket(connection) => connection.gone().await,
        }
    }
}
