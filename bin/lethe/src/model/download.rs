//! A file from an HTTPS address.

use std::{
    fs::File,
    io::Write,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use http_body_util::{BodyExt, Empty};
use hyper::{
    Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::{CONTENT_LENGTH, HOST, LOCATION, USER_AGENT},
};
use hyper_util::rt::TokioIo;
use rustls::RootCertStore;
use rustls_pki_types::ServerName;
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::TlsConnector;

use crate::{call::client_config, failure::Failure, model::progress};

const REDIRECTS: usize = 5;
/// Larger than any model that the embedded engine can run.
const LIMIT_BYTES: u64 = 8 * 1024 * 1024 * 1024;
/// Between two parts of an answer, and for a connection.
const PATIENCE: Duration = Duration::from_secs(30);

/// Downloads `url` to the new file `to`, following redirects to other HTTPS addresses.
pub(crate) async fn download(url: &str, to: &Path) -> Result<PathBuf, Failure> {
    let mut target = Target::parse(url)?;
    for _ in 0..=REDIRECTS {
        let response = get(&target).await?;
        if response.status().is_redirection() {
            let location = response.headers().get(LOCATION).and_then(|location| location.to_str().ok());
            target =
                target.redirected(location.ok_or_else(|| Failure::failed(format!("{} redirects to nowhere", target.host)))?)?;
            continue;
        }
        if response.status() != StatusCode::OK {
            return Err(Failure::failed(format!("{} answers {}", target.host, response.status())));
        }
        save(response, &target.host, to).await?;
        return Ok(to.to_path_buf());
    }
    Err(Failure::failed(format!("more than {REDIRECTS} redirects")))
}

async fn get(target: &Target) -> Result<Response<Incoming>, Failure> {
    let unreachable = |reason: String| Failure::failed(format!("{} cannot be reached: {reason}", target.host));
    let server = ServerName::try_from(target.host.clone()).map_err(|_| wrong_url())?;
    let connect = TcpStream::connect((target.host.as_str(), target.port));
    let stream = timeout(PATIENCE, connect)
        .await
        .map_err(|_| unreachable("no answer".into()))?
        .map_err(|error| unreachable(error.to_string()))?;
    let roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    let tls = TlsConnector::from(Arc::new(client_config(roots)?)).connect(server, stream);
    let stream = timeout(PATIENCE, tls)
        .await
        .map_err(|_| unreachable("no answer".into()))?
        .map_err(|error| unreachable(error.to_string()))?;
    let broken = |_| unreachable("no HTTP".into());
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
    // It ends with the body, or with this program.
    drop(tokio::spawn(connection));
    let request = Request::builder().uri(&target.path).header(HOST, target.authority()).header(USER_AGENT, "lethe");
    let request = request.body(Empty::<Bytes>::new()).map_err(|_| wrong_url())?;
    timeout(PATIENCE, sender.send_request(request)).await.map_err(|_| unreachable("no answer".into()))?.map_err(broken)
}

async fn save(response: Response<Incoming>, host: &str, to: &Path) -> Result<(), Failure> {
    let broken = |error: std::io::Error| Failure::failed(format!("{} cannot be written: {error}", to.display()));
    let total = response.headers().get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    let bar = progress::bar("downloading", total.unwrap_or(0));
    let mut file = File::create_new(to).map_err(broken)?;
    let mut body = response.into_body();
    let mut taken = 0_u64;
    loop {
        let frame =
            timeout(PATIENCE, body.frame()).await.map_err(|_| Failure::failed(format!("{host} stopped in the middle")))?;
        let Some(frame) = frame else { break };
        let frame = frame.map_err(|_| Failure::failed(format!("{host} stopped in the middle")))?;
        let Some(data) = frame.data_ref() else { continue };
        taken = taken.saturating_add(data.len() as u64);
        if taken > LIMIT_BYTES {
            return Err(Failure::failed(format!("{host} sends more than {LIMIT_BYTES} bytes")));
        }
        file.write_all(data).map_err(broken)?;
        bar.inc(data.len() as u64);
    }
    bar.finish_and_clear();
    Ok(())
}

fn wrong_url() -> Failure {
    Failure::usage("a model comes from an address like https://host/path/model.gguf, or from a file")
}

/// An HTTPS address, taken apart.
#[derive(Debug, PartialEq, Eq)]
struct Target {
    host: String,
    port: u16,
    /// Path and query.
    path: String,
}

impl Target {
    fn parse(url: &str) -> Result<Self, Failure> {
        let uri: hyper::Uri = url.parse().map_err(|_| wrong_url())?;
        let (Some("https"), Some(authority)) = (uri.scheme_str(), uri.authority()) else { return Err(wrong_url()) };
        if authority.as_str().contains('@') {
            return Err(wrong_url());
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let path = uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
        Ok(Self { host, port: authority.port_u16().unwrap_or(443), path })
    }

    /// Where a redirect leads (RFC 9110, 10.2.2): another HTTPS address, or a path on the same host.
    fn redirected(&self, location: &str) -> Result<Self, Failure> {
        if location.starts_with('/') && !location.starts_with("//") {
            return Ok(Self { host: self.host.clone(), port: self.port, path: location.to_owned() });
        }
        Self::parse(location)
            .map_err(|_| Failure::failed(format!("{} redirects to something else than an https:// address", self.host)))
    }

    fn authority(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        if self.port == 443 { host } else { format!("{host}:{}", self.port) }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use super::Target;

    #[test]
    fn only_https_is_followed() {
        let target = Target::parse("https://models.example.com/a/b.gguf?x=1").unwrap();
        assert_eq!((target.host.as_str(), target.port, target.path.as_str()), ("models.example.com", 443, "/a/b.gguf?x=1"));
        assert_eq!(target.redirected("/c").unwrap().path, "/c");
        assert_eq!(target.redirected("https://cdn.example.com:444/c").unwrap().authority(), "cdn.example.com:444");
        for location in ["http://models.example.com/c", "//cdn.example.com/c", "c.gguf", "file:///etc/passwd", "https://a@b/c"] {
            assert!(target.redirected(location).is_err(), "{location}");
        }
        for url in ["http://models.example.com/a", "https://", "ftp://x/y"] {
            assert!(Target::parse(url).is_err(), "{url}");
        }
    }
}
