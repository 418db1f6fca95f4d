//! What is out of circulation in the whole database, to be compared with a newer record of it.

use std::collections::HashMap;

use ipam_shared::cidr::Cidr;
use sqlx::query;
use uuid::Uuid;

use crate::{db::Connection, error::Result};

/// A network that nobody else gets.
#[derive(Clone, Debug)]
pub struct Taken {
    /// The network.
    pub cidr: Cidr,
    /// The allocation that owns it.
    pub allocation: Option<Uuid>,
    /// The allocation's name, behind that of its VPC.
    pub name: Option<String>,
    /// Whether it is a reservation.
    pub is_reserved: bool,
    /// Whether it is a range of a child pool, in which there is more to be looked at.
    pub is_child_range: bool,
}

/// All that is out of circulation, by VRF.
pub async fn taken(db: &mut Connection) -> Result<HashMap<String, Vec<Taken>>> {
    let rows = query!(
        r#"select vrf.name as "vrf!", taken.cidr as "cidr!", allocation_id, is_reserved as "is_reserved!",
            is_child_range as "is_child_range!",
            case when allocation.vpc_id is not null then vpc.name || coalesce('/' || allocation.name, '') end as name
        from (
            select vrf_id, block.cidr, allocation_id, false as is_reserved,
                exists (select from pool_range as child where child.parent_range_id = block.range_id
                    and child.cidr = block.cidr) as is_child_range
            from block join pool_range using (range_id) where reservation_id is null
            union all
            select vrf_id, cidr, null, true, false from reservation
        ) as taken join vrf using (vrf_id) left join allocation using (allocation_id)
            left join vpc on vpc.vpc_id = allocation.vpc_id
        order by vrf.name, taken.cidr"#
    )
    .fetch_all(db)
    .await?;
    let mut taken: HashMap<String, Vec<Taken>> = HashMap::new();
    for row in rows {
        taken.entry(row.vrf).or_default().push(Taken {
            cidr: Cidr::from(row.cidr),
            allocation: row.allocation_id,
            name: row.name,
            is_reserved: row.is_reserved,
            is_child_range: row.is_child_range,
        });
    }
    Ok(taken)
}
