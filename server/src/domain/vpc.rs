//! VPCs: create, update, delete with all that is in them.

use ipam_shared::{
    api::{
        DEFAULT_VRF,
        vpc::{NewVpc, Vpc, VpcDeleted, VpcPatch},
    },
    ids::{Claim, VpcId},
};
use serde_json::json;

use super::{
    Caller, Ipam, TRIES,
    allocation::free_all,
    check_description, check_new_name, check_revision, commit, detached, missing,
    ownership::{Maker, Title, adopt, may_adopt},
    too_fast,
};
use crate::{
    db::{
        Connection, allocation,
        event::{self, Event},
        pool, vpc, vrf,
    },
    error::{Error, Result},
};

impl Ipam {
    /// Makes a VPC ahead of its first allocation, or answers what its owner made before by asking for the same, or what was
    /// made on first use and nobody manages; whether it was made now.
    pub async fn create_vpc(&self, maker: impl Into<Maker>, new: NewVpc) -> Result<(Vpc, bool)> {
        check_new_name(&new.name)?;
        check_description(&new.description)?;
        let (ipam, maker) = (self.clone(), maker.into());
        detached(async move {
            let mut transaction = ipam.begin().await?;
            let db = &mut *transaction;
            let vrf = new.vrf.as_ref().map_or(DEFAULT_VRF, |vrf| vrf.as_str());
            for _ in 0..TRIES {
                if let Some(id) = vpc::lock_named(db, new.name.as_str()).await? {
                    let vpc = take(db, &maker, id, &new, vrf).await?;
                    commit(transaction).await?;
                    return Ok((vpc, false));
                }
                let (id, claim) = (VpcId::generate(), Claim::generate());
                if vpc::insert(db, id, &new, &maker.made(claim)).await? {
                    let event = Event {
                        action: "vpc.create",
                        subject: id.0,
                        caller: &maker.caller,
                        detail: json!({ "name": new.name, "owner": maker.owner }),
                    };
                    event::insert(db, &[event]).await?;
                    let mut made = get(db, id).await?;
                    made.claim = Some(claim);
                    commit(transaction).await?;
                    return Ok((made, true));
                }
                if vrf::find_id(db, None, vrf).await?.is_none() {
                    return Err(Error::NotFound(format!("there is no VRF \"{vrf}\"")));
                }
            }
            Err(too_fast())
        })
        .await
    }

    /// One VPC, by id or name. With a claim, its reader must be its owner, and is confirmed as such.
    pub async fn show_vpc(&self, caller: Caller, key: &str, claim: Option<Claim>) -> Result<Vpc> {
        let mut connection = self.read().await?;
        let id: Option<VpcId> = key.parse().ok();
        let found = match vpc::find_id(&mut connection, id, key).await? {
            Some(found) => vpc::get(&mut connection, found).await?,
            None => None,
        };
        let Some(vpc) = found else {
            let text = format!("there is no VPC \"{key}\"");
            let id = id.map(|id| id.0);
            return Err(missing(&mut connection, id, "vpc.delete", "VPC", text).await);
        };
        self.shown(connection, caller, vpc, claim).await
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
        patch.name.as_ref().map_or(Ok(()), check_new_name)?;
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

/// Gives a locked VPC to whoever asked for the same again, or makes one managed that was made on first use.
async fn take(
    db: &mut Connection,
    maker: &Maker,
    id: VpcId,
    new: &NewVpc,
    vrf: &str,
) -> Result<Vpc> {
    let before = get(db, id).await?;
    let title = Title::of(&before);
    if !before.implicit {
        may_adopt(db, maker, &before).await?;
    } else if !maker.adopts {
        return Err(title.forbidden());
    }
    if before.vrf != vrf {
        return Err(title.differs(&format!("in VRF \"{}\", not in \"{vrf}\"", before.vrf)));
    }
    let patch = VpcPatch {
        // The case of its name does not make it another one.
        name: (before.name != new.name).then(|| new.name.clone()),
        labels: (before.labels != new.labels).then(|| new.labels.clone()),
        description: (before.description != new.description).then(|| new.description.clone()),
    };
    if before.implicit {
        vpc::take_over(db, id, &maker.made(Claim::generate())).await?;
    }
    if patch != VpcPatch::default() {
        vpc::update(db, id, &patch).await?;
    }
    let mut vpc = get(db, id).await?;
    let detail = json!({ "name": new.name, "was_implicit": before.implicit, "changed": patch });
    adopt(db, maker, &mut vpc, detail).await?;
    Ok(vpc)
}

/// A VPC that is there, since it was just made or locked.
async fn get(db: &mut Connection, id: VpcId) -> Result<Vpc> {
    let found = vpc::get(db, id).await?;
    found.ok_or_else(|| Error::bug("a VPC went away while it was locked"))
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
