//! Calls to the operator interface of a running Lethe.

use std::{io::ErrorKind, sync::Arc};

use http_body_util::{BodyExt, Full, Limited};
use hyper::{
    Method, Request, StatusCode,
    body::Bytes,
    header::{AUTHORIZATION, CONTENT_TYPE, HOST},
};
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, ServerName, pem::PemObject};
use serde_json::Value;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
};
use tokio_rustls::TlsConnector;

use crate::{failure::Failure, place::Place};

/// Longest answer: a page of 1000 records is a quarter of it.
const ANSWER_BYTES: usize = 4 * 1024 * 1024;

/// Sends one request and gives the JSON of its answer.
pub(crate) async fn call(place: &Place, method: Method, path: &str, body: Option<&Value>) -> Result<Value, Failure> {
    let answer = ask(place, method, path, body).await?;
    serde_json::from_slice(&answer).map_err(|_| Failure::failed("the answer is no JSON: is this a Lethe console?"))
}

/// Sends one request and gives the bytes of its answer.
pub(crate) async fn ask(place: &Place, method: Method, path: &str, body: Option<&Value>) -> Result<Bytes, Failure> {
    let json = body.map(Value::to_string).unwrap_or_default();
    let request = Request::builder().method(method).uri(path).header(CONTENT_TYPE, "application/json");
    match (&place.url, &place.token_file) {
        (Some(url), Some(token)) => {
            let token = std::fs::read_to_string(token)
                .map_err(|error| Failure::usage(format!("the token file {} cannot be read: {error}", token.display())))?;
            let address = Address::parse(url)?;
            let request = request.header(HOST, &address.authority).header(AUTHORIZATION, format!("Bearer {}", token.trim()));
            send(console(place, &address).await?, request, json).await
        }
        _ => send(socket(place).await?, request.header(HOST, "lethe"), json).await,
    }
}

async fn socket(place: &Place) -> Result<UnixStream, Failure> {
    let path = place.control_socket();
    UnixStream::connect(&path).await.map_err(|error| match error.kind() {
        ErrorKind::NotFound | ErrorKind::ConnectionRefused => Failure::failed(format!(
            "no Lethe runs on {}: start one with `lethe up --state {0}`, or name another with --state",
            place.state.display()
        )),
        _ => Failure::failed(format!("{} cannot be reached: {error}", path.display())),
    })
}

async fn console(place: &Place, address: &Address) -> Result<impl AsyncRead + AsyncWrite + Unpin + Send + use<>, Failure> {
    let unreachable = |error: std::io::Error| Failure::failed(format!("{} cannot be reached: {error}", address.authority));
    let server = ServerName::try_from(address.host.clone()).map_err(|_| Failure::usage("--url names no host"))?;
    let stream = TcpStream::connect((address.host.as_str(), address.port)).await.map_err(unreachable)?;
    TlsConnector::from(Arc::new(tls_config(place)?)).connect(server, stream).await.map_err(unreachable)
}

/// TLS toward a console: the deployment's own authority where its certificate is at hand.
fn tls_config(place: &Place) -> Result<ClientConfig, Failure> {
    let path = place.console_ca();
    let mut roots = RootCertStore::empty();
    match CertificateDer::from_pem_file(&path) {
        Ok(certificate) => {
            roots.add(certificate).map_err(|_| Failure::usage(format!("{} is no authority's certificate", path.display())))?
        }
        Err(_) if place.ca.is_some() => {
            return Err(Failure::usage(format!("{} holds no certificate in PEM form", path.display())));
        }
        Err(_) => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
    }
    client_config(roots)
}

/// A client without a certificate of its own that trusts `roots`.
pub(crate) fn client_config(roots: RootCertStore) -> Result<ClientConfig, Failure> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|_| Failure::failed("TLS cannot be set up"))?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

async fn send<Io>(io: Io, request: hyper::http::request::Builder, body: String) -> Result<Bytes, Failure>
where
    Io: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let broken = |_| Failure::failed("the operator interface did not answer as it should");
    let request = request.body(Full::new(Bytes::from(body))).map_err(|_| Failure::usage("the token file holds no token"))?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(io)).await.map_err(broken)?;
    let connection = tokio::spawn(connection);
    let response = sender.send_request(request).await.map_err(broken)?;
    let status = response.status();
    let body = Limited::new(response.into_body(), ANSWER_BYTES).collect().await;
    connection.abort();
    let body = body.map_err(|_| Failure::failed("the answer is cut or too long"))?.to_bytes();
    if status.is_success() { Ok(body) } else { Err(refused(status, &serde_json::from_slice(&body).unwrap_or_default())) }
}

fn refused(status: StatusCode, value: &Value) -> Failure {
    let message = value.pointer("/error/message").and_then(Value::as_str).unwrap_or("no reason given");
    Failure::failed(format!("refused ({}): {message}", status.as_u16()))
}

/// `https://host:port`, taken apart.
#[derive(Debug, PartialEq, Eq)]
struct Address {
    authority: String,
    host: String,
    port: u16,
}

impl Address {
    fn parse(url: &str) -> Result<Self, Failure> {
        let wrong = || Failure::usage("--url is the console's address: write https://10.0.0.5:8443");
        let parsed = lethe_config::BaseUrl::parse(url).map_err(|_| wrong())?;
        if parsed.scheme != lethe_config::Scheme::Https || !parsed.path.is_empty() {
            return Err(wrong());
        }
        let bracketed = if parsed.host.contains(':') { format!("[{}]", parsed.host) } else { parsed.host.clone() };
        Ok(Self { authority: format!("{bracketed}:{}", parsed.port), host: parsed.host, port: parsed.port })
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use super::Address;

    #[test]
    fn console_addresses() {
        let address = Address::parse("https://[::1]:8443/").unwrap();
        assert_eq!((address.authority.as_str(), address.host.as_str(), address.port), ("[::1]:8443", "::1", 8443));
        for url in ["http://127.0.0.1:8443", "127.0.0.1:8443", "https://127.0.0.1:8443/v1", "https://user@host:1"] {
            assert!(Address::parse(url).unwrap_err().message().contains("https://10.0.0.5:8443"), "{url}");
        }
    }
}
