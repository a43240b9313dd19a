//! Private keys and credentials in memory that the kernel keeps to this process.
//!
//! `memfd_secret(2)` pages are removed from the kernel's own direct map: neither another process (`/proc/PID/mem`,
//! `process_vm_readv`) nor a core dump, hibernation or swap can hold them. Where the kernel does not offer it, locked
//! anonymous pages left out of core dumps (`mlock(2)`, `MADV_DONTDUMP`) take their place, and the posture says so.
//!
//! ```
//! use lethe_confine::secret::Arena;
//!
//! let arena = Arena::new()?;
//! let key = arena.put(b"sk-0123456789abcdef")?;
//! let shared = key.clone();
//! drop(key);
//! assert_eq!(shared.expose(), b"sk-0123456789abcdef");
//! # Ok::<(), lethe_confine::secret::ArenaError>(())
//! ```
#![expect(unsafe_code, reason = "memfd_secret memory is mapped and handed out as slices here")]

use std::{
    ffi::c_void,
    os::fd::{FromRawFd, OwnedFd},
    ptr::NonNull,
    sync::{Arc, Mutex, PoisonError},
};

use rustix::mm::{Advice, MapFlags, ProtFlags};
use zeroize::Zeroize;

/// Size of an arena, in bytes. Inside the 8 MB of `RLIMIT_MEMLOCK` that an ordinary user has by default.
pub const ARENA_BYTES: usize = 256 * 1024;

/// Room is handed out in units of this many bytes.
const UNIT: usize = 64;

/// Why there is no arena, or no room in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArenaError {
    /// No free stretch is long enough.
    Full,
    /// The kernel gave neither secret nor locked memory.
    Memory,
}

impl std::fmt::Display for ArenaError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Full => "secret memory is full",
            Self::Memory => "no secret or locked memory",
        })
    }
}

impl std::error::Error for ArenaError {}

/// A fixed stretch of secret memory. Clones share it; it is unmapped when the last clone and the last [`Secret`] are gone.
///
/// Made before the limits: the filter refuses both `memfd_secret` and shared mappings afterwards, while putting in and
/// taking out need no system call.
#[derive(Clone)]
pub struct Arena {
    region: Arc<Region>,
}

impl Arena {
    /// Maps [`ARENA_BYTES`] of secret memory, or of locked memory where the kernel has no `memfd_secret`.
    ///
    /// # Errors
    /// [`ArenaError::Memory`] when the kernel gives neither.
    pub fn new() -> Result<Self, ArenaError> {
        Self::with_size(ARENA_BYTES)
    }

    /// As [`Arena::new`], with a size of `bytes` (rounded up to whole pages).
    ///
    /// # Errors
    /// [`ArenaError::Memory`] when the kernel gives neither secret nor locked memory of this size.
    pub fn with_size(bytes: usize) -> Result<Self, ArenaError> {
        let bytes = bytes.max(1).next_multiple_of(rustix::param::page_size());
        let (start, secret) = match map_secret(bytes) {
            Some(start) => (start, true),
            None => (map_locked(bytes).ok_or(ArenaError::Memory)?, false),
        };
        let free = Mutex::new(vec![Stretch { offset: 0, len: bytes }]);
        Ok(Self { region: Arc::new(Region { start, bytes, secret, free }) })
    }

    /// Whether the pages come from `memfd_secret`; otherwise they are locked pages.
    #[must_use]
    pub fn is_secret_memory(&self) -> bool {
        self.region.secret
    }

    /// Copies `bytes` in. The caller wipes what it copied from.
    ///
    /// # Errors
    /// [`ArenaError::Full`] when no free stretch is long enough.
    pub fn put(&self, bytes: &[u8]) -> Result<Secret, ArenaError> {
        let room = bytes.len().max(1).checked_next_multiple_of(UNIT).ok_or(ArenaError::Full)?;
        let offset = self.region.take(room).ok_or(ArenaError::Full)?;
        let start = self.region.at(offset);
        // SAFETY: `take` gave this stretch of the mapping to nobody else, it is at least `bytes.len()` long and writable,
        // and `bytes` cannot overlap it because no reference into a free stretch exists.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), start.as_ptr(), bytes.len()) };
        Ok(Secret { block: Arc::new(Block { region: Arc::clone(&self.region), offset, len: bytes.len(), room }) })
    }
}

/// Bytes in an [`Arena`]: no `Debug`, no `Display`, no serialisation. Wiped when the last clone is dropped.
#[derive(Clone)]
pub struct Secret {
    block: Arc<Block>,
}

impl Secret {
    /// The bytes. They must not be copied into ordinary memory for longer than a call.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        // SAFETY: the block owns this initialised stretch until it is dropped, which `self` outlives; nothing writes to it
        // in between.
        unsafe { std::slice::from_raw_parts(self.block.region.at(self.block.offset).as_ptr(), self.block.len) }
    }
}

/// The mapping and what of it is free.
struct Region {
    start: NonNull<u8>,
    bytes: usize,
    secret: bool,
    /// Free stretches, by offset, never adjacent to one another.
    free: Mutex<Vec<Stretch>>,
}

#[derive(Clone, Copy)]
struct Stretch {
    offset: usize,
    len: usize,
}

// SAFETY: the mapping belongs to the region until it is dropped and is reachable from any thread; stretches of it are
// handed out under the lock, each to one owner.
unsafe impl Send for Region {}
// SAFETY: as above; shared access to a stretch is read-only ([`Secret::expose`]) until its only owner drops it.
unsafe impl Sync for Region {}

impl Region {
    fn at(&self, offset: usize) -> NonNull<u8> {
        debug_assert!(offset <= self.bytes, "offsets come from `take`");
        // SAFETY: offsets come from `take`, which keeps them within the mapping.
        unsafe { self.start.add(offset) }
    }

    /// The first free stretch that is long enough.
    fn take(&self, room: usize) -> Option<usize> {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let index = free.iter().position(|stretch| stretch.len >= room)?;
        let stretch = free.get_mut(index)?;
        let offset = stretch.offset;
        stretch.offset += room;
        stretch.len -= room;
        if stretch.len == 0 {
            free.remove(index);
        }
        Some(offset)
    }

    fn give_back(&self, offset: usize, room: usize) {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let index = free.partition_point(|stretch| stretch.offset < offset);
        free.insert(index, Stretch { offset, len: room });
        // Join with the next, then with the previous one.
        for left in [index, index.wrapping_sub(1)] {
            let right = left.wrapping_add(1);
            if let (Some(&a), Some(&b)) = (free.get(left), free.get(right))
                && a.offset + a.len == b.offset
            {
                free[left].len += b.len;
                free.remove(right);
            }
        }
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        // SAFETY: mapped by `map_secret` or `map_locked` with this length; no block is left, since each holds the region.
        let _ = unsafe { rustix::mm::munmap(self.start.as_ptr().cast::<c_void>(), self.bytes) };
    }
}

struct Block {
    region: Arc<Region>,
    offset: usize,
    len: usize,
    room: usize,
}

impl Drop for Block {
    fn drop(&mut self) {
        // SAFETY: the block is the only owner of this stretch, and no `Secret` is left that could hold a slice of it. The
        // whole mapping is initialised: the kernel hands out zeroed pages.
        unsafe { std::slice::from_raw_parts_mut(self.region.at(self.offset).as_ptr(), self.room) }.zeroize();
        self.region.give_back(self.offset, self.room);
    }
}

/// `memfd_secret` memory, its descriptor closed again.
fn map_secret(bytes: usize) -> Option<NonNull<u8>> {
    // SAFETY: the call takes one flag word and no pointer. There is no wrapper for it in libc or rustix.
    let raw = unsafe { libc::syscall(libc::SYS_memfd_secret, libc::O_CLOEXEC) };
    let raw = i32::try_from(raw).ok().filter(|raw| *raw >= 0)?;
    // SAFETY: the call above returned this descriptor, which nobody else knows.
    let fd = unsafe { OwnedFd::from_raw_fd(raw) };
    rustix::fs::ftruncate(&fd, bytes as u64).ok()?;
    // Populated now, so that running out of RLIMIT_MEMLOCK shows here and not as SIGBUS later.
    // SAFETY: a new mapping at an address of the kernel's choice overlaps nothing.
    let start = unsafe {
        rustix::mm::mmap(
            std::ptr::null_mut(),
            bytes,
            ProtFlags::READ | ProtFlags::WRITE,
            MapFlags::SHARED | MapFlags::POPULATE,
            &fd,
            0,
        )
    };
    NonNull::new(start.ok()?.cast::<u8>())
}

/// Locked anonymous memory that core dumps and forked children leave out.
fn map_locked(bytes: usize) -> Option<NonNull<u8>> {
    // SAFETY: a new mapping at an address of the kernel's choice overlaps nothing; advice and lock apply to it alone; it is
    // unmapped again when one of them fails.
    unsafe {
        let start =
            rustix::mm::mmap_anonymous(std::ptr::null_mut(), bytes, ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE)
                .ok()?;
        let kept = rustix::mm::mlock(start, bytes)
            .and_then(|()| rustix::mm::madvise(start, bytes, Advice::LinuxDontDump))
            .and_then(|()| rustix::mm::madvise(start, bytes, Advice::LinuxDontFork));
        if kept.is_err() {
            let _ = rustix::mm::munmap(start, bytes);
            return None;
        }
        NonNull::new(start.cast::<u8>())
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use super::*;

    /// A one-page arena, where room is short enough to run out of.
    fn small() -> Arena {
        Arena::with_size(1).unwrap()
    }

    #[test]
    fn clones_share_one_copy() {
        let arena = small();
        assert!(arena.is_secret_memory(), "the kernels that this is tested on have memfd_secret");
        let key = arena.put(b"key").unwrap();
        let clone = key.clone();
        assert_eq!(key.expose().as_ptr(), clone.expose().as_ptr());
        drop(key);
        assert_eq!(clone.expose(), b"key");
        assert!(arena.put(b"").unwrap().expose().is_empty());
    }

    #[test]
    fn room_is_wiped_and_reused_after_the_last_clone() {
        let arena = small();
        let key = arena.put(b"secret bytes").unwrap();
        let (offset, clone) = (key.block.offset, key.clone());
        // SAFETY: within the mapping, which `arena` keeps; read as raw bytes with no reference held across the drop.
        let first = || unsafe { std::ptr::read_volatile(arena.region.at(offset).as_ptr()) };
        drop(key);
        assert_eq!(first(), b's', "one clone is left: the bytes must stand");
        drop(clone);
        assert_eq!(first(), 0, "the last clone is gone: the bytes must not stay");
        assert_eq!(arena.put(b"next").unwrap().block.offset, offset);
    }

    #[test]
    fn full_is_an_error_and_freed_stretches_join() {
        let arena = small();
        let page = arena.region.bytes;
        assert!(matches!(arena.put(&vec![1; page + 1]), Err(ArenaError::Full)));
        let mut all: Vec<Secret> = (0..page / UNIT).map(|_| arena.put(&[7; UNIT]).unwrap()).collect();
        assert!(matches!(arena.put(b"one more"), Err(ArenaError::Full)));
        // Freed in an order that joins to the right, to the left and on both sides.
        while all.len() > 1 {
            let middle = all.len() / 2;
            drop(all.remove(middle));
        }
        all.clear();
        assert_eq!(arena.put(&vec![2; page]).unwrap().expose().len(), page);
    }

    #[test]
    fn locked_pages_work_where_there_is_no_memfd_secret() {
        let start = map_locked(4096).unwrap();
        // SAFETY: just mapped, 4096 bytes, owned here.
        unsafe {
            start.as_ptr().write(5);
            assert_eq!(start.as_ptr().read(), 5);
            rustix::mm::munmap(start.as_ptr().cast(), 4096).unwrap();
        }
    }
}
