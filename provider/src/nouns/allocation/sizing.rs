//! How large a block the built-in profile gives for a number of hosts. Arithmetic only; no server is asked.

use ipam_shared::{
    api::profile::{DEFAULT_PROFILE, MAX_PREFIX_LENGTH, MIN_PREFIX_LENGTH},
    cidr::{Cidr, Family, RESERVED_ADDRESSES, prefix_length_for_hosts, usable_hosts},
};

/// The maximum number of hosts that a block of the built-in profile holds.
pub(crate) fn most_hosts() -> u128 {
    usable_hosts(Family::Ipv4, MIN_PREFIX_LENGTH, RESERVED_ADDRESSES)
}

/// Prefix length of the node range that the built-in profile gives for that many hosts, or why there is none.
pub(crate) fn node_prefix_length(hosts: u64) -> Result<u8, String> {
    if hosts == 0 {
        return Err("There must be at least 1 host.".to_owned());
    }
    match prefix_length_for_hosts(Family::Ipv4, hosts, RESERVED_ADDRESSES) {
        Some(length) if length >= MIN_PREFIX_LENGTH => Ok(length.min(MAX_PREFIX_LENGTH)),
        _ => Err(format!(
            "{hosts} hosts are too many: the largest block of the profile {DEFAULT_PROFILE} is a \
             /{MIN_PREFIX_LENGTH}, which holds {} hosts beside {RESERVED_ADDRESSES} reserved addresses. \
             Split them over several allocations.",
            most_hosts()
        )),
    }
}

/// Prefix length that an allocation with the block `now`, which leaves `usable` addresses for hosts, would have if it
/// were asked for `hosts`. It follows from what the pool reserved for the block, whatever that is.
pub(crate) fn resized_prefix_length(
    now: Cidr,
    usable: u64,
    hosts: u64,
    profile: &str,
) -> Option<u8> {
    let reserved = u32::try_from(now.addresses().checked_sub(usable.into())?).ok()?;
    let length = prefix_length_for_hosts(now.family(), hosts, reserved)?;
    Some(if profile == DEFAULT_PROFILE {
        length.min(MAX_PREFIX_LENGTH)
    } else {
        length
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_boundary_of_the_built_in_profile() {
        for (hosts, length) in [
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
            assert_eq!(node_prefix_length(hosts), Ok(length), "{hosts}");
        }
        assert!(node_prefix_length(0).is_err());
        let error = node_prefix_length(4092).unwrap_err();
        assert!(
            error.starts_with("4092 hosts") && error.contains("4091"),
            "{error}"
        );
        assert!(node_prefix_length(u64::MAX).is_err());
    }

    #[test]
    fn a_changed_number_of_hosts_is_measured_against_the_block_that_is_there() {
        let block = "10.0.0.0/23".parse().unwrap();
        let resized = |hosts| resized_prefix_length(block, 507, hosts, DEFAULT_PROFILE);
        assert_eq!(resized(252), Some(23));
        assert_eq!(resized(507), Some(23));
        assert_eq!(resized(508), Some(22));
        assert_eq!(resized(251), Some(24));
        assert_eq!(resized(1), Some(26));
        // A pool that reserves one address only.
        assert_eq!(resized_prefix_length(block, 511, 511, "flat"), Some(23));
        assert_eq!(resized_prefix_length(block, 511, 1, "flat"), Some(31));
    }
}
