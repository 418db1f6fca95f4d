//! Whether a pool has room, and if not, why not and what to do: the smallest change after which a block fits.
//!
//! Of all networks of the wanted size in the ranges of the pool, the one with the most free addresses needs the least to be
//! moved. Each free block that is too small lies in one such network, so adding them up finds it. Only the largest free
//! blocks are added up, which bounds the cost; while there are no more than that, the answer is exact.

pub mod free_space;

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
};

use ipam_shared::{
    api::{
        lookup::{Holder, HolderKind},
        pool::{Fix, Pool, PoolFree, Strategy},
    },
    cidr::Cidr,
    ids::PoolId,
};
use time::OffsetDateTime;

use super::Ipam;
use crate::{
    db::{Connection, free, lookup, pool, range, space},
    domain::space::free_space::FreeSpace,
    error::{Error, Result},
    network::{Place, Range},
    text::{addresses, moment},
};

/// How many pieces are examined when an explanation is requested.
const PIECES: i64 = 20_000;
/// How many are examined for a refusal, for which no explanation was requested.
pub(super) const PIECES_OF_REFUSAL: i64 = 2_000;
/// How many blocks are named in a sentence.
const NAMED: usize = 3;

impl Ipam {
    /// Whether a pool has room for a block of that length, or of its default length, and what to do if it does not.
    pub async fn free(&self, id: PoolId, prefix_length: Option<u8>) -> Result<PoolFree> {
        let mut transaction = self.begin_snapshot().await?;
        let pool = pool::get(&mut transaction, id)
            .await?
            .ok_or_else(|| Error::not_found(format!("there is no pool with the id {id}")))?;
        let (shortest, longest) = (pool.min_prefix_length, pool.max_prefix_length);
        let length = prefix_length
            .or(pool.default_prefix_length)
            .unwrap_or(longest);
        if !(shortest..=longest).contains(&length) {
            return Err(Error::invalid(format!(
                "pool \"{}\" gives blocks from /{shortest} to /{longest}, not a /{length}",
                pool.name
            )));
        }
        let free = explain(&mut transaction, id, length, PIECES).await?;
        transaction.rollback().await?;
        Ok(free)
    }
}

/// What is left in a pool, and what to do to get a block of `prefix_length`. Examines no more than `limit` free blocks, as
/// many that cool down, and as many that are in use.
pub(super) async fn explain(
    db: &mut Connection,
    id: PoolId,
    prefix_length: u8,
    limit: i64,
) -> Result<PoolFree> {
    let pool = pool::get(db, id)
        .await?
        .ok_or_else(|| Error::not_found(format!("there is no pool with the id {id}")))?;
    let ranges: Vec<Range> = range::of_pool(db, id)
        .await?
        .into_iter()
        .map(|stored| stored.range)
        .collect();
    let ids: Vec<_> = ranges.iter().map(|range| range.id).collect();
    let host_bits = pool.family.bits().saturating_sub(prefix_length);
    let fits = pool.fits(prefix_length);
    let cooling = space::cooling(db, &ids, limit).await?;
    let (mut next, mut fix) = (None, None);
    if fits > 0 {
        let space = front(db, &pool, &ranges, prefix_length).await?;
        next = space.next(id, prefix_length, pool.strategy);
    } else {
        let pieces = space::pieces(db, &ids, host_bits, limit).await?;
        fix = Some(match emptiest(&ranges, &pieces, &cooling, prefix_length) {
            Some((region, free)) => {
                let occupants = lookup::occupants(db, region, limit).await?;
                Fix {
                    region: Some(region.cidr),
                    used_addresses: region.cidr.addresses().saturating_sub(free),
                    blocks: occupants.first,
                    blocks_total: occupants.total,
                    free_at: occupants.free_at,
                    add_range_prefix_length: None,
                }
            }
            None => Fix {
                add_range_prefix_length: Some(prefix_length),
                ..Fix::default()
            },
        });
    }
    let free_addresses = pool.total_addresses.saturating_sub(pool.used_addresses);
    let advice = match &fix {
        None if fits == 1 => format!("one /{prefix_length} fits"),
        None => format!("{} blocks of /{prefix_length} fit", addresses(fits)),
        Some(fix) => advice(
            fix,
            &pool.name,
            pool.release_cooldown_seconds,
            OffsetDateTime::now_utc(),
        ),
    };
    Ok(PoolFree {
        pool: pool.name,
        pool_id: id,
        vrf: pool.vrf,
        ranges: pool.ranges,
        prefix_length,
        fits,
        largest_free_prefix_length: pool.largest_free_prefix_length,
        free_addresses,
        cooling_addresses: cooling
            .iter()
            .map(|place| place.cidr.addresses())
            .fold(0, u128::saturating_add),
        fits_if_defragmented: free_addresses
            .checked_shr(host_bits.into())
            .unwrap_or_default(),
        next,
        fix,
        advice,
    })
}

/// As much of a pool's free list as is needed to tell which block of `prefix_length`, or of a shorter one, would be handed
/// out next: the first of each size.
pub(crate) async fn front(
    db: &mut Connection,
    pool: &Pool,
    ranges: &[Range],
    prefix_length: u8,
) -> Result<FreeSpace> {
    let host_bits = pool.family.bits().saturating_sub(prefix_length);
    let wanted: Vec<_> = ranges.iter().map(|range| (range.id, host_bits)).collect();
    let highest = pool.strategy == Strategy::LastFit;
    let mut space = FreeSpace::new(ranges.iter().copied());
    free::by_address(db, &wanted, highest, &[], 1)
        .await?
        .into_iter()
        .for_each(|place| space.read(place));
    Ok(space)
}

/// The network of `length` in one of the ranges that has the most free addresses, and how many; among equals, the one of
/// which most cools down, then the lowest. None if no range is large enough.
fn emptiest(
    ranges: &[Range],
    pieces: &[Place],
    cooling: &[Place],
    length: u8,
) -> Option<(Place, u128)> {
    let region = |place: &Place| match place.cidr.ancestor(length) {
        Some(cidr) => cidr,
        // Larger than wanted: its first part will do.
        None => Cidr::from_number(place.cidr.family(), place.cidr.number(), length),
    };
    let wide: Vec<_> = ranges
        .iter()
        .filter(|range| range.cidr.prefix_length() <= length)
        .collect();
    let ids: BTreeSet<_> = wide.iter().map(|range| range.id).collect();
    let mut sums: BTreeMap<(Cidr, i32), (u128, u128)> = BTreeMap::new();
    for (places, is_free) in [(pieces, true), (cooling, false)] {
        for place in places.iter().filter(|place| ids.contains(&place.range)) {
            let cidr = region(place);
            let (free, cools) = sums.entry((cidr, place.range)).or_default();
            let sum = if is_free { free } else { cools };
            *sum = sum.saturating_add(place.cidr.addresses().min(cidr.addresses()));
        }
    }
    let best = sums
        .into_iter()
        .min_by_key(|((cidr, _), (free, cools))| (Reverse(*free), Reverse(*cools), *cidr));
    match best {
        Some(((cidr, range), (free, _))) => Some((Place { range, cidr }, free)),
        // Nothing is free or will be: any will do.
        None => wide
            .into_iter()
            .min_by_key(|range| range.cidr)
            .map(|range| {
                let cidr = Cidr::from_number(range.cidr.family(), range.cidr.number(), length);
                let place = Place {
                    range: range.id,
                    cidr,
                };
                (place, 0)
            }),
    }
}

/// What to do, in a sentence.
fn advice(fix: &Fix, pool: &str, cooldown: u32, now: OffsetDateTime) -> String {
    let Some(region) = fix.region else {
        let length = fix.add_range_prefix_length.unwrap_or_default();
        return format!(
            "no range of pool \"{pool}\" is that large: add a range of /{length} or larger"
        );
    };
    if let Some(free_at) = fix.free_at {
        return if free_at <= now {
            format!("try again in a moment: {region} has just cooled down")
        } else {
            format!("wait until {}: then {region} is free", moment(free_at))
        };
    }
    let mut steps: Vec<String> = Vec::new();
    let mut others = fix.blocks_total;
    for (kind, what) in [
        (HolderKind::Allocation, "release or move "),
        (HolderKind::Reservation, "delete the reservation "),
        (HolderKind::ChildPool, "take the range from "),
        (HolderKind::Other, "put back into circulation "),
        (HolderKind::Cooldown, "wait for "),
    ] {
        let of_kind = fix.blocks.iter().filter(|holder| holder.kind == kind);
        let named: Vec<_> = of_kind.take(NAMED).map(named).collect();
        if !named.is_empty() {
            others = others.saturating_sub(named.len() as u64);
            steps.push(format!("{what}{}", named.join(", ")));
        }
    }
    if others > 0 {
        steps.push(format!("deal with {others} more in {region}"));
    }
    let after = if cooldown > 0
        && fix
            .blocks
            .iter()
            .any(|holder| holder.kind == HolderKind::Allocation)
    {
        format!(", after the pool's cooldown of {cooldown} seconds,")
    } else {
        String::new()
    };
    format!(
        "{}: then{after} {region} is free; or add a range of /{} or larger to pool \"{pool}\"",
        steps.join("; "),
        region.prefix_length()
    )
}

/// A block that is in use, for people.
fn named(holder: &Holder) -> String {
    let owner = match holder.kind {
        HolderKind::Allocation if holder.name.is_none() => {
            format!("an allocation of {}", holder.owner())
        }
        HolderKind::Reservation => format!("\"{}\"", holder.owner()),
        _ => holder.owner(),
    };
    match holder.until {
        Some(until) => format!("{owner} ({}, until {})", holder.cidr, moment(until)),
        None => format!("{owner} ({})", holder.cidr),
    }
}
