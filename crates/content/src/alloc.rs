//! The global allocator of every process that holds content: a block is zeroed before it goes back.
//!
//! C libraries (AWS-LC) allocate elsewhere and cleanse their own blocks (`OPENSSL_free` cleanses); thread stacks are not
//! covered. Both are named in the posture report.
#![expect(unsafe_code, reason = "GlobalAlloc is an unsafe trait; this is the allocator of DESIGN section 2, step 8")]

use std::alloc::{GlobalAlloc, Layout};

#[cfg(not(miri))]
use mimalloc::MiMalloc as Inner;
// Miri interprets no C: there the system's allocator stands in, and what is looked at is our own code.
#[cfg(miri)]
use std::alloc::System as Inner;

/// mimalloc, with every block zeroed when freed, and when moved or shrunk by `realloc`.
///
/// ```
/// #[global_allocator]
/// static ALLOCATOR: lethe_content::alloc::ZeroOnFree = lethe_content::alloc::ZeroOnFree;
/// ```
pub struct ZeroOnFree;

// SAFETY: each method forwards to `Inner`, which is a correct `GlobalAlloc`, with the caller's own layout; the only
// additions are writes of zeroes within `layout.size()` bytes of a block that is about to be given back.
unsafe impl GlobalAlloc for ZeroOnFree {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller upholds `GlobalAlloc::alloc`'s contract, passed on unchanged.
        unsafe { Inner.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as `alloc`.
        unsafe { Inner.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: `ptr` is a live block of `layout.size()` bytes that the caller gives up; writing to it is still allowed.
        unsafe {
            wipe(ptr, layout.size());
            Inner.dealloc(ptr, layout);
        }
    }

    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // Growing or shrinking in place would leave old bytes behind (shrink) or move without a wipe (grow), so the block is
        // always copied to a new one and the old one wiped.
        // SAFETY: `new_size` is non-zero and does not overflow when rounded up, by the caller's contract; the copy is within
        // both blocks, which are distinct.
        unsafe {
            let Ok(new_layout) = Layout::from_size_align(new_size, layout.align()) else {
                return std::ptr::null_mut();
            };
            let new = Inner.alloc(new_layout);
            if !new.is_null() {
                std::ptr::copy_nonoverlapping(ptr, new, layout.size().min(new_size));
                self.dealloc(ptr, layout);
            }
            new
        }
    }
}

/// Zeroes `len` bytes at `ptr` with stores that the compiler may not drop.
///
/// # Safety
/// `ptr` must be valid for writes of `len` bytes.
unsafe fn wipe(ptr: *mut u8, len: usize) {
    // SAFETY: the caller promises a valid range; the empty assembly block takes the pointer and may, for all the compiler
    // knows, read the memory behind it, so the stores before it stay.
    unsafe {
        std::ptr::write_bytes(ptr, 0, len);
        #[cfg(not(miri))]
        std::arch::asm!("/* {0} */", in(reg) ptr, options(nostack, preserves_flags));
    }
}

/// Zeroes `bytes` with stores that the compiler may not drop, at the speed of `memset`.
pub fn wipe_slice(bytes: &mut [u8]) {
    // SAFETY: an exclusive slice is valid for writes of its length.
    unsafe { wipe(bytes.as_mut_ptr(), bytes.len()) }
}
