//! Allocations: allocate, show, update, release.

use ipam_shared::{
    api::{
        MAX_IDEMPOTENCY_KEY,
        allocation::{Allocation, AllocationPatch, NewAllocation},
    },
    cidr::prefix_length_for_hosts,
    ids::{AllocationId, Claim},
};
use serde_json::json;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::{
    Caller, Ipam,
    batch::{self, Ask},
    check_description, commit, detached,
    plan::{self, FreeSpace, Place},
};
use crate::{
    db::{
        Connection,
        allocation::{self, Update},
        error::{Meaning, meaning},
        event::{self, Event, Snapshot},
        free, pool, vpc,
    },
    error::{Error, Result},
};

/// The answer to a request for space.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What the caller has now, or would have.
    pub allocation: Allocation,
    /// Whether this request made it.
    pub created: bool,
    /// The request that made it.
    pub request_id: Uuid,
}

impl Ipam {
    /// Allocates, or answers what an earlier try of the same request made. Returns after the commit.
    pub async fn allocate(
        &self,
        caller: Caller,
        new: NewAllocation,
        key: Option<String>,
    ) -> Result<Outcome> {
        let size = new
            .size()
            .map_err(|error| Error::Invalid(error.to_string()))?;
        let recipe = new
            .recipe()
            .map_err(|error| Error::Invalid(error.to_string()))?;
        check_description(&new.description)?;
        let key = key
            .map(|key| Ok::<_, Error>((check_key(key)?, fingerprint(&new)?)))
            .transpose()?;
        let ask = Ask {
            id: AllocationId::generate(),
            new,
            recipe,
            size,
            caller,
            key,
        };
        if ask.new.dry_run {
            let ipam = self.clone();
            return detached(async move { batch::dry_run(&ipam, ask).await }).await;
        }
        self.queues.submit(self, ask).await
    }

    /// One allocation. With a claim, whoever asks must be its owner, and is confirmed as such: nobody adopts the
    /// allocation by name afterwards.
    pub async fn show(
        &self,
        caller: Caller,
        id: AllocationId,
        claim: Option<Claim>,
    ) -> Result<Allocation> {
        let mut connection = self.read().await?;
        let Some(allocation) = allocation::get(&mut connection, id).await? else {
            return Err(gone_or_unknown(&mut connection, id).await);
        };
        let Some(claim) = claim else {
            return Ok(allocation);
        };
        let Some((owner, confirmed)) = allocation::claim(&mut connection, id).await? else {
            return Err(gone_or_unknown(&mut connection, id).await);
        };
        check_claim(&allocation, owner, claim)?;
        drop(connection);
        if confirmed {
            return Ok(allocation);
        }
        let ipam = self.clone();
        detached(async move {
            let mut transaction = ipam.begin().await?;
            let Some(locked) = allocation::lock(&mut transaction, id).await? else {
                return Err(gone_or_unknown(&mut transaction, id).await);
            };
            check_claim(&allocation, locked.claim, claim)?;
            if !locked.confirmed {
                allocation::confirm(&mut transaction, id).await?;
                let event = Event {
                    action: "allocation.confirm",
                    subject: id.0,
                    caller: &caller,
                    detail: json!({}),
                };
                event::insert(&mut transaction, &[event]).await?;
            }
            commit(transaction).await?;
            Ok(allocation)
        })
        .await
    }

    /// Changes an allocation in place. With `if_match`, only if it is at that revision.
    pub async fn update(
        &self,
        caller: Caller,
        id: AllocationId,
        patch: AllocationPatch,
        if_match: Option<i64>,
    ) -> Result<Allocation> {
        if let Some(description) = &patch.description {
            check_description(description)?;
        }
        if patch.hosts.is_some() && patch.prefix_length.is_some() {
            return Err(Error::Invalid(
                "give hosts or prefix_length, not both".to_owned(),
            ));
        }
        let ipam = self.clone();
        detached(async move {
            let mut transaction = ipam.begin().await?;
            // The VPC before the allocation: that is the order of locks.
            let target = match &patch.vpc {
                Some(name) => Some(vpc::find_or_insert(&mut transaction, name.as_str()).await?),
                None => None,
            };
            let Some(locked) = allocation::lock(&mut transaction, id).await? else {
                return Err(gone_or_unknown(&mut transaction, id).await);
            };
            check_revision(if_match, locked.revision)?;
            if patch == AllocationPatch::default() {
                return allocation::get(&mut transaction, id).await?.ok_or_else(|| Error::bug("it was locked"));
            }
            if let Some((owner, created)) = &target {
                if owner.vrf != allocation::vrf(&mut transaction, id).await? {
                    return Err(Error::Invalid(format!(
                        "VPC \"{}\" is in another VRF, where these ranges mean something else; release the allocation \
                         and allocate in that VPC",
                        owner.name
                    )));
                }
                if *created {
                    let detail = json!({ "name": owner.name });
                    let event = Event { action: "vpc.create", subject: owner.id.0, caller: &caller, detail };
                    event::insert(&mut transaction, &[event]).await?;
                }
            }
            let requested = check_size(&mut transaction, id, &patch).await?;
            let change = Update {
                vpc: target.map(|(owner, _)| owner.id),
                name: patch.name.as_ref().map(|name| name.as_str()),
                requested,
                labels: patch.labels.as_ref(),
                description: patch.description.as_deref(),
                deletion_protection: patch.deletion_protection,
            };
            if let Err(error) = allocation::update(&mut transaction, id, &change).await {
                return Err(name_taken(error, &patch));
            }
            let allocation = allocation::get(&mut transaction, id).await?.ok_or_else(|| Error::bug("it was locked"))?;
            let detail = serde_json::to_value(&patch).map_err(|error| Error::Internal(error.into()))?;
            let event = Event { action: "allocation.update", subject: id.0, caller: &caller, detail };
            event::insert(&mut transaction, &[event]).await?;
            commit(transaction).await?;
            Ok(allocation)
        })
        .await
    }

    /// Releases an allocation: its blocks are free when this returns.
    pub async fn release(
        &self,
        caller: Caller,
        id: AllocationId,
        if_match: Option<i64>,
    ) -> Result<()> {
        let ipam = self.clone();
        detached(async move {
            let mut transaction = ipam.begin_hot().await?;
            let pools = allocation::pools(&mut transaction, &[id]).await?;
            let ranges = pool::lock(&mut transaction, &pools).await?;
            let Some(locked) = allocation::lock(&mut transaction, id).await? else {
                return Err(gone_or_unknown(&mut transaction, id).await);
            };
            check_revision(if_match, locked.revision)?;
            let found = allocation::load(&mut transaction, &[id]).await?;
            free_all(
                &mut transaction,
                &caller,
                ranges,
                found
                    .into_iter()
                    .map(|(allocation, _)| allocation)
                    .collect(),
            )
            .await?;
            commit(transaction).await
        })
        .await
    }

    /// The id behind a number of the original API; an error if there is none now.
    pub async fn id_of_number(&self, number: i64) -> Result<AllocationId> {
        let mut connection = self.read().await?;
        let found = allocation::id_of_number(&mut connection, number).await?;
        found.ok_or_else(|| Error::NotFound(format!("Allocation {number} not found")))
    }
}

/// Deletes allocations and gives their space back, under the lock of their pools, whose ranges are passed.
pub(super) async fn free_all(
    db: &mut Connection,
    caller: &Caller,
    ranges: Vec<plan::Range>,
    allocations: Vec<Allocation>,
) -> Result<()> {
    if let Some(protected) = allocations
        .iter()
        .find(|allocation| allocation.deletion_protection)
    {
        return Err(Error::Protected(format!(
            "{} is protected from deletion; set deletion_protection to false first, in a change of its own",
            describe(protected)
        )));
    }
    let ids: Vec<_> = allocations.iter().map(|allocation| allocation.id).collect();
    let released = allocation::delete(db, &ids).await?;
    give_back(db, ranges, &released).await?;
    let events = allocations
        .iter()
        .map(|allocation| {
            let snapshot = Snapshot {
                vpc: allocation.vpc.as_str(),
                name: allocation.name.as_ref().map(|name| name.as_str()),
                cidrs: allocation.blocks.iter().map(|block| block.cidr).collect(),
            };
            let detail =
                serde_json::to_value(snapshot).map_err(|error| Error::Internal(error.into()))?;
            Ok(Event {
                action: "allocation.release",
                subject: allocation.id.0,
                caller,
                detail,
            })
        })
        .collect::<Result<Vec<_>>>()?;
    event::insert(db, &events).await
}

/// Makes blocks that were deleted free again, under the lock of their pools, whose ranges are passed.
pub(super) async fn give_back(
    db: &mut Connection,
    ranges: Vec<plan::Range>,
    released: &[Place],
) -> Result<()> {
    let mut space = FreeSpace::new(ranges);
    let mut around = Vec::new();
    for place in released {
        let range = space
            .range(place.range)
            .ok_or_else(|| Error::bug("a block in a pool that is not locked"))?;
        around.extend(plan::buddies(*place, range.cidr));
    }
    around.sort_unstable();
    around.dedup();
    free::find(db, &around)
        .await?
        .into_iter()
        .for_each(|place| space.read(place));
    released.iter().for_each(|place| space.give_back(*place));
    free::update(db, &space.changes()).await
}

/// Deleted is not unknown: a client may forget what was deleted, but not what a wrong database never knew.
pub(super) async fn gone_or_unknown(db: &mut Connection, id: AllocationId) -> Error {
    match event::release_of(db, id).await {
        Ok(Some((at, by))) => Error::Gone {
            what: format!("allocation {id}"),
            at,
            by,
        },
        Ok(None) => Error::NotFound(format!(
            "no allocation has ever had the id {id} in this database"
        )),
        Err(error) => error,
    }
}

pub(super) fn check_revision(if_match: Option<i64>, now: i64) -> Result<()> {
    match if_match {
        Some(revision) if revision != now => Err(Error::Stale { now }),
        _ => Ok(()),
    }
}

fn check_claim(allocation: &Allocation, owner: Claim, claim: Claim) -> Result<()> {
    if owner == claim {
        return Ok(());
    }
    let import_id = match &allocation.name {
        Some(name) => format!("{}/{name}", allocation.vpc),
        None => allocation.id.to_string(),
    };
    Err(Error::Claimed {
        message: format!(
            "{} was adopted by somebody else since this claim was given, such as a copy of the same configuration with \
             another state; if it is yours all the same, take it over with: terraform import <address> '{import_id}'",
            describe(allocation)
        ),
        import_id,
    })
}

/// Another way to ask for the same blocks is written; another size is refused.
async fn check_size(
    db: &mut Connection,
    id: AllocationId,
    patch: &AllocationPatch,
) -> Result<Option<(Option<i64>, Option<i16>)>> {
    let (wanted, requested) = match (patch.hosts, patch.prefix_length) {
        (Some(hosts), _) => (Size::Hosts(hosts), (i64::try_from(hosts).ok(), None)),
        (None, Some(length)) => (Size::Length(length), (None, Some(i16::from(length)))),
        (None, None) => return Ok(None),
    };
    let first = allocation::first_block(db, id).await?;
    let is = first.cidr.prefix_length();
    let (fits, asked) = match wanted {
        Size::Hosts(hosts) => {
            let length =
                prefix_length_for_hosts(first.cidr.family(), hosts, first.reserved_addresses);
            let fits =
                hosts > 0 && length.is_some_and(|length| length.min(first.max_prefix_length) == is);
            (fits, format!("{hosts} hosts need a block of another size"))
        }
        Size::Length(length) => (
            i16::from(length) + first.size_offset == i16::from(is),
            format!("/{length} is another size"),
        ),
    };
    if !fits {
        return Err(Error::Invalid(format!(
            "{asked} than {}, and an allocation keeps its blocks; allocate the new size under another name, move over, \
             and release this one",
            first.cidr
        )));
    }
    Ok(Some(requested))
}

enum Size {
    Hosts(u64),
    Length(u8),
}

fn name_taken(error: sqlx::Error, patch: &AllocationPatch) -> Error {
    if meaning(&error) != Some(Meaning::NameTaken) {
        return error.into();
    }
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

fn describe(allocation: &Allocation) -> String {
    match &allocation.name {
        Some(name) => format!(
            "allocation \"{}/{name}\" ({})",
            allocation.vpc, allocation.cidr
        ),
        None => format!(
            "the allocation {} of VPC \"{}\"",
            allocation.cidr, allocation.vpc
        ),
    }
}

fn check_key(key: String) -> Result<String> {
    if key.is_empty() || key.len() > MAX_IDEMPOTENCY_KEY || key.chars().any(char::is_control) {
        return Err(Error::Invalid(format!(
            "an Idempotency-Key has 1 to {MAX_IDEMPOTENCY_KEY} printable characters"
        )));
    }
    Ok(key)
}

/// The request, boiled down: serialising the same struct always gives the same text.
fn fingerprint(new: &NewAllocation) -> Result<Vec<u8>> {
    let text = serde_json::to_vec(new).map_err(|error| Error::Internal(error.into()))?;
    Ok(Sha256::digest(text).to_vec())
}
