//! Arithmetic on several networks at once: what they cover together, what is left of them, and how one is cut.
//!
//! Like [`crate::cidr`] it never allocates space and does no I/O.

use ipnet::IpNet;

use crate::cidr::{Cidr, Family};

/// The fewest networks that cover exactly the addresses of these, in address order, IPv4 first.
///
/// ```
/// use ipam_shared::networks::summarize;
/// let halves = ["10.0.0.0/24".parse().unwrap(), "10.0.1.0/24".parse().unwrap()];
/// assert_eq!(summarize(&halves), ["10.0.0.0/23".parse().unwrap()]);
/// ```
pub fn summarize(networks: &[Cidr]) -> Vec<Cidr> {
    let all: Vec<IpNet> = networks.iter().map(|network| network.net()).collect();
    let mut fewest: Vec<Cidr> = IpNet::aggregate(&all).into_iter().map(Cidr::from).collect();
    fewest.sort_unstable();
    fewest
}

/// The fewest networks that cover the addresses of `networks` that are in none of `exclude`, in address order, IPv4
/// first; none if nothing is left.
pub fn subtract(networks: &[Cidr], exclude: &[Cidr]) -> Vec<Cidr> {
    let exclude = summarize(exclude);
    let mut left = Vec::new();
    for network in summarize(networks) {
        cut_out(network, &exclude, &mut left);
    }
    left
}

/// Adds what is left of a network. What is excluded is in address order and does not overlap itself.
fn cut_out(network: Cidr, exclude: &[Cidr], left: &mut Vec<Cidr>) {
    // Two networks overlap only if one contains the other, so those that overlap this one are adjacent in the list.
    let from = exclude.partition_point(|other| {
        (other.family(), other.last()) < (network.family(), network.first())
    });
    let to = exclude.partition_point(|other| {
        (other.family(), other.first()) <= (network.family(), network.last())
    });
    let within = &exclude[from..to];
    match (within, network.halves()) {
        ([], _) => left.push(network),
        ([whole], _) if whole.contains(network) => {}
        (_, Some((low, high))) => {
            cut_out(low, within, left);
            cut_out(high, within, left);
        }
        // A single address overlaps only what contains it.
        (_, None) => {}
    }
}

/// Whether any two of the networks share an address.
pub fn any_overlap(networks: &[Cidr]) -> bool {
    let mut sorted = networks.to_vec();
    // What lies in a network comes right after it, or after something else that lies in it.
    sorted.sort_unstable();
    sorted.windows(2).any(|pair| pair[0].overlaps(pair[1]))
}

/// Why a network can't be split like this.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SplitError {
    /// No network of the family has that prefix length, or it would be larger than the network.
    #[error(
        "/{length} is not within /{least} to /{most}, the prefix lengths of blocks of {network}"
    )]
    PrefixLength {
        /// Which of the prefix lengths, counted from 0.
        index: usize,
        /// The prefix length.
        length: u8,
        /// That of the network.
        least: u8,
        /// The longest of its family.
        most: u8,
        /// What was to be split.
        network: Cidr,
    },
    /// The blocks before it leave too little space.
    #[error("a /{length} does not fit any more: {}", left(.largest.as_ref(), .network))]
    Full {
        /// Which of the prefix lengths, counted from 0.
        index: usize,
        /// The prefix length.
        length: u8,
        /// The largest block that is left.
        largest: Option<Cidr>,
        /// What was to be split.
        network: Cidr,
    },
}

fn left(largest: Option<&Cidr>, network: &Cidr) -> String {
    match largest {
        Some(largest) => {
            format!("the largest block that the ones before it leave of {network} is {largest}")
        }
        None => format!("the blocks before it use all of {network}"),
    }
}

impl SplitError {
    /// Which of the prefix lengths is at fault, counted from 0.
    pub fn index(&self) -> usize {
        match self {
            Self::PrefixLength { index, .. } | Self::Full { index, .. } => *index,
        }
    }
}

/// Blocks of these prefix lengths, in their order, each in the smallest part of the network that is left and holds it:
/// as the allocator's strategy `best_fit` hands them out one after the other.
///
/// A block depends on those before it only, so that further prefix lengths at the end move none. If all of them together are not
/// larger than the network, they fit, in whatever order.
///
/// ```
/// use ipam_shared::networks::split;
/// let blocks = split("10.0.0.0/16".parse().unwrap(), &[20, 20, 18]).unwrap();
/// assert_eq!(blocks.iter().map(ToString::to_string).collect::<Vec<_>>(), ["10.0.0.0/20", "10.0.16.0/20", "10.0.64.0/18"]);
/// ```
pub fn split(network: Cidr, prefix_lengths: &[u8]) -> Result<Vec<Cidr>, SplitError> {
    // There are never two of one size: halving a block leaves one block of each size in between, of which there was none.
    let mut free = vec![network];
    let mut blocks = Vec::with_capacity(prefix_lengths.len());
    for (index, &length) in prefix_lengths.iter().enumerate() {
        let (least, most) = (network.prefix_length(), network.family().bits());
        if !(least..=most).contains(&length) {
            return Err(SplitError::PrefixLength {
                index,
                length,
                least,
                most,
                network,
            });
        }
        let smallest = free
            .iter()
            .enumerate()
            .filter(|(_, free)| free.prefix_length() <= length)
            .max_by_key(|(_, free)| free.prefix_length())
            .map(|(at, _)| at);
        let Some(at) = smallest else {
            let largest = free.iter().copied().min_by_key(|free| free.prefix_length());
            return Err(SplitError::Full {
                index,
                length,
                largest,
                network,
            });
        };
        let mut block = free.swap_remove(at);
        while block.prefix_length() < length
            && let Some((low, high)) = block.halves()
        {
            free.push(high);
            block = low;
        }
        blocks.push(block);
    }
    Ok(blocks)
}

/// From which end blocks are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// 0 is the block with the lowest addresses.
    Lowest,
    /// 0 is the block with the highest addresses.
    Highest,
}

/// The block of that prefix length that has `index` others before it; none if there are too few, or if the prefix length is
/// shorter than the network's or longer than its family allows.
pub fn nth_block(network: Cidr, prefix_length: u8, end: End, index: u128) -> Option<Cidr> {
    let family = network.family();
    if prefix_length < network.prefix_length() || prefix_length > family.bits() {
        return None;
    }
    let last = last_block(network, prefix_length);
    let index = match end {
        End::Lowest => index,
        End::Highest => last.checked_sub(index)?,
    };
    if index > last {
        return None;
    }
    let offset = index
        .checked_shl((family.bits() - prefix_length).into())
        .unwrap_or(0);
    Some(Cidr::from_number(
        family,
        network.number() + offset,
        prefix_length,
    ))
}

/// The index of the last block of that prefix length in a network: all ones in the bits between; 0 if that is the network
/// itself.
pub fn last_block(network: Cidr, prefix_length: u8) -> u128 {
    let bits = prefix_length.saturating_sub(network.prefix_length());
    u128::MAX
        .checked_shr(u128::BITS.saturating_sub(bits.into()))
        .unwrap_or(0)
}

/// All addresses of a family.
pub fn everything(family: Family) -> Cidr {
    Cidr::from_number(family, 0, 0)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::{collection::vec, prelude::*};

    use super::*;

    /// The networks that the oracle counts address by address: those of one /24, and of its IPv6 counterpart.
    const SMALL: [(&str, u8); 2] = [("10.0.0.0", 24), ("2001:db8::", 120)];

    fn small() -> impl Strategy<Value = Cidr> {
        (0_usize..2, 0_u8..=8, any::<u8>()).prop_map(|(which, bits, number)| {
            let (address, length) = SMALL[which];
            let whole: Cidr = format!("{address}/{length}").parse().unwrap();
            Cidr::from_number(
                whole.family(),
                whole.number() + u128::from(number),
                length + bits,
            )
        })
    }

    /// Any network at all.
    fn any_network() -> impl Strategy<Value = Cidr> {
        (any::<bool>(), any::<u128>(), 0_u8..=128).prop_map(|(v6, number, length)| {
            let family = if v6 { Family::Ipv6 } else { Family::Ipv4 };
            Cidr::from_number(family, number, length)
        })
    }

    fn addresses(networks: &[Cidr]) -> BTreeSet<(Family, u128)> {
        networks
            .iter()
            .flat_map(|network| {
                (0..network.addresses()).map(|offset| (network.family(), network.number() + offset))
            })
            .collect()
    }

    /// Whether no two of the networks could be merged, and they are in order.
    fn are_the_fewest(networks: &[Cidr]) -> bool {
        networks.windows(2).all(|pair| {
            pair[0] < pair[1] && !pair[0].overlaps(pair[1]) && pair[0].buddy() != Some(pair[1])
        })
    }

    fn cidrs(texts: &[&str]) -> Vec<Cidr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn the_ends_of_the_address_space_hold() {
        for family in [Family::Ipv4, Family::Ipv6] {
            let all = everything(family);
            let (low, high) = all.halves().unwrap();
            assert_eq!(summarize(&[high, low, low]), [all]);
            assert_eq!(subtract(&[all], &[high]), [low]);
            assert_eq!(subtract(&[low, high], &[all]), []);
            assert_eq!(split(all, &[0]), Ok(vec![all]));
            assert_eq!(split(all, &[1, 1]), Ok(vec![low, high]));
            assert!(any_overlap(&[low, high, all]) && !any_overlap(&[low, high]));
            let bits = family.bits();
            let last = Cidr::new(all.last(), bits).unwrap();
            let without = subtract(&[all], &[last]);
            assert_eq!(without.len(), usize::from(bits));
            assert_eq!(summarize(&[without, vec![last]].concat()), [all]);
            assert_eq!(nth_block(all, bits, End::Highest, 0), Some(last));
            assert_eq!(nth_block(all, 0, End::Highest, 0), Some(all));
            assert_eq!(nth_block(all, 0, End::Lowest, 1), None);
            assert_eq!(nth_block(last, bits, End::Lowest, 0), Some(last));
            assert_eq!(nth_block(all, bits + 1, End::Lowest, 0), None);
            assert_eq!(split(last, &[bits]), Ok(vec![last]));
        }
        let all = everything(Family::Ipv6);
        assert_eq!(
            nth_block(all, 128, End::Lowest, u128::MAX).map(Cidr::first),
            Some(all.last())
        );
        assert_eq!(
            nth_block(all, 128, End::Highest, u128::MAX).map(Cidr::first),
            Some(all.first())
        );
    }

    #[test]
    fn the_families_do_not_mix() {
        let both = cidrs(&["::/0", "0.0.0.0/0"]);
        assert_eq!(summarize(&both), cidrs(&["0.0.0.0/0", "::/0"]));
        assert_eq!(subtract(&both, &cidrs(&["::/0"])), cidrs(&["0.0.0.0/0"]));
        assert!(!any_overlap(&both));
    }

    #[test]
    fn a_split_that_does_not_fit_says_which_part_and_what_is_left() {
        let network = "10.0.0.0/24".parse().unwrap();
        let error = split(network, &[26, 25, 25]).unwrap_err();
        assert_eq!(error.index(), 2);
        assert_eq!(
            error.to_string(),
            "a /25 does not fit any more: the largest block that the ones before it leave of 10.0.0.0/24 is 10.0.0.64/26"
        );
        let error = split(network, &[24, 32]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "a /32 does not fit any more: the blocks before it use all of 10.0.0.0/24"
        );
        for (length, index) in [(23, 0), (33, 1)] {
            let lengths = if index == 0 {
                vec![length]
            } else {
                vec![25, length]
            };
            let error = split(network, &lengths).unwrap_err();
            assert_eq!(error.index(), index);
            assert_eq!(
                error.to_string(),
                format!(
                    "/{length} is not within /24 to /32, the prefix lengths of blocks of 10.0.0.0/24"
                )
            );
        }
    }

    proptest! {
        #[test]
        fn a_summary_covers_the_same_addresses_and_is_the_shortest(networks in vec(small(), 0..12)) {
            let summary = summarize(&networks);
            prop_assert_eq!(addresses(&summary), addresses(&networks));
            prop_assert!(are_the_fewest(&summary), "{summary:?}");
        }

        #[test]
        fn a_difference_has_the_addresses_of_one_and_not_of_the_other(
            networks in vec(small(), 0..8),
            exclude in vec(small(), 0..8),
        ) {
            let left = subtract(&networks, &exclude);
            let wanted: BTreeSet<_> = &addresses(&networks) - &addresses(&exclude);
            prop_assert_eq!(addresses(&left), wanted);
            prop_assert!(are_the_fewest(&left), "{left:?}");
        }

        #[test]
        fn what_is_taken_out_and_put_back_is_the_whole(
            networks in vec(any_network(), 0..8),
            exclude in vec(any_network(), 0..8),
        ) {
            let left = subtract(&networks, &exclude);
            prop_assert!(are_the_fewest(&left), "{left:?}");
            prop_assert!(!left.iter().any(|one| exclude.iter().any(|other| one.overlaps(*other))));
            let both = [left, exclude.clone()].concat();
            prop_assert_eq!(summarize(&both), summarize(&[networks, exclude].concat()));
        }

        #[test]
        fn an_overlap_is_one_of_any_pair(networks in vec(small(), 0..8)) {
            let pairs = networks.iter().enumerate().any(|(i, one)| {
                networks[i + 1..].iter().any(|other| one.overlaps(*other))
            });
            prop_assert_eq!(any_overlap(&networks), pairs);
        }

        #[test]
        fn a_split_fits_exactly_if_the_sizes_do(lengths in vec(24_u8..=32, 0..20)) {
            let network: Cidr = "10.0.0.0/24".parse().unwrap();
            let size = |length: u8| 1_u32 << (32 - length);
            let fits = lengths.iter().copied().map(size).sum::<u32>() <= 256;
            match split(network, &lengths) {
                Ok(blocks) => {
                    prop_assert!(fits);
                    prop_assert_eq!(blocks.iter().map(|block| block.prefix_length()).collect::<Vec<_>>(), lengths.clone());
                    prop_assert!(!any_overlap(&blocks));
                    prop_assert!(blocks.iter().all(|block| network.contains(*block)));
                    // Later blocks don't move earlier ones.
                    for end in 0..lengths.len() {
                        prop_assert_eq!(split(network, &lengths[..end]).unwrap(), &blocks[..end]);
                    }
                }
                Err(error) => {
                    prop_assert!(!fits);
                    let before = split(network, &lengths[..error.index()]).unwrap();
                    prop_assert_eq!(before.len(), error.index());
                }
            }
        }

        /// The smallest free block that holds it and of those the lowest, found among all aligned blocks.
        #[test]
        fn a_split_is_what_best_fit_hands_out(lengths in vec(24_u8..=32, 0..20)) {
            let network: Cidr = "10.0.0.0/24".parse().unwrap();
            let Ok(blocks) = split(network, &lengths) else { return Ok(()) };
            for (index, block) in blocks.iter().enumerate() {
                let free = subtract(&[network], &blocks[..index]);
                let holder = free
                    .iter()
                    .filter(|free| free.prefix_length() <= block.prefix_length())
                    .max_by_key(|free| (free.prefix_length(), std::cmp::Reverse(free.number())));
                prop_assert_eq!(holder.map(|holder| holder.first()), Some(block.first()));
            }
        }

        #[test]
        fn blocks_are_counted_from_both_ends(network in any_network(), more in 0_u8..=12, index in 0_u128..5000) {
            let length = network.prefix_length().saturating_add(more);
            let last = last_block(network, length);
            let low = nth_block(network, length, End::Lowest, index);
            let inside = length <= network.family().bits() && index <= last;
            prop_assert_eq!(low.is_some(), inside);
            if let Some(low) = low {
                prop_assert!(network.contains(low) && low.prefix_length() == length);
                prop_assert_eq!(low.number() - network.number(), index * low.addresses());
                prop_assert_eq!(nth_block(network, length, End::Highest, last - index), Some(low));
            }
        }
    }
}
