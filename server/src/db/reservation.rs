//! Reservations: networks out of circulation, and the blocks that take their place in ranges.

use ipam_shared::{
    api::reservation::{NewReservation, Reservation, ReservationFilter, ReservationPatch},
    cidr::Cidr,
    ids::{Claim, PoolId, ReservationId, VrfId},
};
use sqlx::{
    Postgres, QueryBuilder, Row as _, query,
    types::{Json, ipnet::IpNet},
};
use time::OffsetDateTime;

use crate::{
    db::{
        Connection, convert,
        event::{Event, recorded},
        free,
        ledger::{Ledger, ledger},
        ownership::Made,
    },
    error::{Conflict, Result},
    network::{Place, Range},
};

/// Makes a reservation with its blocks; when.
pub async fn insert(
    db: &mut Connection,
    id: ReservationId,
    vrf: VrfId,
    new: &NewReservation,
    made: &Made<'_>,
    ledger: &Ledger,
    events: &[Event<'_>],
) -> Result<OffsetDateTime> {
    let row = ledger!(
        ledger,
        events,
        " insert into reservation (reservation_id, vrf_id, cidr, reason, labels, created_by, owner, claim)
        values ($38, $39, $40, $41, $42, $43, $44, $45) returning created_at",
        id.0,
        vrf.0,
        IpNet::from(new.cidr),
        new.reason,
        convert::labels_json(&new.labels)?,
        made.by,
        made.owner(),
        made.claim.0
    )
    .fetch_one(db)
    .await?;
    Ok(row.created_at)
}

/// What decides whether a network can be taken out of circulation.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The revision of the address plan.
    pub plan: i64,
    /// The reservation of exactly that network.
    pub existing: Option<ReservationId>,
    /// Whether some reservation overlaps the network, wherever it lies.
    pub overlaps: bool,
    /// Which of the places that were asked for are free blocks.
    pub free: Vec<Place>,
}

/// Checks whether a network can be taken out of circulation, once its VRF and the pools of these places are locked.
pub async fn look(db: &mut Connection, vrf: VrfId, cidr: Cidr, places: &[Place]) -> Result<Seen> {
    let (ranges, sizes, nets) = free::columns(places);
    let row = query!(
        // By the constraint's index, which supports overlap but not equality.
        r#"select revision,
            (select reservation_id from reservation where vrf_id = $1 and cidr && $2 and cidr = $2) as existing,
            exists (select from reservation where vrf_id = $1 and cidr && $2) as "overlaps!",
            (
                select coalesce(jsonb_agg(jsonb_build_object('range', range_id, 'cidr', cidr)), '[]')
                from unnest($3::integer[], $4::smallint[], $5::cidr[]) as wanted (range_id, host_bits, cidr)
                    join free_block using (range_id, host_bits, cidr)
            ) as "free!: Json<Vec<Place>>"
        from address_plan"#,
        vrf.0,
        IpNet::from(cidr),
        &ranges,
        &sizes,
        &nets
    )
    .fetch_one(db)
    .await?;
    Ok(Seen {
        plan: row.revision,
        existing: row.existing.map(ReservationId),
        overlaps: row.overlaps,
        free: row.free.0,
    })
}

/// The space that a reservation takes, and what of the free list can change when it is given back.
#[derive(Clone, Debug, Default)]
pub struct Space {
    /// Its blocks, each with its range.
    pub blocks: Vec<(Place, Range)>,
    /// Free networks that they could be merged with.
    pub free: Vec<Place>,
}

/// The space that a reservation takes. Read it under the locks of its pools.
pub async fn space(db: &mut Connection, id: ReservationId) -> Result<Space> {
    let rows = query!(
        r#"select range_id, block.cidr, range_cidr, pool_id,
            (
                select coalesce(jsonb_agg(jsonb_build_object('range', free_block.range_id, 'cidr', free_block.cidr)), '[]')
                from ipam_buddies(block.cidr, range_cidr) as buddy join free_block
                    on free_block.range_id = block.range_id and free_block.cidr = buddy
                        and free_block.host_bits = (case family(buddy) when 4 then 32 else 128 end) - masklen(buddy)
            ) as "free!: Json<Vec<Place>>"
        from block join pool_range using (range_id) where reservation_id = $1"#,
        id.0
    )
    .fetch_all(db)
    .await?;
    let mut space = Space::default();
    for row in rows {
        let (id, cidr) = (row.range_id, Cidr::from(row.cidr));
        let range = Range {
            id,
            pool: PoolId(row.pool_id),
            cidr: Cidr::from(row.range_cidr),
        };
        space.blocks.push((Place { range: id, cidr }, range));
        space.free.extend(row.free.0);
    }
    Ok(space)
}

/// Reservations of a VRF that overlap a network; at most ten, any of them if there are more.
pub async fn overlapping(db: &mut Connection, vrf: VrfId, cidr: Cidr) -> Result<Vec<Conflict>> {
    let rows = query!(
        r#"select cidr, reservation_id, reason,
            (select min(pool.name) from block join pool_range using (range_id) join pool using (pool_id)
                where block.reservation_id = reservation.reservation_id) as pool
        from (select * from reservation where vrf_id = $1 and cidr && $2 limit 10) as reservation order by cidr"#,
        vrf.0,
        IpNet::from(cidr)
    )
    .fetch_all(db)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| Conflict {
            pool: row.pool,
            reservation_id: Some(row.reservation_id.to_string()),
            reason: Some(row.reason),
            ..Conflict::of(Cidr::from(row.cidr))
        })
        .collect())
}

/// One reservation.
pub async fn get(db: &mut Connection, id: ReservationId) -> Result<Option<Reservation>> {
    Ok(load(db, &[id]).await?.pop())
}

/// Reservations, in the order of `ids`.
pub async fn load(db: &mut Connection, ids: &[ReservationId]) -> Result<Vec<Reservation>> {
    let ids: Vec<_> = ids.iter().map(|id| id.0).collect();
    query!(
        r#"select reservation.reservation_id, reservation.cidr, vrf.name as vrf, reason, reservation.labels,
            reservation.revision, reservation.created_by, reservation.owner,
            reservation.confirmed_at is not null as "confirmed!", reservation.claim, reservation.created_at,
            array(select distinct pool.name from block join pool_range using (range_id) join pool using (pool_id)
                where block.reservation_id = reservation.reservation_id order by 1) as "pools!"
        from unnest($1::uuid[]) with ordinality as wanted (reservation_id, place)
            -- One by one through the index; a join may read the whole table instead.
            cross join lateral (
                select * from reservation where reservation.reservation_id = wanted.reservation_id offset 0
            ) as reservation
            join vrf using (vrf_id)
        order by place"#,
        &ids
    )
    .fetch_all(db)
    .await?
    .into_iter()
    .map(|row| {
        Ok(Reservation {
            id: ReservationId(row.reservation_id),
            cidr: Cidr::from(row.cidr),
            vrf: convert::name(row.vrf)?,
            reason: row.reason,
            labels: convert::labels(row.labels)?,
            pools: row.pools,
            revision: row.revision,
            created_by: row.created_by,
            owner: convert::owner(row.owner)?,
            confirmed: row.confirmed,
                claim_digest: Some(Claim(row.claim).digest()),
            created_at: row.created_at,
            claim: None,
        })
    })
    .collect()
}

/// Ids that pass a filter, in their order, after `cursor`. Only the conditions that are asked for become SQL, and each
/// request is planned for its own values, since networks differ by a lot in how much they contain.
pub async fn list(
    db: &mut Connection,
    filter: &ReservationFilter,
    label: Option<(&str, &str)>,
    cursor: Option<ReservationId>,
    limit: u16,
) -> Result<Vec<ReservationId>> {
    let mut sql =
        QueryBuilder::<Postgres>::new("select reservation_id from reservation where true");
    let after = cursor.map(|id| id.0).unwrap_or_default();
    let narrowed = label.is_some() || filter.contains.is_some() || filter.within.is_some();
    match (&filter.pool, &filter.vrf) {
        // The other conditions leave few rows, and each of those is checked. A value, since a join may be planned the other
        // way round, through everything that is allocated in the pool.
        (Some(pool), vrf) if narrowed => {
            sql.push(
                " and (select true from block where block.reservation_id = reservation.reservation_id
                    and range_id = any(array(",
            );
            ranges(&mut sql, pool, vrf.as_deref());
            sql.push(")) limit 1)");
        }
        (None, Some(vrf)) if narrowed => {
            sql.push(" and vrf_id = (select vrf_id from vrf where ");
            convert::push_named(&mut sql, "vrf", vrf);
            sql.push(" limit 1)");
        }
        // Otherwise the page is read from where it begins, in each range, or in the VRF.
        (Some(pool), vrf) => {
            sql.push(" and reservation_id in (select page.reservation_id from (");
            ranges(&mut sql, pool, vrf.as_deref());
            sql.push(
                ") as range cross join lateral (select reservation_id from block
                    where block.range_id = range.range_id and reservation_id > ",
            )
            .push_bind(after)
            .push(" order by reservation_id limit ")
            .push_bind(i64::from(limit))
            .push(") as page)");
        }
        (None, Some(vrf)) => {
            sql.push(
                " and reservation_id in (select page.reservation_id from vrf cross join lateral (
                    select reservation_id from reservation
                    where reservation.vrf_id = vrf.vrf_id and reservation_id > ",
            )
            .push_bind(after)
            .push(" order by reservation_id limit ")
            .push_bind(i64::from(limit))
            .push(") as page where ");
            convert::push_named(&mut sql, "vrf", vrf);
            sql.push(")");
        }
        (None, None) => {}
    }
    if let Some((key, value)) = label {
        sql.push(" and labels @> jsonb_build_object(")
            .push_bind(key.to_owned())
            .push("::text, ")
            .push_bind(value.to_owned())
            .push("::text)");
    }
    if let Some(address) = filter.contains {
        sql.push(" and cidr >>= ").push_bind(IpNet::from(address));
    }
    if let Some(within) = filter.within {
        sql.push(" and cidr <<= ").push_bind(IpNet::from(within));
    }
    convert::push_owned(&mut sql, filter.owner.as_deref(), filter.confirmed);
    sql.push(" and reservation_id > ").push_bind(after);
    sql.push(" order by reservation_id limit ")
        .push_bind(i64::from(limit));
    let rows = sql.build().persistent(false).fetch_all(db).await?;
    rows.into_iter()
        .map(|row| Ok(ReservationId(row.try_get(0)?)))
        .collect()
}

/// The ranges of the pools of that name or id, in one VRF or in all.
fn ranges(sql: &mut QueryBuilder<Postgres>, pool: &str, vrf: Option<&str>) {
    sql.push(
        "select range_id from pool_range join pool using (pool_id) join vrf on vrf.vrf_id = pool.vrf_id
        where ",
    );
    convert::push_named(sql, "pool", pool);
    if let Some(vrf) = vrf {
        sql.push(" and ");
        convert::push_named(sql, "vrf", vrf);
    }
}

/// Changes a reservation.
pub async fn update(
    db: &mut Connection,
    id: ReservationId,
    patch: &ReservationPatch,
    events: &[Event<'_>],
) -> Result<()> {
    recorded!(
        events,
        "update reservation set reason = coalesce($8, reason), labels = coalesce($9, labels), revision = revision + 1
        where reservation_id = $7",
        id.0,
        patch.reason.as_deref(),
        patch
            .labels
            .as_ref()
            .map(convert::labels_json)
            .transpose()?
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Deletes a reservation, whose blocks the ledger ends.
pub async fn delete(
    db: &mut Connection,
    id: ReservationId,
    ledger: &Ledger,
    events: &[Event<'_>],
) -> Result<()> {
    ledger!(
        ledger,
        events,
        " delete from reservation where reservation_id = $38",
        id.0
    )
    .execute(db)
    .await?;
    Ok(())
}
