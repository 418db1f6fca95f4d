//! Writes allocations with their blocks and events, and what is known of blocks that were released, some thousand at once:
//! nearly all of what a large file has.

use std::collections::HashMap;

use super::{
    super::check::{
        Check, NewAllocation,
        past::{NewCooldown, NewPast},
    },
    event, internal, labels, text,
};
use crate::{
    db::{
        Connection,
        event::{Caller, Snapshot},
        transfer::{
            insert::{self, Blocks, Events},
            released,
        },
    },
    error::{Error, Result},
    network::{Place, RangeId},
};

/// Inserts allocations and their events; their blocks come with [`blocks`].
pub(in crate::domain::transfer) async fn allocations(
    db: &mut Connection,
    check: &Check,
    chunk: &[NewAllocation],
    caller: &Caller,
) -> Result<()> {
    let world = &check.world;
    let mut rows = insert::Allocations::default();
    let mut events = Events::default();
    for new in chunk {
        let record = &new.record;
        let vpc = world
            .vpcs
            .get(&new.vpc)
            .ok_or_else(|| Error::bug("an allocation of no VPC"))?;
        let created_at = record.created_at.map(|at| at.0);
        rows.id.push(new.id);
        rows.number.push(record.number);
        rows.vpc.push(vpc.id.0);
        rows.name
            .push(record.name.as_ref().map(ToString::to_string));
        rows.profile.push(
            new.profile
                .and_then(|profile| world.profiles.get(profile))
                .map(|profile| profile.id.0),
        );
        rows.prefix_length.push(new.prefix_length.into());
        rows.members
            .push(i16::try_from(new.blocks.len()).unwrap_or(i16::MAX));
        rows.requested_hosts.push(
            record
                .requested_hosts
                .and_then(|hosts| i64::try_from(hosts).ok()),
        );
        rows.requested_prefix_length
            .push(record.requested_prefix_length.map(i16::from));
        // Of a request that is given with its pools, a size that is not given was left to the pool.
        let said = record.requested_hosts.is_some()
            || record.requested_prefix_length.is_some()
            || record.requested_pools.is_some()
            || record.requested_pool_selector.is_some();
        let first = new
            .blocks
            .first()
            .map(|block| block.place.cidr)
            .filter(|_| !said);
        rows.requested_cidr
            .push(record.requested_cidr.or(first).map(Into::into));
        rows.request.push(new.request.clone());
        rows.labels.push(labels(record)?);
        rows.description.push(text(record.description.as_ref()));
        rows.deletion_protection
            .push(record.deletion_protection.unwrap_or_default());
        rows.created_at.push(created_at);
        rows.owners.push(record, Some(&caller.actor));
        let snapshot = Snapshot {
            vpc: record.vpc.as_ref().map_or("", |vpc| vpc.as_str()),
            name: record.name.as_ref().map(|name| name.as_str()),
            cidrs: new.blocks.iter().map(|block| block.place.cidr).collect(),
            vrfs: new
                .blocks
                .iter()
                .filter_map(|block| {
                    let pool = world.ranges.get(&block.place.range)?.pool;
                    let vrf = world.pools.get(pool)?.vrf;
                    Some(world.vrfs.get(vrf)?.name.as_str())
                })
                .collect(),
        };
        event(
            &mut events,
            "allocation.import",
            new.id,
            serde_json::to_value(snapshot).map_err(internal)?,
        );
    }
    insert::allocations(db, &rows, caller.request_id).await?;
    insert::events(db, &events, caller).await
}

/// Inserts the blocks of allocations that are there. `ranges` and `members` say which keys those got that are new.
pub(in crate::domain::transfer) async fn blocks(
    db: &mut Connection,
    check: &Check,
    chunk: &[NewAllocation],
    (ranges, members): (&HashMap<RangeId, RangeId>, &HashMap<i32, i32>),
) -> Result<()> {
    let mut blocks = Blocks::default();
    for new in chunk {
        let created_at = new.record.created_at.map(|at| at.0);
        for block in &new.blocks {
            let range = check
                .world
                .ranges
                .get(&block.place.range)
                .ok_or_else(|| Error::bug("a block in no range"))?;
            blocks
                .range
                .push(ranges.get(&range.id).copied().unwrap_or(range.id));
            blocks.cidr.push(block.place.cidr.into());
            blocks.range_cidr.push(range.cidr.into());
            blocks.allocation.push(Some(new.id));
            blocks.member.push(
                block
                    .member
                    .map(|(id, _)| members.get(&id).copied().unwrap_or(id)),
            );
            blocks.prefix_length.push(Some(new.prefix_length.into()));
            blocks.offset.push(Some(block.offset));
            blocks.shortest.push(Some(block.shortest.into()));
            blocks.longest.push(Some(block.longest.into()));
            blocks.reservation.push(None);
            blocks.reason.push(None);
            blocks.since.push(block.since.or(created_at));
        }
    }
    insert::blocks(db, &blocks).await
}

/// Inserts what blocks that cool down were; the blocks are there. `place` is where one is, now that ranges have their keys.
pub(in crate::domain::transfer) async fn cooldowns(
    db: &mut Connection,
    chunk: &[NewCooldown],
    place: impl Fn(&Place) -> Place,
) -> Result<()> {
    let mut rows = released::Cooldowns::default();
    for new in chunk {
        let at = place(&new.place);
        rows.range.push(at.range);
        rows.cidr.push(at.cidr.into());
        rows.allocation.push(new.allocation);
        rows.vpc.push(new.vpc.clone());
        rows.name.push(new.name.clone());
        rows.role.push(new.role.clone());
        rows.released_at.push(new.released_at);
        rows.free_at.push(new.free_at);
    }
    released::insert_cooldowns(db, &rows).await
}

/// Inserts blocks that are no more.
pub(in crate::domain::transfer) async fn past(
    db: &mut Connection,
    chunk: &[NewPast],
) -> Result<()> {
    let mut rows = released::Past::default();
    for new in chunk {
        let record = &new.record;
        rows.vrf.push(new.vrf);
        rows.pool_id.push(new.pool);
        rows.pool.push(record.pool.clone().unwrap_or_default());
        rows.cidr.push(new.key.cidr.into());
        let owner = Some(new.key.owner);
        rows.allocation
            .push(owner.filter(|_| record.reason.is_none()));
        rows.reservation
            .push(owner.filter(|_| record.reason.is_some()));
        rows.vpc.push(record.vpc.as_ref().map(ToString::to_string));
        rows.name
            .push(record.name.as_ref().map(ToString::to_string));
        rows.role.push(record.role.clone());
        rows.reason.push(record.reason.clone());
        rows.since.push(new.key.since);
        rows.until.push(new.key.until);
    }
    released::insert_past(db, &rows).await
}
