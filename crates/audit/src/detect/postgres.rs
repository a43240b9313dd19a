//! PostgreSQL's data files: values that it compressed within a row, and values that it cut into chunks for a TOAST table.
//!
//! Pages are read without regard to their line pointers: what a dead row was is still there after its pointer is gone. (`storage.sgml`,
//! `varatt.h`, `heaptoast.h`, `pg_lzcompress.c` of PostgreSQL 14 and later; before, there was only the first method.)

use std::collections::BTreeMap;

use super::stream::lz4_into;
use crate::encoding::Layer;

/// Bytes of a page.
pub(super) const PAGE: usize = 8192;
/// Bytes of a page's header.
const HEADER: usize = 24;
/// Bytes of a row's header without null bitmap, aligned.
const ROW: usize = 24;
/// Bytes of a chunk, at most; 1996 with the usual page.
const CHUNK: usize = 2048;
/// A compressed value is not shorter than this part of what it was; both methods stay below.
const RATIO: usize = 300;

/// Whether a page can begin so.
pub(super) fn is_page(bytes: &[u8]) -> bool {
    let short = |at: usize| bytes.get(at..at + 2).map_or(0, |two| usize::from(u16::from_le_bytes([two[0], two[1]])));
    let (lower, upper, special) = (short(12), short(14), short(16));
    lower >= HEADER && lower <= upper && upper <= special && special <= PAGE && short(10) <= 7
}

/// A value with its method and size before it, as in a row after the first word, and put together from chunks.
#[derive(Clone, Copy)]
pub(super) struct Compressed<'p> {
    pub(super) layer: Layer,
    size: usize,
    bytes: &'p [u8],
}

impl<'p> Compressed<'p> {
    /// If it can be one.
    pub(super) fn parse(bytes: &'p [u8]) -> Option<Self> {
        let (word, bytes) = bytes.split_first_chunk()?;
        let word = u32::from_le_bytes(*word);
        let layer = match word >> 30 {
            0 => Layer::PostgresPglz,
            1 => Layer::PostgresLz4,
            _ => return None,
        };
        let size = (word & 0x3fff_ffff) as usize;
        (size > bytes.len() && size / RATIO <= bytes.len() && !bytes.is_empty()).then_some(Self { layer, size, bytes })
    }

    /// What it was, as far as it can be told.
    pub(super) fn expand(&self, most: u64) -> Vec<u8> {
        let size = self.size.min(usize::try_from(most).unwrap_or(usize::MAX));
        if self.layer == Layer::PostgresPglz {
            return pglz(self.bytes, size);
        }
        let mut out = Vec::new();
        lz4_into(self.bytes, &mut out, size);
        out
    }
}

/// Values that are compressed within a page, each with its place there.
pub(super) fn compressed(page: &[u8]) -> impl Iterator<Item = (usize, Compressed<'_>)> {
    (HEADER..page.len().saturating_sub(8)).step_by(4).filter_map(|at| {
        let word = u32::from_le_bytes(*page[at..].first_chunk()?);
        let length = (word >> 2) as usize;
        // The two low bits: four bytes of header, compressed.
        if word & 3 != 2 || length < 9 {
            return None;
        }
        Some((at, Compressed::parse(page.get(at + 4..at + length)?)?))
    })
}

/// A chunk of a value.
pub(super) struct Chunk<'p> {
    pub(super) at: usize,
    id: u32,
    sequence: u32,
    bytes: &'p [u8],
}

/// Chunks in a page of a TOAST table: first those that a line pointer leads to. What else looks like one may have been overwritten in part, when
/// the rows that stay were moved together.
pub(super) fn chunks(page: &[u8]) -> impl Iterator<Item = Chunk<'_>> {
    let lower = page.get(12..14).map_or(HEADER, |two| usize::from(u16::from_le_bytes([two[0], two[1]])));
    let pointers = page.get(HEADER..lower).unwrap_or_default().chunks_exact(4).filter_map(|pointer| {
        let pointer = u32::from_le_bytes(*pointer.first_chunk()?);
        (pointer >> 15 & 3 == 1).then_some((pointer & 0x7fff) as usize)
    });
    pointers.chain((HEADER..page.len()).step_by(8)).filter_map(|at| chunk(page, at))
}

fn chunk(page: &[u8], at: usize) -> Option<Chunk<'_>> {
    let row = page.get(at..).filter(|row| row.len() > ROW + 12)?;
    let columns = u16::from_le_bytes([row[18], row[19]]) & 0x7ff;
    // No nulls, some column of variable length, nothing outside.
    let kinds = row[20] & 7;
    if columns != 3 || kinds != 2 || usize::from(row[22]) != ROW {
        return None;
    }
    let word = |at: usize| row.get(at..)?.first_chunk().map(|word| u32::from_le_bytes(*word));
    let (id, sequence, head) = (word(ROW)?, word(ROW + 4)?, word(ROW + 8)?);
    let length = (head >> 2) as usize;
    if id == 0 || sequence > i32::MAX.cast_unsigned() || head & 3 != 0 || !(5..=CHUNK + 4).contains(&length) {
        return None;
    }
    Some(Chunk { at, id, sequence, bytes: row.get(ROW + 12..ROW + 8 + length)? })
}

#[derive(Default)]
struct Value {
    offset: u64,
    chunks: BTreeMap<u32, Vec<u8>>,
}

/// Values that are being put together.
#[derive(Default)]
pub(super) struct Values {
    values: BTreeMap<u32, Value>,
    last: u32,
    held: usize,
    /// Some were given away before all was read.
    gave: bool,
}

/// Chunks that follow each other.
pub(super) struct Gathered {
    pub(super) offset: u64,
    pub(super) bytes: Vec<u8>,
    /// The first chunk is there.
    pub(super) whole: bool,
    /// The chunks before these were given away earlier.
    pub(super) cut: bool,
}

impl Values {
    pub(super) fn add(&mut self, chunk: &Chunk<'_>, offset: u64) {
        let value = self.values.entry(chunk.id).or_default();
        value.offset = if value.chunks.is_empty() { offset } else { value.offset.min(offset) };
        self.last = chunk.id;
        let mut new = 0;
        value.chunks.entry(chunk.sequence).or_insert_with(|| {
            new = chunk.bytes.len();
            chunk.bytes.to_vec()
        });
        self.held += new;
    }

    /// When more is held than this, every value but the one that was last added to.
    pub(super) fn over(&mut self, most: usize) -> Vec<Gathered> {
        if self.held <= most {
            return Vec::new();
        }
        let mut values = std::mem::take(&mut self.values);
        self.held = 0;
        if values.len() > 1
            && let Some(value) = values.remove(&self.last)
        {
            self.held = value.chunks.values().map(Vec::len).sum();
            self.values.insert(self.last, value);
        }
        let gathered = gather(values, self.gave);
        self.gave = true;
        gathered
    }

    /// All of them.
    pub(super) fn all(&mut self) -> Vec<Gathered> {
        self.held = 0;
        gather(std::mem::take(&mut self.values), self.gave)
    }
}

fn gather(values: BTreeMap<u32, Value>, gave: bool) -> Vec<Gathered> {
    let mut all = Vec::new();
    for Value { offset, chunks } in values.into_values() {
        let mut expected = None;
        for (sequence, chunk) in chunks {
            match all.last_mut() {
                Some(Gathered { bytes, .. }) if expected == Some(sequence) => bytes.extend_from_slice(&chunk),
                _ => all.push(Gathered { offset, bytes: chunk, whole: sequence == 0, cut: gave && sequence != 0 }),
            }
            expected = sequence.checked_add(1);
        }
    }
    all
}

/// PostgreSQL's own method: after a byte of flags come eight items, each one byte as it is or two to three that say how far back what is copied
/// begins, and how long it is.
pub(super) fn pglz(bytes: &[u8], size: usize) -> Vec<u8> {
    let mut out = Vec::new();
    let mut input = bytes.iter().copied();
    while let Some(mut flags) = input.next() {
        for _ in 0..8 {
            if out.len() >= size {
                return out;
            }
            let Some(first) = input.next() else { return out };
            if flags & 1 == 0 {
                out.push(first);
            } else {
                let Some(second) = input.next() else { return out };
                let mut length = usize::from(first & 15) + 3;
                let back = usize::from(first & 0xf0) << 4 | usize::from(second);
                if length == 18 {
                    length += usize::from(input.next().unwrap_or(0));
                }
                let Some(start) = out.len().checked_sub(back).filter(|_| back > 0) else { return out };
                for at in start..start + length.min(size - out.len()) {
                    out.push(out[at]);
                }
            }
            flags >>= 1;
        }
    }
    out
}
