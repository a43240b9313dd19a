//! Waits until the gateway is ready, then says where everything is.

use std::{net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, sleep, timeout},
};

use super::{
    board::Board,
    listen::{Addresses, reachable},
    ready::Ready,
    state::State,
};
use crate::{failure::Failure, key, place::Place, say};

/// How long the gateway gets from its start to its readiness (link to control, first snapshot).
const READY: Duration = Duration::from_secs(30);
/// Between two questions.
const PAUSE: Duration = Duration::from_millis(50);

/// What there is to say.
pub(crate) struct Announcement {
    pub(crate) addresses: Addresses,
    pub(crate) tls: bool,
    /// A model to show in the example.
    pub(crate) model: Option<String>,
    pub(crate) first_key: Option<String>,
    pub(crate) unconfined: bool,
    pub(crate) json: bool,
}

impl Announcement {
    /// Waits, writes `ready.json`, and says it.
    pub(crate) async fn make(self, state: &State, previous: &Ready, board: &Board) -> Result<(), Failure> {
        let key = self.key(state, previous).await?;
        wait(reachable(self.addresses.probes)).await?;
        let api = format!("{}://{}", if self.tls { "https" } else { "http" }, reachable(self.addresses.client));
        let ready = Ready {
            api: Some(api.clone()),
            console: Some(format!("https://{}", self.addresses.console)),
            probes: Some(format!("http://{}", reachable(self.addresses.probes))),
            unconfined: self.unconfined,
            ..Ready::default()
        }
        .with_key(key, state.path());
        let ready = board.post(ready)?;
        if self.json {
            let text = serde_json::to_string(&ready).map_err(|_| Failure::failed("ready.json cannot be made"))?;
            say::line(&text);
        } else {
            say::line(&self.text(&api, &ready, state));
        }
        Ok(())
    }

    /// The first key, new or from an earlier start, with its number, as long as it is in force.
    async fn key(&self, state: &State, previous: &Ready) -> Result<Option<(String, u64)>, Failure> {
        let place = Place { state: state.path().to_path_buf(), url: None, token_file: None, ca: None };
        let (key, id) = match (&self.first_key, previous.api_key.clone().zip(previous.api_key_id)) {
            // It has just been made, and there has never been another.
            (Some(key), _) => (key.clone(), 1),
            (None, Some(kept)) => kept,
            (None, None) => return Ok(None),
        };
        let found = key::page(&place, id.saturating_sub(1), Some(1)).await?;
        let in_force = found.first().and_then(key::in_force) == Some(id);
        Ok(in_force.then_some((key, id)))
    }

    fn text(&self, api: &str, ready: &Ready, state: &State) -> String {
        let folder = state.path().display();
        let mut text = format!("Lethe serves at {api} (base URL for SDKs: {api}/v1)\n");
        if self.unconfined {
            text.push_str("UNCONFINED: for development only\n");
        }
        let key = match (&self.first_key, &ready.api_key) {
            (Some(key), _) => {
                text.push_str(&format!("API key: {key}\n(also in {folder}/ready.json, which says how to revoke it)\n"));
                key.as_str()
            }
            (None, Some(_)) => {
                text.push_str(&format!("API key: as before, in {folder}/ready.json\n"));
                "$LETHE_API_KEY"
            }
            (None, None) => {
                text.push_str(&format!("API key: make one with `lethe key create --state {folder}`\n"));
                "$LETHE_API_KEY"
            }
        };
        if let Some(model) = &self.model {
            // The model's id has no quotes and no blanks: it is either ours, or the configuration has checked it.
            let body = format!("{{\"model\": \"{model}\", \"messages\": [{{\"role\": \"user\", \"content\": \"Say hello.\"}}]}}");
            text.push_str(&format!(
                "\ncurl {api}/v1/chat/completions -H \"Authorization: Bearer {key}\" -H \"Content-Type: application/json\" -d '{body}'\n"
            ));
        }
        text.trim_end().to_owned()
    }
}

/// Asks `GET /readyz` until it answers 200.
async fn wait(probes: SocketAddr) -> Result<(), Failure> {
    let end = Instant::now() + READY;
    loop {
        let status = timeout(READY, status(probes)).await.ok().flatten();
        if status == Some(200) {
            return Ok(());
        }
        if Instant::now() >= end {
            let status = status.map_or_else(|| "nothing".to_owned(), |status| status.to_string());
            return Err(Failure::failed(format!(
                "the gateway did not become ready within {} s (its probe answers {status}): it has no word from control",
                READY.as_secs()
            )));
        }
        sleep(PAUSE).await;
    }
}

/// Status code of `GET /readyz`.
async fn status(probes: SocketAddr) -> Option<u16> {
    let mut stream = TcpStream::connect(probes).await.ok()?;
    let request = format!("GET /readyz HTTP/1.1\r\nHost: {probes}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.ok()?;
    // "HTTP/1.1 200": the rest of the answer does not matter.
    let mut start = [0; 12];
    stream.read_exact(&mut start).await.ok()?;
    std::str::from_utf8(&start).ok()?.strip_prefix("HTTP/1.1 ")?.parse().ok()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    use super::wait;

    #[tokio::test]
    async fn readiness_is_waited_for() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(async move {
            for answer in ["HTTP/1.1 503 Service Unavailable\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n"] {
                let (mut stream, _) = listener.accept().await.unwrap();
                assert!(stream.read(&mut [0; 256]).await.unwrap() > 0);
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        wait(address).await.unwrap();
        server.await.unwrap();
    }
}
