//! The dialer: opens connections to the endpoints on a list that control signed, and hands them to the gateway.
//!
//! It sees no content: TLS is made by the gateway inside the connection. Its authority does not come from the gateway: a
//! list counts only with control's signature and a higher version, and dialling is by the number of an endpoint on it.

mod address;
mod names;

use std::{net::SocketAddr, os::fd::AsFd, sync::Arc, time::Duration};

use lethe_handover::{FromChild, Stage, ToChild};
use lethe_policy::endpoints::{Endpoint, EndpointList, SignedEndpoints};
use serde::{Deserialize, Serialize};
use tokio::{net::TcpStream, task::JoinSet, time::Instant};

pub use address::allowed;
pub use names::Names;

use crate::{
    channel::{AsyncChannel, Channel, ChannelError},
    start::DialerStart,
};

/// Time for one dial: resolution and all addresses together.
const DIAL_LIMIT: Duration = Duration::from_secs(10);
/// Time for one address while others are left to try.
const ADDRESS_LIMIT: Duration = Duration::from_secs(3);
/// Dials at once; beyond it the answer is [`DialError::Busy`].
pub(crate) const DIALS_AT_ONCE: usize = 256;

/// What the gateway asks for.
#[derive(Serialize, Deserialize)]
pub(crate) enum Ask {
    /// Open a connection to this endpoint.
    Dial {
        /// Number that the answer carries.
        request: u32,
        /// Number of the endpoint on the signed list.
        endpoint: u32,
    },
    /// A newer list, as control signed it.
    Endpoints(Vec<u8>),
}

/// What became of a dial. With `Ok`, one descriptor comes along.
#[derive(Serialize, Deserialize)]
pub(crate) struct Answer {
    /// Number of the question.
    pub(crate) request: u32,
    /// What became of it.
    pub(crate) outcome: Result<(), DialError>,
}

/// Why there is no connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DialError {
    /// Too many dials at once.
    Busy,
    /// Every address refused or was out of reach.
    Connect,
    /// The name does not resolve, or only to addresses that the configuration does not allow.
    Dns,
    /// The dialer is gone; a new one takes its place.
    Gone,
    /// The dialer's answer was not a connected TCP socket.
    Malformed,
    /// No such endpoint on the signed list.
    RefusedByList,
    /// Not within 10 s.
    Timeout,
}

impl std::fmt::Display for DialError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Busy => "too many dials at once",
            Self::Connect => "no address accepts",
            Self::Dns => "name does not resolve to an allowed address",
            Self::Gone => "dialer gone",
            Self::Malformed => "dialer's answer is no connection",
            Self::RefusedByList => "not on the signed endpoint list",
            Self::Timeout => "dial timed out",
        })
    }
}

impl std::error::Error for DialError {}

impl From<DialError> for lethe_types::Failure {
    fn from(error: DialError) -> Self {
        match error {
            DialError::Busy | DialError::Gone | DialError::Malformed | DialError::RefusedByList => Self::Dialer,
            DialError::Connect => Self::Connect,
            DialError::Dns => Self::Dns,
            DialError::Timeout => Self::TimeoutConnect,
        }
    }
}

/// The list in force.
struct Directory {
    verify_key: [u8; 32],
    list: EndpointList,
}

impl Directory {
    /// The boot message's list, which may have any version.
    fn new(verify_key: [u8; 32], signed: &[u8]) -> Option<Self> {
        let list = SignedEndpoints::verify(signed, &verify_key).ok()?;
        Some(Self { verify_key, list })
    }

    /// Takes a list over if control signed it and it is newer; anything else changes nothing.
    fn update(&mut self, signed: &[u8]) {
        if let Ok(list) = SignedEndpoints::verify(signed, &self.verify_key)
            && list.version > self.list.version
        {
            self.list = list;
        }
    }

    fn endpoint(&self, id: u32) -> Option<Endpoint> {
        self.list.endpoints.iter().find(|endpoint| endpoint.id == id).cloned()
    }
}

/// Serves one gateway until it or the supervisor is gone, or the supervisor says to drain.
///
/// # Errors
/// The stage that failed: [`Stage::Role`] when the first list is not control's.
pub fn run(start: DialerStart) -> Result<(), Stage> {
    let DialerStart { verify_key, endpoints, names, gateway, channel, mut progress, watch } = start;
    progress.begin(Stage::Role);
    let mut directory = Directory::new(verify_key, &endpoints).ok_or(Stage::Role)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build().map_err(|_| Stage::Role)?;
    runtime.block_on(async {
        let supervisor = channel.into_async().map_err(|_| Stage::Role)?;
        let gateway = Channel::from_fd(gateway).and_then(Channel::into_async).map_err(|_| Stage::Role)?;
        let ready = FromChild::Ready(Box::new(watch.posture().clone()));
        supervisor.send(&ready, &[]).await.map_err(|_| Stage::Role)?;
        progress.serving();
        let (gateway, names) = (Arc::new(gateway), Arc::new(names));
        let mut dials = JoinSet::new();
        loop {
            tokio::select! {
                asked = gateway.recv::<Ask>() => match asked {
                    Ok((Ask::Dial { request, endpoint }, _)) => {
                        while dials.try_join_next().is_some() {}
                        let endpoint = directory.endpoint(endpoint);
                        let room = dials.len() < DIALS_AT_ONCE;
                        dials.spawn(serve(Arc::clone(&gateway), request, endpoint, room, Arc::clone(&names)));
                    }
                    Ok((Ask::Endpoints(signed), _)) => directory.update(&signed),
                    // Gone, or not to be trusted any more: the supervisor starts a new pair.
                    Err(_) => return Ok(()),
                },
                command = supervisor.recv::<ToChild>() => match command {
                    Ok((ToChild::SelfTest, _)) => {
                        let posture = FromChild::Posture(Box::new(watch.again()));
                        supervisor.send(&posture, &[]).await.map_err(|_| Stage::Serving)?;
                    }
                    Ok((ToChild::Drain, _)) => {
                        let _ = supervisor.send(&FromChild::Drained, &[]).await;
                        return Ok(());
                    }
                    Ok(_) => {}
                    Err(_) => return Ok(()),
                },
            }
        }
    })
}

/// Answers one dial.
async fn serve(
    gateway: Arc<AsyncChannel>,
    request: u32,
    endpoint: Option<Endpoint>,
    room: bool,
    names: Arc<Names>,
) -> Result<(), ChannelError> {
    let connected = match endpoint {
        None => Err(DialError::RefusedByList),
        Some(_) if !room => Err(DialError::Busy),
        Some(endpoint) => dial(&endpoint, &names).await,
    };
    match connected {
        Ok(stream) => gateway.send(&Answer { request, outcome: Ok(()) }, &[stream.as_fd()]).await,
        Err(error) => gateway.send(&Answer { request, outcome: Err(error) }, &[]).await,
    }
}

async fn dial(endpoint: &Endpoint, names: &Names) -> Result<TcpStream, DialError> {
    let deadline = Instant::now() + DIAL_LIMIT;
    let found = tokio::time::timeout_at(deadline, names.addresses(&endpoint.host)).await.map_err(|_| DialError::Timeout)?;
    let mut addresses: Vec<_> = found.into_iter().filter(|found| address::allowed(*found, endpoint.allow_private)).collect();
    // Resolvers list one family after the other: without turns, a broken family could use up all the time.
    take_turns(&mut addresses);
    let mut failure = DialError::Dns;
    let mut left = addresses.len();
    for address in addresses {
        left -= 1;
        let until = if left == 0 { deadline } else { deadline.min(Instant::now() + ADDRESS_LIMIT) };
        match tokio::time::timeout_at(until, TcpStream::connect(SocketAddr::new(address, endpoint.port))).await {
            Ok(Ok(stream)) if stream.set_nodelay(true).is_ok() => return Ok(stream),
            Ok(_) => failure = DialError::Connect,
            Err(_) => failure = DialError::Timeout,
        }
        if Instant::now() >= deadline {
            return Err(DialError::Timeout);
        }
    }
    Err(failure)
}

/// Orders addresses so that the families take turns, the first address's family first (RFC 8305, section 4).
fn take_turns(addresses: &mut Vec<std::net::IpAddr>) {
    let Some(first) = addresses.first().map(std::net::IpAddr::is_ipv6) else {
        return;
    };
    let (mut own, mut other): (Vec<_>, Vec<_>) = addresses.drain(..).partition(|address| address.is_ipv6() == first);
    own.reverse();
    other.reverse();
    while !(own.is_empty() && other.is_empty()) {
        addresses.extend(own.pop());
        addresses.extend(other.pop());
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};

    use super::*;

    fn signed(key: &Ed25519KeyPair, version: u64, ids: &[u32]) -> Vec<u8> {
        let endpoint = |id: &u32| Endpoint { id: *id, host: "127.0.0.1".into(), port: 9, allow_private: true };
        SignedEndpoints::sign(&EndpointList { version, endpoints: ids.iter().map(endpoint).collect() }, key).unwrap()
    }

    #[test]
    fn a_list_counts_only_signed_and_newer() {
        let (key, other) = (Ed25519KeyPair::generate().unwrap(), Ed25519KeyPair::generate().unwrap());
        let public = key.public_key().as_ref().try_into().unwrap();
        assert!(Directory::new(public, &signed(&other, 1, &[1])).is_none());
        let mut directory = Directory::new(public, &signed(&key, 5, &[1])).unwrap();
        let refused = [signed(&other, 6, &[2]), signed(&key, 5, &[2]), signed(&key, 4, &[2]), Vec::new(), vec![0; 200]];
        for list in refused {
            directory.update(&list);
            assert!(directory.endpoint(1).is_some() && directory.endpoint(2).is_none());
        }
        directory.update(&signed(&key, 6, &[2]));
        assert!(directory.endpoint(1).is_none() && directory.endpoint(2).is_some(), "control: a newer list is taken");
    }

    #[test]
    fn families_take_turns() {
        let mut addresses: Vec<std::net::IpAddr> =
            ["::1", "::2", "::3", "1.0.0.1", "1.0.0.2"].map(|text| text.parse().unwrap()).into();
        take_turns(&mut addresses);
        let turns: Vec<String> = addresses.iter().map(ToString::to_string).collect();
        assert_eq!(turns, ["::1", "1.0.0.1", "::2", "1.0.0.2", "::3"]);
    }
}
