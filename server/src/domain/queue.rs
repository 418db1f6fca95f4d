//! Group commit: waiting requests are decided together, in one transaction.
//!
//! A request never waits for others to arrive: if its queue is idle, it starts at once and alone, without waiting for a
//! lock. While one batch is running, a second transaction waits for its turn, that is for the pools that the first one
//! holds, and what arrives until then is its batch. So the pools are never idle while requests wait, and the answers of one
//! batch are sent while the next is decided.
//!
//! Requests for the same profile, or from the same pools, in the same VRF would wait for each other's locks anyway; others
//! have queues of their own.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use ipam_shared::{api::allocation::Recipe, ids::VrfId};
use tokio::sync::oneshot;

use super::{
    Ipam,
    admission::Rooms,
    allocation::Outcome,
    batch::{self, LockedPools, Request, Step},
};
use crate::{
    db::error::is_connection,
    error::{Error, Result},
};

/// Maximum number of requests in one transaction: enough to share the commit, few enough not to keep the first one waiting.
const LARGEST_BATCH: usize = 64;

struct Waiting {
    request: Request,
    reply: oneshot::Sender<Result<Outcome>>,
}

/// Identifies a queue.
type Key = (Recipe, Option<String>, Option<VrfId>);

/// Waiting requests.
#[derive(Default)]
struct Queue {
    waiting: VecDeque<Waiting>,
    /// Whether a task has been started to take the waiting requests.
    is_attended: bool,
    /// Batches that have had their turn and are not done yet.
    at_work: usize,
}

impl Queue {
    fn is_over(&self) -> bool {
        self.waiting.is_empty() && !self.is_attended && self.at_work == 0
    }
}

/// The queues in which requests wait or are processed.
#[derive(Default)]
pub(super) struct Queues {
    queues: Mutex<HashMap<Key, Queue>>,
    rooms: Rooms<Key>,
}

impl std::fmt::Debug for Queues {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Queues")
    }
}

impl Queues {
    /// Queues a request, once there is a slot for it, and waits for its answer.
    pub(super) async fn submit(&self, ipam: &Ipam, request: Request) -> Result<Outcome> {
        let key = request.queue(ipam);
        let _slot = self.rooms.admit(ipam, key.clone()).await?;
        self.wait(ipam, key, request).await
    }

    /// Queues a request of those that were admitted together, and waits for its answer.
    pub(super) async fn join(&self, ipam: &Ipam, request: Request) -> Result<Outcome> {
        self.wait(ipam, request.queue(ipam), request).await
    }

    async fn wait(&self, ipam: &Ipam, key: Key, request: Request) -> Result<Outcome> {
        let (reply, answer) = oneshot::channel();
        self.change(ipam, &key, |queue| {
            queue.waiting.push_back(Waiting { request, reply });
        });
        // If there is no answer, the batch panicked; whether it had committed is not known here.
        answer
            .await
            .map_err(|_| Error::bug("the batch of this request failed"))?
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Queue>> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn attend(&self, ipam: &Ipam, key: &Key, queue: &mut Queue) {
        let Some(first) = queue.waiting.front().filter(|_| !queue.is_attended) else {
            return;
        };
        let (ipam, key, request) = (ipam.clone(), key.clone(), first.request.clone());
        queue.is_attended = true;
        tokio::spawn(async move { ipam.queues.serve(&ipam, key, request).await });
    }

    /// Waits for the turn of a queue, and decides what waits by then. `request` is one of them.
    async fn serve(&self, ipam: &Ipam, key: Key, request: Request) {
        let is_idle = !ipam.contention.is_noticed()
            && self
                .lock()
                .get(&key)
                .is_some_and(|queue| queue.at_work == 0 && queue.waiting.len() == 1);
        let locked = if is_idle {
            Ok(Ok(None))
        } else {
            // A separate task, so that a panic never leaves the queue without a worker.
            let worker = ipam.clone();
            tokio::spawn(async move { batch::lock_pools(&worker, &request).await }).await
        };
        let locked = match locked {
            Ok(Ok(locked)) => locked,
            Err(panic) => {
                tracing::error!(error = %panic, "waiting for a turn panicked");
                None
            }
            // All waiting requests would get the same error.
            Ok(Err(Error::Unavailable(message, source))) => {
                let is_away = source.as_ref().is_some_and(is_connection);
                tracing::warn!(error = ?source, "a queue did not get its turn");
                return self.refuse(ipam, &key, message, is_away);
            }
            Ok(Err(error)) => {
                // Each waiting request gets its own error, from its own attempt.
                tracing::warn!(%error, "a queue did not get its turn");
                None
            }
        };
        let batch = self.take(&key);
        if batch.len() > 1 {
            ipam.contention.notice();
        }
        // Without a turn of its own, a batch has to be done before the next may begin.
        let has_locked = locked.is_some();
        if has_locked {
            self.change(ipam, &key, |queue| {
                queue.is_attended = false;
                queue.at_work += 1;
            });
        }
        let (requests, replies): (Vec<_>, Vec<_>) = batch
            .into_iter()
            .map(|waiting| (waiting.request, waiting.reply))
            .unzip();
        // A separate task, for the same reason.
        let worker = ipam.clone();
        let steps = tokio::spawn(run(worker, locked, requests)).await;
        let mut later = Vec::new();
        match steps {
            Ok(steps) => {
                for (step, reply) in steps.into_iter().zip(replies) {
                    match step {
                        // A caller that is gone will find the allocation under its name.
                        Step::Done(answer) => drop(reply.send(*answer)),
                        Step::Later(request) => later.push(Waiting {
                            request: *request,
                            reply,
                        }),
                    }
                }
            }
            Err(panic) => tracing::error!(error = %panic, "a batch of allocations panicked"),
        }
        self.change(ipam, &key, |queue| {
            for waiting in later.into_iter().rev() {
                queue.waiting.push_front(waiting);
            }
            if has_locked {
                queue.at_work -= 1;
            } else {
                queue.is_attended = false;
                if !queue.waiting.is_empty() {
                    ipam.contention.notice();
                }
            }
        });
    }

    /// Changes a queue, and makes sure that a task will take what waits in it.
    fn change(&self, ipam: &Ipam, key: &Key, change: impl FnOnce(&mut Queue)) {
        let mut queues = self.lock();
        let queue = queues.entry(key.clone()).or_default();
        change(queue);
        self.attend(ipam, key, queue);
        if queue.is_over() {
            queues.remove(key);
        }
    }

    /// The next batch. Of requests for the same name only the first is taken, so that the others find what it created.
    fn take(&self, key: &Key) -> Vec<Waiting> {
        let mut queues = self.lock();
        let Some(queue) = queues.get_mut(key) else {
            return Vec::new();
        };
        let mut seen = HashSet::new();
        let (mut batch, mut rest) = (Vec::new(), VecDeque::new());
        while let Some(waiting) = queue.waiting.pop_front() {
            let mut fresh = true;
            for id in waiting.request.identities() {
                fresh &= seen.insert(id);
            }
            if fresh && batch.len() < LARGEST_BATCH {
                batch.push(waiting);
            } else {
                rest.push_back(waiting);
            }
            if batch.len() == LARGEST_BATCH {
                break;
            }
        }
        rest.append(&mut queue.waiting);
        queue.waiting = rest;
        batch
    }

    /// Tells all waiting requests to try again later.
    fn refuse(&self, ipam: &Ipam, key: &Key, message: &'static str, is_away: bool) {
        for waiting in self.take(key) {
            // All share one cause, which has been logged.
            let cause = is_away.then_some(sqlx::Error::WorkerCrashed);
            drop(waiting.reply.send(Err(Error::Unavailable(message, cause))));
        }
        self.change(ipam, key, |queue| queue.is_attended = false);
    }
}

async fn run(ipam: Ipam, locked: Option<LockedPools>, requests: Vec<Request>) -> Vec<Step> {
    if requests.is_empty() {
        return Vec::new();
    }
    let (start, size) = (Instant::now(), requests.len());
    let steps = batch::run(&ipam, locked, requests).await;
    ipam.metrics.batch(size, start.elapsed());
    steps
}
