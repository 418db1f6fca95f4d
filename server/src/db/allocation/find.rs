//! Allocations that a filter lets through.

use ipam_shared::{
    api::allocation::AllocationFilter,
    cidr::Cidr,
    ids::{AllocationId, VpcId},
};
use sqlx::{Postgres, QueryBuilder, Row, types::ipnet::IpNet};

use crate::{
    db::{Connection, convert},
    error::Result,
};

/// Ids that pass a filter, in their order, after `cursor`. Only the conditions that are asked for become SQL, so that
/// each filter gets the plan that suits it.
pub async fn find(
    db: &mut Connection,
    filter: &AllocationFilter,
    label: Option<(&str, &str)>,
    cursor: Option<AllocationId>,
    limit: u16,
) -> Result<Vec<AllocationId>> {
    let mut sql = QueryBuilder::new("select allocation_id from allocation where true");
    let density = density(db, filter).await?;
    conditions(&mut sql, filter, label, density);
    if let Some(cursor) = cursor {
        sql.push(" and allocation_id > ").push_bind(cursor.0);
    }
    sql.push(" order by allocation_id limit ")
        .push_bind(i64::from(limit));
    let rows = sql.build().fetch_all(db).await?;
    rows.into_iter()
        .map(|row| Ok(AllocationId(row.try_get(0)?)))
        .collect()
}

/// Up to so many blocks in a network are looked up by it.
const FEW_BLOCKS: i64 = 5_000;

/// How much there is in the network that a filter names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::db) enum Density {
    /// Little: what is in it is looked up.
    Sparse,
    /// Much: a page is soon full of it, if allocations are gone through in their order. Looking up all of it would take the
    /// longer the more there is.
    Dense,
}

/// How much there is in the network that a filter names.
pub(in crate::db) async fn density(
    db: &mut Connection,
    filter: &AllocationFilter,
) -> Result<Density> {
    let Some(within) = filter.within else {
        return Ok(Density::Sparse);
    };
    let mut sql = QueryBuilder::<Postgres>::new("select count(*) from (select from");
    blocks_within(&mut sql, within);
    sql.push(" limit ")
        .push_bind(FEW_BLOCKS + 1)
        .push(") as few");
    let row = sql.build().fetch_one(db).await?;
    let found: i64 = row.try_get(0)?;
    Ok(if found > FEW_BLOCKS {
        Density::Dense
    } else {
        Density::Sparse
    })
}

/// The blocks in a network, through the tag, since that is what the index is on.
fn blocks_within(sql: &mut QueryBuilder<Postgres>, within: Cidr) {
    let net = IpNet::from(within);
    sql.push(
        " pool_range join block on block.range_id = pool_range.range_id
            and ipam_tag(block.range_id, block.cidr) <<= ipam_tag(pool_range.range_id,
                case when pool_range.cidr <<= ",
    )
    .push_bind(net)
    .push(" then pool_range.cidr else ")
    .push_bind(net)
    .push("::cidr end) where pool_range.cidr && ")
    .push_bind(net);
}

/// What a filter asks for, as conditions on `allocation`.
pub(in crate::db) fn conditions(
    sql: &mut QueryBuilder<Postgres>,
    filter: &AllocationFilter,
    label: Option<(&str, &str)>,
    density: Density,
) {
    if let Some(vpc) = &filter.vpc {
        sql.push(" and vpc_id = (select vpc_id from vpc where lower(name collate \"C\") = lower(")
            .push_bind(vpc.clone())
            .push(" collate \"C\")");
        if let Ok(id) = vpc.parse::<VpcId>() {
            sql.push(" or vpc_id = ").push_bind(id.0);
        }
        sql.push(" limit 1)");
    }
    if let Some(name) = &filter.name {
        sql.push(" and name = ").push_bind(name.clone());
    }
    if let Some(number) = filter.number {
        sql.push(" and number = ").push_bind(number);
    }
    convert::push_owned(sql, filter.owner.as_deref(), filter.confirmed);
    if let Some((key, value)) = label {
        sql.push(" and labels @> jsonb_build_object(")
            .push_bind(key.to_owned())
            .push("::text, ")
            .push_bind(value.to_owned())
            .push("::text)");
    }
    if let Some(pool) = &filter.pool {
        sql.push(
            " and exists (select from block join pool_range using (range_id) join pool using (pool_id)
                where block.allocation_id = allocation.allocation_id and ",
        );
        convert::push_named(sql, "pool", pool);
        sql.push(")");
    }
    if let Some(address) = filter.contains {
        // Through the tag, since that is what the index is on.
        let host = IpNet::from(address);
        sql.push(
            // An array is looked up by its few ids; a subquery would be merged with an ordered scan of all allocations.
            " and allocation_id = any(array(select block.allocation_id from pool_range join block
                on block.range_id = pool_range.range_id
                and ipam_tag(block.range_id, block.cidr) >>= ipam_tag(pool_range.range_id, ",
        )
        .push_bind(host)
        .push("::cidr) where pool_range.cidr >>= ")
        .push_bind(host)
        .push("))");
    }
    match (filter.within, density) {
        (None, _) => {}
        (Some(within), Density::Sparse) => {
            sql.push(" and allocation_id in (select block.allocation_id from");
            blocks_within(sql, within);
            sql.push(")");
        }
        (Some(within), Density::Dense) => {
            // The offset keeps the planner from looking up all of them first.
            sql.push(
                " and exists (select from block where block.allocation_id = allocation.allocation_id and cidr <<= ",
            )
            .push_bind(IpNet::from(within))
            .push(" offset 0)");
        }
    }
}
