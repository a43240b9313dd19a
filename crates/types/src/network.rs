//! Ranges of addresses in CIDR form.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// A range of addresses, such as `10.0.0.0/8`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
    /// use lethe_types::Network;
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
