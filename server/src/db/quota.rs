//! Quotas of tokens, and what is held of them.

use ipam_shared::ids::{PoolId, TokenId};
use serde::Serialize;
use sqlx::query;
use uuid::Uuid;

use crate::{
    db::Connection,
    error::{Error, Result},
};

/// A quota, as it is stored: with its pool, and the names by which a pool that takes the place of that one is known.
#[derive(Clone, Debug, Serialize)]
pub struct Resolved {
    /// The pool, as it was named.
    pub quota: String,
    /// The pool.
    pub pool_id: PoolId,
    /// The name of its VRF.
    pub vrf: String,
    /// Its name.
    pub pool: String,
    /// In digits, so that nothing rounds it.
    pub addresses: String,
}

/// A quota, with what is held of it.
#[derive(Clone, Debug)]
pub struct Quota {
    /// The pool, as it was named.
    pub quota: String,
    /// The pool; none if it was deleted.
    pub pool: Option<Pool>,
    /// How many addresses may be held.
    pub addresses: u128,
    /// How many are held by the allocations that the token covers.
    pub held: u128,
}

/// The pool of a quota.
#[derive(Clone, Debug)]
pub struct Pool {
    /// Its id.
    pub id: PoolId,
    /// Its VRF and its name, as in `default/primary`.
    pub path: String,
}

/// The quotas of a token for these pools, or all; none if there is no such token. Under the locks of the pools, that is what
/// is held until they are given back.
pub async fn of_token(
    db: &mut Connection,
    token: TokenId,
    pools: Option<&[PoolId]>,
) -> Result<Option<Vec<Quota>>> {
    let pools: Option<Vec<Uuid>> = pools.map(|pools| pools.iter().map(|id| id.0).collect());
    let rows = query!(
        r#"select quota as "quota?", pool_id as "pool_id?", vrf || '/' || pool as "path?",
            addresses::text as "addresses?", trunc(held)::text as "held?"
        from ipam_quotas($1, $2) order by quota"#,
        token.0,
        pools.as_deref()
    )
    .fetch_all(db)
    .await?;
    if rows.is_empty() {
        return Ok(None);
    }
    let number = |text: Option<String>| match text {
        None => Ok(0),
        Some(text) => text
            .parse()
            .map_err(|_| Error::bug(format!("{text} is no number of addresses"))),
    };
    rows.into_iter()
        .filter_map(|row| Some((row.quota?, row.pool_id, row.path, row.addresses, row.held)))
        .map(|(quota, pool, path, addresses, held)| {
            let pool = pool.zip(path).map(|(id, path)| Pool {
                id: PoolId(id),
                path,
            });
            Ok(Quota {
                quota,
                pool,
                addresses: number(addresses)?,
                held: number(held)?,
            })
        })
        .collect::<Result<_>>()
        .map(Some)
}
