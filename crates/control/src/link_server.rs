//! Control's side of the link: lets gateways in by certificate, pushes what they need, hears what they deliver.

use std::sync::Arc;
use std::time::Duration;

use lethe_handover::{Identity, Role};
use lethe_link::frame::{Frame, Up};
use lethe_link::{ALPN, ALPN_BEFORE, Decoder, Down, HEARTBEAT_SECONDS, Hello, SILENCE_SECONDS, version_of};
use lethe_store::Store;
use lethe_types::Clock;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{broadcast, watch};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::alarms::Alarms;
use crate::booking::Booking;
use crate::catalogue::{Catalogue, Current};
use crate::doors::stopped;
use crate::durable::Durable;
use crate::keys::Keys;
use crate::links::{Linked, Links};
use crate::metrics::Meters;
use crate::{Alarm, ControlError};

/// Links at once.
const LINK_LIMIT: usize = 1024;
/// For the TLS handshake and the hello.
const GREETING: Duration = Duration::from_secs(10);
/// What gateways get on shutdown to deliver what is pending.
const DRAIN: Duration = Duration::from_secs(5);
const READ_BYTES: usize = 64 * 1024;

/// Everything that a link needs.
pub(crate) struct LinkServer {
    /// For the next link.
    pub(crate) tls: watch::Receiver<Arc<ServerConfig>>,
    pub(crate) store: Arc<Store>,
    pub(crate) keys: Arc<Keys>,
    pub(crate) catalogue: Arc<Current>,
    pub(crate) links: Arc<Links>,
    pub(crate) alarms: Arc<Alarms>,
    pub(crate) durable: Arc<Durable>,
    pub(crate) meters: Arc<Meters>,
    pub(crate) clock: Arc<dyn Clock>,
}

/// TLS of the link: 1.3 only, a client certificate of the own authority, no resumption (every link shows its certificate).
pub(crate) fn tls_config(identity: &Identity) -> Result<ServerConfig, ControlError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(identity.authority.as_slice())).map_err(|_| ControlError::Tls)?;
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
        .build()
        .map_err(|_| ControlError::Tls)?;
    let (chain, key) = certificate(identity)?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|_| ControlError::Tls)?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)
        .map_err(|_| ControlError::Tls)?;
    config.alpn_protocols = vec![ALPN.to_vec(), ALPN_BEFORE.to_vec()];
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(config)
}

/// An identity as rustls takes it.
pub(crate) fn certificate(identity: &Identity) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), ControlError> {
    let chain = identity.chain.iter().cloned().map(CertificateDer::from).collect();
    let key = PrivateKeyDer::try_from(identity.key.expose().to_vec()).map_err(|_| ControlError::Tls)?;
    Ok((chain, key))
}

impl LinkServer {
    /// Serves links until `stop` turns true, then lets linked gateways deliver what is pending, for a bounded time.
    pub(crate) async fn serve(self: Arc<Self>, listener: TcpListener, mut stop: watch::Receiver<bool>) {
        let mut tasks = JoinSet::new();
        loop {
            tokio::select! {
                () = stopped(&mut stop) => break,
                _ = tasks.join_next(), if !tasks.is_empty() => {}
                accepted = listener.accept(), if tasks.len() < LINK_LIMIT => match accepted {
                    Ok((stream, _)) => { tasks.spawn(Arc::clone(&self).link(stream, stop.clone())); }
                    // Out of descriptors, or a client that left again (accept(2)): others go on.
                    Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
                },
            }
        }
        drop(listener);
        let _ = timeout(DRAIN, async { while tasks.join_next().await.is_some() {} }).await;
        tasks.shutdown().await;
    }

    async fn link(self: Arc<Self>, stream: TcpStream, stop: watch::Receiver<bool>) {
        if let Err(Some(alarm)) = self.talk(stream, stop).await {
            self.alarms.raise(alarm);
        }
    }

    /// One connection. `Err(None)` is an end without an alarm.
    async fn talk(&self, stream: TcpStream, stop: watch::Receiver<bool>) -> Result<(), Option<Alarm>> {
        let _ = stream.set_nodelay(true);
        let acceptor = TlsAcceptor::from(Arc::clone(&self.tls.borrow()));
        let Ok(Ok(stream)) = timeout(GREETING, acceptor.accept(stream)).await else {
            return Err(Some(Alarm::ForeignClient));
        };
        let version = stream.get_ref().1.alpn_protocol().and_then(version_of).ok_or(Some(Alarm::Protocol))?;
        let gateway = gateway_id(&stream).ok_or(Some(Alarm::WrongRole))?;
        let (mut reader, writer) = tokio::io::split(stream);
        let mut decoder = Decoder::new();
        let hello = timeout(GREETING, hello(&mut reader, &mut decoder, version)).await.map_err(|_| None)??;

        let now = self.clock.now();
        // Only read: on a full disk a gateway is let in all the same, and told that nothing is acknowledged.
        let mark = self.store.mark(hello.instance).await.map_err(|_| Some(Alarm::StoreFailed))?;
        let (beat, levels) = Default::default();
        let linked = Linked { gateway, hello, since: now, heard: now, beat, levels, mark };
        let entry = self.links.enter(linked, &self.clock).map_err(|_| Some(Alarm::InstanceTaken))?;
        let (acks, ack) = watch::channel(mark);
        tokio::select! {
            end = self.receive(reader, decoder, Booking::new(self, &entry, hello, acks), stop) => end,
            end = self.send(writer, ack) => end,
        }
    }

    async fn receive<Io: AsyncRead>(
        &self,
        mut reader: ReadHalf<Io>,
        mut decoder: Decoder<Up>,
        mut booking: Booking<'_>,
        stop: watch::Receiver<bool>,
    ) -> Result<(), Option<Alarm>> {
        let mut piece = vec![0; READ_BYTES];
        loop {
            // The hello may have come together with the first records: what is there is read before more is awaited.
            let mut heard = false;
            while let Some(frame) = decoder.next_frame().map_err(|_| Some(Alarm::MalformedFrame))? {
                if !booking.may_say(&frame) {
                    return Err(Some(Alarm::Protocol));
                }
                match frame {
                    Up::Hello(_) => return Err(Some(Alarm::Protocol)),
                    Up::Heartbeat(beat) => {
                        booking.hear(beat);
                        heard = true;
                    }
                    Up::Level(level) => booking.measure(level),
                    Up::Record(record) => booking.add(record)?,
                    Up::Tally(tally) => booking.count(tally),
                }
            }
            booking.book().await?;
            if heard && booking.is_drained() && *stop.borrow() {
                return Ok(());
            }
            let read = tokio::select! {
                biased;
                () = booking.due() => continue,
                read = timeout(Duration::from_secs(SILENCE_SECONDS), reader.read(&mut piece)) => read,
            };
            match read {
                Ok(Ok(count)) if count > 0 => decoder.push(&piece[..count]),
                // What has been read is whole: it is booked before the link is forgotten.
                _ => return booking.end().await.map_err(Some),
            }
        }
    }

    /// Sends the whole state, and answers every change of keys from then on.
    async fn push<Io: AsyncWrite>(
        &self,
        writer: &mut WriteHalf<Io>,
        catalogues: &mut watch::Receiver<Arc<Catalogue>>,
    ) -> Result<broadcast::Receiver<Down>, Option<Alarm>> {
        let catalogue = Arc::clone(&catalogues.borrow_and_update());
        let (version, keys, changes) = self.keys.subscribe().await;
        let snapshot = Box::new(catalogue.snapshot(version, keys));
        // The destinations first: the snapshot's providers refer to them.
        for frame in [Down::Endpoints(catalogue.endpoints.clone()), Down::Snapshot(snapshot)] {
            write(writer, &frame).await?;
        }
        Ok(changes)
    }

    async fn send<Io: AsyncWrite>(&self, mut writer: WriteHalf<Io>, mut ack: watch::Receiver<u64>) -> Result<(), Option<Alarm>> {
        let mut catalogues = self.catalogue.changes();
        let mut changes = self.push(&mut writer, &mut catalogues).await?;
        // What an earlier link delivered, if its acknowledgement was lost.
        let mark = *ack.borrow_and_update();
        let mut durable = self.durable.watch();
        let good = *durable.borrow_and_update() == 0;
        for frame in [Down::Ack { sequence: mark }, Down::Durable(good)] {
            write(&mut writer, &frame).await?;
        }
        let mut ticks = interval(Duration::from_secs(HEARTBEAT_SECONDS));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let frame = tokio::select! {
                // In this order: a revoked key waits for nothing.
                biased;
                change = changes.recv() => match change {
                    Ok(change) => change,
                    // Too far behind: the gateway links again and gets a snapshot.
                    Err(broadcast::error::RecvError::Lagged(_) | broadcast::error::RecvError::Closed) => return Err(None),
                },
                changed = catalogues.changed() => match changed {
                    Ok(()) => {
                        changes = self.push(&mut writer, &mut catalogues).await?;
                        continue;
                    }
                    Err(_) => return Err(None),
                },
                _ = ticks.tick() => Down::Heartbeat,
                changed = durable.changed() => match changed {
                    Ok(()) => Down::Durable(*durable.borrow_and_update() == 0),
                    Err(_) => return Err(None),
                },
                changed = ack.changed() => match changed {
                    Ok(()) => Down::Ack { sequence: *ack.borrow_and_update() },
                    Err(_) => return Err(None),
                },
            };
            write(&mut writer, &frame).await?;
        }
    }
}

/// The id of the gateway whose certificate the client has shown. Its chain has been verified by the handshake.
fn gateway_id<Io>(stream: &TlsStream<Io>) -> Option<String> {
    let leaf = stream.get_ref().1.peer_certificates()?.first()?;
    let leaf = webpki::EndEntityCert::try_from(leaf).ok()?;
    let prefix = format!("lethe://{}/", Role::Gateway.name());
    leaf.valid_uri_names().find_map(|uri| uri.strip_prefix(&prefix)).map(str::to_owned)
}

/// The first frame, which has to name the version that was agreed on in the handshake.
async fn hello<Io: AsyncRead>(
    reader: &mut ReadHalf<Io>,
    decoder: &mut Decoder<Up>,
    version: u16,
) -> Result<Hello, Option<Alarm>> {
    let mut piece = [0; 1024];
    loop {
        match decoder.next_frame().map_err(|_| Some(Alarm::MalformedFrame))? {
            Some(Up::Hello(hello)) if hello.protocol == version => return Ok(hello),
            Some(_) => return Err(Some(Alarm::Protocol)),
            None => {}
        }
        match reader.read(&mut piece).await {
            Ok(count) if count > 0 => decoder.push(&piece[..count]),
            _ => return Err(None),
        }
    }
}

/// Sends one frame. A gateway that takes nothing for too long is gone.
async fn write<Io: AsyncWrite>(writer: &mut WriteHalf<Io>, frame: &Down) -> Result<(), Option<Alarm>> {
    let mut bytes = Vec::new();
    frame.encode(&mut bytes).map_err(|_| None)?;
    let written = timeout(Duration::from_secs(SILENCE_SECONDS), async {
        writer.write_all(&bytes).await?;
        writer.flush().await
    })
    .await;
    // A snapshot holds credentials.
    bytes.fill(0);
    std::hint::black_box(&bytes);
    match written {
        Ok(Ok(())) => Ok(()),
        _ => Err(None),
    }
}
