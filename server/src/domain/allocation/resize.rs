//! Resize in place: every block of an allocation at once, or none.
//!
//! A block grows into the network that contains it, if all the rest of that network is free. One that shrinks keeps its
//! lower end. Nothing moves, so existing hosts keep their addresses.

use ipam_shared::{
    api::allocation::Allocation,
    cidr::{Cidr, prefix_length_for_hosts, usable_hosts},
};

use super::{describe, release::space_of};
use crate::{
    db::{
        Connection,
        allocation::{Held, WithSpace},
        block::overlapping,
        convert,
        ledger::{Holder, Ledger, NewBlock, NewCooldown},
    },
    domain::{
        Caller,
        quota::{Addresses, Allowance},
        space::free_space::FreeSpace,
    },
    error::{Error, Result},
    network::Place,
};

/// The new size, as it is asked for.
#[derive(Clone, Copy, Debug)]
pub(super) enum NewSize {
    /// By hosts of the first block.
    Hosts(u64),
    /// By prefix length of the allocation.
    PrefixLength(u8),
}

impl NewSize {
    /// The field of a request that says it.
    pub(super) fn field(self) -> &'static str {
        match self {
            Self::Hosts(_) => "hosts",
            Self::PrefixLength(_) => "prefix_length",
        }
    }

    /// The columns `requested_hosts` and `requested_prefix_length`.
    pub(super) fn requested(self) -> Result<(Option<i64>, Option<i16>)> {
        Ok(match self {
            Self::Hosts(hosts) => (Some(convert::hosts(hosts)?), None),
            Self::PrefixLength(length) => (None, Some(length.into())),
        })
    }
}

/// The result for all blocks.
#[derive(Debug)]
pub(super) struct Resized {
    /// The new size of the allocation.
    pub(super) prefix_length: u8,
    /// Each block, and the network that it becomes.
    pub(super) blocks: Vec<(Held, Cidr)>,
}

/// What the blocks have to become; nothing if they have that size already.
pub(super) fn plan(held: &WithSpace, size: NewSize) -> Result<Option<Resized>> {
    let blocks = held.blocks.iter().zip(&held.allocation.blocks);
    let (first, known) = blocks
        .clone()
        .next()
        .ok_or_else(|| Error::bug("an allocation without blocks"))?;
    let family = first.place.cidr.family();
    let is = i16::from(first.place.cidr.prefix_length());
    let (shortest, longest) = bounds(first);
    let wanted = match size {
        NewSize::Hosts(0) => return Err(Error::invalid("hosts must be at least 1")),
        NewSize::Hosts(hosts) => {
            match prefix_length_for_hosts(family, hosts, first.reserved_addresses) {
                Some(length) if length >= shortest => i16::from(length.min(longest)),
                _ => {
                    let most = usable_hosts(family, shortest, first.reserved_addresses);
                    return Err(Error::invalid(format!(
                        "{hosts} hosts are too many: \"{}\" grows at most to a /{shortest}, which holds {most}; split \
                         the hosts over several allocations",
                        known.role
                    )));
                }
            }
        }
        NewSize::PrefixLength(length) => i16::from(length) + first.size_offset,
    };
    if wanted == is {
        return Ok(None);
    }
    let prefix_length = u8::try_from(wanted - first.size_offset)
        .map_err(|_| Error::invalid(format!("/{wanted} is not a prefix length")))?;
    let blocks = blocks
        .enumerate()
        .map(|(position, (block, known))| {
            let cidr = block.place.cidr;
            // A member with one length keeps it.
            if position > 0 && block.bounds.0 == block.bounds.1 {
                return Ok((block.clone(), cidr));
            }
            let (shortest, longest) = bounds(block);
            let length = i16::from(cidr.prefix_length()) + wanted - is;
            let length = u8::try_from(length)
                .ok()
                .filter(|length| (shortest..=longest).contains(length))
                .ok_or_else(|| {
                    Error::invalid(format!(
                        "\"{}\" would become a /{length}, and can only be /{shortest} to /{longest}",
                        known.role
                    ))
                })?;
            let target = Cidr::containing(cidr.first(), length)
                .map_err(|error| Error::invalid(error.to_string()))?;
            Ok((block.clone(), target))
        })
        .collect::<Result<_>>()?;
    Ok(Some(Resized {
        prefix_length,
        blocks,
    }))
}

/// Shortest and longest prefix that apply to a block.
fn bounds(block: &Held) -> (u8, u8) {
    let ((shortest, longest), (pool_shortest, pool_longest)) = (block.bounds, block.pool_bounds);
    (shortest.max(pool_shortest), longest.min(pool_longest))
}

/// What keeps a block from growing.
#[derive(Debug)]
pub(super) enum Obstacle {
    /// A rule, in words.
    Rule {
        block: Cidr,
        target: Cidr,
        rule: String,
    },
    /// Something that holds a part of the target.
    Taken { block: Place, target: Cidr },
}

/// Checks the quotas of the caller's token: a pool whose blocks grow has to be within them, one whose blocks shrink is.
pub(super) async fn within_quotas(
    db: &mut Connection,
    caller: &Caller,
    resized: &Resized,
) -> Result<()> {
    let Some(token) = caller.rights.quotas() else {
        return Ok(());
    };
    let (mut before, mut after) = (Addresses::new(), Addresses::new());
    for (block, target) in &resized.blocks {
        *before.entry(block.pool).or_default() += block.place.cidr.addresses();
        *after.entry(block.pool).or_default() += target.addresses();
    }
    after.retain(|pool, addresses| {
        *addresses = addresses.saturating_sub(before.get(pool).copied().unwrap_or_default());
        *addresses > 0
    });
    if after.is_empty() {
        return Ok(());
    }
    let pools = after.keys().copied().collect();
    let mut allowance = Allowance::read(db, token, &pools).await?;
    allowance.take(&after).map_err(Error::QuotaExceeded)
}

/// Decides a new size on what was read of the space around the blocks.
pub(super) fn decide(held: &WithSpace, resized: &Resized) -> Result<Ledger, Obstacle> {
    let mut space = space_of(std::slice::from_ref(held));
    let mut ledger = Ledger::default();
    // What it gave up itself recently is no conflict, even if the pool no longer has a cooldown.
    for place in &held.cooling {
        if resized.blocks.iter().any(|(block, target)| {
            block.place.range == place.range
                && target.contains(place.cidr)
                && !block.place.cidr.contains(place.cidr)
        }) {
            ledger.ended.push(*place);
            space.give_back(*place);
        }
    }
    for ((block, target), known) in resized.blocks.iter().zip(&held.allocation.blocks) {
        let (cidr, range) = (block.place.cidr, block.place.range);
        ledger.ended.push(block.place);
        ledger.begun.push(NewBlock {
            place: Place {
                range,
                cidr: *target,
            },
            range_cidr: block.range_cidr,
            holder: Holder::Allocation {
                id: held.allocation.id,
                prefix_length: resized.prefix_length,
                member: block.member,
                size_offset: block.size_offset,
                bounds: block.bounds,
                // A block that does not change keeps its time.
                since: (cidr == *target).then_some(block.since),
            },
        });
        if target.contains(cidr) {
            grow(held, block, *target, &mut space)?;
            continue;
        }
        for half in between(*target, cidr) {
            let place = Place { range, cidr: half };
            if block.cooldown_seconds == 0 {
                space.give_back(place);
                continue;
            }
            ledger.cooling.push(NewCooldown {
                place,
                range_cidr: block.range_cidr,
                allocation: held.allocation.id,
                vpc: held.allocation.vpc.folded(),
                // Only the allocation itself can get it back, by growing.
                name: None,
                role: known.role.clone(),
                seconds: block.cooldown_seconds,
            });
        }
    }
    ledger.free = space.changes();
    Ok(ledger)
}

/// Takes the rest of the network that a block becomes, from the nearest half to the furthest.
fn grow(
    held: &WithSpace,
    block: &Held,
    target: Cidr,
    space: &mut FreeSpace,
) -> Result<(), Obstacle> {
    let cidr = block.place.cidr;
    let rule = |rule| Obstacle::Rule {
        block: cidr,
        target,
        rule,
    };
    let avoided = &held.allocation.exclude_cidrs;
    if let Some(other) = avoided.iter().find(|other| other.overlaps(target)) {
        return Err(rule(format!(
            "it was asked to keep away from {other} (exclude_cidrs)"
        )));
    }
    if !block.range_cidr.contains(target) {
        return Err(rule(format!(
            "its range {} of pool \"{}\" is not larger",
            block.range_cidr,
            pool_name(held, block)
        )));
    }
    let mut rest = between(cidr, target).into_iter();
    if rest.any(|half| space.take_exact(block.pool, half).is_none()) {
        return Err(Obstacle::Taken {
            block: block.place,
            target,
        });
    }
    Ok(())
}

impl Obstacle {
    /// The error, with the conflicts.
    pub(super) async fn explain(self, db: &mut Connection, allocation: &Allocation) -> Error {
        let (cidr, target, message, conflicts) = match self {
            Self::Rule {
                block,
                target,
                rule,
            } => (block, target, rule, Vec::new()),
            Self::Taken { block, target } => {
                let conflicts = match overlapping(db, block.range, target).await {
                    Ok(found) => found,
                    Err(error) => return error,
                };
                let others = conflicts
                    .into_iter()
                    .filter(|other| other.cidr != block.cidr);
                let conflicts: Vec<_> = others.collect();
                let Some(first) = conflicts.first() else {
                    return Error::bug(format!(
                        "the free list around {} is inconsistent; see ipam verify",
                        block.cidr
                    ));
                };
                let message = format!("{} {}", first.cidr, first.whose());
                (block.cidr, target, message, conflicts)
            }
        };
        Error::Overlap {
            message: format!(
                "{} can't grow in place from {cidr} to {target}: {message}; move what blocks it, or allocate the new \
                 size under another name, move over, and release this one",
                describe(allocation)
            ),
            conflicts,
        }
    }
}

/// The name of the pool of a block.
fn pool_name<'a>(held: &'a WithSpace, block: &Held) -> &'a str {
    let blocks = held.blocks.iter().zip(&held.allocation.blocks);
    let mut same = blocks.filter(|(one, _)| one.place == block.place);
    same.next().map_or("", |(_, known)| &known.pool)
}

/// What has to be added to `small` to make it `large`, which contains it: the other half at each size in between.
fn between(small: Cidr, large: Cidr) -> Vec<Cidr> {
    std::iter::successors(Some(small), |cidr| cidr.parent())
        .take_while(|cidr| *cidr != large)
        .filter_map(Cidr::buddy)
        .collect()
}
