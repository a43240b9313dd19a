//! One request and its answer on a connection.

use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{Load, Random};
use crate::answer::Answer;
use crate::problem::{Problem, While as _};
use crate::tls;

const READ_BYTES: usize = 32 * 1024;
/// For the one answer of [`ask_once`].
const ONCE: Duration = Duration::from_secs(20);

/// A connection in the clear or with TLS.
pub(super) trait Io: AsyncRead + AsyncWrite + Unpin {}
impl<T: AsyncRead + AsyncWrite + Unpin> Io for T {}

/// Times of one answer, from the request's first byte.
pub(super) struct Times {
    pub(super) first_byte: Duration,
    pub(super) total: Duration,
}

/// Opens a connection.
pub(super) async fn dial(load: &Load) -> Result<Box<dyn Io>, String> {
    let socket = TcpStream::connect(load.address).await.map_err(|error| format!("connect: {error}"))?;
    socket.set_nodelay(true).map_err(|error| format!("connect: {error}"))?;
    let Some(connector) = &load.tls else { return Ok(Box::new(socket)) };
    let name = ServerName::try_from(tls::NAME).map_err(|_| "the certificate's name".to_owned())?;
    let encrypted = connector.connect(name, socket).await.map_err(|error| format!("TLS: {error}"))?;
    Ok(Box::new(encrypted))
}

/// The bytes of a request, in which each turn shows another key.
pub(super) struct Request {
    bytes: Vec<u8>,
    key_at: usize,
}

impl Request {
    pub(super) fn new(load: &Load) -> Self {
        let (bytes, key_at) = load.ask.request(load.keys.first().map_or("none", String::as_str), &load.headers);
        Self { bytes, key_at }
    }

    pub(super) fn turn(&mut self, load: &Load, random: &Random) -> &[u8] {
        if let Some(key) = load.keys.get(random.below(load.keys.len()))
            && let Some(place) = self.bytes.get_mut(self.key_at..self.key_at + key.len())
        {
            place.copy_from_slice(key.as_bytes());
        }
        &self.bytes
    }
}

/// Sends `request` and reads the answer; `at_piece` sees the body each time that something of it has come.
pub(super) async fn exchange<S: Io + ?Sized>(
    socket: &mut S,
    answer: &mut Answer,
    request: &[u8],
    load: &Load,
    mut at_piece: impl FnMut(&[u8]),
) -> Result<Times, String> {
    answer.restart();
    let start = Instant::now();
    socket.write_all(request).await.map_err(|error| format!("send: {error}"))?;
    socket.flush().await.map_err(|error| format!("send: {error}"))?;
    let mut first_byte = None;
    loop {
        answer.inbuf.reserve(READ_BYTES);
        match socket.read_buf(&mut answer.inbuf).await {
            Ok(0) => {
                let end = &answer.body[answer.body.len().saturating_sub(300)..];
                let end = String::from_utf8_lossy(end);
                return Err(format!("the connection was closed before the answer ended (status {}): {end}", answer.status));
            }
            Ok(_) => {}
            Err(error) => return Err(format!("receive: {error}")),
        }
        let done = answer.take().map_err(|_| "the answer is not HTTP/1.1 with keep-alive".to_owned())?;
        // Of the body: a proxy may pass the head alone on, or keep it until there is something to say.
        if !answer.body.is_empty() {
            first_byte.get_or_insert_with(|| start.elapsed());
            at_piece(&answer.body);
        }
        if done {
            break;
        }
    }
    expected(answer, load)?;
    Ok(Times { first_byte: first_byte.unwrap_or_default(), total: start.elapsed() })
}

/// Whether this is the answer that was asked for.
pub(super) fn expected(answer: &Answer, load: &Load) -> Result<(), String> {
    if answer.status == 200 && load.ask.accepts(&answer.body, load.rewritten) {
        return Ok(());
    }
    // The mock's answers are public; an error body says what to fix.
    let text: String = String::from_utf8_lossy(&answer.body).chars().take(300).collect();
    Err(format!("status {} with {} bytes: {text}", answer.status, answer.body.len()))
}

/// One request on a connection of its own, for those who wait for a target to come up.
pub(crate) fn ask_once(load: &Load) -> Result<(), Problem> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let asked = runtime.block_on(async {
        tokio::time::timeout(ONCE, async {
            let mut socket = dial(load).await?;
            let mut request = Request::new(load);
            let bytes = request.turn(load, &Random::new(1));
            exchange(&mut *socket, &mut Answer::new(), bytes, load, |_| {}).await
        })
        .await
    });
    asked.doing("wait for an answer")?.map(drop).map_err(Problem::new)
}
