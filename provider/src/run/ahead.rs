//! Reading ahead: a refresh of a thousand resources takes a few requests, not a thousand.
//!
//! Terraform asks for each resource separately, a few at a time, and never says what else a state holds. But what one state
//! holds was mostly created for one owner, and at about the same time, and ids sort by creation time. So once some were
//! read one by one, a page of the same owner's list, starting at the next one, is read and answers the reads that follow.
//! What is not in it is read individually, and so is everything if pages turn out to contain little of what is asked for,
//! and whatever a page shows to belong to somebody else by now: the server explains that best.
//!
//! What was read ahead is forgotten with every change that this provider makes, and after a minute.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use ipam_client::{Client, Error};
use ipam_shared::{
    api::{
        allocation::{Allocation, AllocationFilter},
        ownership::{Owned, Owner},
        pool::{Pool, PoolFilter},
        profile::{Profile, ProfileFilter},
        reservation::{Reservation, ReservationFilter},
        token::{Token, TokenFilter},
        vpc::{Vpc, VpcFilter},
        vrf::{Vrf, VrfFilter},
    },
    ids::Claim,
    page::{MAX_LIMIT, Page},
};
use tokio::sync::Mutex;
use uuid::Uuid;

/// How many are read one by one before anything is read ahead: a small state needs no page.
const ALONE: usize = 4;
/// How long what was read ahead is valid.
const FRESH: Duration = Duration::from_secs(60);
/// Of what was read ahead, at least one in this many has to be used, or it was the last page.
const USEFUL: usize = 10;
/// How long before the first one others were created that most likely belong to the same state.
const EARLIER: Duration = Duration::from_secs(600);
/// Ids are UUIDs of version 7, whose first 48 bits are milliseconds.
const TIME_SHIFT: u32 = 80;
/// How many pages are read before that counts.
const TRIALS: usize = 2;

/// What was read ahead of one noun.
#[derive(Debug)]
pub(crate) struct Ahead<T>(Mutex<Known<T>>);

#[derive(Debug)]
struct Known<T> {
    items: HashMap<Uuid, T>,
    since: Instant,
    /// Individual reads so far.
    alone: usize,
    pages: usize,
    fetched: usize,
    used: usize,
    /// Whose list the last page belongs to, and where it continues, if it does.
    last: Option<(String, Option<String>)>,
    /// Whether the list could not be read.
    has_failed: bool,
    /// For whom the last one that was read was created.
    owner: Option<Owner>,
}

impl<T> Default for Ahead<T> {
    fn default() -> Self {
        Self(Mutex::new(Known {
            items: HashMap::new(),
            since: Instant::now(),
            alone: 0,
            pages: 0,
            fetched: 0,
            used: 0,
            last: None,
            has_failed: false,
            owner: None,
        }))
    }
}

/// The order of a list.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Order {
    /// By id, which is the order of creation.
    Ids,
    /// By name, so it can only be read from its beginning.
    Names,
}

impl<T: Listed> Ahead<T> {
    /// The one with that id: read ahead, or by `alone`. The second value says whether the claim still has to be confirmed;
    /// an individual read confirms it.
    pub(crate) async fn read(
        &self,
        client: &Client,
        id: Uuid,
        claim: Option<Claim>,
        alone: impl Future<Output = Result<T, Error>> + Send,
    ) -> Result<(T, bool), Error> {
        if let Some(found) = self.ahead(client, id).await {
            let is_ours = claim.is_none_or(|claim| found.claim_digest() == Some(claim.digest()));
            if is_ours {
                let is_open = claim.is_some() && !found.is_confirmed();
                return Ok((found, is_open));
            }
        }
        let found = alone.await?;
        self.0.lock().await.owner = found.owner().cloned();
        Ok((found, false))
    }

    async fn ahead(&self, client: &Client, id: Uuid) -> Option<T> {
        // Held while a page is read: concurrent reads most likely find what they want in it.
        let mut known = self.0.lock().await;
        known.forget_if_stale();
        if !known.items.contains_key(&id)
            && known.is_worth_a_page()
            && let Some((owner, cursor)) = known.next(id, T::ORDER)
        {
            match T::page(client, Some(owner.clone()), cursor).await {
                Ok(page) => known.add(owner, page),
                Err(error) => {
                    tracing::debug!(%error, "nothing is read ahead");
                    known.has_failed = true;
                }
            }
        }
        let found = known.items.get(&id).cloned();
        match found {
            Some(_) => known.used += 1,
            None => known.alone += 1,
        }
        found
    }

    /// Drops what was read ahead, because something was changed.
    async fn forget(&self) {
        self.0.lock().await.forget();
    }
}

impl<T: Owned> Known<T> {
    fn is_worth_a_page(&self) -> bool {
        self.alone >= ALONE
            && !self.has_failed
            && (self.pages < TRIALS || self.used >= self.fetched / USEFUL)
    }

    /// Whose page may hold that id, and what it begins after; none if there is no further one.
    fn next(&self, id: Uuid, order: Order) -> Option<(String, Option<String>)> {
        let owner = self.owner.as_ref();
        let owner = owner.map_or_else(String::new, |owner| owner.as_str().to_owned());
        let cursor = match (order, &self.last) {
            (Order::Ids, _) => Some(self.before(id).to_string()),
            (Order::Names, Some((of, next))) if *of == owner => Some(next.clone()?),
            (Order::Names, _) => None,
        };
        Some((owner, cursor))
    }

    /// What the page with that id begins after. The first begins with what was created some time before, in the hope that
    /// it contains everything that was created together.
    fn before(&self, id: Uuid) -> Uuid {
        let sooner = match self.pages {
            0 => EARLIER.as_millis() << TIME_SHIFT,
            _ => 1,
        };
        Uuid::from_u128(id.as_u128().saturating_sub(sooner))
    }

    fn add(&mut self, owner: String, page: Page<T>) {
        if self.items.is_empty() {
            self.since = Instant::now();
        }
        self.pages += 1;
        self.fetched += page.items.len();
        self.last = Some((owner, page.next_cursor));
        let items = page.items.into_iter();
        self.items.extend(items.map(|item| (item.uuid(), item)));
    }

    fn forget_if_stale(&mut self) {
        if self.since.elapsed() > FRESH {
            self.forget();
        }
    }

    fn forget(&mut self) {
        self.items.clear();
        self.last = None;
    }
}

/// What was read ahead, of every noun.
#[derive(Debug, Default)]
pub(crate) struct Reads {
    allocations: Ahead<Allocation>,
    pools: Ahead<Pool>,
    profiles: Ahead<Profile>,
    reservations: Ahead<Reservation>,
    tokens: Ahead<Token>,
    vpcs: Ahead<Vpc>,
    vrfs: Ahead<Vrf>,
}

impl Reads {
    /// Drops everything: the name of one thing appears in others too.
    pub(crate) async fn forget(&self) {
        self.allocations.forget().await;
        self.pools.forget().await;
        self.profiles.forget().await;
        self.reservations.forget().await;
        self.tokens.forget().await;
        self.vpcs.forget().await;
        self.vrfs.forget().await;
    }
}

/// What can be read in pages.
pub(crate) trait Listed: Owned + Clone + Send + Sync {
    /// What was read ahead of them.
    fn ahead(reads: &Reads) -> &Ahead<Self>;

    /// In which order a list has them.
    const ORDER: Order;

    /// Reads a page, of one owner or of all.
    fn page(
        client: &Client,
        owner: Option<String>,
        cursor: Option<String>,
    ) -> impl Future<Output = Result<Page<Self>, Error>> + Send;
}

macro_rules! listed {
    ($($found:ident: $reads:ident, $filter:ident, $list:ident, $order:ident;)+) => {$(
        impl Listed for $found {
            const ORDER: Order = Order::$order;

            fn ahead(reads: &Reads) -> &Ahead<Self> {
                &reads.$reads
            }

            async fn page(
                client: &Client,
                owner: Option<String>,
                cursor: Option<String>,
            ) -> Result<Page<Self>, Error> {
                let filter = $filter {
                    owner,
                    cursor,
                    limit: Some(MAX_LIMIT),
                    ..$filter::default()
                };
                client.$list(&filter).await
            }
        }
    )+};
}

listed! {
    Allocation: allocations, AllocationFilter, list_allocations, Ids;
    Pool: pools, PoolFilter, list_pools, Names;
    Profile: profiles, ProfileFilter, list_profiles, Ids;
    Reservation: reservations, ReservationFilter, list_reservations, Ids;
    Token: tokens, TokenFilter, list_tokens, Ids;
    Vpc: vpcs, VpcFilter, list_vpcs, Ids;
    Vrf: vrfs, VrfFilter, list_vrfs, Ids;
}
