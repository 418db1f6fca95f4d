//! Pages of the original API: by VPC name and address, with the total number.

use ipam_shared::ids::AllocationId;
use sqlx::{Postgres, QueryBuilder, Row as _};

use crate::{db::Connection, error::Result};

/// Ids of one page, and how many allocations there are in all. Only those with a block in each of the two roles are
/// listed, since every item there has both.
///
/// The statements are planned for their values each time. A cached generic plan would read everything for every page. What
/// remains is the inherent cost of the original's pages: counting, and skipping `offset`.
pub async fn page(
    db: &mut Connection,
    roles: (&str, &str),
    vpc: Option<&str>,
    limit: i64,
    offset: i64,
) -> Result<(i64, Vec<AllocationId>)> {
    let mut sql = from("select allocation_id", roles, vpc);
    sql.push(" order by lower(vpc.name collate \"C\"), block.cidr limit ")
        .push_bind(limit);
    sql.push(" offset ").push_bind(offset);
    let rows = sql.build().persistent(false).fetch_all(&mut *db).await?;
    let ids = rows
        .into_iter()
        .map(|row| Ok(AllocationId(row.try_get(0)?)))
        .collect::<Result<Vec<_>>>()?;

    // A page that is not full is the last one, and so gives the total.
    let shown = i64::try_from(ids.len()).unwrap_or(limit);
    if shown < limit && (shown > 0 || offset == 0) {
        return Ok((offset + shown, ids));
    }
    let mut sql = from("select count(*)", roles, vpc);
    let row = sql.build().persistent(false).fetch_one(db).await?;
    Ok((row.try_get(0)?, ids))
}

/// What both statements read from. `block` is that of the first role.
fn from<'a>(
    select: &'a str,
    roles: (&'a str, &'a str),
    vpc: Option<&'a str>,
) -> QueryBuilder<Postgres> {
    let mut sql = QueryBuilder::new(select);
    sql.push(
        " from vpc join allocation using (vpc_id) join block using (allocation_id)
            join profile_member using (member_id)
        where role = ",
    )
    .push_bind(roles.0.to_owned());
    sql.push(
        " and exists (select from block as other join profile_member as other_member using (member_id)
            where other.allocation_id = allocation.allocation_id and other_member.role = ",
    )
    .push_bind(roles.1.to_owned())
    .push(")");
    if let Some(vpc) = vpc {
        sql.push(" and lower(vpc.name collate \"C\") = lower(")
            .push_bind(vpc.to_owned())
            .push(" collate \"C\")");
    }
    sql
}
