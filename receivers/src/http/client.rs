//! Who sent a request, seen through proxies.
//!
//! Each proxy writes the address that it saw at the right end of `X-Forwarded-For`. What stands left of the last
//! entry that a trusted proxy wrote can be invented by the client, so the right-most address that is no trusted proxy
//! is the client.

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use http::HeaderMap;
use schemars::JsonSchema;
use serde::Deserialize;

/// Entries of `X-Forwarded-For` that are looked at.
const HOPS_MAX: usize = 32;

/// An address or a network: `10.0.0.0/8`, `2001:db8::/32`, `192.0.2.7`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(with = "String")]
pub(crate) struct Network {
    base: u128,
    bits: u32,
}

impl Network {
    fn contains(self, address: IpAddr) -> bool {
        let Some(shift) = 128_u32.checked_sub(self.bits) else { return false };
        (number(address) ^ self.base).checked_shr(shift).unwrap_or(0) == 0
    }
}

/// The address as IPv6 has it; IPv4 addresses are mapped (RFC 4291 §2.5.5.2).
fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is no network; write `10.0.0.0/8`, `2001:db8::/32` or an address");
        let (address, prefix) = text.split_once('/').map_or((text, None), |(a, p)| (a, Some(p)));
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let width = if address.is_ipv4() { 32 } else { 128 };
        let prefix = prefix.map_or(Ok(width), str::parse).map_err(|_| wrong())?;
        if prefix > width {
            return Err(wrong());
        }
        Ok(Self { base: number(address), bits: 128 - width + prefix })
    }
}

impl TryFrom<String> for Network {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

/// The client of a request that came from `peer`.
pub(super) fn address(peer: SocketAddr, headers: &HeaderMap, trusted: &[Network]) -> IpAddr {
    let is_trusted = |address| trusted.iter().any(|network| network.contains(address));
    let mut client = peer.ip().to_canonical();
    let lists = headers.get_all("x-forwarded-for").iter().rev();
    let hops = lists.filter_map(|list| list.to_str().ok()).flat_map(|list| list.rsplit(','));
    for hop in hops.take(HOPS_MAX) {
        if !is_trusted(client) {
            break;
        }
        // Behind what is no address, nothing can be believed.
        let Some(address) = hop_address(hop.trim()) else { break };
        client = address;
    }
    client
}

/// Some proxies write the port as well: `192.0.2.7:4711`, `[2001:db8::1]:4711`.
fn hop_address(text: &str) -> Option<IpAddr> {
    let address = text.parse().ok().or_else(|| text.parse().ok().map(|socket: SocketAddr| socket.ip()));
    address.map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_trusted_proxies_wrote_is_believed() {
        for (peer, forwarded, expected) in [
            ("192.0.2.1:9", &["6.6.6.6"][..], "192.0.2.1"),
            ("10.0.0.1:9", &[], "10.0.0.1"),
            ("10.0.0.1:9", &["203.0.113.9"], "203.0.113.9"),
            ("10.0.0.1:9", &["6.6.6.6, 203.0.113.9"], "203.0.113.9"),
            ("10.0.0.1:9", &["6.6.6.6, 203.0.113.9, 10.2.3.4"], "203.0.113.9"),
            ("10.0.0.1:9", &["6.6.6.6", "203.0.113.9"], "203.0.113.9"),
            ("10.0.0.1:9", &["203.0.113.9:4711"], "203.0.113.9"),
            ("10.0.0.1:9", &["6.6.6.6, nonsense, 10.2.3.4"], "10.2.3.4"),
            ("[::ffff:10.0.0.1]:9", &["[2001:db8::7]:1, fd00::5"], "2001:db8::7"),
            ("10.0.0.1:9", &["10.0.0.2"], "10.0.0.2"),
        ] {
            let mut headers = HeaderMap::new();
            for list in forwarded {
                headers.append("x-forwarded-for", list.parse().unwrap());
            }
            let trusted = ["10.0.0.0/8", "fd00::/8"].map(|text| text.parse().unwrap());
            let client = address(peer.parse().unwrap(), &headers, &trusted);
            assert_eq!(client, expected.parse::<IpAddr>().unwrap(), "{peer} {forwarded:?}");
        }
    }

    #[test]
    fn networks_are_read_and_bounded() {
        for (network, address, expected) in [
            ("10.0.0.0/8", "10.255.0.1", true),
            ("10.0.0.0/8", "11.0.0.1", false),
            ("192.0.2.7", "192.0.2.7", true),
            ("192.0.2.7", "192.0.2.6", false),
            ("0.0.0.0/0", "8.8.8.8", true),
            ("0.0.0.0/0", "2001:db8::1", false),
            ("::/0", "8.8.8.8", true),
            ("2001:db8::/33", "2001:db8:7fff::1", true),
            ("2001:db8::/33", "2001:db8:8000::1", false),
        ] {
            let network: Network = network.parse().unwrap();
            assert_eq!(network.contains(address.parse().unwrap()), expected, "{network:?} {address}");
        }
        for wrong in ["", "10.0.0.0/33", "10.0.0/8", "::/129", "a", "10.0.0.0/-1", "10.0.0.0/"] {
            assert!(wrong.parse::<Network>().is_err(), "{wrong}");
        }
    }
}
