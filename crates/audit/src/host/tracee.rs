//! What a traced thread's call wrote to, told from its descriptors and its memory, and the sums of all of them.

use std::collections::HashMap;
use std::fs::File;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use super::calls::{Address, Effect};
use super::gaps::Gaps;
use super::network::Place;
use super::process::{self, DescriptorKind};
use super::sockets::{self, Protocol, Socket};

/// Different lines that are kept.
const LINES: usize = 20_000;
/// Sockets whose kind is remembered.
const SOCKETS: usize = 4096;
/// Longest path (linux/limits.h).
const PATH: usize = 4096;

/// What a call wrote to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TargetKind {
    /// Something with a name in a file system, or that had one.
    File,
    Socket,
    Pipe,
    /// eventfd, timerfd and the like: no content.
    Event,
    /// Shared memory and memory files.
    Memory,
    /// Devices, queues, keyrings, io_uring.
    Other,
}

/// Successful calls of one kind of one process to one target.
#[derive(Clone)]
pub struct Written {
    pub pid: u32,
    pub name: String,
    pub call: &'static str,
    /// A path, `TCP to 10.0.0.1:443`, `pipe`, … It may hold what the target chose.
    pub target: String,
    pub kind: TargetKind,
    pub calls: u64,
    /// 0 where the call does not say.
    pub bytes: u64,
}

/// A destination that was connected or sent to.
#[derive(Clone)]
pub struct Sent {
    pub pid: u32,
    pub name: String,
    pub place: Place,
    /// Whether any try succeeded.
    pub succeeded: bool,
    pub calls: u64,
}

#[derive(PartialEq, Eq, Hash)]
struct Line {
    pid: u32,
    call: &'static str,
    target: String,
    kind: TargetKind,
}

/// The sums so far.
#[derive(Default)]
pub(super) struct Ledger {
    lines: HashMap<Line, (u64, u64)>,
    places: HashMap<(u32, Place), (bool, u64)>,
    names: HashMap<u32, String>,
    sockets: HashMap<u64, String>,
    pub(super) gaps: Gaps,
}

fn memory(tid: u32, address: u64, buffer: &mut [u8]) -> Option<usize> {
    File::open(format!("/proc/{tid}/mem")).ok()?.read_at(buffer, address).ok()
}

/// A name as it stands in memory, to its zero.
fn text(tid: u32, pointer: u64) -> Option<PathBuf> {
    let mut buffer = vec![0; PATH];
    // A read across the end of what is mapped gives what there is, or an error: then up to the page's end.
    let read = memory(tid, pointer, &mut buffer).or_else(|| {
        let rest = usize::try_from(4096 - pointer % 4096).ok()?;
        memory(tid, pointer, buffer.get_mut(..rest)?)
    })?;
    let end = buffer[..read].iter().position(|&byte| byte == 0)?;
    Some(PathBuf::from(std::ffi::OsStr::from_bytes(&buffer[..end])))
}

fn word(tid: u32, address: u64) -> Option<u64> {
    let mut bytes = [0; 8];
    (memory(tid, address, &mut bytes)? == 8).then(|| u64::from_ne_bytes(bytes))
}

fn place(tid: u32, address: Address) -> Option<Place> {
    let (pointer, length) = match address {
        Address::None => return None,
        Address::Plain { pointer, length } => (pointer, length),
        // struct msghdr begins with the address and its length.
        Address::Message(header) => (word(tid, header)?, word(tid, header + 8)? & 0xffff_ffff),
    };
    let mut bytes = [0_u8; 128];
    let length = usize::try_from(length).ok()?.min(bytes.len());
    if pointer == 0 || memory(tid, pointer, bytes.get_mut(..length)?)? != length || length < 2 {
        return None;
    }
    let family = i32::from(u16::from_ne_bytes([bytes[0], bytes[1]]));
    let port = u16::from_be_bytes([bytes[2], bytes[3]]);
    match family {
        libc::AF_INET if length >= 8 => Some(Place::Address(Ipv4Addr::new(bytes[4], bytes[5], bytes[6], bytes[7]).into(), port)),
        libc::AF_INET6 if length >= 24 => {
            let octets: [u8; 16] = bytes[8..24].try_into().ok()?;
            Some(Place::Address(IpAddr::V6(Ipv6Addr::from(octets)).to_canonical(), port))
        }
        libc::AF_UNIX if length > 2 => {
            let name = &bytes[2..length];
            let (mark, name) = if name[0] == 0 { ("@", &name[1..]) } else { ("", name) };
            let end = name.iter().position(|&byte| byte == 0).unwrap_or(name.len());
            Some(Place::Path(format!("{mark}{}", String::from_utf8_lossy(&name[..end]))))
        }
        _ => None,
    }
}

impl Ledger {
    /// Adds what a finished call of a thread of process `pid` did. The thread must be stopped.
    pub(super) fn add(&mut self, pid: u32, tid: u32, effect: Effect) {
        match effect {
            Effect::Descriptor { call, number, bytes } => {
                if call == "openat2" && !opened_for_writing(tid, number) {
                    return;
                }
                let (target, kind) = self.target(pid, tid, number);
                self.line(pid, call, target, kind, bytes);
            }
            Effect::Path { call, folder, pointer } => {
                let target = path(tid, folder, pointer).unwrap_or_else(|| "a path that cannot be read".to_owned());
                self.line(pid, call, target, TargetKind::File, 0);
            }
            Effect::Send { call, number, address, bytes } => {
                let (mut target, kind) = self.target(pid, tid, number);
                if let Some(place) = place(tid, address) {
                    target = format!("socket to {}", shown(&place));
                    self.place(pid, place, true);
                }
                self.line(pid, call, target, kind, bytes);
            }
            Effect::Connect { number, address, succeeded } => {
                if let Some(place) = place(tid, address) {
                    // What was remembered of the socket was before it had a peer.
                    if let Some(inode) = inode(tid, number) {
                        self.sockets.remove(&inode);
                    }
                    self.place(pid, place, succeeded);
                }
            }
            Effect::Other { call, target, bytes } => {
                let kind = if matches!(call, "msync" | "shmat") { TargetKind::Memory } else { TargetKind::Other };
                self.line(pid, call, target.to_owned(), kind, bytes);
            }
        }
    }

    fn name(&mut self, pid: u32) {
        if !self.names.contains_key(&pid)
            && let Some(name) = process::name(pid)
        {
            self.names.insert(pid, name);
        }
    }

    fn line(&mut self, pid: u32, call: &'static str, target: String, kind: TargetKind, bytes: u64) {
        self.name(pid);
        let line = Line { pid, call, target, kind };
        if self.lines.len() >= LINES && !self.lines.contains_key(&line) {
            self.gaps.add(format!("more than {LINES} different writes: the rest is not told"));
            return;
        }
        let sums = self.lines.entry(line).or_default();
        sums.0 += 1;
        sums.1 = sums.1.saturating_add(bytes);
    }

    fn place(&mut self, pid: u32, place: Place, succeeded: bool) {
        self.name(pid);
        let key = (pid, place);
        if self.places.len() >= LINES && !self.places.contains_key(&key) {
            self.gaps.add(format!("more than {LINES} different destinations: the rest is not told"));
            return;
        }
        let sums = self.places.entry(key).or_default();
        sums.0 |= succeeded;
        sums.1 += 1;
    }

    fn target(&mut self, pid: u32, tid: u32, number: i32) -> (String, TargetKind) {
        let link = format!("/proc/{tid}/fd/{number}");
        let Ok(name) = std::fs::read_link(&link) else {
            return ("a descriptor that was closed at once".to_owned(), TargetKind::Other);
        };
        let kind = process::kind_of(&link, name.as_os_str().as_bytes());
        let shown = name.to_string_lossy().into_owned();
        match kind {
            DescriptorKind::File | DescriptorKind::Folder | DescriptorKind::Deleted => {
                let memory = shown.starts_with("/dev/shm/") || shown.starts_with("/SYSV") || is_secret_memory(&link);
                (shown, if memory { TargetKind::Memory } else { TargetKind::File })
            }
            DescriptorKind::MemoryFile => (shown, TargetKind::Memory),
            DescriptorKind::Pipe if shown.starts_with("pipe:") => ("pipe".to_owned(), TargetKind::Pipe),
            DescriptorKind::Pipe => (shown, TargetKind::Pipe),
            DescriptorKind::Socket => (self.socket(pid, &shown), TargetKind::Socket),
            DescriptorKind::Device => (shown, TargetKind::Other),
            DescriptorKind::Anonymous => {
                let event = ["eventfd", "timerfd", "eventpoll", "signalfd"].iter().any(|name| shown.contains(name));
                (shown, if event { TargetKind::Event } else { TargetKind::Other })
            }
        }
    }

    fn socket(&mut self, pid: u32, name: &str) -> String {
        let inode = name.strip_prefix("socket:[").and_then(|rest| rest.strip_suffix(']')).and_then(|text| text.parse().ok());
        let Some(inode) = inode else { return "socket".to_owned() };
        if let Some(known) = self.sockets.get(&inode) {
            return known.clone();
        }
        let told = sockets::internet_of(pid).remove(&inode).or_else(|| sockets::unix_of(pid).remove(&inode));
        let told = told.as_ref().map_or_else(|| "socket".to_owned(), peer);
        if self.sockets.len() >= SOCKETS {
            self.sockets.clear();
        }
        self.sockets.insert(inode, told.clone());
        told
    }

    /// Everything, most bytes first.
    pub(super) fn into_parts(self) -> (Vec<Written>, Vec<Sent>, Gaps) {
        let name = |pid: &u32| self.names.get(pid).cloned().unwrap_or_default();
        let written = |(line, (calls, bytes)): (Line, (u64, u64))| {
            let Line { pid, call, target, kind } = line;
            Written { pid, name: name(&pid), call, target, kind, calls, bytes }
        };
        let sent = |((pid, place), (succeeded, calls)): ((u32, Place), (bool, u64))| {
            let name = name(&pid);
            Sent { pid, name, place, succeeded, calls }
        };
        let mut written: Vec<Written> = self.lines.into_iter().map(written).collect();
        written.sort_by(|one, other| (other.bytes, &one.target, one.call).cmp(&(one.bytes, &other.target, other.call)));
        let mut sent: Vec<Sent> = self.places.into_iter().map(sent).collect();
        sent.sort_by(|one, other| (one.pid, &one.place).cmp(&(other.pid, &other.place)));
        (written, sent, self.gaps)
    }
}

fn inode(tid: u32, number: i32) -> Option<u64> {
    let name = std::fs::read_link(format!("/proc/{tid}/fd/{number}")).ok()?;
    name.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
}

fn shown(place: &Place) -> String {
    match place {
        Place::Address(address, port) => std::net::SocketAddr::new(*address, *port).to_string(),
        Place::Path(path) => path.clone(),
    }
}

/// Many connections to one place are one line: the port of a peer that came is not told, of one that was gone to it is.
fn peer(socket: &Socket) -> String {
    match (socket.protocol, socket.local, socket.remote, &socket.path) {
        (Protocol::Unix, _, _, Some(path)) => format!("unix socket {path}"),
        (Protocol::Unix, ..) => "unix socket".to_owned(),
        (protocol, Some((_, local)), Some((address, port)), _) => {
            // The kernel gives ports out from 32768 by default: the lower of two is the service.
            if local < port && local < 32_768 {
                format!("{protocol} from {address} to its port {local}")
            } else {
                format!("{protocol} to {}", std::net::SocketAddr::new(address, port))
            }
        }
        (protocol, ..) => format!("{protocol} socket"),
    }
}

/// `flags:` in fdinfo is octal.
fn opened_for_writing(tid: u32, number: i32) -> bool {
    let info = std::fs::read_to_string(format!("/proc/{tid}/fdinfo/{number}")).unwrap_or_default();
    let flags = info.lines().find_map(|line| i32::from_str_radix(line.strip_prefix("flags:")?.trim(), 8).ok());
    flags.is_none_or(|flags| flags & libc::O_ACCMODE != libc::O_RDONLY)
}

fn path(tid: u32, folder: i32, pointer: u64) -> Option<String> {
    let name = text(tid, pointer)?;
    let from = match folder {
        _ if name.is_absolute() => PathBuf::from("/"),
        libc::AT_FDCWD => std::fs::read_link(format!("/proc/{tid}/cwd")).ok()?,
        number => std::fs::read_link(format!("/proc/{tid}/fd/{number}")).ok()?,
    };
    let joined: PathBuf = Path::components(&from.join(name)).collect();
    Some(joined.to_string_lossy().into_owned())
}

/// Whether a descriptor is memory that its process alone can read (memfd_secret(2)): it has the name of a deleted file, and a file system of its own.
fn is_secret_memory(link: &str) -> bool {
    /// include/uapi/linux/magic.h
    const SECRETMEM_MAGIC: i64 = 0x5345_434d;
    rustix::fs::statfs(link).is_ok_and(|system| system.f_type == SECRETMEM_MAGIC)
}
