//! How much there is in all, for the overview. Exact as long as counting is cheap, and an estimate of the planner's
//! beyond, so that a large database does not make the overview slow.

use sqlx::query;

use crate::{
    db::{Connection, convert},
    error::{Error, Result},
};

/// Up to so many rows are counted.
const COUNTED: i64 = 20_000;

/// A number of rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count {
    /// How many.
    pub number: u64,
    /// Whether they were counted.
    pub exact: bool,
}

/// What the allocations of one role have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleTotal {
    /// The role, such as `primary`.
    pub role: String,
    /// Addresses left for hosts in all blocks of the role.
    pub usable: u128,
}

/// VPCs, and allocations.
pub async fn counts(db: &mut Connection) -> Result<(Count, Count)> {
    let row = query!(
        r#"select
            (select count(*) from (select from vpc limit $1::bigint + 1) as few) as "vpcs!",
            (select count(*) from (select from allocation limit $1::bigint + 1) as few) as "allocations!",
            (select greatest(reltuples, 0)::bigint from pg_class where oid = 'vpc'::regclass) as "about_vpcs!",
            (select greatest(reltuples, 0)::bigint from pg_class where oid = 'allocation'::regclass)
                as "about_allocations!""#,
        COUNTED
    )
    .fetch_one(db)
    .await?;
    let count = |counted: i64, about: i64| {
        let exact = counted <= COUNTED;
        let number = if exact { counted } else { about.max(counted) };
        Ok::<_, Error>(Count {
            number: convert::count(number)?,
            exact,
        })
    };
    Ok((
        count(row.vpcs, row.about_vpcs)?,
        count(row.allocations, row.about_allocations)?,
    ))
}

/// Usable addresses by role, counted block by block: for databases that are small enough to count.
pub async fn usable_by_role(db: &mut Connection) -> Result<Vec<RoleTotal>> {
    query!(
        r#"select coalesce(role, 'main') as "role!", sum(greatest(
                2::numeric ^ (case family when 4 then 32 else 128 end - length) - reserved_addresses, 0) * blocks)::text
                as "usable!"
        from (
            select member_id, range_id, masklen(cidr) as length, count(*) as blocks
            from block where allocation_id is not null group by 1, 2, 3
        ) as by_size
            left join profile_member using (member_id)
            join pool_range using (range_id) join pool using (pool_id, family)
        group by 1 order by min(position), 1"#
    )
    .fetch_all(db)
    .await?
    .into_iter()
    .map(|row| {
        let usable = row.usable.split('.').next().and_then(|digits| digits.parse().ok());
        Ok(RoleTotal {
            role: row.role,
            usable: usable.ok_or_else(|| Error::bug(format!("a sum of addresses is {}", row.usable)))?,
        })
    })
    .collect()
}

/// Which pool, by name, the members of profiles take their blocks from, by role.
pub async fn roles(db: &mut Connection) -> Result<Vec<(String, String)>> {
    let rows = query!(
        r#"select role, pool_name from profile_member where retired_at is null
        group by role, pool_name order by min(position), role, pool_name"#
    )
    .fetch_all(db)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| (row.role, row.pool_name))
        .collect())
}
