//! Calls about VRFs.

use ipam_shared::{
    api::vrf::{NewVrf, Vrf, VrfFilter, VrfPatch},
    ids::{Claim, VrfId},
    name::Name,
    page::Page,
};

use crate::{
    Client, Error,
    noun::{Created, Named, Noun, is},
};

impl Noun for Vrf {
    const PATH: &'static str = "vrfs";
    const WORD: &'static str = "VRF";
    type Patch = VrfPatch;

    fn id(&self) -> String {
        self.id.to_string()
    }

    fn shows(&self, patch: &VrfPatch) -> bool {
        is(patch.name.as_ref(), &self.name)
            && is(patch.labels.as_ref(), &self.labels)
            && is(patch.description.as_ref(), &self.description)
    }
}

impl Named for Vrf {
    type New = NewVrf;

    fn is_named_by(&self, new: &NewVrf) -> bool {
        self.name == new.name
    }
}

impl Client {
    /// Creates a VRF. Repeating it is safe: until it is confirmed, the same request of the same owner returns the same VRF.
    pub async fn create_vrf(&self, request: &NewVrf) -> Result<Created<Vrf>, Error> {
        self.create(request).await
    }

    /// The VRF with that id or name. The claim, if there is one, confirms that the reader owns it.
    pub async fn get_vrf(&self, id_or_name: &str, claim: Option<Claim>) -> Result<Vrf, Error> {
        self.get(id_or_name, claim).await
    }

    /// One page of the VRFs that match the filter.
    pub async fn list_vrfs(&self, filter: &VrfFilter) -> Result<Page<Vrf>, Error> {
        self.list(Vrf::PATH, filter).await
    }

    /// All VRFs that match the filter, from its cursor on.
    pub async fn all_vrfs(&self, filter: &VrfFilter) -> Result<Vec<Vrf>, Error> {
        self.all(Vrf::PATH, filter).await
    }

    /// The first ones that match the filter, at most `most`, which is at least 1, and whether there may be more.
    pub async fn first_vrfs(
        &self,
        filter: &VrfFilter,
        most: usize,
    ) -> Result<(Vec<Vrf>, bool), Error> {
        self.first(Vrf::PATH, filter, most).await
    }

    /// The VRF of that name, if there is one. Unlike [`Client::get_vrf`] it treats a name that looks like an id as a name.
    pub async fn find_vrf(&self, name: &Name) -> Result<Option<Vrf>, Error> {
        let filter = VrfFilter {
            name: Some(name.to_string()),
            ..VrfFilter::default()
        };
        let page = self.list_vrfs(&filter).await?;
        Ok(page.items.into_iter().find(|found| found.name == *name))
    }

    /// Changes a VRF. With `revision` only if nobody has changed it since; a repeated request that finds its own change
    /// succeeds.
    pub async fn update_vrf(
        &self,
        id: VrfId,
        patch: &VrfPatch,
        revision: Option<i64>,
    ) -> Result<Vrf, Error> {
        self.update(&id.to_string(), patch, revision).await
    }

    /// Deletes a VRF that nothing uses. With `revision` only if nobody has changed it since. A repeated request that finds
    /// it deleted succeeds.
    pub async fn delete_vrf(&self, id: VrfId, revision: Option<i64>) -> Result<(), Error> {
        self.delete_by_id::<Vrf>(&id.to_string(), revision).await
    }
}
