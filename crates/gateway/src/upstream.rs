//! Asking a provider or node: a connection from the pool or the dialer, TLS, the request, and the answer's head.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use lethe_content::ContentBuf;
use lethe_http1::{ClientConn, ClientError, ResponseHead, within};
use lethe_providers::openai;
use lethe_tls::{Socket, TlsError, TlsStream};
use lethe_types::{Failure, Operation};
use lethe_wire::edit::Edits;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::budget::{Purse, Share};
use crate::catalogue::Upstream;
use crate::idle::Idle;
use crate::pool::Pool;
use crate::shared::{NotReady, Shared};
use crate::view::{AtHand, View};

/// For a TLS handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Bodies up to this size leave in one write with their head.
const JOINED: usize = 64 * 1024;

/// One worker's way to providers.
pub(crate) struct Upstreams {
    pub(crate) shared: Arc<Shared>,
    pub(crate) pool: Pool,
    pub(crate) view: View,
    pub(crate) purse: Rc<Purse>,
    /// This worker's idle clients.
    pub(crate) idle: Arc<Idle>,
}

/// An answer whose head has arrived.
pub(crate) struct Answering {
    pub(crate) head: ResponseHead,
    connection: ClientConn<Socket>,
    upstream: Arc<Upstream>,
    upstreams: Rc<Upstreams>,
}

/// Why an answer could not be read to its end.
pub(crate) enum Unread {
    /// The provider failed, or the client is gone.
    Failure(Failure),
    /// Too much is in memory at once.
    Overloaded,
}

/// A request on its way: operation, the client's body with what is changed in it, and whether a stream is wanted.
pub(crate) struct Ask {
    pub(crate) operation: Operation,
    pub(crate) body: ContentBuf,
    pub(crate) edits: Edits,
    pub(crate) stream: bool,
}

impl Upstreams {
    pub(crate) fn new(shared: Arc<Shared>, idle: Arc<Idle>) -> Self {
        let purse = Purse::new(Arc::clone(&shared.budget));
        Self { shared, pool: Pool::default(), view: View::default(), purse, idle }
    }

    /// The catalogue, if this gateway may serve.
    pub(crate) fn catalogue(&self) -> Result<AtHand, NotReady> {
        self.view.catalogue(&self.shared)
    }

    /// Sends `ask` and waits for the answer's head, all within the upstream's first-byte limit. Dropping the future cancels.
    pub(crate) async fn ask(self: &Rc<Self>, upstream: Arc<Upstream>, ask: Ask) -> Result<Answering, Failure> {
        timeout(upstream.first_byte, self.exchange(upstream, ask)).await.unwrap_or(Err(Failure::TimeoutFirstByte))
    }

    async fn exchange(self: &Rc<Self>, upstream: Arc<Upstream>, ask: Ask) -> Result<Answering, Failure> {
        let request = write(&upstream, &ask).ok_or(Failure::Malformed)?;
        if let Some(mut connection) = self.pool.take(upstream.unique) {
            match exchange(&mut connection, &request, &ask).await {
                Ok(head) => return Ok(self.answering(head, connection, upstream)),
                // The server closed an idle connection as this request left: it has not been read, so ask anew once.
                Err(ClientError::NoAnswer) => {}
                Err(error) => return Err(failure(error)),
            }
        }
        let mut connection = ClientConn::new(self.connect(&upstream).await?);
        let head = exchange(&mut connection, &request, &ask).await.map_err(failure)?;
        Ok(self.answering(head, connection, upstream))
    }

    fn answering(self: &Rc<Self>, head: ResponseHead, connection: ClientConn<Socket>, upstream: Arc<Upstream>) -> Answering {
        Answering { head, connection, upstream, upstreams: Rc::clone(self) }
    }

    async fn connect(&self, upstream: &Upstream) -> Result<Socket, Failure> {
        let socket = self.shared.dialer.dial(upstream.endpoint).await?;
        let socket = TcpStream::from_std(socket.into()).map_err(|_| Failure::Connect)?;
        let Some((config, name)) = &upstream.tls else { return Ok(Socket::Plain(socket)) };
        match timeout(HANDSHAKE, TlsStream::connect(socket, Arc::clone(config), name.clone())).await {
            Ok(Ok(stream)) => Ok(Socket::Tls(Box::new(stream))),
            Ok(Err(TlsError::Io)) => Err(Failure::Connect),
            Ok(Err(TlsError::Protocol)) | Err(_) => Err(Failure::Tls),
        }
    }
}

/// The bytes that leave first: the head, and the body with it unless that is large.
fn write(upstream: &Upstream, ask: &Ask) -> Option<ContentBuf> {
    let target = openai::Target {
        host: &upstream.host_header,
        base_path: &upstream.base_path,
        bearer: upstream.bearer.as_ref().map(lethe_confine::secret::Secret::expose),
        stream: ask.stream,
    };
    let length = ask.edits.length(ask.body.len());
    let joined = length <= JOINED;
    let mut request = openai::request_head(&target, openai::path(ask.operation)?, length, if joined { length } else { 0 });
    if joined {
        ask.edits.apply(ask.body.expose(), &mut request);
    }
    Some(request)
}

async fn exchange(connection: &mut ClientConn<Socket>, request: &ContentBuf, ask: &Ask) -> Result<ResponseHead, ClientError> {
    let mut parts = vec![request.expose()];
    if ask.edits.length(ask.body.len()) > JOINED {
        parts.extend(ask.edits.pieces(ask.body.expose()));
    }
    connection.expect_stream(ask.stream);
    // A server may answer (413, 401) before it has taken everything: what it says is worth more than the broken write.
    drop(connection.send(&parts).await);
    connection.read_head().await
}

const fn failure(error: ClientError) -> Failure {
    match error {
        ClientError::Cut | ClientError::NoAnswer => Failure::Cut,
        ClientError::Malformed => Failure::Malformed,
    }
}

impl Answering {
    /// Appends what has arrived of the body to `out`, waiting for at least one byte; false at its end.
    pub(crate) async fn read_some(&mut self, out: &mut ContentBuf) -> Result<bool, Failure> {
        match within(self.upstream.idle, self.connection.read_some(out)).await {
            Ok(Ok(more)) => Ok(more),
            Ok(Err(error)) => Err(failure(error)),
            Err(_) => Err(Failure::TimeoutIdle),
        }
    }

    /// Reads the whole body, at most `limit` bytes, and as much as `share` can still grow by.
    pub(crate) async fn read_all(&mut self, limit: usize, share: &mut Share) -> Result<ContentBuf, Unread> {
        let mut body = ContentBuf::new();
        let request = share.bytes();
        while self.read_some(&mut body).await.map_err(Unread::Failure)? {
            if body.len() > limit {
                return Err(Unread::Failure(Failure::Malformed));
            }
            if !share.holds_block(request, body.capacity()) {
                return Err(Unread::Overloaded);
            }
        }
        Ok(body)
    }

    /// Whether `text` quotes the credential that was sent.
    pub(crate) fn quotes_credential(&self, text: &[u8]) -> bool {
        self.upstream.bearer.as_ref().is_some_and(|secret| lethe_wire::openai::quotes(text, secret.expose()))
    }

    /// Keeps the connection for another request, if it can be.
    pub(crate) fn done(self) {
        if self.connection.is_reusable() {
            self.upstreams.pool.put(self.upstream.unique, self.connection);
        }
    }
}
