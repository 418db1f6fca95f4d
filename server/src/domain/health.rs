//! Whether the database can be read and written. It is checked at most once a second, however many ask.
//!
//! Once an answer did not come in time, changes are refused at once until a check finds that they work again.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{sync::Mutex, time::timeout};

use super::{
    Ipam,
    change::{detached, settle_with},
};
use crate::{
    db,
    error::{Error, Result},
};

/// How long a result is valid.
const KEPT: Duration = Duration::from_secs(1);
/// Timeout of each of the two checks, including the wait for a connection.
const PATIENCE: Duration = Duration::from_secs(2);

const NOT_TAKEN: Error = Error::Unavailable(
    "the database does not take changes at the moment, for example because commits wait for a standby that is missing; \
     nothing was changed; try again",
    None,
);

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// Why nothing can be read, if so.
    pub reads: Option<String>,
    /// Why nothing can be changed, if so.
    pub writes: Option<String>,
}

/// What was found last.
#[derive(Debug, Default)]
pub(super) struct LastHealth(Mutex<Option<Look>>);

#[derive(Debug)]
struct Look {
    began: Instant,
    ended: Instant,
    health: Arc<Health>,
}

impl Ipam {
    /// Whether reads and changes work, as of at most a second ago.
    pub async fn health(&self) -> Arc<Health> {
        let ipam = self.clone();
        // A caller that gives up waiting does not cancel the check: the next one would have to start it again.
        let looked = detached(async move {
            let mut last = ipam.health.0.lock().await;
            if let Some(look) = &*last
                && look.ended.elapsed() < KEPT
                // A result from before the missing answer says nothing.
                && ipam.db.in_doubt_since().is_none_or(|since| since < look.began)
            {
                return Ok(Arc::clone(&look.health));
            }
            let began = Instant::now();
            let health = Arc::new(ipam.look().await);
            if health.writes.is_none() {
                ipam.db.believe(began);
            }
            *last = Some(Look {
                began,
                ended: Instant::now(),
                health: Arc::clone(&health),
            });
            Ok(health)
        });
        looked.await.unwrap_or_else(|error| {
            Arc::new(Health {
                reads: Some(error.to_string()),
                writes: Some(error.to_string()),
            })
        })
    }

    /// Takes a connection for a change, and refuses the change if the database was found not to take changes, or if that
    /// came into doubt while waiting for the connection.
    pub(super) async fn unless_in_doubt<T>(
        &self,
        taken: impl Future<Output = sqlx::Result<T>>,
    ) -> Result<T> {
        if self.db.in_doubt_since().is_some() && self.health().await.writes.is_some() {
            return Err(NOT_TAKEN);
        }
        let taken = taken.await?;
        match self.db.in_doubt_since() {
            Some(_) => Err(NOT_TAKEN),
            None => Ok(taken),
        }
    }

    async fn look(&self) -> Health {
        let reads = why(timeout(PATIENCE, self.look_at_reads()).await);
        let writes = match &reads {
            Some(reason) => Some(reason.clone()),
            None => why(timeout(PATIENCE, self.look_at_writes()).await),
        };
        if let Some(reason) = &writes {
            tracing::warn!("the database takes no changes: {reason}");
        }
        Health { reads, writes }
    }

    async fn look_at_reads(&self) -> Result<()> {
        let mut connection = self.read().await?;
        if db::is_writable(&mut connection).await? {
            Ok(())
        } else {
            Err(Error::Unavailable("the database is a standby", None))
        }
    }

    /// Commits something, unless commits are known to wait: each one we give up on keeps waiting in the database.
    async fn look_at_writes(&self) -> Result<()> {
        let mut connection = self.read().await?;
        if db::commits_wait(&mut connection).await? {
            return Err(Error::Unavailable(
                "commits wait for a standby that does not answer",
                None,
            ));
        }
        drop(connection);
        // Bypasses the check that refuses changes while that is in doubt.
        settle_with(self.db.begin_change("begin").await?).await
    }
}

fn why(looked: std::result::Result<Result<()>, tokio::time::error::Elapsed>) -> Option<String> {
    match looked {
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some(error.to_string()),
        Err(_) => Some(format!("no answer within {} s", PATIENCE.as_secs())),
    }
}
