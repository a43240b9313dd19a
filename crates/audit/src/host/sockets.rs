//! The kernel's tables of sockets, as a process's network namespace has them (proc_pid_net(5)).

use std::collections::HashMap;
use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Of one table.
const TABLE: u64 = 16 * 1024 * 1024;

/// The kind of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    Tcp,
    Udp,
    Unix,
    Other,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
            Self::Unix => "unix",
            Self::Other => "other",
        })
    }
}

/// One socket of a table.
#[derive(Clone, PartialEq, Eq)]
pub struct Socket {
    pub protocol: Protocol,
    pub inode: u64,
    /// `None` for a unix socket.
    pub local: Option<(IpAddr, u16)>,
    /// `None` where it has no peer.
    pub remote: Option<(IpAddr, u16)>,
    /// Of a unix socket with a name.
    pub path: Option<String>,
    pub state: &'static str,
}

fn address(text: &str) -> Option<(IpAddr, u16)> {
    let (address, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    // Words of 32 bits in the machine's order.
    let word = |at: usize| Some(u32::from_str_radix(address.get(at..at + 8)?, 16).ok()?.to_ne_bytes());
    let address = if address.len() == 8 {
        IpAddr::V4(Ipv4Addr::from(word(0)?))
    } else {
        let mut bytes = [0; 16];
        for (at, chunk) in bytes.chunks_exact_mut(4).enumerate() {
            chunk.copy_from_slice(&word(at * 8)?);
        }
        IpAddr::V6(Ipv6Addr::from(bytes)).to_canonical()
    };
    Some((address, port))
}

fn state(text: &str) -> &'static str {
    // include/net/tcp_states.h
    match text {
        "01" => "established",
        "02" => "connecting",
        "03" => "being accepted",
        "04" | "05" | "06" | "08" | "09" | "0B" => "closing",
        "07" => "closed",
        "0A" => "listening",
        _ => "unknown",
    }
}

fn internet(line: &str, protocol: Protocol) -> Option<Socket> {
    let mut fields = line.split_whitespace().skip(1);
    let local = address(fields.next()?)?;
    let remote = address(fields.next()?).filter(|(address, port)| !(address.is_unspecified() && *port == 0));
    let state = state(fields.next()?);
    let inode = fields.nth(5)?.parse().ok()?;
    Some(Socket { protocol, inode, local: Some(local), remote, path: None, state })
}

fn unix(line: &str) -> Option<Socket> {
    let mut rest = line;
    let mut field = || {
        let (field, after) = rest.trim_start().split_once(' ').unwrap_or((rest.trim_start(), ""));
        rest = after;
        field
    };
    let fields = [(); 7].map(|()| field());
    let state = if fields[3] == "00010000" { "listening" } else { "open" };
    let inode = fields[6].parse().ok()?;
    let path = (!rest.is_empty()).then(|| rest.to_owned());
    Some(Socket { protocol: Protocol::Unix, inode, local: None, remote: None, path, state })
}

fn table(pid: u32, file: &str) -> String {
    let mut bytes = Vec::new();
    if let Ok(file) = File::open(format!("/proc/{pid}/net/{file}")) {
        // What was read before an error counts.
        drop(file.take(TABLE).read_to_end(&mut bytes));
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The internet sockets in a process's network namespace, by inode.
#[must_use]
pub fn internet_of(pid: u32) -> HashMap<u64, Socket> {
    let tables = [("tcp", Protocol::Tcp), ("tcp6", Protocol::Tcp), ("udp", Protocol::Udp), ("udp6", Protocol::Udp)];
    let others = [("raw", Protocol::Other), ("raw6", Protocol::Other), ("udplite", Protocol::Udp), ("icmp", Protocol::Other)];
    let mut all = HashMap::new();
    for (file, protocol) in tables.into_iter().chain(others) {
        all.extend(
            table(pid, file).lines().skip(1).filter_map(|line| internet(line, protocol)).map(|socket| (socket.inode, socket)),
        );
    }
    all
}

/// The unix sockets in a process's network namespace, by inode.
#[must_use]
pub fn unix_of(pid: u32) -> HashMap<u64, Socket> {
    table(pid, "unix").lines().skip(1).filter_map(unix).map(|socket| (socket.inode, socket)).collect()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn lines_of_the_tables() {
        let line = "   0: 0100007F:1F90 0200007F:C350 01 00000000:00000000 00:00000000 00000000     0        0 12345 1 0000000000000000 100";
        let socket = internet(line, Protocol::Tcp).unwrap();
        assert_eq!((socket.inode, socket.state), (12345, "established"));
        assert_eq!(socket.local, Some((Ipv4Addr::LOCALHOST.into(), 8080)));
        assert_eq!(socket.remote, Some((Ipv4Addr::new(127, 0, 0, 2).into(), 50000)));
        assert_eq!(address("00000000000000000000000001000000:0035"), Some((Ipv6Addr::LOCALHOST.into(), 53)));
        let socket = unix("ffff8881: 00000002 00000000 00010000 0001 01 2222 /run/a name").unwrap();
        assert_eq!((socket.inode, socket.path.as_deref(), socket.state), (2222, Some("/run/a name"), "listening"));
        let socket = unix("ffff8881: 00000003 00000000 00000000 0001 03  2223").unwrap();
        assert_eq!((socket.inode, socket.path, socket.state), (2223, None, "open"));
    }
}
