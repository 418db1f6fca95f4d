//! Who holds a network, and who held it: current blocks and reservations, and past blocks.
//!
//! The statements are assembled from parts, since an optional condition in the text would keep the planner from using an
//! index.

use ipam_shared::{
    api::lookup::{Holder, HolderKind, PoolRange},
    cidr::Cidr,
    ids::{AllocationId, PoolId, ReservationId, VpcId, VrfId},
};
use sqlx::{Postgres, QueryBuilder, Row as _, postgres::PgRow, query, types::ipnet::IpNet};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    db::Connection,
    error::{Error, Result},
    network::{Place, RangeId},
};

/// Where a page of present holders ends: network, VRF and range, in the order of the pages.
pub type HeldKey = (Cidr, VrfId, RangeId);

/// Somebody who holds a network now.
#[derive(Clone, Debug)]
pub struct Held {
    /// Who.
    pub holder: Holder,
    /// Its position in the overall order.
    pub key: HeldKey,
    /// The VPC, of an allocation.
    pub vpc: Option<VpcId>,
}

/// Completes rows of `held`, which is a common table expression before it.
const HELD: &str = r"
select held.range_id, held.cidr, held.vrf_id, vrf.name as vrf, held.since, cooldown.free_at as until, vpc.vpc_id,
    coalesce(pool.name, (select pool.name from block join pool_range using (range_id) join pool using (pool_id)
        where block.reservation_id = held.reservation_id order by pool_range.cidr limit 1)) as pool,
    case when held.allocation_id is not null then coalesce(profile_member.role, 'main') else cooldown.role end as role,
    coalesce(held.allocation_id, cooldown.allocation_id) as allocation_id, held.reservation_id,
    coalesce(vpc.name, cooldown.vpc) as vpc, coalesce(allocation.name, cooldown.name, child.name) as name,
    coalesce(reservation.reason, held.reason) as reason,
    case when held.allocation_id is not null then 'allocation' when held.reservation_id is not null then 'reservation'
        when child.pool_id is not null then 'child_pool' when cooldown.cidr is not null then 'cooldown'
        else 'other' end as kind
from held join vrf using (vrf_id)
    left join pool_range on pool_range.range_id = held.range_id
    left join pool on pool.pool_id = pool_range.pool_id
    left join allocation on allocation.allocation_id = held.allocation_id
    left join vpc on vpc.vpc_id = allocation.vpc_id
    left join profile_member on profile_member.member_id = held.member_id
    left join cooldown on cooldown.range_id = held.range_id and cooldown.cidr = held.cidr
    left join pool_range as child_range on child_range.parent_range_id = held.range_id and child_range.cidr = held.cidr
    left join pool as child on child.pool_id = child_range.pool_id
    left join reservation on reservation.reservation_id = held.reservation_id
order by held.cidr, held.vrf_id, held.range_id limit ";

/// Who holds a part of `cidr`, in address order, those that contain it first, after `after`; with `since`, only who holds
/// it since then or longer. A reservation is one holder, however many ranges it takes space from.
pub async fn held(
    db: &mut Connection,
    cidr: Cidr,
    vrf: Option<VrfId>,
    since: Option<OffsetDateTime>,
    after: Option<HeldKey>,
    limit: u16,
) -> Result<Vec<Held>> {
    let net = IpNet::from(cidr);
    let limit = i64::from(limit);
    // The last row of the previous page is read again; without one extra row, a page would lack one and the next would
    // begin after it.
    let read = limit + i64::from(after.is_some());
    // What lies inside comes from the order of the primary key, range by range, so that a page of a large network costs a
    // page. What contains it comes through the tag, since that is what the other index is on.
    let mut sql = QueryBuilder::<Postgres>::new(
        "with held as (
            select block.* from pool_range cross join lateral (
                (select range_id, pool_range.vrf_id, cidr, allocation_id, member_id, reservation_id, reason, since
                from block where ipam_tag(block.range_id, block.cidr) >>= ipam_tag(pool_range.range_id, ",
    );
    sql.push_bind(net)
        .push("::cidr) and pool_range.cidr >>= ")
        .push_bind(net)
        .push(" and reservation_id is null");
    conditions(&mut sql, since, after);
    sql.push(
        ") union all
            (select range_id, pool_range.vrf_id, cidr, allocation_id, member_id, reservation_id, reason, since
            from block where block.range_id = pool_range.range_id and block.cidr > ",
    )
    .push_bind(net)
    .push("::cidr and block.cidr <= ")
    .push_bind(IpNet::from(cidr.last()))
    .push("::cidr and reservation_id is null");
    conditions(&mut sql, since, after);
    sql.push(" order by cidr limit ")
        .push_bind(read)
        .push(")) as block where pool_range.cidr && ")
        .push_bind(net);
    vrf_is(&mut sql, "pool_range.vrf_id", vrf);
    sql.push(
        " union all (select 0, vrf_id, cidr, null, null, reservation_id, null, created_at from reservation where cidr && ",
    )
    .push_bind(net);
    vrf_is(&mut sql, "vrf_id", vrf);
    if let Some(since) = since {
        sql.push(" and created_at <= ").push_bind(since);
    }
    if let Some((cidr, vrf, _)) = after {
        sql.push(" and (cidr, vrf_id) > (")
            .push_bind(IpNet::from(cidr))
            .push("::cidr, ")
            .push_bind(vrf.0)
            .push(")");
    }
    sql.push(" order by cidr, vrf_id limit ")
        .push_bind(limit)
        .push("))");
    if let Some((cidr, vrf, range)) = after {
        // The conditions left in whatever is at that network.
        sql.push(", later as (select * from held where (cidr, vrf_id, range_id) > (")
            .push_bind(IpNet::from(cidr))
            .push("::cidr, ")
            .push_bind(vrf.0)
            .push(", ")
            .push_bind(range)
            .push("))");
        sql.push(HELD.replacen("from held ", "from later as held ", 1));
    } else {
        sql.push(HELD);
    }
    sql.push_bind(limit);
    let rows = sql.build().fetch_all(db).await?;
    rows.iter().map(held_row).collect()
}

/// What narrows down rows of `block`.
fn conditions(
    sql: &mut QueryBuilder<Postgres>,
    since: Option<OffsetDateTime>,
    after: Option<HeldKey>,
) {
    if let Some(since) = since {
        sql.push(" and block.since <= ").push_bind(since);
    }
    if let Some((cidr, ..)) = after {
        sql.push(" and block.cidr >= ")
            .push_bind(IpNet::from(cidr))
            .push("::cidr");
    }
}

fn vrf_is(sql: &mut QueryBuilder<Postgres>, column: &str, vrf: Option<VrfId>) {
    if let Some(vrf) = vrf {
        sql.push(" and ").push(column).push(" = ").push_bind(vrf.0);
    }
}

/// What is in a network of one range.
#[derive(Clone, Debug)]
pub struct Occupants {
    /// The first ten in address order.
    pub first: Vec<Holder>,
    /// How many there are, or the limit.
    pub total: u64,
    /// Until when all of them cool down, if they do.
    pub free_at: Option<OffsetDateTime>,
}

/// What is in a network of one range; no more than `limit` blocks are looked at.
pub async fn occupants(db: &mut Connection, place: Place, limit: i64) -> Result<Occupants> {
    let mut sql = inside(place, limit);
    sql.push(", held as (select inside.*, vrf_id from inside join pool_range using (range_id) order by inside.cidr limit 10)")
        .push(HELD)
        .push("10");
    let rows = sql.build().fetch_all(&mut *db).await?;
    let first = rows
        .iter()
        .map(|row| held_row(row).map(|held| held.holder))
        .collect::<Result<_>>()?;
    let mut sql = inside(place, limit);
    sql.push(
        " select count(*) as total, count(free_at) as cooling, max(free_at) as free_at
        from inside left join cooldown using (range_id, cidr)",
    );
    let row = sql.build().fetch_one(db).await?;
    let (total, cooling): (i64, i64) = (row.try_get("total")?, row.try_get("cooling")?);
    Ok(Occupants {
        first,
        total: total.unsigned_abs(),
        free_at: row
            .try_get::<Option<OffsetDateTime>, _>("free_at")?
            .filter(|_| cooling == total && total < limit),
    })
}

/// The blocks that overlap a network of one range, as `inside`: the one that contains it through the tag, those that lie in
/// it in the order of the primary key, so that no more are read than are asked for.
fn inside(place: Place, limit: i64) -> QueryBuilder<Postgres> {
    let net = IpNet::from(place.cidr);
    let mut sql = QueryBuilder::new(
        "with inside as (
            (select * from block where ipam_tag(block.range_id, block.cidr) >>= ipam_tag(",
    );
    sql.push_bind(place.range)
        .push(", ")
        .push_bind(net)
        .push("::cidr)) union all (select * from block where range_id = ")
        .push_bind(place.range)
        .push(" and cidr > ")
        .push_bind(net)
        .push("::cidr and cidr <= ")
        .push_bind(IpNet::from(place.cidr.last()))
        .push("::cidr order by cidr limit ")
        .push_bind(limit)
        .push("))");
    sql
}

/// Somebody who held a network once.
#[derive(Clone, Debug)]
pub struct Past {
    /// Who.
    pub holder: Holder,
    /// Its key; what ended later has a higher one.
    pub id: i64,
}

/// Past holders of a part of `cidr`, most recently ended first, before `before`; with `at`, only who held it then.
pub async fn past(
    db: &mut Connection,
    cidr: Cidr,
    vrf: Option<VrfId>,
    at: Option<OffsetDateTime>,
    before: Option<i64>,
    limit: u16,
) -> Result<Vec<Past>> {
    let mut sql = QueryBuilder::<Postgres>::new(
        "select past_block_id, past_block.vrf_id, coalesce(vrf.name, past_block.vrf_id::text) as vrf, pool, cidr,
            allocation_id, reservation_id, vpc, past_block.name, role, reason, since, until,
            case when allocation_id is not null then 'allocation' else 'reservation' end as kind
        from past_block left join vrf using (vrf_id) where cidr && ",
    );
    sql.push_bind(IpNet::from(cidr));
    vrf_is(&mut sql, "past_block.vrf_id", vrf);
    if let Some(at) = at {
        sql.push(" and tstzrange(since, until) @> ")
            .push_bind(at)
            .push("::timestamptz");
    }
    if let Some(before) = before {
        sql.push(" and past_block_id < ").push_bind(before);
    }
    sql.push(" order by past_block_id desc limit ")
        .push_bind(i64::from(limit));
    let rows = sql.build().fetch_all(db).await?;
    rows.iter()
        .map(|row| {
            Ok(Past {
                holder: holder(row)?,
                id: row.try_get("past_block_id")?,
            })
        })
        .collect()
}

/// The ranges that a network lies in, by VRF, `default` first, the deepest last.
pub async fn ranges(db: &mut Connection, cidr: Cidr, vrf: Option<VrfId>) -> Result<Vec<PoolRange>> {
    let rows = query!(
        "select pool.name as pool, pool_id, vrf.name as vrf, pool_range.cidr
        from pool_range join pool using (pool_id) join vrf on vrf.vrf_id = pool_range.vrf_id
        where pool_range.cidr >>= $1 and ($2::uuid is null or pool_range.vrf_id = $2)
        -- One that is all of its parent's range was made later.
        order by vrf.name <> 'default', vrf.name, masklen(pool_range.cidr), range_id",
        IpNet::from(cidr),
        vrf.map(|vrf| vrf.0)
    )
    .fetch_all(db)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| PoolRange {
            pool: row.pool,
            pool_id: PoolId(row.pool_id),
            vrf: row.vrf,
            cidr: Cidr::from(row.cidr),
        })
        .collect())
}

fn held_row(row: &PgRow) -> Result<Held> {
    Ok(Held {
        holder: holder(row)?,
        key: (
            Cidr::from(row.try_get::<IpNet, _>("cidr")?),
            VrfId(row.try_get("vrf_id")?),
            row.try_get("range_id")?,
        ),
        vpc: row.try_get::<Option<Uuid>, _>("vpc_id")?.map(VpcId),
    })
}

fn holder(row: &PgRow) -> Result<Holder> {
    let kind = match row.try_get("kind")? {
        "allocation" => HolderKind::Allocation,
        "reservation" => HolderKind::Reservation,
        "cooldown" => HolderKind::Cooldown,
        "child_pool" => HolderKind::ChildPool,
        "other" => HolderKind::Other,
        kind => return Err(Error::bug(format!("a holder of kind {kind:?}"))),
    };
    // Built-in reasons say no more than the kind does.
    let reason = row.try_get::<Option<String>, _>("reason")?;
    Ok(Holder {
        kind,
        cidr: Cidr::from(row.try_get::<IpNet, _>("cidr")?),
        vrf: row.try_get("vrf")?,
        pool: row.try_get("pool")?,
        role: row.try_get("role")?,
        allocation_id: row
            .try_get::<Option<Uuid>, _>("allocation_id")?
            .map(AllocationId),
        reservation_id: row
            .try_get::<Option<Uuid>, _>("reservation_id")?
            .map(ReservationId),
        vpc: row.try_get("vpc")?,
        name: row.try_get("name")?,
        reason: reason.filter(|_| matches!(kind, HolderKind::Reservation | HolderKind::Other)),
        since: row.try_get("since")?,
        until: row.try_get("until")?,
    })
}
