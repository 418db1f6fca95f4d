//! Resize in place: every block of an allocation at once, or none.
//!
//! A block grows into the network that contains it, if all the rest of that network is free. One that shrinks keeps its
//! lower end. Nothing moves, so hosts that are there keep their addresses.

use ipam_shared::{
    api::allocation::Allocation,
    cidr::{Cidr, prefix_length_for_hosts, usable_hosts},
};

use super::{super::batch::lower, describe};
use crate::{
    db::{
        Connection,
        block::{Held, overlapping},
        cooldown, free,
    },
    domain::space::{free_list::read_around, free_space::FreeSpace},
    error::{Error, Result},
    network::{Place, Range},
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
    /// The columns `requested_hosts` and `requested_prefix_length`.
    pub(super) fn requested(self) -> (Option<i64>, Option<i16>) {
        match self {
            Self::Hosts(hosts) => (i64::try_from(hosts).ok(), None),
            Self::PrefixLength(length) => (None, Some(length.into())),
        }
    }
}

/// What blocks become.
#[derive(Debug)]
pub(super) struct Resized {
    /// The new size of the allocation.
    pub(super) prefix_length: u8,
    /// Each block, and the network that it becomes.
    pub(super) blocks: Vec<(Held, Cidr)>,
}

/// What the blocks have to become; nothing if they have that size already.
pub(super) fn plan(held: Vec<Held>, size: NewSize) -> Result<Option<Resized>> {
    let first = held
        .first()
        .ok_or_else(|| Error::bug("an allocation without blocks"))?;
    let family = first.place.cidr.family();
    let is = i16::from(first.place.cidr.prefix_length());
    let (shortest, longest) = bounds(first);
    let wanted = match size {
        NewSize::Hosts(0) => return Err(Error::Invalid("hosts must be at least 1".to_owned())),
        NewSize::Hosts(hosts) => {
            match prefix_length_for_hosts(family, hosts, first.reserved_addresses) {
                Some(length) if length >= shortest => i16::from(length.min(longest)),
                _ => {
                    let most = usable_hosts(family, shortest, first.reserved_addresses);
                    return Err(Error::Invalid(format!(
                        "{hosts} hosts are too many: \"{}\" grows at most to a /{shortest}, which holds {most}; split \
                         the hosts over several allocations",
                        first.role
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
        .map_err(|_| Error::Invalid(format!("/{wanted} is not a prefix length")))?;
    let blocks = held
        .into_iter()
        .enumerate()
        .map(|(position, block)| {
            let cidr = block.place.cidr;
            // A member with one length keeps it.
            if position > 0 && block.min_prefix_length == block.max_prefix_length {
                return Ok((block, cidr));
            }
            let (shortest, longest) = bounds(&block);
            let length = i16::from(cidr.prefix_length()) + wanted - is;
            let length = u8::try_from(length)
                .ok()
                .filter(|length| (shortest..=longest).contains(length))
                .ok_or_else(|| {
                    Error::Invalid(format!(
                        "\"{}\" would become a /{length}, and can only be /{shortest} to /{longest}",
                        block.role
                    ))
                })?;
            let target = Cidr::containing(cidr.first(), length)
                .map_err(|error| Error::Invalid(error.to_string()))?;
            Ok((block, target))
        })
        .collect::<Result<_>>()?;
    Ok(Some(Resized {
        prefix_length,
        blocks,
    }))
}

/// Shortest and longest prefix that apply to a block.
fn bounds(block: &Held) -> (u8, u8) {
    (
        block.min_prefix_length.max(block.pool_min_prefix_length),
        block.max_prefix_length.min(block.pool_max_prefix_length),
    )
}

/// Takes and gives back the space between the old blocks and the new, under the lock of their pools, or says who is in the
/// way. The blocks themselves are still to be written.
pub(super) async fn apply(
    db: &mut Connection,
    allocation: &Allocation,
    resized: &Resized,
    ranges: Vec<Range>,
) -> Result<Vec<cooldown::Start>> {
    let mut space = FreeSpace::new(ranges);
    // Also if the pool has no cooldown any more.
    let cooling = cooldown::of_allocation(db, allocation.id).await?;
    // What it gave up itself a short while ago is in nobody else's way.
    let own: Vec<Place> = cooling
        .into_iter()
        .filter(|place| {
            resized.blocks.iter().any(|(block, target)| {
                block.place.range == place.range
                    && target.contains(place.cidr)
                    && !block.place.cidr.contains(place.cidr)
            })
        })
        .collect();
    let edges = resized.blocks.iter().map(|(block, target)| Place {
        range: block.place.range,
        // The smaller of the two, from which the way up leads past all that changes.
        cidr: if target.contains(block.place.cidr) {
            block.place.cidr
        } else {
            *target
        },
    });
    let known: Vec<_> = edges.chain(own.iter().copied()).collect();
    read_around(db, &mut space, &known).await?;
    if !own.is_empty() {
        cooldown::end(db, &own).await?;
        own.into_iter().for_each(|place| space.give_back(place));
    }

    let mut given_up = Vec::new();
    let mut conflicts = Vec::new();
    let mut message = String::new();
    for (block, target) in &resized.blocks {
        let (cidr, range) = (block.place.cidr, block.place.range);
        if target.contains(cidr) {
            if !block.range_cidr.contains(*target) {
                message = format!(
                    "its range {} of pool \"{}\" is not larger",
                    block.range_cidr, block.pool_name
                );
            }
            if let Some(other) = allocation
                .exclude_cidrs
                .iter()
                .find(|other| other.overlaps(*target))
            {
                message = format!("it was asked to keep away from {other} (exclude_cidrs)");
            }
            // The rest of the target, from the nearest half to the furthest.
            let rest = between(cidr, *target);
            if message.is_empty()
                && rest
                    .iter()
                    .any(|half| space.take_exact(block.pool, *half).is_none())
            {
                let found = overlapping(db, range, *target).await?;
                conflicts.extend(found.into_iter().filter(|other| other.cidr != cidr));
                message = match conflicts.first() {
                    Some(first) => format!("{} {}", first.cidr, first.whose()),
                    None => {
                        return Err(Error::bug(format!(
                            "around {cidr} the free list does not fit; see ipam verify"
                        )));
                    }
                };
            }
            if !message.is_empty() {
                return Err(Error::Overlap {
                    message: format!(
                        "{} can't grow in place from {cidr} to {target}: {message}; move what is in the way, or \
                         allocate the new size under another name, move over, and release this one",
                        describe(allocation)
                    ),
                    conflicts,
                });
            }
            continue;
        }
        for half in between(*target, cidr) {
            let place = Place { range, cidr: half };
            if block.cooldown_seconds == 0 {
                space.give_back(place);
                continue;
            }
            given_up.push(cooldown::Start {
                place,
                range_cidr: block.range_cidr,
                allocation: allocation.id,
                vpc: lower(allocation.vpc.as_str()),
                // Only the allocation itself gets it back, by growing.
                name: None,
                role: block.role.clone(),
                seconds: block.cooldown_seconds,
            });
        }
    }
    free::update(db, &space.changes()).await?;
    Ok(given_up)
}

/// What has to be added to `small` to make it `large`, which contains it: the other halves on the way up.
fn between(small: Cidr, large: Cidr) -> Vec<Cidr> {
    std::iter::successors(Some(small), |cidr| cidr.parent())
        .take_while(|cidr| *cidr != large)
        .filter_map(Cidr::buddy)
        .collect()
}
