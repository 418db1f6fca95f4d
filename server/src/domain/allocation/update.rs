//! Update: an allocation's attributes, its VPC, and its size.
//!
//! The result of a change is decided in memory. So a dry run decides the same without a lock, and writes nothing.

use ipam_shared::{
    api::{
        DEFAULT_VRF,
        allocation::{Allocation, AllocationPatch, AskError, MAX_HOSTS},
        ownership::Noun,
    },
    cidr::usable_hosts,
    ids::{AllocationId, VpcId},
};
use serde_json::json;
use time::OffsetDateTime;

use super::{
    resize::{self, NewSize, Resized},
    snapshot,
};
use crate::{
    db::{
        Connection,
        allocation::{self, Update, WithSpace},
        error::{Meaning, meaning},
        ledger::Ledger,
        lock::Locks,
        vpc::{self, Owner},
    },
    domain::{
        Caller, Ipam,
        address_plan::check_required,
        change::{check_revision, set},
        check_description, check_new_name,
        named::{missing_id, there, unknown},
        require,
    },
    error::{Error, Result},
    rights::Right,
};

impl Ipam {
    /// Changes an allocation in place. With `if_match`, only if it is at that revision.
    pub async fn update(
        &self,
        caller: Caller,
        id: AllocationId,
        patch: AllocationPatch,
        if_match: Option<i64>,
    ) -> Result<Allocation> {
        patch.name.as_ref().map_or(Ok(()), check_new_name)?;
        if let Some(description) = &patch.description {
            check_description(description)?;
        }
        let size = match (patch.hosts, patch.prefix_length) {
            (Some(_), Some(_)) => {
                return Err(Error::invalid("give hosts or prefix_length, not both"));
            }
            (Some(hosts), None) if hosts > MAX_HOSTS => {
                return Err(Error::invalid(AskError::Hosts.to_string()).about("hosts"));
            }
            (Some(hosts), None) => Some(NewSize::Hosts(hosts)),
            (None, Some(length)) => Some(NewSize::PrefixLength(length)),
            (None, None) => None,
        };
        if let Some(scope) = caller.rights.scope() {
            let _: Allocation = there(&mut self.read().await?, id).await?;
            let to = patch.vpc.as_ref();
            let is_covered = to.is_none_or(|vpc| scope.covers_vpc(vpc.as_str()))
                && (patch.labels.as_ref()).is_none_or(|labels| scope.covers_labels(labels));
            if !is_covered {
                return Err(Error::Forbidden(
                    "afterwards this token would not cover the allocation; GET /api/v1/whoami shows its limits".to_owned(),
                ));
            }
        }
        if patch.dry_run {
            require(&caller, Right::Plan)?;
            let preview = self.preview(&caller, id, &patch, size, if_match).await;
            return match caller.rights.scope() {
                None => preview,
                Some(_) => preview.map_err(Error::without_names),
            };
        }
        require(&caller, Right::Allocate)?;
        let ipam = self.clone();
        // Lock order: pools, the VPC, the allocation. A VPC is found by its name, after the pools and before the
        // allocation.
        let locks = match (&patch.vpc, size) {
            (None, None) => Locks::allocation(id),
            (None, Some(_)) => Locks::allocation_with_space(id),
            (Some(_), None) => Locks::pools(&[]).about(Noun::Allocation, id),
            (Some(_), Some(_)) => Locks::pools_of_allocation(id),
        };
        let changed = self.change(caller, locks, move |mut change| async move {
            if size.is_some() {
                ipam.may_hand_out()?;
            }
            let mut target = None;
            if let Some(name) = &patch.vpc {
                let (owner, is_new) = vpc::find_or_insert(&mut change.db, name.as_str()).await?;
                if is_new {
                    check_new_name(name)?;
                } else {
                    change.covers(Noun::Vpc, owner.id.0).await?;
                }
                allocation::lock(&mut change.db, id).await?;
                // It may have left the caller's limits before it was locked.
                change.covers(Noun::Allocation, id.0).await?;
                target = Some((owner, is_new));
            }
            let held = read(&mut change.db, id).await?;
            check_revision(if_match, held.allocation.revision)?;
            if is_empty(&patch) {
                return change.undo((held.allocation, false)).await;
            }
            let owner = target.as_ref().map(|(owner, _)| owner);
            let decided = decide(&mut change.db, held, &patch, owner, size).await?;
            if let Some(resized) = &decided.resized {
                resize::within_quotas(&mut change.db, &change.caller, resized).await?;
            }
            let (before, mut after) = (&decided.before, decided.after);
            let mut events = Vec::new();
            if let Some((owner, true)) = &target {
                let detail = json!({ "name": owner.name, "vrf": DEFAULT_VRF });
                events.push(change.caller.event("vpc.create", owner.id.0, &detail)?);
            }
            let mut event = change
                .caller
                .changed("allocation.update", id.0, before, &patch)?;
            if let Some(owner) = owner {
                event.detail["vpc"] = json!(owner.name);
            }
            events.push(event);
            if decided.resized.is_some() {
                let mut detail = serde_json::to_value(snapshot(&after))
                    .map_err(|error| Error::Internal(error.into()))?;
                let cidrs: Vec<_> = before.blocks.iter().map(|block| block.cidr).collect();
                detail["before"] = json!(cidrs);
                events.push(change.caller.event("allocation.resize", id.0, &detail)?);
            }
            let update = Update {
                vpc: owner.map(|owner| owner.id),
                name: patch.name.as_ref().map(|name| name.as_str()),
                requested: size.map(NewSize::requested).transpose()?,
                prefix_length: decided
                    .resized
                    .as_ref()
                    .map(|resized| resized.prefix_length),
                labels: patch.labels.as_ref(),
                description: patch.description.as_deref(),
                deletion_protection: patch.deletion_protection,
            };
            let written =
                allocation::update(&mut change.db, id, &update, &decided.ledger, &events).await;
            after.updated_at = written.map_err(|error| name_taken(error, &patch))?;
            let is_resized = decided.resized.is_some();
            drop(events);
            change.commit((after, is_resized)).await
        });
        let (allocation, is_resized) = changed.await?;
        if is_resized {
            self.metrics.resized();
        }
        Ok(allocation)
    }

    /// What an allocation would be after a change: a dry run, which locks and writes nothing.
    async fn preview(
        &self,
        caller: &Caller,
        id: AllocationId,
        patch: &AllocationPatch,
        size: Option<NewSize>,
        if_match: Option<i64>,
    ) -> Result<Allocation> {
        if size.is_some() {
            self.may_hand_out()?;
        }
        // A connection of the hot path, whose statements use an index whatever the tables hold.
        let mut connection = self.connections().hot().await?;
        let db = &mut connection;
        let held = read(db, id).await?;
        check_revision(if_match, held.allocation.revision)?;
        if is_empty(patch) {
            return Ok(held.allocation);
        }
        let owner = match &patch.vpc {
            None => None,
            Some(name) => match vpc::find(db, name.as_str()).await? {
                Some(owner) => {
                    // Its name is covered, which was checked before.
                    let scope = caller.rights.scope();
                    if scope.is_some_and(|scope| !scope.covers_vrf(owner.vrf)) {
                        return Err(Error::not_found(unknown(Noun::Vpc, owner.id.0)));
                    }
                    Some(owner)
                }
                None => {
                    check_new_name(name)?;
                    Some(Owner {
                        id: VpcId::generate(),
                        name: name.to_string(),
                        vrf: self.address_plan().await?.vrf(None)?,
                    })
                }
            },
        };
        let vpc = (owner.as_ref()).map_or(held.allocation.vpc_id, |owner| owner.id);
        let name = patch.name.as_ref().map(|name| name.as_str());
        let decided = decide(db, held, patch, owner.as_ref(), size).await?;
        if let Some(resized) = &decided.resized {
            resize::within_quotas(db, caller, resized).await?;
        }
        if (patch.vpc.is_some() || patch.name.is_some())
            && allocation::is_name_taken(db, id, vpc, name).await?
        {
            return Err(taken(patch));
        }
        Ok(Allocation {
            updated_at: OffsetDateTime::now_utc(),
            ..decided.after
        })
    }
}

/// The result of a change.
struct Decided {
    before: Allocation,
    /// All but the time.
    after: Allocation,
    resized: Option<Resized>,
    ledger: Ledger,
}

async fn read(db: &mut Connection, id: AllocationId) -> Result<WithSpace> {
    match allocation::with_space(db, &[id]).await?.pop() {
        Some(held) => Ok(held),
        None => Err(missing_id(db, Noun::Allocation, id.0).await),
    }
}

/// Whether a patch changes nothing.
fn is_empty(patch: &AllocationPatch) -> bool {
    *patch
        == AllocationPatch {
            dry_run: patch.dry_run,
            ..AllocationPatch::default()
        }
}

/// Decides on what was read. The database is asked only for the conflicts.
async fn decide(
    db: &mut Connection,
    held: WithSpace,
    patch: &AllocationPatch,
    owner: Option<&Owner>,
    size: Option<NewSize>,
) -> Result<Decided> {
    if let Some(owner) = owner
        && owner.vrf != held.vrf
    {
        return Err(Error::invalid(format!(
            "VPC \"{}\" is in another VRF, where these ranges mean something else; release the allocation and allocate in \
             that VPC",
            owner.name
        )).about("vpc"));
    }
    if let Some(labels) = &patch.labels {
        for (pool, required) in held.required_labels() {
            check_required(pool, required, labels)?;
        }
    }
    let resized = match size {
        Some(size) => resize::plan(&held, size).map_err(|error| error.about(size.field()))?,
        None => None,
    };
    let ledger = match &resized {
        None => Ledger::default(),
        Some(resized) => match resize::decide(&held, resized) {
            Ok(ledger) => ledger,
            Err(obstacle) => return Err(obstacle.explain(db, &held.allocation).await),
        },
    };
    let mut after = held.allocation.clone();
    if let Some(owner) = owner {
        after.vpc_id = owner.id;
        after.vpc = owner
            .name
            .parse()
            .map_err(|_| Error::bug("a stored name is not valid"))?;
    }
    if let Some(name) = &patch.name {
        after.name = Some(name.clone());
    }
    set(&mut after.labels, patch.labels.clone());
    set(&mut after.description, patch.description.clone());
    set(&mut after.deletion_protection, patch.deletion_protection);
    if size.is_some() {
        after.requested_hosts = patch.hosts;
        after.requested_prefix_length = patch.prefix_length;
        after.requested_cidr = None;
    }
    if let Some(resized) = &resized {
        after.prefix_length = resized.prefix_length;
        for ((held, cidr), block) in resized.blocks.iter().zip(&mut after.blocks) {
            block.cidr = *cidr;
            block.usable =
                usable_hosts(cidr.family(), cidr.prefix_length(), held.reserved_addresses);
        }
        if let Some(first) = after.blocks.first() {
            after.cidr = first.cidr;
        }
    }
    after.revision += 1;
    Ok(Decided {
        before: held.allocation,
        after,
        resized,
        ledger,
    })
}

fn name_taken(error: sqlx::Error, patch: &AllocationPatch) -> Error {
    if meaning(&error) == Some(Meaning::NameTaken) {
        taken(patch)
    } else {
        error.into()
    }
}

fn taken(patch: &AllocationPatch) -> Error {
    let message = match (&patch.vpc, &patch.name) {
        (Some(vpc), Some(name)) => {
            format!("VPC \"{vpc}\" has an allocation named \"{name}\" already")
        }
        (Some(vpc), None) => format!("VPC \"{vpc}\" has an allocation of the same name already"),
        (None, _) => "the VPC has an allocation of that name already".to_owned(),
    };
    Error::NameTaken {
        message: format!("{message}; choose another name"),
        import_id: None,
    }
}
