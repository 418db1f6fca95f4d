//! Who holds a network, now or at any time before.
//!
//! Current blocks say who holds it and since when; past blocks say who held it and until when. Both carry the current
//! names, or those at their end. What an allocation and its VPC were called at some time before is in the audit log.
//!
//! A VPC that is gone, or that an allocation left, goes by the name that it had when the allocation was made or moved there:
//! a later change of its name is found only as long as there is a VPC of the name that it had last.
//!
//! What is not kept: reservations outside of all pools that were deleted, ranges of child pools that were removed, and how
//! long somebody's block cooled down.

use ipam_shared::name::fold;
use ipam_shared::{
    api::lookup::{Holder, HolderKind, Lookup, MAX_HOLDERS},
    api::vrf::Vrf,
    cidr::Cidr,
    ids::VpcId,
};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use uuid::Uuid;

use super::Ipam;
use crate::{
    db::{
        Connection, event,
        lookup::{self, HeldKey},
        vpc,
    },
    error::{Error, Result},
};

/// Where a page of a history ends: current holders come first.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub enum HistoryCursor {
    /// After this current holder.
    Held(HeldKey),
    /// Before this past holder.
    Past(i64),
}

/// A holder, and its VPC if it still has it.
type Found = (Holder, Option<VpcId>);

impl Ipam {
    /// Who holds a part of a network in a VRF, or in any; or held it at some time.
    pub async fn lookup(
        &self,
        cidr: Cidr,
        vrf: Option<&str>,
        at: Option<OffsetDateTime>,
    ) -> Result<Lookup> {
        let now = OffsetDateTime::now_utc();
        if at.is_some_and(|at| at > now) {
            return Err(Error::invalid(
                "at is in the future; leave it out to ask about the present",
            ));
        }
        let vrf = match vrf {
            Some(vrf) => Some(self.find::<Vrf>(vrf).await?),
            None => None,
        };
        let mut transaction = self.begin_snapshot().await?;
        let db = &mut *transaction;
        let most = MAX_HOLDERS + 1;
        let mut found: Vec<Found> = lookup::held(db, cidr, vrf, at, None, most)
            .await?
            .into_iter()
            .map(|held| (held.holder, held.vpc))
            .collect();
        if let Some(at) = at {
            let past = lookup::past(db, cidr, vrf, Some(at), None, most).await?;
            found.extend(past.into_iter().map(|past| (past.holder, None)));
            found.sort_by(|(a, _), (b, _)| (a.cidr, &a.vrf).cmp(&(b.cidr, &b.vrf)));
        }
        let more = found.len() > usize::from(MAX_HOLDERS);
        found.truncate(MAX_HOLDERS.into());
        if let Some(at) = at {
            name_as_of(db, &mut found, at).await?;
        }
        let pools = lookup::ranges(db, cidr, vrf).await?;
        transaction.rollback().await?;
        let free = !pools.is_empty() && found.iter().all(|(holder, _)| leaves_free(holder, cidr));
        Ok(Lookup {
            cidr,
            at: at.unwrap_or(now),
            free,
            holders: found.into_iter().map(|(holder, _)| holder).collect(),
            more,
            pools,
        })
    }

    /// Who holds a part of a network in a VRF, or in any, and who held it before, what ended last first.
    pub async fn history(
        &self,
        cidr: Cidr,
        vrf: Option<&str>,
        cursor: Option<HistoryCursor>,
        limit: u16,
    ) -> Result<(Vec<Holder>, Option<HistoryCursor>)> {
        let vrf = match vrf {
            Some(vrf) => Some(self.find::<Vrf>(vrf).await?),
            None => None,
        };
        let mut transaction = self.begin_snapshot().await?;
        let db = &mut *transaction;
        let mut holders = Vec::new();
        let mut next = None;
        let before = match cursor {
            Some(HistoryCursor::Past(id)) => Some(id),
            None | Some(HistoryCursor::Held(_)) => {
                let after = cursor.and_then(|cursor| match cursor {
                    HistoryCursor::Held(key) => Some(key),
                    HistoryCursor::Past(_) => None,
                });
                for held in lookup::held(db, cidr, vrf, None, after, limit).await? {
                    next = Some(HistoryCursor::Held(held.key));
                    holders.push(held.holder);
                }
                None
            }
        };
        let left = usize::from(limit).saturating_sub(holders.len());
        if let Ok(left @ 1..) = u16::try_from(left) {
            for past in lookup::past(db, cidr, vrf, None, before, left).await? {
                next = Some(HistoryCursor::Past(past.id));
                holders.push(past.holder);
            }
        }
        transaction.rollback().await?;
        let full = holders.len() == usize::from(limit);
        Ok((holders, next.filter(|_| full)))
    }
}

/// Whether a network may be free although that holds it: the range of a child pool takes it from the parent, but it may still be
/// free within the child.
pub fn leaves_free(holder: &Holder, cidr: Cidr) -> bool {
    holder.kind == HolderKind::ChildPool && holder.cidr.contains(cidr)
}

/// Gives allocations the names that they and their VPCs had at some time.
async fn name_as_of(db: &mut Connection, found: &mut [Found], at: OffsetDateTime) -> Result<()> {
    let mut found: Vec<(Uuid, &mut Found)> = found
        .iter_mut()
        .filter(|(holder, _)| holder.kind == HolderKind::Allocation)
        .filter_map(|found| Some((found.0.allocation_id?.0, found)))
        .collect();
    let ids: Vec<_> = found.iter().map(|(id, _)| *id).collect();
    let then = event::names_at(db, "allocation", &ids, at).await?;
    // Its VPC is known by its id if it still exists and the allocation was in it then. Otherwise it is looked for by its
    // name.
    let mut guessed = Vec::new();
    for (id, (holder, vpc)) in &mut found {
        let Some(then) = then.get(id) else { continue };
        if then.named {
            holder.name.clone_from(&then.name);
        }
        if then.moved {
            *vpc = None;
            holder.vpc = then.vpc.clone().or(holder.vpc.take());
        }
        if let (None, Some(name)) = (*vpc, &holder.vpc) {
            guessed.push(fold(name));
        }
    }
    let known = vpc::made_before(db, &guessed, at).await?;
    for (_, (holder, vpc)) in &mut found {
        let name = holder.vpc.as_ref().map(|name| fold(name));
        *vpc = vpc.or_else(|| known.get(&name?).copied());
    }
    let ids: Vec<_> = found
        .iter()
        .filter_map(|(_, (_, vpc))| Some(vpc.as_ref()?.0))
        .collect();
    let names = event::names_at(db, "vpc", &ids, at).await?;
    for (id, (holder, vpc)) in found {
        let named = vpc.and_then(|vpc| names.get(&vpc.0)?.name.clone());
        // It is gone: use its name from when the allocation was made or moved there.
        let gone = || {
            then.get(&id)
                .and_then(|then| then.vpc.clone())
                .filter(|_| vpc.is_none())
        };
        if let Some(name) = named.or_else(gone) {
            holder.vpc = Some(name);
        }
    }
    Ok(())
}
