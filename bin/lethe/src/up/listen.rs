//! Every listener, bound before anything is started, so that an address in use is told at once.

use std::{
    io::ErrorKind,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener},
    os::unix::net::UnixListener,
    path::Path,
};

use lethe_config::Config;

use super::state::State;
use crate::{
    failure::Failure,
    place::{CONTROL_SOCKET, SUPERVISOR_SOCKET},
};

/// Connections that wait to be accepted; the kernel caps it at `net.core.somaxconn` (listen(2)).
const BACKLOG: i32 = 4096;
/// Longest path of a socket: `sun_path` with its final zero (unix(7)).
const SOCKET_PATH_BYTES: usize = 107;

/// The listeners of all parts.
pub(crate) struct Listeners {
    pub(crate) client: TcpListener,
    pub(crate) probes: TcpListener,
    pub(crate) link: TcpListener,
    pub(crate) console: TcpListener,
    pub(crate) node: TcpListener,
    pub(crate) operator: UnixListener,
    reports: UnixListener,
}

/// Where they ended up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Addresses {
    pub(crate) client: SocketAddr,
    pub(crate) probes: SocketAddr,
    pub(crate) link: SocketAddr,
    pub(crate) console: SocketAddr,
    pub(crate) node: SocketAddr,
}

impl Listeners {
    /// Binds all of them.
    pub(crate) fn bind(config: &Config, state: &State) -> Result<Self, Failure> {
        let internal = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        state.remove_sockets();
        Ok(Self {
            client: client(config)?,
            probes: tcp(config.gateway.probes, "--probes ADDR or `probes` in [gateway]")?,
            console: tcp(config.control.console, "--console ADDR or `console` in [control]")?,
            link: tcp(internal, "nothing: it is chosen by the system")?,
            node: tcp(internal, "nothing: it is chosen by the system")?,
            operator: socket(&state.path().join(CONTROL_SOCKET))?,
            reports: socket(&state.path().join(SUPERVISOR_SOCKET))?,
        })
    }

    /// Where they are; port 0 has become a real one.
    pub(crate) fn addresses(&self) -> Result<Addresses, Failure> {
        let address = |listener: &TcpListener| {
            listener.local_addr().map_err(|error| Failure::failed(format!("a listener has no address: {error}")))
        };
        Ok(Addresses {
            client: address(&self.client)?,
            probes: address(&self.probes)?,
            link: address(&self.link)?,
            console: address(&self.console)?,
            node: address(&self.node)?,
        })
    }

    /// The supervisor's own socket, within the runtime.
    pub(crate) fn reports(&self) -> Result<tokio::net::UnixListener, Failure> {
        let broken = |error| Failure::failed(format!("{SUPERVISOR_SOCKET} cannot be used: {error}"));
        self.reports.try_clone().and_then(tokio::net::UnixListener::from_std).map_err(broken)
    }
}

/// Where somebody on this machine reaches a listener: its own address, or loopback where it takes every address.
pub(crate) fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

/// A client that takes nothing loses its connection in the kernel too: what was written to it does not stay in a socket that nobody
/// owns any more. Accepted sockets inherit it (tcp(7), `TCP_USER_TIMEOUT`).
fn client(config: &Config) -> Result<TcpListener, Failure> {
    let listener = tcp(config.gateway.listen, "--api ADDR or `listen` in [gateway]")?;
    rustix::net::sockopt::set_tcp_user_timeout(&listener, config.gateway.body_idle_seconds.saturating_mul(1000))
        .map_err(|error| Failure::failed(format!("the client port cannot have a time limit: {error}")))?;
    Ok(listener)
}

fn tcp(address: SocketAddr, change: &str) -> Result<TcpListener, Failure> {
    let listener = TcpListener::bind(address).and_then(|listener| {
        listener.set_nonblocking(true)?;
        // A second listen(2) on the same socket sets the length of its queue.
        rustix::net::listen(&listener, BACKLOG)?;
        Ok(listener)
    });
    listener.map_err(|error| {
        let why = match error.kind() {
            ErrorKind::AddrInUse => "is taken by another program".to_owned(),
            ErrorKind::AddrNotAvailable => "is no address of this machine".to_owned(),
            ErrorKind::PermissionDenied => "may not be used by this user (ports below 1024 are root's)".to_owned(),
            _ => format!("cannot be listened on: {error}"),
        };
        Failure::failed(format!("{address} {why}: choose another with {change}"))
    })
}

fn socket(path: &Path) -> Result<UnixListener, Failure> {
    if path.as_os_str().len() > SOCKET_PATH_BYTES {
        return Err(Failure::usage(format!(
            "the path {} is longer than a socket's may be ({SOCKET_PATH_BYTES} bytes): choose a shorter state folder with --state",
            path.display()
        )));
    }
    let listener = UnixListener::bind(path).and_then(|listener| listener.set_nonblocking(true).map(|()| listener));
    listener.map_err(|error| Failure::failed(format!("{} cannot be listened on: {error}", path.display())))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use super::{reachable, socket, tcp};

    #[test]
    fn an_address_in_use_says_what_to_change() {
        let first = tcp("127.0.0.1:0".parse().unwrap(), "--api ADDR").unwrap();
        let address = first.local_addr().unwrap();
        let refused = tcp(address, "--api ADDR").unwrap_err();
        assert_eq!(refused.message(), format!("{address} is taken by another program: choose another with --api ADDR"));
        assert!(tcp("192.0.2.1:0".parse().unwrap(), "x").unwrap_err().message().contains("no address of this machine"));
    }

    #[test]
    fn a_long_state_path_is_told() {
        let path = std::path::Path::new("/tmp").join("x".repeat(120)).join("control.sock");
        assert!(socket(&path).unwrap_err().message().contains("--state"));
    }

    #[test]
    fn listeners_on_every_address_are_reached_by_loopback() {
        assert_eq!(reachable("0.0.0.0:80".parse().unwrap()).to_string(), "127.0.0.1:80");
        assert_eq!(reachable("[::]:80".parse().unwrap()).to_string(), "[::1]:80");
        assert_eq!(reachable("10.0.0.1:80".parse().unwrap()).to_string(), "10.0.0.1:80");
    }
}
