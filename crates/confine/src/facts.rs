//! What `/proc` and `/dev` tell and give, opened before the walls: afterwards there is no way to either.

use std::{
    mem::MaybeUninit,
    os::fd::{AsRawFd, OwnedFd, RawFd},
};

use rustix::{
    fs::{Mode, OFlags, RawDir, SeekFrom},
    io::Errno,
};

/// Bound of a file that is read whole, in bytes.
const FILE_LIMIT: usize = 16 * 1024 * 1024;

/// Handles for the questions that the start asks.
pub(crate) struct Facts {
    tasks: OwnedFd,
    descriptors: OwnedFd,
    swaps: Vec<u8>,
}

impl Facts {
    pub(crate) fn open() -> Result<Self, Errno> {
        let directory = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self {
            tasks: rustix::fs::open(c"/proc/self/task", directory, Mode::empty())?,
            descriptors: rustix::fs::open(c"/proc/self/fd", directory, Mode::empty())?,
            swaps: read_file(c"/proc/swaps")?,
        })
    }

    /// Threads of this process.
    pub(crate) fn threads(&self) -> Result<usize, Errno> {
        numbers(&self.tasks).map(|threads| threads.len())
    }

    /// Open descriptors of this process, except those held here.
    pub(crate) fn descriptors(&self) -> Result<Vec<RawFd>, Errno> {
        let own = [self.tasks.as_raw_fd(), self.descriptors.as_raw_fd()];
        Ok(numbers(&self.descriptors)?.into_iter().filter(|fd| !own.contains(fd)).collect())
    }

    /// Whether `/proc/swaps` has no entry below its heading.
    pub(crate) fn swap_absent(&self) -> bool {
        let mut lines = self.swaps.split(|byte| *byte == b'\n');
        let heading = lines.next().is_some_and(|line| line.starts_with(b"Filename"));
        heading && lines.all(<[u8]>::is_empty)
    }
}

/// The numeric names in a directory of `/proc`.
fn numbers(directory: &OwnedFd) -> Result<Vec<i32>, Errno> {
    rustix::fs::seek(directory, SeekFrom::Start(0))?;
    let mut buffer = [MaybeUninit::uninit(); 4096];
    let mut entries = RawDir::new(directory, &mut buffer);
    let mut numbers = Vec::new();
    while let Some(entry) = entries.next() {
        if let Some(number) = entry?.file_name().to_str().ok().and_then(|name| name.parse().ok()) {
            numbers.push(number);
        }
    }
    Ok(numbers)
}

/// A file that is no longer than [`FILE_LIMIT`]: host names, name servers, accounts of processes.
///
/// # Errors
/// `EFBIG` beyond the limit, or whatever the kernel says.
pub(crate) fn read_file(path: &std::ffi::CStr) -> Result<Vec<u8>, Errno> {
    let file = rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    let (mut text, mut part) = (Vec::new(), [0; 4096]);
    loop {
        let len = rustix::io::retry_on_intr(|| rustix::io::read(&file, &mut part))?;
        if len == 0 {
            return Ok(text);
        }
        text.extend_from_slice(part.get(..len).unwrap_or_default());
        if text.len() > FILE_LIMIT {
            return Err(Errno::FBIG);
        }
    }
}
