//! IPv4 networks, and how large the blocks of a request must be. Knows nothing of servers and histories.

use std::{fmt, net::Ipv4Addr, str::FromStr};

/// A canonical IPv4 network: no bits are set behind its length.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Net {
    first: u32,
    length: u8,
}

impl Net {
    /// The network with this first address; none if it is not aligned.
    #[must_use]
    pub fn new(first: u32, length: u8) -> Option<Self> {
        (length <= 32 && u64::from(first) % (1 << (32 - length)) == 0)
            .then_some(Self { first, length })
    }

    /// The network of this length that an address lies in; none if there is no such length.
    #[must_use]
    pub fn around(address: u32, length: u8) -> Option<Self> {
        let size = 1_u64 << 32_u8.checked_sub(length)?;
        let first = u64::from(address) / size * size;
        Self::new(u32::try_from(first).ok()?, length)
    }

    /// Its first address as a number.
    #[must_use]
    pub fn first(self) -> u32 {
        self.first
    }

    /// Its last address as a number.
    #[must_use]
    pub fn last(self) -> u32 {
        // A length of 0 shifts everything out.
        self.first | u32::MAX.checked_shr(self.length.into()).unwrap_or(0)
    }

    /// Its prefix length.
    #[must_use]
    pub fn length(self) -> u8 {
        self.length
    }

    /// Whether all of `inner` lies in it.
    #[must_use]
    pub fn contains(self, inner: Self) -> bool {
        self.first <= inner.first && inner.last() <= self.last()
    }

    /// Whether they have an address in common.
    #[must_use]
    pub fn overlaps(self, other: Self) -> bool {
        self.first <= other.last() && other.first <= self.last()
    }
}

impl fmt::Display for Net {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", Ipv4Addr::from(self.first), self.length)
    }
}

/// Findings show whole rows, and nobody reads addresses as numbers.
impl fmt::Debug for Net {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Net {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let error = || format!("{text:?} is no canonical IPv4 network");
        let (address, length) = text.split_once('/').ok_or_else(error)?;
        let address: Ipv4Addr = address.parse().map_err(|_| error())?;
        let length = length.parse().map_err(|_| error())?;
        Self::new(address.into(), length).ok_or_else(error)
    }
}

/// Network, broadcast, gateway, DNS and a spare one.
const RESERVED: u64 = 5;
/// The smallest and the largest node range.
const NODE_LENGTHS: std::ops::RangeInclusive<u8> = 20..=26;
/// A pod range is that much shorter in its prefix, and so 32 times as large.
const POD_BITS: u8 = 5;

/// How large a request wants its node range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// Room for so many hosts.
    Hosts(u64),
    /// This prefix length.
    Length(u8),
    /// Exactly this network.
    Net(Net),
}

impl Size {
    /// The prefix length that the node range must have; none if there is no such range.
    #[must_use]
    pub fn node_length(self) -> Option<u8> {
        let length = match self {
            Self::Length(length) => length,
            Self::Net(net) => net.length(),
            // The longest prefix, that is the smallest block, with room enough.
            Self::Hosts(hosts) => NODE_LENGTHS
                .rev()
                .find(|length| hosts + RESERVED <= 1 << (32 - length))?,
        };
        NODE_LENGTHS.contains(&length).then_some(length)
    }

    /// Why these blocks are not what was asked for, if they are not.
    #[must_use]
    pub fn misfit(self, blocks: &[Net]) -> Option<String> {
        let &[node, pods] = blocks else {
            return Some(format!("{} blocks and not two", blocks.len()));
        };
        if Some(node.length()) != self.node_length() {
            return Some(format!("{node} is no answer to {self:?}"));
        }
        if pods.length() + POD_BITS != node.length() {
            return Some(format!("{pods} does not go with {node}"));
        }
        match self {
            Self::Net(net) if net != node => {
                Some(format!("{node} is not the {net} that was asked for"))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn net(text: &str) -> Net {
        text.parse().unwrap()
    }

    #[test]
    fn networks_are_read_and_written() {
        for text in [
            "0.0.0.0/0",
            "10.0.0.0/16",
            "10.1.2.64/26",
            "255.255.255.255/32",
        ] {
            assert_eq!(net(text).to_string(), text);
        }
        for text in [
            "",
            "10.0.0.0",
            "10.0.0.1/24",
            "10.0.0.0/33",
            "10.0.0/24",
            "::/0",
        ] {
            assert!(text.parse::<Net>().is_err(), "{text}");
        }
        assert_eq!(net("0.0.0.0/0").last(), u32::MAX);
        assert_eq!(net("10.0.0.0/24").last(), net("10.0.0.255/32").first());
    }

    #[test]
    fn overlaps_agree_with_looking_at_each_address() {
        let nets: Vec<_> = (28..=32_u8)
            .flat_map(|length| (0..16_u32).filter_map(move |first| Net::new(first, length)))
            .collect();
        assert_eq!(nets.len(), 31);
        for a in &nets {
            for b in &nets {
                let of = |net: &Net| {
                    (net.first()..=net.last()).collect::<std::collections::BTreeSet<_>>()
                };
                assert_eq!(a.overlaps(*b), !of(a).is_disjoint(&of(b)), "{a} {b}");
                assert_eq!(a.contains(*b), of(a).is_superset(&of(b)), "{a} {b}");
                let around = Net::around(b.first(), a.length()).unwrap();
                assert_eq!(around == *a, of(a).contains(&b.first()), "{a} {b}");
            }
        }
    }

    #[test]
    fn sizes_are_those_of_the_documentation() {
        for (hosts, length) in [
            (1, 26),
            (59, 26),
            (60, 25),
            (123, 25),
            (124, 24),
            (251, 24),
            (252, 23),
            (4091, 20),
        ] {
            assert_eq!(Size::Hosts(hosts).node_length(), Some(length), "{hosts}");
        }
        assert_eq!(Size::Hosts(4092).node_length(), None);
        assert_eq!(Size::Length(27).node_length(), None);
        assert_eq!(Size::Length(19).node_length(), None);
    }

    #[test]
    fn blocks_must_fit_what_was_asked_for() {
        let pair = |node, pods| [net(node), net(pods)];
        let good = pair("10.0.0.64/26", "100.64.8.0/21");
        assert_eq!(Size::Length(26).misfit(&good), None);
        assert_eq!(Size::Hosts(59).misfit(&good), None);
        assert_eq!(Size::Net(net("10.0.0.64/26")).misfit(&good), None);
        assert!(Size::Hosts(60).misfit(&good).is_some());
        assert!(Size::Length(25).misfit(&good).is_some());
        assert!(Size::Net(net("10.0.0.0/26")).misfit(&good).is_some());
        assert!(Size::Length(26).misfit(&good[..1]).is_some());
        assert!(
            Size::Length(26)
                .misfit(&pair("10.0.0.64/26", "100.64.0.0/20"))
                .is_some()
        );
    }
}
