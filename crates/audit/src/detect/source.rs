//! Where bytes come from, and one stream's bytes from a place on: first those of the window at hand, then the source's.

use std::fs::File;
use std::io::{self, BufRead, Read};
use std::os::unix::fs::FileExt;

use super::Source;

/// Bytes of a source that a stream reads at once after the window's end.
const CHUNK: usize = 64 * 1024;

impl Source for [u8] {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let rest = usize::try_from(offset).ok().and_then(|offset| self.get(offset..)).unwrap_or_default();
        let length = rest.len().min(buffer.len());
        buffer[..length].copy_from_slice(&rest[..length]);
        Ok(length)
    }
}

impl Source for &[u8] {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        (**self).read_at(buffer, offset)
    }
}

impl Source for Vec<u8> {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.as_slice().read_at(buffer, offset)
    }
}

impl Source for File {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        FileExt::read_at(self, buffer, offset)
    }
}

/// Reads until the buffer is full or the source ends.
pub(super) fn fill(source: &dyn Source, buffer: &mut [u8], offset: u64) -> (usize, Option<io::Error>) {
    let mut filled = 0;
    while filled < buffer.len() {
        match source.read_at(&mut buffer[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return (filled, Some(error)),
        }
    }
    (filled, None)
}

/// What follows a window.
#[derive(Clone, Copy)]
pub(super) struct Rest<'w> {
    pub(super) source: &'w dyn Source,
    pub(super) end: u64,
}

/// Bytes of a place, some of which have been looked at before, and some of which are there only for their neighbours.
#[derive(Clone, Copy)]
pub(super) struct Window<'w> {
    pub(super) bytes: &'w [u8],
    /// Where in the place they begin.
    pub(super) base: u64,
    /// Where to begin, and where to end, to look for beginnings.
    pub(super) from: usize,
    pub(super) to: usize,
    /// How a stream goes on that is cut by the window's end.
    pub(super) rest: Option<Rest<'w>>,
}

/// The bytes of a stream.
pub(super) struct Input<'w> {
    window: &'w [u8],
    rest: Option<Rest<'w>>,
    /// Of the source, where the chunk after this one begins.
    next: u64,
    chunk: Vec<u8>,
    at: usize,
    /// How many were consumed.
    pub(super) consumed: u64,
    /// More was wanted than there is.
    pub(super) short: bool,
}

impl<'w> Input<'w> {
    pub(super) fn new(window: &Window<'w>, at: usize) -> Self {
        Self {
            window: window.bytes.get(at..).unwrap_or_default(),
            rest: window.rest,
            next: window.base + window.bytes.len() as u64,
            chunk: Vec::new(),
            at: 0,
            consumed: 0,
            short: false,
        }
    }

    /// The next bytes, taken.
    pub(super) fn array<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    /// Goes over so many.
    pub(super) fn skip(&mut self, mut count: usize) -> io::Result<()> {
        while count > 0 {
            let there = self.fill_buf()?.len().min(count);
            if there == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.consume(there);
            count -= there;
        }
        Ok(())
    }
}

impl BufRead for Input<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if !self.window.is_empty() {
            return Ok(self.window);
        }
        if self.at == self.chunk.len() {
            let Some(rest) = self.rest else {
                self.short = true;
                return Ok(&[]);
            };
            let want = usize::try_from(rest.end.saturating_sub(self.next)).unwrap_or(CHUNK).min(CHUNK);
            self.chunk.resize(want, 0);
            self.at = 0;
            // What cannot be read ends the stream; the pass over the source itself says so.
            let (read, _) = fill(rest.source, &mut self.chunk, self.next);
            self.chunk.truncate(read);
            self.next += read as u64;
            self.short = read == 0;
        }
        Ok(&self.chunk[self.at..])
    }

    fn consume(&mut self, amount: usize) {
        self.consumed += amount as u64;
        if self.window.is_empty() {
            self.at = (self.at + amount).min(self.chunk.len());
        } else {
            self.window = self.window.get(amount..).unwrap_or_default();
        }
    }
}

impl Read for Input<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let there = self.fill_buf()?;
        let length = there.len().min(buffer.len());
        buffer[..length].copy_from_slice(&there[..length]);
        self.consume(length);
        Ok(length)
    }
}
