//! How full cells are, where there are too many blocks to draw.

use ipam_shared::cidr::Cidr;
use sqlx::{query, types::ipnet::IpNet};
use time::OffsetDateTime;

use super::Part;
use crate::{
    db::{Connection, convert},
    error::Result,
};

/// What was found in one part of a range.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    /// Blocks that begin in it and were found to be there.
    pub blocks: u32,
    /// How many of those that are there now were examined for that, whether they were there at the time or not.
    pub examined: u32,
    /// The part of it that they take, from 0 to 1.
    pub used: f64,
    /// The last of these.
    pub last: Option<Cidr>,
    /// Whether a block that begins before it reaches into it, and so covers it.
    pub covered: bool,
}

/// For each of these cells of a part, the first `sample` blocks in it, summed up; or those that were in it at some time.
pub async fn samples(
    db: &mut Connection,
    part: &Part,
    cells: &[Cidr],
    at: Option<OffsetDateTime>,
    sample: i64,
) -> Result<Vec<Sample>> {
    match at {
        None => present(db, part, cells, sample).await,
        Some(at) => past(db, part, cells, at, sample).await,
    }
}

/// The cells' first and last addresses.
fn columns(cells: &[Cidr]) -> (Vec<IpNet>, Vec<IpNet>) {
    let lasts = cells.iter().map(|cell| IpNet::from(cell.last()));
    (convert::nets(cells.iter().copied()), lasts.collect())
}

/// A statement of its own: the index has everything that it reads.
async fn present(
    db: &mut Connection,
    part: &Part,
    cells: &[Cidr],
    sample: i64,
) -> Result<Vec<Sample>> {
    let (firsts, lasts) = columns(cells);
    let rows = query!(
        r#"select blocks as "blocks!", used as "used!", last as "last: IpNet",
            coalesce(before.cidr >>= cell.first, false) as "covered!"
        from unnest($2::cidr[], $3::cidr[]) with ordinality as cell (first, last_address, place)
            left join lateral (
                select cidr from block where range_id = $1 and cidr < cell.first order by cidr desc limit 1
            ) as before on true
            cross join lateral (
                select count(*)::integer as blocks, max(cidr::inet)::cidr as last,
                    coalesce(sum(2.0::float8 ^ (masklen(cell.first) - masklen(cidr))), 0) as used
                from (
                    select cidr from block where range_id = $1 and cidr >= cell.first and cidr <= cell.last_address
                    order by cidr limit $4
                ) as first
            ) as inside
        order by place"#,
        part.range,
        &firsts,
        &lasts,
        sample
    )
    .fetch_all(db)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| {
            let blocks = u32::try_from(row.blocks).unwrap_or_default();
            Sample {
                blocks,
                examined: blocks,
                used: row.used,
                last: row.last.map(Cidr::from),
                covered: row.covered,
            }
        })
        .collect())
}

/// The same at a moment, also of what has ended since then. The same blocks are examined for every moment: so it is bounded,
/// and two moments can be compared. They alone decide how far is seen; what has ended behind that is not counted, or else it
/// would be seen at one moment and not at the other.
async fn past(
    db: &mut Connection,
    part: &Part,
    cells: &[Cidr],
    at: OffsetDateTime,
    sample: i64,
) -> Result<Vec<Sample>> {
    let (firsts, lasts) = columns(cells);
    let rows = query!(
        r#"select blocks as "blocks!", examined as "examined!", used as "used!", last as "last: IpNet",
            (coalesce(before.cidr >>= cell.first and before.since <= $5, false) or exists (
                select from past_block where cidr >> cell.first and pool_id = $6 and since <= $5 and until > $5
            )) as "covered!"
        from unnest($2::cidr[], $3::cidr[]) with ordinality as cell (first, last_address, place)
            left join lateral (
                select cidr, since from block where range_id = $1 and cidr < cell.first order by cidr desc limit 1
            ) as before on true
            cross join lateral (
                with here as materialized (
                    select cidr, since <= $5 as was from block
                    where range_id = $1 and cidr >= cell.first and cidr <= cell.last_address
                    order by cidr limit $4
                ), reach as (
                    select count(*)::integer as examined, max(cidr::inet)::cidr as last from here
                )
                select count(*) filter (where was)::integer as blocks, (select examined from reach) as examined,
                    coalesce(sum(2.0::float8 ^ (masklen(cell.first) - masklen(cidr))) filter (where was), 0) as used,
                    (select last from reach) as last
                from (
                    select cidr, was from here
                    union all
                    (select past_block.cidr, true from past_block, reach
                    where past_block.cidr <<= cell.first and pool_id = $6 and since <= $5 and until > $5
                        and (examined < $4 or past_block.cidr <= last)
                    limit $4)
                ) as there
            ) as inside
        order by place"#,
        part.range,
        &firsts,
        &lasts,
        sample,
        at,
        part.pool.0
    )
    .fetch_all(db)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| Sample {
            blocks: u32::try_from(row.blocks).unwrap_or_default(),
            examined: u32::try_from(row.examined).unwrap_or_default(),
            used: row.used,
            last: row.last.map(Cidr::from),
            covered: row.covered,
        })
        .collect())
}
