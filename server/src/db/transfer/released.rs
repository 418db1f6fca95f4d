//! Blocks that were released, as an export reads and an import writes them: those that cool down, and those that are history.

use std::collections::HashSet;

use ipam_shared::{
    api::transfer::{At, Kind, Record},
    cidr::Cidr,
};
use sqlx::{query, types::ipnet::IpNet};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    db::{Connection, convert},
    error::Result,
    network::{Place, RangeId},
};

/// All blocks that cool down, by VRF and address, as records.
pub async fn cooldowns(db: &mut Connection) -> Result<Vec<Record>> {
    query!(
        "select vrf.name as vrf, pool.name as pool, cooldown.cidr, cooldown.allocation_id, vpc, cooldown.name, role, since, released_at,
            free_at
        from cooldown join block using (range_id, cidr) join pool_range using (range_id) join pool using (pool_id)
            join vrf on vrf.vrf_id = pool.vrf_id
        order by vrf.name <> 'default', vrf.name, cooldown.cidr"
    )
    .fetch_all(db)
    .await?
    .into_iter()
    .map(|row| {
        Ok(Record {
            kind: Kind::Cooldown,
            vrf: Some(convert::name(row.vrf)?),
            pool: Some(row.pool),
            cidr: Some(Cidr::from(row.cidr)),
            vpc: Some(convert::name(row.vpc)?),
            name: row.name.map(convert::name).transpose()?,
            role: Some(row.role),
            id: Some(row.allocation_id),
            since: Some(At(row.since)),
            until: Some(At(row.free_at)),
            released_at: Some(At(row.released_at)),
            ..Record::default()
        })
    })
    .collect()
}

/// Blocks that are no more, in the order in which they ended, after the one of that key: keys and records.
pub async fn past_after(db: &mut Connection, after: i64, limit: i64) -> Result<Vec<(i64, Record)>> {
    query!(
        r#"select past_block_id, past_block.vrf_id, vrf.name as "vrf?", pool_id, pool, cidr,
            coalesce(allocation_id, reservation_id) as "owner!", vpc, past_block.name, role, reason, since, until
        from past_block left join vrf using (vrf_id)
        where past_block_id > $1 order by past_block_id limit $2"#,
        after,
        limit
    )
    .fetch_all(db)
    .await?
    .into_iter()
    .map(|row| {
        let record = Record {
            kind: Kind::PastBlock,
            vrf_id: row.vrf.is_none().then_some(row.vrf_id),
            vrf: row.vrf.map(convert::name).transpose()?,
            pool: Some(row.pool),
            pool_id: Some(row.pool_id),
            cidr: Some(Cidr::from(row.cidr)),
            vpc: row.vpc.map(convert::name).transpose()?,
            name: row.name.map(convert::name).transpose()?,
            role: row.role,
            reason: row.reason,
            id: Some(row.owner),
            since: Some(At(row.since)),
            until: Some(At(row.until)),
            ..Record::default()
        };
        Ok((row.past_block_id, record))
    })
    .collect()
}

/// A block that cools down.
#[derive(Clone, Debug)]
pub struct StoredCooldown {
    /// Where it is.
    pub place: Place,
    /// Whose it was.
    pub allocation: Uuid,
    /// Name of the VPC then, in lower case.
    pub vpc: String,
    /// Name of the allocation then.
    pub name: Option<String>,
    /// What it was for.
    pub role: String,
    /// Since when it cools down.
    pub since: OffsetDateTime,
    /// When it was released.
    pub released_at: OffsetDateTime,
    /// Until when it cools down.
    pub free_at: OffsetDateTime,
}

/// What cools down at exactly these places.
pub async fn cooldowns_at(db: &mut Connection, places: &[Place]) -> Result<Vec<StoredCooldown>> {
    let ranges: Vec<_> = places.iter().map(|place| place.range).collect();
    let nets = convert::nets(places.iter().map(|place| place.cidr));
    let rows = query!(
        "select cooldown.range_id, cooldown.cidr, cooldown.allocation_id, vpc, name, role, since, released_at, free_at
        from unnest($1::integer[], $2::cidr[]) as wanted (range_id, cidr)
            join cooldown using (range_id, cidr) join block using (range_id, cidr)",
        &ranges,
        &nets
    )
    .fetch_all(db)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| StoredCooldown {
            place: Place {
                range: row.range_id,
                cidr: Cidr::from(row.cidr),
            },
            allocation: row.allocation_id,
            vpc: row.vpc,
            name: row.name,
            role: row.role,
            since: row.since,
            released_at: row.released_at,
            free_at: row.free_at,
        })
        .collect())
}

/// What makes two blocks of the past the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PastKey {
    /// The allocation or the reservation that had it.
    pub owner: Uuid,
    /// The network.
    pub cidr: Cidr,
    /// Since when.
    pub since: OffsetDateTime,
    /// Until when.
    pub until: OffsetDateTime,
}

/// Those of these blocks of the past that are known.
pub async fn past_of(db: &mut Connection, keys: &[PastKey]) -> Result<HashSet<PastKey>> {
    let owners: Vec<_> = keys.iter().map(|key| key.owner).collect();
    let nets = convert::nets(keys.iter().map(|key| key.cidr));
    let rows = query!(
        r#"select distinct coalesce(allocation_id, reservation_id) as "owner!", past_block.cidr, since, until
        from unnest($1::uuid[], $2::cidr[]) as wanted (owner, cidr)
            join past_block on past_block.cidr = wanted.cidr and coalesce(allocation_id, reservation_id) = wanted.owner"#,
        &owners,
        &nets
    )
    .fetch_all(db)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| PastKey {
            owner: row.owner,
            cidr: Cidr::from(row.cidr),
            since: row.since,
            until: row.until,
        })
        .collect())
}

/// What blocks that cool down were. Every vector has the same length.
#[derive(Debug, Default)]
pub struct Cooldowns {
    pub range: Vec<RangeId>,
    pub cidr: Vec<IpNet>,
    pub allocation: Vec<Uuid>,
    pub vpc: Vec<String>,
    pub name: Vec<Option<String>>,
    pub role: Vec<String>,
    pub released_at: Vec<OffsetDateTime>,
    pub free_at: Vec<OffsetDateTime>,
}

/// Inserts what blocks that cool down were; the blocks come before.
pub async fn insert_cooldowns(db: &mut Connection, rows: &Cooldowns) -> Result<()> {
    query!(
        "insert into cooldown (range_id, cidr, allocation_id, vpc, name, role, released_at, free_at)
        select * from unnest($1::integer[], $2::cidr[], $3::uuid[], $4::text[], $5::text[], $6::text[], $7::timestamptz[],
            $8::timestamptz[])",
        &rows.range,
        &rows.cidr,
        &rows.allocation,
        &rows.vpc,
        &rows.name as &[Option<String>],
        &rows.role,
        &rows.released_at,
        &rows.free_at
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Blocks that are no more. Every vector has the same length.
#[derive(Debug, Default)]
pub struct Past {
    pub vrf: Vec<Uuid>,
    pub pool_id: Vec<Uuid>,
    pub pool: Vec<String>,
    pub cidr: Vec<IpNet>,
    pub allocation: Vec<Option<Uuid>>,
    pub reservation: Vec<Option<Uuid>>,
    pub vpc: Vec<Option<String>>,
    pub name: Vec<Option<String>>,
    pub role: Vec<Option<String>>,
    pub reason: Vec<Option<String>>,
    pub since: Vec<OffsetDateTime>,
    pub until: Vec<OffsetDateTime>,
}

/// Inserts blocks that are no more, in their order.
pub async fn insert_past(db: &mut Connection, rows: &Past) -> Result<()> {
    query!(
        "insert into past_block (vrf_id, pool_id, pool, cidr, allocation_id, reservation_id, vpc, name, role, reason, since, until)
        select * from unnest($1::uuid[], $2::uuid[], $3::text[], $4::cidr[], $5::uuid[], $6::uuid[], $7::text[], $8::text[],
            $9::text[], $10::text[], $11::timestamptz[], $12::timestamptz[])",
        &rows.vrf,
        &rows.pool_id,
        &rows.pool,
        &rows.cidr,
        &rows.allocation as &[Option<Uuid>],
        &rows.reservation as &[Option<Uuid>],
        &rows.vpc as &[Option<String>],
        &rows.name as &[Option<String>],
        &rows.role as &[Option<String>],
        &rows.reason as &[Option<String>],
        &rows.since,
        &rows.until
    )
    .execute(db)
    .await?;
    Ok(())
}
