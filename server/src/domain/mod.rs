//! The rules, and the only place that begins and commits a transaction. Knows nothing of HTTP.
//!
//! Locks are taken in one order everywhere, so that no two changes wait for each other: the VRF, by changes of pools, ranges
//! and reservations only; then pools by id, the VPC, the allocation. An import that holds VPCs against deletion before it
//! asks for its pools is the exception: PostgreSQL ends one of the two, and the import, which is tried again, asks for its
//! pools first in the end.

pub(crate) mod address_plan;
pub mod admission;
pub mod allocation;
mod batch;
pub mod cooldown;
pub mod health;
pub mod lookup;
pub mod named;
pub mod ownership;
pub mod pool;
mod profile;
mod queue;
pub mod reconcile;
mod reservation;
pub mod seal;
mod settle;
mod sizing;
pub mod space;
mod transfer;
pub mod verify;
pub mod vpc;
pub mod vrf;
mod watch;

use std::sync::Arc;

use ipam_shared::{
    ids::{AllocationId, PoolId},
    name::Name,
};

pub use crate::db::event::Caller;
use crate::{
    db::{
        Connection, Transaction, address_plan as address_plan_rows, connections::Connections,
        error::is_unknown,
    },
    error::{Error, Result},
    metrics::Metrics,
};

/// The domain over one database. Each request clones it many times, which is one counter.
#[derive(Clone, Debug)]
pub struct Ipam(Arc<Parts>);

/// What the domain works with.
#[derive(Clone, Debug)]
pub struct Parts {
    db: Connections,
    admission: Arc<admission::Admission>,
    queues: Arc<queue::Queues>,
    memory: Arc<address_plan::Memory>,
    contention: Arc<batch::Contention>,
    watch: Arc<watch::Watch>,
    health: Arc<health::LastHealth>,
    metrics: Arc<Metrics>,
}

impl Ipam {
    /// Over a database that has been migrated.
    pub fn new(db: impl Into<Connections>) -> Self {
        Self(Arc::new(Parts {
            db: db.into(),
            admission: Arc::default(),
            queues: Arc::default(),
            memory: Arc::default(),
            contention: Arc::default(),
            watch: Arc::default(),
            health: Arc::default(),
            metrics: Arc::default(),
        }))
    }

    /// With so many requests for space of each queue at a time, and of others in proportion.
    #[must_use]
    pub fn with_requests_in_flight(self, most: u32) -> Self {
        Self(Arc::new(Parts {
            admission: Arc::new(admission::Admission::new(most)),
            ..Arc::unwrap_or_clone(self.0)
        }))
    }

    /// A connection for reads that carry no rule.
    pub async fn read(&self) -> Result<Connection> {
        Ok(self.db.read().await?)
    }

    /// The connections, for what watches them.
    pub fn connections(&self) -> &Connections {
        &self.db
    }

    /// What is counted.
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// Begins a transaction.
    async fn begin(&self) -> Result<Transaction> {
        self.unless_in_doubt(self.db.begin_change()).await
    }

    /// Begins a transaction that sees one moment, and writes nothing.
    async fn begin_snapshot(&self) -> Result<Transaction> {
        let statement = "begin isolation level repeatable read, read only";
        Ok(self.db.begin_read(statement).await?)
    }

    /// Begins a transaction on the hot path, and locks pools in it.
    async fn begin_hot(&self, pools: impl IntoIterator<Item = PoolId>) -> Result<Transaction> {
        let statement = format!("begin; {}", address_plan_rows::lock(pools));
        self.unless_in_doubt(self.db.begin_hot(&statement)).await
    }
}

impl std::ops::Deref for Ipam {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

/// Commits. When the connection breaks meanwhile, or a standby may not have it, nobody can know the outcome, and the
/// error says so.
async fn commit(transaction: Transaction) -> Result<()> {
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
    db: &mut Connection,
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

/// Deleted is not unknown: a client may forget what was deleted, but not what a wrong database never knew.
async fn missing_allocation(db: &mut Connection, id: AllocationId) -> Error {
    match crate::db::event::release_of(db, id).await {
        Ok(Some((at, by))) => Error::Gone {
            what: format!("allocation {id}"),
            at,
            by,
        },
        Ok(None) => Error::NotFound(format!(
            "no allocation has ever had the id {id} in this database"
        )),
        Err(error) => error,
    }
}

/// Refuses a change of something that was changed since it was read.
fn check_revision(if_match: Option<i64>, now: i64) -> Result<()> {
    match if_match {
        Some(revision) if revision != now => Err(Error::Stale { now }),
        _ => Ok(()),
    }
}

/// How often a creation begins anew because what had its name came or went meanwhile.
const TRIES: usize = 10;

/// What had its name came and went too often while something was made.
fn too_fast() -> Error {
    Error::Unavailable(
        "somebody makes and deletes the same at the same moment; try again",
        None,
    )
}

/// Refuses a name that something new is to have and that would pass for another one.
fn check_new_name(name: &Name) -> Result<()> {
    let checked = name.check_new();
    checked.map_err(|error| Error::Invalid(error.to_string()))
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
