//! One network closely: who has it, what it lies in, who had it before, and what can be done with it.

use super::{
    super::{events::Line, query_value, session::SignedIn},
    look::Look,
};
use crate::{app::App, db, error::Result, rights::Right};
use ipam_shared::{
    api::{
        allocation::Allocation,
        lookup::{Holder, HolderKind, Lookup, PoolRange},
    },
    cidr::Cidr,
};

/// Past holders, and events of an allocation, that are shown.
const PAST: u16 = 8;
const EVENTS: i64 = 5;

/// One network closely.
#[derive(Debug)]
pub(in crate::pages) struct Inspector {
    pub(in crate::pages) cidr: Cidr,
    pub(in crate::pages) addresses: u128,
    /// What it is, in a few words.
    pub(in crate::pages) state: String,
    /// What it lies in, the deepest last.
    pub(in crate::pages) pools: Vec<PoolRange>,
    pub(in crate::pages) holders: Vec<Holder>,
    /// Whether there are more of them.
    pub(in crate::pages) more: bool,
    pub(in crate::pages) past: Vec<Holder>,
    /// The allocation that has all of it, and its latest events.
    pub(in crate::pages) allocation: Option<Allocation>,
    pub(in crate::pages) events: Vec<Line>,
    /// Forms that are filled in with it, for those who may.
    pub(in crate::pages) allocate: Option<String>,
    pub(in crate::pages) reserve: Option<String>,
    /// Where it is on the map, and the page without it.
    pub(in crate::pages) zoom: String,
    pub(in crate::pages) close: String,
}

impl Inspector {
    pub(in crate::pages) async fn of(
        app: &App,
        signed_in: &SignedIn,
        vrf: &str,
        cidr: Cidr,
        look: &Look,
    ) -> Result<Self> {
        let ipam = app.ipam(&signed_in.caller);
        let found = ipam.lookup(cidr, Some(vrf), look.time).await?;
        let (history, _) = ipam.history(cidr, Some(vrf), None, PAST * 2).await?;
        let past = history
            .into_iter()
            .filter(|holder| holder.until.is_some() && holder.kind != HolderKind::Cooldown);
        // What cools down was an allocation's, which may have something else now.
        let whole = found
            .holders
            .iter()
            .filter(|holder| holder.kind == HolderKind::Allocation && holder.cidr.contains(cidr));
        let id = whole.filter_map(|holder| holder.allocation_id).next_back();
        let (mut allocation, mut events) = (None, Vec::new());
        if let Some(id) = id {
            let mut db = ipam.read().await?;
            allocation = super::super::allocations::load(&mut db, &[id]).await?.pop();
            let history = db::event::history(&mut db, id.0, EVENTS).await?;
            events = history.into_iter().map(Line::new).collect();
        }
        let rights = &signed_in.caller.rights;
        let free = found.free && look.time.is_none();
        let form = |path: &str, pool: Option<&PoolRange>| {
            let pool = pool.map(|pool| format!("&pool={}", query_value(&pool.pool)));
            let vrf = query_value(vrf);
            format!("{path}?vrf={vrf}{}&cidr={cidr}", pool.unwrap_or_default())
        };
        Ok(Self {
            cidr,
            addresses: cidr.addresses(),
            state: state(&found),
            allocate: (free && rights.may(Right::Plan))
                .then(|| form("/ui/allocations/new", found.pools.last())),
            reserve: (free && rights.may(Right::Operate))
                .then(|| form("/ui/reservations/new", None)),
            pools: found.pools,
            more: found.more || found.holders.len() > usize::from(PAST),
            holders: found.holders.into_iter().take(PAST.into()).collect(),
            past: past.take(PAST.into()).collect(),
            allocation,
            events,
            zoom: look.with(|look| look.at = Some(cidr)),
            close: look.with(|look| look.pick = None),
        })
    }
}

/// What a network is, in a few words.
pub(in crate::pages) fn state(found: &Lookup) -> String {
    let whole = found
        .holders
        .iter()
        .rfind(|holder| holder.cidr.contains(found.cidr));
    match whole {
        Some(holder) if holder.kind != HolderKind::ChildPool || !found.free => match holder.kind {
            HolderKind::Allocation => format!("Allocated to {}", holder.owner()),
            HolderKind::Reservation => "Reserved".to_owned(),
            HolderKind::Cooldown => "Cooling down".to_owned(),
            HolderKind::ChildPool => {
                format!("In pool {}", holder.name.as_deref().unwrap_or_default())
            }
            HolderKind::Other => "Out of circulation".to_owned(),
        },
        _ if found.free => "Free".to_owned(),
        _ if found.pools.is_empty() && found.holders.is_empty() => "In no pool".to_owned(),
        _ => "Partly in use".to_owned(),
    }
}
