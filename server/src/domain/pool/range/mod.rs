//! Ranges of pools: added and removed. Under the locks of the VRF and of the pools; knows nothing else of pools.
//!
//! The ranges of a pool without a parent overlap no other such range of the VRF. Those of a child pool are cut from its
//! parent's, in `child_ranges`.

mod child_ranges;

use ipam_shared::{
    api::pool::{MAX_RANGES, Pool, Strategy},
    cidr::{Cidr, Family},
    ids::{PoolId, VrfId},
};

use crate::{
    db::{
        Connection, block,
        ledger::{self, Holder, Ledger, NewBlock},
        pool,
        range::{self, Stored},
    },
    domain::space::free_space::FreeSpace,
    error::{Conflict, Error, Result},
    network::{Place, Range},
};

/// Shortest prefix of an IPv6 range: the key of the constraint on blocks uses the rest of the address.
const SHORTEST_IPV6: u8 = 32;

/// The pool whose ranges change; its row is locked.
pub(in crate::domain) struct Owner<'a> {
    pub(in crate::domain) id: PoolId,
    pub(in crate::domain) name: &'a str,
    pub(in crate::domain) vrf: VrfId,
    pub(in crate::domain) vrf_name: &'a str,
    pub(in crate::domain) family: Family,
    /// Longest prefix, that is the smallest block, that it gives.
    pub(in crate::domain) max_prefix_length: u8,
    pub(in crate::domain) parent: Option<Parent>,
}

/// The pool that ranges are cut from; its row is locked too.
pub(in crate::domain) struct Parent {
    pub(in crate::domain) id: PoolId,
    pub(in crate::domain) name: String,
    pub(in crate::domain) strategy: Strategy,
    pub(in crate::domain) ranges: Vec<Range>,
}

/// What changes.
#[derive(Default)]
pub(in crate::domain) struct RangeChange<'a> {
    /// Ranges to remove.
    pub(in crate::domain) remove: &'a [Stored],
    /// Ranges to add.
    pub(in crate::domain) add: &'a [Cidr],
    /// Prefix lengths of ranges to cut from the parent wherever it has room.
    pub(in crate::domain) cut: &'a [u8],
    /// The field of the request that says so.
    pub(in crate::domain) cut_field: &'static str,
    /// How many ranges stay.
    pub(in crate::domain) kept: usize,
}

/// Changes the ranges of a pool; returns the new ones.
pub(in crate::domain) async fn change(
    db: &mut Connection,
    owner: &Owner<'_>,
    change: RangeChange<'_>,
) -> Result<Vec<Cidr>> {
    check(owner, &change)?;
    let gone: Vec<_> = change.remove.iter().map(|stored| stored.range.id).collect();
    if !gone.is_empty() {
        range::delete_cooled(db, &gone).await?;
        check_empty(db, owner.name, change.remove).await?;
    }
    match &owner.parent {
        None => {
            if !gone.is_empty() {
                range::delete(db, &gone).await?;
            }
            add_roots(db, owner, change.add).await
        }
        Some(parent) => child_ranges::change(db, owner, parent, &change).await,
    }
}

/// Rules that do not depend on what is stored.
pub(in crate::domain) fn check(owner: &Owner<'_>, change: &RangeChange<'_>) -> Result<()> {
    let count = change.kept + change.add.len() + change.cut.len();
    if count > MAX_RANGES {
        return Err(Error::invalid(format!(
            "a pool has at most {MAX_RANGES} ranges, these would be {count}"
        ))
        .about("ranges"));
    }
    if owner.parent.is_none() && !change.cut.is_empty() {
        return Err(Error::invalid(format!(
            "pool \"{}\" has no parent to cut ranges from by prefix length; give its ranges as CIDRs",
            owner.name
        )).about(change.cut_field));
    }
    let lengths = change.cut.iter().map(|length| (*length, None));
    let cidrs = change
        .add
        .iter()
        .map(|cidr| (cidr.prefix_length(), Some(*cidr)));
    for (length, cidr) in lengths.chain(cidrs) {
        let field = cidr.map_or(change.cut_field, |_| "ranges");
        check_length(owner, length, cidr).map_err(|error| error.about(field))?;
    }
    let mut sorted = change.add.to_vec();
    sorted.sort_unstable();
    // Networks only nest, and in address order one comes directly before the first that lies inside it.
    for pair in sorted.windows(2) {
        if let [one, other] = pair
            && one.overlaps(*other)
        {
            return Err(Error::invalid(format!(
                "the ranges {one} and {other} overlap; name each network once"
            ))
            .about("ranges"));
        }
    }
    Ok(())
}

fn check_length(owner: &Owner<'_>, length: u8, cidr: Option<Cidr>) -> Result<()> {
    check_range(
        (owner.name, owner.family, owner.max_prefix_length),
        length,
        cidr,
    )
}

/// Whether a pool, by its name, family and the prefix length of its smallest block, can have such a range.
pub(in crate::domain) fn check_range(
    (pool, family, longest): (&str, Family, u8),
    length: u8,
    cidr: Option<Cidr>,
) -> Result<()> {
    let what = cidr.map_or_else(|| format!("a range of /{length}"), |cidr| cidr.to_string());
    let word = match family {
        Family::Ipv4 => "IPv4",
        Family::Ipv6 => "IPv6",
    };
    if cidr.is_some_and(|cidr| cidr.family() != family) || length > family.bits() {
        return Err(Error::invalid(format!(
            "{what} is not {word}, which is what pool \"{}\" has; a pool has one address family",
            pool
        )));
    }
    if family == Family::Ipv6 && length < SHORTEST_IPV6 {
        return Err(Error::invalid(format!(
            "{what} is too large: an IPv6 range is a /{SHORTEST_IPV6} or smaller; give several of them"
        )));
    }
    if length > longest {
        return Err(Error::invalid(format!(
            "{what} is smaller than the smallest block of pool \"{}\", a /{}, so nothing could be cut from it; give a \
             larger range or a longer max_prefix_length",
            pool, longest
        )));
    }
    Ok(())
}

/// Refuses to remove ranges that something is in.
async fn check_empty(db: &mut Connection, pool: &str, ranges: &[Stored]) -> Result<()> {
    let ids: Vec<_> = ranges.iter().map(|stored| stored.range.id).collect();
    let blocks = block::blocks_in(db, &ids).await?;
    let Some(first) = blocks.first() else {
        return Ok(());
    };
    let count = block::count_in(db, &ids).await?;
    let range = ranges
        .iter()
        .map(|stored| stored.range.cidr)
        .find(|cidr| cidr.contains(first.cidr))
        .unwrap_or(first.cidr);
    let users = blocks
        .iter()
        .map(|block| format!("{} {}", block.cidr, block.whose()))
        .collect();
    Err(in_use(
        &format!("the range {range} of pool \"{pool}\" is in use"),
        users,
        count,
    ))
}

/// The error for something that is used: names the first ten users of so many.
pub(in crate::domain) fn in_use(what: &str, mut users: Vec<String>, count: i64) -> Error {
    users.truncate(10);
    let more = usize::try_from(count)
        .unwrap_or_default()
        .saturating_sub(users.len());
    let more = match more {
        0 => String::new(),
        more => format!(", and {more} more"),
    };
    Error::InUse {
        message: format!(
            "{what}: {}{more} ({count} in all); move or delete what uses it first",
            users.join(", ")
        ),
        users: count,
    }
}

/// What happens to the space of a deleted pool: the blocks of its ranges in the parent are given back.
pub(in crate::domain) async fn given_back(db: &mut Connection, pool: &Pool) -> Result<Ledger> {
    let mut ledger = Ledger::default();
    if pool.parent_id.is_some() && !pool.ranges.is_empty() {
        let ranges = range::in_parent(db, pool.id).await?;
        let mut space = FreeSpace::new(ranges.iter().map(|range| range.parent));
        let free = ranges.iter().flat_map(|range| &range.free);
        free.for_each(|place| space.read(*place));
        for range in ranges {
            ledger.ended.push(range.place);
            space.give_back(range.place);
        }
        ledger.free = space.changes();
    }
    Ok(ledger)
}

/// Names what uses a pool.
pub(in crate::domain) async fn check_unused(db: &mut Connection, pool: &Pool) -> Result<()> {
    let children = pool::children(db, pool.id).await?;
    if !children.is_empty() {
        let count = i64::try_from(children.len()).unwrap_or(i64::MAX);
        let users = children.into_iter().map(|name| format!("\"{name}\""));
        return Err(in_use(
            &format!("pool \"{}\" is the parent of pools", pool.name),
            users.collect(),
            count,
        ));
    }
    let ranges = range::of_pool(db, pool.id).await?;
    check_empty(db, &pool.name, &ranges).await
}

/// Adds ranges that are cut from no other.
async fn add_roots(db: &mut Connection, owner: &Owner<'_>, cidrs: &[Cidr]) -> Result<Vec<Cidr>> {
    if cidrs.is_empty() {
        return Ok(Vec::new());
    }
    check_overlap(db, owner.vrf, owner.vrf_name, Some(owner.id), cidrs).await?;
    let added = range::insert(db, owner.id, cidrs).await?;
    absorb_reservations(db, owner.vrf, &added).await?;
    Ok(cidrs.to_vec())
}

/// Says which ranges these would overlap, for a pool that may be new.
pub(in crate::domain) async fn check_overlap(
    db: &mut Connection,
    vrf: VrfId,
    vrf_name: &str,
    pool: Option<PoolId>,
    cidrs: &[Cidr],
) -> Result<()> {
    let overlaps = range::overlapping(db, vrf, cidrs).await?;
    let Some(first) = overlaps.first() else {
        return Ok(());
    };
    let advice = if Some(first.pool) == pool {
        "a range is never resized; add the networks beside it instead".to_owned()
    } else if first.cidr.contains(first.wanted) {
        format!(
            "choose another network, or cut the range from that pool with \"parent\": \"{}\"",
            first.pool_name
        )
    } else {
        "choose another network, or use another VRF".to_owned()
    };
    Err(Error::Overlap {
        message: format!(
            "{} overlaps the range {} of pool \"{}\" in VRF \"{vrf_name}\"; {advice}",
            first.wanted, first.cidr, first.pool_name
        ),
        conflicts: overlaps
            .iter()
            .map(|overlap| Conflict {
                pool: Some(overlap.pool_name.clone()),
                ..Conflict::of(overlap.cidr)
            })
            .collect(),
    })
}

/// Reservations that lie in these new ranges, of which nothing is in use yet, become blocks of them. A range inside a
/// reservation is refused. This is not for ranges of child pools: what is reserved in the parent is not free for them.
pub(in crate::domain) async fn absorb_reservations(
    db: &mut Connection,
    vrf: VrfId,
    ranges: &[Range],
) -> Result<()> {
    let reserved = range::reservations(db, vrf, ranges).await?;
    if let Some(around) = reserved
        .iter()
        .find(|reserved| reserved.cidr.contains(reserved.range.cidr))
    {
        return Err(Error::Overlap {
            message: format!(
                "nothing of {} could be handed out: {} is reserved ({}); choose another network, or delete the \
                 reservation first",
                around.range.cidr, around.cidr, around.reason
            ),
            conflicts: vec![Conflict {
                reservation_id: Some(around.id.to_string()),
                reason: Some(around.reason.clone()),
                ..Conflict::of(around.cidr)
            }],
        });
    }
    if reserved.is_empty() {
        return Ok(());
    }
    let mut space = FreeSpace::new(ranges.iter().copied());
    for range in ranges {
        space.read(Place {
            range: range.id,
            cidr: range.cidr,
        });
    }
    let mut ledger = Ledger::default();
    for reserved in reserved {
        let place = space.take_exact(reserved.range.pool, reserved.cidr);
        ledger.begun.push(NewBlock {
            place: place.ok_or_else(|| {
                Error::bug(format!("reservation {} overlaps another", reserved.cidr))
            })?,
            range_cidr: reserved.range.cidr,
            holder: Holder::Reservation(reserved.id),
        });
    }
    ledger.free = space.changes();
    ledger::write(db, &ledger, &[]).await
}
