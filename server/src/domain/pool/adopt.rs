//! A pool that is asked for again: what must match for it to be the existing one.

use ipam_shared::{
    api::pool::{NewPool, Pool, PoolPatch},
    cidr::Family,
    ids::{PoolId, VrfId},
};
use serde_json::json;

use super::{no_parent, rules::family};
use crate::{
    db::pool,
    domain::{
        change::{Change, set, was},
        named::there,
        ownership::{Maker, Title, adopt, may_adopt},
    },
    error::Result,
};

/// The request, with its defaults filled in.
struct Wanted<'a> {
    new: &'a NewPool,
    family: Family,
    parent: Option<PoolId>,
}

impl Wanted<'_> {
    /// The fields in which an existing pool differs from the request. Ranges that were requested by size are compared by
    /// size, wherever they lie.
    fn differences(&self, there: &Pool) -> Vec<&'static str> {
        let Self {
            new,
            family,
            parent,
        } = self;
        let longest = new.max_prefix_length.unwrap_or(family.bits());
        [
            ("family", there.family != *family),
            ("parent", there.parent_id != *parent),
            ("ranges", !has_ranges(there, new)),
            (
                "min_prefix_length",
                there.min_prefix_length != new.min_prefix_length,
            ),
            ("max_prefix_length", there.max_prefix_length != longest),
            (
                "default_prefix_length",
                there.default_prefix_length != new.default_prefix_length,
            ),
            (
                "reserved_addresses",
                there.reserved_addresses != new.reserved_addresses,
            ),
            ("strategy", there.strategy != new.strategy),
            (
                "release_cooldown_seconds",
                there.release_cooldown_seconds != new.release_cooldown_seconds,
            ),
            (
                "required_labels",
                there.required_labels != new.required_labels,
            ),
        ]
        .into_iter()
        .filter_map(|(field, differs)| differs.then_some(field))
        .collect()
    }
}

/// Whether a pool consists of the ranges that are named, and of further ranges of the requested sizes.
fn has_ranges(there: &Pool, new: &NewPool) -> bool {
    let others = there
        .ranges
        .iter()
        .filter(|range| !new.ranges.contains(range));
    let mut others: Vec<u8> = others.map(|range| range.prefix_length()).collect();
    let mut sizes = new.range_prefix_lengths.clone();
    others.sort_unstable();
    sizes.sort_unstable();
    new.ranges.iter().all(|range| there.ranges.contains(range)) && others == sizes
}

/// Lets the caller adopt a pool, whose VRF is locked.
pub(super) async fn take(
    change: &mut Change,
    maker: &Maker,
    vrf: VrfId,
    id: PoolId,
    new: &NewPool,
) -> Result<Pool> {
    pool::lock(&mut change.db, &[id]).await?;
    let mut pool: Pool = there(&mut change.db, id).await?;
    may_adopt(&mut change.db, maker, &pool).await?;
    // It can't change under the lock of the VRF.
    let parent = match &new.parent {
        Some(key) => {
            let id = pool::find_in(&mut change.db, vrf, key.parse().ok(), key).await?;
            let id = id.ok_or_else(|| no_parent(&pool.vrf, key))?;
            Some(there::<Pool>(&mut change.db, id).await?)
        }
        None => None,
    };
    let wanted = Wanted {
        new,
        family: family(new, parent.as_ref())?,
        parent: parent.map(|parent| parent.id),
    };
    let differences = wanted.differences(&pool);
    if !differences.is_empty() {
        let how = format!("in {}", differences.join(", "));
        return Err(Title::of(&pool).differs(&how));
    }
    let patch = PoolPatch {
        labels: (pool.labels != new.labels).then(|| new.labels.clone()),
        description: (pool.description != new.description).then(|| new.description.clone()),
        ..PoolPatch::default()
    };
    let was = was(&pool, &patch)?;
    if patch != PoolPatch::default() {
        pool::update(&mut change.db, id, &patch, &[]).await?;
        set(&mut pool.labels, patch.labels.clone());
        set(&mut pool.description, patch.description.clone());
        pool.revision += 1;
    }
    let detail = json!({ "name": pool.name, "vrf": pool.vrf, "changed": patch, "before": was });
    adopt(&mut change.db, maker, &mut pool, detail).await?;
    Ok(pool)
}
