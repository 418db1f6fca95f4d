//! How full pools are, and no more: the outline beside every page, and the first page.

use ipam_shared::ids::PoolId;
use sqlx::query;

use crate::{db::Connection, error::Result};

/// A pool in the outline.
#[derive(Clone, Debug, PartialEq)]
pub struct Outlined {
    /// Its id.
    pub id: PoolId,
    /// Its name.
    pub name: String,
    /// Its VRF.
    pub vrf: String,
    /// What it is cut from.
    pub parent: Option<PoolId>,
    /// The used part, from 0 to 1.
    pub utilisation: f64,
}

/// The first pools by VRF and name; those of `default` come first.
pub async fn outline(db: &mut Connection, limit: i64) -> Result<Vec<Outlined>> {
    let rows = query!(
        // Only what is shown is added up.
        r#"select pool_id, page.name, vrf, parent_pool_id,
            coalesce(1 - free.addresses / nullif(total.addresses, 0), 0) as "utilisation!"
        from (
            select pool_id, family, pool.name, vrf.name as vrf, parent_pool_id from pool join vrf using (vrf_id)
            order by vrf.name <> 'default', vrf.name, pool.name limit $1
        ) as page
            cross join lateral (
                select coalesce(sum(2.0::float8 ^ (case page.family when 4 then 32 else 128 end - masklen(cidr))), 0) as addresses
                from pool_range where pool_id = page.pool_id
            ) as total
            cross join lateral (
                select coalesce(sum(blocks * 2.0::float8 ^ host_bits), 0) as addresses
                from free_count join pool_range using (range_id) where pool_id = page.pool_id
            ) as free
        order by vrf <> 'default', vrf, page.name"#,
        limit
    )
    .fetch_all(db)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| Outlined {
            id: PoolId(row.pool_id),
            name: row.name,
            vrf: row.vrf,
            parent: row.parent_pool_id.map(PoolId),
            utilisation: row.utilisation.clamp(0.0, 1.0),
        })
        .collect())
}

/// The pools of which most is used, those first; and how many pools there are.
pub async fn fullest(db: &mut Connection, limit: i64) -> Result<(Vec<PoolId>, i64)> {
    let rows = query!(
        // Every pool is added up, so all of them together and not one by one.
        r#"select pool_id, count(*) over () as "count!"
        from pool left join (
            select pool_id, sum(coalesce(free.addresses, 0))
                / sum(2.0::float8 ^ (case family when 4 then 32 else 128 end - masklen(cidr))) as share
            from pool_range left join (
                select range_id, sum(blocks * 2.0::float8 ^ host_bits) as addresses from free_count group by range_id
            ) as free using (range_id)
            group by pool_id
        ) as free using (pool_id)
        order by share, pool_id limit $1"#,
        limit
    )
    .fetch_all(db)
    .await?;
    let count = rows.first().map_or(0, |row| row.count);
    Ok((
        rows.into_iter().map(|row| PoolId(row.pool_id)).collect(),
        count,
    ))
}
