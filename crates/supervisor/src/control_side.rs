//! Control's end: what a freshly started `lethe control` finds in its standard input, and how it gives up its rights.
//!
//! Control holds no content, so it is not confined as the data plane is. It still has a user of its own, no way to new rights, no
//! core dump, and sees no folder but its own where it was started as root.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    path::Path,
};

use lethe_confine::channel::{AsyncChannel, Channel, ChannelError};
use lethe_handover::{FromChild, MishapCount, SecretBytes, ToChild};
use rustix::{
    fs::{Mode, OFlags},
    process::{DumpableBehavior, Gid, Resource, Rlimit, Signal, Uid},
};
use serde::{Serialize, de::DeserializeOwned};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::{mpsc, oneshot},
};

/// What control was started with.
pub struct ControlBoot<B> {
    /// The boot message.
    pub message: B,
    /// What came along.
    pub descriptors: Vec<OwnedFd>,
    channel: Channel,
}

/// Control's end of the channel to its supervisor.
pub struct ControlChannel(AsyncChannel);

impl<B: DeserializeOwned> ControlBoot<B> {
    /// Takes the channel out of standard input and waits for the boot message. First thing in `main`.
    ///
    /// # Errors
    /// Standard input is no channel (nobody but a supervisor starts control), or the message is none of this version.
    pub fn receive() -> Result<Self, ChannelError> {
        let channel = std::io::stdin().as_fd().try_clone_to_owned().map_err(|_| ChannelError::Closed)?;
        let channel = Channel::from_fd(channel)?;
        let null = rustix::fs::open(c"/dev/null", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
        rustix::stdio::dup2_stdin(null)?;
        let (message, descriptors) = channel.recv()?;
        Ok(Self { message, descriptors, channel })
    }

    /// The message, the descriptors, and the channel for use within a tokio runtime.
    ///
    /// # Errors
    /// The socket cannot be registered.
    pub fn into_parts(self) -> Result<(B, Vec<OwnedFd>, ControlChannel), ChannelError> {
        Ok((self.message, self.descriptors, ControlChannel(self.channel.into_async()?)))
    }
}

impl ControlChannel {
    /// Tells why control does not start.
    pub async fn fail(&self, reason: &str) {
        // A supervisor that is gone needs no reason.
        let _ = self.0.send(&Err::<(), _>(reason), &[]).await;
    }

    /// Passes `ready` on once it is there, then orders and news, and waits until the end is asked for: by the supervisor's word or
    /// its death. `mishaps` is given every new list of what befell the parts.
    pub async fn until_asked<T: Serialize, O: DeserializeOwned, N: Serialize>(
        &self,
        ready: oneshot::Receiver<T>,
        orders: mpsc::UnboundedSender<O>,
        mut news: mpsc::UnboundedReceiver<N>,
        mut mishaps: impl FnMut(Vec<MishapCount>),
    ) {
        let Ok(mut terminate) = signal(SignalKind::terminate()) else { return };
        let Ok(answer) = ready.await else { return };
        if self.0.send(&Ok::<_, String>(answer), &[]).await.is_err() {
            return;
        }
        loop {
            tokio::select! {
                message = self.0.recv::<ToChild>() => match message {
                    Ok((ToChild::Drain, _)) | Err(_) => return,
                    Ok((ToChild::ToControl(order), _)) => {
                        if let Ok(order) = postcard::from_bytes(order.expose()) {
                            // Nobody listens any more at the end.
                            let _ = orders.send(order);
                        }
                    }
                    Ok((ToChild::Mishaps(list), _)) => mishaps(list),
                    Ok(_) => {}
                },
                Some(news) = news.recv() => {
                    if let Ok(news) = postcard::to_allocvec(&news) {
                        // A supervisor that is gone is noticed by the next receive.
                        let _ = self.0.send(&FromChild::FromControl(SecretBytes::new(news)), &[]).await;
                    }
                }
                _ = terminate.recv() => return,
            }
        }
    }

    /// Tells that everything is written; the process exits next.
    pub async fn drained(&self) {
        let _ = self.0.send(&FromChild::Drained, &[]).await;
    }
}

/// Gives up every right that control does not need. There must be one thread only.
///
/// With `user`, which needs root: `root` becomes the root folder, if given, and `user` (uid, gid) the user; the kernel empties
/// every capability set with that (capabilities(7)). In any case: no new privileges, no core dumps, not readable by other
/// processes, files for this user only, and SIGTERM when the supervisor dies.
///
/// # Errors
/// The kernel's refusal: control must not start then.
pub fn give_up_rights(user: Option<(u32, u32)>, root: Option<&Path>) -> io::Result<()> {
    if let Some((uid, gid)) = user {
        let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
        if let Some(root) = root {
            rustix::process::chroot(root)?;
            rustix::process::chdir(c"/")?;
        }
        rustix::thread::set_thread_groups(&[])?;
        rustix::thread::set_thread_res_gid(gid, gid, gid)?;
        rustix::thread::set_thread_res_uid(uid, uid, uid)?;
        let back = rustix::thread::set_thread_res_uid(Uid::ROOT, Uid::ROOT, Uid::ROOT);
        if back.is_ok() || rustix::process::geteuid() != uid || rustix::process::getegid() != gid {
            return Err(io::Error::other("root's rights did not go"));
        }
    }
    rustix::process::umask(Mode::RWXG | Mode::RWXO);
    rustix::process::setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    rustix::thread::set_no_new_privs(true)?;
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    // After the change of user, which clears it (PR_SET_PDEATHSIG(2const)). A supervisor that died before this line has closed
    // the channel, which ends control as well.
    rustix::process::set_parent_process_death_signal(Some(Signal::TERM))?;
    Ok(())
}
