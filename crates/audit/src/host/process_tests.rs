//! Processes, their sockets and what they send, of programs that really run.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::HashSet;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::memory::Memory;
use super::network::{Place, Sampler};
use super::packets::Capture;
use super::process::{self, DescriptorKind};
use super::sockets::Protocol;
use crate::detect::Source;

fn start(script: &str, arguments: &[&str]) -> Child {
    let mut command = Command::new("python3");
    command.args(["-u", "-c", script]).args(arguments).env("MARKED", "in the environment");
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    hear(&mut child);
    child
}

fn hear(child: &mut Child) -> String {
    let mut line = String::new();
    BufReader::with_capacity(1, child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    line
}

fn end(mut child: Child) {
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
}

const HOLDER: &str = r"
import mmap, os, socket, subprocess, sys
deleted = open(sys.argv[1] + '/gone', 'w+b', buffering=0); deleted.write(b'in a deleted file'); os.unlink(sys.argv[1] + '/gone')
memory = os.memfd_create('a memory file'); os.write(memory, b'in a memory file')
name = '/dev/shm/lethe-audit-%d' % os.getpid()
shared = os.open(name, os.O_RDWR | os.O_CREAT, 0o600); os.ftruncate(shared, 1 << 20)
mapping = mmap.mmap(shared, 1 << 20); os.close(shared); os.unlink(name)
mapping[500000:500016] = b'in shared memory'
a, b = socket.socketpair()
child = subprocess.Popen(['sh', '-c', 'sh -c \'echo ready; cat; true\'; true'], stdin=subprocess.PIPE)
sys.stdin.read()
child.stdin.close(); child.wait()
";

#[test]
fn what_a_process_holds() {
    let scratch = tempfile::tempdir().unwrap();
    let child = start(HOLDER, &[scratch.path().to_str().unwrap(), "in the arguments"]);
    let pid = child.id();
    assert!(process::tree(&[pid]).len() >= 3, "children of children");
    assert!(process::tree(&[std::process::id()]).contains(&pid));
    let contains = |bytes: &[u8], what: &str| memchr::memmem::find(bytes, what.as_bytes()).is_some();
    assert!(contains(&process::environment(pid).unwrap(), "MARKED=in the environment"));
    assert!(contains(&process::command_line(pid).unwrap(), "in the arguments"));
    assert!(process::name(pid).unwrap().starts_with("python"));

    let descriptors = process::descriptors(pid).unwrap();
    let text = |kind| {
        let descriptor = descriptors.iter().find(|descriptor| descriptor.kind == kind).unwrap();
        let mut text = String::new();
        descriptor.open().unwrap().read_to_string(&mut text).unwrap();
        text
    };
    assert_eq!(text(DescriptorKind::Deleted), "in a deleted file");
    assert_eq!(text(DescriptorKind::MemoryFile), "in a memory file");
    let socket = descriptors.iter().find(|descriptor| descriptor.kind == DescriptorKind::Socket).unwrap();
    assert!(socket.inode().is_some() && socket.open().is_err());
    assert!(descriptors.iter().any(|descriptor| descriptor.kind == DescriptorKind::Pipe));

    let shared = process::shared_memory(pid).unwrap();
    let object = shared.into_iter().find(|shared| shared.name.contains("lethe-audit")).unwrap();
    if let Some(mut file) = object.file {
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).unwrap();
        assert_eq!(bytes.len(), 1 << 20);
        assert!(contains(&bytes, "in shared memory"));
    } else {
        assert!(!rustix::process::geteuid().is_root(), "a deleted object is readable by the privileged");
    }
    let memory = Memory::of(pid).unwrap();
    let mapping = memory.mappings().iter().find(|mapping| mapping.name.contains("lethe-audit")).unwrap();
    let mut bytes = [0; 16];
    assert_eq!(memory.read_at(&mut bytes, mapping.range.start + 500_000).unwrap(), 16);
    assert_eq!(&bytes, b"in shared memory");
    end(child);
    assert!(process::environment(pid).is_err() && !process::is_alive(pid));
}

const CONNECTS: &str = r"
import socket, sys
print('ready')
sys.stdin.readline()
tcp = socket.create_connection(('127.0.0.1', int(sys.argv[1])))
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); udp.connect(('127.0.0.1', int(sys.argv[2])))
udp.send(b'\x03abc\x0din-a-dns-name\x07example\x00'); tcp.sendall(b'pushed in the clear')
listener = socket.create_server(('127.0.0.1', 0))
print('done')
sys.stdin.read()
";

#[test]
fn destinations_and_what_is_sent_there() {
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let allowed = TcpListener::bind("127.0.0.1:0").unwrap();
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let (tcp, udp, allowed) = (tcp.local_addr().unwrap(), udp.local_addr().unwrap(), allowed.local_addr().unwrap());
    let mut child = start(CONNECTS, &[&tcp.port().to_string(), &udp.port().to_string()]);
    let sampler = Sampler::start(vec![child.id()]).unwrap();
    let capture = Capture::start(HashSet::from([allowed.port()]));
    assert!(capture.is_ok() || !rustix::process::geteuid().is_root());
    writeln!(child.stdin.as_mut().unwrap(), "go").unwrap();
    hear(&mut child);
    std::net::TcpStream::connect(allowed).unwrap().write_all(b"as it should be").unwrap();
    let seen = sampler.finish();
    let place = |protocol, address: std::net::SocketAddr| {
        let place = Place::Address(address.ip(), address.port());
        seen.destinations.iter().find(|seen| seen.protocol == protocol && seen.place == place)
    };
    let found = place(Protocol::Tcp, tcp).unwrap();
    assert!(found.pid == child.id() && !found.accepted && found.state == "established" && !found.is_dns());
    assert!(place(Protocol::Udp, udp).is_some());
    assert!(place(Protocol::Tcp, allowed).is_none(), "of another process");
    assert_eq!(seen.listening.len(), 1);
    assert!(seen.looks >= 2 && seen.gaps.is_empty(), "{:?}", seen.gaps);

    if let Ok(capture) = capture {
        let captured = capture.finish();
        let payload = |port: u16| {
            let flow = captured.flows.iter().find(|flow| flow.to.port() == port)?;
            let mut bytes = [0; 100];
            let read = flow.read_at(&mut bytes, 0).unwrap();
            Some((flow.packets, bytes[..read].to_vec()))
        };
        assert_eq!(payload(tcp.port()), Some((1, b"pushed in the clear".to_vec())));
        let (_, dns) = payload(udp.port()).unwrap();
        assert!(memchr::memmem::find(&dns, b"in-a-dns-name").is_some());
        assert!(payload(allowed.port()).is_none());
        assert!(captured.packets >= 4);
    }
    end(child);
}

#[test]
fn processes_that_may_not_be_looked_at() {
    if !rustix::process::geteuid().is_root() {
        let refused = process::environment(1).is_err() && Memory::of(1).is_err() && process::descriptors(1).is_err();
        assert!(refused && Capture::start(HashSet::new()).is_err());
        assert!(super::trace::Trace::start(&[1]).is_err_and(|error| error == super::trace::TraceError::NotAllowed(1)));
        let seen = Sampler::start(vec![1]).unwrap().finish();
        assert!(seen.gaps.iter().any(|gap| gap.contains("cannot be looked at")), "{:?}", seen.gaps);
        return;
    }
    super::files_tests::as_ordinary_user("host::process_tests::processes_that_may_not_be_looked_at");
}

/// Not a test of an absolute speed: it says it, and fails only where reading is far from memory's.
#[test]
fn memory_is_read_fast() {
    let child = start("import sys\nb=b'x'*(512<<20)\nprint('ready')\nsys.stdin.read()", &[]);
    let memory = Memory::of(child.id()).unwrap();
    assert!(memory.size() > 512 << 20);
    let mut block = vec![0; 1 << 20];
    let started = Instant::now();
    let mut bytes = 0_u64;
    for span in memory.spans() {
        let mut at = 0;
        while let Ok(read @ 1..) = span.read_at(&mut block, at) {
            at += read as u64;
        }
        bytes += at;
    }
    assert_eq!(bytes, memory.size());
    let took = started.elapsed();
    assert!(took < Duration::from_secs(10), "{took:?} for {bytes} bytes");
    std::io::stderr().write_all(format!("{bytes} bytes of memory in {took:?}\n").as_bytes()).unwrap();
    end(child);
}
