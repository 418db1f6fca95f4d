//! From the size that was asked for to a prefix length for each member of the profile.

use ipam_shared::{
    api::allocation::Size,
    cidr::{prefix_length_for_hosts, usable_hosts},
};

use crate::{
    db::pool::Source,
    error::{Error, Result},
};

/// The prefix length of the allocation, and that of each member's block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Lengths {
    /// What members' offsets are added to.
    pub(super) allocation: u8,
    /// In the order of the members.
    pub(super) members: Vec<u8>,
}

/// Sizes every member, or says which bound is in the way. `members` is not empty; the size is asked for the first.
pub(super) fn lengths(profile: &str, size: Size, members: &[&Source]) -> Result<Lengths> {
    let Some(first) = members.first() else {
        return Err(Error::bug(format!("profile {profile:?} has no members")));
    };
    let (shortest, longest) = bounds(first);
    let block = match size {
        Size::Hosts(0) => return Err(Error::Invalid("hosts must be at least 1".to_owned())),
        Size::Hosts(hosts) => {
            match prefix_length_for_hosts(first.family, hosts, first.reserved_addresses) {
                Some(length) if length >= shortest => i16::from(length.min(longest)),
                _ => {
                    let most = usable_hosts(first.family, shortest, first.reserved_addresses);
                    return Err(Error::Invalid(format!(
                        "{hosts} hosts are too many: profile \"{profile}\" gives at most a /{shortest}, which holds {most}; \
                     split the hosts over several allocations"
                    )));
                }
            }
        }
        Size::PrefixLength(length) => i16::from(length) + first.size_offset,
        Size::Cidr(cidr) if cidr.family() != first.family => {
            return Err(Error::Invalid(format!(
                "{cidr} is not of the address family of pool \"{}\", from which the first block is cut",
                first.pool_name
            )));
        }
        Size::Cidr(cidr) => i16::from(cidr.prefix_length()),
        Size::Default => return Err(Error::Invalid("give a size".to_owned())),
    };
    let allocation = block - first.size_offset;
    let members = members
        .iter()
        .map(|source| {
            let length = allocation + source.size_offset;
            let (shortest, longest) = bounds(source);
            u8::try_from(length).ok().filter(|length| (shortest..=longest).contains(length)).ok_or_else(|| {
                Error::Invalid(format!(
                    "a /{length} for \"{}\" is out of bounds: it is cut from pool \"{}\", where profile \"{profile}\" \
                     gives /{shortest} to /{longest}",
                    source.role, source.pool_name
                ))
            })
        })
        .collect::<Result<_>>()?;
    let allocation = u8::try_from(allocation)
        .map_err(|_| Error::Invalid(format!("/{allocation} is not a prefix length")))?;
    Ok(Lengths {
        allocation,
        members,
    })
}

/// Shortest and longest prefix that member and pool both allow.
fn bounds(source: &Source) -> (u8, u8) {
    (
        source.min_prefix_length.max(source.pool_min_prefix_length),
        source.max_prefix_length.min(source.pool_max_prefix_length),
    )
}

#[cfg(test)]
mod tests {
    use ipam_shared::{
        cidr::Family,
        ids::{PoolId, ProfileId, VrfId},
    };

    use super::*;

    fn source(role: &str, size_offset: i16, bounds: (u8, u8)) -> Source {
        Source {
            profile: ProfileId::generate(),
            members: 2,
            member: 1,
            position: 1,
            role: role.to_owned(),
            size_offset,
            min_prefix_length: bounds.0,
            max_prefix_length: bounds.1,
            pool: PoolId::generate(),
            pool_name: role.to_owned(),
            vrf: VrfId::generate(),
            vrf_name: "default".to_owned(),
            pool_min_prefix_length: 8,
            pool_max_prefix_length: 28,
            reserved_addresses: 5,
            family: Family::Ipv4,
            ranges: Vec::new(),
        }
    }

    fn node_pod(size: Size) -> Result<(u8, Vec<u8>), String> {
        let (primary, cgnat) = (
            source("primary", 0, (20, 26)),
            source("cgnat", -5, (15, 21)),
        );
        lengths("node-pod", size, &[&primary, &cgnat])
            .map(|lengths| (lengths.allocation, lengths.members))
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
        let sized = lengths("pod-node", Size::Hosts(10_000), &[&pods, &nodes]).unwrap();
        assert_eq!(
            sized,
            Lengths {
                allocation: 23,
                members: vec![18, 23]
            }
        );
    }
}
