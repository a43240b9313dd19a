//! Our TLS against rustls' own buffered one, over real sockets: both sides, large transfers, clean ends and cuts.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::sync::Arc;

use lethe_confine::secret::Arena;
use lethe_tls::{Certificate, ConfigError, TlsStream, client_of_public, server_for_clients};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};

struct Pki {
    authority: Vec<u8>,
    chain: Vec<Vec<u8>>,
    key: Vec<u8>,
}

impl Pki {
    fn certificate(&self, arena: &Arena) -> Arc<Certificate> {
        Certificate::new(&self.chain, arena.put(&self.key).unwrap()).unwrap()
    }
}

fn pki() -> Pki {
    let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let issuer = rcgen::CertifiedIssuer::self_signed(params, rcgen::KeyPair::generate().unwrap()).unwrap();
    let key = rcgen::KeyPair::generate().unwrap();
    let leaf = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
    Pki { authority: issuer.der().to_vec(), chain: vec![leaf.der().to_vec()], key: key.serialize_der() }
}

async fn sockets() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (client, server) = tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
    (client.unwrap(), server.unwrap().0)
}

fn name() -> ServerName<'static> {
    ServerName::try_from("localhost").unwrap()
}

/// Both directions at once, more than any buffer holds, in odd pieces.
async fn talk<A, B>(mut a: A, mut b: B)
where
    A: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    B: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let large: Vec<u8> = (0..3_000_017_u32).map(|at| (at % 251) as u8).collect();
    let expected = large.clone();
    let one = async move {
        for part in large.chunks(70_001) {
            a.write_all(part).await.unwrap();
        }
        a.flush().await.unwrap();
        let mut answer = [0; 4];
        a.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"done");
        a.shutdown().await.unwrap();
        assert_eq!(a.read(&mut answer).await.unwrap(), 0, "a clean end");
    };
    let other = async move {
        let mut got = vec![0; expected.len()];
        b.read_exact(&mut got).await.unwrap();
        assert!(got == expected);
        b.write_all(b"done").await.unwrap();
        b.flush().await.unwrap();
        assert_eq!(b.read(&mut got).await.unwrap(), 0, "a clean end");
        b.shutdown().await.unwrap();
    };
    tokio::join!(one, other);
}

#[tokio::test]
async fn our_server_and_their_client() {
    let pki = pki();
    let arena = Arena::new().unwrap();
    let config = server_for_clients(pki.certificate(&arena)).unwrap();
    let (client, server) = sockets().await;
    let connector = TlsConnector::from(client_of_public(&[], std::slice::from_ref(&pki.authority)).unwrap());
    let (ours, theirs) = tokio::join!(TlsStream::accept(server, config), connector.connect(name(), client));
    talk(theirs.unwrap(), ours.ok().unwrap()).await;
}

#[tokio::test]
async fn our_client_and_their_server() {
    let pki = pki();
    let arena = Arena::new().unwrap();
    let config = server_for_clients(pki.certificate(&arena)).unwrap();
    let (client, server) = sockets().await;
    let acceptor = TlsAcceptor::from(config);
    let trust = client_of_public(&[], std::slice::from_ref(&pki.authority)).unwrap();
    let (ours, theirs) = tokio::join!(TlsStream::connect(client, trust, name()), acceptor.accept(server));
    talk(ours.ok().unwrap(), theirs.unwrap()).await;
}

#[tokio::test]
async fn a_cut_is_an_error_and_a_strange_authority_is_refused() {
    let pki = pki();
    let arena = Arena::new().unwrap();
    let config = server_for_clients(pki.certificate(&arena)).unwrap();
    let trust = client_of_public(&[], std::slice::from_ref(&pki.authority)).unwrap();
    let (client, server) = sockets().await;
    let (ours, theirs) =
        tokio::join!(TlsStream::connect(client, Arc::clone(&trust), name()), TlsStream::accept(server, Arc::clone(&config)));
    let (mut ours, mut theirs) = (ours.ok().unwrap(), theirs.ok().unwrap());
    theirs.write_all(b"half").await.unwrap();
    theirs.flush().await.unwrap();
    let mut half = [0; 4];
    ours.read_exact(&mut half).await.unwrap();
    drop(theirs);
    assert!(ours.read(&mut half).await.is_err(), "no close_notify: a truncation");

    let stranger = client_of_public(&[], &[self::pki().authority]).unwrap();
    let (client, server) = sockets().await;
    let (ours, theirs) = tokio::join!(TlsStream::connect(client, stranger, name()), TlsStream::accept(server, config));
    assert!(ours.is_err() && theirs.is_err());
}

#[tokio::test]
async fn a_new_certificate_is_for_new_handshakes() {
    let (before, after) = (pki(), pki());
    let arena = Arena::new().unwrap();
    let certificate = before.certificate(&arena);
    let config = server_for_clients(Arc::clone(&certificate)).unwrap();
    let handshake = async |authority: &Pki| {
        let trust = client_of_public(&[], std::slice::from_ref(&authority.authority)).unwrap();
        let (client, server) = sockets().await;
        let (ours, theirs) =
            tokio::join!(TlsStream::connect(client, trust, name()), TlsStream::accept(server, Arc::clone(&config)));
        Some((ours.ok()?, theirs.ok()?))
    };
    let (mut ours, mut theirs) = handshake(&before).await.unwrap();
    // One that is no pair changes nothing.
    assert_eq!(certificate.replace(&after.chain, arena.put(&before.key).unwrap()), Err(ConfigError::Key));
    assert!(handshake(&before).await.is_some() && handshake(&after).await.is_none());
    certificate.replace(&after.chain, arena.put(&after.key).unwrap()).unwrap();
    assert!(handshake(&before).await.is_none() && handshake(&after).await.is_some());
    // What was open goes on.
    theirs.write_all(b"open").await.unwrap();
    theirs.flush().await.unwrap();
    let mut word = [0; 4];
    ours.read_exact(&mut word).await.unwrap();
    assert_eq!(&word, b"open");
}
