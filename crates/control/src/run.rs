//! Control from its start to its end.

use std::future::Future;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use lethe_store::Store;
use lethe_types::{Clock, KeyId, Millis};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{Mutex, mpsc, watch};
use tokio::time::{MissedTickBehavior, interval};

use crate::absent;
use crate::alarms::Alarms;
use crate::broker::Broker;
use crate::catalogue::{Catalogue, Current};
use crate::doors::{self, Users, stopped};
use crate::durable::Durable;
use crate::exporter;
use crate::keys::Keys;
use crate::link_server::LinkServer;
use crate::links::Links;
use crate::metrics::Meters;
use crate::operator::{Door, Operator, router};
use crate::outbound::Outbound;
use crate::publisher::Publisher;
use crate::renewal::{OwnTls, Renewal};
use crate::start::{ControlReady, ControlStart, FromControl, Supervisor, ToControl};
use crate::{Authority, ControlError, Mishaps};

/// What the operator sees as the name of the key that `up` makes.
const FIRST_KEY: &str = "first key";
const HOUSEKEEPING: Duration = Duration::from_secs(60 * 60);
/// What the first start waits for credentials: gateways come only after it.
const FIRST_CREDENTIALS: Duration = Duration::from_secs(3);
const DAY: Millis = 24 * 60 * 60 * 1000;

/// The sockets that control accepts on. It binds none itself.
pub struct Listeners {
    /// For gateways.
    pub link: std::net::TcpListener,
    /// The operator interface over TLS.
    pub console: Option<std::net::TcpListener>,
    /// The operator interface for users of this machine; its file has mode 0600 in a folder of mode 0700.
    pub operator: std::os::unix::net::UnixListener,
}

/// What control has from outside.
pub struct Outside {
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The way to servers that give credentials out, and to one that collects metrics.
    pub outbound: Outbound,
}

/// Runs control until `shutdown` is done, then drains: nothing new is accepted, linked gateways deliver what is pending
/// (for 5 seconds at most), the database's log is written back.
///
/// `ready` is called once, when everything is set up and right before the first accept. `mishaps` is what the supervisor tells of
/// the other parts.
///
/// # Errors
/// What kept control from starting, or from closing its database.
pub async fn run<R>(
    start: ControlStart,
    listeners: Listeners,
    outside: Outside,
    supervisor: Supervisor,
    shutdown: impl Future<Output = ()>,
    ready: R,
    mishaps: Mishaps,
) -> Result<(), ControlError>
where
    R: FnOnce(ControlReady),
{
    let Outside { clock, outbound } = outside;
    let (link, console, operator_socket) = listen(listeners)?;
    let console_address = console.as_ref().and_then(|console| console.local_addr().ok());
    let now = clock.now();

    let authority = Authority::open(&start.state, now)?;
    let store = Arc::new(Store::open(&start.database).await?);
    let keys = Arc::new(Keys::load(Arc::clone(&store), Arc::clone(&clock)).await?);
    let broker = Broker::new(outbound.clone(), Arc::clone(&clock));
    let catalogue = Catalogue::build(&start, &store, &authority).await?;
    broker.follow(&start.providers);
    broker.tried(FIRST_CREDENTIALS).await;
    let catalogue = Current::new(catalogue.with_credentials(&broker));
    let links = Arc::new(Links::default());
    let alarms = Arc::new(Alarms::default());
    let durable = Durable::new();
    let meters = Arc::new(Meters::default());
    let users = Users::new(start.operator_uid)?;

    let console_ip = console_address.map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), |address| address.ip());
    let own = OwnTls::issue(&authority, console_ip, now)?;
    let (link_tls, console_tls) = (watch::Sender::new(own.link), watch::Sender::new(own.console));
    let link_server = Arc::new(LinkServer {
        tls: link_tls.subscribe(),
        store: Arc::clone(&store),
        keys: Arc::clone(&keys),
        catalogue: Arc::clone(&catalogue),
        links: Arc::clone(&links),
        alarms: Arc::clone(&alarms),
        durable: Arc::clone(&durable),
        meters: Arc::clone(&meters),
        clock: Arc::clone(&clock),
    });
    ready(ControlReady {
        first_key: first_key(&start, &keys).await?,
        verify_key: authority.verify_key()?,
        endpoints: catalogue.now().endpoints.clone(),
        identities: authority.issue_all(&start.issue, now)?,
        authority: authority.certificate().to_vec(),
    });
    let operator = Arc::new(Operator {
        store: Arc::clone(&store),
        keys: Arc::clone(&keys),
        catalogue: Arc::clone(&catalogue),
        broker: Arc::clone(&broker),
        links: Arc::clone(&links),
        alarms,
        durable,
        meters,
        mishaps,
        clock: Arc::clone(&clock),
        started: now,
        build: start.build,
    });

    let Supervisor { orders, news } = supervisor;
    let console_accepts = console_tls.subscribe();
    let renewal = Renewal {
        authority: &authority,
        roles: &start.issue,
        console: console_ip,
        link_tls,
        console_tls,
        news: news.clone(),
        clock: clock.as_ref(),
        issued: AtomicU64::new(now),
    };
    let publisher = Publisher { keys, catalogue, broker, turn: Mutex::default() };
    let obedience =
        Obedience { start: &start, store: &store, authority: &authority, publisher: &publisher, renewal: &renewal, news };

    let (stop, stopping) = watch::channel(false);
    tokio::join!(
        async {
            shutdown.await;
            stop.send_replace(true);
        },
        link_server.serve(link, stopping.clone()),
        async {
            if let Some(console) = console {
                let router = router(Arc::clone(&operator), Door::Console);
                doors::serve_console(console, console_accepts, router, stopping.clone()).await;
            }
        },
        doors::serve_socket(operator_socket, users, router(Arc::clone(&operator), Door::Socket), stopping.clone()),
        obedience.obey(orders, stopping.clone()),
        publisher.keep(stopping.clone()),
        renewal.keep(stopping.clone()),
        async {
            if let Some(otlp) = &start.otlp {
                exporter::keep(otlp, &operator, outbound, stopping.clone()).await;
            }
        },
        absent::look(&store, &links, clock.as_ref(), stopping.clone()),
        keep_house(&store, clock.as_ref(), start.metadata_days, stopping.clone()),
    );
    store.close().await.map_err(ControlError::from)
}

/// Follows what the supervisor says while control runs.
struct Obedience<'a> {
    start: &'a ControlStart,
    store: &'a Store,
    authority: &'a Authority,
    publisher: &'a Publisher,
    renewal: &'a Renewal<'a>,
    news: mpsc::UnboundedSender<FromControl>,
}

impl Obedience<'_> {
    async fn obey(&self, mut orders: mpsc::UnboundedReceiver<ToControl>, mut stop: watch::Receiver<bool>) {
        loop {
            let order = tokio::select! {
                () = stopped(&mut stop) => return,
                order = orders.recv() => order,
            };
            let Some(order) = order else { return };
            let ToControl::Configure { providers, models } = order;
            let start = ControlStart { providers, models, ..self.start.clone() };
            let configured = self.publisher.configure(&start, self.store, self.authority).await;
            let good = configured.is_ok();
            // Nobody listens any more at the end.
            let _ = self.news.send(FromControl::Configured(configured.map_err(|error| error.to_string())));
            if good {
                // A failure is made good by the next look at the clock.
                let _ = self.renewal.issue();
            }
        }
    }
}

/// The first key, if one is wanted and there has never been any.
async fn first_key(start: &ControlStart, keys: &Keys) -> Result<Option<String>, ControlError> {
    if start.first_key && keys.list(KeyId(0), 1).await?.is_empty() {
        return Ok(Some(keys.create(FIRST_KEY, None).await?.key));
    }
    Ok(None)
}

/// Deletes what has reached its end, at the start and every hour.
async fn keep_house(store: &Store, clock: &dyn Clock, metadata_days: u32, mut stop: watch::Receiver<bool>) {
    let mut ticks = interval(HOUSEKEEPING);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stopped(&mut stop) => return,
            _ = ticks.tick() => {}
        }
        let now = clock.now();
        // A failure is tried again in an hour; a store that stays broken shows in the alarms of the link.
        let end = now.saturating_sub(u64::from(metadata_days) * DAY);
        let _ = store.forget_metadata(end).await;
        let _ = store.forget_unaccounted(end).await;
        let _ = store.forget_deliveries(now).await;
    }
}

fn listen(listeners: Listeners) -> Result<(TcpListener, Option<TcpListener>, UnixListener), ControlError> {
    let tcp = |listener: std::net::TcpListener| {
        listener.set_nonblocking(true).and_then(|()| TcpListener::from_std(listener)).map_err(|_| ControlError::Listener)
    };
    let operator = listeners.operator;
    let operator =
        operator.set_nonblocking(true).and_then(|()| UnixListener::from_std(operator)).map_err(|_| ControlError::Listener)?;
    Ok((tcp(listeners.link)?, listeners.console.map(tcp).transpose()?, operator))
}
