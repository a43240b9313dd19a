//! Messages with descriptors over an `AF_UNIX` `SOCK_SEQPACKET` pair: between the supervisor and its children, between the
//! gateway and its dialer, between the node front and its engine.
//!
//! One message is one packet: the postcard encoding of one value, with up to [`DESCRIPTOR_LIMIT`] descriptors beside it
//! (`SCM_RIGHTS`, unix(7)). A packet that the kernel had to truncate, in bytes or in descriptors, is a refusal. Buffers are
//! wiped after use, because a boot message carries private keys.

use std::{
    io::{IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use lethe_handover::{DESCRIPTOR_LIMIT, MESSAGE_LIMIT};
use rustix::{
    io::Errno,
    net::{
        AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
        SendAncillaryMessage, SendFlags, SocketFlags, SocketType, sockopt,
    },
};
use serde::{Serialize, de::DeserializeOwned};
use tokio::io::unix::AsyncFd;
use zeroize::Zeroizing;

use crate::sys;

/// Why a message did not pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChannelError {
    /// The other side is gone.
    Closed,
    /// The kernel refused, with this errno.
    Kernel(i32),
    /// The packet is no such message, or carries descriptors that are none of its own.
    Malformed,
    /// Longer than [`MESSAGE_LIMIT`], or more than [`DESCRIPTOR_LIMIT`] descriptors.
    TooLong,
    /// The kernel cut bytes or descriptors off (`MSG_TRUNC`, `MSG_CTRUNC`).
    Truncated,
}

impl std::fmt::Display for ChannelError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Closed => "channel closed",
            Self::Kernel(_) => "channel refused by the kernel",
            Self::Malformed => "malformed message",
            Self::TooLong => "message too long",
            Self::Truncated => "truncated message",
        })
    }
}

impl std::error::Error for ChannelError {}

impl From<Errno> for ChannelError {
    fn from(errno: Errno) -> Self {
        match errno {
            Errno::PIPE | Errno::CONNRESET | Errno::NOTCONN => Self::Closed,
            other => Self::Kernel(other.raw_os_error()),
        }
    }
}

/// One end, used in turn.
pub struct Channel {
    socket: OwnedFd,
}

impl Channel {
    /// Two connected ends, both close-on-exec: one to keep, one to hand to a child as descriptor
    /// [`lethe_handover::CHANNEL_FD`].
    ///
    /// # Errors
    /// [`ChannelError::Kernel`] when there is no descriptor or memory left.
    pub fn pair() -> Result<(Self, OwnedFd), ChannelError> {
        let (own, other) = rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        Ok((Self { socket: own }, other))
    }

    /// Takes over an end that was handed in.
    ///
    /// # Errors
    /// [`ChannelError::Malformed`] when it is not a `SOCK_SEQPACKET` unix socket.
    pub fn from_fd(socket: OwnedFd) -> Result<Self, ChannelError> {
        let is_channel = sockopt::socket_domain(&socket) == Ok(AddressFamily::UNIX)
            && sockopt::socket_type(&socket) == Ok(SocketType::SEQPACKET);
        if is_channel { Ok(Self { socket }) } else { Err(ChannelError::Malformed) }
    }

    /// Sends one message, waiting for room.
    ///
    /// # Errors
    /// [`ChannelError::Closed`] when the other side is gone, [`ChannelError::TooLong`] beyond the limits.
    pub fn send<T: Serialize>(&self, message: &T, descriptors: &[BorrowedFd<'_>]) -> Result<(), ChannelError> {
        let bytes = encode(message)?;
        Ok(send_packet(self.socket.as_fd(), &bytes, descriptors, SendFlags::empty())?)
    }

    /// Waits for one message.
    ///
    /// # Errors
    /// [`ChannelError::Closed`] at the end, [`ChannelError::Malformed`] or [`ChannelError::Truncated`] for a refused packet.
    pub fn recv<T: DeserializeOwned>(&self) -> Result<(T, Vec<OwnedFd>), ChannelError> {
        let (bytes, descriptors) = recv_packet(self.socket.as_fd(), RecvFlags::empty())?;
        Ok((decode(&bytes)?, descriptors.ok_or(ChannelError::Truncated)?))
    }

    /// The socket itself.
    #[must_use]
    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// The socket itself, for a role that speaks its own messages on it.
    #[must_use]
    pub fn into_fd(self) -> OwnedFd {
        self.socket
    }

    /// For use within a tokio runtime.
    ///
    /// # Errors
    /// [`ChannelError::Kernel`] when the socket cannot be registered. Panics, as tokio does, outside a runtime.
    pub fn into_async(self) -> Result<AsyncChannel, ChannelError> {
        rustix::io::ioctl_fionbio(&self.socket, true)?;
        let socket = sys::register(self.socket)?;
        Ok(AsyncChannel { socket })
    }
}

/// One end within a tokio runtime. Receiving and sending may run at once, in one task each.
pub struct AsyncChannel {
    socket: AsyncFd<OwnedFd>,
}

impl AsyncChannel {
    /// Sends one message, waiting for room. Cancel-safe: a packet is sent whole or not at all.
    ///
    /// # Errors
    /// As [`Channel::send`].
    pub async fn send<T: Serialize>(&self, message: &T, descriptors: &[BorrowedFd<'_>]) -> Result<(), ChannelError> {
        let bytes = encode(message)?;
        loop {
            let mut ready = self.socket.writable().await.map_err(|_| ChannelError::Closed)?;
            match send_packet(self.socket.as_fd(), &bytes, descriptors, SendFlags::DONTWAIT) {
                Err(Errno::AGAIN) => ready.clear_ready(),
                other => return Ok(other?),
            }
        }
    }

    /// Waits for one message. Cancel-safe: a packet is taken whole or not at all.
    ///
    /// # Errors
    /// As [`Channel::recv`].
    pub async fn recv<T: DeserializeOwned>(&self) -> Result<(T, Vec<OwnedFd>), ChannelError> {
        let (message, descriptors) = self.recv_what_fits().await?;
        Ok((message, descriptors.ok_or(ChannelError::Truncated)?))
    }

    /// Waits for one message; its descriptors are `None` where this process had none left for all of them (`MSG_CTRUNC`, unix(7)):
    /// those that came are closed, and the channel goes on. Cancel-safe as [`Self::recv`].
    ///
    /// # Errors
    /// As [`Channel::recv`].
    pub async fn recv_what_fits<T: DeserializeOwned>(&self) -> Result<(T, Option<Vec<OwnedFd>>), ChannelError> {
        loop {
            let mut ready = self.socket.readable().await.map_err(|_| ChannelError::Closed)?;
            match recv_packet(self.socket.as_fd(), RecvFlags::DONTWAIT) {
                Err(ChannelError::Kernel(errno)) if errno == Errno::AGAIN.raw_os_error() => ready.clear_ready(),
                Err(error) => return Err(error),
                Ok((bytes, descriptors)) => return Ok((decode(&bytes)?, descriptors)),
            }
        }
    }

    /// The socket itself.
    #[must_use]
    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn encode<T: Serialize>(message: &T) -> Result<Zeroizing<Vec<u8>>, ChannelError> {
    let bytes = Zeroizing::new(postcard::to_allocvec(message).map_err(|_| ChannelError::Malformed)?);
    // A packet of no bytes would be read as the end (recv(2)).
    if bytes.is_empty() || bytes.len() > MESSAGE_LIMIT { Err(ChannelError::TooLong) } else { Ok(bytes) }
}

/// Decodes a packet: the whole of it and nothing less.
fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ChannelError> {
    match postcard::take_from_bytes(bytes) {
        Ok((message, [])) => Ok(message),
        _ => Err(ChannelError::Malformed),
    }
}

fn send_packet(socket: BorrowedFd<'_>, bytes: &[u8], descriptors: &[BorrowedFd<'_>], flags: SendFlags) -> Result<(), Errno> {
    let flags = flags | SendFlags::NOSIGNAL;
    let sent = if descriptors.is_empty() {
        // Not sendmsg(2): roles that hand out no descriptors have no right to it.
        rustix::io::retry_on_intr(|| rustix::net::send(socket, bytes, flags))?
    } else {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTOR_LIMIT))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if descriptors.len() > DESCRIPTOR_LIMIT || !control.push(SendAncillaryMessage::ScmRights(descriptors)) {
            return Err(Errno::TOOBIG);
        }
        rustix::io::retry_on_intr(|| rustix::net::sendmsg(socket, &[IoSlice::new(bytes)], &mut control, flags))?
    };
    if sent == bytes.len() { Ok(()) } else { Err(Errno::MSGSIZE) }
}

/// A packet's bytes, and its descriptors unless there was no room for them.
type Packet = (Zeroizing<Vec<u8>>, Option<Vec<OwnedFd>>);

/// Takes one packet off the socket, into a buffer of its size that is wiped when it goes.
fn recv_packet(socket: BorrowedFd<'_>, flags: RecvFlags) -> Result<Packet, ChannelError> {
    // With MSG_TRUNC the answer is the packet's real length (recv(2)). One reader per end: the next call takes this packet.
    let mut none = [0_u8; 0];
    let (_, waiting) =
        rustix::io::retry_on_intr(|| rustix::net::recv(socket, &mut none[..], flags | RecvFlags::PEEK | RecvFlags::TRUNC))?;
    let mut bytes = Zeroizing::new(vec![0; waiting.min(MESSAGE_LIMIT)]);
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTOR_LIMIT))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received = rustix::io::retry_on_intr(|| {
        rustix::net::recvmsg(socket, &mut [IoSliceMut::new(&mut bytes)], &mut control, flags | RecvFlags::CMSG_CLOEXEC)
    })?;
    // Taken out in any case, so that a refused packet's descriptors are closed.
    let descriptors: Vec<OwnedFd> = control
        .drain()
        .flat_map(|message| match message {
            RecvAncillaryMessage::ScmRights(descriptors) => descriptors.collect(),
            _ => Vec::new(),
        })
        .collect();
    if received.flags.contains(ReturnFlags::TRUNC) {
        return Err(ChannelError::Truncated);
    }
    // The buffer is a little larger than the limit, for alignment.
    if descriptors.len() > DESCRIPTOR_LIMIT {
        return Err(ChannelError::TooLong);
    }
    if received.bytes == 0 {
        return Err(ChannelError::Closed);
    }
    bytes.truncate(received.bytes);
    Ok((bytes, (!received.flags.contains(ReturnFlags::CTRUNC)).then_some(descriptors)))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use super::*;

    fn two() -> (Channel, Channel) {
        let (a, b) = Channel::pair().unwrap();
        (a, Channel::from_fd(b).unwrap())
    }

    #[test]
    fn messages_arrive_with_their_descriptors() {
        let (a, b) = two();
        let (read, write) = rustix::pipe::pipe().unwrap();
        a.send(&(7_u32, "word"), &[write.as_fd()]).unwrap();
        drop(write);
        let ((number, word), descriptors) = b.recv::<(u32, String)>().unwrap();
        assert_eq!((number, word.as_str(), descriptors.len()), (7, "word", 1));
        let flags = rustix::io::fcntl_getfd(&descriptors[0]).unwrap();
        assert!(flags.contains(rustix::io::FdFlags::CLOEXEC));
        rustix::io::write(&descriptors[0], b"x").unwrap();
        assert_eq!(rustix::io::read(&read, &mut [0; 4][..]).unwrap(), 1);
    }

    #[test]
    fn the_end_and_trailing_bytes_are_errors() {
        let (a, b) = two();
        a.send(&(1_u8, 2_u8), &[]).unwrap();
        assert_eq!(b.recv::<u8>().err(), Some(ChannelError::Malformed));
        drop(a);
        assert_eq!(b.recv::<u8>().err(), Some(ChannelError::Closed));
    }

    #[test]
    fn truncated_packets_are_refused_and_their_descriptors_closed() {
        let (a, b) = two();
        let (read, write) = rustix::pipe::pipe().unwrap();
        let long = vec![0; MESSAGE_LIMIT + 1];
        send_packet(a.as_fd(), &long, &[write.as_fd()], SendFlags::empty()).unwrap();
        drop(write);
        assert_eq!(b.recv::<u8>().err(), Some(ChannelError::Truncated));
        assert_eq!(rustix::io::read(&read, &mut [0; 4][..]), Ok(0), "the passed write end must be closed");
    }

    #[test]
    fn more_descriptors_than_the_limit_are_refused() {
        let (a, b) = two();
        // Past the sender's own check, as a hostile sender would.
        for count in [1, 40] {
            let many = vec![a.as_fd(); DESCRIPTOR_LIMIT + count];
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTOR_LIMIT + 40))];
            let mut control = SendAncillaryBuffer::new(&mut space);
            assert!(control.push(SendAncillaryMessage::ScmRights(&many)));
            rustix::net::sendmsg(a.as_fd(), &[IoSlice::new(&[0])], &mut control, SendFlags::empty()).unwrap();
            assert_eq!(b.recv::<u8>().err(), Some(ChannelError::TooLong));
            assert_eq!(a.send(&0_u8, &many).err(), Some(ChannelError::Kernel(Errno::TOOBIG.raw_os_error())));
        }
        a.send(&0_u8, &[a.as_fd(); DESCRIPTOR_LIMIT]).unwrap();
        assert_eq!(b.recv::<u8>().unwrap().1.len(), DESCRIPTOR_LIMIT);
    }

    #[test]
    fn only_seqpacket_unix_sockets_are_channels() {
        let (stream, _other) =
            rustix::net::socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None).unwrap();
        assert_eq!(Channel::from_fd(stream).err(), Some(ChannelError::Malformed));
    }

    #[tokio::test]
    async fn the_asynchronous_end_waits() {
        let (a, b) = two();
        let (a, b) = (a.into_async().unwrap(), b.into_async().unwrap());
        let echo = tokio::spawn(async move { b.recv::<u64>().await.map(|(number, _)| number) });
        a.send(&42_u64, &[]).await.unwrap();
        assert_eq!(echo.await.unwrap(), Ok(42));
    }
}
