//! System calls by number, with arguments that are valid by their type.

use std::ffi::CStr;

use crate::sys;

/// One argument.
pub(super) enum Arg<'a> {
    /// A number, a flag word, a descriptor, or a null pointer.
    Number(i64),
    /// A string that the kernel reads.
    Text(&'a CStr),
    /// A structure that the kernel reads or writes: zeroed memory, larger than any that is passed here.
    Memory(&'a mut [u64; 64]),
}

/// Makes the call, whose success hands nothing over but a number.
#[expect(unsafe_code, reason = "the one place where the attempts meet the kernel")]
pub(super) fn call(number: libc::c_long, args: &mut [Arg<'_>]) -> Result<usize, i32> {
    let mut words = [0_usize; 6];
    for (word, arg) in words.iter_mut().zip(args) {
        *word = match arg {
            Arg::Number(number) => *number as usize,
            Arg::Text(text) => text.as_ptr() as usize,
            Arg::Memory(memory) => memory.as_mut_ptr() as usize,
        };
    }
    // SAFETY: pointers come from references that live through the call: terminated strings, and 512 writable bytes, which
    // no structure passed in this module exceeds. The calls of this module touch no memory or descriptor that Rust knows of;
    // what they open is new.
    unsafe { sys::raw(number, words) }
}

/// A call that opens a descriptor, which is closed again.
pub(super) fn open(number: libc::c_long, args: &mut [Arg<'_>]) -> Result<(), i32> {
    let fd = call(number, args)?;
    let _ = call(libc::SYS_close, &mut [Arg::Number(fd as i64)]);
    Ok(())
}

/// A call that makes a path, which is removed again.
pub(super) fn make(number: libc::c_long, path: &CStr, args: &mut [Arg<'_>]) -> Result<(), i32> {
    call(number, args)?;
    if call(libc::SYS_unlink, &mut [Arg::Text(path)]).is_err() {
        let _ = call(libc::SYS_rmdir, &mut [Arg::Text(path)]);
    }
    Ok(())
}

/// A child by `clone` without shared memory, which ends at once and is waited for.
#[expect(unsafe_code, reason = "the child of a fork may do nothing but end")]
pub(super) fn fork() -> Result<(), i32> {
    // SAFETY: without CLONE_VM the child has its own copy of everything; it makes one system call that does not return. A
    // null stack means the parent's, copied (clone(2)).
    let child = unsafe {
        let child = sys::raw(libc::SYS_clone, [libc::SIGCHLD as usize, 0, 0, 0, 0, 0])?;
        if child == 0 {
            let _ = sys::raw(libc::SYS_exit_group, [0; 6]);
        }
        child
    };
    let _ = call(libc::SYS_wait4, &mut [Arg::Number(child as i64), Arg::Number(0), Arg::Number(0), Arg::Number(0)]);
    Ok(())
}

/// One page by `mmap` with these rights and flags, then given `then` rights by system call `by`, then unmapped.
#[expect(unsafe_code, reason = "pages are mapped and unmapped")]
pub(super) fn map(prot: i32, flags: i32, then: Option<(libc::c_long, i32)>) -> Result<(), i32> {
    const PAGE: usize = 4096;
    let any_key = usize::MAX;
    // SAFETY: a new mapping at an address of the kernel's choice, which nobody else knows and nothing is stored in.
    unsafe {
        let page = sys::raw(libc::SYS_mmap, [0, PAGE, prot as usize, flags as usize, usize::MAX, 0])?;
        let changed = then.map_or(Ok(0), |(by, prot)| sys::raw(by, [page, PAGE, prot as usize, any_key, 0, 0]));
        let _ = sys::raw(libc::SYS_munmap, [page, PAGE, 0, 0, 0, 0]);
        changed.map(|_| ())
    }
}
