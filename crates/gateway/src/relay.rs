//! Passing a streamed answer: events as they come, joined into one write where several have arrived.

use std::time::Instant;

use lethe_content::ContentBuf;
use lethe_http1::{Response, ServerConn};
use lethe_tls::Socket;
use lethe_types::Failure;
use lethe_wire::openai::ChatStream;

use crate::budget::{SMALL_BYTES, Share};
use crate::counts;
use crate::meter::{CLIENT_GONE, Meter, Units};
use crate::problem::Problem;
use crate::upstream::Answering;

/// How a stream ended, with its tokens so far in the meter.
pub(crate) enum Ended {
    /// Cleanly; the connection may go on.
    Clean,
    /// With an error that the client was shown, or without the client.
    Broken(u16),
}

/// Passes the answer to the client. `prompt` is the estimate of the prompt's tokens, should the provider not report them.
pub(crate) async fn stream(
    connection: &mut ServerConn<Socket>,
    mut answering: Answering,
    mut chat: ChatStream,
    prompt: u32,
    deadline: Instant,
    share: &mut Share,
    meter: &mut Meter,
) -> Ended {
    connection.start(Response { status: 200, content_type: "text/event-stream", ..Response::default() });
    let (mut pending, mut out) = (ContentBuf::new(), ContentBuf::new());
    let base = share.bytes();
    let failure = loop {
        let read = tokio::select! {
            biased;
            read = answering.read_some(&mut pending) => read,
            () = connection.gone() => break Failure::ClientGone,
        };
        // Events are small. One that is not takes room like a body.
        if pending.len() > SMALL_BYTES && !share.holds_block(base, pending.capacity()) {
            meter.units = Some(units(&chat, prompt));
            return broken(connection, &Problem::overloaded()).await;
        }
        let fault = match read {
            Ok(true) if Instant::now() < deadline => chat.pass(&mut pending, &mut out).err().map(|_| Failure::Malformed),
            Ok(true) => Some(Failure::TimeoutTotal),
            Ok(false) => match chat.end() {
                Ok(last) => {
                    out.extend(last);
                    None
                }
                Err(_) => Some(Failure::Cut),
            },
            // The last line has passed: what becomes of the connection after it does not matter.
            Err(_) if chat.done => None,
            // What had arrived before the fault is passed all the same.
            Err(failure) => match chat.pass(&mut pending, &mut out) {
                Ok(()) if chat.done => None,
                _ => Some(failure),
            },
        };
        meter.units = Some(units(&chat, prompt));
        if pending.is_empty() {
            pending.release();
        }
        let ends = chat.done && !chat.failed && fault.is_none();
        if ends || !out.is_empty() {
            // The last event and the end of the answer leave together.
            let sent = if ends { connection.finish(out.expose()).await } else { connection.chunk_of(&mut out).await };
            if sent.is_err() {
                break Failure::ClientGone;
            }
            meter.first_byte();
        }
        if let Some(failure) = fault {
            break failure;
        }
        if chat.failed {
            // The provider's own error has been passed; after it there is no clean end.
            meter.failed(Failure::ErrorInAnswer);
            return Ended::Broken(502);
        }
        if ends {
            drain(answering).await;
            return Ended::Clean;
        }
    };
    meter.units = Some(units(&chat, prompt));
    meter.failed(failure);
    if failure == Failure::ClientGone {
        return Ended::Broken(CLIENT_GONE);
    }
    broken(connection, &Problem::provider(failure)).await
}

/// An error event, and then no end: SDKs raise on the first, everybody else sees the second.
async fn broken(connection: &mut ServerConn<Socket>, problem: &Problem) -> Ended {
    counts::told(problem);
    let mut event = ContentBuf::new();
    event.extend(b"data: ");
    event.extend(problem.body().expose());
    event.extend(b"\n\n");
    drop(connection.chunk(event.expose()).await);
    Ended::Broken(problem.status)
}

/// After the last event only the end of the body is due; a server that dawdles loses the connection.
async fn drain(mut answering: Answering) {
    let mut rest = ContentBuf::new();
    let end = async { while rest.len() < 4096 && answering.read_some(&mut rest).await == Ok(true) {} };
    if tokio::time::timeout(std::time::Duration::from_millis(100), end).await.is_ok() {
        answering.done();
    }
}

fn units(chat: &ChatStream, prompt: u32) -> Units {
    match chat.tokens {
        Some(tokens) => Units { input: tokens.input, output: tokens.output, reported: true },
        None => Units { input: prompt, output: chat.deltas, reported: false },
    }
}
