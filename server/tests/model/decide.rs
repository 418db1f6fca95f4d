//! What each request for space must get, or why it must be refused.

use std::collections::HashMap;

use ipam_shared::{
    api::allocation::{NewAllocation, Recipe, Size},
    cidr::{Cidr, Family},
    error::Code,
    ids::AllocationId,
};

use crate::model::{Allocation, Answer, Block, Flag, Member, Model, PROFILES, Pool, VRFS};

/// What a request gets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Got {
    pub(crate) created: bool,
    /// Number of the allocation.
    pub(crate) number: usize,
    pub(crate) prefix_length: u8,
    /// Role, network, pool, VRF.
    pub(crate) blocks: Vec<(String, Cidr, String, String)>,
}

/// A request whose turn may come several times.
#[derive(Clone)]
struct Turn<'a> {
    new: &'a NewAllocation,
    /// Pools that had no room for it.
    tried: Vec<usize>,
}

enum Decision {
    Done(Answer<Got>),
    /// This pool has no room, and others may.
    Later(usize),
}

/// Pools with a length for each.
#[derive(Clone)]
struct Candidate {
    prefix_length: u8,
    sources: Vec<(Option<Member>, usize, u8)>,
}

/// A size change, in the words of the API.
#[derive(Clone, Copy, Debug)]
pub(crate) enum NewSize {
    Hosts(u64),
    Length(u8),
}

/// The longest prefix that holds so many hosts.
fn length_for(family: Family, hosts: u64, reserved: u32) -> Option<u8> {
    (0..=family.bits()).rev().find(|length| {
        let size = 1_u128.checked_shl((family.bits() - length).into());
        size.is_none_or(|size| size >= u128::from(hosts) + u128::from(reserved))
    })
}

fn bounds(member: Option<&Member>, pool: &Pool) -> (u8, u8) {
    match member {
        None => (pool.shortest, pool.longest),
        Some(member) => (
            member.shortest.max(pool.shortest),
            member.longest.min(pool.longest),
        ),
    }
}

fn offset(member: Option<&Member>) -> i16 {
    member.map_or(0, |member| member.offset.into())
}

impl Model {
    /// One by one, each for itself.
    pub(crate) fn each(&mut self, requests: &[NewAllocation]) -> Vec<Answer<Got>> {
        let mut open: Vec<_> = requests
            .iter()
            .map(|new| Turn {
                new,
                tried: Vec::new(),
            })
            .enumerate()
            .collect();
        let mut answers: Vec<Option<Answer<Got>>> = vec![None; requests.len()];
        while !open.is_empty() {
            let decisions = self.round(open.iter().map(|(_, turn)| turn));
            let mut later = Vec::new();
            for ((place, mut turn), decision) in open.into_iter().zip(decisions) {
                match decision {
                    Decision::Done(answer) => answers[place] = Some(answer),
                    Decision::Later(pool) => {
                        turn.tried.push(pool);
                        later.push((place, turn));
                    }
                }
            }
            open = later;
        }
        answers
            .into_iter()
            .map(|answer| answer.expect("decided"))
            .collect()
    }

    /// All together; nothing stays if it is only asked, or, in earnest, if one is refused.
    pub(crate) fn together(&mut self, requests: &[NewAllocation], dry: bool) -> Vec<Answer<Got>> {
        let mut turns: Vec<_> = requests
            .iter()
            .map(|new| Turn {
                new,
                tried: Vec::new(),
            })
            .collect();
        loop {
            let mut after = self.clone();
            let decisions = after.round(turns.iter());
            let mut answers = Vec::new();
            let mut is_later = false;
            for (turn, decision) in turns.iter_mut().zip(decisions) {
                match decision {
                    Decision::Done(answer) => answers.push(answer),
                    Decision::Later(pool) => {
                        turn.tried.push(pool);
                        is_later = true;
                    }
                }
            }
            if is_later {
                continue;
            }
            if !dry && answers.iter().all(Result::is_ok) {
                *self = after;
            }
            return answers;
        }
    }

    fn round<'a>(&mut self, turns: impl Iterator<Item = &'a Turn<'a>>) -> Vec<Decision> {
        let before = self.clone();
        let mut new_vpcs = HashMap::new();
        turns
            .map(|turn| match self.decide(&before, turn, &mut new_vpcs) {
                Ok(decision) => decision,
                Err(code) => Decision::Done(Err(code)),
            })
            .collect()
    }

    /// One request, where others were decided since `before`.
    fn decide(
        &mut self,
        before: &Self,
        turn: &Turn<'_>,
        new_vpcs: &mut HashMap<String, usize>,
    ) -> Answer<Decision> {
        let new = turn.new;
        let size = new.size().map_err(|_| Code::InvalidRequest)?;
        let vpc = new.vpc.as_str().to_lowercase();
        let name = new.name.as_ref().map(|name| name.as_str());
        let owner = before.vpcs.get(&vpc).copied();
        let asked = new.vrf.as_ref().map(|vrf| vrf_number(vrf.as_str()));
        let vrf = asked.or(owner).unwrap_or(0);
        if let (Some(_), Some(name)) = (owner, name)
            && let Some(number) = self.named(&vpc, name)
        {
            if !same(&self.allocations[number].asked, new) {
                return Err(Code::NameTaken);
            }
            self.allocations[number].protected = new.deletion_protection;
            return Ok(Decision::Done(Ok(self.got(number, false))));
        }
        let mut candidates = self.candidates(new, size, vrf)?;
        if owner.is_some_and(|owner| owner != vrf) {
            return Err(Code::InvalidRequest);
        }
        let cooling = self.cooling_for(&vpc, name);
        let is_choice = candidates.len() > 1;
        if is_choice {
            let has_room = |candidate: &Candidate| {
                let (_, pool, length) = candidate.sources[0];
                before.pools[pool]
                    .largest_free()
                    .is_some_and(|free| free <= length)
            };
            candidates.retain(|candidate| !turn.tried.contains(&candidate.sources[0].1));
            // What the same name had until a short while ago comes first.
            let first = candidates
                .iter()
                .position(|candidate| self.back(new, candidate, &cooling).is_some())
                .or_else(|| candidates.iter().position(has_room));
            match first {
                Some(first) => candidates = vec![candidates.swap_remove(first)],
                None => return Err(Code::PoolExhausted),
            }
        }
        let home = match owner {
            Some(owner) => owner,
            None => *new_vpcs.entry(vpc.clone()).or_insert(vrf),
        };
        if home != vrf {
            return Err(Code::InvalidRequest);
        }
        let candidate = candidates.pop().expect("one is left");
        let number = self.allocations.len();
        let owned = Flag::Allocation(number);
        let blocks = if let Some(back) = self.back(new, &candidate, &cooling) {
            for (cooling, block) in &back {
                self.cooling[*cooling].exists = false;
                self.paint(block.pool, block.cidr, Flag::Cooling(*cooling), owned);
            }
            back.into_iter().map(|(_, block)| block).collect()
        } else {
            let mut blocks: Vec<Block> = Vec::new();
            for (position, (member, pool, length)) in candidate.sources.into_iter().enumerate() {
                match self.take(new, position, pool, length) {
                    Ok(cidr) => {
                        self.paint(pool, cidr, Flag::Free, owned);
                        blocks.push(Block { pool, cidr, member });
                    }
                    Err(code) => {
                        for block in blocks {
                            self.paint(block.pool, block.cidr, owned, Flag::Free);
                        }
                        if code == Code::PoolExhausted && is_choice {
                            return Ok(Decision::Later(pool));
                        }
                        return Err(code);
                    }
                }
            }
            blocks
        };
        self.vpcs.entry(vpc.clone()).or_insert(vrf);
        self.allocations.push(Allocation {
            id: AllocationId(uuid::Uuid::nil()),
            exists: true,
            vpc,
            name: name.map(str::to_owned),
            prefix_length: candidate.prefix_length,
            blocks,
            protected: new.deletion_protection,
            asked: new.clone(),
        });
        Ok(Decision::Done(Ok(self.got(number, true))))
    }

    fn take(&self, new: &NewAllocation, position: usize, pool: usize, length: u8) -> Answer<Cidr> {
        let avoid = &new.exclude_cidrs;
        if let (Some(cidr), 0) = (new.cidr, position) {
            if avoid.iter().any(|other| other.overlaps(cidr))
                || self.pools[pool].range_of(cidr).is_none()
            {
                return Err(Code::InvalidRequest);
            }
            return if self.is_free(pool, cidr) {
                Ok(cidr)
            } else {
                Err(Code::Overlap)
            };
        }
        self.pools[pool]
            .choose(length, avoid)
            .ok_or(Code::PoolExhausted)
    }

    /// What the same name had, if that is what is asked for.
    fn back(
        &self,
        new: &NewAllocation,
        candidate: &Candidate,
        cooling: &[usize],
    ) -> Option<Vec<(usize, Block)>> {
        if cooling.len() != candidate.sources.len() {
            return None;
        }
        let mut found = Vec::new();
        for (member, pool, length) in &candidate.sources {
            let role = member.as_ref().map_or("main", |member| member.role);
            let number = *cooling
                .iter()
                .find(|number| self.cooling[**number].role == role)?;
            let cooling = &self.cooling[number];
            let away = new
                .exclude_cidrs
                .iter()
                .all(|other| !other.overlaps(cooling.cidr));
            if cooling.pool != *pool || cooling.cidr.prefix_length() != *length || !away {
                return None;
            }
            let block = Block {
                pool: *pool,
                cidr: cooling.cidr,
                member: member.clone(),
            };
            found.push((number, block));
        }
        let first = found.first()?.1.cidr;
        new.cidr.is_none_or(|cidr| cidr == first).then_some(found)
    }

    /// What suits a request by the rules, whatever is free.
    fn candidates(&self, new: &NewAllocation, size: Size, vrf: usize) -> Answer<Vec<Candidate>> {
        let recipe = new.recipe().map_err(|_| Code::InvalidRequest)?;
        let mut options: Vec<Vec<(Option<Member>, usize)>> = match &recipe {
            Recipe::Profile(name) => {
                let profile = PROFILES
                    .iter()
                    .position(|profile| *profile == name.as_str());
                let members = &self.profiles[profile.ok_or(Code::NotFound)?];
                let sources = members.iter().map(|member| {
                    let pool = self.pool_named(vrf, member.pool).ok_or(Code::NotFound)?;
                    Ok((Some(member.clone()), pool))
                });
                vec![sources.collect::<Answer<_>>()?]
            }
            Recipe::Pools(names) => {
                let mut pools = Vec::new();
                for name in names {
                    let pool = match name.parse() {
                        Ok(id) => self
                            .pools
                            .iter()
                            .position(|pool| pool.exists && pool.id == id),
                        Err(_) => self.pool_named(vrf, name),
                    };
                    let pool = pool.ok_or(Code::NotFound)?;
                    if ![vrf, 0].contains(&self.pools[pool].vrf) {
                        return Err(Code::InvalidRequest);
                    }
                    if !pools.contains(&pool) {
                        pools.push(pool);
                    }
                }
                pools.into_iter().map(|pool| vec![(None, pool)]).collect()
            }
            Recipe::Selector(labels) => {
                let tier = labels.get("tier").expect("the only label");
                let mut pools = Self::living(&self.pools, |pool| {
                    pool.exists && [vrf, 0].contains(&pool.vrf) && pool.tier.to_string() == tier
                });
                pools.sort_by_key(|pool| (self.pools[*pool].vrf != vrf, self.pools[*pool].name));
                if pools.is_empty() {
                    return Err(Code::NotFound);
                }
                pools.into_iter().map(|pool| vec![(None, pool)]).collect()
            }
        };
        if let (Some(cidr), Recipe::Pools(_) | Recipe::Selector(_)) = (new.cidr, &recipe) {
            // The innermost; the first that was named, if two VRFs have it.
            let around = options
                .into_iter()
                .enumerate()
                .filter_map(|(place, option)| {
                    let pool = option[0].1;
                    let range = self.pools[pool].range_of(cidr)?;
                    let key = (
                        range.cidr.prefix_length(),
                        self.depth(pool),
                        std::cmp::Reverse(place),
                    );
                    Some((key, option))
                });
            let innermost = around.max_by_key(|(key, _)| *key);
            options = vec![innermost.ok_or(Code::InvalidRequest)?.1];
        }
        let suitable: Vec<_> = options
            .into_iter()
            .filter_map(|sources| self.sized(new, size, sources))
            .collect();
        if suitable.is_empty() {
            return Err(Code::InvalidRequest);
        }
        Ok(suitable)
    }

    fn sized(
        &self,
        new: &NewAllocation,
        size: Size,
        sources: Vec<(Option<Member>, usize)>,
    ) -> Option<Candidate> {
        let (member, pool) = &sources[0];
        let (member, pool) = (member.as_ref(), &self.pools[*pool]);
        let (shortest, longest) = bounds(member, pool);
        let block: i16 = match size {
            Size::Hosts(0) => return None,
            Size::Hosts(hosts) => {
                let length = length_for(pool.family, hosts, pool.reserved)?;
                if length < shortest {
                    return None;
                }
                length.min(longest).into()
            }
            Size::PrefixLength(length) => i16::from(length) + offset(member),
            Size::Cidr(cidr) if cidr.family() != pool.family => return None,
            Size::Cidr(cidr) => cidr.prefix_length().into(),
            Size::Default => pool.usual?.into(),
        };
        let allocation = block - offset(member);
        let prefix_length = u8::try_from(allocation).ok()?;
        let mut sized = Vec::new();
        for (position, (member, number)) in sources.into_iter().enumerate() {
            let pool = &self.pools[number];
            if pool.labelled_only && new.labels.get("cost").is_none() {
                return None;
            }
            let (shortest, longest) = bounds(member.as_ref(), pool);
            let length = match &member {
                Some(member) if position > 0 && member.shortest == member.longest => {
                    member.shortest.into()
                }
                _ => allocation + offset(member.as_ref()),
            };
            let length = u8::try_from(length).ok()?;
            if !(shortest..=longest).contains(&length) {
                return None;
            }
            sized.push((member, number, length));
        }
        Some(Candidate {
            prefix_length,
            sources: sized,
        })
    }

    /// The allocation of that name.
    fn named(&self, vpc: &str, name: &str) -> Option<usize> {
        self.allocations.iter().position(|other| {
            other.exists && other.vpc == vpc && other.name.as_deref() == Some(name)
        })
    }

    /// As the API shows it.
    pub(crate) fn got(&self, number: usize, created: bool) -> Got {
        let allocation = &self.allocations[number];
        let blocks = allocation.blocks.iter().map(|block| {
            let pool = &self.pools[block.pool];
            let vrf = VRFS[pool.vrf].to_owned();
            (
                block.role().to_owned(),
                block.cidr,
                pool.name.to_owned(),
                vrf,
            )
        });
        Got {
            created,
            number,
            prefix_length: allocation.prefix_length,
            blocks: blocks.collect(),
        }
    }

    /// A change of an allocation in place.
    pub(crate) fn change(
        &mut self,
        number: usize,
        vpc: Option<&str>,
        name: Option<&str>,
        size: Option<NewSize>,
        protected: Option<bool>,
    ) -> Answer<Got> {
        let from = self.allocations[number].vpc.clone();
        let target = vpc.map(str::to_lowercase);
        if let Some(target) = &target {
            // It is made in `default`.
            let home = self.vpcs.get(target).copied().unwrap_or(0);
            if home != self.vpcs[&from] {
                return Err(Code::InvalidRequest);
            }
        }
        if let Some(size) = size {
            self.resize(number, size)?;
        }
        let in_vpc = target.clone().unwrap_or(from);
        let named = name
            .or(self.allocations[number].name.as_deref())
            .map(str::to_owned);
        if let Some(named) = &named
            && self
                .named(&in_vpc, named)
                .is_some_and(|other| other != number)
        {
            return Err(Code::NameTaken);
        }
        if let Some(target) = target {
            let home = self.vpcs[&self.allocations[number].vpc];
            self.vpcs.entry(target).or_insert(home);
        }
        let allocation = &mut self.allocations[number];
        allocation.vpc = in_vpc;
        allocation.name = named;
        allocation.protected = protected.unwrap_or(allocation.protected);
        Ok(self.got(number, false))
    }

    /// Every block grows or shrinks by as many bits as the first, or none does.
    fn resize(&mut self, number: usize, size: NewSize) -> Answer<()> {
        let blocks = self.allocations[number].blocks.clone();
        let first = &blocks[0];
        let pool = &self.pools[first.pool];
        let (shortest, longest) = bounds(first.member.as_ref(), pool);
        let is = i16::from(first.cidr.prefix_length());
        let wanted: i16 = match size {
            NewSize::Hosts(0) => return Err(Code::InvalidRequest),
            NewSize::Hosts(hosts) => {
                let length = length_for(pool.family, hosts, pool.reserved);
                let length = length.filter(|length| *length >= shortest);
                length.ok_or(Code::InvalidRequest)?.min(longest).into()
            }
            NewSize::Length(length) => i16::from(length) + offset(first.member.as_ref()),
        };
        let asked = &mut self.allocations[number].asked;
        (asked.cidr, asked.hosts, asked.prefix_length) = match size {
            NewSize::Hosts(hosts) => (None, Some(hosts), None),
            NewSize::Length(length) => (None, None, Some(length)),
        };
        if wanted == is {
            return Ok(());
        }
        let prefix_length = wanted - offset(first.member.as_ref());
        self.allocations[number].prefix_length =
            u8::try_from(prefix_length).map_err(|_| Code::InvalidRequest)?;
        let mut targets = Vec::new();
        for (position, block) in blocks.iter().enumerate() {
            let fixed = block
                .member
                .as_ref()
                .is_some_and(|member| member.shortest == member.longest);
            if position > 0 && fixed {
                targets.push(block.cidr);
                continue;
            }
            let (shortest, longest) = bounds(block.member.as_ref(), &self.pools[block.pool]);
            let length = i16::from(block.cidr.prefix_length()) + wanted - is;
            let length = u8::try_from(length).ok();
            let length = length.filter(|length| (shortest..=longest).contains(length));
            let length = length.ok_or(Code::InvalidRequest)?;
            targets.push(Cidr::containing(block.cidr.first(), length).expect("a prefix length"));
        }
        for (position, (block, target)) in blocks.iter().zip(targets).enumerate() {
            self.resize_block(number, block, target)?;
            self.allocations[number].blocks[position].cidr = target;
        }
        Ok(())
    }

    fn resize_block(&mut self, number: usize, block: &Block, target: Cidr) -> Answer<()> {
        let (pool, cidr) = (block.pool, block.cidr);
        let owned = Flag::Allocation(number);
        // What changes, from the nearest half to the furthest.
        let (small, large) = if target.contains(cidr) {
            (cidr, target)
        } else {
            (target, cidr)
        };
        let halves = std::iter::successors(Some(small), |cidr| cidr.parent())
            .take_while(|cidr| *cidr != large)
            .filter_map(Cidr::buddy);
        if cidr.contains(target) {
            for half in halves {
                self.end_block(number, pool, half, block.role(), false);
            }
            return Ok(());
        }
        let excluded = &self.allocations[number].asked.exclude_cidrs;
        if self.pools[pool].range_of(target).is_none()
            || excluded.iter().any(|other| other.overlaps(target))
        {
            return Err(Code::Overlap);
        }
        // What it gave up itself a short while ago is its own.
        for own in Self::living(&self.cooling, |cooling| {
            cooling.exists
                && cooling.allocation == number
                && cooling.pool == pool
                && target.contains(cooling.cidr)
        }) {
            self.cooled(own);
        }
        for half in halves {
            if !self.is_free(pool, half) {
                return Err(Code::Overlap);
            }
            self.paint(pool, half, Flag::Free, owned);
        }
        Ok(())
    }
}

pub(crate) fn vrf_number(name: &str) -> usize {
    VRFS.iter()
        .position(|vrf| *vrf == name)
        .expect("one of the VRFs")
}

/// Whether a request asks for what another asked for.
fn same(one: &NewAllocation, other: &NewAllocation) -> bool {
    let size = |new: &NewAllocation| (new.hosts, new.prefix_length, new.cidr);
    size(one) == size(other)
        && one.recipe() == other.recipe()
        && one.exclude_cidrs == other.exclude_cidrs
}
