//! VRFs: create, update, delete once nothing is in them.

use ipam_shared::{
    api::{
        DEFAULT_VRF,
        ownership::Noun,
        vrf::{NewVrf, Vrf, VrfPatch},
    },
    ids::{Claim, VrfId},
    name::Name,
};
use serde_json::json;

use super::{
    Caller, Ipam, TRIES,
    change::{Change, check_revision, set, was},
    check_description, check_new_name,
    named::there,
    of_whole_vrfs,
    ownership::{Maker, adopt, may_adopt},
    pool::range::in_use,
    too_fast,
};
use crate::{
    db::{lock::Locks, vrf},
    error::{Error, Result},
};

impl Ipam {
    /// Creates a VRF, or returns what its owner created before by the same request; and whether it was created now.
    pub async fn create_vrf(&self, maker: impl Into<Maker>, new: NewVrf) -> Result<(Vrf, bool)> {
        let maker = maker.into();
        of_whole_vrfs(&maker.caller, "a new VRF")?;
        check_new_name(&new.name)?;
        check_description(&new.description)?;
        let caller = maker.caller.clone();
        self.change(caller, Locks::none(), |mut change| async move {
            for _ in 0..TRIES {
                let (id, claim) = (VrfId::generate(), Claim::generate());
                let detail = json!({ "name": new.name, "owner": maker.owner });
                let event = maker.caller.began("vrf.create", id.0, &detail, &new)?;
                if vrf::insert(&mut change.db, id, &new, &maker.made(claim), &[event]).await? {
                    let mut made: Vrf = there(&mut change.db, id).await?;
                    made.claim = Some(claim);
                    return change.commit((made, true)).await;
                }
                if let Some(id) = vrf::lock_named(&mut change.db, new.name.as_str()).await? {
                    let vrf = take(&mut change, &maker, id, &new).await?;
                    return change.commit((vrf, false)).await;
                }
            }
            Err(too_fast())
        })
        .await
    }

    /// Changes a VRF. With `if_match`, only if it is at that revision.
    pub async fn update_vrf(
        &self,
        caller: Caller,
        id: VrfId,
        patch: VrfPatch,
        if_match: Option<i64>,
    ) -> Result<Vrf> {
        of_whole_vrfs(&caller, "a change of a VRF")?;
        patch.name.as_ref().map_or(Ok(()), check_new_name)?;
        if let Some(description) = &patch.description {
            check_description(description)?;
        }
        self.change(caller, Locks::vrf(id), move |mut change| async move {
            let before: Vrf = there(&mut change.db, id).await?;
            check_revision(if_match, before.revision)?;
            if let Some(name) = &patch.name
                && before.name.as_str() == DEFAULT_VRF
                && name.as_str() != DEFAULT_VRF
            {
                return Err(Error::invalid(format!(
                    "the VRF \"{DEFAULT_VRF}\" keeps its name, because everything that names no VRF is in it"
                )).about("name"));
            }
            if patch == VrfPatch::default() {
                return change.undo(before).await;
            }
            let event = change.caller.changed("vrf.update", id.0, &before, &patch)?;
            vrf::update(&mut change.db, id, &patch, &[event])
                .await
                .map_err(|error| name_taken(error, patch.name.as_ref()))?;
            let mut after = before;
            apply(&mut after, patch);
            change.commit(after).await
        })
        .await
    }

    /// Deletes a VRF that nothing is in but VPCs that were made on first use, hold nothing and were never managed by
    /// anybody: those go with it.
    pub async fn delete_vrf(&self, caller: Caller, id: VrfId, if_match: Option<i64>) -> Result<()> {
        of_whole_vrfs(&caller, "the deletion of a VRF")?;
        self.change(
            caller,
            Locks::vrf_to_delete(id),
            move |mut change| async move {
                let before: Vrf = there(&mut change.db, id).await?;
                check_revision(if_match, before.revision)?;
                if before.name.as_str() == DEFAULT_VRF {
                    return Err(Error::invalid(format!(
                        "the VRF \"{DEFAULT_VRF}\" always exists; delete what is in it instead"
                    )));
                }
                let mut events = Vec::new();
                let mut vpcs = Vec::new();
                // Its own counts cover everything that can be in it.
                if before.pools + before.vpcs + before.reservations > 0 {
                    let users = vrf::users(&mut change.db, id).await?;
                    if users.count > 0 {
                        return Err(in_use(
                            &format!("VRF \"{}\" is in use", before.name),
                            users.titles,
                            users.count,
                        ));
                    }
                    let vpcs_of_it: Vec<_> = (users.implicit_vpcs.iter())
                        .map(|(vpc, _)| (Noun::Vpc, *vpc))
                        .collect();
                    if !change.hidden(&vpcs_of_it).await?.is_empty() {
                        return Err(Error::Forbidden(
                            "the VRF has VPCs that this token does not cover, so it can't delete the VRF".to_owned(),
                        ));
                    }
                    for (vpc, name) in users.implicit_vpcs {
                        let detail =
                            json!({ "name": name, "vrf": before.name, "released_allocations": 0 });
                        events.push(change.caller.event("vpc.delete", vpc, &detail)?);
                        vpcs.push(vpc);
                    }
                }
                let detail = json!({ "name": before.name });
                events.push(change.caller.ended("vrf.delete", id.0, &detail, &before)?);
                vrf::delete(&mut change.db, id, &vpcs, &events).await?;
                change.commit(()).await
            },
        )
        .await
    }
}

/// Lets the caller adopt a locked VRF.
async fn take(change: &mut Change, maker: &Maker, id: VrfId, new: &NewVrf) -> Result<Vrf> {
    let before: Vrf = there(&mut change.db, id).await?;
    may_adopt(&mut change.db, maker, &before).await?;
    let patch = VrfPatch {
        name: None,
        labels: (before.labels != new.labels).then(|| new.labels.clone()),
        description: (before.description != new.description).then(|| new.description.clone()),
    };
    let was = was(&before, &patch)?;
    let mut vrf = before;
    if patch != VrfPatch::default() {
        vrf::update(&mut change.db, id, &patch, &[]).await?;
        apply(&mut vrf, patch.clone());
    }
    let detail = json!({ "name": new.name, "changed": patch, "before": was });
    adopt(&mut change.db, maker, &mut vrf, detail).await?;
    Ok(vrf)
}

/// The result of a change.
fn apply(vrf: &mut Vrf, patch: VrfPatch) {
    set(&mut vrf.name, patch.name);
    set(&mut vrf.labels, patch.labels);
    set(&mut vrf.description, patch.description);
    vrf.revision += 1;
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
