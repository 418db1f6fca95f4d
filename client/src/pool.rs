//! Calls about pools.

use ipam_shared::{
    api::pool::{NewPool, Pool, PoolFilter, PoolPatch},
    cidr::Cidr,
    ids::{Claim, PoolId},
    name::Name,
    page::Page,
};

use crate::{
    Client, Error,
    noun::{Created, Named, Noun, is, same_vrf, unless_unknown},
};

impl Noun for Pool {
    const PATH: &'static str = "pools";
    const WORD: &'static str = "pool";
    type Patch = PoolPatch;

    fn id(&self) -> String {
        self.id.to_string()
    }

    /// Ranges by prefix length are left to [`Client::update_pool`], which knows the previous ones.
    fn shows(&self, patch: &PoolPatch) -> bool {
        patch
            .name
            .as_ref()
            .is_none_or(|name| name.as_str() == self.name)
            && patch
                .ranges
                .as_ref()
                .is_none_or(|ranges| has_ranges(self, ranges, &patch.add_range_prefix_lengths))
            && is(patch.min_prefix_length.as_ref(), &self.min_prefix_length)
            && is(patch.max_prefix_length.as_ref(), &self.max_prefix_length)
            && is(
                patch.default_prefix_length.as_ref(),
                &self.default_prefix_length,
            )
            && is(patch.reserved_addresses.as_ref(), &self.reserved_addresses)
            && is(patch.strategy.as_ref(), &self.strategy)
            && is(
                patch.release_cooldown_seconds.as_ref(),
                &self.release_cooldown_seconds,
            )
            && is(patch.labels.as_ref(), &self.labels)
            && is(patch.required_labels.as_ref(), &self.required_labels)
            && is(patch.description.as_ref(), &self.description)
    }
}

impl Named for Pool {
    type New = NewPool;

    fn is_named_by(&self, new: &NewPool) -> bool {
        self.name == new.name.as_str() && same_vrf(new.vrf.as_ref(), &self.vrf)
    }
}

impl Client {
    /// Creates a pool. Repeating it is safe: until it is confirmed, the same request of the same owner returns the same
    /// pool.
    pub async fn create_pool(&self, request: &NewPool) -> Result<Created<Pool>, Error> {
        self.create(request).await
    }

    /// The pool with that id, or with that name if only one VRF has such a pool; with what is left of it. The claim, if
    /// there is one, confirms that the reader owns it.
    pub async fn get_pool(&self, id_or_name: &str, claim: Option<Claim>) -> Result<Pool, Error> {
        self.get(id_or_name, claim).await
    }

    /// One page of the pools that match the filter, with what is left of them.
    pub async fn list_pools(&self, filter: &PoolFilter) -> Result<Page<Pool>, Error> {
        self.list(Pool::PATH, filter).await
    }

    /// All pools that match the filter, from its cursor on, with what is left of them.
    pub async fn all_pools(&self, filter: &PoolFilter) -> Result<Vec<Pool>, Error> {
        self.all(Pool::PATH, filter).await
    }

    /// The first ones that match the filter, at most `most`, which is at least 1, and whether there may be more.
    pub async fn first_pools(
        &self,
        filter: &PoolFilter,
        most: usize,
    ) -> Result<(Vec<Pool>, bool), Error> {
        self.first(Pool::PATH, filter, most).await
    }

    /// The pools of that name: at most one in each VRF, or in the VRF of that name only.
    pub async fn find_pools(&self, name: &Name, vrf: Option<&str>) -> Result<Vec<Pool>, Error> {
        let filter = PoolFilter {
            name: Some(name.to_string()),
            vrf: vrf.map(ToOwned::to_owned),
            ..PoolFilter::default()
        };
        let mut found = unless_unknown(self.all_pools(&filter).await)?;
        found.retain(|found| found.name == name.as_str() && vrf.is_none_or(|vrf| vrf == found.vrf));
        Ok(found)
    }

    /// Changes a pool. With `revision` only if nobody has changed it since; a repeated request that finds its own change
    /// succeeds.
    ///
    /// Ranges by prefix length are added to the existing ones, so repeating the request would add twice as many. Such a
    /// change is therefore always tied to a revision: if none is given, to that of the pool as it is now.
    pub async fn update_pool(
        &self,
        id: PoolId,
        patch: &PoolPatch,
        revision: Option<i64>,
    ) -> Result<Pool, Error> {
        let id = id.to_string();
        if patch.add_range_prefix_lengths.is_empty() {
            return self.update(&id, patch, revision).await;
        }
        let before: Pool = self.get(&id, None).await?;
        let revision = revision.unwrap_or(before.revision);
        let kept = patch.ranges.as_ref().unwrap_or(&before.ranges);
        self.update_unless(&id, patch, Some(revision), |found: &Pool| {
            found.shows(patch)
                && revision == before.revision
                && has_ranges(found, kept, &patch.add_range_prefix_lengths)
        })
        .await
    }

    /// Deletes a pool that has no blocks and no child pools. With `revision` only if nobody has changed it since. A repeated
    /// request that finds it deleted succeeds.
    pub async fn delete_pool(&self, id: PoolId, revision: Option<i64>) -> Result<(), Error> {
        self.delete_by_id::<Pool>(&id.to_string(), revision).await
    }
}

/// Whether the pool consists of these ranges, and of further ranges of these lengths.
fn has_ranges(pool: &Pool, named: &[Cidr], by_length: &[u8]) -> bool {
    let mut others: Vec<u8> = pool
        .ranges
        .iter()
        .filter(|range| !named.contains(range))
        .map(|range| range.prefix_length())
        .collect();
    let mut by_length = by_length.to_vec();
    others.sort_unstable();
    by_length.sort_unstable();
    named.iter().all(|range| pool.ranges.contains(range)) && others == by_length
}
