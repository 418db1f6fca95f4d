//! Networks in canonical form, prefix lengths, and how large a block a number of hosts needs.
//!
//! Everything here is arithmetic on 32 or 128 bits; it never allocates space and does no I/O.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

/// IPv4 or IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// 32-bit addresses.
    Ipv4,
    /// 128-bit addresses.
    Ipv6,
}

impl Family {
    /// Bits of an address: 32 or 128.
    pub const fn bits(self) -> u8 {
        match self {
            Self::Ipv4 => 32,
            Self::Ipv6 => 128,
        }
    }
}

/// Why a text is not a CIDR or a prefix length.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CidrError {
    /// Not an address and a prefix length.
    #[error(
        "\"{0}\" is not a CIDR: write an address and a prefix length, such as 10.0.0.0/16 or 2001:db8::/48"
    )]
    Syntax(String),
    /// Bits are set after the prefix.
    #[error("\"{given}\" has host bits set: the network is {network}")]
    HostBits {
        /// The text as given.
        given: String,
        /// The network that contains it.
        network: Cidr,
    },
    /// An IPv4 address written as IPv6 (`::ffff:10.0.0.0/112`), which would evade every IPv4 check.
    #[error("\"{0}\" is an IPv4 network written as IPv6: write it as IPv4")]
    Mapped(String),
    /// Leading zeros, which some programs read as octal.
    #[error("\"{given}\" has a prefix length with leading zeros: write /{length}")]
    LeadingZeros {
        /// The text as given.
        given: String,
        /// The number that it is.
        length: u8,
    },
    /// Neither an address nor a network.
    #[error(
        "\"{0}\" is neither an address such as 10.0.0.7 nor a network such as 10.0.0.0/24 or 2001:db8::/48"
    )]
    Neither(String),
    /// Longer than the family allows.
    #[error("/{0} is not a prefix length: IPv4 has 0 to 32, IPv6 0 to 128")]
    PrefixLength(i64),
}

/// A network in canonical form: no host bits are set, so equal networks are equal values.
///
/// ```
/// use ipam_shared::cidr::Cidr;
/// let pods: Cidr = "100.64.0.0/18".parse().unwrap();
/// assert_eq!(pods.prefix_length(), 18);
/// assert!("100.64.0.1/18".parse::<Cidr>().is_err());
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cidr(IpNet);

impl Cidr {
    /// The network of `prefix_length` bits that starts at `address`, or an error if host bits are set.
    pub fn new(address: IpAddr, prefix_length: u8) -> Result<Self, CidrError> {
        let given = IpNet::new(address, prefix_length)
            .map_err(|_| CidrError::PrefixLength(prefix_length.into()))?;
        let network = Self(given.trunc());
        if network.0 != given {
            return Err(CidrError::HostBits {
                given: given.to_string(),
                network,
            });
        }
        Ok(network)
    }

    /// The network of `prefix_length` bits that contains `address`; host bits are cleared.
    pub fn containing(address: IpAddr, prefix_length: u8) -> Result<Self, CidrError> {
        IpNet::new(address, prefix_length)
            .map(|net| Self(net.trunc()))
            .map_err(|_| CidrError::PrefixLength(prefix_length.into()))
    }

    /// The network given by a text, which may be a single address: that counts as a network of one address.
    ///
    /// ```
    /// use ipam_shared::cidr::Cidr;
    /// assert_eq!(Cidr::of_address_or_network("10.0.0.7"), "10.0.0.7/32".parse());
    /// ```
    pub fn of_address_or_network(text: &str) -> Result<Self, CidrError> {
        if text.contains('/') {
            return text.parse();
        }
        match text.parse() {
            Ok(IpAddr::V6(address)) if address.to_ipv4_mapped().is_some() => {
                Err(CidrError::Mapped(text.to_owned()))
            }
            Ok(address @ IpAddr::V4(_)) => Self::new(address, 32),
            Ok(address @ IpAddr::V6(_)) => Self::new(address, 128),
            Err(_) => Err(CidrError::Neither(text.to_owned())),
        }
    }

    /// The network whose first address is `first` as a number, in `family`. Host bits and bits that the family does
    /// not have are cleared.
    pub fn from_number(family: Family, first: u128, prefix_length: u8) -> Self {
        let prefix_length = prefix_length.min(family.bits());
        let address = match family {
            // An IPv4 address has 32 bits; the mask makes the truncation exact.
            Family::Ipv4 => IpAddr::V4(Ipv4Addr::from_bits((first & u128::from(u32::MAX)) as u32)),
            Family::Ipv6 => IpAddr::V6(Ipv6Addr::from_bits(first)),
        };
        Self(IpNet::new_assert(address, prefix_length).trunc())
    }

    /// First address, the network address.
    pub fn first(self) -> IpAddr {
        self.0.network()
    }

    /// Last address; for IPv4 the broadcast address.
    pub fn last(self) -> IpAddr {
        self.0.broadcast()
    }

    /// First address as a number.
    pub fn number(self) -> u128 {
        match self.0 {
            IpNet::V4(net) => net.network().to_bits().into(),
            IpNet::V6(net) => net.network().to_bits(),
        }
    }

    /// Length of the prefix in bits.
    pub fn prefix_length(self) -> u8 {
        self.0.prefix_len()
    }

    /// Bits after the prefix.
    pub fn host_bits(self) -> u8 {
        self.0.max_prefix_len() - self.0.prefix_len()
    }

    /// IPv4 or IPv6.
    pub fn family(self) -> Family {
        match self.0 {
            IpNet::V4(_) => Family::Ipv4,
            IpNet::V6(_) => Family::Ipv6,
        }
    }

    /// Number of addresses; saturates at `u128::MAX` for ::/0.
    pub fn addresses(self) -> u128 {
        1_u128
            .checked_shl(self.host_bits().into())
            .unwrap_or(u128::MAX)
    }

    /// Whether `other` lies inside this network (a network contains itself).
    pub fn contains(self, other: Self) -> bool {
        self.0.contains(&other.0)
    }

    /// Whether `address` lies inside this network.
    pub fn contains_address(self, address: IpAddr) -> bool {
        self.0.contains(&address)
    }

    /// Whether the two share an address. Of two CIDRs that do, one contains the other.
    pub fn overlaps(self, other: Self) -> bool {
        self.contains(other) || other.contains(self)
    }

    /// The network that contains this one and is one bit shorter; none for /0.
    pub fn parent(self) -> Option<Self> {
        self.0.supernet().map(Self)
    }

    /// The ancestor with that prefix length; none if this network is shorter.
    pub fn ancestor(self, prefix_length: u8) -> Option<Self> {
        if prefix_length > self.prefix_length() {
            return None;
        }
        Self::containing(self.first(), prefix_length).ok()
    }

    /// The other half of the parent; none for /0.
    pub fn buddy(self) -> Option<Self> {
        let bit = 1_u128.checked_shl(self.host_bits().into())?;
        (self.prefix_length() > 0)
            .then(|| Self::from_number(self.family(), self.number() ^ bit, self.prefix_length()))
    }

    /// The two halves; none when there is a single address.
    pub fn halves(self) -> Option<(Self, Self)> {
        let low = Self(IpNet::new(self.first(), self.prefix_length() + 1).ok()?);
        low.buddy().map(|high| (low, high))
    }

    /// For interoperation with libraries.
    pub fn net(self) -> IpNet {
        self.0
    }
}

impl From<IpNet> for Cidr {
    /// Clears host bits.
    fn from(net: IpNet) -> Self {
        Self(net.trunc())
    }
}

impl From<Cidr> for IpNet {
    fn from(cidr: Cidr) -> Self {
        cidr.0
    }
}

impl FromStr for Cidr {
    type Err = CidrError;

    fn from_str(text: &str) -> Result<Self, CidrError> {
        let syntax = || CidrError::Syntax(text.to_owned());
        let (address, length) = text.split_once('/').ok_or_else(syntax)?;
        let address: IpAddr = address.parse().map_err(|_| syntax())?;
        if let IpAddr::V6(v6) = address
            && v6.to_ipv4_mapped().is_some()
        {
            return Err(CidrError::Mapped(text.to_owned()));
        }
        // `u8::from_str` accepts a leading "+", which no CIDR has.
        if length.is_empty() || !length.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(syntax());
        }
        let zeros = length.len() > 1 && length.starts_with('0');
        let length: i64 = length.parse().map_err(|_| syntax())?;
        let length = u8::try_from(length).map_err(|_| CidrError::PrefixLength(length))?;
        if zeros {
            return Err(CidrError::LeadingZeros {
                given: text.to_owned(),
                length,
            });
        }
        Self::new(address, length)
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for Cidr {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Cidr {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

#[cfg(feature = "openapi")]
mod schema {
    use utoipa::{
        PartialSchema, ToSchema,
        openapi::{ObjectBuilder, RefOr, Schema, SchemaFormat, schema::Type},
    };

    impl ToSchema for super::Cidr {}

    impl PartialSchema for super::Cidr {
        fn schema() -> RefOr<Schema> {
            ObjectBuilder::new()
                .schema_type(Type::String)
                .format(Some(SchemaFormat::Custom("cidr".to_owned())))
                .examples([serde_json::json!("10.0.0.0/23")])
                .description(Some(
                    "A network in canonical form: address, slash, prefix length, no host bits.",
                ))
                .into()
        }
    }
}

/// Addresses of a block that are not for hosts: network, broadcast, gateway, DNS, spare.
///
/// Cloud providers use the same number: AWS and Azure reserve five in each subnet.
pub const RESERVED_ADDRESSES: u32 = 5;

/// The longest prefix (smallest block) of `family` whose size minus `reserved` holds `hosts`; none if no block does.
///
/// ```
/// use ipam_shared::cidr::{Family, RESERVED_ADDRESSES, prefix_length_for_hosts};
/// assert_eq!(prefix_length_for_hosts(Family::Ipv4, 500, RESERVED_ADDRESSES), Some(23));
/// ```
pub fn prefix_length_for_hosts(family: Family, hosts: u64, reserved: u32) -> Option<u8> {
    let needed = u128::from(hosts) + u128::from(reserved);
    let host_bits = u8::try_from(u128::BITS - needed.saturating_sub(1).leading_zeros()).ok()?;
    family.bits().checked_sub(host_bits)
}

/// Addresses of a block that are left for hosts; `u128::MAX` for ::/0 with none reserved, which has one more.
pub fn usable_hosts(family: Family, prefix_length: u8, reserved: u32) -> u128 {
    let reserved = u128::from(reserved);
    match 1_u128.checked_shl(u32::from(family.bits().saturating_sub(prefix_length))) {
        Some(addresses) => addresses.saturating_sub(reserved),
        // 2^128 itself does not fit into a `u128`.
        None => u128::MAX - reserved.saturating_sub(1),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cidr(text: &str) -> Cidr {
        text.parse().unwrap()
    }

    #[test]
    fn host_bits_are_refused_and_the_network_is_named() {
        let error = "10.0.0.5/24".parse::<Cidr>().unwrap_err();
        assert_eq!(
            error,
            CidrError::HostBits {
                given: "10.0.0.5/24".into(),
                network: cidr("10.0.0.0/24")
            }
        );
        assert_eq!(
            error.to_string(),
            "\"10.0.0.5/24\" has host bits set: the network is 10.0.0.0/24"
        );
    }

    #[test]
    fn a_prefix_length_has_no_leading_zeros() {
        for (text, length) in [
            ("10.0.0.0/024", 24),
            ("10.0.0.0/00", 0),
            ("2001:db8::/0048", 48),
        ] {
            let error = text.parse::<Cidr>().unwrap_err();
            assert_eq!(
                error.to_string(),
                format!("\"{text}\" has a prefix length with leading zeros: write /{length}")
            );
        }
        assert_eq!("0.0.0.0/0".parse::<Cidr>().unwrap().prefix_length(), 0);
        assert!(
            format!("10.0.0.0/{}", "0".repeat(1_000))
                .parse::<Cidr>()
                .is_err()
        );
    }

    #[test]
    fn what_is_not_a_cidr_is_refused() {
        for text in [
            "",
            "10.0.0.0",
            "10.0.0.0/",
            "10.0.0.0/+8",
            "10.0.0.0/8x",
            "10.0.0/8",
            "ten/8",
            "10.0.0.0/ 8",
            "010.0.0.0/8",
        ] {
            assert!(
                matches!(text.parse::<Cidr>(), Err(CidrError::Syntax(_))),
                "{text}"
            );
        }
        for text in ["10.0.0.0/33", "::/129", "10.0.0.0/300"] {
            assert!(
                matches!(text.parse::<Cidr>(), Err(CidrError::PrefixLength(_))),
                "{text}"
            );
        }
        assert!(matches!(
            "::ffff:10.0.0.0/112".parse::<Cidr>(),
            Err(CidrError::Mapped(_))
        ));
    }

    #[test]
    fn an_address_is_a_network_of_its_own() {
        let parse = Cidr::of_address_or_network;
        assert_eq!(parse("10.0.0.7"), Ok(cidr("10.0.0.7/32")));
        assert_eq!(parse("2001:db8::1"), Ok(cidr("2001:db8::1/128")));
        assert_eq!(parse("10.0.0.0/24"), Ok(cidr("10.0.0.0/24")));
        assert!(matches!(
            parse("10.0.0.7/24"),
            Err(CidrError::HostBits { .. })
        ));
        assert!(matches!(
            parse("::ffff:10.0.0.7"),
            Err(CidrError::Mapped(_))
        ));
        for text in ["", "10.0.0", "ten", " 10.0.0.7"] {
            assert!(matches!(parse(text), Err(CidrError::Neither(_))), "{text}");
        }
    }

    #[test]
    fn ipv6_is_canonical_however_it_is_written() {
        assert_eq!(cidr("2001:0DB8:0:0::/48"), cidr("2001:db8::/48"));
        assert_eq!(cidr("2001:0DB8:0:0::/48").to_string(), "2001:db8::/48");
    }

    #[test]
    fn the_sizing_table_holds_at_every_boundary() {
        let table = [
            (1, 26),
            (59, 26),
            (60, 25),
            (123, 25),
            (124, 24),
            (251, 24),
            (252, 23),
            (500, 23),
            (507, 23),
            (508, 22),
            (1019, 22),
            (1020, 21),
            (2043, 21),
            (2044, 20),
            (4091, 20),
            (4092, 19),
        ];
        for (hosts, length) in table {
            // Blocks smaller than /26 are kept out by the profile's bounds, not by the arithmetic.
            let computed = prefix_length_for_hosts(Family::Ipv4, hosts, RESERVED_ADDRESSES)
                .unwrap()
                .min(26);
            assert_eq!(computed, length, "{hosts} hosts");
        }
        assert_eq!(
            prefix_length_for_hosts(Family::Ipv4, u64::from(u32::MAX), 5),
            None
        );
        assert_eq!(prefix_length_for_hosts(Family::Ipv6, u64::MAX, 5), Some(63));
    }

    #[test]
    fn the_ends_of_the_address_space_hold() {
        assert_eq!(cidr("::/0").addresses(), u128::MAX);
        assert_eq!(cidr("0.0.0.0/0").buddy(), None);
        assert_eq!(cidr("::/0").buddy(), None);
        assert_eq!(cidr("255.255.255.255/32").halves(), None);
        assert_eq!(
            cidr("255.255.255.255/32").buddy(),
            Some(cidr("255.255.255.254/32"))
        );
        assert_eq!(
            cidr("0.0.0.0/0").halves(),
            Some((cidr("0.0.0.0/1"), cidr("128.0.0.0/1")))
        );
        assert_eq!(usable_hosts(Family::Ipv4, 31, 5), 0);
        assert_eq!(usable_hosts(Family::Ipv4, 0, 5), (1 << 32) - 5);
        assert_eq!(usable_hosts(Family::Ipv6, 0, 5), u128::MAX - 4);
        assert_eq!(usable_hosts(Family::Ipv6, 0, 0), u128::MAX);
    }

    proptest! {
        #[test]
        fn the_smallest_block_that_holds_the_hosts_is_chosen(hosts in 1_u64..1 << 31, reserved in 0_u32..20) {
            if let Some(length) = prefix_length_for_hosts(Family::Ipv4, hosts, reserved) {
                prop_assert!(usable_hosts(Family::Ipv4, length, reserved) >= u128::from(hosts));
                prop_assert!(length == 32 || usable_hosts(Family::Ipv4, length + 1, reserved) < u128::from(hosts));
            }
        }

        #[test]
        fn halves_tile_their_parent(number: u128, length in 0_u8..=128, v6: bool) {
            let family = if v6 { Family::Ipv6 } else { Family::Ipv4 };
            let whole = Cidr::from_number(family, number, length);
            prop_assert_eq!(whole.to_string().parse::<Cidr>().unwrap(), whole);
            if let Some((low, high)) = whole.halves() {
                prop_assert!(whole.contains(low) && whole.contains(high) && !low.overlaps(high));
                prop_assert_eq!(low.buddy(), Some(high));
                prop_assert_eq!(high.parent(), Some(whole));
                prop_assert_eq!(high.ancestor(whole.prefix_length()), Some(whole));
                prop_assert_eq!(low.first(), whole.first());
                prop_assert_eq!(high.last(), whole.last());
            }
        }
    }
}
