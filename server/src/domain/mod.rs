//! The rules, and the only place that begins and commits a transaction. Knows nothing of HTTP.
//!
//! Everything that changes goes through `change`. Locks are taken in one order everywhere (`db::lock`), so that no two
//! changes wait for each other. An import that holds VPCs against deletion before it asks for its pools is the exception:
//! PostgreSQL aborts one of the two, and the import is retried and finally locks its pools first.

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

    /// With that many concurrent requests for space per queue, and others in proportion.
    #[must_use]
    pub fn with_requests_in_flight(self, most: u32) -> Self {
        Self(Arc::new(Parts {
            admission: Arc::new(admission::Admission::new(most)),
            ..Arc::unwrap_or_clone(self.0)
        }))
    }

    /// Counting there, together with what is counted elsewhere.
    #[must_use]
    pub fn with_metrics(self, metrics: Arc<Metrics>) -> Self {
        Self(Arc::new(Parts {
            metrics,
            ..Arc::unwrap_or_clone(self.0)
        }))
    }

    /// A connection for reads without rules.
    pub async fn read(&self) -> Result<Connection> {
        Ok(self.db.read().await?)
    }

    /// The connections, for monitoring.
    pub fn connections(&self) -> &Connections {
        &self.db
    }

    /// The metrics.
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// Begins a transaction that sees one snapshot, and writes nothing.
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

/// How often a creation starts over because something of its name appeared or disappeared meanwhile.
const TRIES: usize = 10;

/// Something of its name appeared and disappeared too often during a creation.
fn too_fast() -> Error {
    Error::Unavailable(
        "somebody creates and deletes the same thing at this moment; try again",
        None,
    )
}

/// Refuses a name for something new that would look like another name.
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
