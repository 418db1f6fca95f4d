//! The rules, and the only place that begins and commits a transaction. Knows nothing of HTTP.
//!
//! Everything that changes goes through `change`. Locks are taken in one order everywhere (`db::lock`), so that no two changes
//! wait for each other. An import that holds VPCs against deletion before it asks for its pools is the exception: PostgreSQL
//! ends one of the two, and the import, which is tried again, asks for its pools first in the end.

pub(crate) mod address_plan;
pub mod admission;
pub mod allocation;
mod batch;
mod change;
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
mod sizing;
pub mod space;
mod transfer;
pub mod verify;
pub mod vpc;
pub mod vrf;
mod watch;

use std::sync::Arc;

use ipam_shared::name::Name;

pub use crate::db::event::Caller;
use crate::{
    db::{Connection, Transaction, connections::Connections},
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

    /// Begins a transaction that sees one moment, and writes nothing.
    async fn begin_snapshot(&self) -> Result<Transaction> {
        let statement = "begin isolation level repeatable read, read only";
        Ok(self.db.begin_read(statement).await?)
    }
}

impl std::ops::Deref for Ipam {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
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
