//! The way to a provider: its addresses, a connection, TLS. The limits are the dialer's and the gateway's.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lethe_config::{Provider, Scheme};
use lethe_confine::dialer::{Names, allowed};
use lethe_types::Failure as Code;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;

use super::certificate;
use super::report::Report;
use super::tap::Stream;

/// For resolution and all addresses together.
const DIAL: Duration = Duration::from_secs(10);
/// For one address while others are left.
const ADDRESS: Duration = Duration::from_secs(3);
const HANDSHAKE: Duration = Duration::from_secs(10);

/// The provider's addresses that the configuration allows.
pub(crate) async fn resolve(provider: &Provider, report: &mut Report) -> Result<Vec<IpAddr>, Code> {
    let mut step = report.begin("resolve");
    step.fact("host", &provider.base_url.host);
    let found = timeout_at(Instant::now() + DIAL, Names::from_system().addresses(&provider.base_url.host)).await;
    let Ok(found) = found else {
        return Err(report.end(step, Err("the name servers did not answer in time"), Code::TimeoutConnect));
    };
    for address in &found {
        let verdict =
            if allowed(*address, provider.allow_private_network) { "allowed" } else { "not allowed: private or special" };
        step.fact("address", &format!("{address} ({verdict})"));
    }
    let good: Vec<IpAddr> = found.iter().copied().filter(|address| allowed(*address, provider.allow_private_network)).collect();
    match (found.is_empty(), good.is_empty()) {
        (true, _) => Err(report.end(step, Err("the name does not resolve"), Code::Dns)),
        (false, true) => Err(report.end(step, Err("no address is allowed"), Code::Dns)),
        (false, false) => {
            report.good(step);
            Ok(good)
        }
    }
}

/// A connection to the first address that takes one.
pub(crate) async fn connect(provider: &Provider, addresses: &[IpAddr], report: &mut Report) -> Result<TcpStream, Code> {
    let mut step = report.begin("connect");
    let deadline = Instant::now() + DIAL;
    let (mut code, mut why) = (Code::Connect, "no address accepts".to_owned());
    for (position, address) in addresses.iter().enumerate() {
        let address = SocketAddr::new(*address, provider.base_url.port);
        let last = position + 1 == addresses.len();
        let until = if last { deadline } else { deadline.min(Instant::now() + ADDRESS) };
        (code, why) = match timeout_at(until, TcpStream::connect(address)).await {
            Ok(Ok(socket)) => {
                step.fact("connected", &address.to_string());
                // A socket that refuses works all the same.
                drop(socket.set_nodelay(true));
                report.good(step);
                return Ok(socket);
            }
            Ok(Err(error)) => (Code::Connect, format!("{address}: {error}")),
            Err(_) => (Code::TimeoutConnect, format!("{address}: no answer in time")),
        };
        step.fact("failed", &why);
    }
    Err(report.end(step, Err(&why), code))
}

/// TLS, where the base URL says so.
pub(crate) async fn protect(provider: &Provider, socket: TcpStream, report: &mut Report) -> Result<Stream, Code> {
    if provider.base_url.scheme == Scheme::Http {
        let mut step = report.begin("tls");
        step.fact("none", "base_url is http://");
        report.good(step);
        return Ok(Stream::Plain(socket));
    }
    let mut step = report.begin("tls");
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (Ok(config), Ok(name)) =
        (config(&provider.extra_roots, Arc::clone(&seen)), ServerName::try_from(provider.base_url.host.clone()))
    else {
        return Err(report.end(step, Err("TLS cannot be set up with this host and ca"), Code::Tls));
    };
    let connected = timeout_at(Instant::now() + HANDSHAKE, TlsConnector::from(Arc::new(config)).connect(name, socket)).await;
    if let Ok(Ok(stream)) = &connected {
        let session = stream.get_ref().1;
        step.fact("version", &session.protocol_version().map_or_else(String::new, |version| format!("{version:?}")));
        let suite = session.negotiated_cipher_suite().map_or_else(String::new, |suite| format!("{:?}", suite.suite()));
        step.fact("cipher", &suite);
    }
    for (position, der) in seen.lock().unwrap_or_else(PoisonError::into_inner).iter().enumerate() {
        let name = if position == 0 { "certificate" } else { "chain" };
        let shown = certificate::describe(der).unwrap_or_else(|| "not readable".to_owned());
        step.fact(name, &shown);
    }
    match connected {
        Ok(Ok(stream)) => {
            step.fact("trusted", "for this host, by the public web's roots or ca");
            report.good(step);
            Ok(Stream::Tls(Box::new(stream)))
        }
        Ok(Err(error)) => {
            // The gateway tells the two apart in the same way: by whether TLS itself objected.
            let code = if error.get_ref().is_some_and(|inner| inner.is::<Error>()) { Code::Tls } else { Code::Connect };
            let why = error.to_string();
            Err(report.end(step, Err(&why), code))
        }
        Err(_) => Err(report.end(step, Err("no handshake within 10 s"), Code::Tls)),
    }
}

type Seen = Arc<Mutex<Vec<CertificateDer<'static>>>>;

fn config(extra: &[Vec<u8>], seen: Seen) -> Result<ClientConfig, Error> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    for root in extra {
        roots.add(CertificateDer::from(root.clone()))?;
    }
    let inner = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
        .build()
        .map_err(|error| Error::General(error.to_string()))?;
    let verifier = Watching { inner, seen, provider: Arc::clone(&provider) };
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// The ordinary verifier, which decides everything; what the server showed is kept to be shown here, also when it is refused.
#[derive(Debug)]
struct Watching {
    inner: Arc<WebPkiServerVerifier>,
    seen: Seen,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Watching {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let shown = std::iter::once(end_entity).chain(intermediates).map(|der| der.clone().into_owned());
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = shown.collect();
        self.inner.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
