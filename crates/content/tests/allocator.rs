//! The allocator as programs use it: blocks keep their bytes when they move, and nothing beyond a block is touched. Run under Miri and
//! AddressSanitizer by `cargo xtask memcheck`, which see what a test cannot.
#![expect(unsafe_code, reason = "blocks are asked for as the standard library does it")]
#![expect(clippy::expect_used, reason = "a failed test")]

use std::alloc::{GlobalAlloc, Layout};

use lethe_content::ContentBuf;
use lethe_content::alloc::{ZeroOnFree, wipe_slice};

#[global_allocator]
static ALLOCATOR: ZeroOnFree = ZeroOnFree;

/// A block with every byte set to what its place says.
struct Block {
    at: *mut u8,
    layout: Layout,
}

impl Block {
    fn new(size: usize, align: usize) -> Self {
        let layout = Layout::from_size_align(size, align).expect("a layout");
        // SAFETY: the size is not zero.
        let at = unsafe { ALLOCATOR.alloc(layout) };
        assert!(!at.is_null() && at.addr().is_multiple_of(align), "{size} {align}");
        for index in 0..size {
            // SAFETY: within the block.
            unsafe { at.add(index).write(place(index)) };
        }
        Self { at, layout }
    }

    fn resize(&mut self, size: usize) {
        // SAFETY: a live block with its layout; the size is not zero.
        self.at = unsafe { ALLOCATOR.realloc(self.at, self.layout, size) };
        assert!(!self.at.is_null() && self.at.addr().is_multiple_of(self.layout.align()));
        let old = self.layout.size();
        self.layout = Layout::from_size_align(size, self.layout.align()).expect("a layout");
        for index in 0..size {
            // SAFETY: within the block; bytes up to the smaller of both sizes are initialised, the others are written first.
            unsafe {
                if index < old {
                    assert_eq!(self.at.add(index).read(), place(index), "byte {index} of {old}, now {size}");
                } else {
                    self.at.add(index).write(place(index));
                }
            }
        }
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        // SAFETY: a live block with its layout.
        unsafe { ALLOCATOR.dealloc(self.at, self.layout) };
    }
}

fn place(index: usize) -> u8 {
    u8::try_from(index % 251).unwrap_or_default()
}

#[test]
fn blocks_keep_their_bytes_when_they_grow_and_shrink() {
    for align in [1, 2, 8, 16, 64, 4096] {
        for size in [1, 7, 16, 100, 1023, 5000] {
            let mut block = Block::new(size, align);
            for next in [size + 1, size * 2, size, size / 2 + 1, 1, 300] {
                block.resize(next);
            }
        }
    }
}

#[test]
fn zeroed_blocks_are_zero() {
    for size in [1, 100, 5000] {
        // Freed full of other bytes just before.
        drop(Block::new(size, 8));
        let layout = Layout::from_size_align(size, 8).expect("a layout");
        // SAFETY: the size is not zero; the block is read within its size and given back once.
        unsafe {
            let at = ALLOCATOR.alloc_zeroed(layout);
            assert!(std::slice::from_raw_parts(at, size).iter().all(|byte| *byte == 0));
            ALLOCATOR.dealloc(at, layout);
        }
    }
}

#[test]
fn wiping_touches_the_slice_and_nothing_else() {
    let mut bytes = [7_u8; 64];
    wipe_slice(&mut bytes[8..40]);
    assert!(bytes[..8].iter().chain(&bytes[40..]).all(|byte| *byte == 7) && bytes[8..40].iter().all(|byte| *byte == 0));
    wipe_slice(&mut bytes[..0]);
}

/// Every method in turn, against a plain vector.
#[test]
fn a_buffer_holds_what_it_was_given() {
    let (mut buf, mut plain) = (ContentBuf::new(), Vec::new());
    let mut dice = 1_u32;
    for step in 0..if cfg!(miri) { 300 } else { 20_000_usize } {
        dice = dice.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let size = usize::try_from(dice >> 22).unwrap_or_default() % 97;
        match (dice >> 8) % 8 {
            0 | 1 => {
                let bytes = vec![place(step); size];
                buf.extend(&bytes);
                plain.extend_from_slice(&bytes);
            }
            2 => {
                let room = buf.grow(size);
                assert!(room.iter().all(|byte| *byte == 0), "new room is empty");
                room.fill(place(step));
                plain.resize(plain.len() + size, place(step));
            }
            3 | 4 => {
                buf.consume(size);
                plain.drain(..size.min(plain.len()));
            }
            5 => {
                let len = plain.len().saturating_sub(size);
                buf.truncate(len);
                plain.truncate(len);
            }
            6 => buf.reserve_exactly(size * 8),
            _ if size < 4 => {
                buf.release();
                plain.clear();
            }
            _ => {
                let taken = buf.take();
                assert_eq!(taken.expose(), plain);
                buf = taken;
            }
        }
        assert_eq!(buf.expose(), plain, "step {step}");
    }
}
