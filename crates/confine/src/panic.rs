//! What a panic leaves behind: where, never what.
//!
//! A panic's message formats values, and values are content. The hook sends a [`FromChild::Panicked`] of fixed size with
//! hashes of the build and of the source file, and the line; it formats nothing and allocates nothing.

use std::{
    os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd},
    panic::PanicHookInfo,
};

use lethe_handover::{FromChild, PanicReport};
use rustix::net::SendFlags;

/// Hash of this build: package version and, where the builder gives one, build identifier.
pub const BUILD: u64 = fnv1a(
    match option_env!("LETHE_BUILD") {
        Some(build) => build,
        None => "",
    }
    .as_bytes(),
    fnv1a(env!("CARGO_PKG_VERSION").as_bytes(), FNV_OFFSET),
);

/// FNV-1a, 64 bits: offset basis (draft-eastlake-fnv, section 5).
const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
/// FNV-1a, 64 bits: prime.
const FNV_PRIME: u64 = 0x0000_0100_0000_01b3;

const fn fnv1a(bytes: &[u8], mut hash: u64) -> u64 {
    let mut index = 0;
    while index < bytes.len() {
        hash = (hash ^ bytes[index] as u64).wrapping_mul(FNV_PRIME);
        index += 1;
    }
    hash
}

/// Hash of a source file's name as reports carry it: what a reader of reports looks up.
#[must_use]
pub fn location_hash(file: &str) -> u64 {
    fnv1a(file.as_bytes(), FNV_OFFSET)
}

/// Replaces the panic hook, which would print the message, by one that reports on the channel.
///
/// The channel's descriptor is duplicated, so that the hook works from any thread for as long as the process lives. Answers
/// the duplicate's number. [`crate::boot::start`] does this for every confined process.
///
/// # Errors
/// When no descriptor is left.
pub fn install(channel: BorrowedFd<'_>) -> Result<RawFd, rustix::io::Errno> {
    let channel: OwnedFd = rustix::io::fcntl_dupfd_cloexec(channel, 0)?;
    let number = channel.as_raw_fd();
    std::panic::set_hook(Box::new(move |info| report(&channel, info)));
    Ok(number)
}

fn report(channel: &OwnedFd, info: &PanicHookInfo<'_>) {
    let (location, line) = info.location().map_or((0, 0), |location| (location_hash(location.file()), location.line()));
    let mut buffer = [0_u8; 64];
    if let Ok(bytes) = postcard::to_slice(&FromChild::Panicked(PanicReport { build: BUILD, location, line }), &mut buffer) {
        let _ = rustix::net::send(channel, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_fnv_1a() {
        // Test vectors of draft-eastlake-fnv, appendix C.
        assert_eq!(location_hash(""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(location_hash("a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(location_hash("foobar"), 0x8594_4171_f739_67e8);
    }
}
