//! Ends cooldowns whose time is over, in the background.

use std::time::Duration;

use super::{Ipam, commit, space::free_list::give_back};
use crate::{
    db::{cooldown, pool},
    error::Result,
};

/// How often it is looked. Released space is out of circulation for at most so much longer.
const PAUSE: Duration = Duration::from_secs(1);
/// Blocks that are freed in one transaction, so that allocations from the pool are not kept waiting.
const AT_ONCE: i64 = 500;

impl Ipam {
    /// Frees what has cooled down; how many blocks.
    pub async fn end_cooldowns(&self) -> Result<usize> {
        let mut connection = self.read().await?;
        let pools = cooldown::due(&mut connection).await?;
        drop(connection);
        let mut ended = 0;
        for pool in pools {
            loop {
                let mut transaction = self.begin().await?;
                let ranges = pool::lock(&mut transaction, &[pool]).await?;
                let ids: Vec<_> = ranges.iter().map(|range| range.id).collect();
                let places = cooldown::delete_due(&mut transaction, &ids, AT_ONCE).await?;
                let count = places.len();
                give_back(&mut transaction, ranges, places).await?;
                commit(transaction).await?;
                ended += count;
                if i64::try_from(count).unwrap_or(i64::MAX) < AT_ONCE {
                    break;
                }
            }
        }
        Ok(ended)
    }

    /// Frees what has cooled down, for ever. Several servers may do so: the lock of the pool decides.
    pub async fn end_cooldowns_forever(self) {
        loop {
            tokio::time::sleep(PAUSE).await;
            if let Err(error) = self.end_cooldowns().await {
                tracing::debug!(%error, "cooldowns could not be ended; trying again");
            }
        }
    }
}
