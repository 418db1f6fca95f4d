//! Reservations: networks out of circulation, and the blocks that take their place in ranges.

use ipam_shared::{
    api::reservation::{NewReservation, Reservation, ReservationFilter, ReservationPatch},
    cidr::Cidr,
    ids::{Claim, PoolId, ReservationId, VrfId},
};
use sqlx::{Postgres, QueryBuilder, Row as _, query, types::ipnet::IpNet};

use crate::{
    db::{Connection, convert, ownership::Made},
    error::{Conflict, Result},
    network::{Place, Range},
};

/// The VRF of a reservation, if that exists.
pub async fn vrf(db: &mut Connection, id: ReservationId) -> Result<Option<VrfId>> {
    let row = query!(
        "select vrf_id from reservation where reservation_id = $1",
        id.0
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(|row| VrfId(row.vrf_id)))
}

/// Locks a reservation against changes; its revision.
pub async fn lock(db: &mut Connection, id: ReservationId) -> Result<Option<i64>> {
    let row = query!(
        "select revision from reservation where reservation_id = $1 for update",
        id.0
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(|row| row.revision))
}

/// Makes a reservation, as yet without blocks.
pub async fn insert(
    db: &mut Connection,
    id: ReservationId,
    vrf: VrfId,
    new: &NewReservation,
    made: &Made<'_>,
) -> Result<()> {
    query!(
        "insert into reservation (reservation_id, vrf_id, cidr, reason, labels, created_by, owner, claim)
        values ($1, $2, $3, $4, $5, $6, $7, $8)",
        id.0,
        vrf.0,
        IpNet::from(new.cidr),
        new.reason,
        convert::labels_json(&new.labels)?,
        made.by,
        made.owner(),
        made.claim.0
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Where the blocks of a reservation of that network lie: in the deepest range that contains it, or else in every range
/// inside of it that is not cut from another one.
pub async fn ranges_for(db: &mut Connection, vrf: VrfId, cidr: Cidr) -> Result<Vec<Range>> {
    let rows = query!(
        r#"with around as (
            select range_id, pool_id, cidr from pool_range where vrf_id = $1 and cidr >>= $2
            order by masklen(cidr) desc, range_id desc limit 1
        )
        select range_id as "range_id!", pool_id as "pool_id!", cidr as "cidr!" from around
        union all
        select range_id, pool_id, cidr from pool_range
        where vrf_id = $1 and cidr << $2 and parent_range_id is null and not exists (select from around)"#,
        vrf.0,
        IpNet::from(cidr)
    )
    .fetch_all(db)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| Range {
            id: row.range_id,
            pool: PoolId(row.pool_id),
            cidr: Cidr::from(row.cidr),
        })
        .collect())
}

/// The pools that the blocks of a reservation lie in.
pub async fn pools(db: &mut Connection, id: ReservationId) -> Result<Vec<PoolId>> {
    let rows = query!(
        "select distinct pool_id from block join pool_range using (range_id) where reservation_id = $1 order by 1",
        id.0
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|row| PoolId(row.pool_id)).collect())
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
            cidr: Cidr::from(row.cidr),
            pool: row.pool,
            vpc: None,
            name: None,
            allocation_id: None,
            reservation_id: Some(row.reservation_id.to_string()),
            reason: Some(row.reason),
            child_pool: None,
            free_at: None,
        })
        .collect())
}

/// The reservation of exactly that network.
pub async fn find(db: &mut Connection, vrf: VrfId, cidr: Cidr) -> Result<Option<Reservation>> {
    let row = query!(
        // By the index of the constraint, which knows overlaps and not equality.
        "select reservation_id from reservation where vrf_id = $1 and cidr && $2 and cidr = $2",
        vrf.0,
        IpNet::from(cidr)
    )
    .fetch_optional(&mut *db)
    .await?;
    match row {
        Some(row) => get(db, ReservationId(row.reservation_id)).await,
        None => Ok(None),
    }
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
        // Few are left by the other conditions, and each of those is looked at. A value, since a join may be planned the
        // other way around, through all that is allocated in the pool.
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
        // Else the page is read from where it begins, in each range, or in the VRF.
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
) -> Result<()> {
    query!(
        "update reservation set reason = coalesce($2, reason), labels = coalesce($3, labels), revision = revision + 1
        where reservation_id = $1",
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

/// Deletes a reservation with its blocks, which become history, and answers where they were.
pub async fn delete(db: &mut Connection, id: ReservationId) -> Result<Vec<Place>> {
    let rows = query!(
        // A block of a range that was added while this waited for the VRF is younger than this transaction, not than this
        // statement; what is there since later than that has its time from another clock or from an old import.
        r#"with freed as (
            delete from block where reservation_id = $1 returning range_id, cidr, since
        ), past as (
            insert into past_block (vrf_id, pool_id, pool, cidr, reservation_id, reason, since)
            select pool.vrf_id, pool_id, pool.name, freed.cidr, $1, reason, least(since, statement_timestamp())
            from freed join pool_range using (range_id) join pool using (pool_id)
                cross join reservation where reservation_id = $1
        )
        select range_id, cidr from freed"#,
        id.0
    )
    .fetch_all(&mut *db)
    .await?;
    query!("delete from reservation where reservation_id = $1", id.0)
        .execute(db)
        .await?;
    Ok(rows
        .into_iter()
        .map(|row| Place {
            range: row.range_id,
            cidr: Cidr::from(row.cidr),
        })
        .collect())
}
