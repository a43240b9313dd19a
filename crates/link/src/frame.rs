//! What can be said on the link.
//!
//! A frame is a header of [`HEADER_BYTES`] bytes (type, flags = 0, length of the body as `u32` little endian) and a body. Where the type
//! is of fixed size, so is the frame: another length is an error before the body has been read. All numbers are little
//! endian. Nothing that goes up can carry text.

use lethe_policy::{KeyEntry, Snapshot};
use lethe_types::{AccountPseudonym, Failure, KeyHash, KeyId, Refused, Region, RouteId};
use lethe_usage::{InstanceId, RECORD_BYTES, RecordError, UsageRecord};

use crate::routed::{Gauge, Routed};

/// Size of a frame's header.
pub const HEADER_BYTES: usize = 6;
/// Upper bound of an encoded snapshot, in bytes.
pub const SNAPSHOT_LIMIT: usize = 16 * 1024 * 1024;
/// Upper bound of a signed endpoint list, in bytes: it has to fit into one message to the dialer.
pub const ENDPOINTS_LIMIT: usize = 64 * 1024;

const HELLO: u8 = 0x01;
const RECORD: u8 = 0x02;
const BEAT: u8 = 0x03;
const TALLY: u8 = 0x10;
const LEVEL: u8 = 0x11;
const SNAPSHOT: u8 = 0x81;
const ENDPOINTS: u8 = 0x82;
const KEY_ADDED: u8 = 0x83;
const KEY_REVOKED: u8 = 0x84;
const ACK: u8 = 0x85;
const DOWN_BEAT: u8 = 0x86;
const ISOLATE: u8 = 0x87;
const DURABLE: u8 = 0x88;

const HELLO_BYTES: usize = 22;
const BEAT_BYTES: usize = 20;
const TALLY_BYTES: usize = 13;
const LEVEL_BYTES: usize = 9;
/// Hash, number, account, and the region's tag filled up with zeros.
const KEY_BYTES: usize = 59;

/// The first frame of a gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hello {
    /// [`crate::PROTOCOL`].
    pub protocol: u16,
    /// Hash of the build.
    pub build: u64,
    /// Which start of which gateway this is.
    pub instance: InstanceId,
}

/// A gateway's counters, behind every batch of records and every [`crate::HEARTBEAT_SECONDS`]: with them a lost tail shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Beat {
    /// Requests that have started since the start of the gateway.
    pub started: u64,
    /// Requests that have left their last record (a reserve is none).
    pub finished: u64,
    /// Records that control has not acknowledged.
    pub pending: u32,
}

/// What a gateway counts besides its records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Counted {
    /// An attempt on a route that failed; [`RouteId::NONE`] before one was chosen.
    Failure(RouteId, Failure),
    /// A client that was not served.
    Refused(Refused),
    /// A step of a request on a route.
    Routed(RouteId, Routed),
}

/// How often something was counted since the start of the gateway: a total, so that repetition and loss do no harm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tally {
    /// What.
    pub of: Counted,
    /// How often.
    pub total: u64,
}

/// How a provider is at the moment. It is named by one of its routes, whose number means the same in every configuration. What was not
/// told on this connection is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Level {
    /// What.
    pub of: Gauge,
    /// One route of the provider, the same as long as the configuration is.
    pub route: RouteId,
    /// How much.
    pub value: u32,
}

/// Codes on the link from here on are those of [`Routed`]: no failure's code is that high.
const ROUTED_FROM: u8 = 96;
/// Codes on the link from here on are those of [`Refused`].
const REFUSED_FROM: u8 = 128;

impl Counted {
    fn encode(self) -> (u8, RouteId) {
        match self {
            Self::Failure(route, failure) => (failure.code(), route),
            Self::Refused(refused) => (REFUSED_FROM + refused.code(), RouteId::NONE),
            Self::Routed(route, routed) => (ROUTED_FROM + routed.code(), route),
        }
    }

    fn decode(code: u8, route: RouteId) -> Option<Self> {
        match code {
            REFUSED_FROM.. if route != RouteId::NONE => None,
            REFUSED_FROM.. => Refused::from_code(code - REFUSED_FROM).map(Self::Refused),
            ROUTED_FROM.. => Routed::from_code(code - ROUTED_FROM).map(|routed| Self::Routed(route, routed)),
            _ => Failure::from_code(code).map(|failure| Self::Failure(route, failure)),
        }
    }
}

/// Gateway to control.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Up {
    /// The first frame, and only the first.
    Hello(Hello),
    /// Counters.
    Heartbeat(Beat),
    /// A state that has changed. Since version 3.
    Level(Level),
    /// One usage record, exactly 64 bytes.
    Record(UsageRecord),
    /// A counter that has changed. [`Counted::Routed`] since version 3.
    Tally(Tally),
}

impl Up {
    /// The first version of the link in which this can be said.
    #[must_use]
    pub const fn since(&self) -> u16 {
        match self {
            Self::Level(_) | Self::Tally(Tally { of: Counted::Routed(..), .. }) => 3,
            Self::Heartbeat(_) | Self::Hello(_) | Self::Record(_) | Self::Tally(_) => 2,
        }
    }
}

/// Control to gateway.
#[derive(Clone)]
pub enum Down {
    /// Every record up to and with this sequence number is committed.
    Ack {
        /// Cumulative.
        sequence: u64,
    },
    /// Whether control can commit records at the moment. While it cannot, nothing is acknowledged.
    Durable(bool),
    /// A signed endpoint list, to be forwarded to the dialer as it is.
    Endpoints(Vec<u8>),
    /// Control is alive.
    Heartbeat,
    /// Stop serving.
    Isolate,
    /// An API key is in force from now on.
    KeyAdded(KeyEntry),
    /// An API key is no longer in force.
    KeyRevoked(KeyId),
    /// The whole state; replaces the one before.
    Snapshot(Box<Snapshot>),
}

/// Why bytes are no frame. Closes the link; control counts it as an alarm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FrameError {
    /// The body is not what the type says.
    Body,
    /// The flags are not 0.
    Flags,
    /// The length is not the type's.
    Length,
    /// The body is no usage record.
    Record(RecordError),
    /// Unknown type, or a type of the other direction.
    Type,
}

impl std::fmt::Display for FrameError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Body => f.write_str("frame: malformed body"),
            Self::Flags => f.write_str("frame: unknown flags"),
            Self::Length => f.write_str("frame: wrong length"),
            Self::Record(error) => write!(f, "frame: {error}"),
            Self::Type => f.write_str("frame: unknown type"),
        }
    }
}

impl std::error::Error for FrameError {}

impl From<RecordError> for FrameError {
    fn from(error: RecordError) -> Self {
        Self::Record(error)
    }
}

/// One direction of the link.
pub trait Frame: Sized {
    /// Whether a body of `length` bytes may follow a header of this type.
    ///
    /// # Errors
    /// [`FrameError::Type`] or [`FrameError::Length`].
    fn admit(kind: u8, length: usize) -> Result<(), FrameError>;

    /// Reads a body that [`Frame::admit`] has let in.
    ///
    /// # Errors
    /// What is wrong with it.
    fn parse(kind: u8, body: &[u8]) -> Result<Self, FrameError>;

    /// Appends the frame to `out`.
    ///
    /// # Errors
    /// [`FrameError::Length`] for a body beyond its bound; nothing is appended then.
    fn encode(&self, out: &mut Vec<u8>) -> Result<(), FrameError>;
}

impl Frame for Up {
    fn admit(kind: u8, length: usize) -> Result<(), FrameError> {
        let fixed = match kind {
            BEAT => BEAT_BYTES,
            HELLO => HELLO_BYTES,
            LEVEL => LEVEL_BYTES,
            RECORD => RECORD_BYTES,
            TALLY => TALLY_BYTES,
            _ => return Err(FrameError::Type),
        };
        if length == fixed { Ok(()) } else { Err(FrameError::Length) }
    }

    fn parse(kind: u8, body: &[u8]) -> Result<Self, FrameError> {
        Self::admit(kind, body.len())?;
        match kind {
            BEAT => Ok(Self::Heartbeat(Beat {
                started: u64::from_le_bytes(field(body, 0)?),
                finished: u64::from_le_bytes(field(body, 8)?),
                pending: u32::from_le_bytes(field(body, 16)?),
            })),
            HELLO => Ok(Self::Hello(Hello {
                protocol: u16::from_le_bytes(field(body, 0)?),
                build: u64::from_le_bytes(field(body, 2)?),
                instance: InstanceId(field(body, 10)?),
            })),
            LEVEL => {
                let ([code], route) = (field(body, 0)?, RouteId(u32::from_le_bytes(field(body, 1)?)));
                let (of, value) = (Gauge::from_code(code).ok_or(FrameError::Body)?, u32::from_le_bytes(field(body, 5)?));
                if of == Gauge::CircuitOpen && value > 1 {
                    return Err(FrameError::Body);
                }
                Ok(Self::Level(Level { of, route, value }))
            }
            RECORD => Ok(Self::Record(UsageRecord::decode(&field(body, 0)?)?)),
            TALLY => {
                let ([code], route) = (field(body, 0)?, RouteId(u32::from_le_bytes(field(body, 1)?)));
                let of = Counted::decode(code, route).ok_or(FrameError::Body)?;
                Ok(Self::Tally(Tally { of, total: u64::from_le_bytes(field(body, 5)?) }))
            }
            _ => Err(FrameError::Type),
        }
    }

    fn encode(&self, out: &mut Vec<u8>) -> Result<(), FrameError> {
        match self {
            Self::Heartbeat(beat) => {
                header(out, BEAT, BEAT_BYTES)?;
                out.extend(beat.started.to_le_bytes());
                out.extend(beat.finished.to_le_bytes());
                out.extend(beat.pending.to_le_bytes());
            }
            Self::Hello(hello) => {
                header(out, HELLO, HELLO_BYTES)?;
                out.extend(hello.protocol.to_le_bytes());
                out.extend(hello.build.to_le_bytes());
                out.extend(hello.instance.0);
            }
            Self::Level(level) => {
                header(out, LEVEL, LEVEL_BYTES)?;
                out.push(level.of.code());
                out.extend(level.route.0.to_le_bytes());
                out.extend(level.value.to_le_bytes());
            }
            Self::Record(record) => {
                header(out, RECORD, RECORD_BYTES)?;
                out.extend(record.encode());
            }
            Self::Tally(tally) => {
                header(out, TALLY, TALLY_BYTES)?;
                let (code, route) = tally.of.encode();
                out.push(code);
                out.extend(route.0.to_le_bytes());
                out.extend(tally.total.to_le_bytes());
            }
        }
        Ok(())
    }
}

/// A region's tag, if there is one.
fn region(bytes: [u8; Region::LENGTH]) -> Result<Option<Region>, FrameError> {
    if bytes == [0; Region::LENGTH] {
        return Ok(None);
    }
    let text = std::str::from_utf8(&bytes).map_err(|_| FrameError::Body)?.trim_end_matches('\0');
    Region::new(text).map(Some).ok_or(FrameError::Body)
}

impl Frame for Down {
    fn admit(kind: u8, length: usize) -> Result<(), FrameError> {
        let fits = match kind {
            ACK => length == 8,
            DOWN_BEAT | ISOLATE => length == 0,
            DURABLE => length == 1,
            ENDPOINTS => length <= ENDPOINTS_LIMIT,
            KEY_ADDED => length == KEY_BYTES,
            KEY_REVOKED => length == 4,
            SNAPSHOT => length <= SNAPSHOT_LIMIT,
            _ => return Err(FrameError::Type),
        };
        if fits { Ok(()) } else { Err(FrameError::Length) }
    }

    fn parse(kind: u8, body: &[u8]) -> Result<Self, FrameError> {
        Self::admit(kind, body.len())?;
        match kind {
            ACK => Ok(Self::Ack { sequence: u64::from_le_bytes(field(body, 0)?) }),
            DOWN_BEAT => Ok(Self::Heartbeat),
            DURABLE => match body {
                [0] => Ok(Self::Durable(false)),
                [1] => Ok(Self::Durable(true)),
                _ => Err(FrameError::Body),
            },
            ENDPOINTS => Ok(Self::Endpoints(body.to_vec())),
            ISOLATE => Ok(Self::Isolate),
            KEY_ADDED => Ok(Self::KeyAdded(KeyEntry {
                hash: KeyHash(field(body, 0)?),
                id: KeyId(u32::from_le_bytes(field(body, 32)?)),
                account: AccountPseudonym(u64::from_le_bytes(field(body, 36)?)),
                region: region(field(body, 44)?)?,
            })),
            KEY_REVOKED => Ok(Self::KeyRevoked(KeyId(u32::from_le_bytes(field(body, 0)?)))),
            SNAPSHOT => match postcard::take_from_bytes::<Snapshot>(body) {
                Ok((snapshot, [])) => Ok(Self::Snapshot(Box::new(snapshot))),
                _ => Err(FrameError::Body),
            },
            _ => Err(FrameError::Type),
        }
    }

    fn encode(&self, out: &mut Vec<u8>) -> Result<(), FrameError> {
        match self {
            Self::Ack { sequence } => {
                header(out, ACK, 8)?;
                out.extend(sequence.to_le_bytes());
            }
            Self::Durable(durable) => {
                header(out, DURABLE, 1)?;
                out.push(u8::from(*durable));
            }
            Self::Endpoints(list) => {
                if list.len() > ENDPOINTS_LIMIT {
                    return Err(FrameError::Length);
                }
                header(out, ENDPOINTS, list.len())?;
                out.extend(list);
            }
            Self::Heartbeat => header(out, DOWN_BEAT, 0)?,
            Self::Isolate => header(out, ISOLATE, 0)?,
            Self::KeyAdded(entry) => {
                header(out, KEY_ADDED, KEY_BYTES)?;
                out.extend(entry.hash.0);
                out.extend(entry.id.0.to_le_bytes());
                out.extend(entry.account.0.to_le_bytes());
                out.extend(entry.region.map_or([0; Region::LENGTH], |region| *region.bytes()));
            }
            Self::KeyRevoked(id) => {
                header(out, KEY_REVOKED, 4)?;
                out.extend(id.0.to_le_bytes());
            }
            Self::Snapshot(snapshot) => {
                let mut body = postcard::to_allocvec(snapshot.as_ref()).map_err(|_| FrameError::Body)?;
                if body.len() > SNAPSHOT_LIMIT {
                    return Err(FrameError::Length);
                }
                header(out, SNAPSHOT, body.len())?;
                out.extend_from_slice(&body);
                // It holds credentials; whoever sends `out` wipes that.
                body.fill(0);
                std::hint::black_box(&body);
            }
        }
        Ok(())
    }
}

/// Appends a header.
fn header(out: &mut Vec<u8>, kind: u8, length: usize) -> Result<(), FrameError> {
    let length = u32::try_from(length).map_err(|_| FrameError::Length)?;
    out.extend([kind, 0]);
    out.extend(length.to_le_bytes());
    Ok(())
}

/// The `N` bytes at `at`.
fn field<const N: usize>(body: &[u8], at: usize) -> Result<[u8; N], FrameError> {
    body.get(at..at + N).and_then(|bytes| bytes.try_into().ok()).ok_or(FrameError::Length)
}
