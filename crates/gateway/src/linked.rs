//! The link to control: records up, snapshots and keys down, again and again for as long as the gateway lives.

use std::sync::Arc;
use std::time::{Duration, Instant};

use lethe_confine::secret::Arena;
use lethe_link::{Down, Level, client};
use lethe_policy::Snapshot;
use lethe_policy::endpoints::CONTROL_ENDPOINT;
use lethe_tls::TlsStream;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use crate::catalogue::{Catalogue, CatalogueError};
use crate::counts::COUNTS;
use crate::shared::Shared;

/// Name in control's certificate.
const CONTROL_NAME: &str = "control.lethe.internal";
/// Short: one that was begun while nothing came through must not hold up the next when it does.
const HANDSHAKE: Duration = Duration::from_secs(2);
/// Between two attempts to reach control.
const PAUSE: Duration = Duration::from_millis(200);

/// What the link needs.
pub(crate) struct Link {
    pub(crate) shared: Arc<Shared>,
    /// TLS toward control.
    pub(crate) config: Arc<ClientConfig>,
    /// TLS toward nodes.
    pub(crate) nodes: Arc<ClientConfig>,
    pub(crate) arena: Arena,
    pub(crate) build: u64,
}

impl Link {
    /// Keeps the link up.
    pub(crate) async fn keep(self) {
        let (endpoints, mut lists) = mpsc::unbounded_channel::<Vec<u8>>();
        let dialer = self.shared.dialer.clone();
        tokio::task::spawn_local(async move {
            while let Some(list) = lists.recv().await {
                dialer.update(list).await;
            }
        });
        loop {
            if let Some(stream) = self.connect().await {
                let (levels, sink) = (|| self.levels(), |frame| self.take(frame, &endpoints));
                client::run(stream, &self.shared.outbox, &COUNTS, levels, self.build, sink).await;
            }
            sleep(PAUSE).await;
        }
    }

    async fn connect(&self) -> Option<TlsStream<TcpStream>> {
        let socket = self.shared.dialer.dial(CONTROL_ENDPOINT).await.ok()?;
        let socket = TcpStream::from_std(socket.into()).ok()?;
        let name = ServerName::try_from(CONTROL_NAME).ok()?;
        timeout(HANDSHAKE, TlsStream::connect(socket, Arc::clone(&self.config), name)).await.ok()?.ok()
    }

    fn levels(&self) -> Vec<Level> {
        self.shared.catalogue().map(|(_, catalogue)| catalogue.levels(Instant::now())).unwrap_or_default()
    }

    fn catalogue(&self, snapshot: &Snapshot) -> Result<Catalogue, CatalogueError> {
        let before = self.shared.catalogue().ok().map(|(_, catalogue)| catalogue);
        Catalogue::new(snapshot, &self.nodes, &self.arena, before.as_deref())
    }

    fn take(&self, frame: Down, endpoints: &mpsc::UnboundedSender<Vec<u8>>) {
        match frame {
            Down::Ack { .. } | Down::Heartbeat => {}
            Down::Durable(durable) => self.shared.set_durable(durable),
            // Before the snapshot whose providers refer to them: nobody may dial what the dialer has not heard of.
            Down::Endpoints(list) => {
                if let Err(list) = self.shared.dialer.try_update(list) {
                    drop(endpoints.send(list));
                }
            }
            Down::Isolate => self.shared.isolate(),
            Down::KeyAdded(entry) => self.shared.add_key(entry),
            Down::KeyRevoked(id) => self.shared.revoke_key(id),
            Down::Snapshot(snapshot) => {
                // First: the catalogue has its routes' counters at hand.
                COUNTS.know(snapshot.models.iter().flat_map(|model| &model.routes).map(|route| route.id));
                match self.catalogue(&snapshot) {
                    Ok(catalogue) => self.shared.replace(catalogue, &snapshot.keys),
                    // Control checked what it sent: rather than serve an old state without end, the gateway goes stale.
                    Err(_) => return,
                }
            }
        }
        self.shared.heard();
    }
}
