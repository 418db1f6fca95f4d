//! What came and went between two moments.

use std::collections::BTreeMap;

use ipam_shared::cidr::Cidr;
use time::OffsetDateTime;

use super::{SHAPES, Sheet, sheets};
use crate::{
    db::{
        Connection,
        map::{self, Holder, Part, Used},
    },
    drawing::Layout,
    error::Result,
    network::RangeId,
};

/// What is different at a later moment.
#[derive(Clone, Debug)]
pub enum Difference {
    /// Each block.
    Exact(Vec<Changed>),
    /// The maps of the earlier moment: there are too many blocks to compare them one by one.
    Estimated(Vec<Sheet>),
}

/// One block that is not as it was.
#[derive(Clone, Debug, PartialEq)]
pub enum Changed {
    /// It was not there.
    Added(Used),
    /// It is there no longer.
    Ended(Used),
    /// Its holder has a larger or smaller one here: what it had, and what it has.
    Resized(Used, Used),
}

impl Changed {
    /// The block: as it is now, if it is still there.
    fn used(&self) -> &Used {
        match self {
            Self::Added(used) | Self::Ended(used) | Self::Resized(_, used) => used,
        }
    }

    /// Its network.
    pub fn cidr(&self) -> Cidr {
        self.used().cidr
    }

    /// The range that it lies in.
    pub fn range(&self) -> RangeId {
        self.used().range
    }
}

/// What is different in these parts at `at`, or now, from what it was at `since`.
pub async fn difference(
    db: &mut Connection,
    parts: &[Part],
    layout: Layout,
    since: OffsetDateTime,
    at: Option<OffsetDateTime>,
) -> Result<Difference> {
    let most = i64::from(SHAPES);
    if !map::are_more(db, parts, most).await? {
        let before = map::blocks(db, parts, Some(since), None, most + 1).await?;
        let after = map::blocks(db, parts, at, None, most + 1).await?;
        if before.len().max(after.len()) <= SHAPES as usize {
            return Ok(Difference::Exact(compared(before, after)));
        }
    }
    let before = sheets(db, parts.to_vec(), layout, Some(since)).await?;
    Ok(Difference::Estimated(before))
}

/// What somebody has, so that it is found again: what cools down belongs to nobody.
fn held(used: Vec<Used>) -> BTreeMap<(Cidr, String), Used> {
    let key = |used: &Used| match &used.holder {
        Holder::Allocation { id, .. } => Some(id.to_string()),
        Holder::Reservation { id, .. } => Some(id.to_string()),
        Holder::Child { id, .. } => Some(id.to_string()),
        Holder::Cooling { .. } => None,
        Holder::Other { .. } => Some(used.since.to_string()),
    };
    used.into_iter()
        .filter_map(|used| Some(((used.cidr, key(&used)?), used)))
        .collect()
}

fn compared(before: Vec<Used>, after: Vec<Used>) -> Vec<Changed> {
    let (mut before, mut after) = (held(before), held(after));
    let same: Vec<_> = before
        .keys()
        .filter(|key| after.contains_key(key))
        .cloned()
        .collect();
    for key in same {
        before.remove(&key);
        after.remove(&key);
    }
    let mut changes = Vec::new();
    for ((cidr, holder), used) in after {
        let had = before
            .keys()
            .find(|(had, by)| *by == holder && had.overlaps(cidr))
            .cloned()
            .and_then(|key| before.remove(&key));
        changes.push(match had {
            Some(had) => Changed::Resized(had, used),
            None => Changed::Added(used),
        });
    }
    changes.extend(before.into_values().map(Changed::Ended));
    changes.sort_by_key(Changed::cidr);
    changes
}

#[cfg(test)]
mod tests {
    use ipam_shared::{ids::AllocationId, labels::Labels};

    use super::*;

    fn used(cidr: &str, id: u128) -> Used {
        Used {
            range: 1,
            cidr: cidr.parse().unwrap(),
            holder: Holder::Allocation {
                id: AllocationId(uuid::Uuid::from_u128(id)),
                vpc: "v".to_owned(),
                name: None,
                labels: Labels::default(),
            },
            since: OffsetDateTime::UNIX_EPOCH,
        }
    }

    fn cooling(cidr: &str) -> Used {
        Used {
            holder: Holder::Cooling {
                until: OffsetDateTime::UNIX_EPOCH,
            },
            ..used(cidr, 0)
        }
    }

    #[test]
    fn what_stays_is_not_told_and_what_grows_is_one_change() {
        let before = vec![
            used("10.0.0.0/24", 1),
            used("10.0.1.0/24", 2),
            used("10.0.2.0/24", 3),
            used("10.0.8.0/24", 5),
            cooling("10.0.9.0/24"),
        ];
        let after = vec![
            used("10.0.0.0/24", 1),
            cooling("10.0.1.0/24"),
            used("10.0.2.0/23", 3),
            used("10.0.4.0/24", 4),
            // The same network, and somebody else.
            used("10.0.8.0/24", 6),
        ];
        let expected = vec![
            Changed::Ended(used("10.0.1.0/24", 2)),
            Changed::Resized(used("10.0.2.0/24", 3), used("10.0.2.0/23", 3)),
            Changed::Added(used("10.0.4.0/24", 4)),
            Changed::Added(used("10.0.8.0/24", 6)),
            Changed::Ended(used("10.0.8.0/24", 5)),
        ];
        assert_eq!(compared(before, after), expected);
        assert_eq!(compared(vec![], vec![]), []);
    }
}
