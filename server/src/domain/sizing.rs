//! From the size that was asked for to a prefix length for each block.

use ipam_shared::{
    api::allocation::Size,
    cidr::{prefix_length_for_hosts, usable_hosts},
};

use super::address_plan::Source;
use crate::error::{Error, Result};

/// The prefix length of the allocation, and that of each of its blocks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Lengths {
    /// What the offsets of members are added to.
    pub(super) allocation: u8,
    /// In the order of the sources.
    pub(super) blocks: Vec<u8>,
}

/// Sizes every block, or says which bound is violated. `sources` is not empty; the requested size is that of the first
/// block.
pub(super) fn lengths(what: &str, size: Size, sources: &[Source]) -> Result<Lengths> {
    let Some(first) = sources.first() else {
        return Err(Error::bug(format!("{what} has no members")));
    };
    let (shortest, longest) = first.bounds();
    let pool = &first.pool;
    let block = match size {
        Size::Hosts(0) => return Err(Error::invalid("hosts must be at least 1")),
        Size::Hosts(hosts) => {
            match prefix_length_for_hosts(pool.family, hosts, pool.reserved_addresses) {
                Some(length) if length >= shortest => i16::from(length.min(longest)),
                _ => {
                    let most = usable_hosts(pool.family, shortest, pool.reserved_addresses);
                    return Err(Error::invalid(format!(
                        "{hosts} hosts are too many: {what} gives at most a /{shortest}, which holds {most}; \
                         split the hosts over several allocations"
                    )));
                }
            }
        }
        Size::PrefixLength(length) => i16::from(length) + first.size_offset,
        Size::Cidr(cidr) if cidr.family() != pool.family => {
            return Err(Error::invalid(format!(
                "{cidr} is not of the address family of pool \"{}\", from which the first block is cut",
                pool.name
            )));
        }
        Size::Cidr(cidr) => i16::from(cidr.prefix_length()),
        Size::Default => match pool.default_prefix_length {
            Some(length) => length.into(),
            None => {
                return Err(Error::invalid(format!(
                    "pool \"{}\" has no default_prefix_length, so give one of hosts, prefix_length and cidr",
                    pool.name
                )));
            }
        },
    };
    let allocation = block - first.size_offset;
    let blocks = sources
        .iter()
        .enumerate()
        .map(|(position, source)| {
            let (shortest, longest) = source.bounds();
            // A member with one length always has that one; the first says how large the allocation is.
            let is_fixed = position > 0 && source.min_prefix_length == source.max_prefix_length;
            let length = if is_fixed {
                i16::from(source.min_prefix_length)
            } else {
                allocation + source.size_offset
            };
            u8::try_from(length)
                .ok()
                .filter(|length| (shortest..=longest).contains(length))
                .ok_or_else(|| {
                    Error::invalid(format!(
                        "a /{length} for \"{}\" is out of bounds: it is cut from pool \"{}\", where {what} gives \
                         /{shortest} to /{longest}",
                        source.role, source.pool.name
                    ))
                })
        })
        .collect::<Result<_>>()?;
    let allocation = u8::try_from(allocation)
        .map_err(|_| Error::invalid(format!("/{allocation} is not a prefix length")))?;
    Ok(Lengths { allocation, blocks })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn source(role: &str, size_offset: i16, bounds: (u8, u8)) -> Source {
        Source::example(role, size_offset, bounds)
    }

    fn node_pod(size: Size) -> Result<(u8, Vec<u8>), String> {
        let sources = [
            source("primary", 0, (20, 26)),
            source("cgnat", -5, (15, 21)),
        ];
        lengths("profile \"node-pod\"", size, &sources)
            .map(|lengths| (lengths.allocation, lengths.blocks))
            .map_err(|error| error.to_string())
    }

    #[test]
    fn every_boundary_of_the_sizing_table() {
        for (hosts, primary) in [
            (1, 26),
            (59, 26),
            (60, 25),
            (123, 25),
            (124, 24),
            (251, 24),
            (252, 23),
            (507, 23),
            (508, 22),
            (1019, 22),
            (1020, 21),
            (2043, 21),
            (2044, 20),
            (4091, 20),
        ] {
            assert_eq!(
                node_pod(Size::Hosts(hosts)),
                Ok((primary, vec![primary, primary - 5])),
                "{hosts}"
            );
        }
        assert_eq!(
            node_pod(Size::Hosts(4092)).unwrap_err(),
            "4092 hosts are too many: profile \"node-pod\" gives at most a /20, which holds 4091; split the hosts over \
             several allocations"
        );
        assert!(node_pod(Size::Hosts(u64::MAX)).is_err());
        assert!(node_pod(Size::Hosts(0)).is_err());
    }

    #[test]
    fn lengths_and_cidrs_out_of_bounds_are_named() {
        assert_eq!(node_pod(Size::PrefixLength(23)), Ok((23, vec![23, 18])));
        assert!(
            node_pod(Size::PrefixLength(27))
                .unwrap_err()
                .contains("gives /20 to /26")
        );
        assert!(node_pod(Size::PrefixLength(200)).is_err());
        assert_eq!(
            node_pod(Size::Cidr("10.0.0.0/24".parse().unwrap())),
            Ok((24, vec![24, 19]))
        );
        assert!(
            node_pod(Size::Cidr("2001:db8::/48".parse().unwrap()))
                .unwrap_err()
                .contains("family")
        );
    }

    #[test]
    fn a_first_member_with_an_offset_is_sized_by_its_own_block() {
        let (pods, nodes) = (source("pods", -5, (15, 21)), source("nodes", 0, (20, 26)));
        let sized = lengths("it", Size::Hosts(10_000), &[pods, nodes]).unwrap();
        assert_eq!(
            sized,
            Lengths {
                allocation: 23,
                blocks: vec![18, 23]
            }
        );
    }

    #[test]
    fn a_member_with_one_length_always_has_it() {
        let sources = [
            source("nodes", 0, (20, 26)),
            source("services", 0, (20, 20)),
        ];
        for length in [20, 23, 26] {
            let sized = lengths("it", Size::PrefixLength(length), &sources).unwrap();
            assert_eq!(sized.blocks, [length, 20]);
        }
    }

    #[test]
    fn the_default_size_is_the_pools() {
        let source = source("main", 0, (8, 28));
        assert!(
            lengths("it", Size::Default, std::slice::from_ref(&source))
                .unwrap_err()
                .to_string()
                .contains("has no default_prefix_length")
        );
        let mut pool = (*source.pool).clone();
        pool.default_prefix_length = Some(24);
        let source = Source {
            pool: Arc::new(pool),
            ..source
        };
        assert_eq!(
            lengths("it", Size::Default, &[source]).unwrap().blocks,
            [24]
        );
    }
}
