//! Release: the blocks of an allocation are free afterwards, or when the cooldown of their pools is over.

use ipam_shared::{api::ownership::Noun, ids::AllocationId};

use super::{describe, snapshot};
use crate::{
    db::{
        allocation::{self, WithSpace},
        event::Event,
        ledger::{Ledger, NewCooldown},
        lock::Locks,
    },
    domain::{
        Caller, Ipam, change::check_revision, named::missing_id, space::free_space::FreeSpace,
    },
    error::{Error, Result},
    network::Range,
};

impl Ipam {
    /// Releases an allocation: its blocks are free when this returns, or when the cooldown of their pools is over.
    pub async fn release(
        &self,
        caller: Caller,
        id: AllocationId,
        if_match: Option<i64>,
    ) -> Result<()> {
        let locks = Locks::allocation_with_space(id);
        self.change(caller, locks, move |mut change| async move {
            let found = allocation::with_space(&mut change.db, &[id]).await?;
            let Some(held) = found.first() else {
                return Err(missing_id(&mut change.db, Noun::Allocation, id.0).await);
            };
            check_revision(if_match, held.allocation.revision)?;
            let (ledger, events) = release(&change.caller, &found)?;
            allocation::delete(&mut change.db, &[id], &ledger, &events).await?;
            change.commit(()).await
        })
        .await?;
        self.metrics.released(1);
        Ok(())
    }
}

/// What happens to the space of released allocations, which was read under the locks of their pools; and what the audit log
/// records.
pub(in crate::domain) fn release<'a>(
    caller: &'a Caller,
    allocations: &[WithSpace],
) -> Result<(Ledger, Vec<Event<'a>>)> {
    let mut space = space_of(allocations);
    let mut ledger = Ledger::default();
    let mut events = Vec::with_capacity(allocations.len());
    for held in allocations {
        let allocation = &held.allocation;
        if allocation.deletion_protection {
            return Err(Error::Protected(format!(
                "{} is protected from deletion; set deletion_protection to false first, in a change of its own",
                describe(allocation)
            )));
        }
        for (block, role) in held.blocks.iter().zip(&allocation.blocks) {
            ledger.ended.push(block.place);
            if block.cooldown_seconds == 0 {
                space.give_back(block.place);
                continue;
            }
            ledger.cooling.push(NewCooldown {
                place: block.place,
                range_cidr: block.range_cidr,
                allocation: allocation.id,
                vpc: allocation.vpc.folded(),
                name: allocation.name.as_ref().map(ToString::to_string),
                role: role.role.clone(),
                seconds: block.cooldown_seconds,
            });
        }
        let id = allocation.id.0;
        events.push(caller.ended("allocation.release", id, &snapshot(allocation), allocation)?);
    }
    ledger.free = space.changes();
    Ok((ledger, events))
}

/// What was read of the free list around allocations.
pub(super) fn space_of(allocations: &[WithSpace]) -> FreeSpace {
    let blocks = allocations.iter().flat_map(|held| &held.blocks);
    let mut space = FreeSpace::new(blocks.map(|block| Range {
        id: block.place.range,
        pool: block.pool,
        cidr: block.range_cidr,
    }));
    let free = allocations.iter().flat_map(|held| &held.free);
    free.for_each(|place| space.read(*place));
    space
}
