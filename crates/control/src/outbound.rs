//! Requests that control sends to others itself, over HTTPS: one connection each, bounded in time and size. Redirects are not
//! followed, and no proxy is asked.

use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::Request;
use hyper::body::Bytes;
use hyper::header::{CONNECTION, CONTENT_LENGTH, HOST, USER_AGENT};
use hyper_util::rt::TokioIo;
use lethe_policy::TokenServer;
use lethe_types::{Failure, SecretBytes};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

/// For one request as a whole.
const WHOLE: Duration = Duration::from_secs(15);
/// For a connection to one address.
const ADDRESS: Duration = Duration::from_secs(3);
/// Longest answer.
const ANSWER_BYTES: usize = 64 * 1024;

/// Looks host names up. Control has no file system of its own to read `/etc/resolv.conf` in, so this is made before it starts.
pub trait Names: Send + Sync + 'static {
    /// Addresses of `host` that may be connected to; private ones only with `allow_private`. None when nobody knows one.
    fn addresses<'a>(&'a self, host: &'a str, allow_private: bool) -> Pin<Box<dyn Future<Output = Vec<IpAddr>> + Send + 'a>>;
}

/// What may be connected to, and who is believed.
#[derive(Clone, Default)]
pub struct Trust {
    /// Private, loopback and link-local addresses are allowed.
    pub allow_private: bool,
    /// Trust roots beside the public web's, DER.
    pub extra_roots: Vec<Vec<u8>>,
}

/// A request's method, fields and body.
pub(crate) struct Outgoing {
    pub(crate) fields: Vec<(&'static str, String)>,
    pub(crate) body: SecretBytes,
}

/// An answer as it came.
pub(crate) struct Answered {
    pub(crate) status: u16,
    pub(crate) body: SecretBytes,
}

/// A way to servers outside.
#[derive(Clone)]
pub struct Outbound {
    names: Arc<dyn Names>,
}

impl Outbound {
    /// Names are looked up by `names`.
    #[must_use]
    pub fn new(names: Arc<dyn Names>) -> Self {
        Self { names }
    }

    /// Posts to a server, whatever it answers.
    pub(crate) async fn post(&self, server: &TokenServer, trust: &Trust, outgoing: Outgoing) -> Result<Answered, Failure> {
        timeout(WHOLE, self.exchange(server, trust, outgoing)).await.unwrap_or(Err(Failure::TimeoutTotal))
    }

    async fn exchange(&self, server: &TokenServer, trust: &Trust, outgoing: Outgoing) -> Result<Answered, Failure> {
        let socket = self.connect(server, trust.allow_private).await?;
        if !server.tls {
            return send(socket, server, outgoing).await;
        }
        let name = ServerName::try_from(server.host.clone()).map_err(|_| Failure::Tls)?;
        let connector = TlsConnector::from(Arc::new(client_config(&trust.extra_roots)?));
        let stream = connector.connect(name, socket).await.map_err(|error| {
            let by_tls = error.get_ref().is_some_and(|inner| inner.is::<rustls::Error>());
            if by_tls { Failure::Tls } else { Failure::Connect }
        })?;
        send(stream, server, outgoing).await
    }

    async fn connect(&self, server: &TokenServer, allow_private: bool) -> Result<TcpStream, Failure> {
        let mut failure = Failure::Dns;
        for address in self.names.addresses(&server.host, allow_private).await {
            match timeout(ADDRESS, TcpStream::connect(SocketAddr::new(address, server.port))).await {
                Ok(Ok(socket)) => return Ok(socket),
                Ok(Err(_)) => failure = Failure::Connect,
                Err(_) => failure = Failure::TimeoutConnect,
            }
        }
        Err(failure)
    }
}

fn client_config(extra_roots: &[Vec<u8>]) -> Result<ClientConfig, Failure> {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    for root in extra_roots {
        roots.add(CertificateDer::from(root.as_slice())).map_err(|_| Failure::Tls)?;
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().map_err(|_| Failure::Tls)?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

async fn send<Io>(io: Io, server: &TokenServer, outgoing: Outgoing) -> Result<Answered, Failure>
where
    Io: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let url = server.url();
    let host = url.split('/').nth(2).unwrap_or_default();
    let mut request = Request::post(server.path.as_str())
        .header(HOST, host)
        .header(CONNECTION, "close")
        .header(CONTENT_LENGTH, outgoing.body.expose().len())
        .header(USER_AGENT, concat!("lethe/", env!("CARGO_PKG_VERSION")));
    for (name, value) in &outgoing.fields {
        request = request.header(*name, value);
    }
    let body = Full::new(Bytes::from_owner(Wiped(outgoing.body)));
    let request = request.body(body).map_err(|_| Failure::Internal)?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(io)).await.map_err(|_| Failure::Cut)?;
    let connection = AbortOnDrop(tokio::spawn(connection));
    let response =
        sender.send_request(request).await.map_err(|error| if error.is_parse() { Failure::Malformed } else { Failure::Cut })?;
    let status = response.status().as_u16();
    let body = Limited::new(response.into_body(), ANSWER_BYTES).collect().await.map_err(|_| Failure::Cut)?.to_bytes();
    drop(connection);
    Ok(Answered { status, body: SecretBytes::new(body.into()) })
}

/// A secret that is sent, and wiped when it was.
struct Wiped(SecretBytes);

impl AsRef<[u8]> for Wiped {
    fn as_ref(&self) -> &[u8] {
        self.0.expose()
    }
}

/// A task that ends with whoever waits for what it does.
struct AbortOnDrop<T>(tokio::task::JoinHandle<T>);

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}
