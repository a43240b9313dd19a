//! Step 1: a user per role, no supplementary groups, no capabilities, and no way back to any.
//!
//! capabilities(7): a change of all user ids away from 0 empties the permitted, effective and ambient sets; the bounding
//! set and the secure bits need `CAP_SETPCAP` and so come first. Everything is read back afterwards.

use rustix::{
    io::Errno,
    process::{Gid, Uid},
    thread::{CapabilitiesSecureBits, CapabilitySet, CapabilitySets},
};

use crate::sys;

/// Capabilities that the kernel numbers at most (`CAP_LAST_CAP` is 40 in Linux 6.18; the sets have 64 bits).
const CAPABILITY_BITS: u32 = 64;

/// Becomes `user` (uid, gid) when started as root, and drops every privilege in any case.
///
/// # Errors
/// Any refusal; root without a user to become; an ordinary user that is to become somebody.
pub(crate) fn drop_privileges(user: Option<(u32, u32)>) -> Result<(), Errno> {
    match (user, rustix::process::geteuid().is_root()) {
        (Some((uid, gid)), true) if uid != 0 && gid != 0 => change_user(uid, gid)?,
        (None, false) => drop_capabilities()?,
        _ => return Err(Errno::PERM),
    }
    verify(user)
}

fn change_user(uid: u32, gid: u32) -> Result<(), Errno> {
    let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
    drop_bounding_set()?;
    rustix::thread::set_thread_groups(&[])?;
    rustix::thread::set_thread_res_gid(gid, gid, gid)?;
    rustix::thread::set_thread_res_uid(uid, uid, uid)?;
    drop_sets()
}

/// Drops every capability of this thread: those of an ordinary user with ambient or file capabilities, and those that
/// come with a new user namespace.
pub(crate) fn drop_capabilities() -> Result<(), Errno> {
    if rustix::thread::capabilities(None)?.effective.contains(CapabilitySet::SETPCAP) {
        drop_bounding_set()?;
    }
    drop_sets()
}

/// Empties the bounding set and locks the secure bits: no later exec or set-user-ID could bring a capability back, even if
/// the filter let one through. Needs `CAP_SETPCAP`.
fn drop_bounding_set() -> Result<(), Errno> {
    for bit in 0..CAPABILITY_BITS {
        let capability = CapabilitySet::from_bits_retain(1 << bit);
        match rustix::thread::capability_is_in_bounding_set(capability) {
            Ok(true) => rustix::thread::remove_capability_from_bounding_set(capability)?,
            Ok(false) => {}
            // Beyond the last capability that this kernel knows (PR_CAPBSET_READ(2const)).
            Err(Errno::INVAL) => break,
            Err(other) => return Err(other),
        }
    }
    rustix::thread::set_capabilities_secure_bits(
        CapabilitiesSecureBits::NO_ROOT
            | CapabilitiesSecureBits::NO_ROOT_LOCKED
            | CapabilitiesSecureBits::KEEP_CAPS_LOCKED
            | CapabilitiesSecureBits::NO_CAP_AMBIENT_RAISE
            | CapabilitiesSecureBits::NO_CAP_AMBIENT_RAISE_LOCKED,
    )
}

fn drop_sets() -> Result<(), Errno> {
    rustix::thread::clear_ambient_capability_set()?;
    let none = CapabilitySet::empty();
    rustix::thread::set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none })
}

/// Reads back that nothing is left and that root cannot be had again.
fn verify(user: Option<(u32, u32)>) -> Result<(), Errno> {
    let (uids, gids) = sys::ids()?;
    let as_told = user.is_none_or(|(uid, gid)| uids == [uid; 3] && gids == [gid; 3]);
    let settled = uids.iter().all(|uid| *uid != 0 && *uid == uids[0]) && gids.iter().all(|gid| *gid == gids[0]);
    // setgroups(2) is not permitted to an ordinary user: its groups stay, and the kernel's view in the posture shows them.
    let groups_gone = user.is_none() || rustix::process::getgroups()?.is_empty();
    let root = Uid::ROOT;
    let root_refused = rustix::thread::set_thread_res_uid(root, root, root) == Err(Errno::PERM);
    if as_told && settled && groups_gone && root_refused && no_capabilities()? { Ok(()) } else { Err(Errno::PERM) }
}

/// Whether permitted, effective and inheritable sets are empty.
pub(crate) fn no_capabilities() -> Result<bool, Errno> {
    let sets = rustix::thread::capabilities(None)?;
    Ok(sets.effective.is_empty() && sets.permitted.is_empty() && sets.inheritable.is_empty())
}
