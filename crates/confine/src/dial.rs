//! The gateway's side of the dialer.

use std::{
    collections::HashMap,
    os::fd::{AsFd, OwnedFd},
    time::Duration,
};

use rustix::net::{AddressFamily, SocketType, sockopt};
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};

pub use crate::dialer::DialError;
use crate::{
    channel::{AsyncChannel, Channel, ChannelError},
    dialer::{Answer, Ask, DIALS_AT_ONCE},
};

/// Commands that may wait for the task behind a [`Client`].
const QUEUE: usize = 256;
/// For one question, also across the replacement of a dialer: longer than a dialer itself takes at most.
const LIMIT: Duration = Duration::from_secs(15);

type Reply = oneshot::Sender<Result<OwnedFd, DialError>>;

enum Command {
    Dial { endpoint: u32, reply: Reply },
    Replace(OwnedFd),
    Update(Vec<u8>),
}

/// A question that waits for its answer.
struct Waiting {
    endpoint: u32,
    reply: Reply,
}

/// Asks the dialer for connections. Clones share one dialer and may be used from any thread and runtime.
///
/// A dialer that ends takes nothing with it: what was asked of it is asked of the next one, because to open a connection twice
/// and lose one costs nothing.
#[derive(Clone)]
pub struct Client {
    commands: mpsc::Sender<Command>,
}

impl Client {
    /// Starts a task on the current runtime that speaks to the dialer on `socket`, for as long as a clone is left.
    ///
    /// # Errors
    /// [`ChannelError::Malformed`] when `socket` is no channel.
    pub fn new(socket: OwnedFd) -> Result<Self, ChannelError> {
        let channel = Channel::from_fd(socket)?.into_async()?;
        let (commands, queue) = mpsc::channel(QUEUE);
        tokio::spawn(Link { channel: Some(channel), waiting: HashMap::new(), next: 0, endpoints: None }.run(queue));
        Ok(Self { commands })
    }

    /// A new connection to endpoint number `endpoint` of the signed list: a connected, non-blocking TCP socket.
    ///
    /// # Errors
    /// [`DialError`]; [`DialError::Gone`] when there was no dialer for 15 s.
    pub async fn dial(&self, endpoint: u32) -> Result<OwnedFd, DialError> {
        let asked = async {
            let (reply, answer) = oneshot::channel();
            self.commands.send(Command::Dial { endpoint, reply }).await.map_err(|_| DialError::Gone)?;
            answer.await.unwrap_or(Err(DialError::Gone))
        };
        timeout(LIMIT, asked).await.unwrap_or(Err(DialError::Gone))
    }

    /// Passes on a list that control signed; dials asked for afterwards see it. The dialer alone judges it.
    pub async fn update(&self, signed: Vec<u8>) {
        let _ = self.commands.send(Command::Update(signed)).await;
    }

    /// [`Client::update`] without waiting; the list comes back if too much is queued.
    ///
    /// # Errors
    /// The list.
    pub fn try_update(&self, signed: Vec<u8>) -> Result<(), Vec<u8>> {
        self.commands.try_send(Command::Update(signed)).map_err(|error| match error.into_inner() {
            Command::Update(signed) => signed,
            Command::Dial { .. } | Command::Replace(_) => Vec::new(),
        })
    }

    /// Goes on with a new dialer, which is asked what the old one has not answered.
    pub async fn replace(&self, socket: OwnedFd) {
        let _ = self.commands.send(Command::Replace(socket)).await;
    }
}

/// The task behind a [`Client`].
struct Link {
    /// `None` while there is no dialer.
    channel: Option<AsyncChannel>,
    waiting: HashMap<u32, Waiting>,
    next: u32,
    /// The newest list, for a dialer that comes later.
    endpoints: Option<Vec<u8>>,
}

impl Link {
    async fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        loop {
            tokio::select! {
                command = commands.recv() => match command {
                    Some(Command::Dial { endpoint, reply }) => self.dial(endpoint, reply).await,
                    Some(Command::Replace(socket)) => self.replace(socket).await,
                    Some(Command::Update(signed)) => {
                        self.endpoints = Some(signed);
                        self.send_endpoints().await;
                    }
                    None => return,
                },
                answer = receive(self.channel.as_ref()) => match answer {
                    Ok((Answer { request, outcome }, descriptors)) => self.answer(request, outcome, descriptors),
                    Err(_) => self.lose(),
                },
            }
        }
    }

    async fn dial(&mut self, endpoint: u32, reply: Reply) {
        // Callers that gave up make room.
        self.waiting.retain(|_, waiting| !waiting.reply.is_closed());
        if self.waiting.len() >= DIALS_AT_ONCE {
            let _ = reply.send(Err(DialError::Busy));
            return;
        }
        let request = self.next;
        self.next = self.next.wrapping_add(1);
        self.waiting.insert(request, Waiting { endpoint, reply });
        self.send(&Ask::Dial { request, endpoint }).await;
    }

    async fn replace(&mut self, socket: OwnedFd) {
        self.channel = Channel::from_fd(socket).and_then(Channel::into_async).ok();
        self.send_endpoints().await;
        self.waiting.retain(|_, waiting| !waiting.reply.is_closed());
        let asks: Vec<_> = self.waiting.iter().map(|(&request, waiting)| (request, waiting.endpoint)).collect();
        for (request, endpoint) in asks {
            self.send(&Ask::Dial { request, endpoint }).await;
        }
    }

    async fn send_endpoints(&mut self) {
        if let Some(signed) = self.endpoints.clone() {
            self.send(&Ask::Endpoints(signed)).await;
        }
    }

    async fn send(&mut self, ask: &Ask) {
        let sent = match &self.channel {
            Some(channel) => channel.send(ask, &[]).await,
            None => Err(ChannelError::Closed),
        };
        if sent.is_err() {
            self.lose();
        }
    }

    /// Without room for a descriptor one dial fails; the dialer is as good as before.
    fn answer(&mut self, request: u32, outcome: Result<(), DialError>, descriptors: Option<Vec<OwnedFd>>) {
        // An answer to nobody (any more) closes its connection.
        if let Some(Waiting { reply, .. }) = self.waiting.remove(&request) {
            let connection = || descriptors.ok_or(DialError::Busy).and_then(connection);
            let _ = reply.send(outcome.and_then(|()| connection()));
        }
    }

    /// The dialer is gone or speaks nonsense: it ends with its channel, and the supervisor sends another.
    fn lose(&mut self) {
        self.channel = None;
    }
}

async fn receive(channel: Option<&AsyncChannel>) -> Result<(Answer, Option<Vec<OwnedFd>>), ChannelError> {
    match channel {
        Some(channel) => channel.recv_what_fits().await,
        None => std::future::pending().await,
    }
}

/// The one descriptor of an answer, if it is what it should be: a connected TCP socket that does not listen.
fn connection(descriptors: Vec<OwnedFd>) -> Result<OwnedFd, DialError> {
    let [socket] = <[OwnedFd; 1]>::try_from(descriptors).map_err(|_| DialError::Malformed)?;
    let fd = socket.as_fd();
    let family = sockopt::socket_domain(fd).map_err(|_| DialError::Malformed)?;
    let is_tcp = (family == AddressFamily::INET || family == AddressFamily::INET6)
        && sockopt::socket_type(fd) == Ok(SocketType::STREAM)
        && sockopt::socket_protocol(fd) == Ok(Some(rustix::net::ipproto::TCP))
        && sockopt::socket_acceptconn(fd) == Ok(false);
    let peer = rustix::net::getpeername(fd).ok().flatten().map(|peer| peer.address_family());
    if is_tcp && peer == Some(family) && rustix::io::ioctl_fionbio(fd, true).is_ok() {
        Ok(socket)
    } else {
        Err(DialError::Malformed)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, clippy::panic, reason = "a failed test")]

    use std::net::{TcpListener, TcpStream};

    use super::*;

    fn client() -> (Client, AsyncChannel) {
        let (dialer, socket) = Channel::pair().unwrap();
        (Client::new(socket).unwrap(), dialer.into_async().unwrap())
    }

    /// Answers one dial with these descriptors.
    async fn answer(dialer: &AsyncChannel, descriptors: &[std::os::fd::BorrowedFd<'_>]) {
        let (Ask::Dial { request, .. }, _) = dialer.recv::<Ask>().await.unwrap() else { panic!("not a dial") };
        dialer.send(&Answer { request, outcome: Ok(()) }, descriptors).await.unwrap();
    }

    #[tokio::test]
    async fn only_a_connected_tcp_socket_is_taken() {
        let (client, dialer) = client();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let udp = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let (unix, _other) = std::os::unix::net::UnixStream::pair().unwrap();
        let file = std::fs::File::open("/dev/null").unwrap();
        let refused: [&[_]; 6] =
            [&[], &[listener.as_fd()], &[udp.as_fd()], &[unix.as_fd()], &[file.as_fd()], &[stream.as_fd(), stream.as_fd()]];
        for descriptors in refused {
            let (dialled, ()) = tokio::join!(client.dial(1), answer(&dialer, descriptors));
            assert_eq!(dialled.err(), Some(DialError::Malformed));
        }
        let passed = [stream.as_fd()];
        let (dialled, ()) = tokio::join!(client.dial(1), answer(&dialer, &passed));
        assert!(dialled.is_ok(), "control: a connected TCP socket is taken");
    }

    #[tokio::test]
    async fn what_a_lost_dialer_was_asked_is_asked_of_the_next() {
        let (client, dialer) = client();
        client.update(b"list".to_vec()).await;
        assert!(matches!(dialer.recv::<Ask>().await.unwrap().0, Ask::Endpoints(_)));
        let (next, socket) = Channel::pair().unwrap();
        let next = next.into_async().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let passed = [stream.as_fd()];
        let (dialled, ()) = tokio::join!(client.dial(7), async {
            dialer.recv::<Ask>().await.unwrap();
            drop(dialer);
            client.replace(socket).await;
            assert!(
                matches!(next.recv::<Ask>().await.unwrap().0, Ask::Endpoints(list) if list == b"list"),
                "told the newest list"
            );
            let (Ask::Dial { request, endpoint }, _) = next.recv::<Ask>().await.unwrap() else { panic!("not a dial") };
            assert_eq!(endpoint, 7);
            next.send(&Answer { request, outcome: Ok(()) }, &passed).await.unwrap();
        });
        assert!(dialled.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_dialer_questions_have_an_end() {
        let (client, dialer) = client();
        drop(dialer);
        assert_eq!(client.dial(1).await.err(), Some(DialError::Gone));
    }

    #[tokio::test]
    async fn answers_find_their_questions_in_any_order() {
        let (client, dialer) = client();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let both = async {
            let mut asked = Vec::new();
            for _ in 0..2 {
                let (Ask::Dial { request, endpoint }, _) = dialer.recv::<Ask>().await.unwrap() else { panic!("not a dial") };
                asked.push((endpoint, request));
            }
            asked.sort_unstable();
            let (first, second) = (asked[0].1, asked[1].1);
            dialer.send(&Answer { request: second, outcome: Err(DialError::Dns) }, &[]).await.unwrap();
            dialer.send(&Answer { request: first, outcome: Ok(()) }, &[stream.as_fd()]).await.unwrap();
        };
        let (one, two, ()) = tokio::join!(client.dial(1), client.dial(2), both);
        assert!(one.is_ok());
        assert_eq!(two.err(), Some(DialError::Dns));
    }
}
