//! The rules, and the only place that begins and commits a transaction. Knows nothing of HTTP.
//!
//! Locks are taken in one order everywhere, so that no two changes wait for each other: the VRF, by changes of pools, ranges
//! and reservations only; then pools by id, the VPC, the allocation.

pub(crate) mod address_plan;
pub mod allocation;
mod batch;
pub mod cooldown;
pub mod lookup;
mod nest;
pub mod plan;
pub mod pool;
mod pool_rules;
mod profile;
mod queue;
mod range;
pub mod reconcile;
mod reservation;
mod resize;
pub mod seal;
mod sizing;
pub mod space;
mod transfer;
pub mod verify;
pub mod vpc;
pub mod vrf;
mod watch;

use std::sync::Arc;

use ipam_shared::ids::PoolId;
use sqlx::{AssertSqlSafe, Postgres, Transaction, pool::PoolConnection};

pub use crate::db::event::Caller;
use crate::{
    db::{
        address_plan as address_plan_rows,
        connections::Connections,
        error::{is_connection, is_unknown},
    },
    error::{Error, Result},
    metrics::Metrics,
};

/// The domain over one database. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Ipam {
    db: Connections,
    queues: Arc<queue::Queues>,
    memory: Arc<address_plan::Memory>,
    competition: Arc<batch::Competition>,
    watch: Arc<watch::Watch>,
    metrics: Arc<Metrics>,
}

impl Ipam {
    /// Over a database that has been migrated.
    pub fn new(db: impl Into<Connections>) -> Self {
        Self {
            db: db.into(),
            queues: Arc::default(),
            memory: Arc::default(),
            competition: Arc::default(),
            watch: Arc::default(),
            metrics: Arc::default(),
        }
    }

    /// A connection for reads that carry no rule.
    pub async fn read(&self) -> Result<PoolConnection<Postgres>> {
        Ok(self.db.usual.acquire().await?)
    }

    /// The connections, for what watches them.
    pub fn connections(&self) -> &Connections {
        &self.db
    }

    /// What is counted.
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// Whether the database answers, and takes writes.
    pub async fn is_reachable(&self) -> bool {
        let Ok(mut connection) = self.read().await else {
            return false;
        };
        crate::db::is_writable(&mut connection)
            .await
            .unwrap_or(false)
    }

    /// Begins a transaction.
    async fn begin(&self) -> Result<Transaction<'static, Postgres>> {
        Ok(self.db.usual.begin().await?)
    }

    /// Begins a transaction that sees one moment, and writes nothing.
    async fn begin_snapshot(&self) -> Result<Transaction<'static, Postgres>> {
        let statement = "begin isolation level repeatable read, read only";
        Ok(self.db.usual.begin_with(statement).await?)
    }

    /// Begins a transaction on the hot path, and locks pools in it, all in one statement, since each round trip counts. A
    /// connection that broke in the pool is replaced: nothing was sent on it that could be done twice.
    async fn begin_hot(
        &self,
        pools: impl IntoIterator<Item = PoolId>,
    ) -> Result<Transaction<'static, Postgres>> {
        let db = &self.db.hot;
        let statement = format!("begin; {}", address_plan_rows::lock(pools));
        for _ in 0..db.options().get_max_connections() {
            // Without an idle one a new one is made: if that fails, asking again at once will not help.
            let may_be_broken = db.num_idle() > 0;
            match db.begin_with(AssertSqlSafe(statement.clone())).await {
                Err(error)
                    if may_be_broken
                        && is_connection(&error)
                        && !matches!(
                            error,
                            sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed
                        ) => {}
                other => return Ok(other?),
            }
        }
        Ok(db.begin_with(AssertSqlSafe(statement)).await?)
    }
}

/// Commits. When the connection breaks meanwhile nobody can know the outcome, and the error says so.
async fn commit(transaction: Transaction<'static, Postgres>) -> Result<()> {
    transaction.commit().await.map_err(of_commit)
}

/// The error of a statement that commits.
fn of_commit(error: sqlx::Error) -> Error {
    if is_unknown(&error) {
        Error::UnknownOutcome(error)
    } else {
        error.into()
    }
}

/// Runs a change to its end even when the one who asked for it is gone, so that a dropped connection never leaves a
/// transaction half done.
async fn detached<T: Send + 'static>(
    change: impl Future<Output = Result<T>> + Send + 'static,
) -> Result<T> {
    tokio::spawn(change)
        .await
        .map_err(|error| Error::Internal(error.into()))?
}

/// Deleted is not unknown: an id of something that was ended by `action` answers when and by whom, another one `text`.
async fn missing(
    db: &mut crate::db::Connection,
    id: Option<uuid::Uuid>,
    action: &str,
    what: &str,
    text: String,
) -> Error {
    let Some(id) = id else {
        return Error::NotFound(text);
    };
    match crate::db::event::end_of(db, id, action).await {
        Ok(Some((at, by))) => Error::Gone {
            what: format!("{what} {id}"),
            at,
            by,
        },
        Ok(None) => Error::NotFound(text),
        Err(error) => error,
    }
}

/// Checks free text.
fn check_description(description: &str) -> Result<()> {
    let length = description.chars().count();
    if length > 1000 {
        return Err(Error::Invalid(format!(
            "a description has at most 1000 characters, this one has {length}"
        )));
    }
    if description.contains('\0') {
        return Err(Error::Invalid(
            "a description can't contain a NUL character".to_owned(),
        ));
    }
    Ok(())
}
