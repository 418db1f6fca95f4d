//! Which blocks to cut: buddy arithmetic over the part of the free list that was read. Pure: no I/O, no SQL, no clock.
//!
//! Free space is kept as aligned blocks that are as large as can be. To cut a block of 2^n addresses, take the smallest
//! free block that holds it (of those the lowest) and halve it until it fits; the other halves stay free:
//!
//! ```text
//! free before   |                 /22                |
//! cut a /24     | /24 |  /24 |        /23            |
//!                 ^^^   free          free
//! ```
//!
//! To give a block back, merge it with its buddy (the other half of its parent) as long as that is free. So giving back
//! what was just taken restores the free list exactly, which is how a request that does not fit as a whole leaves no trace.
//!
//! Only a part of the free list is in memory. That is enough: `n` requests for blocks of one size use at most the first
//! `n` free blocks that hold that size, in the order of the pool's strategy, and merging needs only the buddies of the
//! block and of the networks that contain it. A request that excludes `k` networks skips at most `k` more blocks: those
//! that contain one.

use std::collections::{BTreeMap, BTreeSet};

use ipam_shared::{
    api::pool::Strategy,
    cidr::{Cidr, Family},
    ids::PoolId,
};

use crate::network::{Changes, Place, Range, RangeId};

/// Host bits, first address and range of a free block.
type Key = (u8, u128, RangeId);

/// Free blocks of one pool by size, then address: the order of best fit.
type BySize = BTreeSet<Key>;

/// The part of the free list that was read, and what was taken from it and given back.
#[derive(Debug, Default)]
pub struct FreeSpace {
    ranges: BTreeMap<RangeId, Range>,
    pools: BTreeMap<PoolId, BySize>,
    /// What was read, to compute the changes at the end.
    read: BTreeSet<Place>,
}

impl FreeSpace {
    /// Nothing read yet.
    pub fn new(ranges: impl IntoIterator<Item = Range>) -> Self {
        let mut space = Self::default();
        for range in ranges {
            space.pools.entry(range.pool).or_default();
            space.ranges.insert(range.id, range);
        }
        space
    }

    /// Adds a free block that was read; reading one twice does no harm, as long as nothing was taken in between.
    pub fn read(&mut self, place: Place) {
        if let Some(range) = self.ranges.get(&place.range) {
            self.pools.entry(range.pool).or_default().insert(key(place));
            self.read.insert(place);
        }
    }

    /// The range of `pool` that contains `cidr`.
    pub fn range_of(&self, pool: PoolId, cidr: Cidr) -> Option<Range> {
        self.ranges
            .values()
            .find(|range| range.pool == pool && range.cidr.contains(cidr))
            .copied()
    }

    /// The range with that key.
    pub fn range(&self, id: RangeId) -> Option<Range> {
        self.ranges.get(&id).copied()
    }

    /// Takes a block of `prefix_length` from `pool` as its strategy says, overlapping none of `avoid`.
    pub fn take(
        &mut self,
        pool: PoolId,
        prefix_length: u8,
        strategy: Strategy,
        avoid: &[Cidr],
    ) -> Option<Place> {
        let (found, wanted) = self.find(pool, prefix_length, strategy, avoid)?;
        self.cut(pool, found, wanted);
        Some(wanted)
    }

    /// The block that [`Self::take`] would take.
    pub fn next(&self, pool: PoolId, prefix_length: u8, strategy: Strategy) -> Option<Cidr> {
        self.find(pool, prefix_length, strategy, &[])
            .map(|(_, wanted)| wanted.cidr)
    }

    /// The free block that the strategy chooses, and the block in it.
    fn find(
        &self,
        pool: PoolId,
        prefix_length: u8,
        strategy: Strategy,
        avoid: &[Cidr],
    ) -> Option<(Place, Place)> {
        let family = self.family(pool)?;
        let host_bits = family.bits().checked_sub(prefix_length)?;
        let free = self.pools.get(&pool)?;
        let inside = |key: Key| {
            let found = place(family, key);
            spot(found.cidr, prefix_length, strategy, avoid).map(|cidr| (found, cidr))
        };
        let (found, cidr) = match strategy {
            Strategy::BestFit => free
                .range((host_bits, 0, RangeId::MIN)..)
                .find_map(|key| inside(*key)),
            // The first suitable block of each size, and of those the first.
            Strategy::FirstFit => sizes(free, host_bits)
                .filter_map(|size| of_size(free, size).find_map(|key| inside(*key)))
                .min_by_key(|(_, cidr)| *cidr),
            Strategy::LastFit => sizes(free, host_bits)
                .filter_map(|size| of_size(free, size).rev().find_map(|key| inside(*key)))
                .max_by_key(|(_, cidr)| *cidr),
            Strategy::Sparse => sizes(free, host_bits)
                .collect::<Vec<_>>()
                .into_iter()
                .rev()
                .find_map(|size| of_size(free, size).find_map(|key| inside(*key))),
        }?;
        Some((
            found,
            Place {
                range: found.range,
                cidr,
            },
        ))
    }

    /// Takes exactly `cidr` from `pool`, if it is free.
    pub fn take_exact(&mut self, pool: PoolId, cidr: Cidr) -> Option<Place> {
        let range = self.range_of(pool, cidr)?.id;
        let free = self.pools.get(&pool)?;
        let found = (0..=cidr.prefix_length())
            .rev()
            .filter_map(|length| cidr.ancestor(length))
            .map(|cidr| Place { range, cidr })
            .find(|place| free.contains(&key(*place)))?;
        let wanted = Place { range, cidr };
        self.cut(pool, found, wanted);
        Some(wanted)
    }

    /// Halves `found` until `wanted` is left.
    fn cut(&mut self, pool: PoolId, found: Place, wanted: Place) {
        let Some(free) = self.pools.get_mut(&pool) else {
            return;
        };
        free.remove(&key(found));
        let mut piece = wanted.cidr;
        while piece != found.cidr {
            let (Some(buddy), Some(parent)) = (piece.buddy(), piece.parent()) else {
                return;
            };
            free.insert(key(Place {
                range: found.range,
                cidr: buddy,
            }));
            piece = parent;
        }
    }

    /// Gives a block back and merges it with its free buddies.
    pub fn give_back(&mut self, place: Place) {
        let Some(range) = self.ranges.get(&place.range).copied() else {
            return;
        };
        let free = self.pools.entry(range.pool).or_default();
        let mut piece = place.cidr;
        while piece != range.cidr {
            let (Some(buddy), Some(parent)) = (piece.buddy(), piece.parent()) else {
                break;
            };
            if !free.remove(&key(Place {
                range: range.id,
                cidr: buddy,
            })) {
                break;
            }
            piece = parent;
        }
        free.insert(key(Place {
            range: range.id,
            cidr: piece,
        }));
    }

    /// What to change in the stored free list.
    pub fn changes(&self) -> Changes {
        let mut now = BTreeSet::new();
        for (pool, free) in &self.pools {
            if let Some(family) = self.family(*pool) {
                now.extend(free.iter().map(|key| place(family, *key)));
            }
        }
        Changes {
            removed: self.read.difference(&now).copied().collect(),
            added: now.difference(&self.read).copied().collect(),
        }
    }

    fn family(&self, pool: PoolId) -> Option<Family> {
        self.ranges
            .values()
            .find(|range| range.pool == pool)
            .map(|range| range.cidr.family())
    }
}

/// The networks whose being free decides how far `place` merges when it is given back: its other half, that of its
/// parent, and so on up to the range.
pub fn buddies(place: Place, range: Cidr) -> impl Iterator<Item = Place> {
    std::iter::successors(Some(place.cidr), |cidr| cidr.parent())
        .take_while(move |cidr| *cidr != range)
        .filter_map(Cidr::buddy)
        .map(move |cidr| Place {
            range: place.range,
            cidr,
        })
}

/// The networks one of which is free if `place` is: itself and what contains it, up to the range.
pub fn ancestors(place: Place, range: Cidr) -> impl Iterator<Item = Place> {
    std::iter::successors(Some(place.cidr), move |cidr| {
        cidr.parent().filter(|_| *cidr != range)
    })
    .map(move |cidr| Place {
        range: place.range,
        cidr,
    })
}

/// The sizes that occur, from `least` host bits on.
fn sizes(free: &BySize, least: u8) -> impl Iterator<Item = u8> {
    let next = |least: u8| {
        free.range((least, 0, RangeId::MIN)..)
            .next()
            .map(|key| key.0)
    };
    std::iter::successors(next(least), move |size| next(size.checked_add(1)?))
}

/// Free blocks of one size, by address.
fn of_size(free: &BySize, host_bits: u8) -> impl DoubleEndedIterator<Item = &Key> {
    free.range((host_bits, 0, RangeId::MIN)..=(host_bits, u128::MAX, RangeId::MAX))
}

/// Where in a free block one of `prefix_length` goes; none if every position overlaps one of `avoid`.
fn spot(free: Cidr, prefix_length: u8, strategy: Strategy, avoid: &[Cidr]) -> Option<Cidr> {
    let family = free.family();
    let at = |number: u128| Cidr::from_number(family, number, prefix_length);
    let last = |cidr: Cidr| cidr.number() + (cidr.addresses() - 1);
    let in_the_way = |wanted: Cidr| avoid.iter().copied().find(|other| other.overlaps(wanted));
    if avoid.iter().any(|other| other.contains(free)) {
        return None;
    }
    let down = strategy == Strategy::LastFit;
    let mut wanted = match strategy {
        Strategy::LastFit => at(last(free)),
        Strategy::Sparse if free.prefix_length() < prefix_length => at(free.halves()?.1.number()),
        _ => at(free.number()),
    };
    let mut turned = false;
    while let Some(other) = in_the_way(wanted) {
        // Skips to the end of whichever of the two reaches further; nothing of `other` can be used.
        let next = if down {
            other.number().min(wanted.number()).checked_sub(1)
        } else {
            last(other).max(last(wanted)).checked_add(1)
        };
        wanted = match next {
            Some(next) if (free.number()..=last(free)).contains(&next) => at(next),
            // Nothing fits between the middle and the end: try from the beginning to the middle.
            _ if strategy == Strategy::Sparse && !turned => {
                turned = true;
                at(free.number())
            }
            _ => return None,
        };
    }
    Some(wanted)
}

fn key(place: Place) -> Key {
    (place.cidr.host_bits(), place.cidr.number(), place.range)
}

fn place(family: Family, (host_bits, number, range): Key) -> Place {
    Place {
        range,
        cidr: Cidr::from_number(family, number, family.bits() - host_bits),
    }
}

#[cfg(test)]
mod tests {
    use ipam_shared::api::pool::Strategy::{self, BestFit, FirstFit, LastFit, Sparse};
    use proptest::prelude::{any, prop, prop_assert, prop_assert_eq, proptest};

    use super::*;

    const RANGE: &str = "10.0.0.0/24";

    fn cidr(text: &str) -> Cidr {
        text.parse().unwrap()
    }

    fn space(range: &str) -> (FreeSpace, PoolId) {
        let pool = PoolId::generate();
        let mut space = FreeSpace::new([Range {
            id: 1,
            pool,
            cidr: cidr(range),
        }]);
        space.read(Place {
            range: 1,
            cidr: cidr(range),
        });
        (space, pool)
    }

    #[test]
    fn the_smallest_block_that_fits_is_cut_from_its_low_end() {
        let (mut space, pool) = space("10.0.0.0/22");
        assert_eq!(
            space.take(pool, 24, BestFit, &[]).unwrap().cidr,
            cidr("10.0.0.0/24")
        );
        assert_eq!(
            space.take(pool, 23, BestFit, &[]).unwrap().cidr,
            cidr("10.0.2.0/23")
        );
        assert_eq!(space.take(pool, 23, BestFit, &[]), None);
        assert_eq!(
            space.take(pool, 26, BestFit, &[]).unwrap().cidr,
            cidr("10.0.1.0/26")
        );
        assert_eq!(
            space.changes(),
            Changes {
                removed: vec![Place {
                    range: 1,
                    cidr: cidr("10.0.0.0/22")
                }],
                added: vec![
                    Place {
                        range: 1,
                        cidr: cidr("10.0.1.64/26")
                    },
                    Place {
                        range: 1,
                        cidr: cidr("10.0.1.128/25")
                    },
                ],
            }
        );
    }

    #[test]
    fn best_fit_looks_at_all_ranges_of_the_pool_and_at_no_other_pool() {
        let (pool, other) = (PoolId::generate(), PoolId::generate());
        let mut space = FreeSpace::new([
            Range {
                id: 1,
                pool,
                cidr: cidr("10.0.0.0/16"),
            },
            Range {
                id: 2,
                pool,
                cidr: cidr("192.168.0.0/24"),
            },
            Range {
                id: 3,
                pool: other,
                cidr: cidr("10.1.0.0/25"),
            },
        ]);
        for (range, text) in [
            (1, "10.0.0.0/16"),
            (2, "192.168.0.0/24"),
            (3, "10.1.0.0/25"),
        ] {
            space.read(Place {
                range,
                cidr: cidr(text),
            });
        }
        assert_eq!(
            space.take(pool, 25, BestFit, &[]),
            Some(Place {
                range: 2,
                cidr: cidr("192.168.0.0/25")
            })
        );
        assert_eq!(space.take(other, 24, BestFit, &[]), None);
    }

    #[test]
    fn an_explicit_block_is_cut_from_whatever_contains_it() {
        let (mut space, pool) = space(RANGE);
        assert!(space.take_exact(pool, cidr("10.0.0.128/26")).is_some());
        assert_eq!(space.take_exact(pool, cidr("10.0.0.128/25")), None);
        assert_eq!(space.take_exact(pool, cidr("10.0.0.160/27")), None);
        assert_eq!(space.take_exact(pool, cidr("10.0.1.0/26")), None);
        assert_eq!(
            space.take(pool, 26, BestFit, &[]).unwrap().cidr,
            cidr("10.0.0.192/26")
        );
    }

    #[test]
    fn a_whole_ipv6_range_is_given_and_merged_again() {
        let (mut space, pool) = space("2001:db8::/32");
        let taken: Vec<_> = (0..5)
            .map(|_| space.take(pool, 64, BestFit, &[]).unwrap())
            .collect();
        assert_eq!(taken[4].cidr, cidr("2001:db8:0:4::/64"));
        taken.into_iter().for_each(|place| space.give_back(place));
        assert_eq!(space.changes(), Changes::default());
    }

    #[test]
    fn the_way_up_ends_at_the_range() {
        let place = Place {
            range: 1,
            cidr: cidr("10.0.0.64/26"),
        };
        let texts = |places: Vec<Place>| {
            places
                .iter()
                .map(|place| place.cidr.to_string())
                .collect::<Vec<_>>()
        };
        assert_eq!(
            texts(buddies(place, cidr(RANGE)).collect()),
            ["10.0.0.0/26", "10.0.0.128/25"]
        );
        assert_eq!(
            texts(ancestors(place, cidr(RANGE)).collect()),
            ["10.0.0.64/26", "10.0.0.0/25", "10.0.0.0/24"]
        );
        let whole = Place {
            range: 1,
            cidr: cidr(RANGE),
        };
        assert_eq!(buddies(whole, cidr(RANGE)).count(), 0);
        assert_eq!(ancestors(whole, cidr(RANGE)).count(), 1);
    }

    /// A naive reference allocator: one flag per address of a /24.
    struct Oracle([bool; 256]);

    impl Oracle {
        fn is_free(&self, at: usize, size: usize) -> bool {
            self.0[at..at + size].iter().all(|used| !used)
        }

        /// The aligned free area around `at`, as large as can be: what a buddy list holds there.
        fn area(&self, at: usize) -> usize {
            (0..=8)
                .map(|bits| 1 << bits)
                .take_while(|size| self.is_free(at / size * size, *size))
                .last()
                .unwrap_or(0)
        }

        /// The first of all free places in the order of the strategy.
        fn choose(
            &self,
            size: usize,
            strategy: Strategy,
            avoid: &[(usize, usize)],
        ) -> Option<usize> {
            let places = (0..256).step_by(size).filter(|at| {
                self.is_free(*at, size)
                    && avoid
                        .iter()
                        .all(|(other, length)| at + size <= *other || other + length <= *at)
            });
            match strategy {
                BestFit => places.min_by_key(|at| (self.area(*at), *at)),
                FirstFit => places.min(),
                LastFit => places.max(),
                Sparse => places.min_by_key(|at| {
                    let area = self.area(*at);
                    let block = at / area * area;
                    // From the middle of the block to its end, then from its beginning.
                    (
                        std::cmp::Reverse(area),
                        block,
                        area > size && at - block < area / 2,
                        *at,
                    )
                }),
            }
        }
    }

    proptest! {
        #[test]
        fn the_free_list_chooses_what_a_search_over_every_address_would(
            steps in prop::collection::vec((0_u8..6, 24_u8..=32, any::<prop::sample::Index>()), 1..120),
            avoid in prop::collection::vec((0_usize..256, 24_u8..=32), 0..4),
        ) {
            // Networks to keep away from, as (first address, size).
            let avoid: Vec<_> = avoid.into_iter().map(|(at, length)| (at, 1_usize << (32 - length))).collect();
            let avoid: Vec<_> = avoid.into_iter().map(|(at, size)| (at / size * size, size)).collect();
            let networks: Vec<_> = avoid
                .iter()
                .map(|(at, size)| {
                    let length = 32 - u8::try_from(size.trailing_zeros()).unwrap();
                    Cidr::from_number(Family::Ipv4, 0x0a00_0000 + *at as u128, length)
                })
                .collect();
            let (mut space, pool) = space(RANGE);
            let mut oracle = Oracle([false; 256]);
            let mut live: Vec<Place> = Vec::new();
            for (kind, length, index) in steps {
                let size = 1_usize << (32 - length);
                if kind == 0 && !live.is_empty() {
                    let place = live.swap_remove(index.index(live.len()));
                    let at = (place.cidr.number() & 255) as usize;
                    let end = at + place.cidr.addresses() as usize;
                    oracle.0[at..end].fill(false);
                    space.give_back(place);
                } else if kind == 1 {
                    let at = index.index(256) / size * size;
                    let wanted = Cidr::from_number(Family::Ipv4, 0x0a00_0000 + at as u128, length);
                    let taken = space.take_exact(pool, wanted);
                    prop_assert_eq!(taken.is_some(), oracle.is_free(at, size));
                    if let Some(place) = taken {
                        oracle.0[at..at + size].fill(true);
                        live.push(place);
                    }
                } else {
                    let strategy = Strategy::ALL[usize::from(kind % 4)];
                    // Every other request excludes networks.
                    let keeps_away = index.index(2) == 0;
                    let (away, networks) = if keeps_away { (&avoid[..], &networks[..]) } else { (&[][..], &[][..]) };
                    let taken = space.take(pool, length, strategy, networks);
                    let expected = oracle.choose(size, strategy, away);
                    prop_assert_eq!(taken.map(|place| (place.cidr.number() & 255) as usize), expected);
                    if let Some(place) = taken {
                        let at = expected.unwrap();
                        oracle.0[at..at + size].fill(true);
                        live.push(place);
                    }
                }
                // What is free in the list is free in the reference, address by address, and merged as far as possible.
                let free: Vec<Cidr> = space.pools[&pool].iter().map(|k| place(Family::Ipv4, *k).cidr).collect();
                prop_assert_eq!(
                    free.iter().map(|cidr| cidr.addresses()).sum::<u128>(),
                    oracle.0.iter().filter(|used| !**used).count() as u128
                );
                for cidr in &free {
                    prop_assert!(oracle.is_free((cidr.number() & 255) as usize, cidr.addresses() as usize));
                    prop_assert!(cidr.buddy().is_none_or(|buddy| !free.contains(&buddy)) || cidr.prefix_length() == 24);
                }
            }
        }
    }
}
