//! How whoever listens somewhere speaks, as a handshake of the audit's own shows it. Nothing is sent over it.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use rustls::client::ResolvesClientCert;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, Error, ProtocolVersion, SignatureScheme};

use super::certificate::not_after;
use super::client::Broken;
use super::http::{TICK, Wait};
use super::target::Target;

/// For a server to object to a handshake without a certificate, which it may do only after the client has ended it (RFC 8446, 4.4.2).
const OBJECTION: Duration = Duration::from_millis(500);

/// Whether a server wants to know who its client is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientCertificate {
    NotAsked,
    Asked,
    /// Asked for, and who has none is refused.
    Required,
}

/// What was agreed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handshake {
    pub version: &'static str,
    pub suite: String,
    pub client: ClientCertificate,
    /// Of the server's own certificate.
    pub not_after: Option<Timestamp>,
}

/// How somebody speaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Spoken {
    /// HTTP in the clear.
    Plain,
    /// A connection comes about, and then nothing.
    Silent,
    Tls(Handshake),
    /// Neither TLS 1.2 or newer nor HTTP.
    Unknown,
    Unreachable,
}

/// Takes every certificate: what is asked here is how it is spoken, not to whom.
#[derive(Debug)]
struct Anybody(Vec<SignatureScheme>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.clone()
    }
}

/// Has no certificate, and remembers that it was asked for one.
#[derive(Debug, Default)]
struct Asked(AtomicBool);

impl ResolvesClientCert for Asked {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.0.store(true, Ordering::Release);
        None
    }

    fn has_certs(&self) -> bool {
        true
    }
}

/// How the target's own address is spoken to. One that is in the clear has answered so, or there would be no audit.
#[must_use]
pub fn spoken_by(target: &Target, limit: Duration) -> Spoken {
    let Some((_, name)) = &target.tls else { return Spoken::Plain };
    let seen = target.addresses().into_iter().map(|address| spoken_at(address, Some(name.clone()), limit));
    seen.into_iter().find(|spoken| *spoken != Spoken::Unreachable).unwrap_or(Spoken::Unreachable)
}

/// How whoever listens there speaks; asked for by name if there is one.
#[must_use]
pub fn spoken_at(address: SocketAddr, name: Option<ServerName<'static>>, limit: Duration) -> Spoken {
    let name = name.unwrap_or_else(|| ServerName::IpAddress(address.ip().into()));
    match handshake(address, name, limit) {
        Ok(Ok(handshake)) => Spoken::Tls(handshake),
        // Who waits for the end of a line says nothing to a hello.
        Ok(Err(_)) if answers_in_the_clear(address, limit) => Spoken::Plain,
        Ok(Err(Broken::TimedOut)) => Spoken::Silent,
        Ok(Err(_)) => Spoken::Unknown,
        Err(_) => Spoken::Unreachable,
    }
}

fn connect(address: SocketAddr, limit: Duration) -> io::Result<TcpStream> {
    let socket = TcpStream::connect_timeout(&address, limit)?;
    socket.set_read_timeout(Some(TICK))?;
    socket.set_write_timeout(Some(limit))?;
    Ok(socket)
}

/// Why it does not come to one is told apart from having no connection at all.
fn handshake(address: SocketAddr, name: ServerName<'static>, limit: Duration) -> io::Result<Result<Handshake, Broken>> {
    let mut socket = connect(address, limit)?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let anybody = Anybody(provider.signature_verification_algorithms.supported_schemes());
    let asked = Arc::new(Asked::default());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(anybody))
        .with_client_cert_resolver(Arc::clone(&asked) as _);
    let mut tls = ClientConnection::new(Arc::new(config), name).map_err(io::Error::other)?;
    let wait = Wait::of(limit);
    let mut refused = !advance(&mut tls, &mut socket, &wait, |tls| tls.is_handshaking());
    let (Some(version), Some(suite)) = (tls.protocol_version(), tls.negotiated_cipher_suite()) else {
        return Ok(Err(if wait.check().is_err() { Broken::TimedOut } else { Broken::Tls }));
    };
    let was_asked = asked.0.load(Ordering::Acquire);
    if was_asked && !refused {
        refused = !advance(&mut tls, &mut socket, &Wait::of(OBJECTION), |_| true);
    }
    Ok(Ok(Handshake {
        version: match version {
            ProtocolVersion::TLSv1_2 => "TLS 1.2",
            ProtocolVersion::TLSv1_3 => "TLS 1.3",
            _ => "another version of TLS",
        },
        suite: suite.suite().as_str().unwrap_or("a suite without a name").to_owned(),
        client: match (was_asked, refused) {
            (false, _) => ClientCertificate::NotAsked,
            (true, false) => ClientCertificate::Asked,
            (true, true) => ClientCertificate::Required,
        },
        not_after: tls.peer_certificates().and_then(|chain| not_after(chain.first()?)),
    }))
}

/// Goes on while `wanted`, until the time is over; false if the other side breaks it off.
fn advance(
    tls: &mut ClientConnection,
    socket: &mut TcpStream,
    wait: &Wait<'_>,
    wanted: impl Fn(&ClientConnection) -> bool,
) -> bool {
    while wanted(tls) {
        match tls.complete_io(socket) {
            Ok((0, 0)) if !tls.is_handshaking() => return false,
            Ok(_) => {}
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {}
            Err(_) => return false,
        }
        if wait.check().is_err() {
            return !tls.is_handshaking();
        }
    }
    true
}

fn answers_in_the_clear(address: SocketAddr, limit: Duration) -> bool {
    use std::io::{Read as _, Write as _};
    let Ok(mut socket) = connect(address, limit) else { return false };
    let mut start = [0; 5];
    let asked = socket.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    asked.is_ok() && socket.set_read_timeout(Some(limit)).is_ok() && socket.read_exact(&mut start).is_ok() && start == *b"HTTP/"
}

#[cfg(test)]
mod tests {
    #![expect(clippy::panic, clippy::unwrap_used, reason = "a failed expectation is a failed test")]

    use std::net::{Ipv4Addr, TcpListener};

    use rustls::server::WebPkiClientVerifier;
    use rustls::{RootCertStore, ServerConfig};

    use super::super::provider::Provider;
    use super::*;

    const LIMIT: Duration = Duration::from_secs(5);

    /// A server that wants no certificate of its clients, or does.
    fn server(mutual: bool, version: &'static rustls::SupportedProtocolVersion) -> Arc<ServerConfig> {
        let mut params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.not_after = rcgen::date_time_ymd(2031, 2, 3);
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider)).with_protocol_versions(&[version]).unwrap();
        let builder = if mutual {
            let mut roots = RootCertStore::empty();
            roots.add(certificate.der().clone()).unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
            builder.with_client_cert_verifier(verifier)
        } else {
            builder.with_no_client_auth()
        };
        let key = rustls::pki_types::PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        Arc::new(builder.with_single_cert(vec![certificate.der().clone()], key).unwrap())
    }

    #[test]
    fn version_suite_mutual_and_end_are_seen() {
        use ClientCertificate::{NotAsked, Required};
        let versions = [(&rustls::version::TLS12, "TLS 1.2", "TLS_ECDHE_"), (&rustls::version::TLS13, "TLS 1.3", "TLS13_")];
        for (version, name, suite) in versions {
            for (mutual, client) in [(false, NotAsked), (true, Required)] {
                let provider = Provider::start_with((Ipv4Addr::LOCALHOST, 0).into(), Some(server(mutual, version))).unwrap();
                let Spoken::Tls(seen) = spoken_at(provider.address(), None, LIMIT) else { panic!("{name}, mutual: {mutual}") };
                assert_eq!((seen.version, seen.client), (name, client));
                assert!(seen.suite.starts_with(suite), "{}", seen.suite);
                assert_eq!(seen.not_after.map(|end| end.to_string()).as_deref(), Some("2031-02-03T00:00:00Z"));
            }
        }
    }

    #[test]
    fn what_is_no_tls_is_told_apart() {
        let provider = Provider::start((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        assert_eq!(spoken_at(provider.address(), None, LIMIT), Spoken::Plain);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || while listener.accept().is_ok() {});
        assert_eq!(spoken_at(address, None, LIMIT), Spoken::Unknown);
        let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        assert_eq!(spoken_at(silent.local_addr().unwrap(), None, Duration::from_millis(300)), Spoken::Silent);
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
        assert_eq!(spoken_at(free, None, LIMIT), Spoken::Unreachable);
    }
}
