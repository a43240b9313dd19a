//! What a thread leaves below its stack pointer.

/// How deep: far below what serving a request reaches. Unwinding a panic reaches 30 KB.
const DEPTH: usize = 128 * 1024;
/// What serving requests in the clear reaches, measured: 26 KB.
const USUAL_DEPTH: usize = 32 * 1024;

/// Zeroes the unused part of this thread's stack, 128 KB deep.
///
/// Buffers of content are on the heap, but the registers that a copy went through are spilled to the stack now and then: the
/// dynamic linker saves all of them when it binds a function at its first call, which a panic's unwinding does. A thread calls
/// this when it has nothing left to do; it takes about two microseconds, and pushes everything else out of the nearest cache.
///
/// ```
/// lethe_content::stack::wipe();
/// ```
#[inline(never)]
pub fn wipe() {
    let mut unused = [0_u8; DEPTH];
    std::hint::black_box(&mut unused);
}

/// Zeroes the part of this thread's unused stack that serving a request usually reaches, 32 KB deep: for every short rest of a
/// busy thread, with [`wipe`] to follow soon.
///
/// ```
/// lethe_content::stack::wipe_usual();
/// ```
#[inline(never)]
pub fn wipe_usual() {
    let mut unused = [0_u8; USUAL_DEPTH];
    std::hint::black_box(&mut unused);
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed test")]

    use super::wipe;

    const MARK: u64 = 0x5eed_cafe_f00d_0001;

    /// Leaves a mark in a frame that is gone when this returns, and tells where.
    #[inline(never)]
    fn leave() -> *const u64 {
        let mut frame = [0_u64; 512];
        frame.fill(std::hint::black_box(MARK));
        std::hint::black_box(&frame[256])
    }

    /// Reads through the kernel, which gives whatever bytes are there.
    fn read(at: *const u64) -> u64 {
        use std::os::unix::fs::FileExt;
        let mut bytes = [0; 8];
        std::fs::File::open("/proc/self/mem").unwrap().read_exact_at(&mut bytes, at.addr() as u64).unwrap();
        u64::from_ne_bytes(bytes)
    }

    #[test]
    #[cfg_attr(miri, ignore = "reads /proc/self/mem")]
    fn what_a_call_left_on_the_stack_is_gone() {
        let memory = std::fs::File::open("/proc/self/mem").unwrap();
        let at = leave();
        // Control: read with as little stack as can be, before anything overwrites it.
        let mut bytes = [0; 8];
        std::os::unix::fs::FileExt::read_at(&memory, &mut bytes, at.addr() as u64).unwrap();
        assert_eq!(u64::from_ne_bytes(bytes), MARK, "control: it is there at first");
        wipe();
        assert_ne!(read(at), MARK);
    }
}
