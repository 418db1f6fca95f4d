//! Searches of the dashboard: newest first, by parts of names.

use ipam_shared::{
    api::allocation::AllocationFilter,
    ids::{AllocationId, VpcId},
};
use sqlx::{Postgres, QueryBuilder, Row as _, query};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    db::{Connection, allocation, convert},
    error::Result,
};

/// How many of the newest allocations are searched for a part of a name. Beyond that, a search has to be narrowed to a VPC:
/// there is no index on parts of names, since it would slow down every allocation.
pub const NEWEST: i64 = 50_000;

/// Up to this many VPCs are searched one by one. If the names of more of them match, the newest allocations are scanned
/// instead, which soon fills a page.
const FEW_VPCS: usize = 200;

/// Ids of the allocations that pass a filter, and that have `text` in their name or in that of their VPC, the newest
/// first, before `cursor`. By their name only the [`NEWEST`] are found, unless the filter names a VPC.
pub async fn allocations(
    db: &mut Connection,
    filter: &AllocationFilter,
    label: Option<(&str, &str)>,
    text: Option<&str>,
    cursor: Option<AllocationId>,
    limit: u16,
) -> Result<Vec<AllocationId>> {
    let density = allocation::density(db, filter).await?;
    // What the page asks for of the allocations that stand before it.
    let page = |sql: &mut QueryBuilder<Postgres>| {
        allocation::conditions(sql, filter, label, density);
        if let Some(cursor) = cursor {
            sql.push(" and allocation_id < ").push_bind(cursor.0);
        }
        sql.push(" order by allocation_id desc limit ")
            .push_bind(i64::from(limit));
    };
    let mut sql = QueryBuilder::<Postgres>::new("select allocation_id from ");
    match text {
        None => {
            sql.push("allocation where true");
            page(&mut sql);
        }
        Some(text) if filter.vpc.is_some() => {
            sql.push("allocation where name ilike ")
                .push_bind(pattern(text));
            page(&mut sql);
        }
        // Each half ends with its page, so that neither finds more than that.
        Some(text) => {
            let vpcs = vpcs_named(db, text, FEW_VPCS + 1).await?;
            sql.push("((select allocation_id from (select * from allocation order by allocation_id desc limit ")
                .push_bind(NEWEST)
                .push(") as allocation where name ilike ")
                .push_bind(pattern(text));
            page(&mut sql);
            sql.push(") union (select allocation_id from ");
            if vpcs.len() <= FEW_VPCS {
                // The offset keeps the planner from going through all allocations in their order instead.
                sql.push("unnest(")
                    .push_bind(vpcs)
                    .push("::uuid[]) as named (named_id) cross join lateral (select * from allocation")
                    .push(" where allocation.vpc_id = named_id offset 0) as allocation where true");
            } else {
                sql.push("allocation where vpc_id in (select vpc_id from vpc where name ilike ")
                    .push_bind(pattern(text))
                    .push(")");
            }
            page(&mut sql);
            sql.push(")) as found order by allocation_id desc limit ")
                .push_bind(i64::from(limit));
        }
    }
    let rows = sql.build().fetch_all(db).await?;
    rows.into_iter()
        .map(|row| Ok(AllocationId(row.try_get(0)?)))
        .collect()
}

/// VPCs with `text` in their name.
async fn vpcs_named(db: &mut Connection, text: &str, limit: usize) -> Result<Vec<Uuid>> {
    let rows = query!(
        "select vpc_id from vpc where name ilike $1 limit $2",
        pattern(text),
        i64::try_from(limit).unwrap_or(i64::MAX)
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|row| row.vpc_id).collect())
}

/// A VPC as a line of a list.
#[derive(Clone, Debug)]
pub struct VpcLine {
    /// Its id.
    pub id: VpcId,
    /// Its name.
    pub name: String,
    /// Its VRF.
    pub vrf: String,
    /// Free text.
    pub description: String,
    /// How many allocations it has.
    pub allocations: u64,
    /// When it was made.
    pub created_at: OffsetDateTime,
}

/// VPCs by name, after that of `cursor`, with `text` in their name.
pub async fn vpcs(
    db: &mut Connection,
    text: Option<&str>,
    cursor: Option<VpcId>,
    limit: u16,
) -> Result<Vec<VpcLine>> {
    query!(
        r#"select vpc_id, vpc.name, vrf.name as vrf, vpc.description, vpc.created_at,
            (select count(*) from allocation where allocation.vpc_id = vpc.vpc_id) as "allocations!"
        from vpc join vrf using (vrf_id)
        where ($1::text is null or vpc.name ilike $1)
            and ($2::uuid is null or lower(vpc.name collate "C") > (select lower(name collate "C") from vpc where vpc_id = $2))
        order by lower(vpc.name collate "C") limit $3"#,
        text.map(pattern),
        cursor.map(|id| id.0),
        i64::from(limit)
    )
    .fetch_all(db)
    .await?
    .into_iter()
    .map(|row| {
        Ok(VpcLine {
            id: VpcId(row.vpc_id),
            name: row.name,
            vrf: row.vrf,
            description: row.description,
            allocations: convert::count(row.allocations)?,
            created_at: row.created_at,
        })
    })
    .collect()
}

/// Something that is found by its name, its reason or its id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// Which noun: `vrf`, `pool`, `profile`, `reservation`, `vpc` or `allocation`.
    pub kind: String,
    /// Its id.
    pub id: Uuid,
    /// Its name, or why it is reserved.
    pub name: String,
    /// Its VRF, if it belongs to one.
    pub vrf: Option<String>,
}

/// What has `text` in its name or its reason, but for allocations; at most `limit` of each noun, those that are called
/// exactly that first.
pub async fn named(db: &mut Connection, text: &str, limit: i64) -> Result<Vec<Named>> {
    let rows = query!(
        r#"select kind as "kind!", id as "id!", name as "name!", vrf from (
            (select 1 as place, 'vrf' as kind, vrf_id as id, name, null::text as vrf from vrf
            where name ilike $1 order by lower(name) <> lower($2), name limit $3)
            union all
            (select 2, 'pool', pool_id, pool.name, vrf.name from pool join vrf using (vrf_id)
            where pool.name ilike $1 order by lower(pool.name) <> lower($2), pool.name limit $3)
            union all
            (select 3, 'profile', profile_id, name, null from profile
            where name ilike $1 order by lower(name) <> lower($2), name limit $3)
            union all
            (select 4, 'reservation', reservation_id, reason, vrf.name from reservation join vrf using (vrf_id)
            where reason ilike $1 order by lower(reason) <> lower($2), reason limit $3)
            union all
            (select 5, 'vpc', vpc_id, vpc.name, vrf.name from vpc join vrf using (vrf_id)
            where vpc.name ilike $1 order by lower(vpc.name) <> lower($2), vpc.name limit $3)
        ) as found order by place, lower(name) <> lower($2), name"#,
        pattern(text),
        text,
        limit
    )
    .fetch_all(db)
    .await?;
    let named = rows.into_iter().map(|row| Named {
        kind: row.kind,
        id: row.id,
        name: row.name,
        vrf: row.vrf,
    });
    Ok(named.collect())
}

/// What has that id.
pub async fn by_id(db: &mut Connection, id: Uuid) -> Result<Option<Named>> {
    let row = query!(
        r#"select kind as "kind!", name as "name!" from (
            select 'vrf' as kind, name from vrf where vrf_id = $1
            union all select 'pool', name from pool where pool_id = $1
            union all select 'profile', name from profile where profile_id = $1
            union all select 'reservation', reason from reservation where reservation_id = $1
            union all select 'vpc', name from vpc where vpc_id = $1
            union all select 'allocation', coalesce(name, '') from allocation where allocation_id = $1
        ) as found"#,
        id
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(|row| Named {
        kind: row.kind,
        id,
        name: row.name,
        vrf: None,
    }))
}

/// Names of VPCs, for suggestions.
pub async fn vpc_names(db: &mut Connection, limit: i64) -> Result<Vec<String>> {
    let rows = query!(
        "select name from vpc order by lower(name collate \"C\") limit $1",
        limit
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|row| row.name).collect())
}

/// Anything with `text` in it.
fn pattern(text: &str) -> String {
    let escaped = text
        .replace('\\', r"\\")
        .replace('%', r"\%")
        .replace('_', r"\_");
    format!("%{escaped}%")
}
