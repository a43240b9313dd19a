//! Starts every part, in order; if one does not start, those before it are stopped again.

use std::{fs::File, os::fd::AsFd, path::PathBuf, time::Duration};

use lethe_config::Config;
use lethe_control::start::ControlReady;
use lethe_handover::{BootOptions, DialerBoot, Identity, Role, ToChild};
use lethe_supervisor::{Launcher, Part, StartError, beside, packet_pair};

use super::{
    listen::{Addresses, Listeners},
    setup,
    state::State,
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

/// Everything that starts need.
#[derive(Clone, Copy)]
pub(crate) struct Plan<'a> {
    pub(crate) config: &'a Config,
    pub(crate) state: &'a State,
    pub(crate) executables: &'a Executables,
    pub(crate) engine: Option<&'a setup::Engine>,
    pub(crate) addresses: &'a Addresses,
}

/// Every part, started.
pub(crate) struct Started {
    pub(crate) parts: Vec<Part>,
    pub(crate) first_key: Option<String>,
    pub(crate) authority: Vec<u8>,
}

/// Starts control, then the engine and its front, then the dialer and the gateway. The listeners are theirs afterwards.
pub(crate) async fn start(
    launcher: &mut Launcher,
    plan: Plan<'_>,
    listeners: Listeners,
    options: &dyn Fn(Role) -> BootOptions,
) -> Result<Started, Failure> {
    say::progress("starting control");
    let boot = setup::control(plan.config, plan.state, plan.engine, plan.addresses, options(Role::Control).user)?;
    let descriptors = [listeners.link.as_fd(), listeners.console.as_fd(), listeners.operator.as_fd()];
    let control = launcher.control::<_, ControlReady>(&plan.executables.own, &boot, &descriptors).await.map_err(failed)?;
    let (ready, mut parts) = (control.ready, vec![control.part]);
    match data_plane(launcher, plan, &listeners, &ready, options, &mut parts).await {
        Ok(()) => Ok(Started { parts, first_key: ready.first_key, authority: ready.authority }),
        Err(failure) => {
            for part in parts.into_iter().rev() {
                part.stop(STOP).await;
            }
            Err(failure)
        }
    }
}

async fn data_plane(
    launcher: &mut Launcher,
    plan: Plan<'_>,
    listeners: &Listeners,
    ready: &ControlReady,
    options: &dyn Fn(Role) -> BootOptions,
    parts: &mut Vec<Part>,
) -> Result<(), Failure> {
    let pair = || packet_pair().map_err(|error| Failure::failed(format!("no socket pair can be had: {error}")));
    let dataplane = &plan.executables.dataplane;
    if let (Some(engine), Some(executable)) = (plan.engine, &plan.executables.engine) {
        say::progress("starting the embedded engine");
        let model = File::open(&engine.path)
            .map_err(|error| Failure::failed(format!("the model {} cannot be read: {error}", engine.path.display())))?;
        let (front, back) = pair()?;
        let boot = ToChild::Engine(Box::new(engine.boot()), options(Role::Engine));
        parts.push(launcher.confined(executable, Role::Engine, &boot, &[back.as_fd(), model.as_fd()]).await.map_err(failed)?);
        let boot = ToChild::Node(Box::new(setup::node(identity(ready, Role::Node)?)), options(Role::Node));
        parts.push(
            launcher.confined(dataplane, Role::Node, &boot, &[listeners.node.as_fd(), front.as_fd()]).await.map_err(failed)?,
        );
    }
    say::progress("starting the gateway");
    let (gateway, dialer) = pair()?;
    let boot = DialerBoot { verify_key: ready.verify_key, endpoints: ready.endpoints.clone() };
    let boot = ToChild::Dialer(Box::new(boot), options(Role::Dialer));
    parts.push(launcher.confined(dataplane, Role::Dialer, &boot, &[dialer.as_fd()]).await.map_err(failed)?);
    let boot = setup::gateway(plan.config, identity(ready, Role::Gateway)?);
    let boot = ToChild::Gateway(Box::new(boot), options(Role::Gateway));
    let descriptors = [listeners.client.as_fd(), listeners.probes.as_fd(), gateway.as_fd()];
    parts.push(launcher.confined(dataplane, Role::Gateway, &boot, &descriptors).await.map_err(failed)?);
    Ok(())
}

fn identity(ready: &ControlReady, role: Role) -> Result<Identity, Failure> {
    let identity = ready.identities.iter().find(|(of, _)| *of == role).map(|(_, identity)| identity.clone());
    identity.ok_or_else(|| Failure::failed(format!("control issued no identity for the {}", role.name())))
}

fn failed(error: StartError) -> Failure {
    Failure::failed(error.to_string())
}
