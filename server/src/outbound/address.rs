//! Which addresses may be connected to: what an administrator of ipam names must not become a way into networks that only
//! the server reaches. Everything that is not public is refused, unless the operator allows its network.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

use ipam_shared::cidr::Cidr;

use crate::front::parts;

/// What of IPv4 is not public: the registry of special-purpose addresses of IANA, as far as it says that they are not
/// globally reachable; and multicast.
const PRIVATE_V4: [(Ipv4Addr, u32); 15] = [
    (Ipv4Addr::new(0, 0, 0, 0), 8),
    (Ipv4Addr::new(10, 0, 0, 0), 8),
    (Ipv4Addr::new(100, 64, 0, 0), 10),
    (Ipv4Addr::new(127, 0, 0, 0), 8),
    // Link-local, where clouds have the metadata of a machine, with its credentials.
    (Ipv4Addr::new(169, 254, 0, 0), 16),
    (Ipv4Addr::new(172, 16, 0, 0), 12),
    (Ipv4Addr::new(192, 0, 0, 0), 24),
    (Ipv4Addr::new(192, 0, 2, 0), 24),
    // Relays of 6to4, which nobody runs any more.
    (Ipv4Addr::new(192, 88, 99, 0), 24),
    (Ipv4Addr::new(192, 168, 0, 0), 16),
    (Ipv4Addr::new(198, 18, 0, 0), 15),
    (Ipv4Addr::new(198, 51, 100, 0), 24),
    (Ipv4Addr::new(203, 0, 113, 0), 24),
    (Ipv4Addr::new(224, 0, 0, 0), 4),
    (Ipv4Addr::new(240, 0, 0, 0), 4),
];

/// All that is public of IPv6 is in 2000::/3, but for these.
const PRIVATE_V6: [(Ipv6Addr, u32); 4] = [
    // Of protocols: Teredo, which leads to any IPv4 address, benchmarks, ORCHID.
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23),
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32),
    // 6to4, which leads to any IPv4 address.
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16),
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20),
];

/// Through which a network without IPv4 reaches the rest of the internet: the last 32 bits are an address of IPv4.
const NAT64: (Ipv6Addr, u32) = (Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0), 96);

/// Networks that may be connected to although they are not public.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Networks(Vec<Cidr>);

impl FromStr for Networks {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        parts(text)
            .map(|part| Cidr::of_address_or_network(part).map_err(|error| error.to_string()))
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

impl Networks {
    /// Whether none is allowed.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether an address may be connected to: what is not encrypted stays in the networks that are allowed.
    pub fn permit(&self, address: IpAddr, is_encrypted: bool) -> bool {
        let address = meant(address);
        self.allow(address) || (is_encrypted && is_public(address))
    }

    fn allow(&self, address: IpAddr) -> bool {
        let length = if address.is_ipv4() { 32 } else { 128 };
        Cidr::new(address, length)
            .is_ok_and(|address| self.0.iter().any(|network| network.contains(address)))
    }
}

/// The address that a connection really leads to: one of IPv4 has several spellings in IPv6.
fn meant(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(six) if is_in(six, NAT64) => {
            let [.., a, b, c, d] = six.octets();
            IpAddr::V4(Ipv4Addr::new(a, b, c, d))
        }
        other => other,
    }
}

fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => !PRIVATE_V4.iter().any(|(first, length)| {
            let shift = 32 - length;
            address.to_bits() >> shift == first.to_bits() >> shift
        }),
        IpAddr::V6(address) => {
            is_in(address, (Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3))
                && !PRIVATE_V6.iter().any(|network| is_in(address, *network))
        }
    }
}

fn is_in(address: Ipv6Addr, (first, length): (Ipv6Addr, u32)) -> bool {
    let shift = 128 - length;
    address.to_bits() >> shift == first.to_bits() >> shift
}

#[cfg(test)]
mod tests {
    use super::*;

    fn permit(networks: &str, address: &str, is_encrypted: bool) -> bool {
        let networks: Networks = networks.parse().unwrap();
        networks.permit(address.parse().unwrap(), is_encrypted)
    }

    #[test]
    fn what_is_not_public_is_refused_at_its_first_and_its_last_address() {
        for (first, last) in [
            ("0.0.0.0", "0.255.255.255"),
            ("10.0.0.0", "10.255.255.255"),
            ("100.64.0.0", "100.127.255.255"),
            ("127.0.0.0", "127.255.255.255"),
            ("169.254.0.0", "169.254.255.255"),
            ("169.254.169.254", "169.254.170.2"),
            ("172.16.0.0", "172.31.255.255"),
            ("192.0.0.0", "192.0.0.255"),
            ("192.0.2.0", "192.0.2.255"),
            ("192.88.99.0", "192.88.99.255"),
            ("192.168.0.0", "192.168.255.255"),
            ("198.18.0.0", "198.19.255.255"),
            ("198.51.100.0", "198.51.100.255"),
            ("203.0.113.0", "203.0.113.255"),
            ("224.0.0.0", "239.255.255.255"),
            ("240.0.0.0", "255.255.255.255"),
            ("::", "::1"),
            ("::7f00:1", "::ffff"),
            // Mapped, translated and embedded addresses of IPv4.
            ("::ffff:10.0.0.1", "::ffff:169.254.169.254"),
            ("::ffff:127.0.0.1", "::ffff:0.0.0.0"),
            ("64:ff9b::127.0.0.1", "64:ff9b::169.254.169.254"),
            ("64:ff9b::10.0.0.1", "64:ff9b::192.168.0.1"),
            ("64:ff9b:1::", "64:ff9b:1:ffff:ffff:ffff:ffff:ffff"),
            ("100::", "100::ffff:ffff:ffff:ffff"),
            ("2001::", "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff"),
            ("2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff"),
            ("2002:7f00:1::", "2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
            ("3fff::", "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff"),
            ("5f00::", "5f00:ffff::"),
            ("fc00::", "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
            ("fd00:ec2::254", "fd20:ce::254"),
            ("fe80::", "febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
            ("fec0::", "feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
            ("ff00::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
        ] {
            for address in [first, last] {
                assert!(!permit("", address, true), "{address}");
                assert!(!permit("", address, false), "{address}");
            }
        }
    }

    #[test]
    fn what_is_public_is_reached_encrypted_only() {
        for address in [
            "1.1.1.1",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "169.253.255.255",
            "169.255.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.167.255.255",
            "192.169.0.0",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
            "::ffff:8.8.8.8",
            "64:ff9b::8.8.8.8",
            "2001:200::",
            "2606:4700:4700::1111",
            "2a00:1450::1",
            "2003::1",
            "3ffe:ffff::",
        ] {
            assert!(permit("", address, true), "{address}");
            assert!(!permit("", address, false), "{address}");
        }
    }

    #[test]
    fn an_operator_allows_networks_and_nothing_beside_them() {
        let networks = "10.1.0.0/16, fd12::/16,127.0.0.1";
        for address in [
            "10.1.0.1",
            "::ffff:10.1.255.255",
            "64:ff9b::10.1.0.9",
            "fd12:ffff::1",
            "127.0.0.1",
        ] {
            assert!(permit(networks, address, true), "{address}");
            assert!(permit(networks, address, false), "{address}");
        }
        for address in ["10.2.0.1", "127.0.0.2", "fd13::1", "::1", "::ffff:10.0.0.1"] {
            assert!(!permit(networks, address, true), "{address}");
        }
        assert!(!permit(networks, "8.8.8.8", false));
        for bad in ["10.0.0.1/8", "x", "::ffff:10.0.0.0/104"] {
            assert!(bad.parse::<Networks>().is_err(), "{bad}");
        }
    }
}
