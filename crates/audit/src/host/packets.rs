//! What is sent over the network in the clear, from a packet socket (packet(7)); for the privileged, and of this network namespace.
//!
//! Every payload of UDP and TCP is kept by its two ends, in the order in which it passes: a marker in a DNS name, or in a push to a collector, stands
//! there. What TLS protects is not readable here, and is no leak by itself; its destination is for [`super::network`] to tell.

use std::collections::{HashMap, HashSet};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use rustix::net::{AddressFamily, Protocol as Number, RecvFlags, SocketFlags, SocketType, recv, socket_with, sockopt};

use super::files::readable;
use super::gaps::Gaps;
use super::records::Records;
use super::sockets::Protocol;
use crate::detect::Source;

/// linux/if_ether.h, in the network's order.
const ALL_PROTOCOLS: u16 = 0x0003_u16.to_be();
const PACKET: usize = 65_536 + 64;
/// Of the kernel's queue.
const QUEUE: usize = 16 * 1024 * 1024;
const TOTAL: usize = 256 * 1024 * 1024;
const OF_ONE: usize = 16 * 1024 * 1024;
const FLOWS: usize = 8192;

/// Payload that went one way between two ends, or the beginning of it.
pub struct Flow {
    pub protocol: Protocol,
    pub from: SocketAddr,
    pub to: SocketAddr,
    pub packets: u64,
    /// All that passed; what is kept may be less.
    pub bytes: u64,
    payload: Vec<u8>,
}

impl Flow {
    /// Whether it is a question or answer of DNS.
    #[must_use]
    pub fn is_dns(&self) -> bool {
        [self.from.port(), self.to.port()].iter().any(|port| matches!(port, 53 | 5353 | 5355))
    }
}

impl Source for Flow {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let rest = usize::try_from(offset).ok().and_then(|offset| self.payload.get(offset..)).unwrap_or_default();
        let length = rest.len().min(buffer.len());
        buffer[..length].copy_from_slice(&rest[..length]);
        Ok(length)
    }
}

/// What passed.
#[derive(Default)]
pub struct Captured {
    pub flows: Vec<Flow>,
    /// What the segments of every connection looked like, also of those whose ports are allowed, by sender and receiver.
    pub records: HashMap<(SocketAddr, SocketAddr), Records>,
    /// Packets that were looked at, of any kind.
    pub packets: u64,
    pub gaps: Vec<String>,
}

/// Capturing from [`Capture::start`] until [`Capture::finish`].
pub struct Capture {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Captured>,
}

impl Capture {
    /// Captures from now on. What has one of the `allowed` ports at either end is passed over: what is said there is meant to be.
    ///
    /// # Errors
    /// Of the system: for an ordinary user, that it is not allowed.
    pub fn start(allowed: HashSet<u16>) -> io::Result<Self> {
        let protocol = std::num::NonZeroU32::new(u32::from(ALL_PROTOCOLS)).map(Number::from_raw);
        let socket =
            socket_with(AddressFamily::PACKET, SocketType::DGRAM, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, protocol)?;
        // The larger queue needs a right that this socket's maker has; without it the packets that are lost are more.
        let _ = sockopt::set_socket_recv_buffer_size_force(&socket, QUEUE);
        let stop = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&stop);
        let thread = std::thread::Builder::new().name("packets".to_owned()).spawn(move || run(&socket, &allowed, &told))?;
        Ok(Self { stop, thread })
    }

    /// Ends it; what was sent before is in the result.
    #[must_use]
    pub fn finish(self) -> Captured {
        self.stop.store(true, Ordering::Release);
        self.thread
            .join()
            .unwrap_or_else(|_| Captured { gaps: vec!["capturing packets failed".to_owned()], ..Captured::default() })
    }
}

struct Packet<'a> {
    protocol: Protocol,
    from: SocketAddr,
    to: SocketAddr,
    payload: &'a [u8],
}

fn run(socket: &OwnedFd, allowed: &HashSet<u16>, stop: &AtomicBool) -> Captured {
    let mut flows: HashMap<(Protocol, SocketAddr, SocketAddr), Flow> = HashMap::new();
    let mut records: HashMap<(SocketAddr, SocketAddr), Records> = HashMap::new();
    let mut gaps = Gaps::default();
    let mut buffer = vec![0_u8; PACKET];
    let mut previous = Vec::new();
    let mut kept = 0;
    let mut packets = 0;
    loop {
        let last = stop.load(Ordering::Acquire);
        if !readable(socket.as_fd(), !last) {
            if last {
                break;
            }
            continue;
        }
        let length = match recv(socket, &mut buffer[..], RecvFlags::empty()) {
            Ok((length, _)) => length,
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR | rustix::io::Errno::NETDOWN) => continue,
            Err(error) => {
                gaps.add(format!("packets could not be read any more: {error}"));
                break;
            }
        };
        let bytes = &buffer[..length.min(buffer.len())];
        packets += 1;
        // On the loopback each is seen going out and coming in.
        if bytes == previous {
            previous.clear();
            continue;
        }
        previous.clear();
        previous.extend_from_slice(bytes);
        let Some(packet) = parse(bytes) else { continue };
        let ends = (packet.from, packet.to);
        if packet.protocol == Protocol::Tcp
            && !packet.payload.is_empty()
            && (records.len() < FLOWS || records.contains_key(&ends))
        {
            records.entry(ends).or_default().add(packet.payload);
        }
        if packet.payload.is_empty() || allowed.contains(&packet.from.port()) || allowed.contains(&packet.to.port()) {
            continue;
        }
        let key = (packet.protocol, packet.from, packet.to);
        if flows.len() >= FLOWS && !flows.contains_key(&key) {
            gaps.add(format!("payload between more than {FLOWS} ends: the rest was not kept"));
            continue;
        }
        let Packet { protocol, from, to, payload } = packet;
        let flow = flows.entry(key).or_insert_with(|| Flow { protocol, from, to, packets: 0, bytes: 0, payload: Vec::new() });
        flow.packets += 1;
        flow.bytes += payload.len() as u64;
        let room = payload.len().min(TOTAL - kept).min(OF_ONE - flow.payload.len());
        flow.payload.extend_from_slice(&payload[..room]);
        kept += room;
        if room < payload.len() {
            gaps.add("payload of packets beyond the bound was not kept");
        }
    }
    Captured { flows: flows.into_values().collect(), records, packets, gaps: gaps.into_list() }
}

/// IPv4 and IPv6 with UDP or TCP; of fragments, the first.
fn parse(bytes: &[u8]) -> Option<Packet<'_>> {
    let (from, to, next, rest): (IpAddr, IpAddr, u8, &[u8]) = match bytes.first()? >> 4 {
        4 => {
            let header = usize::from(bytes[0] & 15) * 4;
            let total = usize::from(u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?));
            if u16::from_be_bytes(bytes.get(6..8)?.try_into().ok()?) & 0x1fff != 0 {
                return None;
            }
            let address = |at: usize| Some(Ipv4Addr::from(<[u8; 4]>::try_from(bytes.get(at..at + 4)?).ok()?));
            // With segmentation left to the card, the length may read 0.
            let end = if total == 0 { bytes.len() } else { total.min(bytes.len()) };
            (address(12)?.into(), address(16)?.into(), *bytes.get(9)?, bytes.get(header..end)?)
        }
        6 => {
            let address = |at: usize| Some(Ipv6Addr::from(<[u8; 16]>::try_from(bytes.get(at..at + 16)?).ok()?));
            let (mut next, mut rest) = (*bytes.get(6)?, bytes.get(40..)?);
            // Hop-by-hop, routing and destination options.
            while matches!(next, 0 | 43 | 60) {
                next = *rest.first()?;
                rest = rest.get((usize::from(*rest.get(1)?) + 1) * 8..)?;
            }
            (address(8)?.into(), address(24)?.into(), next, rest)
        }
        _ => return None,
    };
    let port = |at: usize| Some(u16::from_be_bytes(rest.get(at..at + 2)?.try_into().ok()?));
    let (from, to) = (SocketAddr::new(from, port(0)?), SocketAddr::new(to, port(2)?));
    let (protocol, header) = match next {
        6 => (Protocol::Tcp, usize::from(*rest.get(12)? >> 4) * 4),
        17 => (Protocol::Udp, 8),
        _ => return None,
    };
    Some(Packet { protocol, from, to, payload: rest.get(header..)? })
}
