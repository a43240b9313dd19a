//! Every link of the target and how it is protected: where it listens, by a handshake of the audit's own; where it connects to, by what passed on the
//! network; its database's clients, as the server has them.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use jiff::{Timestamp, ToSpan as _};

use super::{Audit, places};
use crate::drive::{self, ClientCertificate, Handshake, Spoken};
use crate::host::network::{self, Place, Seen};
use crate::host::packets::Captured;
use crate::host::process;
use crate::host::records::Records;
use crate::host::sockets::Protocol;
use crate::report::{Setting, SettingState};
use crate::store::{Connections, Postgres};

/// For one handshake.
const LIMIT: Duration = Duration::from_secs(1);
/// Listening ports that are tried.
const DOORS: usize = 32;
/// Destinations that are shown; a target that calls more of them has another problem.
const SHOWN: usize = 64;
const WHY: &str = "who can read the link can keep what passes over it";

/// What a port is, where that is known.
pub struct Door {
    pub port: u16,
    pub name: String,
    /// What to do where it is in the clear.
    pub advice: String,
}

/// Somewhere the target listens.
pub(super) struct Tried {
    address: SocketAddr,
    /// Those that do.
    by: Vec<u32>,
    spoken: Spoken,
}

/// Tries every port of the target, before anything is watched.
pub(super) fn try_doors(audit: &Audit) -> Vec<Tried> {
    let pids: Vec<u32> = process::tree(&audit.pids).into_iter().collect();
    let listeners = network::listeners(&pids);
    let near = |address: IpAddr| match address {
        IpAddr::V4(address) if address.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(address) if address.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        address => address,
    };
    let is_target = |port: u16| port == audit.target.port();
    let mut tried: Vec<Tried> = listeners
        .into_iter()
        .filter(|((_, port), _)| !is_target(*port))
        .take(DOORS)
        .map(|((address, port), by)| {
            let spoken = drive::spoken_at(SocketAddr::new(near(address), port), None, LIMIT);
            Tried { address: SocketAddr::new(address, port), by, spoken }
        })
        .collect();
    if let Some(address) = audit.target.addresses().first() {
        let by = network::listeners(&pids).into_iter().filter(|((_, port), _)| is_target(*port)).flat_map(|(_, by)| by).collect();
        tried.insert(0, Tried { address: *address, by, spoken: drive::spoken_by(&audit.target, LIMIT) });
    }
    tried
}

/// Everything about every link.
pub(super) fn shown(audit: &Audit, doors: &[Tried], seen: Option<&Seen>, captured: Option<&Captured>) -> Vec<Setting> {
    let mut links: Vec<Setting> = doors.iter().map(|door| of_door(audit, door)).collect();
    if let Some(seen) = seen {
        links.extend(outgoing(audit, doors, seen, captured));
    }
    links.extend(of_postgres(audit));
    links
}

fn setting(name: String, value: String, state: SettingState, advice: &str) -> Setting {
    let advice = if state == SettingState::Good { "" } else { advice };
    Setting { name: format!("link: {name}"), value, state, why: WHY.to_owned(), advice: advice.to_owned() }
}

/// What is in the clear is a warning where nothing leaves the machine.
fn in_the_clear(address: IpAddr) -> (SettingState, &'static str) {
    if address.is_loopback() { (SettingState::Warn, ", on this machine only") } else { (SettingState::Bad, "") }
}

fn of_handshake(handshake: &Handshake, mutual: bool) -> (String, SettingState, &'static str) {
    let Handshake { version, suite, client, not_after } = handshake;
    let asked = match client {
        ClientCertificate::NotAsked => "no client certificate asked for",
        ClientCertificate::Asked => "a client certificate is asked for, and not insisted on",
        ClientCertificate::Required => "mutual: a client without a certificate is refused",
    };
    let until = not_after.map(|end| format!(", its certificate valid until {}", end.strftime("%Y-%m-%d"))).unwrap_or_default();
    let value = format!("{version}, {suite}{until}; {asked}");
    let now = Timestamp::now();
    let soon = now.checked_add((24 * 7).hours()).unwrap_or(now);
    match not_after {
        _ if mutual && *client != ClientCertificate::Required => {
            (value, SettingState::Bad, "let in only parts that show a certificate of the same authority")
        }
        Some(end) if *end < now => (value, SettingState::Bad, "renew the certificate"),
        // Certificates of parts live for days, and are renewed in time.
        Some(end) if *end < soon && !mutual => (value, SettingState::Warn, "renew the certificate within the week"),
        _ => (value, SettingState::Good, ""),
    }
}

fn of_door(audit: &Audit, door: &Tried) -> Setting {
    let Tried { address, by, spoken } = door;
    let known = audit.doors.iter().find(|known| known.port == address.port());
    let is_target = address.port() == audit.target.port();
    let name = match known {
        Some(known) => format!("{} ({address})", known.name),
        None if is_target => format!("clients to the target ({address})"),
        None => format!("to {} ({address})", parties(audit, by)),
    };
    // Where the parts are known, a port without a name is between them.
    let mutual = known.is_none() && !is_target && !audit.parts.is_empty();
    let (value, state, advice) = match spoken {
        Spoken::Tls(handshake) => of_handshake(handshake, mutual),
        Spoken::Plain => {
            let (state, note) = in_the_clear(address.ip());
            let advice = known.map_or("leave it on this machine, or let TLS end in it or right before it", |known| &known.advice);
            (format!("HTTP in the clear{note}"), state, advice)
        }
        Spoken::Silent => ("takes connections and says nothing".to_owned(), SettingState::Unknown, ""),
        Spoken::Unknown => {
            ("neither TLS 1.2 or newer nor HTTP".to_owned(), SettingState::Warn, "find out what is spoken there, and to whom")
        }
        Spoken::Unreachable => ("not reachable".to_owned(), SettingState::Unknown, ""),
    };
    setting(name, value, state, advice)
}

/// Processes by what they are.
fn parties(audit: &Audit, pids: &[u32]) -> String {
    let names: BTreeSet<String> = pids.iter().map(|pid| party(audit, *pid, None)).collect();
    // Whoever hands sockets on has them all.
    let named: Vec<String> = names.iter().filter(|name| names.len() == 1 || *name != "supervisor").cloned().collect();
    if named.is_empty() { "an unknown process".to_owned() } else { named.join(", ") }
}

fn party(audit: &Audit, pid: u32, name: Option<&str>) -> String {
    let known = audit.parts.iter().find(|(_, part)| *part == pid).map(|(name, _)| name.clone());
    known.unwrap_or_else(|| match name {
        Some(name) => format!("{name} ({pid})"),
        None => places::process(pid),
    })
}

/// Where the processes connect to.
fn outgoing(audit: &Audit, doors: &[Tried], seen: &Seen, captured: Option<&Captured>) -> Vec<Setting> {
    // Once for each name: a part that was started anew is the same part.
    let mut links: BTreeSet<(SocketAddr, String)> = BTreeSet::new();
    for destination in
        seen.destinations.iter().filter(|destination| destination.protocol == Protocol::Tcp && !destination.accepted)
    {
        if let Place::Address(address, port) = destination.place {
            let party = party(audit, destination.pid, Some(&destination.name));
            links.insert((SocketAddr::new(address, port), party));
        }
    }
    let total = links.len();
    let mut shown: Vec<Setting> =
        links.into_iter().take(SHOWN).map(|(to, from)| of_destination(audit, doors, captured, to, &from)).collect();
    if total > SHOWN {
        shown.push(setting(format!("{} further ones", total - SHOWN), String::new(), SettingState::Unknown, ""));
    }
    shown
}

fn of_destination(audit: &Audit, doors: &[Tried], captured: Option<&Captured>, to: SocketAddr, from: &str) -> Setting {
    let door =
        doors.iter().find(|door| door.address.port() == to.port() && (to.ip().is_loopback() || door.address.ip() == to.ip()));
    let known = audit.doors.iter().find(|known| known.port == to.port());
    let what = match (door, known) {
        (_, Some(known)) => known.name.clone(),
        (Some(door), None) => parties(audit, &door.by),
        (None, None) if audit.provider.as_ref().is_some_and(|provider| provider.address().port() == to.port()) => {
            "the provider".to_owned()
        }
        (None, None) => server(audit, to.port()).unwrap_or("a server").to_owned(),
    };
    let name = format!("{from} to {what} ({to})");
    let Some(captured) = captured else {
        return setting(name, "packets were not captured".to_owned(), SettingState::Unknown, "run as root");
    };
    let mut records = Records::default();
    for (_, of_one) in captured.records.iter().filter(|((from, into), _)| *from == to || *into == to) {
        records.join(of_one);
    }
    let Records { tls, text, others, hello } = records;
    let agreed = hello.map(|(version, suite)| {
        let suite = rustls::CipherSuite::from(suite);
        format!("{}, {}", version_name(version), suite.as_str().unwrap_or("a suite without a name"))
    });
    match (tls, text, others) {
        (0, 0, 0) => setting(name, "nothing passed".to_owned(), SettingState::Unknown, ""),
        (1.., ..) if hello.is_none_or(|(version, _)| version >= 0x0303) => {
            // The rest continues a record that an earlier segment began.
            let value = format!("{}; {tls} segments with TLS records on the wire", agreed.unwrap_or_else(|| "TLS".to_owned()));
            setting(name, value, SettingState::Good, "")
        }
        (1.., ..) => setting(name, agreed.unwrap_or_default(), SettingState::Bad, "TLS 1.2 or newer"),
        _ => {
            let (state, note) = in_the_clear(to.ip());
            let advice = "use the server's https address (rediss, sslmode=verify-full), or leave both on one machine";
            setting(name, format!("in the clear{note}"), state, advice)
        }
    }
}

const fn version_name(version: u16) -> &'static str {
    match version {
        0x0304 => "TLS 1.3",
        0x0303 => "TLS 1.2",
        _ => "TLS 1.1 or older",
    }
}

/// A server that the audit was told of.
fn server(audit: &Audit, port: u16) -> Option<&'static str> {
    let is_at = |url: &Option<String>, usual: u16| {
        url.as_ref().is_some_and(|url| {
            let after = url.rsplit_once(':').and_then(|(_, rest)| rest.split('/').next()?.parse().ok());
            after.unwrap_or(usual) == port
        })
    };
    if is_at(&audit.postgres, 5432) {
        Some("PostgreSQL")
    } else if is_at(&audit.redis, 6379) {
        Some("Redis")
    } else {
        None
    }
}

fn of_postgres(audit: &Audit) -> Vec<Setting> {
    let Some(Ok(mut postgres)) = audit.postgres.as_deref().map(Postgres::connect) else { return Vec::new() };
    let connections = match postgres.connections() {
        Ok(connections) => connections,
        Err(why) => return vec![setting("PostgreSQL's clients".to_owned(), why.to_string(), SettingState::Unknown, "")],
    };
    let shown = |Connections { protected, from_here, count }| {
        let name = "PostgreSQL's clients over TCP".to_owned();
        let here = if from_here { ", on its machine only" } else { "" };
        match protected {
            Some(how) => setting(name, format!("{how}: {count}"), SettingState::Good, ""),
            None => {
                let state = if from_here { SettingState::Warn } else { SettingState::Bad };
                let advice =
                    "ssl = on and hostssl in the server's pg_hba.conf, sslmode=verify-full in its clients; or a unix socket";
                setting(name, format!("in the clear{here}: {count}"), state, advice)
            }
        }
    };
    connections.into_iter().map(shown).collect()
}
