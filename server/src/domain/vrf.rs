//! VRFs: create, update, delete once nothing is in them.

use ipam_shared::{
    api::{
        DEFAULT_VRF,
        vrf::{NewVrf, Vrf, VrfPatch},
    },
    ids::VrfId,
    name::Name,
};
use serde_json::json;

use super::{
    Caller, Ipam, allocation::check_revision, check_description, commit, detached, missing,
    range::in_use,
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
    /// Makes a VRF.
    pub async fn create_vrf(&self, caller: Caller, new: NewVrf) -> Result<Vrf> {
        check_description(&new.description)?;
        let ipam = self.clone();
        detached(async move {
            let mut transaction = ipam.begin().await?;
            if let Some(id) = vrf::find_id(&mut transaction, None, new.name.as_str()).await? {
                return Err(taken(&new.name, Some(id)));
            }
            let id = VrfId::generate();
            vrf::insert(&mut transaction, id, &new)
                .await
                .map_err(|error| name_taken(error, Some(&new.name)))?;
            let detail = json!({ "name": new.name });
            record(&mut transaction, &caller, "vrf.create", id, detail).await?;
            let made = vrf::get(&mut transaction, id)
                .await?
                .ok_or_else(|| Error::bug("it was just made"))?;
            commit(transaction).await?;
            Ok(made)
        })
        .await
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
            let vrf = vrf::get(&mut transaction, id)
                .await?
                .ok_or_else(|| Error::bug("it was locked"))?;
            commit(transaction).await?;
            Ok(vrf)
        })
        .await
    }

    /// Deletes a VRF that nothing is in.
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
        (Some(name), Error::NameTaken { .. }) => taken(name, None),
        (_, error) => error,
    }
}

/// The name is that of another VRF, which `id` imports if it is what the caller wanted.
fn taken(name: &Name, id: Option<VrfId>) -> Error {
    let import_id = id.map(|id| id.to_string());
    let advice = match &import_id {
        Some(id) => format!(", or take it over with: terraform import <address> '{id}'"),
        None => String::new(),
    };
    Error::NameTaken {
        message: format!("there is a VRF \"{name}\" already; choose another name{advice}"),
        import_id,
    }
}
