//! The memory of a process: what is mapped and readable, and of that the pages that were ever touched (proc_pid_maps(5), proc_pid_pagemap(5)).

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::detect::Source;

/// Entries of the page map that are read at once.
const ENTRIES: usize = 16 * 1024;
/// Untouched pages between two touched ones that are read with them: fewer and longer reads. In private memory only, as reading makes
/// pages of shared memory.
const JOIN: u64 = 8;
/// Above this are addresses of the kernel, as `[vsyscall]`, that cannot be an offset of a file.
const TOP: u64 = 1 << 56;

/// One mapping.
#[derive(Clone)]
pub struct Mapping {
    pub range: Range<u64>,
    /// `rw-p`, …
    pub rights: String,
    /// A path, `[heap]`, `[stack]`, or empty for anonymous memory. It may hold what the target chose.
    pub name: String,
    /// Of the file behind it, 0 for none.
    pub inode: u64,
}

impl Mapping {
    /// Whether other processes can see writes to it.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        self.rights.as_bytes().get(3) == Some(&b's')
    }

    fn parse(line: &str) -> Option<Self> {
        let mut fields = line.splitn(6, ' ');
        let (start, end) = fields.next()?.split_once('-')?;
        let range = u64::from_str_radix(start, 16).ok()?..u64::from_str_radix(end, 16).ok()?;
        let rights = fields.next()?.to_owned();
        let inode = fields.nth(2)?.parse().ok()?;
        let name = fields.next().unwrap_or_default().trim_start().to_owned();
        Some(Self { range, rights, name, inode })
    }
}

/// All mappings of a process, also those that cannot be read.
///
/// # Errors
/// Of reading the list, which for another user's process is not allowed.
pub fn mappings(pid: u32) -> io::Result<Vec<Mapping>> {
    let list = std::fs::read(format!("/proc/{pid}/maps"))?;
    Ok(String::from_utf8_lossy(&list).lines().filter_map(Mapping::parse).collect())
}

/// The readable memory of a process, addressed by its own addresses.
pub struct Memory {
    pid: u32,
    memory: File,
    page: u64,
    mappings: Vec<Mapping>,
    spans: Vec<Range<u64>>,
    unreadable: AtomicU64,
    whole: bool,
}

impl Memory {
    /// Looks at the mappings as they are now.
    ///
    /// # Errors
    /// Of the system: no such process, or no right to read it.
    pub fn of(pid: u32) -> io::Result<Self> {
        let memory = File::open(format!("/proc/{pid}/mem"))?;
        let mappings: Vec<Mapping> = mappings(pid)?
            .into_iter()
            .filter(|mapping| mapping.rights.starts_with('r') && mapping.range.end < TOP && !mapping.name.starts_with("[vv"))
            .collect();
        let page = rustix::param::page_size() as u64;
        let mut spans = Vec::new();
        let mut whole = false;
        let pagemap = File::open(format!("/proc/{pid}/pagemap"));
        for mapping in &mappings {
            let touched = pagemap.as_ref().is_ok_and(|map| touched(map, mapping, page, &mut spans).is_ok());
            if !touched {
                whole = true;
                append(&mut spans, mapping.range.clone(), 0);
            }
        }
        Ok(Self { pid, memory, page, mappings, spans, unreadable: AtomicU64::new(0), whole })
    }

    /// Whose it is.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// The readable mappings.
    #[must_use]
    pub fn mappings(&self) -> &[Mapping] {
        &self.mappings
    }

    /// The mapping that an address belongs to.
    #[must_use]
    pub fn mapping_at(&self, address: u64) -> Option<&Mapping> {
        let after = self.mappings.partition_point(|mapping| mapping.range.end <= address);
        self.mappings.get(after).filter(|mapping| mapping.range.contains(&address))
    }

    /// Touched memory in pieces without a hole; a piece may run over the border of two mappings that touch.
    pub fn spans(&self) -> impl Iterator<Item = Span<'_>> {
        self.spans.iter().map(|range| Span { memory: self, range: range.clone() })
    }

    /// Bytes in all spans.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.spans.iter().map(|span| span.end - span.start).sum()
    }

    /// Pages that could not be read so far: secret memory, devices, or unmapped meanwhile.
    #[must_use]
    pub fn unreadable_pages(&self) -> u64 {
        self.unreadable.load(Ordering::Relaxed)
    }

    /// Whether which pages were touched could not be asked, so that everything that is mapped counts.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.whole
    }

    /// Fills the buffer from `address`, with zeros where a page cannot be read.
    fn fill(&self, mut buffer: &mut [u8], mut address: u64) {
        while !buffer.is_empty() {
            let read = match FileExt::read_at(&self.memory, buffer, address) {
                Ok(read @ 1..) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                _ => {
                    self.unreadable.fetch_add(1, Ordering::Relaxed);
                    let rest = self.page - address % self.page;
                    let zeros = buffer.len().min(usize::try_from(rest).unwrap_or(usize::MAX));
                    buffer[..zeros].fill(0);
                    zeros
                }
            };
            buffer = &mut buffer[read..];
            address += read as u64;
        }
    }
}

/// By virtual address; 0 outside the spans.
impl Source for Memory {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let after = self.spans.partition_point(|span| span.end <= offset);
        let Some(span) = self.spans.get(after).filter(|span| span.contains(&offset)) else { return Ok(0) };
        let length = buffer.len().min(usize::try_from(span.end - offset).unwrap_or(usize::MAX));
        self.fill(&mut buffer[..length], offset);
        Ok(length)
    }
}

/// A piece of memory; offset 0 of it is `range.start`.
pub struct Span<'a> {
    memory: &'a Memory,
    pub range: Range<u64>,
}

impl Source for Span<'_> {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let length = self.range.end - self.range.start;
        let length = buffer.len().min(usize::try_from(length.saturating_sub(offset)).unwrap_or(usize::MAX));
        if length > 0 {
            self.memory.fill(&mut buffer[..length], self.range.start + offset);
        }
        Ok(length)
    }
}

/// Adds a range, as part of the one before it if at most `join` bytes are between.
fn append(spans: &mut Vec<Range<u64>>, range: Range<u64>, join: u64) {
    match spans.last_mut() {
        Some(last) if range.start >= last.end && range.start - last.end <= join => last.end = range.end,
        _ => spans.push(range),
    }
}

/// Adds the pages of a mapping that are in memory or in swap.
fn touched(pagemap: &File, mapping: &Mapping, page: u64, spans: &mut Vec<Range<u64>>) -> io::Result<()> {
    const PRESENT: u64 = 1 << 63;
    const SWAPPED: u64 = 1 << 62;
    let mut found = Vec::new();
    let mut entries = vec![0; ENTRIES * 8];
    let mut at = mapping.range.start;
    let join = if mapping.is_shared() { 0 } else { JOIN * page };
    while at < mapping.range.end {
        let pages = ((mapping.range.end - at) / page).min(ENTRIES as u64);
        let want = usize::try_from(pages).unwrap_or(ENTRIES) * 8;
        let read = FileExt::read_at(pagemap, &mut entries[..want], at / page * 8)? / 8 * 8;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        for entry in entries[..read].chunks_exact(8) {
            if u64::from_ne_bytes(entry.try_into().unwrap_or_default()) & (PRESENT | SWAPPED) != 0 {
                append(&mut found, at..at + page, join);
            }
            at += page;
        }
    }
    for range in found {
        append(spans, range, 0);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn find(memory: &Memory, what: &[u8]) -> Option<u64> {
        for span in memory.spans() {
            let mut at = 0;
            let mut block = vec![0; 1024 * 1024];
            loop {
                let read = span.read_at(&mut block, at).unwrap();
                if let Some(offset) = memchr::memmem::find(&block[..read], what) {
                    return Some(span.range.start + at + offset as u64);
                }
                if read < block.len() {
                    break;
                }
                at += (read - what.len()) as u64;
            }
        }
        None
    }

    #[test]
    fn a_value_is_found_at_its_address_and_untouched_memory_is_passed_over() {
        // Four GiB that nothing was ever written to.
        let reserved: Vec<u8> = vec![0; 4 << 30];
        let mut value = vec![b'x'; 100_000];
        value[50_000..50_009].copy_from_slice(b"in memory");
        let memory = Memory::of(std::process::id()).unwrap();
        assert!(!memory.is_whole());
        assert!(memory.size() < 1 << 30, "{} bytes touched", memory.size());
        let address = value.as_ptr() as u64 + 50_000;
        let mut read = [0; 9];
        assert_eq!(memory.read_at(&mut read, address).unwrap(), 9);
        assert_eq!(&read, b"in memory");
        assert!(memory.mapping_at(address).unwrap().rights.starts_with("rw"));
        assert_eq!(memory.read_at(&mut read, 0).unwrap(), 0, "nothing is mapped at 0");
        assert_eq!(memory.read_at(&mut read, reserved.as_ptr() as u64 + (2 << 30)).unwrap(), 0, "untouched");
        assert!(find(&memory, b"in memory").is_some());
    }

    #[test]
    fn freed_memory_of_another_process() {
        let script = "import sys\nb=bytearray(b'py'+b'-freed-')*3000\ndel b\nprint('ready',flush=True)\nsys.stdin.read()";
        let mut child = std::process::Command::new("python3")
            .args(["-c", script])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(child.stdout.as_mut().unwrap()), &mut line).unwrap();
        let memory = Memory::of(child.id()).unwrap();
        assert!(find(&memory, b"py-freed-py-freed-").is_some(), "in {} bytes", memory.size());
        assert!(find(&memory, b"py-never-py-never-").is_none());
        assert_eq!(memory.unreadable_pages(), 0);
        drop(child.stdin.take());
        child.wait().unwrap();
        assert!(Memory::of(child.id()).is_err());
    }

    #[test]
    fn mappings_are_parsed_with_blanks_in_names() {
        let mapping =
            Mapping::parse("7f00-7f10 rw-s 00000000 00:01 1025                       /dev/shm/a name (deleted)").unwrap();
        assert_eq!((mapping.range.clone(), mapping.inode, mapping.is_shared()), (0x7f00..0x7f10, 1025, true));
        assert_eq!(mapping.name, "/dev/shm/a name (deleted)");
        assert_eq!(Mapping::parse("7f00-7f10 rw-p 00000000 00:00 0 ").unwrap().name, "");
    }
}
