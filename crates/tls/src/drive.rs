//! One step of rustls' state machine over the caller's buffers.

use lethe_content::ContentBuf;
use rustls::unbuffered::{ConnectionState, EncodeError, EncryptError, InsufficientSizeError, UnbufferedStatus};

use crate::TlsError;

/// Room that a record needs beside its plaintext: header, content type, tag, and TLS 1.2's explicit nonce.
const RECORD_OVERHEAD: usize = 64;
const RECORD_PLAINTEXT: usize = 16 * 1024;

/// What to do once application data may be sent.
pub(crate) enum Wish<'a> {
    /// Queue a close_notify.
    Close,
    /// Encrypt these bytes.
    Encrypt(&'a [u8]),
    /// Nothing: only take in what has arrived.
    Nothing,
}

/// Where the state machine stopped.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// Call again: something was taken in or queued.
    Again,
    /// The handshake needs more bytes from the peer.
    Blocked,
    /// Both sides have closed.
    Closed,
    /// The wish is done (or there was none) and application data may flow.
    Open,
}

/// Takes one step with `status` as rustls returned it. Returns the step and how many bytes of the incoming buffer to
/// discard; `plain` receives decrypted bytes, `outgoing` records to be sent.
pub(crate) fn step<Data>(
    status: UnbufferedStatus<'_, '_, Data>,
    wish: &mut Wish<'_>,
    plain: &mut ContentBuf,
    outgoing: &mut ContentBuf,
    peer_closed: &mut bool,
) -> (usize, Result<Step, TlsError>) {
    let UnbufferedStatus { mut discard, state } = status;
    let step = match state {
        Err(_) => Err(TlsError::Protocol),
        Ok(ConnectionState::ReadTraffic(mut traffic)) => {
            let mut result = Ok(Step::Again);
            while let Some(record) = traffic.next_record() {
                match record {
                    Ok(record) => {
                        plain.extend(record.payload);
                        discard += record.discard;
                    }
                    Err(_) => result = Err(TlsError::Protocol),
                }
            }
            result
        }
        Ok(ConnectionState::EncodeTlsData(mut data)) => encode(|room| data.encode(room), outgoing),
        Ok(ConnectionState::TransmitTlsData(data)) => {
            // The bytes are queued in order in `outgoing`; the stream flushes it before it waits for the peer.
            data.done();
            Ok(Step::Again)
        }
        Ok(ConnectionState::PeerClosed) => {
            *peer_closed = true;
            Ok(Step::Again)
        }
        Ok(ConnectionState::Closed) => Ok(Step::Closed),
        Ok(ConnectionState::BlockedHandshake) => Ok(Step::Blocked),
        Ok(ConnectionState::WriteTraffic(mut traffic)) => match std::mem::replace(wish, Wish::Nothing) {
            Wish::Nothing => Ok(Step::Open),
            Wish::Encrypt(bytes) => {
                let records = bytes.len() / RECORD_PLAINTEXT + 1;
                encrypt(|room| traffic.encrypt(bytes, room), bytes.len() + records * RECORD_OVERHEAD, outgoing)
            }
            Wish::Close => encrypt(|room| traffic.queue_close_notify(room), RECORD_OVERHEAD, outgoing),
        },
        // 0-RTT is off; whatever else a later rustls may add is refused until it has been looked at.
        Ok(_) => Err(TlsError::Protocol),
    };
    (discard, step)
}

fn encode(mut encode: impl FnMut(&mut [u8]) -> Result<usize, EncodeError>, outgoing: &mut ContentBuf) -> Result<Step, TlsError> {
    match encode(&mut []) {
        Ok(_) => Ok(Step::Again),
        Err(EncodeError::InsufficientSize(InsufficientSizeError { required_size })) => {
            let before = outgoing.len();
            let written = encode(outgoing.grow(required_size)).map_err(|_| TlsError::Protocol)?;
            outgoing.truncate(before + written);
            Ok(Step::Again)
        }
        Err(EncodeError::AlreadyEncoded) => Err(TlsError::Protocol),
    }
}

fn encrypt(
    mut encrypt: impl FnMut(&mut [u8]) -> Result<usize, EncryptError>,
    room: usize,
    outgoing: &mut ContentBuf,
) -> Result<Step, TlsError> {
    let before = outgoing.len();
    let written = match encrypt(outgoing.grow(room)) {
        Ok(written) => written,
        Err(EncryptError::InsufficientSize(InsufficientSizeError { required_size })) => {
            outgoing.truncate(before);
            encrypt(outgoing.grow(required_size)).map_err(|_| TlsError::Protocol)?
        }
        Err(EncryptError::EncryptExhausted) => return Err(TlsError::Protocol),
    };
    outgoing.truncate(before + written);
    Ok(Step::Again)
}
