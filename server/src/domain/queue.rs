//! Group commit: what waits is decided together, in one transaction.
//!
//! A request never waits for others to arrive: if nobody works on its queue, it starts at once and alone. While one batch
//! is at work, the next one gathers. Requests for the same profile, or from the same pools, in the same VRF would wait for
//! each other's locks anyway; others have queues of their own.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::{Mutex, PoisonError},
};

use ipam_shared::{api::allocation::Recipe, ids::VrfId};
use tokio::sync::oneshot;

use super::{
    Ipam,
    allocation::Outcome,
    batch::{self, Ask, Step},
};
use crate::error::{Error, Result};

/// Most requests in one transaction: enough that the commit is shared, few enough that the first is not kept waiting.
const LARGEST_BATCH: usize = 64;

struct Waiting {
    ask: Ask,
    reply: oneshot::Sender<Result<Outcome>>,
}

/// What requests of one queue have in common.
type Key = (Recipe, Option<String>, Option<VrfId>);

/// What waits. A key exists as long as a task works on it.
#[derive(Default)]
pub(super) struct Queues(Mutex<HashMap<Key, VecDeque<Waiting>>>);

impl std::fmt::Debug for Queues {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Queues")
    }
}

impl Queues {
    /// Queues a request and waits for its answer.
    pub(super) async fn submit(&self, ipam: &Ipam, ask: Ask) -> Result<Outcome> {
        let (reply, answer) = oneshot::channel();
        let key = ask.queue(ipam);
        let waiting = Waiting { ask, reply };
        let idle = {
            let mut queues = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            match queues.get_mut(&key) {
                Some(queue) => {
                    queue.push_back(waiting);
                    false
                }
                None => {
                    queues.insert(key.clone(), VecDeque::from([waiting]));
                    true
                }
            }
        };
        if idle {
            let ipam = ipam.clone();
            tokio::spawn(async move {
                // The inner task keeps a panic of one batch from leaving the queue without anybody who works on it.
                while let Some(batch) = ipam.queues.next(&key) {
                    let (asks, replies): (Vec<_>, Vec<_>) = batch
                        .into_iter()
                        .map(|waiting| (waiting.ask, waiting.reply))
                        .unzip();
                    let worker = ipam.clone();
                    match tokio::spawn(async move { batch::run(&worker, asks).await }).await {
                        Ok(steps) => ipam.queues.answer(&key, steps, replies),
                        Err(panic) => {
                            tracing::error!(error = %panic, "a batch of allocations panicked")
                        }
                    }
                }
            });
        }
        // Without an answer the batch panicked; whether it had committed is not known here.
        answer
            .await
            .map_err(|_| Error::bug("the batch of this request failed"))?
    }

    /// The next batch; none, and the queue is gone, when nothing waits. Of requests for the same name only the first is
    /// taken, so that the others find what it made.
    fn next(&self, key: &Key) -> Option<Vec<Waiting>> {
        let mut queues = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let queue = queues.get_mut(key)?;
        if queue.is_empty() {
            queues.remove(key);
            return None;
        }
        let mut seen = HashSet::new();
        let (mut batch, mut rest) = (Vec::new(), VecDeque::new());
        while let Some(waiting) = queue.pop_front() {
            let mut fresh = true;
            for id in waiting.ask.identities() {
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
        rest.append(queue);
        *queue = rest;
        Some(batch)
    }

    fn answer(&self, key: &Key, steps: Vec<Step>, replies: Vec<oneshot::Sender<Result<Outcome>>>) {
        let mut later = Vec::new();
        for (step, reply) in steps.into_iter().zip(replies) {
            match step {
                // Who does not listen any more finds the allocation under its name.
                Step::Done(answer) => drop(reply.send(*answer)),
                Step::Later(ask) => later.push(Waiting { ask: *ask, reply }),
            }
        }
        if !later.is_empty()
            && let Some(queue) = self
                .0
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .get_mut(key)
        {
            for waiting in later.into_iter().rev() {
                queue.push_front(waiting);
            }
        }
    }
}
