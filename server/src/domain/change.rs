//! The only way to change a thing.
//!
//! [`Ipam::change`] begins a transaction that holds its locks already, runs the change in a task of its own, so that a
//! caller that disconnects never leaves it half done, and treats it as done only once it is committed: there is no other
//! way to get a [`Done`]. The statements of `db` that write require the events that record the change, so nothing bypasses
//! the log.
//!
//! Requests for space, which share transactions (`batch`), imports (`transfer`), and what runs in the background begin and
//! commit by themselves.
//!
//! A change decides in memory, on what it read under its locks; then it writes in one statement, if possible.

use ipam_shared::api::ownership::Noun;
use serde::Serialize;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::{Caller, Ipam};
use crate::{
    db::{self, Transaction, error::is_unknown, event::Event, lock::Locks, scope},
    error::{Error, Result},
    json::rounded,
    rights::Scope,
};

/// A change in progress.
pub(super) struct Change {
    /// Where it reads and writes.
    pub(super) db: Transaction,
    /// Who makes it.
    pub(super) caller: Caller,
    /// For a limited caller, the last event before it.
    since: i64,
    /// Whether it is undone instead of committed, see [`Ipam::rehearsing`].
    is_rehearsal: bool,
}

/// The result of a completed change.
pub(super) struct Done<T>(T);

impl Ipam {
    /// Runs a change to its end, even if nobody waits for it. If it fails, or ends without a commit, nothing has changed.
    pub(super) async fn change<T, F>(
        &self,
        caller: Caller,
        locks: Locks,
        act: impl FnOnce(Change) -> F + Send + 'static,
    ) -> Result<T>
    where
        T: Send + 'static,
        F: Future<Output = Result<Done<T>>> + Send,
    {
        let ipam = self.clone();
        detached(async move {
            let mut db = ipam.begin(&locks).await?;
            let mut since = 0;
            let scope = caller.rights.shared_scope();
            if let Some(scope) = &scope {
                since = covered(&mut db, scope, &locks).await?;
            }
            let change = Change {
                db,
                caller,
                since,
                is_rehearsal: ipam.rehearses,
            };
            let done = act(change).await;
            match (done, scope) {
                (Ok(Done(answer)), _) => Ok(answer),
                (Err(error), Some(_)) => Err(error.without_names()),
                (Err(error), None) => Err(error),
            }
        })
        .await
    }

    /// Begins a transaction with its locks.
    pub(super) async fn begin(&self, locks: &Locks) -> Result<Transaction> {
        let statement = locks.begin();
        if locks.is_hot {
            self.unless_in_doubt(self.db.begin_hot(&statement)).await
        } else {
            self.unless_in_doubt(self.db.begin_change(&statement)).await
        }
    }
}

impl Change {
    /// Those of these things that a limited caller does not see.
    pub(super) async fn hidden(&mut self, things: &[(Noun, Uuid)]) -> Result<Vec<(Noun, Uuid)>> {
        match self.caller.rights.scope() {
            None => Ok(Vec::new()),
            Some(_) => scope::unseen(&mut self.db, things).await,
        }
    }

    /// Checks that a limited caller sees something that was locked only now.
    pub(super) async fn covers(&mut self, noun: Noun, id: Uuid) -> Result<()> {
        match self.hidden(&[(noun, id)]).await?.first() {
            None => Ok(()),
            Some(_) => Err(Error::not_found(super::named::unknown(noun, id))),
        }
    }

    /// Commits.
    pub(super) async fn commit<T>(mut self, answer: T) -> Result<Done<T>> {
        if self.caller.rights.scope().is_some() {
            let outside = scope::outside(&mut self.db, self.since).await?;
            if let Some((noun, _)) = outside.first() {
                return Err(Error::Forbidden(format!(
                    "afterwards this token would not cover the {}; ask for what is within its limits, which \
                     GET /api/v1/whoami shows",
                    noun.word()
                )));
            }
        }
        if self.is_rehearsal {
            return self.undo(answer).await;
        }
        commit(self.db).await?;
        Ok(Done(answer))
    }

    /// Ends with nothing changed, and an answer that does not rely on what others have just committed.
    pub(super) async fn undo<T>(self, answer: T) -> Result<Done<T>> {
        self.db.rollback().await?;
        Ok(Done(answer))
    }

    /// Ends with nothing changed, and an answer that relies on what others have committed: it is given only once that is as
    /// safe as a commit made now, which with a synchronous standby means that the standby has it.
    pub(super) async fn settle<T>(self, answer: T) -> Result<Done<T>> {
        settle_with(self.db).await?;
        Ok(Done(answer))
    }
}

impl Caller {
    /// The event for something that this caller does.
    pub(super) fn event(
        &self,
        action: &'static str,
        subject: Uuid,
        detail: &impl Serialize,
    ) -> Result<Event<'_>> {
        Ok(Event {
            action,
            subject,
            caller: self,
            detail: json(detail)?,
        })
    }

    /// The event for something new: what a reader wants to know first, and as `after` all that was asked for.
    pub(super) fn began(
        &self,
        action: &'static str,
        subject: Uuid,
        detail: &impl Serialize,
        after: &impl Serialize,
    ) -> Result<Event<'_>> {
        let mut detail = json(detail)?;
        detail["after"] = json(after)?;
        self.event(action, subject, &detail)
    }

    /// The event for a change: the fields that it sets, and as `before` what these were.
    pub(super) fn changed(
        &self,
        action: &'static str,
        subject: Uuid,
        before: &impl Serialize,
        patch: &impl Serialize,
    ) -> Result<Event<'_>> {
        let mut detail = json(patch)?;
        detail["before"] = was(before, patch)?;
        self.event(action, subject, &detail)
    }

    /// The event for the end of something: what a reader wants to know first, and as `before` all of it.
    pub(super) fn ended(
        &self,
        action: &'static str,
        subject: Uuid,
        detail: &impl Serialize,
        before: &impl Serialize,
    ) -> Result<Event<'_>> {
        let mut detail = json(detail)?;
        detail["before"] = json(before)?;
        self.event(action, subject, &detail)
    }
}

/// What the fields that a change sets were before it, as far as the thing has them.
pub(super) fn was(before: &impl Serialize, patch: &impl Serialize) -> Result<Value> {
    let (all, fields) = (json(before)?, json(patch)?);
    let was = |field: &String| match all.get(field) {
        // A size is kept as it was asked for.
        None => all.get(format!("requested_{field}")),
        found => found,
    };
    let fields = fields.as_object().into_iter().flatten();
    let before: Map<_, _> = fields
        .filter_map(|(field, _)| Some((field.clone(), was(field)?.clone())))
        .collect();
    Ok(Value::Object(before))
}

fn json(value: &impl Serialize) -> Result<Value> {
    rounded(value).map_err(|error| Error::Internal(error.into()))
}

/// Checks that a limited caller sees what it is about to change: what it does not see does not exist for it. Called under
/// the locks, so that nothing leaves its limits meanwhile. Returns the last event so far.
async fn covered(db: &mut Transaction, scope: &Scope, locks: &Locks) -> Result<i64> {
    let since = scope::begin(db, scope.token).await?;
    if let Some((noun, id)) = scope::unseen(db, &locks.subjects).await?.first() {
        return Err(Error::not_found(super::named::unknown(*noun, *id)));
    }
    if let Some(vpc) = locks.emptied
        && scope::hidden_of_vpc(db, vpc.0).await? > 0
    {
        return Err(Error::Forbidden(
            "the VPC has allocations that this token does not cover, so it can't delete the VPC"
                .to_owned(),
        ));
    }
    Ok(since)
}

/// Commits. When the connection breaks meanwhile, or a standby may not have it, nobody can know the outcome, and the
/// error says so.
pub(super) async fn commit(transaction: Transaction) -> Result<()> {
    transaction.commit().await.map_err(of_commit)
}

/// The error of a statement that commits.
pub(super) fn of_commit(error: sqlx::Error) -> Error {
    if is_unknown(&error) {
        Error::UnknownOutcome(error)
    } else {
        error.into()
    }
}

/// Runs something to its end even when the caller is gone.
pub(super) async fn detached<T: Send + 'static>(
    change: impl Future<Output = Result<T>> + Send + 'static,
) -> Result<T> {
    tokio::spawn(change)
        .await
        .map_err(|error| Error::Internal(error.into()))?
}

/// Refuses a change of something that was changed since it was read.
pub(super) fn check_revision(if_match: Option<i64>, now: i64) -> Result<()> {
    match if_match {
        Some(revision) if revision != now => Err(Error::Stale { now }),
        _ => Ok(()),
    }
}

/// Sets what a patch names.
pub(super) fn set<T>(field: &mut T, new: Option<T>) {
    if let Some(new) = new {
        *field = new;
    }
}

impl Ipam {
    /// Returns once everything committed before is as safe as a commit made now: a failover no longer loses any of it.
    ///
    /// What a repeated change finds already done may stem from a commit that the standby may not have. A caller that is
    /// told that it is done, or that something exists, relies on it.
    pub async fn settle(&self) -> Result<()> {
        settle_with(self.begin(&Locks::none()).await?).await
    }
}

pub(super) async fn settle_with(mut transaction: Transaction) -> Result<()> {
    db::settle::settle(&mut transaction).await?;
    commit(transaction).await
}
