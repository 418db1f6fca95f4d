//! What can go wrong in the domain, without a word of HTTP: `http/error.rs` decides how it looks on the wire.

mod conflict;

use ipam_shared::{
    api::{ownership::Noun, pool::PoolFree},
    error::Code,
};
use serde::Serialize;
use time::OffsetDateTime;

use crate::text::moment;

pub use self::conflict::Conflict;

/// Result of a domain or database function.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What is wrong with a database that was restored, and what to do.
pub const RESTORED: &str = "the database was restored from a backup, or moved: it remembers that it was made elsewhere. What was \
    allocated after the backup is not in it and would be given to somebody else, so no space is handed out; reads and \
    releases go on. An operator ends this with `ipam reconcile --export FILE`, with an export that is newer than the backup, or \
    with `--accept-loss`, or with `--moved` if nothing was changed after the dump";

/// Why the domain refused or failed. `Display` is written for the person who asked; what only operators may see is in
/// the source chain, which goes to the log.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The request breaks a rule that does not depend on what is stored.
    #[error("{0}")]
    Invalid(Reason),
    /// Nothing of that kind exists.
    #[error("{0}")]
    NotFound(Reason),
    /// The caller may not do that.
    #[error("{0}")]
    Forbidden(String),
    /// It was deleted.
    #[error("{what} was deleted at {} by {by}", moment(*at))]
    Gone {
        /// What, with its id.
        what: String,
        /// When.
        at: OffsetDateTime,
        /// Who did it.
        by: String,
    },
    /// The name belongs to something that was requested differently.
    #[error("{message}")]
    NameTaken {
        /// What has the name, how it differs, and what to do.
        message: String,
        /// Imports it into Terraform.
        import_id: Option<String>,
    },
    /// Another token has that secret, or one with the same public id.
    #[error(
        "another token has a secret with this public id, and no two tokens may share one, since a server could not tell them \
         apart; make a new secret for this one"
    )]
    SecretTaken,
    /// It has a confirmed owner.
    #[error("{message}")]
    Claimed {
        /// Who owns it, and what to do.
        message: String,
        /// Imports it into Terraform.
        import_id: String,
    },
    /// The requested CIDR is not free.
    #[error("{message}")]
    Overlap {
        /// The message.
        message: String,
        /// What overlaps.
        conflicts: Vec<Conflict>,
    },
    /// No block of the requested size is left in any of these pools.
    #[error("{}", exhausted(.0))]
    Exhausted(Vec<Exhausted>),
    /// More than the quotas of the caller's token.
    #[error("{}", exceeded(.0))]
    QuotaExceeded(Vec<Exceeded>),
    /// Something uses it.
    #[error("{message}")]
    InUse {
        /// What uses it, and what to do.
        message: String,
        /// How many users there are.
        users: i64,
    },
    /// It must be unprotected first.
    #[error("{0}")]
    Protected(String),
    /// The Idempotency-Key came with another request before.
    #[error(
        "the Idempotency-Key {0:?} was used for another request before; use a new key for a new request"
    )]
    KeyReused(String),
    /// It was changed since the caller read it.
    #[error(
        "it was changed since you read it: it is at revision {now} now; read it again and repeat the change"
    )]
    Stale {
        /// Its revision.
        now: i64,
    },
    /// The database is unavailable or too busy.
    #[error("{0}")]
    Unavailable(&'static str, #[source] Option<sqlx::Error>),
    /// Overloaded; the request was not started.
    #[error(
        "the server is overloaded, so this request was not started; try again in a moment, with increasing delays"
    )]
    Overloaded,
    /// The database was restored, and not reconciled yet.
    #[error("{RESTORED}")]
    Restored,
    /// The connection broke while a commit was under way, or a standby may not have what was committed.
    #[error(
        "the database did not confirm that this is saved, so the outcome is not known; repeat the same request with the \
         same name or Idempotency-Key to find out, which never allocates twice"
    )]
    UnknownOutcome(#[source] sqlx::Error),
    /// A bug, or a database that was changed by hand.
    #[error("the server failed; the log says why under this request's id")]
    Internal(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Why a request was refused, and which of its fields that is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// What is wrong, and what to do.
    pub message: String,
    /// The field of the body as the API calls it, such as `limits.vrfs`; none if it is about none, or about several.
    pub field: Option<&'static str>,
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error {
    /// The request breaks a rule that does not depend on what is stored.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::Invalid(Reason {
            message: message.into(),
            field: None,
        })
    }

    /// Nothing of that kind exists.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::NotFound(Reason {
            message: message.into(),
            field: None,
        })
    }

    /// The same, about this field of the request, unless that is known already. Nothing changes where a state is in the way
    /// and not what was asked for.
    #[must_use]
    pub fn about(mut self, field: impl Into<Option<&'static str>>) -> Self {
        if let Self::Invalid(reason) | Self::NotFound(reason) = &mut self {
            reason.field = reason.field.or(field.into());
        }
        self
    }

    /// The field of the request that it is about.
    pub fn field(&self) -> Option<&'static str> {
        match self {
            Self::Invalid(reason) | Self::NotFound(reason) => reason.field,
            _ => None,
        }
    }
}

/// What is left where a block was asked for.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Exhausted {
    /// The member of the profile that asked.
    pub role: String,
    /// The pool, and what would make one fit.
    #[serde(flatten)]
    pub space: PoolFree,
}

/// A quota that a request would exceed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Exceeded {
    /// The pool, as in `default/primary`.
    pub pool: String,
    /// How many of its addresses may be held.
    pub quota: u128,
    /// How many are held by what the token's limits cover.
    pub held: u128,
    /// How many more the request takes.
    pub asked: u128,
}

impl std::fmt::Display for Exceeded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            pool,
            quota,
            held,
            asked,
        } = self;
        write!(
            f,
            "this token's quota of pool \"{pool}\" is {quota} addresses; what its limits cover holds {held} of them, and this \
             takes {asked} more"
        )
    }
}

fn exceeded(quotas: &[Exceeded]) -> String {
    let quotas: Vec<_> = quotas.iter().map(ToString::to_string).collect();
    format!(
        "{}; release what is no longer needed, ask for less, or ask an administrator for a larger quota",
        quotas.join("; ")
    )
}

/// How many ranges are named in a sentence.
const NAMED: usize = 5;

impl std::fmt::Display for Exhausted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let space = &self.space;
        let named = space.ranges.iter().take(NAMED).map(ToString::to_string);
        let more = space.ranges.len().saturating_sub(NAMED);
        let more = (more > 0).then(|| format!("{more} more"));
        let ranges: Vec<String> = named.chain(more).collect();
        let ranges = ranges.join(", ");
        if space.fits > 0 {
            // Space was given back meanwhile, or more than one block was requested.
            return write!(
                f,
                "pool \"{}\" ({ranges}) had no room for all that was asked for: {}",
                space.pool, space.advice
            );
        }
        write!(
            f,
            "no /{} is left in pool \"{}\" ({ranges})",
            space.prefix_length, space.pool
        )?;
        match space.largest_free_prefix_length {
            None => f.write_str(": it is full"),
            Some(length) => write!(
                f,
                ": its largest free block is a /{length}, and {} addresses are free in all, enough for {} such blocks \
                 if they lay together",
                space.free_addresses, space.fits_if_defragmented
            ),
        }?;
        write!(f, "; {}", space.advice)
    }
}

fn exhausted(pools: &[Exhausted]) -> String {
    let pools: Vec<_> = pools.iter().map(ToString::to_string).collect();
    pools.join("; ")
}

impl Error {
    /// The stable code, for programs.
    pub fn code(&self) -> Code {
        match self {
            Self::Invalid(_) => Code::InvalidRequest,
            Self::NotFound(_) => Code::NotFound,
            Self::Forbidden(_) => Code::Forbidden,
            Self::Gone { .. } => Code::Gone,
            Self::NameTaken { .. } => Code::NameTaken,
            Self::SecretTaken => Code::SecretTaken,
            Self::Claimed { .. } => Code::Claimed,
            Self::Overlap { .. } => Code::Overlap,
            Self::Exhausted(_) => Code::PoolExhausted,
            Self::QuotaExceeded(_) => Code::QuotaExceeded,
            Self::InUse { .. } => Code::InUse,
            Self::Protected(_) => Code::DeletionProtected,
            Self::KeyReused(_) => Code::IdempotencyKeyReused,
            Self::Stale { .. } => Code::Stale,
            Self::Unavailable(..) => Code::Unavailable,
            Self::Overloaded => Code::Overloaded,
            Self::Restored => Code::Restored,
            Self::UnknownOutcome(_) => Code::UnknownOutcome,
            Self::Internal(_) => Code::Internal,
        }
    }

    /// The same for somebody who may not know what is in the way: without the names of what others have.
    #[must_use]
    pub fn without_names(self) -> Self {
        match self {
            Self::Overlap { conflicts, .. } => {
                let cidrs: Vec<_> = conflicts.iter().map(|conflict| conflict.cidr).collect();
                let named: Vec<_> = cidrs.iter().take(NAMED).map(ToString::to_string).collect();
                Self::Overlap {
                    message: match &named[..] {
                        [] => "the network is not free; choose another one".to_owned(),
                        named => format!(
                            "the network is not free: {} {} in use; choose another one",
                            named.join(", "),
                            if cidrs.len() == 1 { "is" } else { "are" }
                        ),
                    },
                    conflicts: cidrs.into_iter().map(Conflict::of).collect(),
                }
            }
            Self::InUse { users, .. } => Self::InUse {
                message: "it is in use; ask an administrator by what, since that may be outside of this token's limits"
                    .to_owned(),
                users,
            },
            Self::Exhausted(mut pools) => {
                for exhausted in &mut pools {
                    let space = &mut exhausted.space;
                    if let Some(fix) = &mut space.fix {
                        fix.blocks.clear();
                        space.advice = "ask for a smaller block, or ask whoever manages the pool for more room".to_owned();
                    }
                }
                Self::Exhausted(pools)
            }
            other => other,
        }
    }

    /// A name that something has which the caller does not see: names are unique all the same, but nothing more is said.
    pub fn taken(noun: Noun) -> Self {
        let what = match noun {
            Noun::Reservation => "network",
            _ => "name",
        };
        Self::NameTaken {
            message: format!(
                "the {what} is taken, outside of the limits of this token; choose another {what}"
            ),
            import_id: None,
        }
    }

    /// A bug: something that the schema or the code rules out has happened.
    pub fn bug(message: impl Into<String>) -> Self {
        Self::Internal(message.into().into())
    }
}
