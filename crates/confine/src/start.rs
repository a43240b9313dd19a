//! Confined starts of the roles of `lethe-dataplane`: from boot message to what the role's own code is given.

use std::os::fd::OwnedFd;

use lethe_handover::{ClientTls, GatewayLimits, Identity, Stage, ToChild};
use lethe_types::Network;

use crate::{
    boot::{Booted, Progress},
    channel::Channel,
    confinement::{Confined, Watch, confine},
    dialer::Names,
    secret::{Arena, Secret},
};

/// An [`Identity`] whose key lies in secret memory.
pub struct SealedIdentity {
    /// Control's certificate authority, DER.
    pub authority: Vec<u8>,
    /// Own certificate chain, DER, leaf first.
    pub chain: Vec<Vec<u8>>,
    /// Own private key, PKCS#8 DER.
    pub key: Secret,
}

impl SealedIdentity {
    /// Moves the key into `arena`; `None` when it is full.
    #[must_use]
    pub fn seal(identity: Identity, arena: &Arena) -> Option<Self> {
        let key = arena.put(identity.key.expose()).ok()?;
        Some(Self { authority: identity.authority, chain: identity.chain, key })
    }
}

/// A [`ClientTls`] whose key lies in secret memory.
pub struct SealedTls {
    /// Certificate chain, DER, leaf first.
    pub chain: Vec<Vec<u8>>,
    /// Private key, DER (PKCS#8, PKCS#1 or SEC1).
    pub key: Secret,
}

impl SealedTls {
    /// Moves the key into `arena`; `None` when it is full.
    #[must_use]
    pub fn seal(tls: ClientTls, arena: &Arena) -> Option<Self> {
        Some(Self { key: arena.put(tls.key.expose()).ok()?, chain: tls.chain })
    }
}

/// What a confined gateway starts with. It tells [`Stage::Role`] and then [`Progress::serving`], and sends
/// [`lethe_handover::FromChild::Ready`] with [`Watch::posture`].
pub struct GatewayStart {
    /// TLS of the client port, if any.
    pub client_tls: Option<SealedTls>,
    /// Where clients may come from; empty: from anywhere.
    pub trusted_peers: Vec<Network>,
    /// Own identity on the link and toward nodes.
    pub identity: SealedIdentity,
    /// Bounds.
    pub limits: GatewayLimits,
    /// Listener for clients.
    pub client_listener: OwnedFd,
    /// Listener for liveness and readiness.
    pub probe_listener: OwnedFd,
    /// Socket to the dialer, for [`crate::dial::Client::new`].
    pub dialer: OwnedFd,
    /// Secret memory for credentials that arrive later.
    pub arena: Arena,
    /// The channel to the supervisor.
    pub channel: Channel,
    /// The boot pipe.
    pub progress: Progress,
    /// Posture, and the self-test.
    pub watch: Watch,
}

impl GatewayStart {
    /// Confines this process as a gateway.
    ///
    /// # Errors
    /// The stage that failed.
    pub fn confined(booted: Booted) -> Result<Self, Stage> {
        let confined = confine(booted, |message, arena, _| {
            let ToChild::Gateway(boot, _) = message else { return None };
            let client_tls = match boot.client_tls {
                Some(tls) => Some(SealedTls::seal(tls, arena)?),
                None => None,
            };
            Some((client_tls, boot.trusted_peers, SealedIdentity::seal(boot.identity, arena)?, boot.limits))
        })?;
        let Confined {
            prepared: (client_tls, trusted_peers, identity, limits),
            arena,
            descriptors,
            channel,
            mut progress,
            watch,
        } = confined;
        let [client_listener, probe_listener, dialer] = exactly(descriptors, &mut progress)?;
        Ok(Self {
            client_tls,
            trusted_peers,
            identity,
            limits,
            client_listener,
            probe_listener,
            dialer,
            arena,
            channel,
            progress,
            watch,
        })
    }
}

/// What a confined node front starts with. It tells its progress as a gateway does.
pub struct NodeStart {
    /// Own identity; clients must show a certificate of the same authority.
    pub identity: SealedIdentity,
    /// Connections at once.
    pub max_connections: u32,
    /// Secret memory for keys that arrive later.
    pub arena: Arena,
    /// Listener for gateways.
    pub listener: OwnedFd,
    /// Where connections are handed to the engine: a `SOCK_SEQPACKET` end for [`Channel::from_fd`].
    pub acceptor: OwnedFd,
    /// The channel to the supervisor.
    pub channel: Channel,
    /// The boot pipe.
    pub progress: Progress,
    /// Posture, and the self-test.
    pub watch: Watch,
}

impl NodeStart {
    /// Confines this process as a node front.
    ///
    /// # Errors
    /// The stage that failed.
    pub fn confined(booted: Booted) -> Result<Self, Stage> {
        let confined = confine(booted, |message, arena, _| {
            let ToChild::Node(boot, _) = message else { return None };
            Some((SealedIdentity::seal(boot.identity, arena)?, boot.max_connections))
        })?;
        let Confined { prepared: (identity, max_connections), arena, descriptors, channel, mut progress, watch } = confined;
        let [listener, acceptor] = exactly(descriptors, &mut progress)?;
        Ok(Self { identity, max_connections, arena, listener, acceptor, channel, progress, watch })
    }
}

/// What a confined dialer starts with.
pub struct DialerStart {
    pub(crate) verify_key: [u8; 32],
    pub(crate) endpoints: Vec<u8>,
    pub(crate) names: Names,
    pub(crate) gateway: OwnedFd,
    pub(crate) channel: Channel,
    pub(crate) progress: Progress,
    pub(crate) watch: Watch,
}

impl DialerStart {
    /// Confines this process as a dialer.
    ///
    /// # Errors
    /// The stage that failed.
    pub fn confined(booted: Booted) -> Result<Self, Stage> {
        let confined = confine(booted, |message, _, _| {
            let ToChild::Dialer(boot, _) = message else { return None };
            Some((boot.verify_key, boot.endpoints, Names::from_system()))
        })?;
        let Confined { prepared: (verify_key, endpoints, names), descriptors, channel, mut progress, watch, .. } = confined;
        let [gateway] = exactly(descriptors, &mut progress)?;
        Ok(Self { verify_key, endpoints, names, gateway, channel, progress, watch })
    }
}

/// The descriptors of a role, which must be as many as its boot message documents.
fn exactly<const N: usize>(descriptors: Vec<OwnedFd>, progress: &mut Progress) -> Result<[OwnedFd; N], Stage> {
    descriptors.try_into().map_err(|_| {
        progress.begin(Stage::Role);
        Stage::Role
    })
}
