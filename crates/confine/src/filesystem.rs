//! Wall 2: no path leads anywhere. Landlock at the newest ABI that the kernel and this program both know, or, where the
//! kernel has no Landlock, an empty read-only root in namespaces of its own.

use landlock::{ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, Ruleset, RulesetAttr, RulesetStatus, Scope};
use lethe_handover::Role;
use rustix::{
    fs::{AtFlags, Mode, OFlags},
    io::Errno,
    mount::{MountFlags, MountPropagationFlags, UnmountFlags},
};

use crate::{identity, limits, sys};

/// The newest ABI whose rights this program has been written and tested for. A kernel with a newer one still offers these.
const NEWEST_ABI: i32 = 7;

/// What the kernel offers for this wall.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Offer {
    /// Landlock at this ABI.
    Landlock(i32),
    /// No Landlock.
    Nothing,
}

/// Asks the kernel.
///
/// # Errors
/// Any answer but an ABI, `ENOSYS` (built without) or `EOPNOTSUPP` (switched off at boot): a kernel that has Landlock and
/// refuses it is no reason to do without.
pub(crate) fn offer() -> Result<Offer, Errno> {
    match sys::landlock_abi() {
        Ok(abi) if abi >= 1 => Ok(Offer::Landlock(abi.min(NEWEST_ABI))),
        Err(Errno::NOSYS | Errno::OPNOTSUPP) => Ok(Offer::Nothing),
        Ok(_) => Err(Errno::INVAL),
        Err(other) => Err(other),
    }
}

/// Handles every right of `abi` and grants none. The dialer alone keeps `connect`: Landlock's network rules are by port, and
/// which ports it may dial is on control's signed list, which changes.
///
/// # Errors
/// Whatever Landlock refuses, and any state but `FullyEnforced`.
pub(crate) fn restrict(role: Role, abi: i32) -> Result<(), Errno> {
    let abi = ABI::from(abi);
    let mut network = AccessNet::from_all(abi);
    if role == Role::Dialer {
        network.remove(AccessNet::ConnectTcp);
    }
    let scopes = Scope::from_all(abi);
    let enforce = || -> Result<RulesetStatus, landlock::RulesetError> {
        // The library refuses an empty set of rights, which older ABIs have for the network and for scopes.
        let mut ruleset =
            Ruleset::default().set_compatibility(CompatLevel::HardRequirement).handle_access(AccessFs::from_all(abi))?;
        if !network.is_empty() {
            ruleset = ruleset.handle_access(network)?;
        }
        if !scopes.is_empty() {
            ruleset = ruleset.scope(scopes)?;
        }
        Ok(ruleset.create()?.restrict_self()?.ruleset)
    };
    match enforce() {
        Ok(RulesetStatus::FullyEnforced) => Ok(()),
        _ => Err(Errno::PERM),
    }
}

/// Moves this process to an empty read-only root of its own. Root needs no user namespace for it; an ordinary user gets one,
/// whose capabilities are dropped again at once.
///
/// Answers whether the wall stands: many hosts let nobody make namespaces, which the posture then shows.
///
/// # Errors
/// When the capabilities of the new user namespace cannot be dropped.
pub(crate) fn empty_root(user_namespace: bool) -> Result<bool, Errno> {
    if sys::new_namespaces(user_namespace).is_err() {
        return Ok(false);
    }
    let stands = move_to_empty_root().is_ok();
    if user_namespace {
        identity::drop_capabilities()?;
        // Gaining capabilities in the new namespace has set `dumpable` back to the host's default (credentials(7)).
        limits::not_dumpable()?;
        if !identity::no_capabilities()? {
            return Err(Errno::PERM);
        }
    }
    Ok(stands)
}

fn move_to_empty_root() -> Result<(), Errno> {
    // Nothing that happens here is to be seen outside (mount_namespaces(7)).
    rustix::mount::mount_change(c"/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?;
    // /proc is there, as the start has read it, and is needed no longer. One inode: the root itself.
    let flags = MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    rustix::mount::mount(c"none", c"/proc", c"tmpfs", flags, c"size=4096,nr_inodes=1,mode=0555")?;
    rustix::process::chdir(c"/proc")?;
    // pivot_root(2): with both arguments the same, the old root ends up under the new one, and is taken away from there.
    rustix::process::pivot_root(c".", c".")?;
    rustix::mount::unmount(c".", UnmountFlags::DETACH)?;
    rustix::process::chdir(c"/")?;
    // Seen, not believed: the old root's /proc is gone, and nothing can be made in the new one.
    let proc_gone = rustix::fs::statat(rustix::fs::CWD, c"/proc", AtFlags::empty()).err() == Some(Errno::NOENT);
    let probe = rustix::fs::open(c"/probe", OFlags::WRONLY | OFlags::CREATE | OFlags::CLOEXEC, Mode::RUSR);
    if proc_gone && matches!(probe, Err(Errno::ROFS | Errno::ACCESS)) { Ok(()) } else { Err(Errno::PERM) }
}

#[cfg(test)]
mod tests {
    #![expect(unsafe_code, clippy::unwrap_used, reason = "Landlock is tried in forked children, one for each role")]

    use super::*;

    /// What Landlock alone refuses: errno of opening a file, making one, TCP connect, TCP bind, and a signal to the parent.
    fn refusals(role: Option<Role>) -> [i32; 5] {
        let (read, write) = rustix::pipe::pipe().unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        // SAFETY: the child makes system calls and ends; it takes no lock that another thread of the test could hold.
        let child = unsafe { libc::fork() };
        if child == 0 {
            let mut answers = [-1_i32; 5];
            let ready = role.is_none_or(|role| {
                rustix::thread::set_no_new_privs(true).is_ok()
                    && matches!(offer(), Ok(Offer::Landlock(abi)) if restrict(role, abi).is_ok())
            });
            if ready {
                answers = attempts(port);
            }
            let bytes = answers.map(i32::to_ne_bytes).concat();
            let _ = rustix::io::write(&write, &bytes);
            // SAFETY: ends the child without the test runner's exit handlers.
            unsafe { libc::_exit(0) };
        }
        drop(write);
        let mut bytes = [0; 20];
        assert_eq!(rustix::io::read(&read, &mut bytes), Ok(20));
        // SAFETY: a child of this process, waited for once.
        unsafe { libc::waitpid(child, std::ptr::null_mut(), 0) };
        std::array::from_fn(|index| i32::from_ne_bytes(bytes[index * 4..index * 4 + 4].try_into().unwrap()))
    }

    fn attempts(port: u16) -> [i32; 5] {
        use rustix::net::{AddressFamily, SocketAddrV4, SocketType};
        let code = |result: Result<(), Errno>| result.map_or_else(Errno::raw_os_error, |()| 0);
        let open = |path, flags| rustix::fs::open(path, flags | OFlags::CLOEXEC, Mode::RUSR).map(drop);
        let socket = || rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None);
        let at = |port| SocketAddrV4::new(std::net::Ipv4Addr::LOCALHOST, port);
        [
            code(open(c"/etc/passwd", OFlags::RDONLY)),
            code(open(c"/tmp", OFlags::WRONLY | OFlags::TMPFILE)),
            code(socket().and_then(|socket| rustix::net::connect(socket, &at(port)))),
            code(socket().and_then(|socket| rustix::net::bind(socket, &at(0)))),
            code(rustix::process::test_kill_process(rustix::process::getppid().unwrap())),
        ]
    }

    #[test]
    fn landlock_alone_refuses_files_connections_and_signals() {
        assert_eq!(refusals(None), [0; 5], "control: without it everything works");
        let (access, permission) = (libc::EACCES, libc::EPERM);
        for role in [Role::Engine, Role::Gateway, Role::Node] {
            assert_eq!(refusals(Some(role)), [access, access, access, access, permission], "{role:?}");
        }
        assert_eq!(refusals(Some(Role::Dialer)), [access, access, 0, access, permission], "the dialer connects, and no more");
    }
}
