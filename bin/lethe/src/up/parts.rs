//! Starts each part, the first time and again.

use std::{
    fs::File,
    os::fd::{AsFd, OwnedFd},
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use lethe_config::{Config, Gateway, SecretFiles};
use lethe_control::start::{ControlReady, FromControl};
use lethe_handover::{BootOptions, DialerBoot, Identity, Role, SecretBytes, ToChild};
use lethe_supervisor::{Crew, Crewmates, Errand, Launcher, Notice, Obeyed, Order, Part, RoleUsers, Started, beside, packet_pair};
use tokio::sync::oneshot;

use super::{
    Args,
    board::Board,
    listen::{Addresses, Listeners},
    reload, setup,
    state::State,
    tell, upgrade,
};
use crate::{failure::Failure, say};

/// For parts that are stopped because another did not start.
const STOP: Duration = Duration::from_secs(5);

/// What is started.
pub(crate) struct Executables {
    own: PathBuf,
    dataplane: PathBuf,
    engine: Option<PathBuf>,
}

impl Executables {
    /// Finds them beside this one.
    pub(crate) fn find(engine: bool) -> Result<Self, Failure> {
        let own = std::env::current_exe()
            .map_err(|error| Failure::failed(format!("the path of this executable is unknown: {error}")))?;
        let find = |name| beside(name).map_err(Failure::failed);
        let engine = if engine { Some(find("lethe-engine")?) } else { None };
        Ok(Self { own, dataplane: find("lethe-dataplane")?, engine })
    }
}

/// Everything that starts need, for as long as anything may have to be started again.
pub(crate) struct Parts {
    pub(crate) launcher: Launcher,
    pub(crate) args: Args,
    pub(crate) state: Arc<State>,
    pub(crate) executables: Executables,
    pub(crate) engine: Option<setup::Engine>,
    /// The configuration in force.
    config: Mutex<Arc<Config>>,
    /// What the file said of the gateway before its bounds were fitted to this machine.
    pub(crate) written: Gateway,
    pub(crate) addresses: Addresses,
    pub(crate) users: Option<RoleUsers>,
    pub(crate) unconfined: bool,
    pub(crate) board: Arc<Board>,
    /// Bound once and kept, so that connections wait while a part is started again; `None` from the beginning of the end.
    listeners: Mutex<Option<Arc<Listeners>>>,
    /// Both ends of what the node front hands connections to the engine by: neither side's end is the other's, and connections that
    /// arrive while there is no engine wait in it.
    acceptor: Option<(OwnedFd, OwnedFd)>,
    /// What control said last.
    known: Mutex<Option<ControlReady>>,
    /// Who waits for control's word on a new configuration.
    configuring: Mutex<Option<Configured>>,
    /// Files of secrets that were replaced by something that cannot be used, so that this is told once.
    pub(crate) unusable_secrets: Mutex<Option<SecretFiles>>,
}

/// Takes control's word on a new configuration: the signed endpoint list, or why not.
type Configured = oneshot::Sender<Result<Vec<u8>, String>>;

/// What is started, and for whom.
pub(crate) struct Plan {
    pub(crate) launcher: Launcher,
    pub(crate) args: Args,
    pub(crate) config: Config,
    /// What the file says of the gateway, before its bounds are fitted to this machine.
    pub(crate) written: Gateway,
    pub(crate) state: Arc<State>,
    pub(crate) executables: Executables,
    pub(crate) engine: Option<setup::Engine>,
    pub(crate) users: Option<RoleUsers>,
    pub(crate) unconfined: bool,
    pub(crate) board: Arc<Board>,
}

impl Parts {
    pub(crate) fn new(plan: Plan, listeners: Listeners) -> Result<Arc<Self>, Failure> {
        let Plan { launcher, args, config, written, state, executables, engine, users, unconfined, board } = plan;
        let addresses = listeners.addresses()?;
        let acceptor = engine.is_some().then(pair).transpose().map_err(Failure::failed)?;
        Ok(Arc::new(Self {
            launcher,
            args,
            config: Mutex::new(Arc::new(config)),
            written,
            configuring: Mutex::default(),
            unusable_secrets: Mutex::default(),
            state,
            executables,
            engine,
            addresses,
            users,
            unconfined,
            board,
            listeners: Mutex::new(Some(Arc::new(listeners))),
            acceptor,
            known: Mutex::default(),
        }))
    }

    /// Starts control, then the engine and its front, then the dialer and the gateway; if one does not start, those before it are
    /// stopped again.
    pub(crate) async fn start_all(&self) -> Result<Vec<Part>, Failure> {
        let mut parts = Vec::new();
        match self.each(&mut parts).await {
            Ok(()) => Ok(parts),
            Err(reason) => {
                for part in parts.into_iter().rev() {
                    part.stop(STOP).await;
                }
                Err(Failure::failed(reason))
            }
        }
    }

    async fn each(&self, parts: &mut Vec<Part>) -> Result<(), String> {
        say::progress("starting control");
        parts.push(self.control().await?);
        if self.engine.is_some() {
            say::progress("starting the embedded engine");
            parts.push(self.engine().await?);
            parts.push(self.node().await?);
        }
        say::progress("starting the gateway");
        parts.extend(self.serving().await?);
        Ok(())
    }

    /// Whether the executable that control is started from runs.
    pub(crate) async fn check_own_executable(&self) -> Result<(), String> {
        upgrade::runs(&self.executables.own).await
    }

    /// What control said last.
    pub(crate) fn known(&self) -> Result<ControlReady, String> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).clone().ok_or_else(|| "control has not started yet".to_owned())
    }

    /// The configuration in force.
    pub(crate) fn config(&self) -> Arc<Config> {
        Arc::clone(&self.config.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Another configuration is in force.
    pub(crate) fn configured(&self, config: Config, endpoints: Vec<u8>) {
        *self.config.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(config);
        if let Some(known) = self.known.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            known.endpoints = endpoints;
        }
    }

    /// Control's next word on a new configuration.
    pub(crate) fn next_configured(&self) -> oneshot::Receiver<Result<Vec<u8>, String>> {
        let (sender, receiver) = oneshot::channel();
        *self.configuring.lock().unwrap_or_else(PoisonError::into_inner) = Some(sender);
        receiver
    }

    /// New identities: kept for the next starts, and handed to those that run.
    fn issued(&self, identities: Vec<(Role, Identity)>, mates: &Crewmates) {
        for (role, identity) in &identities {
            // One that is being started again gets it then.
            mates.send(*role, ToChild::Identity(Box::new(identity.clone())));
        }
        if let Some(known) = self.known.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            known.identities = identities;
        }
    }

    pub(crate) async fn control(&self) -> Result<Part, String> {
        let listeners = self.listeners()?;
        let user = self.options(Role::Control).user;
        let boot = setup::control(&self.config(), &self.state, self.engine.as_ref(), &self.addresses, user)
            .map_err(|failure| failure.text())?;
        let descriptors = [listeners.link.as_fd(), listeners.console.as_fd(), listeners.operator.as_fd()];
        let control = self.launcher.control::<_, ControlReady>(&self.executables.own, &boot, &descriptors).await;
        let control = control.map_err(|error| error.to_string())?;
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        // The first key is told once, in the start that made it.
        let first_key = known.take().and_then(|known| known.first_key);
        *known = Some(ControlReady { first_key: first_key.or_else(|| control.ready.first_key.clone()), ..control.ready });
        Ok(control.part)
    }

    pub(crate) async fn engine(&self) -> Result<Part, String> {
        let (Some(engine), Some(executable), Some((_, back))) = (&self.engine, &self.executables.engine, &self.acceptor) else {
            return Err("there is no engine".to_owned());
        };
        let model =
            File::open(&engine.path).map_err(|error| format!("the model {} cannot be read: {error}", engine.path.display()))?;
        let boot = ToChild::Engine(Box::new(engine.boot()), self.options(Role::Engine));
        let started = self.launcher.confined(executable, Role::Engine, &boot, &[back.as_fd(), model.as_fd()]).await;
        started.map_err(|error| error.to_string())
    }

    pub(crate) async fn node(&self) -> Result<Part, String> {
        let Some((front, _)) = &self.acceptor else { return Err("there is no engine".to_owned()) };
        let (listeners, identity) = (self.listeners()?, self.identity(Role::Node)?);
        let boot = ToChild::Node(Box::new(setup::node(identity)), self.options(Role::Node));
        self.dataplane(Role::Node, &boot, &[listeners.node.as_fd(), front.as_fd()]).await
    }

    /// A gateway with a dialer of its own.
    pub(crate) async fn serving(&self) -> Result<Vec<Part>, String> {
        let (dialer, socket) = self.dialer().await?;
        let (listeners, identity) = (self.listeners()?, self.identity(Role::Gateway)?);
        let boot = ToChild::Gateway(Box::new(setup::gateway(&self.config(), identity)), self.options(Role::Gateway));
        let descriptors = [listeners.client.as_fd(), listeners.probes.as_fd(), socket.as_fd()];
        Ok(vec![dialer, self.dataplane(Role::Gateway, &boot, &descriptors).await?])
    }

    /// A dialer, and the gateway's end of the socket to it.
    async fn dialer(&self) -> Result<(Part, OwnedFd), String> {
        let (gateway, dialer) = pair()?;
        let known = self.known()?;
        let boot = DialerBoot { verify_key: known.verify_key, endpoints: known.endpoints };
        let boot = ToChild::Dialer(Box::new(boot), self.options(Role::Dialer));
        Ok((self.dataplane(Role::Dialer, &boot, &[dialer.as_fd()]).await?, gateway))
    }

    async fn dataplane(&self, role: Role, boot: &ToChild, descriptors: &[std::os::fd::BorrowedFd<'_>]) -> Result<Part, String> {
        let started = self.launcher.confined(&self.executables.dataplane, role, boot, descriptors).await;
        started.map_err(|error| error.to_string())
    }

    fn options(&self, role: Role) -> BootOptions {
        BootOptions { user: self.users.as_ref().map(|users| users.of(role)), unconfined: self.unconfined }
    }

    fn identity(&self, role: Role) -> Result<Identity, String> {
        let identities = self.known()?.identities;
        let identity = identities.into_iter().find(|(of, _)| *of == role).map(|(_, identity)| identity);
        identity.ok_or_else(|| format!("control issued no identity for the {}", role.name()))
    }

    fn listeners(&self) -> Result<Arc<Listeners>, String> {
        let listeners = self.listeners.lock().unwrap_or_else(PoisonError::into_inner);
        listeners.clone().ok_or_else(|| "everything is ending".to_owned())
    }
}

impl Crew for Parts {
    async fn start(self: Arc<Self>, role: Role) -> Result<Started, String> {
        let alone = |part| Started { parts: vec![part], errands: Vec::new() };
        Ok(match role {
            Role::Control => alone(self.control().await?),
            Role::Dialer => {
                let (dialer, socket) = self.dialer().await?;
                let errand = Errand { to: Role::Gateway, message: ToChild::ReplaceDialer, descriptors: vec![socket] };
                Started { parts: vec![dialer], errands: vec![errand] }
            }
            Role::Engine => alone(self.engine().await?),
            Role::Gateway => Started { parts: self.serving().await?, errands: Vec::new() },
            Role::Node => alone(self.node().await?),
        })
    }

    async fn obey(self: Arc<Self>, order: Order, mates: Crewmates) -> Obeyed {
        match order {
            Order::Describe => Obeyed { started: Vec::new(), answer: reload::describe(&self) },
            Order::Recycle => upgrade::recycle(&self).await,
            Order::Refresh => Obeyed { started: Vec::new(), answer: reload::refresh(&self, &mates).await },
            Order::Reload => Obeyed { started: Vec::new(), answer: reload::reload(&self, &mates).await },
            Order::Upgrade => upgrade::upgrade(&self, &mates).await,
        }
    }

    fn heard(&self, said: &SecretBytes, mates: &Crewmates) {
        match FromControl::decode(said.expose()) {
            Some(FromControl::Configured(outcome)) => {
                if let Some(waiting) = self.configuring.lock().unwrap_or_else(PoisonError::into_inner).take() {
                    // Whoever waited too long has gone.
                    let _ = waiting.send(outcome);
                }
            }
            Some(FromControl::Issued(identities)) => self.issued(identities, mates),
            // Of another version: what it says cannot be followed, and it is replaced with the next upgrade.
            None => {}
        }
    }

    fn has_new_secrets(&self) -> bool {
        let unusable = self.unusable_secrets.lock().unwrap_or_else(PoisonError::into_inner);
        self.config().replaced_secrets().is_some_and(|replaced| unusable.as_ref() != Some(&replaced))
    }

    fn running(&self, parts: &[(Role, u32)]) {
        self.board.running(parts);
    }

    fn tell(&self, notice: Notice) {
        if matches!(notice, Notice::Draining) {
            // Nobody is to wait at a port behind which there is nothing any more.
            self.listeners.lock().unwrap_or_else(PoisonError::into_inner).take();
        }
        tell(&notice);
    }
}

fn pair() -> Result<(OwnedFd, OwnedFd), String> {
    packet_pair().map_err(|error| format!("no socket pair can be had: {error}"))
}
