//! Which networks overlap. Pure, and gives the same result for the same networks in any order.
//!
//! Of two CIDRs that overlap one contains the other. A sweep in address order keeps the networks that contain the current
//! position, of which there are no more than there are prefix lengths, and compares with each of them: the innermost alone
//! is not enough, since of three nested networks the middle one may be the last of the file.

use ipam_shared::cidr::Cidr;

/// A network that something wants, with its address space and its line; what already exists comes before every line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wanted<S> {
    pub(super) space: S,
    pub(super) cidr: Cidr,
    pub(super) line: Option<u64>,
}

/// Every overlapping pair, by indexes into `all`: the later one, and the earlier one. Of equal
/// networks only the first is compared with others, so that there are no more pairs than networks times lengths.
pub(super) fn overlaps<S: Copy + Ord>(all: &[Wanted<S>]) -> Vec<(usize, usize)> {
    let mut sorted: Vec<(usize, &Wanted<S>)> = all.iter().enumerate().collect();
    sorted.sort_unstable_by_key(|(place, one)| {
        (
            one.space,
            one.cidr.family(),
            one.cidr.number(),
            one.cidr.prefix_length(),
            one.line,
            *place,
        )
    });
    let mut pairs = Vec::new();
    // The networks that contain the current address, largest first.
    let mut above: Vec<(usize, &Wanted<S>)> = Vec::new();
    for (place, one) in sorted {
        while above
            .last()
            .is_some_and(|(_, last)| last.space != one.space || !last.cidr.contains(one.cidr))
        {
            above.pop();
        }
        if let Some((twin, _)) = above.last().filter(|(_, last)| last.cidr == one.cidr) {
            pairs.push((place, *twin));
            continue;
        }
        pairs.extend(above.iter().map(|(other_place, other)| {
            if (one.line, place) < (other.line, *other_place) {
                (*other_place, place)
            } else {
                (place, *other_place)
            }
        }));
        above.push((place, one));
    }
    pairs
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    /// Networks of two spaces within 256 addresses, so that many are nested, and a few equal.
    fn networks() -> impl Strategy<Value = Vec<(u8, u8, u8)>> {
        prop::collection::vec((0..2_u8, any::<u8>(), 24..=32_u8), 0..24)
    }

    fn wanted(networks: &[(u8, u8, u8)]) -> Vec<Wanted<u8>> {
        networks
            .iter()
            .enumerate()
            .map(|(line, (space, address, length))| Wanted {
                space: *space,
                cidr: Cidr::containing([10, 0, 0, *address].into(), *length).unwrap(),
                line: Some(line as u64),
            })
            .collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1_000))]

        #[test]
        fn it_finds_what_comparing_each_with_each_finds(networks in networks()) {
            let all = wanted(&networks);
            let first = |one: &Wanted<u8>| {
                all.iter().position(|other| (other.space, other.cidr) == (one.space, one.cidr)).unwrap()
            };
            let mut expected = BTreeSet::new();
            for (later, one) in all.iter().enumerate() {
                for (before, other) in all.iter().enumerate().take(later) {
                    let equal = one.cidr == other.cidr;
                    let counts = if equal {
                        first(one) == before
                    } else {
                        first(one) == later && first(other) == before
                    };
                    if one.space == other.space && one.cidr.overlaps(other.cidr) && counts {
                        expected.insert((later, before));
                    }
                }
            }
            let found = overlaps(&all);
            prop_assert_eq!(found.len(), expected.len());
            prop_assert_eq!(found.into_iter().collect::<BTreeSet<_>>(), expected);
        }

        #[test]
        fn the_order_makes_no_difference(
            (networks, shuffled) in networks().prop_flat_map(|all| (Just(all.clone()), Just(all).prop_shuffle()))
        ) {
            let pairs = |networks: &[(u8, u8, u8)]| {
                let all = wanted(networks);
                let mut pairs: Vec<_> = overlaps(&all)
                    .into_iter()
                    .map(|(one, other)| {
                        let (one, other) = (all[one], all[other]);
                        let mut pair = [(one.space, one.cidr), (other.space, other.cidr)];
                        pair.sort_unstable();
                        pair
                    })
                    .collect();
                pairs.sort_unstable();
                pairs
            };
            prop_assert_eq!(pairs(&networks), pairs(&shuffled));
        }
    }
}
