//! Asking a provider or node: a connection from the pool or the dialer, TLS, the request, and the answer's head.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use lethe_content::ContentBuf;
use lethe_http1::{ClientConn, ClientError, ResponseHead, within};
use lethe_providers::{Call, Credential};
use lethe_tls::{Socket, TlsError, TlsStream};
use lethe_types::{Clock, Failure, SystemClock};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::budget::{Purse, Share};
use crate::catalogue::{Shown, Upstream};
use crate::idle::Idle;
use crate::outgoing::Ask;
use crate::pool::Pool;
use crate::shared::{NotReady, Shared};
use crate::view::{AtHand, View};

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
    /// When the answer must be over.
    deadline: Instant,
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
        let deadline = Instant::now() + upstream.total;
        let late = if upstream.total < upstream.first_byte { Failure::TimeoutTotal } else { Failure::TimeoutFirstByte };
        let limit = upstream.first_byte.min(upstream.total);
        timeout(limit, self.exchange(upstream, ask, deadline)).await.unwrap_or(Err(late))
    }

    async fn exchange(self: &Rc<Self>, upstream: Arc<Upstream>, ask: Ask, deadline: Instant) -> Result<Answering, Failure> {
        let request = write(&upstream, &ask).ok_or(Failure::Internal)?;
        if let Some(mut connection) = self.pool.take(upstream.unique) {
            match exchange(&mut connection, &request, &ask).await {
                Ok(head) => return Ok(self.answering(head, connection, upstream, deadline)),
                // The server closed an idle connection as this request left: it has not been read, so ask anew once.
                Err(ClientError::NoAnswer) => {}
                Err(error) => return Err(failure(error)),
            }
        }
        let mut connection = ClientConn::new(self.connect(&upstream).await?);
        let head = exchange(&mut connection, &request, &ask).await.map_err(failure)?;
        Ok(self.answering(head, connection, upstream, deadline))
    }

    fn answering(
        self: &Rc<Self>,
        head: ResponseHead,
        connection: ClientConn<Socket>,
        upstream: Arc<Upstream>,
        deadline: Instant,
    ) -> Answering {
        Answering { head, deadline, connection, upstream, upstreams: Rc::clone(self) }
    }

    async fn connect(&self, upstream: &Upstream) -> Result<Socket, Failure> {
        timeout(upstream.connect, self.connect_now(upstream)).await.unwrap_or(Err(Failure::TimeoutConnect))
    }

    async fn connect_now(&self, upstream: &Upstream) -> Result<Socket, Failure> {
        let socket = self.shared.dialer.dial(upstream.endpoint).await?;
        let socket = TcpStream::from_std(socket.into()).map_err(|_| Failure::Connect)?;
        let Some((config, name)) = &upstream.tls else { return Ok(Socket::Plain(socket)) };
        match TlsStream::connect(socket, Arc::clone(config), name.clone()).await {
            Ok(stream) => Ok(Socket::Tls(Box::new(stream))),
            Err(TlsError::Io) => Err(Failure::Connect),
            Err(TlsError::Protocol) => Err(Failure::Tls),
        }
    }
}

/// The bytes that leave first: the head, and the body with it unless that is large.
fn write(upstream: &Upstream, ask: &Ask) -> Option<ContentBuf> {
    let pieces: Vec<&[u8]> = ask.edits.pieces(ask.body.expose()).filter(|piece| !piece.is_empty()).collect();
    let beta: Vec<&str> = ask.beta.iter().map(String::as_str).collect();
    let call = Call {
        dialect: upstream.dialect,
        api: ask.api,
        rules: upstream.rules.for_api(ask.api)?,
        model: &ask.model,
        stream: ask.stream,
        host: &upstream.host_header,
        base_path: &upstream.base_path,
        credential: match &upstream.credential {
            // Routing has left it out.
            Shown::Awaited => return None,
            Shown::None => Credential::None,
            Shown::Bearer(token) => Credential::Bearer(token.expose()),
            Shown::Key(key) => Credential::Key(key.expose()),
            Shown::Aws { access_key_id, secret_access_key, session_token } => Credential::Aws {
                access_key_id,
                secret_access_key: secret_access_key.expose(),
                session_token: session_token.as_ref().map(lethe_confine::secret::Secret::expose),
            },
        },
        now: SystemClock.now(),
        beta: &beta,
        version: ask.version,
        batch: ask.batch,
        body: &pieces,
    };
    let length = ask.edits.length(ask.body.len());
    let joined = length <= JOINED;
    let mut request = lethe_providers::head(&call, if joined { length } else { 0 })?;
    if joined {
        pieces.iter().for_each(|piece| request.extend(piece));
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
        let (idle, left) = (self.upstream.idle, self.deadline.saturating_duration_since(Instant::now()));
        if left.is_zero() {
            return Err(Failure::TimeoutTotal);
        }
        match within(idle.min(left), self.connection.read_some(out)).await {
            Ok(Ok(more)) => Ok(more),
            Ok(Err(error)) => Err(failure(error)),
            Err(_) if left < idle => Err(Failure::TimeoutTotal),
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
        let quotes = |secret: &lethe_confine::secret::Secret| lethe_wire::answer::quotes(text, secret.expose());
        match &self.upstream.credential {
            Shown::Awaited | Shown::None => false,
            Shown::Bearer(secret) | Shown::Key(secret) => quotes(secret),
            Shown::Aws { secret_access_key, session_token, .. } => {
                quotes(secret_access_key) || session_token.as_ref().is_some_and(quotes)
            }
        }
    }

    /// Keeps the connection for another request, if it can be.
    pub(crate) fn done(self) {
        if self.connection.is_reusable() {
            self.upstreams.pool.put(self.upstream.unique, self.connection);
        }
    }
}
