//! The slow and obvious address space: one flag per address of an IPv4 /24, or per /64 of an IPv6 /56, that says whose it
//! is. Everything is found by looking at every flag. Uses nothing of the server but the words of the API.

use std::{cmp::Reverse, collections::BTreeMap};

use ipam_shared::{
    api::{allocation::NewAllocation, pool::Strategy},
    cidr::{Cidr, Family},
    error::Code,
    ids::{AllocationId, PoolId, ReservationId},
};

use crate::ops::Spot;

pub(crate) const VRFS: [&str; 2] = ["default", "blue"];
pub(crate) const POOLS: [&str; 5] = ["a", "b", "c", "d", "e"];
/// A pool of the other family.
pub(crate) const OTHER: &str = "w";
pub(crate) const PROFILES: [&str; 3] = ["one", "two", "three"];
/// In seconds: longer than any test.
pub(crate) const COOLDOWN: u32 = 100_000;

/// The network at a place of the world of a family.
pub(crate) fn network(family: Family, spot: Spot) -> Cidr {
    let (base, unit): (Cidr, u32) = match family {
        Family::Ipv4 => ("10.0.0.0/24".parse().expect("a network"), 0),
        Family::Ipv6 => ("2001:db8:0:200::/56".parse().expect("a network"), 64),
    };
    let number = base.number() + (u128::from(spot.at) << unit);
    let address = Cidr::from_number(family, number, family.bits()).first();
    Cidr::containing(address, length(family, spot.bits)).expect("a prefix length")
}

/// Prefix length of a block of 2^bits units.
pub(crate) fn length(family: Family, bits: u8) -> u8 {
    match family {
        Family::Ipv4 => 32 - bits,
        Family::Ipv6 => 64 - bits,
    }
}

/// Units of a network.
fn units(cidr: Cidr) -> usize {
    1 << match cidr.family() {
        Family::Ipv4 => cidr.host_bits(),
        Family::Ipv6 => cidr.host_bits() - 64,
    }
}

/// Whose an address is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flag {
    Free,
    Allocation(usize),
    Reservation(usize),
    /// It is a range of that pool.
    Child(usize),
    Cooling(usize),
}

#[derive(Clone, Debug)]
pub(crate) struct Range {
    pub(crate) cidr: Cidr,
    pub(crate) flags: Vec<Flag>,
}

impl Range {
    pub(crate) fn new(cidr: Cidr) -> Self {
        Self {
            cidr,
            flags: vec![Flag::Free; units(cidr)],
        }
    }

    fn slice(&self, cidr: Cidr) -> std::ops::Range<usize> {
        assert!(self.cidr.contains(cidr), "{cidr} in {}", self.cidr);
        let unit = self.cidr.addresses() / self.flags.len() as u128;
        let at = usize::try_from((cidr.number() - self.cidr.number()) / unit).expect("small");
        at..at + units(cidr)
    }

    pub(crate) fn is_free(&self, cidr: Cidr) -> bool {
        self.flags[self.slice(cidr)]
            .iter()
            .all(|flag| *flag == Flag::Free)
    }

    pub(crate) fn is_all(&self, cidr: Cidr, flag: Flag) -> bool {
        self.flags[self.slice(cidr)].iter().all(|one| *one == flag)
    }

    /// The largest aligned network around that one of which all is free.
    fn area(&self, cidr: Cidr) -> Option<Cidr> {
        (self.cidr.prefix_length()..=cidr.prefix_length())
            .filter_map(|length| cidr.ancestor(length))
            .find(|around| self.is_free(*around))
    }

    /// Every network of a length.
    fn networks(&self, length: u8) -> impl Iterator<Item = Cidr> {
        let first = self.cidr.number();
        let family = self.cidr.family();
        let count = length
            .checked_sub(self.cidr.prefix_length())
            .map_or(0, |bits| 1_u128 << bits);
        let size = 1_u128 << (family.bits() - length);
        (0..count).map(move |number| Cidr::from_number(family, first + number * size, length))
    }

    /// What is free, in pieces as large as can be.
    pub(crate) fn free(&self) -> Vec<Cidr> {
        let mut found: Vec<Cidr> = Vec::new();
        for unit in self.networks(length(self.cidr.family(), 0)) {
            if !found.last().is_some_and(|last| last.contains(unit)) {
                found.extend(self.area(unit));
            }
        }
        found
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Pool {
    pub(crate) id: PoolId,
    pub(crate) exists: bool,
    /// Whether it was made through the API.
    pub(crate) ours: bool,
    pub(crate) name: &'static str,
    pub(crate) vrf: usize,
    pub(crate) family: Family,
    pub(crate) parent: Option<usize>,
    pub(crate) ranges: Vec<Range>,
    pub(crate) shortest: u8,
    pub(crate) longest: u8,
    pub(crate) usual: Option<u8>,
    pub(crate) reserved: u32,
    pub(crate) strategy: Strategy,
    pub(crate) cooldown: bool,
    pub(crate) tier: u8,
    pub(crate) labelled_only: bool,
}

impl Pool {
    /// Which of all networks of a length a request gets.
    pub(crate) fn choose(&self, length: u8, avoid: &[Cidr]) -> Option<Cidr> {
        let places = self.ranges.iter().flat_map(|range| {
            let free = range.free();
            let places = range.networks(length).filter_map(move |cidr| {
                let area = free.iter().find(|area| area.contains(cidr))?;
                let is_away = !avoid.iter().any(|other| other.overlaps(cidr));
                is_away.then_some((*area, cidr))
            });
            places.collect::<Vec<_>>()
        });
        let chosen = match self.strategy {
            Strategy::BestFit => places.min_by_key(|(area, cidr)| (area.host_bits(), *cidr)),
            Strategy::FirstFit => places.min_by_key(|(_, cidr)| *cidr),
            Strategy::LastFit => places.max_by_key(|(_, cidr)| *cidr),
            // From the middle of the largest block to its end, then from its beginning.
            Strategy::Sparse => places.min_by_key(|(area, cidr)| {
                let in_front = area
                    .halves()
                    .is_some_and(|(_, second)| *area != *cidr && cidr.number() < second.number());
                (Reverse(area.host_bits()), *area, in_front, *cidr)
            }),
        };
        chosen.map(|(_, cidr)| cidr)
    }

    pub(crate) fn range_of(&self, cidr: Cidr) -> Option<&Range> {
        self.ranges.iter().find(|range| range.cidr.contains(cidr))
    }

    /// Prefix length of the largest free block.
    pub(crate) fn largest_free(&self) -> Option<u8> {
        let free = self.ranges.iter().flat_map(Range::free);
        free.map(Cidr::prefix_length).min()
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Member {
    pub(crate) role: &'static str,
    pub(crate) pool: &'static str,
    pub(crate) offset: i8,
    pub(crate) shortest: u8,
    pub(crate) longest: u8,
}

#[derive(Clone, Debug)]
pub(crate) struct Block {
    pub(crate) pool: usize,
    pub(crate) cidr: Cidr,
    /// None if it was asked for from pools.
    pub(crate) member: Option<Member>,
}

impl Block {
    pub(crate) fn role(&self) -> &'static str {
        self.member.as_ref().map_or("main", |member| member.role)
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Allocation {
    pub(crate) id: AllocationId,
    pub(crate) exists: bool,
    /// In lower case.
    pub(crate) vpc: String,
    pub(crate) name: Option<String>,
    pub(crate) prefix_length: u8,
    pub(crate) blocks: Vec<Block>,
    pub(crate) protected: bool,
    /// As it was asked for.
    pub(crate) asked: NewAllocation,
}

#[derive(Clone, Debug)]
pub(crate) struct Reservation {
    pub(crate) id: ReservationId,
    pub(crate) exists: bool,
    pub(crate) vrf: usize,
    pub(crate) cidr: Cidr,
    pub(crate) reason: bool,
    /// Pools and networks.
    pub(crate) blocks: Vec<(usize, Cidr)>,
}

#[derive(Clone, Debug)]
pub(crate) struct Cooling {
    pub(crate) exists: bool,
    pub(crate) pool: usize,
    pub(crate) cidr: Cidr,
    pub(crate) vpc: String,
    pub(crate) name: Option<String>,
    pub(crate) role: &'static str,
    pub(crate) allocation: usize,
    pub(crate) released: i64,
    /// Its time is over, but nobody has ended it yet.
    pub(crate) due: bool,
}

/// The whole of it. Things that are gone keep their number.
#[derive(Clone, Debug)]
pub(crate) struct Model {
    pub(crate) family: Family,
    pub(crate) pools: Vec<Pool>,
    /// VRF by lower-case name.
    pub(crate) vpcs: BTreeMap<String, usize>,
    pub(crate) allocations: Vec<Allocation>,
    pub(crate) reservations: Vec<Reservation>,
    pub(crate) cooling: Vec<Cooling>,
    /// In the order of [`PROFILES`].
    pub(crate) profiles: Vec<Vec<Member>>,
    pub(crate) clock: i64,
}

pub(crate) type Answer<T> = Result<T, Code>;

impl Model {
    pub(crate) fn living<T>(things: &[T], exists: impl Fn(&T) -> bool) -> Vec<usize> {
        (0..things.len())
            .filter(|number| exists(&things[*number]))
            .collect()
    }

    /// Changes whose a network is; it was `before`.
    pub(crate) fn paint(&mut self, pool: usize, cidr: Cidr, before: Flag, after: Flag) {
        let range = self.pools[pool]
            .ranges
            .iter_mut()
            .find(|range| range.cidr.contains(cidr))
            .expect("a range of the pool");
        for place in range.slice(cidr) {
            assert_eq!(
                range.flags[place], before,
                "{cidr} is not whose it should be"
            );
            range.flags[place] = after;
        }
    }

    pub(crate) fn is_free(&self, pool: usize, cidr: Cidr) -> bool {
        let range = self.pools[pool].range_of(cidr);
        range.is_some_and(|range| range.is_free(cidr))
    }

    /// The pool of that name, of a VRF or else of `default`.
    pub(crate) fn pool_named(&self, vrf: usize, name: &str) -> Option<usize> {
        [vrf, 0].into_iter().find_map(|vrf| self.pool_in(vrf, name))
    }

    pub(crate) fn pool_in(&self, vrf: usize, name: &str) -> Option<usize> {
        let is_it = |pool: &Pool| pool.exists && pool.vrf == vrf && pool.name == name;
        self.pools.iter().position(is_it)
    }

    /// How many pools lie around a pool.
    pub(crate) fn depth(&self, pool: usize) -> usize {
        std::iter::successors(self.pools[pool].parent, |parent| self.pools[*parent].parent).count()
    }

    /// Everything that is stored as a block: pool, range, network, whose.
    pub(crate) fn blocks(&self) -> Vec<(usize, Cidr, Flag)> {
        let mut found = Vec::new();
        for (number, allocation) in self.allocations.iter().enumerate() {
            for block in allocation.blocks.iter().filter(|_| allocation.exists) {
                found.push((block.pool, block.cidr, Flag::Allocation(number)));
            }
        }
        for (number, reservation) in self.reservations.iter().enumerate() {
            for (pool, cidr) in reservation.blocks.iter().filter(|_| reservation.exists) {
                found.push((*pool, *cidr, Flag::Reservation(number)));
            }
        }
        for (number, cooling) in self.cooling.iter().enumerate() {
            if cooling.exists {
                found.push((cooling.pool, cooling.cidr, Flag::Cooling(number)));
            }
        }
        for (number, pool) in self.pools.iter().enumerate() {
            if let (true, Some(parent)) = (pool.exists, pool.parent) {
                let ranges = pool.ranges.iter();
                found.extend(ranges.map(|range| (parent, range.cidr, Flag::Child(number))));
            }
        }
        found
    }

    /// What cools down for a name: what its newest allocation had.
    pub(crate) fn cooling_for(&self, vpc: &str, name: Option<&str>) -> Vec<usize> {
        let name = name.map(str::to_owned);
        let theirs = |cooling: &Cooling| {
            cooling.exists && name.is_some() && cooling.vpc == vpc && cooling.name == name
        };
        let newest = self
            .cooling
            .iter()
            .filter(|cooling| theirs(cooling))
            .max_by_key(|cooling| cooling.released)
            .map(|cooling| cooling.allocation);
        Self::living(&self.cooling, |cooling| {
            theirs(cooling) && Some(cooling.allocation) == newest
        })
    }

    /// Begins a cooldown, or frees at once, as the pool says.
    pub(crate) fn end_block(
        &mut self,
        allocation: usize,
        pool: usize,
        cidr: Cidr,
        role: &'static str,
        named: bool,
    ) {
        let before = Flag::Allocation(allocation);
        if !self.pools[pool].cooldown {
            self.paint(pool, cidr, before, Flag::Free);
            return;
        }
        let owner = &self.allocations[allocation];
        let cooling = Cooling {
            exists: true,
            pool,
            cidr,
            vpc: owner.vpc.clone(),
            name: owner.name.clone().filter(|_| named),
            role,
            allocation,
            released: self.clock,
            due: false,
        };
        self.paint(pool, cidr, before, Flag::Cooling(self.cooling.len()));
        self.cooling.push(cooling);
    }

    /// Ends a cooldown.
    pub(crate) fn cooled(&mut self, number: usize) {
        let (pool, cidr) = (self.cooling[number].pool, self.cooling[number].cidr);
        self.cooling[number].exists = false;
        self.paint(pool, cidr, Flag::Cooling(number), Flag::Free);
    }

    pub(crate) fn release(&mut self, number: usize) -> Answer<()> {
        if self.allocations[number].protected {
            return Err(Code::DeletionProtected);
        }
        self.allocations[number].exists = false;
        for block in self.allocations[number].blocks.clone() {
            self.end_block(number, block.pool, block.cidr, block.role(), true);
        }
        Ok(())
    }
}
