//! Finding canaries in bytes: one fast pass for the run's tag in every form, then decoding and comparing where it stands; and the same inside
//! whatever is compressed.
//!
//! What is compressed is found by its magic wherever it stands, and read from the source itself, so that it may be of any length. Limits that
//! no option lifts:
//! - Brotli has no magic. It is tried at the beginning of a source, after an HTTP head that says `content-encoding: br` (a chunked body is
//!   searched up to the end of its first chunk), and at the beginning of a tar archive's members.
//! - zlib is known by the headers of a 32 KiB window (`78 01`, `78 5e`, `78 9c`, `78 da`), which is what everybody writes.
//! - Encrypted members of zip archives, and streams whose beginning is lost, cannot be read.
//! - PostgreSQL's compressed values are found in pages (heap, TOAST and B-tree, at any alignment), not in records of the write-ahead log; there
//!   only what is not compressed is found.
//! - Of three numbers in a row, a marker at each end, the one between does not say which vector of the run it is of: a piece that short may be
//!   reported with another vector's label.

mod decode;
mod look;
mod pattern;
mod postgres;
mod prefilter;
mod source;
mod stream;
#[cfg(test)]
mod tests;

use std::io;
use std::ops::Range;

use crate::canary::{Canaries, Id};
use crate::encoding::Encoding;

/// Bytes that can be read at any place: a file, the memory of a process, a buffer.
pub trait Source {
    /// Reads up to `buffer.len()` bytes from `offset`; 0 at the end.
    ///
    /// # Errors
    /// Of the system; what cannot be read is for the caller to say.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;
}

/// A canary, or a piece of at least [`crate::canary::PIECE`] bytes of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hit {
    pub canary: Id,
    pub encoding: Encoding,
    /// Where in the source it begins; of the outermost layer, where that begins.
    pub offset: u64,
    /// How many of the canary's bytes; of numbers, four for each.
    pub bytes: usize,
}

/// How far to go. All memory that a look needs is some windows and buffers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes that one compressed stream may give.
    pub stream: u64,
    /// Bytes that all streams of a source may give together: this, and…
    pub work: u64,
    /// … so many times the source's own bytes.
    pub ratio: u64,
    /// Streams in streams.
    pub depth: usize,
    /// Bytes of a source that are looked at at once.
    pub window: usize,
    /// Bytes of a stream that are looked at at once, for each depth.
    pub buffer: usize,
    /// Bytes of PostgreSQL values that are being gathered.
    pub values: usize,
}

impl Default for Limits {
    fn default() -> Self {
        const MIB: usize = 1 << 20;
        Self { stream: 64 << 20, work: 256 << 20, ratio: 16, depth: 3, window: 2 * MIB, buffer: 8 * MIB, values: 32 * MIB }
    }
}

/// Why not all could be looked at. The first reason counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Incomplete {
    /// A stream within a stream is longer than the limit of what is held.
    Nested,
    /// A stream gave more than its limit.
    Stream,
    /// A part of the source could not be read.
    Unreadable,
    /// More PostgreSQL values had to be held than the limit.
    Values,
    /// All streams together gave more than their limit.
    Work,
}

impl Incomplete {
    /// In a report.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Nested => "a compressed stream within another was too long to be searched to its end",
            Self::Stream => "a compressed stream was too long to be searched to its end",
            Self::Unreadable => "a part could not be read",
            Self::Values => "more PostgreSQL values were open at once than are held",
            Self::Work => "there was more compressed data than is searched",
        }
    }
}

/// What came of a look.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Looked {
    /// One for each canary and encoding: where it was first, and the longest piece.
    pub hits: Vec<Hit>,
    /// Bytes of the source that were looked at.
    pub bytes: u64,
    pub incomplete: Option<Incomplete>,
}

/// Finds the canaries of one run.
pub struct Detector<'a> {
    canaries: &'a Canaries,
    patterns: pattern::Patterns,
}

impl<'a> Detector<'a> {
    /// For all canaries that there are by now.
    #[must_use]
    pub fn new(canaries: &'a Canaries) -> Self {
        Self { canaries, patterns: pattern::Patterns::new(canaries.tag(), canaries.marker()) }
    }

    /// What is in these bytes, with the usual limits.
    #[must_use]
    pub fn bytes(&self, bytes: &[u8]) -> Vec<Hit> {
        look::bytes(self, bytes, &Limits::default()).hits
    }

    /// What is in this part of a source. It ends where the source ends.
    ///
    /// # Errors
    /// Of the source, when not one byte of it could be read; later ones only make it incomplete.
    pub fn source(&self, source: &dyn Source, range: Range<u64>, limits: &Limits) -> io::Result<Looked> {
        look::source(self, source, range, limits)
    }
}
