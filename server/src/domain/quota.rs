//! Quotas: how many addresses of a pool the allocations may hold that a token's limits cover.
//!
//! What counts is what is stored, whoever made it: so two tokens with the same limits share their quotas, and one that takes
//! the place of another begins where that one is. What is asked is whoever carries a quota: for a caller without one nothing
//! is read, and nothing is refused.
//!
//! The lock of a pool makes that exact. Everything that takes addresses of a pool holds it until the commit, so what a
//! statement reads under it is what is held, on every server. What a token itself does without that lock, such as to move an
//! allocation or to label it anew, changes nothing that it has to cover before and afterwards.

use std::collections::{BTreeMap, BTreeSet};

use ipam_shared::{
    api::token::QuotaUsage,
    ids::{PoolId, TokenId},
};

use super::Ipam;
use crate::{
    db::{
        Connection,
        quota::{self, Quota},
    },
    error::{Error, Exceeded, Result},
};

/// What a token may still take of some pools.
#[derive(Debug)]
pub(super) struct Allowance {
    token: TokenId,
    quotas: Vec<Quota>,
}

/// Addresses by pool.
pub(super) type Addresses = BTreeMap<PoolId, u128>;

impl Allowance {
    /// Reads it. The caller holds the locks of these pools, or decides nothing.
    pub(super) async fn read(
        db: &mut Connection,
        token: TokenId,
        pools: &BTreeSet<PoolId>,
    ) -> Result<Self> {
        let pools: Vec<_> = pools.iter().copied().collect();
        let quotas = quota::of_token(db, token, Some(&pools)).await?;
        // Without the token nobody knows any more what its limits cover.
        let quotas = quotas.ok_or_else(|| {
            Error::Forbidden("this token was revoked meanwhile; use another one".to_owned())
        })?;
        Ok(Self { token, quotas })
    }

    /// Whose it is.
    pub(super) fn token(&self) -> TokenId {
        self.token
    }

    /// Takes that many addresses, or none and says which quotas forbid it.
    pub(super) fn take(&mut self, asked: &Addresses) -> Result<(), Vec<Exceeded>> {
        let of = |quota: &Quota| {
            let pool = quota.pool.as_ref()?;
            let asked = asked.get(&pool.id).copied().filter(|asked| *asked > 0)?;
            Some((asked, pool.path.clone()))
        };
        let exceeded: Vec<_> = self
            .quotas
            .iter()
            .filter_map(|quota| {
                let (asked, pool) = of(quota)?;
                let is_within =
                    (quota.held.checked_add(asked)).is_some_and(|held| held <= quota.addresses);
                (!is_within).then_some(Exceeded {
                    pool,
                    quota: quota.addresses,
                    held: quota.held,
                    asked,
                })
            })
            .collect();
        if !exceeded.is_empty() {
            return Err(exceeded);
        }
        for quota in &mut self.quotas {
            if let Some((asked, _)) = of(quota) {
                quota.held = quota.held.saturating_add(asked);
            }
        }
        Ok(())
    }
}

impl Ipam {
    /// How much of its quotas a token uses; nothing if it has none, or was revoked.
    pub async fn usage(&self, token: TokenId) -> Result<Vec<QuotaUsage>> {
        let mut connection = self.db.read().await?;
        let quotas = quota::of_token(&mut connection, token, None).await?;
        let usage = quotas.unwrap_or_default().into_iter();
        Ok(usage
            .map(|quota| QuotaUsage {
                quota: quota.quota,
                pool_id: quota.pool.map(|pool| pool.id),
                addresses: quota.addresses,
                used_addresses: quota.held,
            })
            .collect())
    }
}

#[cfg(test)]
mod tests {
    use ipam_shared::ids::PoolId;

    use super::*;
    use crate::db::quota::Pool;

    fn allowance(quotas: &[(PoolId, u128, u128)]) -> Allowance {
        let quotas = quotas.iter().map(|(id, addresses, held)| Quota {
            quota: "p".to_owned(),
            pool: Some(Pool {
                id: *id,
                path: "default/p".to_owned(),
            }),
            addresses: *addresses,
            held: *held,
        });
        Allowance {
            token: TokenId::generate(),
            quotas: quotas.collect(),
        }
    }

    #[test]
    fn all_or_nothing_is_taken_up_to_the_last_address() {
        let (one, other, free) = (PoolId::generate(), PoolId::generate(), PoolId::generate());
        let mut allowance = allowance(&[(one, 100, 36), (other, 0, 0)]);
        let exceeded = allowance.take(&Addresses::from([(one, 64), (other, 1)]));
        assert_eq!(exceeded.unwrap_err().len(), 1);
        allowance
            .take(&Addresses::from([(one, 64), (other, 0), (free, 1 << 96)]))
            .unwrap();
        let exceeded = allowance.take(&Addresses::from([(one, 1)])).unwrap_err();
        assert_eq!((exceeded[0].held, exceeded[0].asked), (100, 1));
    }

    #[test]
    fn what_is_held_beyond_a_quota_only_refuses_more() {
        let pool = PoolId::generate();
        let mut allowance = allowance(&[(pool, 10, u128::MAX)]);
        assert!(
            allowance
                .take(&Addresses::from([(pool, u128::MAX)]))
                .is_err()
        );
        allowance.take(&Addresses::from([(pool, 0)])).unwrap();
    }
}
