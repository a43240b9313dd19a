//! Messages on the channel.

use lethe_types::Network;
use serde::{Deserialize, Serialize};

use crate::{Posture, Role, SecretBytes};

/// Who this process is on the link: a certificate made by control's authority.
#[derive(Clone, Serialize, Deserialize)]
pub struct Identity {
    /// Control's certificate authority, DER.
    pub authority: Vec<u8>,
    /// Own certificate chain, DER, leaf first.
    pub chain: Vec<Vec<u8>>,
    /// Own private key, PKCS#8 DER.
    pub key: SecretBytes,
}

/// Certificate and key of the client port.
#[derive(Clone, Serialize, Deserialize)]
pub struct ClientTls {
    /// Certificate chain, DER, leaf first.
    pub chain: Vec<Vec<u8>>,
    /// Private key, DER (PKCS#8, PKCS#1 or SEC1).
    pub key: SecretBytes,
}

/// Bounds of a gateway.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct GatewayLimits {
    /// Worker threads.
    pub workers: u16,
    /// Client connections at once.
    pub max_connections: u32,
    /// Request body, in bytes, for chat.
    pub max_chat_bytes: u64,
    /// Request body, in bytes, for embeddings.
    pub max_embeddings_bytes: u64,
    /// Bytes of request and answer bodies in memory at once; beyond it requests answer 503.
    pub max_content_bytes: u64,
    /// Usage records kept for control while it is away; beyond it requests answer 503.
    pub max_pending_records: u32,
    /// A request goes upstream only once control has committed that it is about to.
    pub strict_metering: bool,
    /// Seconds without a word from control after which the gateway stops serving.
    pub max_stale_seconds: u32,
    /// Seconds that open requests get to finish on a drain.
    pub drain_seconds: u32,
    /// Seconds for a request's head to arrive.
    pub head_seconds: u32,
    /// Seconds between two parts of a request's body, and for a client to take a part of an answer.
    pub body_idle_seconds: u32,
    /// Seconds that an idle connection is kept.
    pub keep_alive_seconds: u32,
    /// A request's body, or an answer on its way to the client, gets `body_idle_seconds` in all and one second more for so many bytes;
    /// 0 for no such bound.
    pub min_bytes_per_second: u32,
}

/// The gateway's boot message. Descriptors, in order: client listener, probe listener, dialer socket.
#[derive(Clone, Serialize, Deserialize)]
pub struct GatewayBoot {
    /// TLS of the client port, if any.
    pub client_tls: Option<ClientTls>,
    /// Where clients may come from: the proxies that terminate TLS. Empty: from anywhere.
    pub trusted_peers: Vec<Network>,
    /// Own identity on the link and toward nodes.
    pub identity: Identity,
    /// Bounds.
    pub limits: GatewayLimits,
}

/// The dialer's boot message. Descriptor: the gateway's socket.
#[derive(Clone, Serialize, Deserialize)]
pub struct DialerBoot {
    /// Control's Ed25519 public key for endpoint lists, 32 bytes.
    pub verify_key: [u8; 32],
    /// The first signed endpoint list, which names control itself.
    pub endpoints: Vec<u8>,
}

/// The node front's boot message. Descriptors, in order: listener for gateways, acceptor toward the engine.
#[derive(Clone, Serialize, Deserialize)]
pub struct NodeBoot {
    /// Own identity; clients must show a certificate of the same authority.
    pub identity: Identity,
    /// Connections at once.
    pub max_connections: u32,
}

/// The engine's boot message. Descriptors, in order: acceptor from the node front, model file.
#[derive(Clone, Serialize, Deserialize)]
pub struct EngineBoot {
    /// Model id that the engine answers to.
    pub model: String,
    /// Threads of one generation.
    pub threads: u16,
    /// Generations at once.
    pub concurrent: u16,
    /// Requests that may wait; beyond it 503.
    pub queue: u16,
}

/// What befell a part; nothing of what it was doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Mishap {
    /// It ended by itself with this code.
    Exited(i32),
    /// A signal with this number ended it.
    Killed(i32),
    /// It could not be started.
    NotStarted,
    /// It panicked here.
    Panicked(PanicReport),
}

/// How often something befell a role since the supervisor's start: a total, so that it may be told again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MishapCount {
    /// Whom.
    pub role: Role,
    /// What.
    pub mishap: Mishap,
    /// How often.
    pub count: u64,
}

/// Supervisor to child. The first message is one of the `…Boot` variants.
#[derive(Clone, Serialize, Deserialize)]
pub enum ToChild {
    /// First message to a dialer.
    Dialer(Box<DialerBoot>, BootOptions),
    /// First message to an engine.
    Engine(Box<EngineBoot>, BootOptions),
    /// First message to a gateway.
    Gateway(Box<GatewayBoot>, BootOptions),
    /// First message to a node front.
    Node(Box<NodeBoot>, BootOptions),
    /// Stop accepting, finish what is open, hand over the last records, exit 0.
    Drain,
    /// To control: every total of what befell the parts. Replaces the one before.
    Mishaps(Vec<MishapCount>),
    /// To a gateway: its dialer was started anew. Descriptor: the socket to the new one.
    ReplaceDialer,
    /// Try every way out again and report ([`FromChild::Posture`]).
    SelfTest,
    /// To a gateway: what the client port shows in new handshakes from now on. Answer: [`FromChild::Rotated`].
    ClientTls(Box<ClientTls>),
    /// To a gateway or node front: who it is in new handshakes from now on. Answer: [`FromChild::Rotated`].
    Identity(Box<Identity>),
    /// Another has taken this one's place on the same listener: stop accepting, let clients move over, and finish what is open,
    /// however long it takes. [`ToChild::Drain`] may follow.
    Retire,
    /// To control: a message of its own, in its own encoding.
    ToControl(SecretBytes),
}

/// How the child is to be confined.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BootOptions {
    /// User and group to become; `None` when started by an ordinary user.
    pub user: Option<(u32, u32)>,
    /// Development on other systems: no confinement (loopback only, stamped everywhere).
    pub unconfined: bool,
}

/// Where a panic happened; nothing of what it said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PanicReport {
    /// Hash of the build (package version and build identifier).
    pub build: u64,
    /// FNV-1a hash of the source file's name.
    pub location: u64,
    /// Line in that file.
    pub line: u32,
}

/// Child to supervisor.
#[derive(Clone, Serialize, Deserialize)]
pub enum FromChild {
    /// The start is complete; what stands around this process.
    Ready(Box<Posture>),
    /// Answer to [`ToChild::SelfTest`].
    Posture(Box<Posture>),
    /// A panic was caught or is about to end the process.
    Panicked(PanicReport),
    /// Everything is handed over; the process exits next.
    Drained,
    /// From a gateway: it has its first snapshot from control, and lets clients in.
    Linked,
    /// Whether a new certificate and key were taken.
    Rotated(bool),
    /// From control: a message of its own, in its own encoding.
    FromControl(SecretBytes),
}
