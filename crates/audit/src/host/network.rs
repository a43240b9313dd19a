//! Where processes connect to, by looking at their sockets again and again.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::gaps::Gaps;
use super::process::{self, DescriptorKind};
use super::sockets::{self, Protocol, Socket};

const EVERY: Duration = Duration::from_millis(20);
/// How often the tree of processes is listed anew, in looks.
const TREE: u32 = 5;
/// Different destinations that are told.
const LIMIT: usize = 4096;
/// Processes that are looked at.
const PROCESSES: usize = 1024;

/// Where a process's socket leads.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    Address(IpAddr, u16),
    /// A name in the file system or, with `@`, an abstract one. It may hold what the target chose.
    Path(String),
}

/// A destination that was seen.
#[derive(Clone)]
pub struct Destination {
    pub pid: u32,
    pub name: String,
    pub protocol: Protocol,
    pub place: Place,
    /// When it was first seen.
    pub state: &'static str,
    /// Whether the process took the connection instead of making it: the local port is one that it listens at.
    pub accepted: bool,
    pub after: Duration,
}

impl Destination {
    /// Whether names are asked for there.
    #[must_use]
    pub fn is_dns(&self) -> bool {
        matches!(self.place, Place::Address(_, 53 | 853 | 5353 | 5355))
    }
}

/// What was seen.
#[derive(Default)]
pub struct Seen {
    pub destinations: Vec<Destination>,
    /// Addresses and ports that the processes listen at.
    pub listening: Vec<(Protocol, IpAddr, u16)>,
    pub gaps: Vec<String>,
    /// How often the sockets were looked at.
    pub looks: u64,
}

/// Looking from [`Sampler::start`] until [`Sampler::finish`].
pub struct Sampler {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Seen>,
}

impl Sampler {
    /// Looks at the sockets of these processes and their descendants from now on; the first look is over when this returns.
    ///
    /// # Errors
    /// Of the system: no thread is to be had.
    pub fn start(roots: Vec<u32>) -> std::io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let (first, looked) = mpsc::sync_channel(1);
        let told = Arc::clone(&stop);
        let thread = std::thread::Builder::new()
            .name("sockets".to_owned())
            .spawn(move || Sampling::default().run(&roots, &told, &first))?;
        // The thread may fail; then there is nothing to wait for.
        let _ = looked.recv_timeout(Duration::from_secs(5));
        Ok(Self { stop, thread })
    }

    /// Looks once more and ends.
    #[must_use]
    pub fn finish(self) -> Seen {
        self.stop.store(true, Ordering::Release);
        self.thread.join().unwrap_or_else(|_| Seen { gaps: vec!["looking at sockets failed".to_owned()], ..Seen::default() })
    }
}

/// The TCP ports of this network namespace at which processes listen, with those that do.
#[must_use]
pub fn listeners(pids: &[u32]) -> BTreeMap<(IpAddr, u16), Vec<u32>> {
    let namespace = |pid: &str| std::fs::read_link(format!("/proc/{pid}/ns/net")).ok();
    let own = namespace("self");
    let mut found: BTreeMap<(IpAddr, u16), Vec<u32>> = BTreeMap::new();
    for &pid in pids.iter().take(PROCESSES).filter(|pid| namespace(&pid.to_string()) == own) {
        let table = sockets::internet_of(pid);
        let descriptors = process::descriptors(pid).unwrap_or_default();
        let sockets = descriptors.iter().filter_map(|descriptor| table.get(&descriptor.inode()?));
        for socket in sockets.filter(|socket| socket.protocol == Protocol::Tcp && socket.state == "listening") {
            let Some(local) = socket.local else { continue };
            let holders = found.entry(local).or_default();
            if !holders.contains(&pid) {
                holders.push(pid);
            }
        }
    }
    found
}

#[derive(Default)]
struct Sampling {
    found: BTreeMap<(u32, Protocol, Place), Destination>,
    listening: HashSet<(Protocol, IpAddr, u16)>,
    gaps: Gaps,
    refused: HashSet<u32>,
}

impl Sampling {
    fn run(mut self, roots: &[u32], stop: &AtomicBool, first: &mpsc::SyncSender<()>) -> Seen {
        let started = Instant::now();
        let mut pids = Vec::new();
        let mut looks = 0_u64;
        loop {
            let last = stop.load(Ordering::Acquire);
            if looks.is_multiple_of(u64::from(TREE)) || last {
                pids = process::tree(roots).into_iter().collect();
                if pids.len() > PROCESSES {
                    self.gaps.add(format!("sockets of more than {PROCESSES} processes: the rest was not looked at"));
                    pids.truncate(PROCESSES);
                }
            }
            self.look(&pids, started);
            looks += 1;
            if looks == 1 {
                let _ = first.try_send(());
            }
            if last {
                break;
            }
            std::thread::sleep(EVERY);
        }
        if !self.refused.is_empty() {
            self.gaps.add(format!("sockets of {} processes cannot be looked at", self.refused.len()));
        }
        let destinations = self.found.into_values().collect();
        Seen { destinations, listening: self.listening.into_iter().collect(), gaps: self.gaps.into_list(), looks }
    }

    fn look(&mut self, pids: &[u32], started: Instant) {
        // One reading of the tables for each network namespace.
        let mut tables: HashMap<Option<std::path::PathBuf>, HashMap<u64, Socket>> = HashMap::new();
        for &pid in pids {
            let namespace = std::fs::read_link(format!("/proc/{pid}/ns/net")).ok();
            let table = tables.entry(namespace).or_insert_with(|| {
                let mut all = sockets::unix_of(pid);
                all.extend(sockets::internet_of(pid));
                all
            });
            let Ok(descriptors) = process::descriptors(pid) else {
                if process::is_alive(pid) {
                    self.refused.insert(pid);
                }
                continue;
            };
            let own: Vec<&Socket> = descriptors
                .iter()
                .filter(|descriptor| descriptor.kind == DescriptorKind::Socket)
                .filter_map(|descriptor| table.get(&descriptor.inode()?))
                .collect();
            for socket in &own {
                if let (Some((address, port)), "listening") = (socket.local, socket.state) {
                    self.listening.insert((socket.protocol, address, port));
                }
            }
            for socket in own {
                self.take(pid, socket, started);
            }
        }
    }

    fn take(&mut self, pid: u32, socket: &Socket, started: Instant) {
        let place = match (&socket.path, socket.remote) {
            (Some(path), _) => Place::Path(path.clone()),
            (None, Some((address, port))) => Place::Address(address, port),
            (None, None) => return,
        };
        let accepted = match socket.local {
            Some((_, port)) => self.listening.iter().any(|(protocol, _, at)| (*protocol, *at) == (socket.protocol, port)),
            None => true,
        };
        let key = (pid, socket.protocol, place.clone());
        if self.found.contains_key(&key) {
            return;
        }
        if self.found.len() >= LIMIT {
            self.gaps.add(format!("more than {LIMIT} destinations: the rest is not told"));
            return;
        }
        let name = process::name(pid).unwrap_or_default();
        let (protocol, state, after) = (socket.protocol, socket.state, started.elapsed());
        self.found.insert(key, Destination { pid, name, protocol, place, state, accepted, after });
    }
}
