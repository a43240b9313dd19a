//! The real dialer, confined, with the gateway's side of it.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "../../../crates/confine/tests/support/mod.rs"]
mod support;

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream, UdpSocket},
    os::fd::OwnedFd,
};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use lethe_confine::{
    channel::Channel,
    dial::{Client, DialError},
};
use lethe_handover::{DialerBoot, FromChild, Stage, ToChild};
use lethe_policy::endpoints::{Endpoint, EndpointList, SignedEndpoints};
use support::{Started, Who, borrowed, exec, replace_file, start};

const EXECUTABLE: &str = env!("CARGO_BIN_EXE_lethe-dataplane");

fn endpoint(id: u32, host: &str, port: u16, allow_private: bool) -> Endpoint {
    Endpoint { id, host: host.to_owned(), port, allow_private }
}

fn signed(key: &Ed25519KeyPair, version: u64, endpoints: Vec<Endpoint>) -> Vec<u8> {
    SignedEndpoints::sign(&EndpointList { version, endpoints }, key).unwrap()
}

/// A confined dialer that serves, and the socket to it.
fn dialer(who: Who, key: &Ed25519KeyPair, endpoints: Vec<u8>) -> (Started, OwnedFd) {
    dialer_after(who, key, endpoints, || ())
}

fn dialer_after(who: Who, key: &Ed25519KeyPair, endpoints: Vec<u8>, before: impl FnOnce()) -> (Started, OwnedFd) {
    let verify_key = key.public_key().as_ref().try_into().unwrap();
    let boot = ToChild::Dialer(Box::new(DialerBoot { verify_key, endpoints }), who.options());
    let (gateway, theirs) = Channel::pair().unwrap();
    let mut started = start(&boot, &borrowed(&[theirs]), before, || exec(who, EXECUTABLE, &[EXECUTABLE, "dialer"], &[]));
    assert_eq!(started.stages().last(), Some(&Stage::Serving));
    assert!(matches!(started.report(), Ok(FromChild::Ready(_))));
    (started, gateway.into_fd())
}

#[tokio::test]
async fn it_dials_what_is_on_the_signed_list_and_nothing_else() {
    for who in Who::ALL {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let (key, other) = (Ed25519KeyPair::generate().unwrap(), Ed25519KeyPair::generate().unwrap());
        let list = vec![
            endpoint(1, "127.0.0.1", port, true),
            endpoint(2, "127.0.0.1", port, false),
            endpoint(3, "localhost", port, true),
            endpoint(4, "localhost", port, false),
            endpoint(5, "::ffff:127.0.0.1", port, false),
            endpoint(6, "127.0.0.1", closed, true),
            endpoint(7, "169.254.169.254", 80, false),
            endpoint(8, "no name at all", port, true),
        ];
        let (_started, socket) = dialer(who, &key, signed(&key, 5, list));
        let client = Client::new(socket).unwrap();

        for id in [1, 3] {
            let mut dialled = TcpStream::from(client.dial(id).await.unwrap());
            let (mut accepted, _) = listener.accept().unwrap();
            dialled.write_all(b"through").unwrap();
            let mut bytes = [0; 7];
            accepted.read_exact(&mut bytes).unwrap();
            assert_eq!(&bytes, b"through");
            assert!(dialled.nodelay().unwrap());
        }
        let refusals = [
            (2, DialError::Dns),
            (4, DialError::Dns),
            (5, DialError::Dns),
            (6, DialError::Connect),
            (7, DialError::Dns),
            (8, DialError::Dns),
            (9, DialError::RefusedByList),
        ];
        for (id, refusal) in refusals {
            assert_eq!(client.dial(id).await.err(), Some(refusal), "{who:?}: endpoint {id}");
        }

        // Lists that change nothing: older, as old, signed by another, not signed.
        let with_9 = || vec![endpoint(9, "127.0.0.1", port, true)];
        let mut unsigned = signed(&key, 9, with_9());
        unsigned[0] ^= 1;
        for refused in [signed(&key, 4, with_9()), signed(&key, 5, with_9()), signed(&other, 6, with_9()), unsigned, Vec::new()] {
            client.update(refused).await;
            assert_eq!(client.dial(9).await.err(), Some(DialError::RefusedByList));
        }
        client.update(signed(&key, 6, with_9())).await;
        assert!(client.dial(9).await.is_ok(), "control: a newer list counts");
        assert_eq!(client.dial(1).await.err(), Some(DialError::RefusedByList), "and the old one no longer");
    }
}

#[tokio::test]
async fn many_dials_at_once_all_arrive() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let key = Ed25519KeyPair::generate().unwrap();
    let (_started, socket) = dialer(Who::Root, &key, signed(&key, 1, vec![endpoint(1, "127.0.0.1", port, true)]));
    let client = Client::new(socket).unwrap();
    let dials: Vec<_> = (0..100)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move { client.dial(1).await })
        })
        .collect();
    for dial in dials {
        assert!(dial.await.unwrap().is_ok());
    }
}

#[tokio::test]
async fn it_answers_self_tests_drains_and_fails_over() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let key = Ed25519KeyPair::generate().unwrap();
    let list = signed(&key, 2, vec![endpoint(1, "127.0.0.1", port, true)]);
    let (started, socket) = dialer(Who::Root, &key, signed(&key, 1, Vec::new()));
    let client = Client::new(socket).unwrap();
    client.update(list).await;
    let connection = client.dial(1).await.unwrap();

    started.channel.send(&ToChild::SelfTest, &[]).unwrap();
    let posture = started.posture();
    assert!(lethe_confine::selftest::holds(&posture.attempts));
    assert!(!posture.descriptors.iter().any(|open| open.kind.starts_with("socket:inet")), "it keeps no connection: {posture:?}");
    started.channel.send(&ToChild::Drain, &[]).unwrap();
    assert!(matches!(started.report(), Ok(FromChild::Drained)));
    assert_eq!(started.child.wait(), Ok(0));

    assert_eq!(client.dial(1).await.err(), Some(DialError::Gone));
    drop(connection);
    let (_next, socket) = dialer(Who::Root, &key, signed(&key, 1, Vec::new()));
    client.replace(socket).await;
    assert!(client.dial(1).await.is_ok(), "a new dialer is told the newest list");
}

/// Where the scripted name server listens: a loopback address that no host uses for one.
const NAME_SERVER: &str = "127.0.0.77";

/// The answer to a DNS query (RFC 1035, section 4): `here.test` and `long.test` are 127.0.0.1,
/// nothing else has addresses. Over UDP the answer for `long.test` is cut off, so that the client comes back over TCP.
fn dns_answer(query: &[u8], over_tcp: bool) -> Vec<u8> {
    let end = 12 + query[12..].iter().position(|byte| *byte == 0).unwrap();
    let is_a = query[end + 1..end + 3] == [0, 1];
    let name = &query[13..end];
    let address: Option<[u8; 4]> = match name.iter().map(u8::to_ascii_lowercase).collect::<Vec<_>>().as_slice() {
        b"here\x04test" | b"long\x04test" => Some([127, 0, 0, 1]),
        _ => None,
    };
    let cut = name.eq_ignore_ascii_case(b"long\x04test") && !over_tcp;
    let address = address.filter(|_| is_a && !cut);
    let mut answer = query[..2].to_vec();
    answer.extend([0x81 | if cut { 0x02 } else { 0 }, 0x80, 0, 1, 0, u8::from(address.is_some()), 0, 0, 0, 0]);
    answer.extend(&query[12..end + 5]);
    if let Some(address) = address {
        answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
        answer.extend(address);
    }
    answer
}

fn serve_names() {
    let (udp, tcp) = (UdpSocket::bind((NAME_SERVER, 53)).unwrap(), TcpListener::bind((NAME_SERVER, 53)).unwrap());
    std::thread::spawn(move || {
        let mut query = [0; 1500];
        while let Ok((len, from)) = udp.recv_from(&mut query) {
            udp.send_to(&dns_answer(&query[..len], false), from).unwrap();
        }
    });
    std::thread::spawn(move || {
        while let Ok((mut stream, _)) = tcp.accept() {
            let mut len = [0; 2];
            while stream.read_exact(&mut len).is_ok() {
                let mut query = vec![0; usize::from(u16::from_be_bytes(len))];
                stream.read_exact(&mut query).unwrap();
                let answer = dns_answer(&query, true);
                let len = u16::try_from(answer.len()).unwrap().to_be_bytes();
                stream.write_all(&[&len[..], &answer].concat()).unwrap();
            }
        }
    });
}

#[tokio::test]
async fn names_resolve_inside_the_walls_and_private_answers_are_refused() {
    serve_names();
    let configuration = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&configuration, format!("nameserver {NAME_SERVER}\noptions timeout:2 attempts:1\n")).unwrap();
    // Readable for whoever the dialer runs as.
    let readable = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    std::fs::set_permissions(configuration.path(), readable).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let key = Ed25519KeyPair::generate().unwrap();
    for who in Who::ALL {
        let list = vec![
            endpoint(1, "here.test", port, true),
            endpoint(2, "long.test", port, true),
            endpoint(3, "here.test", port, false),
            endpoint(4, "nowhere.test", port, true),
        ];
        let path = configuration.path().to_owned();
        let before = move || replace_file(&path, "/etc/resolv.conf");
        let (_started, socket) = dialer_after(who, &key, signed(&key, 1, list), before);
        let client = Client::new(socket).unwrap();
        assert!(client.dial(1).await.is_ok(), "{who:?}: over UDP");
        assert!(client.dial(2).await.is_ok(), "{who:?}: over TCP after a truncated answer");
        assert_eq!(client.dial(3).await.err(), Some(DialError::Dns), "{who:?}: a public name with a private address");
        assert_eq!(client.dial(4).await.err(), Some(DialError::Dns), "{who:?}");
    }
}
