//! Which connections have a slot, and which give one up. When all are taken, connections that wait for something are
//! closed: those without a key before those that showed it, those of the address that has the most first, and the oldest
//! first. So a crowd that sends nothing, or reads nothing, keeps out neither health checks nor anybody's work.

use std::{
    cmp::Reverse,
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use super::connection::Connection;
use crate::{
    front::owner,
    metrics::{Closed, Metrics},
};

/// How many connections make room together when all slots are taken, so that a crowd is not searched for each new
/// connection.
const ROOM: usize = 32;

/// Minimum interval between two searches of the connections of one address, if the first found none that can make room:
/// otherwise a burst would be searched once for each of its connections.
const SEARCH: Duration = Duration::from_millis(20);

/// The connections that are open.
#[derive(Debug)]
pub(super) struct Slots {
    open: Mutex<Open>,
    per_address: usize,
    metrics: Arc<Metrics>,
}

#[derive(Debug, Default)]
struct Open {
    next: u64,
    connections: HashMap<u64, Arc<Connection>>,
    /// How many of them each address has.
    addresses: HashMap<IpAddr, usize>,
    /// The address that was last searched in vain, when, and whether one more connection from it is accepted.
    searched: Option<(IpAddr, Instant, bool)>,
}

/// A slot, until it is dropped.
#[derive(Debug)]
pub(super) struct Slot {
    slots: Arc<Slots>,
    id: u64,
    pub(super) connection: Arc<Connection>,
}

/// A connection among the others, which may turn out to be that of another client.
pub(super) struct Joined {
    slots: Arc<Slots>,
    id: u64,
    pub(super) connection: Arc<Connection>,
}

impl Slot {
    /// The connection, for its own use.
    pub(super) fn joined(&self) -> Joined {
        Joined {
            slots: Arc::clone(&self.slots),
            id: self.id,
            connection: Arc::clone(&self.connection),
        }
    }
}

impl Joined {
    /// Counts the connection for the client that a proxy has named, instead of the proxy; false if the client has all the
    /// connections that it may have, or this one was told to make room.
    pub(super) fn is_for(&self, client: IpAddr) -> bool {
        let address = owner(client);
        let mut open = self.slots.lock();
        if address == owner(self.connection.client()) {
            self.connection.is_for(client);
            return true;
        }
        let count = open.addresses.get(&address).copied().unwrap_or_default();
        if count >= self.slots.per_address && !self.slots.make_room_at(&mut open, address, count) {
            return false;
        }
        if !open.connections.contains_key(&self.id) {
            return false;
        }
        open.discount(owner(self.connection.client()));
        *open.addresses.entry(address).or_default() += 1;
        self.connection.is_for(client);
        true
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.slots.lock().remove(self.id);
        self.slots.metrics.disconnected();
    }
}

impl Open {
    fn remove(&mut self, id: u64) {
        let Some(connection) = self.connections.remove(&id) else {
            return;
        };
        self.discount(owner(connection.client()));
    }

    fn discount(&mut self, address: IpAddr) {
        if let Some(count) = self.addresses.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                self.addresses.remove(&address);
            }
        }
    }

    /// Closes up to `count` connections, of one address or of any; returns how many.
    fn make_room(&mut self, count: usize, of: Option<IpAddr>) -> usize {
        let mut spare: Vec<_> = self
            .connections
            .iter()
            .filter(|(_, connection)| {
                of.is_none_or(|address| owner(connection.client()) == address)
            })
            .filter_map(|(id, connection)| {
                let turn = connection.spare()?;
                let of_address = self.addresses.get(&owner(connection.client())).copied();
                let turn = (turn.known, turn.young, Reverse(of_address), turn.since);
                Some((turn, *id))
            })
            .collect();
        spare.sort_unstable();
        let mut closed = 0;
        for (_, id) in spare {
            if closed == count {
                break;
            }
            if self.connections.get(&id).is_some_and(|one| one.evict()) {
                self.remove(id);
                closed += 1;
            }
        }
        closed
    }
}

impl Slots {
    pub(super) fn new(per_address: usize, metrics: Arc<Metrics>) -> Arc<Self> {
        Arc::new(Self {
            open: Mutex::default(),
            per_address,
            metrics,
        })
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A slot for a connection of that address. If the address has as many as it may, one of its own makes room; none if
    /// all of these are busy. Connections are accepted beyond that while a first request is on its way: a burst is not yet
    /// a crowd.
    pub(super) fn take(self: &Arc<Self>, peer: IpAddr) -> Option<Slot> {
        let address = owner(peer);
        let mut open = self.lock();
        let count = open.addresses.get(&address).copied().unwrap_or_default();
        if count >= self.per_address && !self.make_room_at(&mut open, address, count) {
            return None;
        }
        let id = open.next;
        open.next += 1;
        let connection = Arc::new(Connection::new(peer));
        open.connections.insert(id, Arc::clone(&connection));
        *open.addresses.entry(address).or_default() += 1;
        self.metrics.connected();
        Some(Slot {
            slots: Arc::clone(self),
            id,
            connection,
        })
    }

    /// Whether one more connection is accepted from an address that has its share.
    fn make_room_at(&self, open: &mut Open, address: IpAddr, count: usize) -> bool {
        if let Some((of, when, verdict)) = open.searched
            && of == address
            && when.elapsed() < SEARCH
        {
            return verdict;
        }
        let closed = open.make_room(
            1 + count - self.per_address + ROOM.min(self.per_address / 64),
            Some(address),
        );
        let mut of_address =
            (open.connections.values()).filter(|one| owner(one.client()) == address);
        let come_in = closed > 0 || of_address.any(|one| one.is_arriving());
        if closed == 0 {
            open.searched = Some((address, Instant::now(), come_in));
        }
        self.metrics
            .closed(Closed::Address, closed + usize::from(!come_in));
        come_in
    }

    /// Makes room when nobody else would get a slot.
    pub(super) fn make_room(&self) {
        let closed = self.lock().make_room(ROOM, None);
        self.metrics.closed(Closed::Crowded, closed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn slots(per_address: usize) -> Arc<Slots> {
        Slots::new(per_address, Arc::default())
    }

    fn left(slots: &Arc<Slots>) -> Vec<u64> {
        let mut ids: Vec<_> = slots.lock().connections.keys().copied().collect();
        ids.sort_unstable();
        ids
    }

    /// A slot of a connection that was answered once.
    fn answered(slots: &Arc<Slots>, text: &str) -> Slot {
        let slot = slots.take(address(text)).unwrap();
        slot.connection.answer();
        slot.connection.wait();
        slot
    }

    #[test]
    fn an_address_that_has_its_share_gives_up_one_of_its_own() {
        let slots = slots(2);
        let (crowd, other) = ("192.0.2.1", "192.0.2.2");
        let taken = [other, crowd, crowd, crowd].map(|address| answered(&slots, address));
        assert_eq!(left(&slots), [0, 2, 3]);
        assert!(!taken[1].connection.begin(), "it was told to leave");
        // Busy connections give up nothing, and then there is no slot.
        assert!(taken[2].connection.begin() && taken[3].connection.begin());
        assert!(slots.take(address(crowd)).is_none());
        assert!(slots.take(address(other)).is_some());
        drop(taken);
        assert_eq!(left(&slots), Vec::<u64>::new());
        assert!(slots.lock().addresses.is_empty());
    }

    #[test]
    fn a_burst_is_let_in_and_shrinks_to_its_share_when_it_was_answered() {
        let slots = slots(2);
        let burst = [(); 6].map(|()| slots.take(address("192.0.2.1")).unwrap());
        assert_eq!(left(&slots).len(), 6);
        assert_eq!(slots.lock().make_room(9, None), 0, "nobody has waited yet");
        for one in &burst {
            one.connection.answer();
        }
        assert_eq!(
            slots.lock().make_room(9, None),
            0,
            "their replies may not be written"
        );
        for one in &burst {
            one.connection.wait();
        }
        std::thread::sleep(SEARCH);
        let last = slots.take(address("192.0.2.1")).unwrap();
        assert_eq!(left(&slots), [5, 6]);
        drop((burst, last));
    }

    #[test]
    fn strangers_of_the_largest_crowd_make_room_first() {
        let slots = slots(100);
        let lone = answered(&slots, "192.0.2.9");
        let crowd = [(); 3].map(|()| answered(&slots, "192.0.2.1"));
        crowd[0].connection.trust();
        assert!(crowd[1].connection.begin());
        assert_eq!(slots.lock().make_room(1, None), 1);
        assert_eq!(left(&slots), [0, 1, 2], "the stranger that waits");
        assert_eq!(slots.lock().make_room(1, None), 1);
        assert_eq!(
            left(&slots),
            [1, 2],
            "the key is worth more than an address of one's own"
        );
        assert_eq!(slots.lock().make_room(5, None), 1);
        assert_eq!(left(&slots), [2], "who is at work stays");
        drop((lone, crowd));
    }

    #[test]
    fn a_connection_counts_for_the_client_that_its_proxy_names() {
        let slots = slots(2);
        let named = |client: &str| {
            let slot = slots.take(address("10.0.0.1")).unwrap();
            let is_let_in = slot.joined().is_for(address(client));
            slot.connection.answer();
            slot.connection.wait();
            (slot, is_let_in)
        };
        let taken = ["192.0.2.1", "192.0.2.2", "192.0.2.1", "192.0.2.3"].map(named);
        assert!(taken.iter().all(|(_, is_let_in)| *is_let_in));
        assert_eq!(left(&slots), [0, 1, 2, 3], "none has more than its share");
        let (third, is_let_in) = named("192.0.2.1");
        assert!(is_let_in);
        assert_eq!(left(&slots), [1, 2, 3, 4], "its oldest made room");
        assert!(
            !taken[0].0.joined().is_for(address("192.0.2.9")),
            "it has to leave"
        );
        assert!(taken[2].0.connection.begin() && third.connection.begin());
        std::thread::sleep(SEARCH);
        let (_refused, is_let_in) = named("192.0.2.1");
        assert!(!is_let_in, "all of its connections are busy");
        drop((taken, third, _refused));
        assert!(slots.lock().addresses.is_empty());
    }
}
