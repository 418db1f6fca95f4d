//! The audit log as it grows. What is read here is complete: an event appears once no event before it can appear any more,
//! so that whoever goes on after the last one that it saw misses nothing. The sealer finds out how far that is.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use ipam_shared::api::event::{Feed, FeedParams, Head};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::Ipam;
use crate::{
    db::{event, seal},
    error::{Error, Result},
};

/// How many may follow the log of one server at a time.
const FOLLOWERS: usize = 100;
/// How many pages may wait for something to happen. They take no place of those that follow the log.
const PAGES: usize = 500;
/// How long a server that has just started may take to find out how far the log is complete.
const BEGINNING: Duration = Duration::from_secs(10);

/// How often it looks.
const LOOK: Duration = Duration::from_millis(50);

/// How far the log is complete, and who follows it.
#[derive(Debug)]
pub(in crate::domain) struct Complete {
    known: watch::Sender<Known>,
    followers: Arc<Semaphore>,
    pages: Arc<Semaphore>,
}

/// What a server knows of the log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Known {
    /// The last event before which none can appear any more; none until that is known.
    up_to: Option<i64>,
    head: Option<Head>,
}

impl Default for Complete {
    fn default() -> Self {
        Self {
            known: watch::Sender::default(),
            followers: Arc::new(Semaphore::new(FOLLOWERS)),
            pages: Arc::new(Semaphore::new(PAGES)),
        }
    }
}

impl Complete {
    /// No event up to this one can appear any more. It may be an earlier one than before: then the database was put back.
    pub(super) fn up_to(&self, event: i64) {
        self.learn(|known| known.up_to = Some(event));
    }

    /// The database was put back: it is not known what can appear.
    pub(super) fn forget(&self) {
        self.learn(|known| known.up_to = None);
    }

    /// The log is sealed up to there.
    pub(super) fn sealed(&self, head: Option<Head>) {
        self.learn(|known| known.head = head);
    }

    /// The last event before which none can appear any more, as far as that is known.
    pub(super) fn known_up_to(&self) -> Option<i64> {
        self.known.borrow().up_to
    }

    /// How far the log is sealed.
    pub(super) fn known_head(&self) -> Option<Head> {
        self.known.borrow().head.clone()
    }

    /// Who wants to know when more is known.
    pub(super) fn growth(&self) -> Growth {
        Growth(self.known.subscribe())
    }

    fn learn(&self, learn: impl FnOnce(&mut Known)) {
        self.known.send_if_modified(|known| {
            let before = known.clone();
            learn(known);
            *known != before
        });
    }
}

/// Tells when more of the log is complete.
#[derive(Debug)]
pub(super) struct Growth(watch::Receiver<Known>);

impl Growth {
    /// Waits until more is, but not for longer than that.
    pub(super) async fn wait(&mut self, patience: Duration) {
        // The sender lives as long as the domain.
        _ = tokio::time::timeout(patience, self.0.changed()).await;
    }
}

/// Somebody who follows the log.
#[derive(Debug)]
pub struct Follower {
    ipam: Ipam,
    known: watch::Receiver<Known>,
    /// Everything up to this event was seen.
    after: i64,
    _place: OwnedSemaphorePermit,
}

impl Ipam {
    /// Begins to follow the log after an event, or from now on.
    ///
    /// # Errors
    /// When too many do that already, or there is no such event yet.
    pub async fn follow(&self, after: Option<i64>) -> Result<Follower> {
        self.followed(after, &self.complete.followers).await
    }

    /// Follows the log from now on for a page that is open somewhere.
    ///
    /// # Errors
    /// When too many do that already.
    pub async fn watch(&self) -> Result<Follower> {
        self.followed(None, &self.complete.pages).await
    }

    async fn followed(&self, after: Option<i64>, places: &Arc<Semaphore>) -> Result<Follower> {
        let place = Arc::clone(places).try_acquire_owned();
        let place = place.map_err(|_| {
            Error::Unavailable(
                "too many clients follow the audit log of this server; try again later",
                None,
            )
        })?;
        let known = self.complete.known.subscribe();
        let up_to = known.borrow().up_to;
        let up_to = match up_to {
            Some(up_to) => up_to,
            None => self.find_out().await?,
        };
        if let Some(after) = after
            && !(0..=up_to).contains(&after)
        {
            self.must_reach(after).await?;
        }
        Ok(Follower {
            ipam: self.clone(),
            known,
            after: after.unwrap_or(up_to),
            _place: place,
        })
    }

    /// Refuses to go on after an event that there is not, or no longer.
    async fn must_reach(&self, after: i64) -> Result<()> {
        let last = seal::last_id(&mut self.seen_by_all().read().await?).await?;
        if (0..=last).contains(&after) {
            return Ok(());
        }
        Err(Error::invalid(format!(
            "after={after}: the last event is {last}; if the database was restored from a backup, what you have seen \
             after {last} is lost, and ids are used again: go on from there, or from the beginning with after=0"
        )))
    }

    /// Finds out how far the log is complete, as the sealer does, which has not yet begun.
    async fn find_out(&self) -> Result<i64> {
        let ipam = self.seen_by_all();
        let end = Instant::now() + BEGINNING;
        let last = seal::last_id(&mut ipam.read().await?).await?;
        let (next, _) = seal::horizon(&mut ipam.read().await?).await?;
        while seal::horizon(&mut ipam.read().await?).await?.1 < next {
            if Instant::now() > end {
                return Err(Error::Unavailable(
                    "a transaction that is still going on keeps the server from knowing how far the audit log is complete; \
                     try again in a moment",
                    None,
                ));
            }
            tokio::time::sleep(LOOK).await;
        }
        // The sealer may know by now.
        self.complete
            .learn(|known| _ = known.up_to.get_or_insert(last));
        Ok(last)
    }

    /// How far the log is sealed.
    pub async fn head(&self) -> Result<Option<Head>> {
        let seal = seal::last_seal(&mut self.seen_by_all().read().await?).await?;
        Ok(seal.map(|seal| seal.head()))
    }
}

impl Follower {
    /// What has happened since the last time, oldest first; maybe nothing.
    ///
    /// # Errors
    /// When what was seen last is no longer there: a database that was put back gives its number to another event.
    pub async fn more(&mut self, params: &FeedParams, limit: u16) -> Result<Feed> {
        let known = self.known.borrow_and_update().clone();
        let mut items = Vec::new();
        match known.up_to {
            Some(up_to) if up_to > self.after => {
                let mut db = self.ipam.read().await?;
                (items, self.after) =
                    event::after(&mut db, params, None, self.after, up_to, limit).await?;
            }
            Some(up_to) if up_to < self.after => self.ipam.must_reach(self.after).await?,
            _ => {}
        }
        Ok(Feed {
            items,
            next: self.after,
            head: known.head,
        })
    }

    /// Waits until there may be more, but not for longer than that.
    pub async fn wait(&mut self, patience: Duration) {
        let there_is = |known: &Known| known.up_to.is_some_and(|up_to| up_to > self.after);
        // The sender lives as long as the domain, which `ipam` keeps alive.
        _ = tokio::time::timeout(patience, self.known.wait_for(there_is)).await;
    }
}
