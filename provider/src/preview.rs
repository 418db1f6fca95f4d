//! What creations would get, asked while planning: the server's dry run.
//!
//! Terraform asks for one plan at a time, ten of them side by side, and hundreds in all. So what arrives within a moment,
//! and what arrives while a request is under way, goes into the next one together.
//!
//! A refusal is not yet a verdict: what stands in the way may be about to go in the same run, and Terraform plans in any
//! order. So the refused plan waits until nothing more is heard of the run, and only then says so. Few wait at a time, because
//! what they wait for comes through the same door; the others say nothing, and the plan fails all the same.

use std::{
    collections::HashSet,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use ipam_client::{Client, Error};
use ipam_shared::{
    api::allocation::{Allocation, NewAllocation, NewBatch},
    error::{Code, Problem},
};
use tfplugin::Context;
use tokio::sync::{Semaphore, oneshot};

use crate::{
    command::is_one_by_one,
    failure::foreseen,
    noun::{Noun as _, pool::Pool, profile::Profile, reservation::Reservation, vpc, vrf::Vrf},
    provider::Connection,
    run::{Key, Run},
};

/// How long others are waited for that may come along.
const GATHERING: Duration = Duration::from_millis(3);
/// Most in one request.
const MOST: usize = 100;
/// So many plans may wait at a time for what becomes of their refusal.
const WAITING: usize = 2;
/// After this long without news of the run, all of it is known.
const QUIET: Duration = Duration::from_millis(700);
/// How long a refusal waits at most.
const PATIENCE: Duration = Duration::from_secs(20);
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(50);

/// What a request would get, or why nothing.
pub(crate) type Outcome = Result<Allocation, Error>;

/// An outcome, or why the server could not be asked.
type Answer = Result<Outcome, Error>;

/// Creations that are tried without making anything, many in one request.
#[derive(Debug)]
pub(crate) struct Previews {
    client: Client,
    queue: Arc<Mutex<Queue>>,
    waiting: Semaphore,
    /// Whether it was said that the server could not be asked.
    has_complained: AtomicBool,
}

#[derive(Debug, Default)]
struct Queue {
    open: Vec<(NewAllocation, oneshot::Sender<Answer>)>,
    /// Whether somebody sends what arrives.
    is_served: bool,
}

impl Previews {
    pub(crate) fn new(client: Client) -> Self {
        Self {
            client,
            queue: Arc::default(),
            waiting: Semaphore::new(WAITING),
            has_complained: AtomicBool::new(false),
        }
    }

    /// What the request would get, or why nothing, in the words of the creation.
    ///
    /// # Errors
    /// Why the server could not be asked.
    pub(crate) async fn ask(&self, ask: NewAllocation) -> Answer {
        let (sender, receiver) = oneshot::channel();
        let is_first = {
            let mut queue = lock(&self.queue);
            queue.open.push((ask.clone(), sender));
            !std::mem::replace(&mut queue.is_served, true)
        };
        if is_first {
            // By itself, so that it goes on for the others if this one's caller goes away.
            tokio::spawn(serve(self.client.clone(), Arc::clone(&self.queue)));
        }
        match receiver.await {
            Ok(answer) => answer,
            // Whoever served it is gone, which only the end of the program does.
            Err(_) => {
                let ask = NewAllocation {
                    dry_run: true,
                    ..ask
                };
                let created = self.client.create_allocation(&ask).await?;
                Ok(Ok(created.made))
            }
        }
    }

    /// Whether to say that the server could not be asked: to the first who learns of it, for the others know no more. A
    /// server that does not understand the question is asked in vain, and the apply has to do without.
    pub(crate) fn complains(&self, error: &Error) -> bool {
        let is_refusal = error.problem().is_some_and(|problem| problem.status < 500);
        !is_refusal && !self.has_complained.swap(true, Ordering::Relaxed)
    }
}

fn lock(queue: &Mutex<Queue>) -> MutexGuard<'_, Queue> {
    // A push, a flag: nothing is left half done.
    queue.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Sends all that is there and all that arrives meanwhile.
async fn serve(client: Client, queue: Arc<Mutex<Queue>>) {
    tokio::time::sleep(GATHERING).await;
    loop {
        let (asks, senders): (Vec<_>, Vec<_>) = {
            let mut queue = lock(&queue);
            let all = std::mem::take(&mut queue.open);
            let (next, later) = split(all, |(ask, _)| identity(ask));
            queue.open = later;
            queue.is_served = !next.is_empty();
            next.into_iter().unzip()
        };
        if asks.is_empty() {
            return;
        }
        let batch = NewBatch {
            requests: asks,
            atomic: false,
            dry_run: true,
        };
        let answers: Vec<Answer> = match client.create_allocations(&batch).await {
            Ok(done) => done
                .results
                .into_iter()
                .map(|result| match (result.allocation, result.problem) {
                    (Some(allocation), _) => Ok(Ok(allocation)),
                    (None, problem) => refused(problem.unwrap_or_else(no_answer)),
                })
                .collect(),
            Err(error) => senders.iter().map(|_| Err(error.clone())).collect(),
        };
        for (sender, answer) in senders.into_iter().zip(answers) {
            // Whoever asked may have gone away.
            _ = sender.send(answer);
        }
    }
}

/// A refusal of one request. That of a server which is not well says nothing of the request.
fn refused(problem: Problem) -> Answer {
    let is_well = problem.status < 500;
    let error = foreseen(problem);
    if is_well { Ok(Err(error)) } else { Err(error) }
}

fn no_answer() -> Problem {
    Problem::new(
        Code::Internal,
        "the reply says neither what it gets nor why nothing",
    )
}

/// What no two requests of a batch may have in common, if there is anything.
fn identity(ask: &NewAllocation) -> Option<(String, String)> {
    let name = ask.name.as_ref()?;
    Some((ask.vpc.as_str().to_lowercase(), name.to_string()))
}

/// The first, at most [`MOST`] and no two with one identity, and the others.
fn split<T, I: Eq + std::hash::Hash>(
    all: Vec<T>,
    identity: impl Fn(&T) -> Option<I>,
) -> (Vec<T>, Vec<T>) {
    let (mut next, mut later, mut seen) = (Vec::new(), Vec::new(), HashSet::new());
    for one in all {
        let is_free = next.len() < MOST && identity(&one).is_none_or(|name| seen.insert(name));
        if is_free {
            next.push(one);
        } else {
            later.push(one);
        }
    }
    (next, later)
}

/// Whether this run makes or changes what the request names, so that the server can't say yet what it would get.
pub(crate) fn is_ahead_of_server(run: &Run, ask: &NewAllocation) -> bool {
    let vpc = vpc::key(ask.vpc.as_str());
    let is_named = |key: &Key| {
        let name = key.name();
        let pools = ask.pools.iter().flatten();
        *key == vpc
            || key.ty() == Vrf::TYPE && ask.vrf.as_ref().is_some_and(|vrf| vrf.as_str() == name)
            || key.ty() == Profile::TYPE
                && ask.profile.as_ref().is_some_and(|profile| profile.as_str() == name)
            || key.ty() == Pool::TYPE && pools.into_iter().any(|pool| pool == name)
            // Which pools a selector or a profile means is up to the server.
            || key.ty() == Pool::TYPE && ask.pools.is_none()
    };
    run.moves_any(is_named)
}

/// What to make of a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The apply would be refused too.
    Certain,
    /// The apply may be refused; it depends on what else is done before.
    Possible,
    /// Nothing can be said.
    None,
}

/// What to make of a refusal, once as much is known of this run as will be. `excuse` says why it says less than it seems
/// to, as far as is known so far.
pub(crate) async fn verdict(
    ctx: &Context<Connection>,
    connection: &Connection,
    excuse: impl Fn() -> Option<Verdict> + Send + Sync,
) -> Verdict {
    let run = &connection.run;
    let Ok(_waiting) = connection.previews.waiting.try_acquire() else {
        return excuse().unwrap_or(Verdict::None);
    };
    let begun = Instant::now();
    loop {
        if let Some(excuse) = excuse() {
            return excuse;
        }
        if run.is_quiet(QUIET) || begun.elapsed() > PATIENCE || ctx.stop().is_cancelled() {
            break;
        }
        tokio::time::sleep(PAUSE).await;
    }
    // In single file nothing was heard because nothing could be.
    if is_one_by_one() || !run.is_planning() {
        return Verdict::Possible;
    }
    Verdict::Certain
}

/// Why the refusal of a request for something called `key` says less than it seems to, if it does.
pub(crate) fn excuse(
    run: &Run,
    ask: &NewAllocation,
    key: Option<&Key>,
    error: &Error,
) -> Option<Verdict> {
    if run.is_applying() || is_ahead_of_server(run, ask) {
        return Some(Verdict::None);
    }
    match error.code()? {
        // Of this name the state has one, which goes, is replaced, or gets another name.
        Code::NameTaken | Code::Claimed if key.is_some_and(|key| run.is_present(key)) => {
            Some(Verdict::None)
        }
        // The predecessor makes room.
        Code::PoolExhausted | Code::Overlap if ask.name.is_none() => Some(Verdict::None),
        Code::PoolExhausted | Code::Overlap if run.is_freeing() || moves_space(run) => {
            Some(Verdict::Possible)
        }
        _ => None,
    }
}

/// Whether pools or reservations change.
fn moves_space(run: &Run) -> bool {
    run.moves_any(|key| matches!(key.ty(), Pool::TYPE | Reservation::TYPE | Profile::TYPE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_has_each_name_once_and_is_not_too_large() {
        let (next, later) = split(vec![1, 2, 1, 0, 2, 0], |number| {
            (*number > 0).then_some(*number)
        });
        assert_eq!((next, later), (vec![1, 2, 0, 0], vec![1, 2]));
        let (next, later) = split((0..250).collect(), |number: &usize| Some(*number));
        assert_eq!((next.len(), later.len(), later[0]), (MOST, 150, MOST));
    }
}
