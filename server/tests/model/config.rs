//! What changes of VPCs, pools, ranges and reservations must do, or why they must be refused.

use ipam_shared::{
    api::pool::Strategy,
    cidr::{Cidr, Family},
    error::Code,
    ids::{PoolId, ReservationId},
};
use uuid::Uuid;

use crate::model::{Answer, Flag, Model, Pool, Range, Reservation};

/// What of a pool has nothing to do with its ranges, in prefix lengths.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    pub(crate) strategy: Strategy,
    pub(crate) cooldown: bool,
    pub(crate) shortest: u8,
    pub(crate) longest: u8,
    pub(crate) usual: Option<u8>,
    pub(crate) tier: u8,
    pub(crate) labelled_only: bool,
}

impl Rules {
    fn check(&self) -> Answer<()> {
        let within = self
            .usual
            .is_none_or(|usual| (self.shortest..=self.longest).contains(&usual));
        if self.shortest <= self.longest && within {
            Ok(())
        } else {
            Err(Code::InvalidRequest)
        }
    }

    fn apply(&self, pool: &mut Pool) {
        pool.strategy = self.strategy;
        pool.cooldown = self.cooldown;
        (pool.shortest, pool.longest, pool.usual) = (self.shortest, self.longest, self.usual);
        (pool.tier, pool.labelled_only) = (self.tier, self.labelled_only);
    }
}

impl Model {
    pub(crate) fn create_vpc(&mut self, name: &str, vrf: usize) -> Answer<()> {
        // One that is there is given again, whether it was made or came to be on first use.
        let is = *self.vpcs.entry(name.to_lowercase()).or_insert(vrf);
        if is == vrf {
            Ok(())
        } else {
            Err(Code::NameTaken)
        }
    }

    /// How many allocations went with it.
    pub(crate) fn delete_vpc(&mut self, name: &str, cascade: bool) -> Answer<u64> {
        let name = name.to_lowercase();
        if !self.vpcs.contains_key(&name) {
            return Err(Code::NotFound);
        }
        let theirs = Self::living(&self.allocations, |allocation| {
            allocation.exists && allocation.vpc == name
        });
        if !theirs.is_empty() && !cascade {
            return Err(Code::InUse);
        }
        for number in &theirs {
            self.release(*number)?;
        }
        self.vpcs.remove(&name);
        Ok(theirs.len() as u64)
    }

    /// Whether it is new, and its number.
    pub(crate) fn reserve(
        &mut self,
        vrf: usize,
        cidr: Cidr,
        reason: bool,
    ) -> Answer<(bool, usize)> {
        for (number, other) in self.reservations.iter_mut().enumerate() {
            if !other.exists || other.vrf != vrf || !other.cidr.overlaps(cidr) {
                continue;
            }
            if other.cidr != cidr {
                return Err(Code::Overlap);
            }
            // What is said of it is as the last one said.
            other.reason = reason;
            return Ok((false, number));
        }
        let ranges = self
            .pools
            .iter()
            .enumerate()
            .filter(|(_, pool)| pool.exists && pool.vrf == vrf);
        let ranges: Vec<_> = ranges
            .flat_map(|(number, pool)| pool.ranges.iter().map(move |range| (number, range.cidr)))
            .collect();
        let around = ranges
            .iter()
            .filter(|(_, range)| range.contains(cidr))
            .max_by_key(|(pool, range)| (range.prefix_length(), self.depth(*pool)));
        let blocks = match around {
            Some((pool, _)) => vec![(*pool, cidr)],
            None => ranges
                .iter()
                .filter(|(pool, range)| cidr.contains(*range) && self.pools[*pool].parent.is_none())
                .copied()
                .collect(),
        };
        if !blocks.iter().all(|(pool, cidr)| self.is_free(*pool, *cidr)) {
            return Err(Code::Overlap);
        }
        let number = self.reservations.len();
        for (pool, cidr) in &blocks {
            self.paint(*pool, *cidr, Flag::Free, Flag::Reservation(number));
        }
        self.reservations.push(Reservation {
            id: ReservationId(Uuid::nil()),
            exists: true,
            vrf,
            cidr,
            reason,
            blocks,
        });
        Ok((true, number))
    }

    pub(crate) fn unreserve(&mut self, number: usize) {
        self.reservations[number].exists = false;
        for (pool, cidr) in self.reservations[number].blocks.clone() {
            self.paint(pool, cidr, Flag::Reservation(number), Flag::Free);
        }
    }

    pub(crate) fn create_pool(
        &mut self,
        name: &'static str,
        vrf: usize,
        family: Family,
        parent: Option<usize>,
        (add, cut): (&[Cidr], &[u8]),
        rules: &Rules,
    ) -> Answer<()> {
        let existing = self.pool_in(vrf, name);
        // Nobody knows who made what the world began with.
        if existing.is_some_and(|pool| !self.pools[pool].ours) {
            return Err(Code::Claimed);
        }
        if let Some(parent) = parent.map(|parent| &self.pools[parent]) {
            if !parent.exists || parent.vrf != vrf {
                return Err(Code::NotFound);
            }
            if parent.family != family {
                return Err(Code::InvalidRequest);
            }
        }
        if let Some(existing) = existing {
            return self.take_pool(existing, parent, (add, cut), rules);
        }
        rules.check()?;
        let number = self.pools.len();
        self.pools.push(Pool {
            id: PoolId(Uuid::nil()),
            exists: true,
            ours: true,
            name,
            vrf,
            family,
            parent,
            ranges: Vec::new(),
            shortest: 0,
            longest: 0,
            usual: None,
            reserved: 1,
            strategy: rules.strategy,
            cooldown: false,
            tier: 0,
            labelled_only: false,
        });
        rules.apply(&mut self.pools[number]);
        self.change_ranges(number, &[], add, cut)
    }

    /// A pool that is there, for who asks for the same again. Its labels are as the last one said.
    fn take_pool(
        &mut self,
        number: usize,
        parent: Option<usize>,
        (add, cut): (&[Cidr], &[u8]),
        rules: &Rules,
    ) -> Answer<()> {
        let pool = &mut self.pools[number];
        let others = pool
            .ranges
            .iter()
            .filter(|range| !add.contains(&range.cidr));
        let mut others: Vec<_> = others.map(|range| range.cidr.prefix_length()).collect();
        let mut sizes = cut.to_vec();
        others.sort_unstable();
        sizes.sort_unstable();
        let has = |cidr: &Cidr| pool.ranges.iter().any(|range| range.cidr == *cidr);
        let same = pool.parent == parent
            && others == sizes
            && add.iter().all(has)
            && (pool.shortest, pool.longest, pool.usual)
                == (rules.shortest, rules.longest, rules.usual)
            && (pool.reserved, pool.strategy, pool.cooldown) == (1, rules.strategy, rules.cooldown)
            && pool.labelled_only == rules.labelled_only;
        if !same {
            return Err(Code::NameTaken);
        }
        pool.tier = rules.tier;
        Ok(())
    }

    pub(crate) fn change_pool(
        &mut self,
        number: usize,
        ranges: Option<&[Cidr]>,
        cut: &[u8],
        rules: Option<&Rules>,
    ) -> Answer<()> {
        let before = self.pools[number].longest;
        if let Some(rules) = rules {
            rules.check()?;
            rules.apply(&mut self.pools[number]);
        }
        let longest = self.pools[number].longest;
        let has: Vec<_> = self.pools[number]
            .ranges
            .iter()
            .map(|range| range.cidr)
            .collect();
        let (mut remove, mut add) = (Vec::new(), Vec::new());
        if let Some(ranges) = ranges {
            remove.extend(has.iter().filter(|cidr| !ranges.contains(cidr)));
            add.extend(ranges.iter().filter(|cidr| !has.contains(cidr)));
        }
        let is_too_small = |cidr: &Cidr| cidr.prefix_length() > longest && !remove.contains(cidr);
        if longest < before && has.iter().any(is_too_small) {
            return Err(Code::InvalidRequest);
        }
        self.change_ranges(number, &remove, &add, cut)
    }

    pub(crate) fn delete_pool(&mut self, number: usize) -> Answer<()> {
        if self
            .pools
            .iter()
            .any(|pool| pool.exists && pool.parent == Some(number))
        {
            return Err(Code::InUse);
        }
        let all: Vec<_> = self.pools[number]
            .ranges
            .iter()
            .map(|range| range.cidr)
            .collect();
        self.change_ranges(number, &all, &[], &[])?;
        self.pools[number].exists = false;
        Ok(())
    }

    fn change_ranges(
        &mut self,
        number: usize,
        remove: &[Cidr],
        add: &[Cidr],
        cut: &[u8],
    ) -> Answer<()> {
        let pool = &self.pools[number];
        let (longest, parent, vrf) = (pool.longest, pool.parent, pool.vrf);
        let lengths = add
            .iter()
            .map(|cidr| cidr.prefix_length())
            .chain(cut.iter().copied());
        let nested =
            (0..add.len()).any(|one| add[..one].iter().any(|other| other.overlaps(add[one])));
        if parent.is_none() && !cut.is_empty()
            || lengths.clone().any(|length| length > longest)
            || nested
        {
            return Err(Code::InvalidRequest);
        }
        let in_removed = |pool: usize, cidr: Cidr| {
            pool == number && remove.iter().any(|range| range.contains(cidr))
        };
        for due in Self::living(&self.cooling, |one| {
            one.exists && one.due && in_removed(one.pool, one.cidr)
        }) {
            self.cooled(due);
        }
        if self
            .blocks()
            .iter()
            .any(|(pool, cidr, _)| in_removed(*pool, *cidr))
        {
            return Err(Code::InUse);
        }
        self.pools[number]
            .ranges
            .retain(|range| !remove.contains(&range.cidr));
        let Some(parent) = parent else {
            return self.add_roots(number, vrf, add);
        };
        for cidr in remove {
            self.paint(parent, *cidr, Flag::Child(number), Flag::Free);
        }
        let mut cut = cut.to_vec();
        cut.sort_unstable();
        for cidr in add {
            if self.pools[parent].range_of(*cidr).is_none() {
                return Err(Code::InvalidRequest);
            }
            if !self.is_free(parent, *cidr) {
                return Err(Code::Overlap);
            }
            self.add_child(number, parent, *cidr);
        }
        for length in cut {
            let cidr = self.pools[parent]
                .choose(length, &[])
                .ok_or(Code::PoolExhausted)?;
            self.add_child(number, parent, cidr);
        }
        Ok(())
    }

    fn add_child(&mut self, number: usize, parent: usize, cidr: Cidr) {
        self.paint(parent, cidr, Flag::Free, Flag::Child(number));
        self.pools[number].ranges.push(Range::new(cidr));
    }

    /// Ranges that are cut from no other: they overlap none of the VRF, and respect what is reserved.
    fn add_roots(&mut self, number: usize, vrf: usize, add: &[Cidr]) -> Answer<()> {
        let roots = self
            .pools
            .iter()
            .filter(|pool| pool.exists && pool.vrf == vrf && pool.parent.is_none());
        let mut roots = roots.flat_map(|pool| pool.ranges.iter().map(|range| range.cidr));
        if roots.any(|range| add.iter().any(|cidr| cidr.overlaps(range))) {
            return Err(Code::Overlap);
        }
        for cidr in add {
            self.pools[number].ranges.push(Range::new(*cidr));
            for reserved in 0..self.reservations.len() {
                let other = &mut self.reservations[reserved];
                if !other.exists || other.vrf != vrf || !other.cidr.overlaps(*cidr) {
                    continue;
                }
                if other.cidr.contains(*cidr) {
                    return Err(Code::Overlap);
                }
                other.blocks.push((number, other.cidr));
                let part = other.cidr;
                self.paint(number, part, Flag::Free, Flag::Reservation(reserved));
            }
        }
        Ok(())
    }

    /// The time of all that cools down in a pool is over.
    pub(crate) fn time_passes(&mut self, pool: usize) {
        for cooling in self
            .cooling
            .iter_mut()
            .filter(|one| one.exists && one.pool == pool && !one.due)
        {
            cooling.due = true;
            cooling.released -= 1_000_000_000;
        }
    }

    pub(crate) fn end_cooldowns(&mut self) -> usize {
        let due = Self::living(&self.cooling, |cooling| cooling.exists && cooling.due);
        for number in &due {
            self.cooled(*number);
        }
        due.len()
    }
}
