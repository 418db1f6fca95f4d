//! Writes what was checked, in an order in which everything that is referred to is there, a chunk of rows a statement.

mod rows;

use std::collections::{BTreeMap, HashMap, HashSet};

use ipam_shared::{
    api::{
        pool::Strategy,
        transfer::{Phase, Record},
    },
    cidr::{Cidr, Family},
    ids::PoolId,
};
use serde_json::{Value, json};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{
    Report,
    check::{CHUNK, Check},
};
use crate::{
    db::{
        Connection, convert, cooldown,
        event::Caller,
        free,
        transfer::{
            insert::{self, Blocks, Events},
            write,
        },
    },
    error::{Error, Result},
    network::{Changes, Place, RangeId},
};

/// Writes what takes no space: VRFs, profiles, VPCs, allocations without their blocks, and the past. Most of the work, and
/// nobody waits for it who wants space. Answers the keys that members of profiles got.
pub(in crate::domain::transfer) async fn owners(
    db: &mut Connection,
    check: &Check,
    caller: &Caller,
    report: &Report,
) -> Result<HashMap<i32, i32>> {
    let mut events = Events::default();
    vrfs(db, check, &mut events).await?;
    let members = profiles(db, check, &mut events).await?;
    vpcs(db, check, &mut events).await?;
    insert::events(db, &events, caller).await?;
    let total = check.allocations.len() as u64;
    report.tell(Phase::Write, 0, total);
    let mut done = 0;
    for chunk in check.allocations.chunks(CHUNK) {
        rows::allocations(db, check, chunk, caller).await?;
        done += chunk.len() as u64;
        // Their blocks are the other half of the work.
        report.tell(Phase::Write, done / 2, total);
    }
    for chunk in check.past.chunks(CHUNK) {
        rows::past(db, chunk).await?;
    }
    Ok(members)
}

/// Writes what takes space, under the locks of the pools: pools and their ranges, reservations, blocks, and what is left.
pub(in crate::domain::transfer) async fn space(
    db: &mut Connection,
    check: &Check,
    caller: &Caller,
    members: &HashMap<i32, i32>,
    report: &Report,
) -> Result<()> {
    let mut events = Events::default();
    pools(db, check, &mut events).await?;
    let ranges = ranges(db, check).await?;
    reservations(db, check, caller, &mut events).await?;
    insert::events(db, &events, caller).await?;

    let place = |place: &Place| Place {
        range: ranges.get(&place.range).copied().unwrap_or(place.range),
        cidr: place.cidr,
    };
    let changes = Changes {
        removed: check.changes.removed.iter().map(place).collect(),
        added: check.changes.added.iter().map(place).collect(),
    };
    free::update(db, &changes).await?;

    let mut blocks = Blocks::default();
    for range in check.world.ranges.values().filter(|range| range.id < 0) {
        if let Some(parent) = range.parent {
            let at = place(&Place {
                range: parent,
                cidr: range.cidr,
            });
            out_of_circulation(
                check,
                &mut blocks,
                (parent, at),
                None,
                Some("child_range"),
                range.since,
            )?;
        }
    }
    for reserved in &check.reserved {
        let at = place(&reserved.place);
        out_of_circulation(
            check,
            &mut blocks,
            (reserved.place.range, at),
            Some(reserved.reservation.0),
            None,
            reserved.since,
        )?;
    }
    for new in &check.cooldowns {
        let at = place(&new.place);
        let range = new.place.range;
        out_of_circulation(
            check,
            &mut blocks,
            (range, at),
            None,
            Some(cooldown::REASON),
            Some(new.since),
        )?;
    }
    insert::blocks(db, &blocks).await?;
    for chunk in check.cooldowns.chunks(CHUNK) {
        rows::cooldowns(db, chunk, place).await?;
    }
    let total = check.allocations.len() as u64;
    let mut done = 0;
    for chunk in check.allocations.chunks(CHUNK) {
        rows::blocks(db, check, chunk, (&ranges, members)).await?;
        done += chunk.len() as u64;
        report.tell(Phase::Write, (total + done) / 2, total);
    }
    Ok(())
}

pub(in crate::domain::transfer) fn text<T: ToString>(value: Option<&T>) -> String {
    value.map(ToString::to_string).unwrap_or_default()
}

pub(in crate::domain::transfer) fn event(
    events: &mut Events,
    action: &str,
    subject: Uuid,
    detail: Value,
) {
    events.action.push(action.to_owned());
    events.subject.push(subject);
    events.detail.push(detail);
}

async fn vrfs(db: &mut Connection, check: &Check, events: &mut Events) -> Result<()> {
    let mut rows = write::Vrfs::default();
    for vrf in check.world.vrfs.iter().filter(|vrf| vrf.new) {
        rows.id.push(vrf.id.0);
        rows.name.push(vrf.name.clone());
        rows.description.push(text(vrf.record.description.as_ref()));
        rows.labels.push(labels(&vrf.record)?);
        rows.created_at.push(vrf.record.created_at.map(|at| at.0));
        rows.owners.push(&vrf.record, None);
        event(events, "vrf.import", vrf.id.0, json!({ "name": vrf.name }));
    }
    write::vrfs(db, &rows).await
}

async fn pools(db: &mut Connection, check: &Check, events: &mut Events) -> Result<()> {
    let world = &check.world;
    let mut cidrs: HashMap<usize, Vec<Cidr>> = HashMap::new();
    for range in world.ranges.values().filter(|range| range.id < 0) {
        cidrs.entry(range.pool).or_default().push(range.cidr);
    }
    let mut rows = write::Pools::default();
    // Where something cools down is part of the plan that servers keep.
    let cooling: HashSet<_> = check.cooldowns.iter().map(|new| new.pool).collect();
    let mut touched = (Vec::new(), HashSet::new());
    for (index, pool) in world.pools.iter().enumerate() {
        let added = cidrs.remove(&index).unwrap_or_default();
        let vrf = world
            .vrfs
            .get(pool.vrf)
            .ok_or_else(|| Error::bug("a pool of no VRF"))?;
        if !pool.new && added.is_empty() {
            if cooling.contains(&index) {
                touched.0.push(pool.id);
            }
            continue;
        }
        let detail = json!({ "name": pool.name, "vrf": vrf.name, "ranges": added });
        event(events, "pool.import", pool.id.0, detail);
        if !pool.new {
            touched.0.push(pool.id);
            touched.1.insert(vrf.id);
            continue;
        }
        if !vrf.new {
            touched.1.insert(vrf.id);
        }
        let record = &pool.record;
        let (shortest, longest) = pool.bounds();
        rows.id.push(pool.id.0);
        rows.vrf.push(vrf.id.0);
        rows.name.push(pool.name.clone());
        rows.family
            .push(if pool.family == Family::Ipv4 { 4 } else { 6 });
        rows.shortest.push(shortest.into());
        rows.longest.push(longest.into());
        rows.usual.push(record.default_prefix_length.map(i16::from));
        rows.reserved
            .push(i32::try_from(record.reserved_addresses.unwrap_or_default()).unwrap_or(i32::MAX));
        rows.strategy.push(
            record
                .strategy
                .map_or(Strategy::default().as_str(), Strategy::as_str)
                .to_owned(),
        );
        rows.cooldown.push(
            i32::try_from(record.release_cooldown_seconds.unwrap_or_default()).unwrap_or(i32::MAX),
        );
        rows.labels.push(labels(record)?);
        rows.required.push(
            serde_json::to_value(record.required_labels.clone().unwrap_or_default())
                .map_err(internal)?,
        );
        rows.description.push(text(record.description.as_ref()));
        rows.parent.push(
            pool.parent
                .and_then(|parent| world.pools.get(parent))
                .map(|parent| parent.id.0),
        );
        rows.created_at.push(record.created_at.map(|at| at.0));
        rows.owners.push(record, None);
    }
    write::pools(db, &rows).await?;
    let vrfs: Vec<_> = touched.1.into_iter().collect();
    write::touch(db, &touched.0, &vrfs).await
}

/// Inserts ranges, parents first, and answers the keys that they got.
async fn ranges(db: &mut Connection, check: &Check) -> Result<HashMap<RangeId, RangeId>> {
    let world = &check.world;
    let mut keys: HashMap<RangeId, RangeId> = HashMap::new();
    let mut waiting: Vec<_> = world
        .ranges
        .values()
        .filter(|range| range.id < 0)
        .copied()
        .collect();
    while !waiting.is_empty() {
        let (now, later): (Vec<_>, Vec<_>) = waiting.into_iter().partition(|range| {
            range
                .parent
                .is_none_or(|parent| parent > 0 || keys.contains_key(&parent))
        });
        if now.is_empty() {
            return Err(Error::bug("ranges that are cut from each other"));
        }
        let mut rows = write::Ranges::default();
        let mut ids: BTreeMap<(PoolId, Cidr), RangeId> = BTreeMap::new();
        for range in &now {
            let pool = world
                .pools
                .get(range.pool)
                .ok_or_else(|| Error::bug("a range of no pool"))?;
            rows.pool.push(pool.id.0);
            rows.cidr.push(range.cidr.into());
            rows.parent.push(
                range
                    .parent
                    .map(|parent| keys.get(&parent).copied().unwrap_or(parent)),
            );
            ids.insert((pool.id, range.cidr), range.id);
        }
        for (pool, cidr, key) in write::ranges(db, &rows).await? {
            if let Some(id) = ids.get(&(pool, cidr)) {
                keys.insert(*id, key);
            }
        }
        waiting = later;
    }
    Ok(keys)
}

/// Inserts profiles and members, and answers the keys that these got.
async fn profiles(
    db: &mut Connection,
    check: &Check,
    events: &mut Events,
) -> Result<HashMap<i32, i32>> {
    let world = &check.world;
    let mut rows = write::Profiles::default();
    for profile in world.profiles.iter().filter(|profile| profile.new) {
        rows.id.push(profile.id.0);
        rows.name.push(profile.name.clone());
        rows.description
            .push(text(profile.record.description.as_ref()));
        rows.created_at
            .push(profile.record.created_at.map(|at| at.0));
        rows.owners.push(&profile.record, None);
        event(
            events,
            "profile.import",
            profile.id.0,
            json!({ "name": profile.name }),
        );
    }
    write::profiles(db, &rows).await?;
    let new: Vec<_> = world
        .members
        .iter()
        .filter(|member| member.id < 0)
        .collect();
    let mut rows = write::Members::default();
    for member in &new {
        let profile = world
            .profiles
            .get(member.profile)
            .ok_or_else(|| Error::bug("a member of no profile"))?;
        rows.profile.push(profile.id.0);
        rows.position.push(member.position);
        rows.role.push(member.role.clone());
        rows.pool.push(member.pool.clone());
        rows.offset.push(member.offset);
        rows.shortest.push(member.shortest.into());
        rows.longest.push(member.longest.into());
        rows.retired_at.push(member.retired);
    }
    let keys = write::members(db, &rows).await?;
    Ok(new.iter().map(|member| member.id).zip(keys).collect())
}

async fn reservations(
    db: &mut Connection,
    check: &Check,
    caller: &Caller,
    events: &mut Events,
) -> Result<()> {
    let mut rows = insert::Reservations::default();
    for new in &check.reservations {
        let vrf = check
            .world
            .vrfs
            .get(new.vrf)
            .ok_or_else(|| Error::bug("a reservation in no VRF"))?;
        let reason = text(new.record.reason.as_ref());
        event(
            events,
            "reservation.import",
            new.id.0,
            json!({ "vrf": vrf.name, "cidr": new.cidr, "reason": reason }),
        );
        rows.id.push(new.id.0);
        rows.vrf.push(vrf.id.0);
        rows.cidr.push(new.cidr.into());
        rows.reason.push(reason);
        rows.labels.push(labels(&new.record)?);
        rows.created_at.push(new.record.created_at.map(|at| at.0));
        rows.owners.push(&new.record, Some(&caller.actor));
    }
    insert::reservations(db, &rows).await
}

async fn vpcs(db: &mut Connection, check: &Check, events: &mut Events) -> Result<()> {
    let mut rows = insert::Vpcs::default();
    for vpc in check.world.vpcs.values().filter(|vpc| vpc.new) {
        let vrf = check
            .world
            .vrfs
            .get(vpc.vrf)
            .ok_or_else(|| Error::bug("a VPC in no VRF"))?;
        let name = text(vpc.record.vpc.as_ref());
        event(events, "vpc.import", vpc.id.0, json!({ "name": name }));
        rows.id.push(vpc.id.0);
        rows.vrf.push(vrf.id.0);
        rows.name.push(name);
        rows.description.push(text(vpc.record.description.as_ref()));
        rows.labels.push(labels(&vpc.record)?);
        rows.created_at.push(vpc.record.created_at.map(|at| at.0));
        rows.implicit.push(vpc.record.implicit.unwrap_or_default());
        rows.owners.push(&vpc.record, None);
    }
    insert::vpcs(db, &rows).await
}

/// The row of a block that no allocation owns. `at` is the place before and after the range got its key.
fn out_of_circulation(
    check: &Check,
    rows: &mut Blocks,
    at: (RangeId, Place),
    reservation: Option<Uuid>,
    reason: Option<&str>,
    since: Option<OffsetDateTime>,
) -> Result<()> {
    let range = check
        .world
        .ranges
        .get(&at.0)
        .ok_or_else(|| Error::bug("a block in no range"))?;
    rows.range.push(at.1.range);
    rows.cidr.push(at.1.cidr.into());
    rows.range_cidr.push(range.cidr.into());
    rows.allocation.push(None);
    rows.member.push(None);
    rows.prefix_length.push(None);
    rows.offset.push(None);
    rows.shortest.push(None);
    rows.longest.push(None);
    rows.reservation.push(reservation);
    rows.reason.push(reason.map(str::to_owned));
    rows.since.push(since);
    Ok(())
}

/// The labels of a record as JSON.
pub(in crate::domain::transfer) fn labels(record: &Record) -> Result<Value> {
    convert::labels_json(&record.labels.clone().unwrap_or_default())
}

pub(in crate::domain::transfer) fn internal(error: serde_json::Error) -> Error {
    Error::Internal(error.into())
}
