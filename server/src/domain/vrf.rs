//! VRFs: create, update, delete once nothing is in them.

use ipam_shared::{
    api::{
        DEFAULT_VRF,
        vrf::{NewVrf, Vrf, VrfPatch},
    },
    ids::{Claim, VrfId},
    name::Name,
};
use serde_json::json;

use super::{
    Caller, Ipam, TRIES, check_description, check_new_name, check_revision, commit, detached,
    missing,
    ownership::{Maker, adopt, may_adopt},
    pool::range::in_use,
    too_fast,
};
use crate::{
    db::{
        Connection,
        event::{self, Event},
        vrf::{self, Locked},
    },
    error::{Error, Result},
};

/// The action that ends a VRF.
const DELETE: &str = "vrf.delete";

impl Ipam {
    /// Makes a VRF, or answers what its owner made before by asking for the same; whether it was made now.
    pub async fn create_vrf(&self, maker: impl Into<Maker>, new: NewVrf) -> Result<(Vrf, bool)> {
        check_new_name(&new.name)?;
        check_description(&new.description)?;
        let (ipam, maker) = (self.clone(), maker.into());
        detached(async move {
            let mut transaction = ipam.begin().await?;
            let db = &mut *transaction;
            for _ in 0..TRIES {
                if let Some(locked) = vrf::lock(db, None, Some(new.name.as_str())).await? {
                    let vrf = take(db, &maker, locked.id, &new).await?;
                    commit(transaction).await?;
                    return Ok((vrf, false));
                }
                let (id, claim) = (VrfId::generate(), Claim::generate());
                if vrf::insert(db, id, &new, &maker.made(claim)).await? {
                    let detail = json!({ "name": new.name, "owner": maker.owner });
                    record(db, &maker.caller, "vrf.create", id, detail).await?;
                    let mut made = get(db, id).await?;
                    made.claim = Some(claim);
                    commit(transaction).await?;
                    return Ok((made, true));
                }
            }
            Err(too_fast())
        })
        .await
    }

    /// One VRF, by id or name. With a claim, its reader must be its owner, and is confirmed as such.
    pub async fn show_vrf(&self, caller: Caller, key: &str, claim: Option<Claim>) -> Result<Vrf> {
        let mut connection = self.read().await?;
        let id: Option<VrfId> = key.parse().ok();
        let found = match vrf::find_id(&mut connection, id, key).await? {
            Some(found) => vrf::get(&mut connection, found).await?,
            None => None,
        };
        let Some(vrf) = found else {
            let text = format!("there is no VRF \"{key}\"");
            let id = id.map(|id| id.0);
            return Err(missing(&mut connection, id, DELETE, "VRF", text).await);
        };
        self.shown(connection, caller, vrf, claim).await
    }

    /// The id of a VRF by id or name.
    pub async fn find_vrf(&self, key: &str) -> Result<VrfId> {
        let mut connection = self.read().await?;
        let id: Option<VrfId> = key.parse().ok();
        match vrf::find_id(&mut connection, id, key).await? {
            Some(found) => Ok(found),
            None => {
                let text = format!("there is no VRF \"{key}\"");
                Err(missing(&mut connection, id.map(|id| id.0), DELETE, "VRF", text).await)
            }
        }
    }

    /// Changes a VRF. With `if_match`, only if it is at that revision.
    pub async fn update_vrf(
        &self,
        caller: Caller,
        id: VrfId,
        patch: VrfPatch,
        if_match: Option<i64>,
    ) -> Result<Vrf> {
        patch.name.as_ref().map_or(Ok(()), check_new_name)?;
        if let Some(description) = &patch.description {
            check_description(description)?;
        }
        let ipam = self.clone();
        detached(async move {
            let mut transaction = ipam.begin().await?;
            let before = lock(&mut transaction, id).await?;
            check_revision(if_match, before.revision)?;
            if let Some(name) = &patch.name
                && before.name == DEFAULT_VRF
                && name.as_str() != DEFAULT_VRF
            {
                return Err(Error::Invalid(format!(
                    "the VRF \"{DEFAULT_VRF}\" keeps its name, for it is where everything is that names no VRF"
                )));
            }
            if patch != VrfPatch::default() {
                vrf::update(&mut transaction, id, &patch)
                    .await
                    .map_err(|error| name_taken(error, patch.name.as_ref()))?;
                let detail =
                    serde_json::to_value(&patch).map_err(|error| Error::Internal(error.into()))?;
                record(&mut transaction, &caller, "vrf.update", id, detail).await?;
            }
            let vrf = get(&mut transaction, id).await?;
            commit(transaction).await?;
            Ok(vrf)
        })
        .await
    }

    /// Deletes a VRF that nothing is in but VPCs that were made on first use, hold nothing and were never managed by
    /// anybody: those go with it.
    pub async fn delete_vrf(&self, caller: Caller, id: VrfId, if_match: Option<i64>) -> Result<()> {
        let ipam = self.clone();
        detached(async move {
            let mut transaction = ipam.begin().await?;
            let before = lock(&mut transaction, id).await?;
            check_revision(if_match, before.revision)?;
            if before.name == DEFAULT_VRF {
                return Err(Error::Invalid(format!(
                    "the VRF \"{DEFAULT_VRF}\" always exists; delete what is in it instead"
                )));
            }
            vrf::lock_against_vpcs(&mut transaction, id).await?;
            for (vpc, name) in vrf::delete_implicit_vpcs(&mut transaction, id).await? {
                let event = Event {
                    action: "vpc.delete",
                    subject: vpc.0,
                    caller: &caller,
                    detail: json!({ "name": name, "vrf": before.name, "released_allocations": 0 }),
                };
                event::insert(&mut transaction, &[event]).await?;
            }
            let (users, count) = vrf::users(&mut transaction, id).await?;
            if count > 0 {
                return Err(in_use(
                    &format!("VRF \"{}\" is in use", before.name),
                    users,
                    count,
                ));
            }
            vrf::delete(&mut transaction, id).await?;
            let detail = json!({ "name": before.name });
            record(&mut transaction, &caller, DELETE, id, detail).await?;
            commit(transaction).await
        })
        .await
    }
}

/// Gives a locked VRF to whoever asked for the same again.
async fn take(db: &mut Connection, maker: &Maker, id: VrfId, new: &NewVrf) -> Result<Vrf> {
    let before = get(db, id).await?;
    may_adopt(db, maker, &before).await?;
    let patch = VrfPatch {
        name: None,
        labels: (before.labels != new.labels).then(|| new.labels.clone()),
        description: (before.description != new.description).then(|| new.description.clone()),
    };
    let mut vrf = before;
    if patch != VrfPatch::default() {
        vrf::update(db, id, &patch).await?;
        vrf = get(db, id).await?;
    }
    let detail = json!({ "name": new.name, "changed": patch });
    adopt(db, maker, &mut vrf, detail).await?;
    Ok(vrf)
}

/// A VRF that is there, since it was just made or locked.
async fn get(db: &mut Connection, id: VrfId) -> Result<Vrf> {
    let found = vrf::get(db, id).await?;
    found.ok_or_else(|| Error::bug("a VRF went away while it was locked"))
}

async fn lock(db: &mut Connection, id: VrfId) -> Result<Locked> {
    match vrf::lock(db, Some(id), None).await? {
        Some(locked) => Ok(locked),
        None => {
            let text = format!("there is no VRF with the id {id}");
            Err(missing(db, Some(id.0), DELETE, "VRF", text).await)
        }
    }
}

async fn record(
    db: &mut Connection,
    caller: &Caller,
    action: &'static str,
    id: VrfId,
    detail: serde_json::Value,
) -> Result<()> {
    let event = Event {
        action,
        subject: id.0,
        caller,
        detail,
    };
    event::insert(db, &[event]).await
}

fn name_taken(error: Error, name: Option<&Name>) -> Error {
    match (name, error) {
        (Some(name), Error::NameTaken { .. }) => Error::NameTaken {
            message: format!("there is a VRF \"{name}\" already; choose another name"),
            import_id: None,
        },
        (_, error) => error,
    }
}
