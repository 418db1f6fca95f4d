//! What monitoring sees of the database. However many ask, and however often, the database is asked only once in a few
//! seconds, with a short timeout.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use ipam_shared::api::{pool::Pool, webhook::Webhook};
use tokio::{sync::Mutex, time::timeout};

use super::{Ipam, change::detached};
use crate::{
    db::{self, pool, webhook},
    error::{Error, Result},
};

/// How long a result is valid, including that there was no answer.
const KEPT: Duration = Duration::from_secs(5);
/// Timeout for the answer, including the wait for a connection. The database itself gives up earlier.
const PATIENCE: Duration = Duration::from_secs(3);

/// The last answer.
#[derive(Debug, Default)]
pub(super) struct Watch(Mutex<Option<Answer>>);

#[derive(Debug)]
struct Answer {
    at: Instant,
    /// None if the database was unavailable.
    found: Option<Arc<Watched>>,
}

/// What monitoring sees.
#[derive(Debug)]
pub struct Watched {
    /// All pools.
    pub pools: Vec<Pool>,
    /// All webhooks.
    pub webhooks: Vec<Webhook>,
}

impl Ipam {
    /// All pools and webhooks as they were at most a few seconds ago; none if the database is unavailable, too slow, or takes no writes.
    pub async fn watched(&self) -> Option<Arc<Watched>> {
        let ipam = self.clone();
        // A caller that gives up waiting does not cancel the query: the next one would have to repeat it.
        let watched = detached(async move {
            let mut last = ipam.watch.0.lock().await;
            if let Some(answer) = &*last
                && answer.at.elapsed() < KEPT
            {
                return Ok(answer.found.clone());
            }
            let found = match timeout(PATIENCE, ipam.ask_for_watched()).await {
                Ok(Ok(found)) => Some(Arc::new(found)),
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
                found: found.clone(),
            });
            Ok(found)
        });
        watched.await.ok().flatten()
    }

    async fn ask_for_watched(&self) -> Result<Watched> {
        let statement = "begin read only; set local statement_timeout = '2s'";
        let mut transaction = self.db.begin_read(statement).await?;
        if !db::is_writable(&mut *transaction).await? {
            return Err(Error::Unavailable("the database takes no writes", None));
        }
        let pools = pool::all(&mut transaction).await?;
        let webhooks = webhook::all(&mut transaction).await?;
        transaction.rollback().await?;
        Ok(Watched { pools, webhooks })
    }
}
