//! Reading compressed streams, as far as they go: what came out before an error is read like any other.

use std::io::{self, BufRead, Read};

use flate2::{Decompress, FlushDecompress, Status};

use super::source::Input;

/// Bytes of a member's head, HTTP or zip, at most.
const HEAD: usize = 64 * 1024;
/// What LZ4's blocks may refer back to.
const LZ4_WINDOW: usize = 64 * 1024;

/// The first header of a zlib stream from `from` on, before `to`.
pub(super) fn next_zlib(bytes: &[u8], mut from: usize, to: usize) -> Option<usize> {
    const LANES: usize = 32;
    let second = |byte: u8| (byte == 0x01) | (byte == 0x5e) | (byte == 0x9c) | (byte == 0xda);
    let to = to.min(bytes.len().saturating_sub(1));
    while from < to {
        let lanes = (bytes.get(from..from + LANES), bytes.get(from + 1..=from + LANES));
        if let (Some(here), Some(after)) = lanes {
            let found = here.iter().zip(after).fold(0, |found, (&a, &b)| found | (u8::from(a == 0x78) & u8::from(second(b))));
            if found == 0 {
                from += LANES;
                continue;
            }
        }
        let end = to.min(from + LANES);
        if let Some(at) = (from..end).find(|&at| bytes[at] == 0x78 && second(bytes[at + 1])) {
            return Some(at);
        }
        from = end;
    }
    None
}

/// Whether a deflate stream can begin so: cheap, and false for most of what is none.
pub(super) fn plausible_deflate(bytes: &[u8]) -> bool {
    let &[first, second, third, fourth, fifth, ..] = bytes else { return !bytes.is_empty() };
    match first >> 1 & 3 {
        // Stored: a length and its complement.
        0 => u16::from_le_bytes([second, third]) == !u16::from_le_bytes([fourth, fifth]),
        1 => true,
        // Own tables: at most 286 and 30 codes.
        2 => first >> 3 < 30 && second & 31 < 30,
        _ => false,
    }
}

/// Reads over the header of a gzip stream (RFC 1952).
pub(super) fn gzip_head(input: &mut Input<'_>) -> io::Result<()> {
    let head: [u8; 10] = input.array()?;
    let flags = head[3];
    if flags & 0xe0 != 0 {
        return Err(io::ErrorKind::InvalidData.into());
    }
    if flags & 4 != 0 {
        let length = u16::from_le_bytes(input.array()?);
        input.skip(length.into())?;
    }
    for text in [8, 16] {
        if flags & text != 0 {
            while input.array::<1>()? != [0] {
                if input.consumed > HEAD as u64 * 2 {
                    return Err(io::ErrorKind::InvalidData.into());
                }
            }
        }
    }
    if flags & 2 != 0 {
        input.skip(2)?;
    }
    Ok(())
}

/// Reads over the header of a zip archive's member, if it is deflated and not encrypted.
pub(super) fn zip_head(input: &mut Input<'_>) -> io::Result<()> {
    let head: [u8; 30] = input.array()?;
    let short = |at: usize| u16::from_le_bytes([head[at], head[at + 1]]);
    if short(6) & 1 != 0 || short(8) != 8 {
        return Err(io::ErrorKind::InvalidData.into());
    }
    input.skip(usize::from(short(26)) + usize::from(short(28)))
}

/// Reads over the rest of an HTTP head, and over the first line of a chunked body.
pub(super) fn http_head(input: &mut Input<'_>) -> io::Result<()> {
    let mut last = [0; 4];
    while last != *b"\r\n\r\n" {
        last = [last[1], last[2], last[3], input.array::<1>()?[0]];
        if input.consumed > HEAD as u64 {
            return Err(io::ErrorKind::InvalidData.into());
        }
    }
    let here = input.fill_buf()?;
    let digits = here.iter().take(8).take_while(|byte| byte.is_ascii_hexdigit()).count();
    let line = if digits > 0 && here[digits..].starts_with(b"\r\n") { digits + 2 } else { 0 };
    input.consume(line);
    Ok(())
}

/// A raw deflate stream.
pub(super) struct Inflate<'s, R> {
    state: &'s mut Decompress,
    input: R,
    ended: bool,
}

impl<'s, R: BufRead> Inflate<'s, R> {
    pub(super) fn new(state: &'s mut Decompress, input: R) -> Self {
        state.reset(false);
        Self { state, input, ended: false }
    }
}

impl<R: BufRead> Read for Inflate<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while !self.ended {
            let input = self.input.fill_buf()?;
            let last = input.is_empty();
            let (before_in, before_out) = (self.state.total_in(), self.state.total_out());
            let status = self.state.decompress(input, buffer, FlushDecompress::None);
            let consumed = self.state.total_in() - before_in;
            let written = usize::try_from(self.state.total_out() - before_out).unwrap_or(0);
            self.input.consume(usize::try_from(consumed).unwrap_or(0));
            self.ended = !matches!(status, Ok(Status::Ok | Status::BufError)) || (written == 0 && (last || consumed == 0));
            if written > 0 {
                return Ok(written);
            }
        }
        Ok(0)
    }
}

/// An LZ4 frame.
pub(super) struct Lz4<R> {
    input: R,
    flags: u8,
    /// Of one block.
    most: usize,
    /// The last bytes of the blocks before, then the block.
    out: Vec<u8>,
    at: usize,
    block: Vec<u8>,
    ended: bool,
}

impl<R: Read> Lz4<R> {
    pub(super) fn new(mut input: R) -> io::Result<Self> {
        let mut head = [0; 6];
        input.read_exact(&mut head)?;
        let [.., flags, size] = head;
        if flags >> 6 != 1 || flags & 2 != 0 || size & 0x8f != 0 || size < 0x40 {
            return Err(io::ErrorKind::InvalidData.into());
        }
        // The content's size and the dictionary's number, if there, and the header's checksum.
        let more = usize::from(flags & 8) + 4 * usize::from(flags & 1) + 1;
        input.read_exact(&mut [0; 13][..more])?;
        let most = 1 << (8 + 2 * (size >> 4));
        Ok(Self { input, flags, most, out: Vec::new(), at: 0, block: Vec::new(), ended: false })
    }

    fn next_block(&mut self) -> io::Result<()> {
        let mut size = [0; 4];
        self.input.read_exact(&mut size)?;
        let size = u32::from_le_bytes(size);
        let (stored, length) = (size >> 31 == 1, (size & 0x7fff_ffff) as usize);
        if length == 0 || length > self.most {
            return Err(io::ErrorKind::InvalidData.into());
        }
        self.block.clear();
        let got = (&mut self.input).take(length as u64).read_to_end(&mut self.block);
        self.ended |= !matches!(got, Ok(got) if got == length);
        if self.flags & 16 != 0 && !self.ended {
            self.input.read_exact(&mut [0; 4])?;
        }
        let keep = if self.flags & 32 == 0 { self.out.len().min(LZ4_WINDOW) } else { 0 };
        self.out.drain(..self.out.len() - keep);
        self.at = keep;
        if stored {
            self.out.extend_from_slice(&self.block);
            return Ok(());
        }
        let length = lz4_into(&self.block, &mut self.out, self.most);
        self.ended |= length.is_none();
        Ok(())
    }
}

impl<R: Read> Read for Lz4<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.at == self.out.len() {
            if self.ended {
                return Ok(0);
            }
            self.next_block()?;
        }
        let length = buffer.len().min(self.out.len() - self.at);
        buffer[..length].copy_from_slice(&self.out[self.at..self.at + length]);
        self.at += length;
        Ok(length)
    }
}

/// Adds what an LZ4 block gives, with what is there as its dictionary. If the block is not whole, that ends in zeros and is `None`.
pub(super) fn lz4_into(block: &[u8], out: &mut Vec<u8>, most: usize) -> Option<usize> {
    let dictionary = std::mem::take(out);
    let mut to = vec![0; most];
    let length = lz4_flex::block::decompress_into_with_dict(block, &mut to, &dictionary).ok();
    *out = dictionary;
    let end = length.unwrap_or_else(|| to.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1));
    out.extend_from_slice(&to[..end]);
    length
}
