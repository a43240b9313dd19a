//! A gateway's side of one connection to control.
//!
//! Two halves run side by side in one task, so that neither waits for the other: one sends the hello, every unacknowledged
//! record, new ones as they come, and a heartbeat; the other takes acknowledgements and hands everything else to the caller.
//!
//! A record leaves at once when nothing left just before it. Under load records are gathered for [`GATHER`]: one wake-up, one write and
//! one commit then serve many of them, and nobody waits for them but a reserve, which does not wait itself.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::counts::{Counts, Teller};
use crate::courier::{Courier, Load};
use crate::decoder::Decoder;
use crate::frame::{Down, FrameError, Level};
use crate::outbox::Outbox;
use crate::{HEARTBEAT_SECONDS, SILENCE_SECONDS};

/// Between two writes under load.
const GATHER: Duration = Duration::from_millis(10);
const READ_BYTES: usize = 16 * 1024;

/// Why a connection to control ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkError {
    /// Control acknowledged what was never sent.
    Ack,
    /// Control closed the connection.
    Closed,
    /// Control sent something that is no frame.
    Frame(FrameError),
    /// The connection broke.
    Io(io::ErrorKind),
    /// Nothing was heard for [`SILENCE_SECONDS`].
    Silent,
}

impl From<FrameError> for LinkError {
    fn from(error: FrameError) -> Self {
        Self::Frame(error)
    }
}

impl From<io::Error> for LinkError {
    fn from(error: io::Error) -> Self {
        Self::Io(error.kind())
    }
}

/// Runs the link over `io` until it ends, and says why it did. `counts` are told when they have changed, and `levels`, how the providers
/// are, with each heartbeat if they have. `build` is the hash of the gateway's build; `sink` is given every frame
/// but `Ack`, in order, heartbeats too (so that the caller knows when it last heard from control).
///
/// To end it from outside, drop the future: records that were not acknowledged stay in the outbox for the next connection.
pub async fn run<Io, Levels, Sink>(io: Io, outbox: &Outbox, counts: &Counts, levels: Levels, build: u64, sink: Sink) -> LinkError
where
    Io: AsyncRead + AsyncWrite,
    Levels: Fn() -> Vec<Level>,
    Sink: FnMut(Down),
{
    let (reader, writer) = tokio::io::split(io);
    tokio::select! {
        error = receive(reader, outbox, sink) => error,
        error = send(writer, outbox, Teller::new(counts, levels), build) => error,
    }
}

async fn receive<Io, Sink>(mut reader: ReadHalf<Io>, outbox: &Outbox, mut sink: Sink) -> LinkError
where
    Io: AsyncRead,
    Sink: FnMut(Down),
{
    let mut decoder = Decoder::<Down>::new();
    let mut piece = vec![0; READ_BYTES];
    loop {
        let count = match timeout(Duration::from_secs(SILENCE_SECONDS), reader.read(&mut piece)).await {
            Err(_) => return LinkError::Silent,
            Ok(Err(error)) => return error.into(),
            Ok(Ok(0)) => return LinkError::Closed,
            Ok(Ok(count)) => count,
        };
        decoder.push(&piece[..count]);
        piece[..count].fill(0);
        loop {
            match decoder.next_frame() {
                Err(error) => return error.into(),
                Ok(None) => break,
                Ok(Some(Down::Ack { sequence })) => {
                    if outbox.ack(sequence).is_err() {
                        return LinkError::Ack;
                    }
                }
                Ok(Some(frame)) => sink(frame),
            }
        }
    }
}

async fn send<Io, Levels>(mut writer: WriteHalf<Io>, outbox: &Outbox, mut teller: Teller<'_, Levels>, build: u64) -> LinkError
where
    Io: AsyncWrite,
    Levels: Fn() -> Vec<Level>,
{
    let mut next_beat = Instant::now();
    let mut courier = Courier::new(outbox, build);
    let mut bytes = Vec::new();
    loop {
        // Whatever else is said: control closes a link that it hears nothing of.
        let beat = Instant::now() >= next_beat;
        if beat {
            next_beat = Instant::now() + Duration::from_secs(HEARTBEAT_SECONDS);
        }
        let load = match courier.load(outbox, beat, &mut bytes) {
            Ok(load) => load,
            Err(error) => return error.into(),
        };
        if let Err(error) = teller.load(beat, &mut bytes) {
            return error.into();
        }
        if bytes.is_empty() {
            tokio::select! {
                () = outbox.news() => {}
                () = sleep_until(next_beat) => {}
            }
            continue;
        }
        if let Err(error) = write(&mut writer, &bytes).await {
            return error.into();
        }
        bytes.clear();
        if load == Load::Last {
            tokio::select! {
                () = outbox.urgent() => {}
                () = sleep(GATHER) => {}
            }
        }
    }
}

async fn write<Io: AsyncWrite>(writer: &mut WriteHalf<Io>, bytes: &[u8]) -> io::Result<()> {
    writer.write_all(bytes).await?;
    writer.flush().await
}
