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
pub mod feed;
#[doc(hidden)]
pub mod fuzzing;
pub mod health;
pub mod lookup;
pub mod map;
pub mod named;
mod noted;
pub mod ownership;
pub mod pool;
mod profile;
mod queue;
mod quota;
pub mod reconcile;
mod reservation;
pub mod seal;
mod sizing;
pub mod space;
pub mod token;
mod transfer;
pub mod verify;
pub mod vpc;
pub mod vrf;
mod watch;
pub mod webhook;

use std::sync::Arc;

use ipam_shared::name::Name;

pub use self::noted::Note;
pub use crate::rights::Caller;
use crate::{
    db::{self, Connection, Transaction, connections::Connections},
    error::{Error, Result},
    metrics::Metrics,
    outbound::Outbound,
    rights::{Right, Scope},
    secret::Peppers,
};

/// The domain over one database, as somebody sees it. Each request clones it many times, which is two counters.
#[derive(Clone, Debug)]
pub struct Ipam {
    parts: Arc<Parts>,
    /// What its reads are limited to.
    scope: Option<Arc<Scope>>,
    /// Whether changes are undone instead of committed.
    rehearses: bool,
}

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
    tokens: Arc<token::Known>,
    complete: Arc<feed::Complete>,
    noted: Arc<noted::Noted>,
    outbound: Outbound,
}

impl Ipam {
    /// Over a database that has been migrated.
    pub fn new(db: impl Into<Connections>) -> Self {
        Self::of(Parts {
            db: db.into(),
            admission: Arc::default(),
            queues: Arc::default(),
            memory: Arc::default(),
            contention: Arc::default(),
            watch: Arc::default(),
            health: Arc::default(),
            metrics: Arc::default(),
            tokens: Arc::default(),
            complete: Arc::default(),
            noted: Arc::default(),
            outbound: Outbound::default(),
        })
    }

    /// With that many concurrent requests for space per queue, and others in proportion.
    #[must_use]
    pub fn with_requests_in_flight(self, most: u32) -> Self {
        Self::of(Parts {
            admission: Arc::new(admission::Admission::new(most)),
            ..Arc::unwrap_or_clone(self.parts)
        })
    }

    /// With the peppers by which secrets of tokens are hashed.
    #[must_use]
    pub fn with_peppers(self, peppers: Peppers) -> Self {
        Self::of(Parts {
            tokens: Arc::new(token::Known::new(peppers)),
            ..Arc::unwrap_or_clone(self.parts)
        })
    }

    /// With this way to the receivers of webhooks.
    #[must_use]
    pub fn with_outbound(self, outbound: Outbound) -> Self {
        Self::of(Parts {
            outbound,
            ..Arc::unwrap_or_clone(self.parts)
        })
    }

    /// Counting there, together with what is counted elsewhere.
    #[must_use]
    pub fn with_metrics(self, metrics: Arc<Metrics>) -> Self {
        Self::of(Parts {
            metrics,
            ..Arc::unwrap_or_clone(self.parts)
        })
    }

    fn of(parts: Parts) -> Self {
        Self {
            parts: Arc::new(parts),
            scope: None,
            rehearses: false,
        }
    }

    /// The same, as a caller sees it: what a token does not cover does not exist.
    #[must_use]
    pub fn seen_by(&self, caller: &Caller) -> Self {
        Self {
            parts: Arc::clone(&self.parts),
            scope: caller.rights.shared_scope(),
            rehearses: self.rehearses,
        }
    }

    /// The same, to find out what a change would do: it is made under its locks and by its rules, and undone instead of
    /// committed, and counted nowhere. Requests for space and imports have dry runs of their own.
    #[must_use]
    pub fn rehearsing(&self) -> Self {
        let parts = Parts {
            metrics: Arc::default(),
            ..Parts::clone(&self.parts)
        };
        Self {
            parts: Arc::new(parts),
            scope: self.scope.clone(),
            rehearses: true,
        }
    }

    /// Whether changes are undone, see [`Self::rehearsing`].
    pub fn is_rehearsal(&self) -> bool {
        self.rehearses
    }

    /// The same without limits, for what is decided on everything that there is.
    fn seen_by_all(&self) -> Self {
        Self {
            parts: Arc::clone(&self.parts),
            scope: None,
            rehearses: self.rehearses,
        }
    }

    /// A connection for reads without rules. For a limited caller it is inside a transaction that finds only what the caller
    /// may see.
    pub async fn read(&self) -> Result<Connection> {
        match self.scope.as_deref() {
            None => Ok(self.db.read().await?),
            Some(scope) => {
                let statement = db::scope::within("begin read only", scope.token);
                Ok(self.db.begin_read(&statement).await?.into())
            }
        }
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
        let begin = "begin isolation level repeatable read, read only";
        let statement = match self.scope.as_deref() {
            None => begin.to_owned(),
            Some(scope) => db::scope::within(begin, scope.token),
        };
        Ok(self.db.begin_read(&statement).await?)
    }
}

impl std::ops::Deref for Ipam {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.parts
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
    checked.map_err(|error| Error::invalid(error.to_string()).about("name"))
}

/// Checks free text.
fn check_description(description: &str) -> Result<()> {
    let length = description.chars().count();
    if length > 1000 {
        return Err(Error::invalid(format!(
            "a description has at most 1000 characters, this one has {length}"
        ))
        .about("description"));
    }
    if description.contains('\0') {
        return Err(
            Error::invalid("a description can't contain a NUL character").about("description"),
        );
    }
    Ok(())
}

/// Refuses a change that the caller may not make.
fn require(caller: &Caller, right: Right) -> Result<()> {
    if caller.rights.may(right) {
        return Ok(());
    }
    Err(Error::Forbidden(format!(
        "this needs {}; ask an administrator for a token that has it",
        right.needed()
    )))
}

/// Refuses to a limited caller what is about everything.
fn unlimited(caller: &Caller, what: &str) -> Result<()> {
    match caller.rights.scope() {
        None => Ok(()),
        Some(_) => Err(Error::Forbidden(format!(
            "{what} needs a token without limits, and this one has some"
        ))),
    }
}

/// Refuses to a caller that is limited to pools what is about a whole VRF.
fn of_whole_vrfs(caller: &Caller, what: &str) -> Result<()> {
    match caller.rights.scope() {
        Some(scope) if scope.pools.is_some() => Err(Error::Forbidden(format!(
            "{what} needs a token that is not limited to pools"
        ))),
        _ => Ok(()),
    }
}
