//! A control process in a task, and clients for its three doors.
#![expect(unreachable_pub, reason = "a module of two test programs")]

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use lethe_control::start::{
    Address, ControlReady, ControlStart, FromControl, ModelSetup, ProviderSetup, RouteSetup, Supervisor, ToControl,
};
use lethe_control::{ControlError, Listeners, Mishaps, Names, Outbound, Outside, run};
use lethe_handover::{Identity, Role};
use lethe_link::frame::{Frame, Hello, Up};
use lethe_link::{ALPN, Counts, Decoder, Down, Outbox, PROTOCOL, client};
use lethe_policy::{Credential, Dialect, PromptCache, Provider, ProviderKind, Rules, Snapshot, Strategy, Timeouts, UpstreamTls};
use lethe_types::{AccountPseudonym, Capability, Clock, Operation, RouteId, SystemClock};
use lethe_usage::{InstanceId, Kind, Quality, UnitClass, Usage, UsageRecord};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Nothing in these tests takes this long unless it never happens.
pub const LONG: Duration = Duration::from_secs(10);
pub const INSTANCE: InstanceId = InstanceId([6; 12]);

pub struct Control {
    pub ready: ControlReady,
    pub link: SocketAddr,
    pub console: SocketAddr,
    pub socket: PathBuf,
    orders: mpsc::UnboundedSender<ToControl>,
    news: tokio::sync::Mutex<mpsc::UnboundedReceiver<FromControl>>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<Result<(), ControlError>>,
}

pub fn start(folder: &Path) -> ControlStart {
    let provider = Provider {
        id: "engine".into(),
        kind: ProviderKind::Node,
        endpoint: 999,
        host: "node.lethe.internal".into(),
        port: 443,
        base_path: "/v1".into(),
        tls: UpstreamTls::Link,
        credential: Credential::None,
        terms: None,
        dialect: Dialect::Openai,
        rules: Rules::default(),
        region: None,
        max_concurrent: None,
        prompt_cache: PromptCache::Off,
        timeouts: Timeouts::default(),
    };
    let dial = Some(Address { host: "127.0.0.1".into(), port: 7777 });
    let route =
        RouteSetup { provider: "engine".into(), model: "upstream".into(), weight: 1, price: None, max_output_tokens: None };
    ControlStart {
        state: folder.to_owned(),
        database: folder.join("control.db"),
        link: Address { host: "127.0.0.1".into(), port: 6666 },
        providers: vec![ProviderSetup { provider, dial, allow_private: true, grant: None }],
        models: vec![ModelSetup {
            id: "small".into(),
            capabilities: vec![Capability::Chat],
            strategy: Strategy::default(),
            routes: vec![route],
            created: 5,
        }],
        otlp: None,
        issue: vec![Role::Gateway, Role::Node],
        first_key: true,
        operator_uid: None,
        metadata_days: 90,
        build: 1,
    }
}

/// The time, and names that are addresses.
pub fn outside(clock: Arc<dyn Clock>) -> Outside {
    struct Literal;
    impl Names for Literal {
        fn addresses<'a>(&'a self, host: &'a str, _: bool) -> Pin<Box<dyn Future<Output = Vec<IpAddr>> + Send + 'a>> {
            Box::pin(async move { host.parse().into_iter().collect() })
        }
    }
    Outside { clock, outbound: Outbound::new(Arc::new(Literal)) }
}

/// A supervisor that says nothing and hears nothing.
pub fn no_supervisor() -> Supervisor {
    Supervisor { orders: mpsc::unbounded_channel().1, news: mpsc::unbounded_channel().0 }
}

impl Control {
    pub async fn start(folder: &TempDir) -> Self {
        Self::start_with(start(folder.path()), folder).await
    }

    pub async fn start_with(start: ControlStart, folder: &TempDir) -> Self {
        Self::start_at(start, folder, Arc::new(SystemClock)).await
    }

    pub async fn start_at(start: ControlStart, folder: &TempDir, clock: Arc<dyn Clock>) -> Self {
        let socket = folder.path().join("control.sock");
        let _ = std::fs::remove_file(&socket);
        let listener = || std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let (link, console) = (listener(), listener());
        let addresses = (link.local_addr().unwrap(), console.local_addr().unwrap());
        let operator = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        let listeners = Listeners { link, console: Some(console), operator };
        let (stop, stopped) = oneshot::channel::<()>();
        let (sender, ready) = oneshot::channel();
        let (orders, inbox) = mpsc::unbounded_channel();
        let (outbox, news) = mpsc::unbounded_channel();
        let supervisor = Supervisor { orders: inbox, news: outbox };
        let news = tokio::sync::Mutex::new(news);
        let shutdown = async { drop(stopped.await) };
        let ready_now = |ready| drop(sender.send(ready));
        let task = tokio::spawn(run(start, listeners, outside(clock), supervisor, shutdown, ready_now, Mishaps::default()));
        let ready = timeout(LONG, ready).await.unwrap().unwrap();
        Self { ready, link: addresses.0, console: addresses.1, socket, orders, news, stop, task }
    }

    /// Gives an order as the supervisor does.
    pub fn order(&self, order: ToControl) {
        assert!(self.orders.send(order).is_ok());
    }

    /// What control told its supervisor next.
    pub async fn news(&self) -> FromControl {
        timeout(LONG, self.news.lock().await.recv()).await.unwrap().unwrap()
    }

    pub fn shut_down(self) -> JoinHandle<Result<(), ControlError>> {
        self.stop.send(()).unwrap();
        self.task
    }

    pub async fn end(self) {
        timeout(LONG, self.shut_down()).await.unwrap().unwrap().unwrap();
    }

    pub fn identity(&self, role: Role) -> &Identity {
        &self.ready.identities.iter().find(|(of, _)| *of == role).unwrap().1
    }

    /// Sends a request over the Unix socket.
    pub async fn ask(&self, method: &str, path: &str, body: &str) -> Answer {
        ask(UnixStream::connect(&self.socket).await.unwrap(), method, path, "", body).await
    }

    /// Sends a request to the console; `headers` are whole lines.
    pub async fn ask_console(&self, method: &str, path: &str, headers: &str) -> Answer {
        let config = client_config(&self.ready.authority, None, b"http/1.1");
        let name = ServerName::try_from("127.0.0.1").unwrap();
        let tcp = TcpStream::connect(self.console).await.unwrap();
        let stream = TlsConnector::from(Arc::new(config)).connect(name, tcp).await.unwrap();
        ask(stream, method, path, headers, "").await
    }

    /// Waits until an alarm has been raised this often; fails if it is raised more often or not at all.
    pub async fn expect_alarm(&self, name: &str, count: u64) {
        let reached = async {
            while self.alarm(name).await < count {
                tokio::task::yield_now().await;
            }
        };
        timeout(LONG, reached).await.unwrap();
        assert_eq!(self.alarm(name).await, count, "{name}");
    }

    pub async fn alarm(&self, name: &str) -> u64 {
        self.ask("GET", "/v1/status", "").await.body["alarms"][name].as_u64().unwrap()
    }

    /// Links as the gateway with this identity.
    pub async fn connect(&self, identity: Option<&Identity>) -> std::io::Result<Gateway> {
        self.connect_with(identity, ALPN).await
    }

    pub async fn connect_with(&self, identity: Option<&Identity>, alpn: &[u8]) -> std::io::Result<Gateway> {
        let stream = link_to(self.link, &self.ready.authority, identity, alpn).await?;
        Ok(Gateway { stream, decoder: Decoder::new() })
    }

    /// Links, says hello and takes the endpoint list and the snapshot.
    pub async fn link(&self, instance: InstanceId) -> (Gateway, Vec<u8>, Snapshot) {
        let mut gateway = self.connect(Some(self.identity(Role::Gateway))).await.unwrap();
        gateway.hello(instance).await;
        let Down::Endpoints(endpoints) = gateway.hear().await.unwrap() else { panic!("the endpoints come first") };
        let Down::Snapshot(snapshot) = gateway.hear().await.unwrap() else { panic!("the snapshot comes second") };
        (gateway, endpoints, *snapshot)
    }
}

async fn link_to(
    address: SocketAddr,
    authority: &[u8],
    identity: Option<&Identity>,
    alpn: &[u8],
) -> std::io::Result<TlsStream<TcpStream>> {
    let config = client_config(authority, identity, alpn);
    let name = ServerName::try_from("control.lethe.internal").unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, TcpStream::connect(address).await?).await
}

/// Keeps the link up as a gateway does, and hands what control says to `sink`. One that hears nothing for a while gives the link up, here
/// sooner than in earnest, so that it happens often.
pub async fn keep_linked(
    authority: Vec<u8>,
    identity: Identity,
    address: SocketAddr,
    outbox: Arc<Outbox>,
    mut sink: impl FnMut(Down) + Send,
) {
    loop {
        let stream = timeout(Duration::from_secs(2), link_to(address, &authority, Some(&identity), ALPN)).await;
        if let Ok(Ok(stream)) = stream {
            let (heard, mut hears) = watch::channel(());
            let counts = Counts::new();
            let silence = async { while timeout(Duration::from_millis(1500), hears.changed()).await.is_ok() {} };
            let take = |frame| {
                heard.send_replace(());
                sink(frame);
            };
            tokio::select! {
                _ = client::run(stream, &outbox, &counts, Vec::new, 1, take) => {}
                () = silence => {}
            }
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn client_config(authority: &[u8], identity: Option<&Identity>, alpn: &[u8]) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(authority)).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots);
    let mut config = match identity {
        None => config.with_no_client_auth(),
        Some(identity) => {
            let chain = identity.chain.iter().cloned().map(CertificateDer::from).collect();
            config.with_client_auth_cert(chain, PrivateKeyDer::try_from(identity.key.expose().to_vec()).unwrap()).unwrap()
        }
    };
    config.alpn_protocols = vec![alpn.to_vec()];
    config
}

/// A gateway's end of the link, by hand.
pub struct Gateway {
    pub stream: TlsStream<TcpStream>,
    decoder: Decoder<Down>,
}

impl Gateway {
    pub async fn hello(&mut self, instance: InstanceId) {
        self.hello_in(PROTOCOL, instance).await;
    }

    /// Says hello in this version of the link.
    pub async fn hello_in(&mut self, protocol: u16, instance: InstanceId) {
        self.say(&[Up::Hello(Hello { protocol, build: 1, instance })]).await;
    }

    pub async fn say(&mut self, frames: &[Up]) {
        let mut bytes = Vec::new();
        frames.iter().for_each(|frame| frame.encode(&mut bytes).unwrap());
        self.stream.write_all(&bytes).await.unwrap();
        self.stream.flush().await.unwrap();
    }

    /// The next frame; `None` when control has closed the link.
    pub async fn hear(&mut self) -> Option<Down> {
        loop {
            if let Some(frame) = self.decoder.next_frame().unwrap() {
                return Some(frame);
            }
            let mut piece = [0; 4096];
            match timeout(LONG, self.stream.read(&mut piece)).await.unwrap() {
                Ok(count) if count > 0 => self.decoder.push(&piece[..count]),
                _ => return None,
            }
        }
    }

    /// The next frame that `pick` takes.
    pub async fn hear_until<T>(&mut self, mut pick: impl FnMut(Down) -> Option<T>) -> Option<T> {
        loop {
            if let Some(found) = pick(self.hear().await?) {
                return Some(found);
            }
        }
    }

    /// Waits until control has acknowledged `wanted`.
    pub async fn hear_ack(&mut self, wanted: u64) {
        let ack = |frame| matches!(frame, Down::Ack { sequence } if sequence == wanted).then_some(());
        timeout(LONG, self.hear_until(ack)).await.unwrap().unwrap();
    }

    /// Waits until control closes the link.
    pub async fn hear_end(&mut self) {
        timeout(LONG, async { while self.hear().await.is_some() {} }).await.unwrap();
    }
}

pub fn usage(account: AccountPseudonym) -> Usage {
    Usage {
        kind: Kind::Charge,
        operation: Operation::Chat,
        unit_class: UnitClass::Tokens,
        quality: Quality::Reported,
        status: 200,
        timestamp: SystemClock.now(),
        account,
        route: RouteId(1),
        total_ms: 50,
        first_byte_ms: 20,
        input_units: 11,
        output_units: 22,
    }
}

pub fn record(usage: &Usage, sequence: u64) -> Up {
    Up::Record(UsageRecord::new(usage, INSTANCE, sequence))
}

pub struct Answer {
    pub status: u16,
    pub head: String,
    /// What is not JSON is here as one text.
    pub body: Value,
}

async fn ask<Io: AsyncRead + AsyncWrite + Unpin>(mut io: Io, method: &str, path: &str, headers: &str, body: &str) -> Answer {
    let length = body.len();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: control\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n{body}"
    );
    io.write_all(request.as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    timeout(LONG, io.read_to_end(&mut bytes)).await.unwrap().unwrap();
    let text = String::from_utf8(bytes).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, head: head.to_lowercase(), body: serde_json::from_str(body).unwrap_or_else(|_| body.into()) }
}
