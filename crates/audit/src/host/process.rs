//! Processes: their tree, descriptors, shared memory, environment and command line.

use std::collections::{BTreeSet, HashMap};
use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

use super::memory;
use super::snapshot;

/// Of an environment or a command line; the kernel's own limit on both together is a quarter of the stack's, two MiB.
const TEXT: u64 = 8 * 1024 * 1024;
/// Descriptors of one process that are looked at.
const DESCRIPTORS: usize = 65_536;

/// The short name of a process, as long as it exists.
#[must_use]
pub fn name(pid: u32) -> Option<String> {
    let bytes = std::fs::read(format!("/proc/{pid}/comm")).ok()?;
    Some(String::from_utf8_lossy(&bytes).trim_end().to_owned())
}

/// The program that a process runs.
#[must_use]
pub fn program(pid: u32) -> Option<PathBuf> {
    std::fs::read_link(format!("/proc/{pid}/exe")).ok()
}

/// Whether it exists and is no zombie.
#[must_use]
pub fn is_alive(pid: u32) -> bool {
    stat(pid).is_some_and(|(state, _)| !matches!(state, b'Z' | b'X'))
}

/// Whether the kernel writes its core just now (`CoreDumping`, proc_pid_status(5)).
#[must_use]
pub fn dumps_core(pid: u32) -> bool {
    status(pid, "CoreDumping").is_some_and(|value| value == "1")
}

/// State and parent.
pub(super) fn stat(pid: u32) -> Option<(u8, u32)> {
    let stat = std::fs::read(format!("/proc/{pid}/stat")).ok()?;
    // The name stands in parentheses and may hold some itself.
    let after = stat.iter().rposition(|&byte| byte == b')')?;
    let text = std::str::from_utf8(stat.get(after + 1..)?).ok()?;
    let mut fields = text.split_whitespace();
    Some((*fields.next()?.as_bytes().first()?, fields.next()?.parse().ok()?))
}

/// Every process.
pub fn all() -> impl Iterator<Item = u32> {
    std::fs::read_dir("/proc").into_iter().flatten().flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// The given processes and all their descendants that there are now. Ask again for those that are born later.
#[must_use]
pub fn tree(roots: &[u32]) -> BTreeSet<u32> {
    let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
    for pid in all() {
        if let Some((_, parent)) = stat(pid) {
            children.entry(parent).or_default().push(pid);
        }
    }
    let mut found = BTreeSet::new();
    let mut waiting: Vec<u32> = roots.iter().copied().filter(|&pid| stat(pid).is_some()).collect();
    while let Some(pid) = waiting.pop() {
        if found.insert(pid) {
            waiting.extend(children.get(&pid).into_iter().flatten());
        }
    }
    found
}

/// A value of `/proc/pid/status`.
#[must_use]
pub fn status(pid: u32, member: &str) -> Option<String> {
    let status = std::fs::read(format!("/proc/{pid}/status")).ok()?;
    let status = String::from_utf8_lossy(&status);
    let value = status.lines().find_map(|line| line.strip_prefix(member)?.strip_prefix(':'))?;
    Some(value.trim().to_owned())
}

fn text(pid: u32, file: &str) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(format!("/proc/{pid}/{file}"))?.take(TEXT).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The environment it was started with, as it is in its memory now.
///
/// # Errors
/// Of the system: no such process, or no right to read it.
pub fn environment(pid: u32) -> io::Result<Vec<u8>> {
    text(pid, "environ")
}

/// Its command line, as everybody on the machine can see it.
///
/// # Errors
/// Of the system.
pub fn command_line(pid: u32) -> io::Result<Vec<u8>> {
    text(pid, "cmdline")
}

/// What a descriptor is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DescriptorKind {
    /// A file with a name.
    File,
    /// A file that has no name any more.
    Deleted,
    Folder,
    Device,
    Socket,
    Pipe,
    /// Memory with a descriptor (memfd_create(2)).
    MemoryFile,
    /// eventfd, epoll, io_uring, …
    Anonymous,
}

/// An open descriptor of a process.
pub struct Descriptor {
    pub pid: u32,
    pub number: u32,
    pub kind: DescriptorKind,
    /// As the kernel names it: a path, `socket:[123]`, … It may hold what the target chose.
    pub name: PathBuf,
}

impl Descriptor {
    /// What is behind it, opened anew for reading: for files, deleted ones too, and memory files.
    ///
    /// # Errors
    /// Of the system; `InvalidInput` for other kinds.
    pub fn open(&self) -> io::Result<File> {
        match self.kind {
            DescriptorKind::File | DescriptorKind::Deleted | DescriptorKind::MemoryFile => {
                File::open(format!("/proc/{}/fd/{}", self.pid, self.number))
            }
            _ => Err(io::ErrorKind::InvalidInput.into()),
        }
    }

    /// The inode of a socket or pipe.
    #[must_use]
    pub fn inode(&self) -> Option<u64> {
        let name = self.name.to_str()?;
        let number = name.strip_prefix("socket:[").or_else(|| name.strip_prefix("pipe:["))?;
        number.strip_suffix(']')?.parse().ok()
    }
}

/// What a descriptor's name and metadata say about its kind.
pub(super) fn kind_of(link: &str, name: &[u8]) -> DescriptorKind {
    use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
    if name.starts_with(b"socket:[") {
        return DescriptorKind::Socket;
    }
    if name.starts_with(b"pipe:[") {
        return DescriptorKind::Pipe;
    }
    if name.starts_with(b"/memfd:") {
        return DescriptorKind::MemoryFile;
    }
    if name.starts_with(b"anon_inode:") {
        return DescriptorKind::Anonymous;
    }
    let Ok(metadata) = std::fs::metadata(link) else { return DescriptorKind::Anonymous };
    let kind = metadata.file_type();
    match () {
        () if kind.is_file() && metadata.nlink() == 0 => DescriptorKind::Deleted,
        () if kind.is_file() => DescriptorKind::File,
        () if kind.is_dir() => DescriptorKind::Folder,
        () if kind.is_char_device() || kind.is_block_device() => DescriptorKind::Device,
        () if kind.is_fifo() => DescriptorKind::Pipe,
        () if kind.is_socket() => DescriptorKind::Socket,
        () => DescriptorKind::Anonymous,
    }
}

/// The open descriptors of a process.
///
/// # Errors
/// Of the system: no such process, or no right to look.
pub fn descriptors(pid: u32) -> io::Result<Vec<Descriptor>> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(format!("/proc/{pid}/fd"))?.take(DESCRIPTORS).flatten() {
        let Some(number) = entry.file_name().to_str().and_then(|number| number.parse().ok()) else { continue };
        let link = format!("/proc/{pid}/fd/{number}");
        // Closed since it was listed.
        let Ok(name) = std::fs::read_link(&link) else { continue };
        let kind = kind_of(&link, name.as_os_str().as_bytes());
        all.push(Descriptor { pid, number, kind, name });
    }
    Ok(all)
}

/// Memory that a process shares, or could share, with others.
pub struct Shared {
    pub pid: u32,
    pub name: String,
    /// The whole object, where it can be opened. Its pages are in the process's memory only as far as that touched them.
    pub file: Option<File>,
}

/// Shared mappings that are writable or whose file has no name: `/dev/shm`, memory files, deleted files, System V segments.
///
/// # Errors
/// Of the system: no such process, or no right to look.
pub fn shared_memory(pid: u32) -> io::Result<Vec<Shared>> {
    let mut known = BTreeSet::new();
    let mut all = Vec::new();
    for mapping in memory::mappings(pid)? {
        if !mapping.is_shared() || mapping.inode == 0 || !known.insert((mapping.inode, mapping.name.clone())) {
            continue;
        }
        let link = format!("/proc/{pid}/map_files/{:x}-{:x}", mapping.range.start, mapping.range.end);
        let root = format!("/proc/{pid}/root{}", mapping.name);
        // The link is for the privileged; by name is for everybody.
        let file = File::open(link).ok().or_else(|| snapshot::open_regular(root.as_ref()).ok().map(|(file, _)| file));
        let file = file.filter(|file| file.metadata().is_ok_and(|metadata| metadata.file_type().is_file()));
        all.push(Shared { pid, name: mapping.name, file });
    }
    Ok(all)
}

/// A System V segment (sysvipc(7)); its content is readable only in the memory of a process that has it attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    pub id: i32,
    pub bytes: u64,
    pub creator: u32,
    pub last: u32,
    pub attached: u64,
}

/// All System V segments.
///
/// # Errors
/// Of the system: a kernel without them.
pub fn segments() -> io::Result<Vec<Segment>> {
    let table = std::fs::read_to_string("/proc/sysvipc/shm")?;
    let parse = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let number = |at: usize| fields.get(at)?.parse::<u64>().ok();
        let pid = |at| u32::try_from(number(at)?).ok();
        Some(Segment {
            id: fields.get(1)?.parse().ok()?,
            bytes: number(3)?,
            creator: pid(4)?,
            last: pid(5)?,
            attached: number(6)?,
        })
    };
    Ok(table.lines().skip(1).filter_map(parse).collect())
}
