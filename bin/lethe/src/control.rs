//! `lethe control`: the control process, as `lethe up` starts it.

use std::{
    cell::Cell,
    net::{IpAddr, TcpListener},
    os::{fd::OwnedFd, unix::net::UnixListener},
    path::PathBuf,
    pin::Pin,
    sync::Arc,
};

use lethe_confine::dialer::{Names as DialerNames, allowed};
use lethe_control::{
    Listeners, Mishaps, Names, Outbound, Outside,
    start::{ControlStart, Supervisor},
};
use lethe_supervisor::{ChannelError, ControlBoot, ControlChannel, give_up_rights};
use lethe_types::SystemClock;
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};

use crate::failure::Failure;

/// Control's boot message. Descriptors, in order: link listener, console listener, operator socket.
#[derive(Serialize, Deserialize)]
pub(crate) struct Boot {
    /// What control needs to know; paths are as control sees them, that is below `root`.
    pub(crate) start: ControlStart,
    /// User and group to become; `None` when started by an ordinary user.
    pub(crate) user: Option<(u32, u32)>,
    /// Folder that becomes control's root folder; needs `user`.
    pub(crate) root: Option<PathBuf>,
}

/// Looks names up as the dialer does, and leaves out the addresses that it would.
pub(crate) struct Resolver(pub(crate) DialerNames);

impl Names for Resolver {
    fn addresses<'a>(&'a self, host: &'a str, allow_private: bool) -> Pin<Box<dyn Future<Output = Vec<IpAddr>> + Send + 'a>> {
        Box::pin(async move {
            let mut addresses = self.0.addresses(host).await;
            addresses.retain(|address| allowed(*address, allow_private));
            addresses
        })
    }
}

pub(crate) fn run() -> Result<(), Failure> {
    let boot = ControlBoot::<Boot>::receive().map_err(|error| match error {
        // The supervisor went away before it had said anything: it was stopped, and knows.
        ChannelError::Closed => Failure::quiet(),
        _ => Failure::usage("control is started by `lethe up` only"),
    })?;
    // The last moment for it: the files that say who resolves names are gone with the root folder.
    let names = Resolver(DialerNames::from_system());
    let rights = give_up_rights(boot.message.user, boot.message.root.as_deref());
    crate::runtime()?.block_on(async {
        let (message, descriptors, channel) = boot.into_parts().map_err(|error| Failure::failed(error.to_string()))?;
        let started = Cell::new(false);
        let result = match rights {
            Ok(()) => serve(message, names, descriptors, &channel, &started).await,
            Err(error) => Err(format!("it could not give up its rights: {error}")),
        };
        match result {
            Ok(()) => {
                channel.drained().await;
                Ok(())
            }
            // The supervisor says why a start failed; what comes later is on standard error.
            Err(reason) if started.get() => Err(Failure::failed(reason)),
            Err(reason) => {
                channel.fail(&reason).await;
                Err(Failure::quiet())
            }
        }
    })
}

async fn serve(
    boot: Boot,
    names: Resolver,
    descriptors: Vec<OwnedFd>,
    channel: &ControlChannel,
    started: &Cell<bool>,
) -> Result<(), String> {
    let [link, console, operator] =
        <[OwnedFd; 3]>::try_from(descriptors).map_err(|_| "it was given other listeners than it needs")?;
    let listeners = Listeners {
        link: TcpListener::from(link),
        console: Some(TcpListener::from(console)),
        operator: UnixListener::from(operator),
    };
    let (tell, told) = oneshot::channel();
    let ((orders, inbox), (outbox, news)) = (mpsc::unbounded_channel(), mpsc::unbounded_channel());
    let supervisor = Supervisor { orders: inbox, news: outbox };
    let ready = |answer| {
        started.set(true);
        // Nobody listens any more when the end came first.
        let _ = tell.send(answer);
    };
    let mishaps = Mishaps::default();
    let shutdown = channel.until_asked(told, orders, news, |list| mishaps.replace(list));
    let outside = Outside { clock: Arc::new(SystemClock), outbound: Outbound::new(Arc::new(names)) };
    lethe_control::run(boot.start, listeners, outside, supervisor, shutdown, ready, mishaps.clone())
        .await
        .map_err(|error| error.to_string())
}
