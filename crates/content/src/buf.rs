//! A growable byte buffer for content that wipes what leaves it.

use crate::alloc::wipe_slice;

/// Bytes of a prompt or an answer.
///
/// There is deliberately no way to print, serialise or clone it; [`ContentBuf::expose`] is the one door, easy to search
/// for. Bytes that are consumed or cleared are zeroed at once, the rest when the buffer is dropped.
///
/// ```
/// use lethe_content::ContentBuf;
/// let mut buf = ContentBuf::new();
/// buf.extend(b"hello world");
/// buf.consume(6);
/// assert_eq!(buf.expose(), b"world");
/// ```
#[derive(Default)]
pub struct ContentBuf {
    bytes: Vec<u8>,
    /// Start of the live bytes; everything before it is already zero.
    start: usize,
}

impl ContentBuf {
    /// An empty buffer that holds no memory.
    #[must_use]
    pub const fn new() -> Self {
        Self { bytes: Vec::new(), start: 0 }
    }

    /// An empty buffer with room for `capacity` bytes.
    #[must_use]
    pub fn with_capacity(capacity: usize) -> Self {
        Self { bytes: Vec::with_capacity(capacity), start: 0 }
    }

    /// The live bytes. Whoever calls this holds content: keep it on the way to the wire.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.bytes[self.start..]
    }

    /// The live bytes, writable in place.
    pub fn expose_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..]
    }

    /// How many live bytes there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes.len() - self.start
    }

    /// Whether there are no live bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of memory that this buffer holds.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    /// Makes room for `extra` more bytes at once, instead of a block that is copied and wiped each time it doubles.
    pub fn reserve(&mut self, extra: usize) {
        self.make_room(extra);
    }

    /// Appends a copy of `bytes`.
    pub fn extend(&mut self, bytes: &[u8]) {
        self.make_room(bytes.len());
        self.bytes.extend_from_slice(bytes);
    }

    /// Appends `extra` zero bytes and returns them to be written; undo what was not used with [`Self::truncate`].
    pub fn grow(&mut self, extra: usize) -> &mut [u8] {
        self.make_room(extra);
        let old = self.bytes.len();
        self.bytes.resize(old + extra, 0);
        &mut self.bytes[old..]
    }

    /// The vector behind, with room for at least `room` more bytes, to be appended to by a reader that fills spare capacity
    /// (tokio's `read_buf`): nothing is zeroed before it is written, and only what was written is wiped later.
    pub fn spare(&mut self, room: usize) -> &mut Vec<u8> {
        self.make_room(room);
        &mut self.bytes
    }

    /// Makes the block large enough for `capacity` live bytes, and no larger.
    pub fn reserve_exactly(&mut self, capacity: usize) {
        if capacity > self.bytes.capacity() {
            self.replace_block(capacity);
        }
    }

    /// Drops and wipes the first `count` live bytes (all of them if there are fewer).
    pub fn consume(&mut self, count: usize) {
        let end = self.start + count.min(self.len());
        wipe_slice(&mut self.bytes[self.start..end]);
        self.start = end;
        if self.start == self.bytes.len() {
            self.bytes.clear();
            self.start = 0;
        }
    }

    /// Keeps the first `len` live bytes and wipes the rest.
    pub fn truncate(&mut self, len: usize) {
        if len < self.len() {
            let end = self.start + len;
            wipe_slice(&mut self.bytes[end..]);
            self.bytes.truncate(end);
        }
    }

    /// Wipes everything and keeps the memory for reuse.
    pub fn clear(&mut self) {
        self.consume(self.len());
    }

    /// Wipes everything and gives the memory back, so that an idle connection holds none.
    pub fn release(&mut self) {
        self.clear();
        self.bytes = Vec::new();
    }

    /// Moves the live bytes out, leaving an empty buffer that holds no memory.
    #[must_use]
    pub fn take(&mut self) -> Self {
        std::mem::take(self)
    }

    /// Makes room for `extra` bytes at the end, by moving live bytes to the front of the block where that is enough.
    fn make_room(&mut self, extra: usize) {
        if self.start > 0 && self.bytes.capacity() - self.bytes.len() < extra {
            let live = self.len();
            self.bytes.copy_within(self.start.., 0);
            // What is left behind past the moved bytes is a second copy: wipe it.
            wipe_slice(&mut self.bytes[live..]);
            self.bytes.truncate(live);
            self.start = 0;
        }
        if self.bytes.capacity() - self.bytes.len() < extra {
            self.replace_block((self.bytes.len() + extra).max(self.bytes.capacity() * 2));
        }
    }

    /// Moves the live bytes to a fresh block. Not `reserve`: `Vec` may grow in place or move; a fresh block and a wiped old one
    /// are certain under any allocator.
    fn replace_block(&mut self, capacity: usize) {
        let mut larger = Vec::with_capacity(capacity);
        larger.extend_from_slice(&self.bytes[self.start..]);
        wipe_slice(&mut self.bytes);
        self.bytes = larger;
        self.start = 0;
    }
}

impl Drop for ContentBuf {
    fn drop(&mut self) {
        // The allocator wipes too; this holds where another allocator is installed (tests, other programs).
        let used = self.bytes.len();
        wipe_slice(&mut self.bytes[self.start..used]);
    }
}

impl From<Vec<u8>> for ContentBuf {
    fn from(bytes: Vec<u8>) -> Self {
        Self { bytes, start: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::ContentBuf;

    #[test]
    fn consumed_bytes_are_wiped_in_place() {
        let mut buf = ContentBuf::with_capacity(64);
        buf.extend(b"secret-rest");
        assert_eq!(&buf.bytes[..6], b"secret", "control: the bytes are there before they are consumed");
        buf.consume(7);
        assert_eq!(&buf.bytes[..7], &[0; 7]);
        assert_eq!(buf.expose(), b"rest");
    }

    #[test]
    fn making_room_leaves_no_second_copy() {
        let mut buf = ContentBuf::with_capacity(16);
        buf.extend(b"0123456789abcdef");
        buf.consume(10);
        buf.extend(b"XYZ");
        assert_eq!(buf.expose(), b"abcdefXYZ");
        assert_eq!(buf.start, 0);
        let spare = buf.bytes.capacity() - buf.bytes.len();
        let room = buf.grow(spare);
        assert!(room.iter().all(|byte| *byte == 0));
    }

    #[test]
    fn growing_past_the_block_keeps_the_live_bytes() {
        let mut buf = ContentBuf::with_capacity(4);
        buf.extend(b"ab");
        buf.consume(1);
        buf.extend(&[b'c'; 100]);
        assert_eq!(buf.len(), 101);
        assert_eq!(buf.expose()[0], b'b');
        buf.truncate(2);
        assert_eq!(buf.expose(), b"bc");
        buf.consume(1);
        buf.reserve_exactly(1_000);
        assert_eq!((buf.expose(), buf.capacity()), (&b"c"[..], 1_000));
        buf.reserve_exactly(10);
        assert_eq!(buf.capacity(), 1_000, "what is there stays");
        buf.release();
        assert_eq!(buf.capacity(), 0);
    }
}
