//! Taking a name, and giving one up: this waits for other operations of the run on the same name.

use std::{
    pin::Pin,
    time::{Duration, Instant},
};

use ipam_client::Error;
use ipam_shared::{api::ownership::Noun, error::Code};
use tfplugin::Context;

use super::{
    key::Key,
    notes::{GRACE, Run},
};

/// How long to wait for a name that is about to be given up.
const PATIENCE: Duration = Duration::from_secs(60);

/// Interval between two attempts.
const PAUSE: Duration = Duration::from_millis(150);

/// A call in progress.
pub(crate) type Call<'a, T> = Pin<Box<dyn Future<Output = Result<T, Error>> + Send + 'a>>;

/// What a name is wanted for.
pub(crate) enum Taking<'a> {
    /// For something new.
    New,
    /// For something that has this name now, and this id.
    Rename(&'a Key, &'a str),
}

/// What to try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Attempt {
    /// What was planned.
    Planned,
    /// A temporary name, which nobody else wants, so that resources can swap names.
    Aside,
}

/// Tries to give something the name `to`, and retries as long as that is taken by something that this run is about to
/// rename or delete. Terraform executes independent operations in any order, and all the names of a list may move by one,
/// or two may be swapped.
///
/// Whichever closes a cycle takes a temporary name. If the run ends there, the next one finds a thing with an odd name, and
/// gives it the right one.
///
/// Without a name to take, there is one attempt.
pub(crate) async fn taking<'a, C, T>(
    ctx: &Context<C>,
    run: &Run,
    why: &Taking<'_>,
    to: Option<&Key>,
    attempt: impl Fn(Attempt) -> Call<'a, T>,
) -> Result<T, Error> {
    run.applies();
    let Some(to) = to else {
        return attempt(Attempt::Planned).await;
    };
    let begun = Instant::now();
    let outcome = loop {
        let error = match attempt(Attempt::Planned).await {
            Err(error) if is_taken(&error, to) => error,
            outcome => break outcome,
        };
        let patience = if run.is_left(to) { PATIENCE } else { GRACE };
        if begun.elapsed() > patience || ctx.stop().is_cancelled() {
            break Err(error);
        }
        if let Taking::Rename(from, _) = why
            && run.waits(from, to)
            && let Err(error) = attempt(Attempt::Aside).await
        {
            break Err(error);
        }
        tokio::time::sleep(PAUSE).await;
    };
    if let Taking::Rename(from, id) = why {
        run.waits_no_more(from);
        match &outcome {
            Ok(_) => run.forgets(from, id),
            Err(_) => run.stays(from),
        }
    }
    outcome
}

/// Deletes what has this id and this name, which makes the name free for others of this run.
///
/// What uses it may be about to be deleted too: Terraform only knows references, so a reservation inside a pool, or an
/// allocation that names its VPC literally, is deleted at the same time. As long as this run deletes things, deleting
/// something that is in use is retried.
pub(crate) async fn deleting<'a, C>(
    ctx: &Context<C>,
    run: &Run,
    key: Option<Key>,
    id: &str,
    delete: impl Fn() -> Call<'a, ()>,
) -> Result<(), Error> {
    run.applies();
    if let Some(key) = &key {
        run.deletes(key);
    }
    let begun = Instant::now();
    let outcome = loop {
        run.begins_to_delete();
        let outcome = delete().await;
        let goes_on = run.has_deleted(&outcome, begun);
        match outcome {
            Err(error) if error.code() == Some(Code::InUse) && goes_on => {
                if begun.elapsed() > PATIENCE || ctx.stop().is_cancelled() {
                    break Err(error);
                }
            }
            outcome => break outcome,
        }
        tokio::time::sleep(PAUSE).await;
    };
    if let Some(key) = &key {
        match &outcome {
            Ok(()) => run.forgets_all(key, id),
            Err(_) => run.stays(key),
        }
    }
    outcome
}

/// Whether the error says that the name is taken. The name of a reservation is its network.
fn is_taken(error: &Error, key: &Key) -> bool {
    match error.code() {
        Some(Code::NameTaken | Code::Claimed) => true,
        Some(Code::Overlap) => key.noun() == Noun::Reservation,
        _ => false,
    }
}

/// A temporary name during a swap: nobody would choose it, and it tells where it comes from.
pub(crate) fn aside(id: &str) -> String {
    format!("renamed-by-terraform-{id}")
}
