//! Addresses that belong to nobody else: loopback, private, link-local.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What an address is good for as a provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// Broadcast, multicast, "this network": nobody answers there.
    Nowhere,
    /// Loopback, private, shared, link-local.
    Private,
    Public,
}

/// RFC 6890 and its registry of special-purpose addresses.
pub(crate) fn reach(address: IpAddr) -> Reach {
    match address {
        IpAddr::V4(address) => reach_v4(address),
        IpAddr::V6(address) => address.to_ipv4_mapped().map_or_else(|| reach_v6(address), reach_v4),
    }
}

fn reach_v4(address: Ipv4Addr) -> Reach {
    let [first, second, ..] = address.octets();
    if first == 0 || address.is_broadcast() || address.is_multicast() {
        return Reach::Nowhere;
    }
    // RFC 6598 (100.64.0.0/10) and RFC 2544 (198.18.0.0/15).
    let shared = first == 100 && second & 0xC0 == 64;
    let benchmark = first == 198 && second & 0xFE == 18;
    if address.is_loopback() || address.is_private() || address.is_link_local() || shared || benchmark {
        Reach::Private
    } else {
        Reach::Public
    }
}

fn reach_v6(address: Ipv6Addr) -> Reach {
    if address.is_unspecified() || address.is_multicast() {
        return Reach::Nowhere;
    }
    if address.is_loopback() || address.is_unique_local() || address.is_unicast_link_local() {
        Reach::Private
    } else {
        Reach::Public
    }
}
