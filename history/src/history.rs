//! What clients did and saw, and what was done to the servers meanwhile. Times are those of one monotonic clock, since
//! the beginning of the run.

use std::time::Duration;

use crate::net::{Net, Size};

/// The id of an allocation, as the API writes it.
pub type Id = String;

/// A request for space.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// Who it is for.
    pub vpc: String,
    /// Makes the request repeatable.
    pub name: Option<String>,
    /// Makes it repeatable too.
    pub key: Option<String>,
    /// How much.
    pub size: Size,
}

impl Ask {
    /// Whether sending it twice allocates once.
    #[must_use]
    pub fn is_repeatable(&self) -> bool {
        self.name.is_some() || self.key.is_some()
    }
}

/// What a client wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Space.
    Allocate(Ask),
    /// To give it back.
    Release(Id),
    /// To have it in another size, in place. Only who asked for an allocation does, and one after the other.
    Resize(Id, Size),
    /// To see it.
    Read(Id),
}

/// An allocation as it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allocation {
    /// Its id.
    pub id: Id,
    /// Who it is for.
    pub vpc: String,
    /// Its name.
    pub name: Option<String>,
    /// Node range and pod range.
    pub blocks: Vec<Net>,
}

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Here it is.
    Shown(Allocation),
    /// Released.
    Released,
    /// It was released before.
    Gone,
    /// There never was such a thing.
    Missing,
    /// Nothing was done, for the reason with this code.
    Refused(String),
    /// It may have been done or not: no answer, or one that says so.
    Unknown(String),
}

/// One request of an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// The server that it was sent to.
    pub server: usize,
    /// Just before it was sent.
    pub sent: Duration,
    /// Just after the answer was read, or the connection was found broken.
    pub ended: Duration,
    /// How it ended.
    pub answer: Answer,
}

/// Something that a client wants, and its attempts to get it, one after the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// Tells it from all others of the run; requests for space carry it as their description.
    pub number: u64,
    /// Who wants it.
    pub client: usize,
    /// What.
    pub action: Action,
    /// How it went.
    pub attempts: Vec<Attempt>,
}

impl Operation {
    /// What it was shown in the end, if it was.
    #[must_use]
    pub fn shown(&self) -> Option<(&Attempt, &Allocation)> {
        self.attempts
            .iter()
            .find_map(|attempt| match &attempt.answer {
                Answer::Shown(allocation) => Some((attempt, allocation)),
                _ => None,
            })
    }

    /// Whether one of its attempts may have been done without a word about it.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.attempts
            .iter()
            .any(|attempt| matches!(attempt.answer, Answer::Unknown(_)))
    }

    /// Whether it changes something.
    #[must_use]
    pub fn is_write(&self) -> bool {
        !matches!(self.action, Action::Read(_))
    }
}

/// What was done to the system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// kill -9 of this server.
    Kill(usize),
    /// Immediate stop of PostgreSQL.
    Stop,
    /// kill -9 of the primary, after which its standby takes over.
    FailOver,
}

/// A fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What.
    pub kind: Kind,
    /// Just before it.
    pub at: Duration,
}

/// Everything that was seen from outside.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// By all clients, in no particular order.
    pub operations: Vec<Operation>,
    /// In the order of time.
    pub faults: Vec<Fault>,
}
