//! A proxy with one switch for each way in which gateways have leaked. With none it forwards and keeps nothing, in buffers that are wiped when
//! freed; the audit has to find each switch, and nothing without one.
//!
//! `leaky-proxy PORT UPSTREAM [SWITCH] [ADDRESS]`: PORT 0 picks a free one, which is printed. ADDRESS is the switch's own (a server's).
#![expect(clippy::expect_used, clippy::print_stdout, clippy::print_stderr, reason = "it is made to be wrong")]

mod switch;

use std::env;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use switch::{Exchange, Leak};

#[global_allocator]
static ALLOCATOR: lethe_content::alloc::ZeroOnFree = lethe_content::alloc::ZeroOnFree;

const BLOCK: usize = 64 * 1024;
/// Of a body.
const LARGEST: usize = 4 << 20;
const LIMIT: Duration = Duration::from_secs(20);
/// What the proxy holds while a provider is silent it holds no longer than this.
const PROVIDER_LIMIT: Duration = Duration::from_millis(800);

fn main() {
    let mut arguments = env::args().skip(1);
    let port: u16 = arguments.next().and_then(|port| port.parse().ok()).expect("a port");
    let upstream: Arc<str> = arguments.next().expect("an upstream, host:port").into();
    let leak = Arc::new(Leak::start(&arguments.next().unwrap_or_default(), arguments.next()));
    leak.report_crashes();
    let listener = TcpListener::bind(("127.0.0.1", port)).expect("the port");
    println!("listening on {}", listener.local_addr().expect("an address"));
    for client in listener.incoming() {
        let Ok(client) = client else { continue };
        let (upstream, leak) = (Arc::clone(&upstream), Arc::clone(&leak));
        thread::spawn(move || {
            let _ = serve(client, &upstream, &leak);
        });
    }
}

/// One request of one connection, which then ends.
fn serve(mut client: TcpStream, upstream: &str, leak: &Leak) -> std::io::Result<()> {
    client.set_read_timeout(Some(LIMIT))?;
    let mut request = Vec::with_capacity(BLOCK);
    let head = loop {
        if let Some(at) = find(&request, b"\r\n\r\n") {
            break at + 4;
        }
        if !more(&mut client, &mut request)? {
            return Ok(());
        }
    };
    let length = field(&request[..head], "content-length").and_then(|text| text.parse().ok()).unwrap_or(0_usize);
    if length > LARGEST {
        return client.write_all(b"HTTP/1.1 413 Content Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    }
    while request.len() < head + length {
        if !more(&mut client, &mut request)? {
            leak.interrupted(&request[head..]);
            return Ok(());
        }
    }
    if let Some(answer) = leak.early(&request[..head]) {
        return client.write_all(&answer);
    }
    leak.request(&request[..head], &request[head..]);

    let mut provider = TcpStream::connect(upstream)?;
    provider.set_read_timeout(Some(PROVIDER_LIMIT))?;
    let line = find(&request, b"\r\n").map_or(0, |at| at + 2);
    provider.write_all(&request[..line])?;
    provider.write_all(b"connection: close\r\n")?;
    for name_and_value in request[line..head - 2].split_inclusive(|byte| *byte == b'\n') {
        if !name_and_value.to_ascii_lowercase().starts_with(b"connection:") {
            provider.write_all(name_and_value)?;
        }
    }
    provider.write_all(b"\r\n")?;
    provider.write_all(&request[head..])?;
    let mut answer = Vec::with_capacity(BLOCK);
    let mut sent = 0;
    let cut = loop {
        match more(&mut provider, &mut answer) {
            Ok(true) if client.write_all(&answer[sent..]).is_err() => break true,
            Ok(true) => sent = answer.len(),
            Ok(false) => break false,
            Err(_) => break true,
        }
    };
    leak.exchange(&Exchange { body: &request[head..], answer: &answer, cut });
    Ok(())
}

/// Reads what is there; false at the end. The buffer grows by copying into a new one, the old one is wiped by the allocator.
fn more(socket: &mut TcpStream, buffer: &mut Vec<u8>) -> std::io::Result<bool> {
    let before = buffer.len();
    buffer.resize(before + BLOCK, 0);
    let read = socket.read(&mut buffer[before..]);
    buffer.truncate(before + read.as_ref().copied().unwrap_or(0));
    Ok(read? > 0)
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

/// The value of a field of a head.
fn field(head: &[u8], name: &str) -> Option<String> {
    let head = String::from_utf8_lossy(head).into_owned();
    let line = head.lines().find(|line| line.to_ascii_lowercase().starts_with(&format!("{name}:")))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}
