//! The exercise against the provider itself, through a proxy that sees every byte, and against targets that misbehave.

#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

mod bad;
mod found;
mod gateway;
mod honest;

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use super::{Dialect, Key, Plan, Provider, Target};

const KEY: &str = "sk-the-key-of-the-target-0123456789";

fn any() -> SocketAddr {
    "127.0.0.1:0".parse().unwrap()
}

fn provider() -> Provider {
    Provider::start(any()).unwrap()
}

fn target(address: SocketAddr, dialect: Dialect) -> Target {
    Target::new(&format!("http://{address}/v1"), Key::new(KEY).unwrap(), "audit-model", dialect, None).unwrap()
}

/// Shorter waits, that a busy machine still keeps, and less to send.
fn brisk(mut plan: Plan) -> Plan {
    plan.limits.patience = std::time::Duration::from_millis(700);
    plan.limits.oversized = (1 << 30, 1 << 20);
    plan
}

/// Bytes that went to the target, and that came from it.
type Wire = Arc<Mutex<(Vec<u8>, Vec<u8>)>>;

/// Passes everything on, and remembers it.
fn proxy(to: SocketAddr) -> (SocketAddr, Wire) {
    let listener = TcpListener::bind(any()).unwrap();
    let address = listener.local_addr().unwrap();
    let wire = Wire::default();
    let seen = Arc::clone(&wire);
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let Ok(server) = TcpStream::connect(to) else { continue };
            for up in [true, false] {
                let (mut from, mut into) = (client.try_clone().unwrap(), server.try_clone().unwrap());
                if !up {
                    std::mem::swap(&mut from, &mut into);
                }
                let wire = Arc::clone(&seen);
                thread::spawn(move || {
                    let mut block = vec![0; 64 * 1024];
                    while let Ok(count @ 1..) = from.read(&mut block) {
                        let mut wire = wire.lock().unwrap();
                        if up { &mut wire.0 } else { &mut wire.1 }.extend_from_slice(&block[..count]);
                        drop(wire);
                        if into.write_all(&block[..count]).is_err() {
                            break;
                        }
                    }
                    let _ = into.shutdown(Shutdown::Both);
                    let _ = from.shutdown(Shutdown::Both);
                });
            }
        }
    });
    (address, wire)
}
