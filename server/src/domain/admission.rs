//! How many requests are processed concurrently. More of them would only wait for each other, for connections and for
//! locks, and all would be answered late; so some are told at once to retry later.
//!
//! A request that finds all slots taken waits for one for a moment, in the order of arrival, so that a burst loses none.
//! Reads have slots of their own, so have changes, and so have the requests for space of each queue: what waits for one
//! pool, or for a lock, takes nothing from the others. The server's own background work and health checks take no slots.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Ipam;
use crate::{
    error::{Error, Result},
    metrics::Shed,
};

/// Default number of concurrent requests for space of one queue: as many as one transaction decides at most. The other
/// limits are fractions or multiples of it.
pub const IN_FLIGHT: u32 = 64;
/// Reads wait for no locks and are short.
const READS: u32 = 4;
/// Each of the other changes takes a connection and locks of its own.
const CHANGES: u32 = 4;
/// An export keeps a connection for reads as long as its client reads, of which there are a few only.
const EXPORTS: u32 = 2;
/// Changes of allocations hold the locks of pools for several round trips, and a batch of requests for space waits behind
/// all of them: by default they get half of the connections that both use.
const ALLOCATIONS: u32 = 16;
/// How long a request waits for a slot.
const PATIENCE: Duration = Duration::from_millis(500);

/// The kind of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It reads.
    Read,
    /// It releases or changes an allocation, or says what a request for space would get.
    Allocation,
    /// It changes something else, or asks for space in a batch.
    Change,
    /// It reads everything there is.
    Export,
}

/// The slots of a server.
#[derive(Debug)]
pub(super) struct Admission {
    most: u32,
    reads: Arc<Semaphore>,
    allocations: Arc<Semaphore>,
    changes: Arc<Semaphore>,
    exports: Arc<Semaphore>,
}

impl Default for Admission {
    fn default() -> Self {
        Self::new(IN_FLIGHT)
    }
}

impl Admission {
    pub(super) fn new(most: u32) -> Self {
        Self {
            most,
            reads: slots(most.saturating_mul(READS)),
            allocations: slots(most.div_ceil(ALLOCATIONS)),
            changes: slots(most.div_ceil(CHANGES)),
            exports: slots(EXPORTS),
        }
    }
}

fn slots(most: u32) -> Arc<Semaphore> {
    Arc::new(Semaphore::new((most as usize).min(Semaphore::MAX_PERMITS)))
}

/// A slot, until it is dropped.
#[derive(Debug)]
pub struct Slot(#[expect(dead_code, reason = "its end is what counts")] OwnedSemaphorePermit);

async fn enter(slots: Arc<Semaphore>) -> Option<Slot> {
    let permit = tokio::time::timeout(PATIENCE, slots.acquire_owned()).await;
    permit.ok()?.ok().map(Slot)
}

impl Ipam {
    /// Waits for a slot for a request.
    ///
    /// # Errors
    /// [`Error::Overloaded`] when none is free in time.
    pub async fn admit(&self, kind: Kind) -> Result<Slot> {
        let (slots, shed) = match kind {
            Kind::Read => (&self.admission.reads, Shed::Read),
            Kind::Allocation => (&self.admission.allocations, Shed::Allocation),
            Kind::Change => (&self.admission.changes, Shed::Change),
            Kind::Export => (&self.admission.exports, Shed::Read),
        };
        let slot = enter(Arc::clone(slots)).await;
        slot.ok_or_else(|| self.overloaded(shed))
    }

    fn overloaded(&self, shed: Shed) -> Error {
        self.metrics.shed(shed);
        Error::Overloaded
    }
}

/// Separate slots for each key; those of keys without a taken slot are dropped.
#[derive(Debug)]
pub(super) struct Rooms<K: Eq + Hash>(Mutex<HashMap<K, Arc<Semaphore>>>);

impl<K: Eq + Hash> Default for Rooms<K> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

/// A slot of `key`.
pub(super) struct RoomSlot<'r, K: Eq + Hash> {
    rooms: &'r Rooms<K>,
    key: K,
    slot: Option<Slot>,
}

impl<K: Eq + Hash> Drop for RoomSlot<'_, K> {
    fn drop(&mut self) {
        self.slot = None;
        let mut rooms = self.rooms.lock();
        // Every waiter and holder of a slot there keeps a reference, and takes it under this lock.
        if rooms
            .get(&self.key)
            .is_some_and(|room| Arc::strong_count(room) == 1)
        {
            rooms.remove(&self.key);
        }
    }
}

impl<K: Eq + Hash> Rooms<K> {
    fn lock(&self) -> MutexGuard<'_, HashMap<K, Arc<Semaphore>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A slot for a request for space.
    pub(super) async fn admit(&self, ipam: &Ipam, key: K) -> Result<RoomSlot<'_, K>>
    where
        K: Clone,
    {
        let room = {
            let mut rooms = self.lock();
            let room = rooms
                .entry(key.clone())
                .or_insert_with(|| slots(ipam.admission.most));
            Arc::clone(room)
        };
        // From here on, dropping it cleans up the room, even if nobody waits for the answer any longer.
        let mut taken = RoomSlot {
            rooms: self,
            key,
            slot: None,
        };
        taken.slot = enter(room).await;
        if taken.slot.is_none() {
            return Err(ipam.overloaded(Shed::Space));
        }
        Ok(taken)
    }
}

#[cfg(test)]
mod tests {
    use sqlx::PgPool;

    use super::*;

    #[tokio::test]
    async fn each_room_has_places_of_its_own_and_is_forgotten_when_nobody_is_in_it() {
        let nowhere = PgPool::connect_lazy("postgres://localhost/nowhere").unwrap();
        let ipam = Ipam::new(nowhere).with_requests_in_flight(1);
        let rooms = Rooms::default();
        let one = rooms.admit(&ipam, "a").await.ok();
        let other = rooms.admit(&ipam, "b").await.ok();
        assert!(one.is_some() && other.is_some());
        let refused = rooms.admit(&ipam, "a").await;
        assert!(matches!(refused, Err(Error::Overloaded)));
        // A waiter gets the slot of a request that ends.
        let (waits, ()) = tokio::join!(rooms.admit(&ipam, "a"), async {
            tokio::task::yield_now().await;
            drop(one);
        });
        assert!(waits.is_ok());
        // A caller that stops waiting leaves nothing behind.
        let gone = tokio::time::timeout(PATIENCE / 50, rooms.admit(&ipam, "a")).await;
        assert!(gone.is_err());
        assert_eq!(rooms.lock().len(), 2);
        drop((waits, other));
        assert!(rooms.lock().is_empty());
    }
}
