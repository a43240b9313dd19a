//! Addresses that belong to nobody else: loopback, private, link-local; and ranges in CIDR form.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A range of addresses, such as `10.0.0.0/8`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    /// First address.
    pub address: IpAddr,
    /// Leading bits that count: at most 32 or 128.
    pub prefix: u8,
}

impl Network {
    /// Parses an address or a range. Bits behind the prefix must be 0, as a slip there usually means another range.
    ///
    /// ```
    /// use lethe_config::Network;
    /// let network = Network::parse("10.1.0.0/16").unwrap();
    /// assert!(network.contains("10.1.2.3".parse().unwrap()));
    /// assert!(!network.contains("10.2.0.1".parse().unwrap()));
    /// assert_eq!(Network::parse("10.1.2.3/16"), None);
    /// ```
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address.parse::<IpAddr>().ok()?, prefix.parse::<u8>().ok()?),
            None => {
                let address = text.parse::<IpAddr>().ok()?;
                (address, if address.is_ipv4() { 32 } else { 128 })
            }
        };
        let network = Self { address, prefix };
        let limit = if address.is_ipv4() { 32 } else { 128 };
        (prefix <= limit && network.masked(address) == bits(address)).then_some(network)
    }

    /// Whether `address` lies in the range.
    #[must_use]
    pub fn contains(self, address: IpAddr) -> bool {
        self.address.is_ipv4() == address.is_ipv4() && self.masked(address) == bits(self.address)
    }

    fn masked(self, address: IpAddr) -> u128 {
        let width = if address.is_ipv4() { 32 } else { 128 };
        let dropped = width - u32::from(self.prefix).min(width);
        bits(address).checked_shr(dropped).and_then(|kept| kept.checked_shl(dropped)).unwrap_or(0)
    }
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(u32::from(address)),
        IpAddr::V6(address) => u128::from(address),
    }
}

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
