//! VPCs: create, update, delete with all that is in them.

use ipam_shared::{
    api::{
        DEFAULT_VRF,
        ownership::Noun,
        vpc::{NewVpc, Vpc, VpcDeleted, VpcPatch},
    },
    ids::{Claim, PoolId, VpcId},
    name::Name,
};
use serde_json::json;

use super::{
    Caller, Ipam, TRIES,
    allocation::release,
    change::{Change, check_revision, set, was},
    check_description, check_new_name,
    named::there,
    ownership::{Maker, Title, adopt, may_adopt, must_see},
    too_fast,
};
use crate::{
    db::{allocation, lock::Locks, vpc, vrf},
    error::{Error, Result},
};

impl Ipam {
    /// Creates a VPC ahead of its first allocation, or returns what its owner created before by the same request, or what
    /// was created on first use and nobody manages; and whether it was created now.
    pub async fn create_vpc(&self, maker: impl Into<Maker>, new: NewVpc) -> Result<(Vpc, bool)> {
        check_new_name(&new.name)?;
        check_description(&new.description)?;
        let maker = maker.into();
        let caller = maker.caller.clone();
        self.change(caller, Locks::none(), |mut change| async move {
            let vrf = new.vrf.as_ref().map_or(DEFAULT_VRF, |vrf| vrf.as_str());
            for _ in 0..TRIES {
                let (id, claim) = (VpcId::generate(), Claim::generate());
                let detail = json!({ "name": new.name, "owner": maker.owner });
                let event = maker.caller.began("vpc.create", id.0, &detail, &new)?;
                if vpc::insert(&mut change.db, id, &new, &maker.made(claim), &[event]).await? {
                    let mut made: Vpc = there(&mut change.db, id).await?;
                    made.claim = Some(claim);
                    return change.commit((made, true)).await;
                }
                if let Some(id) = vpc::lock_named(&mut change.db, new.name.as_str()).await? {
                    let vpc = take(&mut change, &maker, id, &new, vrf).await?;
                    return change.commit((vpc, false)).await;
                }
                if vrf::find_id(&mut change.db, None, vrf).await?.is_none() {
                    return Err(Error::not_found(format!("there is no VRF \"{vrf}\"")).about("vrf"));
                }
            }
            Err(too_fast())
        })
        .await
    }

    /// Changes a VPC. With `if_match`, only if it is at that revision.
    pub async fn update_vpc(
        &self,
        caller: Caller,
        id: VpcId,
        patch: VpcPatch,
        if_match: Option<i64>,
    ) -> Result<Vpc> {
        patch.name.as_ref().map_or(Ok(()), check_new_name)?;
        if let Some(description) = &patch.description {
            check_description(description)?;
        }
        self.change(caller, Locks::vpc(id), move |mut change| async move {
            let before: Vpc = there(&mut change.db, id).await?;
            check_revision(if_match, before.revision)?;
            if patch == VpcPatch::default() {
                return change.undo(before).await;
            }
            let event = change.caller.changed("vpc.update", id.0, &before, &patch)?;
            vpc::update(&mut change.db, id, &patch, &[event])
                .await
                .map_err(|error| match (&patch.name, error) {
                    (Some(name), Error::NameTaken { .. }) => taken(name),
                    (_, error) => error,
                })?;
            let mut after = before;
            apply(&mut after, patch);
            change.commit(after).await
        })
        .await
    }

    /// Deletes a VPC; with `cascade`, after releasing its allocations, all or nothing.
    pub async fn delete_vpc(
        &self,
        caller: Caller,
        id: VpcId,
        cascade: bool,
        if_match: Option<i64>,
    ) -> Result<VpcDeleted> {
        // Pools are locked before the VPC. A new allocation from yet another pool is seen under the lock of the VPC, and
        // then the deletion starts over with that pool.
        let mut pools = if cascade {
            allocation::pools_of_vpc(&mut self.read().await?, id).await?
        } else {
            Vec::new()
        };
        for _ in 0..TRIES {
            let locks = if cascade {
                Locks::vpc_to_delete(id, &pools)
            } else {
                Locks::empty_vpc_to_delete(id)
            };
            let locked = pools.clone();
            let deleted = self.change(caller.clone(), locks, move |change| {
                delete(change, id, cascade, if_match, locked)
            });
            match deleted.await? {
                Deletion::Done(count) => {
                    self.metrics.released(count);
                    return Ok(VpcDeleted {
                        released_allocations: count,
                    });
                }
                Deletion::Needs(more) => pools = more,
            }
        }
        Err(Error::Unavailable(
            "the VPC gets new allocations faster than they can be released; try again",
            None,
        ))
    }
}

/// The outcome of an attempt to delete.
enum Deletion {
    /// This many allocations were released with the VPC.
    Done(u64),
    /// These pools have to be locked first.
    Needs(Vec<PoolId>),
}

/// Deletes a VPC that is locked with its allocations and these pools.
async fn delete(
    mut change: Change,
    id: VpcId,
    cascade: bool,
    if_match: Option<i64>,
    locked: Vec<PoolId>,
) -> Result<super::change::Done<Deletion>> {
    let vpc: Vpc = there(&mut change.db, id).await?;
    check_revision(if_match, vpc.revision)?;
    if vpc.allocations > 0 && !cascade {
        return Err(Error::InUse {
            message: format!(
                "the VPC has {} allocation{}; release them first, or delete it with cascade=true",
                vpc.allocations,
                if vpc.allocations == 1 { "" } else { "s" }
            ),
            users: vpc.allocations,
        });
    }
    // The VPC counts its contents, to which nothing can be added now.
    let allocations = if vpc.allocations > 0 {
        let ids = allocation::ids_of_vpc(&mut change.db, id).await?;
        allocation::with_space(&mut change.db, &ids).await?
    } else {
        Vec::new()
    };
    let held = allocations.iter().flat_map(|it| &it.blocks);
    let mut pools: Vec<_> = held.map(|block| block.pool).collect();
    pools.sort_unstable();
    pools.dedup();
    if pools.iter().any(|pool| !locked.contains(pool)) {
        return change.undo(Deletion::Needs(pools)).await;
    }
    let (ledger, mut events) = release(&change.caller, &allocations)?;
    let detail = json!({ "name": vpc.name, "released_allocations": allocations.len() });
    events.push(change.caller.ended("vpc.delete", id.0, &detail, &vpc)?);
    vpc::delete(&mut change.db, id, &ledger, &events).await?;
    let count = u64::try_from(allocations.len()).unwrap_or(u64::MAX);
    change.commit(Deletion::Done(count)).await
}

/// Lets the caller adopt a locked VPC, or makes one managed that was created on first use.
async fn take(
    change: &mut Change,
    maker: &Maker,
    id: VpcId,
    new: &NewVpc,
    vrf: &str,
) -> Result<Vpc> {
    let before: Vpc = there(&mut change.db, id).await?;
    if before.vrf != vrf && !change.hidden(&[(Noun::Vpc, id.0)]).await?.is_empty() {
        return Err(taken(&new.name));
    }
    let title = Title::of(&before);
    if before.implicit {
        must_see(&mut change.db, maker, &before).await?;
        if !maker.adopts {
            return Err(title.forbidden());
        }
    } else {
        may_adopt(&mut change.db, maker, &before).await?;
    }
    if before.vrf != vrf {
        return Err(title.differs(&format!("in VRF \"{}\", not in \"{vrf}\"", before.vrf)));
    }
    let patch = VpcPatch {
        // A name that differs only in case means the same VPC.
        name: (before.name != new.name).then(|| new.name.clone()),
        labels: (before.labels != new.labels).then(|| new.labels.clone()),
        description: (before.description != new.description).then(|| new.description.clone()),
    };
    if before.implicit {
        vpc::take_over(&mut change.db, id, &maker.made(Claim::generate())).await?;
    }
    if patch != VpcPatch::default() {
        vpc::update(&mut change.db, id, &patch, &[]).await?;
    }
    let mut vpc: Vpc = there(&mut change.db, id).await?;
    let detail = json!({
        "name": new.name,
        "was_implicit": before.implicit,
        "changed": patch,
        "before": was(&before, &patch)?,
    });
    adopt(&mut change.db, maker, &mut vpc, detail).await?;
    Ok(vpc)
}

/// The result of a change.
fn apply(vpc: &mut Vpc, patch: VpcPatch) {
    set(&mut vpc.name, patch.name);
    set(&mut vpc.labels, patch.labels);
    set(&mut vpc.description, patch.description);
    vpc.implicit = false;
    vpc.revision += 1;
}

fn taken(name: &Name) -> Error {
    Error::NameTaken {
        message: format!(
            "there is a VPC \"{name}\" already (case does not count); choose another name"
        ),
        import_id: None,
    }
}
