//! Ends expired cooldowns in the background.

use std::time::Duration;

use ipam_shared::ids::PoolId;

use super::{Ipam, change::commit, space::free_space::FreeSpace};
use crate::{
    db::{
        cooldown,
        ledger::{self, Ledger},
        lock::Locks,
    },
    error::Result,
};

/// How often to check. Released space stays out of circulation for at most this much longer.
const PAUSE: Duration = Duration::from_secs(1);
/// Blocks that are freed in one transaction, so that allocations from the pool don't have to wait long.
const AT_ONCE: i64 = 500;

impl Ipam {
    /// Frees what has cooled down; how many blocks. A pool where that fails, such as one that somebody has locked, keeps no
    /// other waiting: the first error comes after all have had their turn.
    pub async fn end_cooldowns(&self) -> Result<usize> {
        let mut connection = self.read().await?;
        let pools = cooldown::due(&mut connection).await?;
        drop(connection);
        let mut ended = 0;
        let mut failed = None;
        for pool in pools {
            loop {
                match self.end_due(pool).await {
                    Ok(count) => {
                        ended += count;
                        if i64::try_from(count).unwrap_or(i64::MAX) < AT_ONCE {
                            break;
                        }
                    }
                    Err(error) => {
                        tracing::debug!(%pool, %error, "cooldowns of a pool could not be ended");
                        failed.get_or_insert(error);
                        break;
                    }
                }
            }
        }
        failed.map_or(Ok(ended), Err)
    }

    /// Frees some of what has cooled down in a pool; how many blocks.
    async fn end_due(&self, pool: PoolId) -> Result<usize> {
        let mut transaction = self.begin(&Locks::pools(&[pool])).await?;
        let due = cooldown::due_in(&mut transaction, pool, AT_ONCE).await?;
        let mut space = FreeSpace::new(due.iter().map(|due| due.range));
        let free = due.iter().flat_map(|due| &due.free);
        free.for_each(|place| space.read(*place));
        let mut ledger = Ledger::default();
        for due in &due {
            ledger.ended.push(due.place);
            space.give_back(due.place);
        }
        ledger.free = space.changes();
        ledger::write(&mut transaction, &ledger, &[]).await?;
        commit(transaction).await?;
        Ok(due.len())
    }

    /// Frees what has cooled down, forever. Several servers may do this: the pool's lock arbitrates.
    pub async fn end_cooldowns_forever(self) {
        loop {
            tokio::time::sleep(PAUSE).await;
            if let Err(error) = self.end_cooldowns().await {
                tracing::debug!(%error, "cooldowns could not be ended; trying again");
            }
        }
    }
}
