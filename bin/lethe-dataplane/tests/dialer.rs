//! The real dialer, confined, with the gateway's side of it.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "../../../crates/confine/tests/support/mod.rs"]
mod support;

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    os::fd::OwnedFd,
};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use lethe_confine::{
    channel::Channel,
    dial::{Client, DialError},
};
use lethe_handover::{DialerBoot, FromChild, Stage, ToChild};
use lethe_policy::endpoints::{Endpoint, EndpointList, SignedEndpoints};
use support::{Started, Who, borrowed, exec, start};

const EXECUTABLE: &str = env!("CARGO_BIN_EXE_lethe-dataplane");

fn endpoint(id: u32, host: &str, port: u16, allow_private: bool) -> Endpoint {
    Endpoint { id, host: host.to_owned(), port, allow_private }
}

fn signed(key: &Ed25519KeyPair, version: u64, endpoints: Vec<Endpoint>) -> Vec<u8> {
    SignedEndpoints::sign(&EndpointList { version, endpoints }, key).unwrap()
}

/// A confined dialer that serves, and the socket to it.
fn dialer(who: Who, key: &Ed25519KeyPair, endpoints: Vec<u8>) -> (Started, OwnedFd) {
    let verify_key = key.public_key().as_ref().try_into().unwrap();
    let boot = ToChild::Dialer(Box::new(DialerBoot { verify_key, endpoints }), who.options());
    let (gateway, theirs) = Channel::pair().unwrap();
    let mut started = start(&boot, &borrowed(&[theirs]), || (), || exec(who, EXECUTABLE, &[EXECUTABLE, "dialer"], &[]));
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
