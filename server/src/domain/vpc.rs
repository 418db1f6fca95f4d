//! VPCs: create, update, delete with all that is in them.

use ipam_shared::{
    api::vpc::{NewVpc, Vpc, VpcDeleted, VpcPatch},
    ids::VpcId,
};
use serde_json::json;

use super::{
    Caller, Ipam,
    allocation::{check_revision, free_all},
    check_description, commit, detached, missing,
};
use crate::{
    db::{
        allocation,
        event::{self, Event},
        pool, vpc,
    },
    error::{Error, Result},
};

impl Ipam {
    /// Makes a VPC ahead of its first allocation.
    pub async fn create_vpc(&self, caller: Caller, new: NewVpc) -> Result<Vpc> {
        check_description(&new.description)?;
        let ipam = self.clone();
        detached(async move {
            let mut transaction = ipam.begin().await?;
            let id = VpcId::generate();
            let made = vpc::insert(&mut transaction, id, &new)
                .await
                .map_err(|error| vpc_taken(error, &new.name))?;
            if !made {
                let vrf = new
                    .vrf
                    .as_ref()
                    .map_or(ipam_shared::api::DEFAULT_VRF, |vrf| vrf.as_str());
                return Err(Error::NotFound(format!("there is no VRF \"{vrf}\"")));
            }
            let detail = json!({ "name": new.name });
            event::insert(
                &mut transaction,
                &[Event {
                    action: "vpc.create",
                    subject: id.0,
                    caller: &caller,
                    detail,
                }],
            )
            .await?;
            let made = vpc::get(&mut transaction, id)
                .await?
                .ok_or_else(|| Error::bug("it was just made"))?;
            commit(transaction).await?;
            Ok(made)
        })
        .await
    }

    /// The id of a VPC by id or name.
    pub async fn find_vpc(&self, key: &str) -> Result<VpcId> {
        let mut connection = self.read().await?;
        let id: Option<VpcId> = key.parse().ok();
        match vpc::find_id(&mut connection, id, key).await? {
            Some(found) => Ok(found),
            None => {
                let text = format!("there is no VPC \"{key}\"");
                let id = id.map(|id| id.0);
                Err(missing(&mut connection, id, "vpc.delete", "VPC", text).await)
            }
        }
    }

    /// Changes a VPC. With `if_match`, only if it is at that revision.
    pub async fn update_vpc(
        &self,
        caller: Caller,
        id: VpcId,
        patch: VpcPatch,
        if_match: Option<i64>,
    ) -> Result<Vpc> {
        if let Some(description) = &patch.description {
            check_description(description)?;
        }
        let ipam = self.clone();
        detached(async move {
            let mut transaction = ipam.begin().await?;
            let revision = vpc::lock(&mut transaction, id).await?;
            check_revision(if_match, revision.ok_or_else(|| not_found(id))?)?;
            if patch != VpcPatch::default() {
                vpc::update(&mut transaction, id, &patch)
                    .await
                    .map_err(|error| match &patch.name {
                        Some(name) => vpc_taken(error, name),
                        None => error,
                    })?;
                let detail =
                    serde_json::to_value(&patch).map_err(|error| Error::Internal(error.into()))?;
                let event = Event {
                    action: "vpc.update",
                    subject: id.0,
                    caller: &caller,
                    detail,
                };
                event::insert(&mut transaction, &[event]).await?;
            }
            let vpc = vpc::get(&mut transaction, id)
                .await?
                .ok_or_else(|| not_found(id))?;
            commit(transaction).await?;
            Ok(vpc)
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
        let ipam = self.clone();
        detached(async move {
            // Pools are locked before the VPC. An allocation that comes in between from yet another pool is seen under
            // the lock of the VPC, and then it begins anew with that pool.
            for _ in 0..10 {
                let mut transaction = ipam.begin().await?;
                let before = allocation::ids_of_vpc(&mut transaction, id).await?;
                let pools = allocation::pools(&mut transaction, &before).await?;
                pool::lock(&mut transaction, &pools).await?;
                let revision = vpc::lock(&mut transaction, id).await?;
                check_revision(if_match, revision.ok_or_else(|| not_found(id))?)?;
                let ids = allocation::lock_of_vpc(&mut transaction, id).await?;
                if !ids.is_empty() && !cascade {
                    return Err(Error::InUse {
                        message: format!(
                            "the VPC has {} allocation{}; release them first, or delete it with cascade=true",
                            ids.len(),
                            if ids.len() == 1 { "" } else { "s" }
                        ),
                        users: i64::try_from(ids.len()).unwrap_or(i64::MAX),
                    });
                }
                if allocation::pools(&mut transaction, &ids).await?.iter().any(|pool| !pools.contains(pool)) {
                    transaction.rollback().await?;
                    continue;
                }
                // Again, now that nobody can add to them: what was read while the lock was waited for may be older.
                let ranges = pool::lock(&mut transaction, &pools).await?;
                let vpc = vpc::get(&mut transaction, id).await?.ok_or_else(|| not_found(id))?;
                let allocations = allocation::load(&mut transaction, &ids).await?;
                if !allocations.is_empty() {
                    let allocations = allocations.into_iter().map(|(allocation, _)| allocation).collect();
                    free_all(&mut transaction, &caller, ranges, allocations).await?;
                }
                vpc::delete(&mut transaction, id).await?;
                let detail = json!({ "name": vpc.name, "released_allocations": ids.len() });
                let event = Event { action: "vpc.delete", subject: id.0, caller: &caller, detail };
                event::insert(&mut transaction, &[event]).await?;
                commit(transaction).await?;
                let released_allocations = u64::try_from(ids.len()).unwrap_or(u64::MAX);
                ipam.metrics.released(released_allocations);
                return Ok(VpcDeleted { released_allocations });
            }
            Err(Error::Unavailable("the VPC gets new allocations faster than they can be released; try again", None))
        })
        .await
    }
}

fn not_found(id: VpcId) -> Error {
    Error::NotFound(format!("there is no VPC with the id {id}"))
}

fn vpc_taken(error: Error, name: &ipam_shared::name::Name) -> Error {
    match error {
        Error::NameTaken { .. } => Error::NameTaken {
            message: format!(
                "there is a VPC \"{name}\" already (case does not count); choose another name"
            ),
            import_id: None,
        },
        other => other,
    }
}
