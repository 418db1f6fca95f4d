//! What those who watch the server see of the database. However many ask, and however often, the database is asked once
//! in a few seconds, and has little time for its answer.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use ipam_shared::api::pool::Pool;
use tokio::{sync::Mutex, time::timeout};

use super::{Ipam, change::detached};
use crate::{
    db::{self, pool},
    error::{Error, Result},
};

/// How long an answer, or that there was none, holds.
const KEPT: Duration = Duration::from_secs(5);
/// Time for the answer, waiting for a connection included. The database itself gives up before.
const PATIENCE: Duration = Duration::from_secs(3);

/// The last answer.
#[derive(Debug, Default)]
pub(super) struct Watch(Mutex<Option<Answer>>);

#[derive(Debug)]
struct Answer {
    at: Instant,
    /// All pools, or none if the database was away.
    pools: Option<Arc<[Pool]>>,
}

impl Ipam {
    /// All pools as they were at most a few seconds ago; none if the database is away, too slow, or takes no writes.
    pub async fn watched_pools(&self) -> Option<Arc<[Pool]>> {
        let ipam = self.clone();
        // Whoever gives up waiting does not end the question: the next one would ask it again.
        let watched = detached(async move {
            let mut last = ipam.watch.0.lock().await;
            if let Some(answer) = &*last
                && answer.at.elapsed() < KEPT
            {
                return Ok(answer.pools.clone());
            }
            let pools = match timeout(PATIENCE, ipam.ask_for_pools()).await {
                Ok(Ok(pools)) => Some(pools.into()),
                Ok(Err(error)) => {
                    tracing::warn!(%error, "metrics without pools: the database gave no answer");
                    None
                }
                Err(_) => {
                    tracing::warn!("metrics without pools: the database was too slow");
                    None
                }
            };
            *last = Some(Answer {
                at: Instant::now(),
                pools: pools.clone(),
            });
            Ok(pools)
        });
        watched.await.ok().flatten()
    }

    async fn ask_for_pools(&self) -> Result<Vec<Pool>> {
        let statement = "begin read only; set local statement_timeout = '2s'";
        let mut transaction = self.db.begin_read(statement).await?;
        if !db::is_writable(&mut *transaction).await? {
            return Err(Error::Unavailable("the database takes no writes", None));
        }
        let pools = pool::all(&mut transaction).await?;
        transaction.rollback().await?;
        Ok(pools)
    }
}
