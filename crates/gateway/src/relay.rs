//! Passing a streamed answer: events as they come, joined into one write where several have arrived.

use lethe_content::ContentBuf;
use lethe_http1::Response;
use lethe_types::{Api, Failure};
use lethe_wire::conversation::Malformed;
use lethe_wire::openai::ChatStream;
use lethe_wire::passage::Passage;

use crate::answer::{self, Wish};
use crate::attempts::{self, Answered};
use crate::budget::{SMALL_BYTES, Share};
use crate::caller::Caller;
use crate::counts;
use crate::meter::{CLIENT_GONE, Meter, Units};
use crate::problem::Problem;
use crate::upstream::Answering;

/// What reads a provider's stream and writes the client's.
pub(crate) enum Stream {
    /// Chat completions as they are: the way of most requests.
    Chat(ChatStream),
    /// Everything else.
    Passage(Box<Passage>),
}

impl Stream {
    fn pass(&mut self, pending: &mut ContentBuf, out: &mut ContentBuf) -> Result<(), Malformed> {
        match self {
            Self::Chat(chat) => chat.pass(pending, out),
            Self::Passage(passage) => passage.pass(pending, out),
        }
    }

    fn end(&mut self, pending: &mut ContentBuf, out: &mut ContentBuf) -> Result<(), Malformed> {
        match self {
            Self::Chat(chat) => chat.end(out),
            Self::Passage(passage) => passage.end(pending, out),
        }
    }

    fn fail(&mut self, api: Api, problem: &Problem, out: &mut ContentBuf) {
        match self {
            Self::Chat(_) => problem.error().write_event(api, out),
            Self::Passage(passage) => passage.fail(api, &problem.error(), out),
        }
    }

    const fn done(&self) -> bool {
        match self {
            Self::Chat(chat) => chat.done,
            Self::Passage(passage) => passage.done,
        }
    }

    const fn failed(&self) -> bool {
        match self {
            Self::Chat(chat) => chat.failed,
            Self::Passage(passage) => passage.failed,
        }
    }

    fn held(&self) -> usize {
        match self {
            Self::Chat(_) => 0,
            Self::Passage(passage) => passage.held(),
        }
    }

    fn units(&self, prompt: u32) -> Units {
        let (usage, deltas) = match self {
            Self::Chat(chat) => (chat.usage, chat.deltas),
            Self::Passage(passage) => (passage.usage, passage.deltas),
        };
        answer::units(usage, prompt, deltas)
    }
}

/// How a stream ended, with its tokens so far in the meter.
pub(crate) enum Ended {
    /// Cleanly; the connection may go on.
    Clean,
    /// With an error that the client was shown, or without the client.
    Broken(u16),
}

/// Passes the answer to the client. `prompt` is the estimate of the prompt's tokens, should the provider not report them.
pub(crate) async fn stream(
    connection: &mut Caller<'_>,
    answered: Answered,
    wish: Wish,
    mut stream: Stream,
    prompt: u32,
    share: &mut Share,
    meter: &mut Meter,
) -> Ended {
    let Answered { mut answering, served, mut open, .. } = answered;
    let content_type = if wish.array { "application/json" } else { "text/event-stream" };
    let fields = served.fields();
    connection.start(Response { status: 200, content_type, fields: &fields, ..Response::default() });
    let (mut pending, mut out) = (ContentBuf::new(), ContentBuf::new());
    let base = share.bytes();
    let failure = loop {
        let read = tokio::select! {
            biased;
            read = answering.read_some(&mut pending) => read,
            () = connection.gone() => break Failure::ClientGone,
        };
        // Events are small. One that is not takes room like a body, and so does what is held back.
        if pending.len() + stream.held() > SMALL_BYTES && !share.holds_block(base, pending.capacity() + stream.held()) {
            meter.units = Some(stream.units(prompt));
            return broken(connection, stream, wish.api, &Problem::overloaded()).await;
        }
        let fault = match read {
            Ok(true) => stream.pass(&mut pending, &mut out).err().map(|_| Failure::Malformed),
            Ok(false) => stream.end(&mut pending, &mut out).err().map(|_| Failure::Cut),
            // The last line has passed: what becomes of the connection after it does not matter.
            Err(_) if stream.done() => None,
            // What had arrived before the fault is passed all the same.
            Err(failure) => match stream.pass(&mut pending, &mut out) {
                Ok(()) if stream.done() => None,
                _ => Some(failure),
            },
        };
        meter.units = Some(stream.units(prompt));
        if pending.is_empty() {
            pending.release();
        }
        // The provider's own words are for the one who caused them; the operator's credential is not.
        if stream.failed() && answering.quotes_credential(out.expose()) {
            out.clear();
            break Failure::ErrorInAnswer;
        }
        let ends = stream.done() && !stream.failed() && fault.is_none();
        if ends || !out.is_empty() {
            // The last event and the end of the answer leave together.
            let sent = if ends { connection.finish(&mut out).await } else { connection.events(&mut out).await };
            if sent.is_err() {
                break Failure::ClientGone;
            }
            meter.first_byte();
        }
        if let Some(failure) = fault {
            break failure;
        }
        if stream.failed() {
            // The provider's own error has been passed; after it there is no clean end.
            meter.failed(Failure::ErrorInAnswer);
            return Ended::Broken(502);
        }
        if ends {
            open.served();
            drain(answering).await;
            return Ended::Clean;
        }
    };
    meter.units = Some(stream.units(prompt));
    meter.failed(failure);
    attempts::broke(&mut open, failure, meter);
    if failure == Failure::ClientGone {
        return Ended::Broken(CLIENT_GONE);
    }
    broken(connection, stream, wish.api, &Problem::provider(failure)).await
}

/// An error event, and then no end: SDKs raise on the first, everybody else sees the second.
async fn broken(connection: &mut Caller<'_>, mut stream: Stream, api: Api, problem: &Problem) -> Ended {
    counts::told(problem);
    let mut event = ContentBuf::new();
    stream.fail(api, problem, &mut event);
    drop(connection.events(&mut event).await);
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
