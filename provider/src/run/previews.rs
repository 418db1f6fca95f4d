//! What creations would get: the server's dry run while planning.
//!
//! Terraform asks for single plans, ten of them concurrently, and hundreds in all. So what arrives within a moment, and
//! what arrives while a request is in progress, goes into the next one together.

use std::{
    collections::HashSet,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use ipam_client::{Client, Error, Refusal};
use ipam_shared::{
    api::allocation::{Allocation, NewAllocation, NewBatch},
    error::{Code, Problem},
};
use tokio::sync::{Semaphore, SemaphorePermit, oneshot};

/// How long to wait for others that can be sent along.
const GATHERING: Duration = Duration::from_millis(3);
/// Maximum number in one request.
const MOST: usize = 100;
/// How many plans may wait at a time for a verdict on their refusal.
const WAITING: usize = 2;

/// What a request would get, or why nothing.
pub(crate) type Outcome = Result<Allocation, Error>;

/// An outcome, or why the server could not be asked.
type Answer = Result<Outcome, Error>;

/// Dry runs of creations, many in one request.
#[derive(Debug)]
pub(crate) struct Previews {
    client: Client,
    queue: Arc<Mutex<Queue>>,
    waiting: Semaphore,
    /// Whether it was reported that the server could not be asked.
    has_complained: AtomicBool,
}

#[derive(Debug, Default)]
struct Queue {
    open: Vec<(NewAllocation, oneshot::Sender<Answer>)>,
    /// Whether a task sends what arrives.
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

    /// What the request would get, or the refusal that the creation would get.
    ///
    /// # Errors
    /// Why the server could not be asked.
    pub(crate) async fn ask(&self, request: NewAllocation) -> Answer {
        let (sender, receiver) = oneshot::channel();
        let is_first = {
            let mut queue = lock(&self.queue);
            queue.open.push((request.clone(), sender));
            !std::mem::replace(&mut queue.is_served, true)
        };
        if is_first {
            // In a task, so that it continues for the others if this caller goes away.
            tokio::spawn(serve(self.client.clone(), Arc::clone(&self.queue)));
        }
        match receiver.await {
            Ok(answer) => answer,
            // The task is gone, which only happens when the program ends.
            Err(_) => {
                let request = NewAllocation {
                    dry_run: true,
                    ..request
                };
                let created = self.client.create_allocation(&request).await?;
                Ok(Ok(created.made))
            }
        }
    }

    /// A slot to wait for a verdict on a refusal, if one is left.
    pub(crate) fn waiting(&self) -> Option<SemaphorePermit<'_>> {
        self.waiting.try_acquire().ok()
    }

    /// Whether to report that the server could not be asked: only once. If the server does not support the request, the
    /// apply has to do without it.
    pub(crate) fn complains(&self, error: &Error) -> bool {
        let is_refusal = error.problem().is_some_and(|problem| problem.status < 500);
        !is_refusal && !self.has_complained.swap(true, Ordering::Relaxed)
    }
}

fn lock(queue: &Mutex<Queue>) -> MutexGuard<'_, Queue> {
    // Only a push and a flag: nothing is left half done.
    queue.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Sends everything that is queued and everything that arrives meanwhile.
async fn serve(client: Client, queue: Arc<Mutex<Queue>>) {
    tokio::time::sleep(GATHERING).await;
    loop {
        let (requests, senders): (Vec<_>, Vec<_>) = {
            let mut queue = lock(&queue);
            let all = std::mem::take(&mut queue.open);
            let (next, later) = split(all, |(request, _)| identity(request));
            queue.open = later;
            queue.is_served = !next.is_empty();
            next.into_iter().unzip()
        };
        if requests.is_empty() {
            return;
        }
        let batch = NewBatch {
            requests,
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
            // The caller may have gone away.
            _ = sender.send(answer);
        }
    }
}

/// The refusal that a single creation would get, for one that was requested in another way.
pub(crate) fn foreseen(problem: Problem) -> Error {
    Error::Refused(Box::new(Refusal {
        problem,
        attempts: 1,
        elapsed: Duration::ZERO,
        repeated: false,
    }))
}

/// A refusal of one request. An error of a failing server says nothing about the request.
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

/// What must be unique within a batch, if anything.
fn identity(request: &NewAllocation) -> Option<(String, String)> {
    let name = request.name.as_ref()?;
    Some((request.vpc.folded(), name.to_string()))
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
