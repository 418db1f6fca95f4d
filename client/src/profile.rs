//! Calls about profiles.

use ipam_shared::{
    api::profile::{NewProfile, Profile, ProfileFilter, ProfilePatch},
    ids::ProfileId,
    name::Name,
    page::Page,
};

use crate::{
    Client, Error,
    noun::{Named, Noun, is},
};

impl Noun for Profile {
    const PATH: &'static str = "profiles";
    const WORD: &'static str = "profile";
    type Patch = ProfilePatch;

    fn id(&self) -> String {
        self.id.to_string()
    }

    fn shows(&self, patch: &ProfilePatch) -> bool {
        is(patch.name.as_ref(), &self.name)
            && is(patch.description.as_ref(), &self.description)
            && is(patch.members.as_ref(), &self.members)
    }
}

impl Named for Profile {
    type New = NewProfile;

    fn is_named_by(&self, new: &NewProfile) -> bool {
        self.name == new.name
    }

    fn shows_new(&self, new: &NewProfile) -> bool {
        self.is_named_by(new) && self.description == new.description && self.members == new.members
    }
}

impl Client {
    /// Makes a recipe. A repeated request that finds its own work is a success.
    pub async fn create_profile(&self, ask: &NewProfile) -> Result<Profile, Error> {
        self.create(ask, self.find_profile(&ask.name)).await
    }

    /// The profile with that id or name.
    pub async fn get_profile(&self, id_or_name: &str) -> Result<Profile, Error> {
        self.get(id_or_name).await
    }

    /// One page of the profiles that the filter lets through.
    pub async fn list_profiles(&self, filter: &ProfileFilter) -> Result<Page<Profile>, Error> {
        self.list(Profile::PATH, filter).await
    }

    /// All profiles that the filter lets through, from its cursor on.
    pub async fn all_profiles(&self, filter: &ProfileFilter) -> Result<Vec<Profile>, Error> {
        self.all(Profile::PATH, filter).await
    }

    /// The profile of that name, if there is one.
    pub async fn find_profile(&self, name: &Name) -> Result<Option<Profile>, Error> {
        let filter = ProfileFilter {
            name: Some(name.to_string()),
            ..ProfileFilter::default()
        };
        let page = self.list_profiles(&filter).await?;
        Ok(page.items.into_iter().find(|found| found.name == *name))
    }

    /// Changes a profile, for allocations from now on. With `revision` only if nobody changed it since; a repeated
    /// request that finds its own change there is a success.
    pub async fn update_profile(
        &self,
        id: ProfileId,
        patch: &ProfilePatch,
        revision: Option<i64>,
    ) -> Result<Profile, Error> {
        self.update(&id.to_string(), patch, revision).await
    }

    /// Deletes a profile that no allocation uses. With `revision` only if nobody changed it since. A repeated request
    /// that finds it deleted is a success.
    pub async fn delete_profile(&self, id: ProfileId, revision: Option<i64>) -> Result<(), Error> {
        self.delete_by_id::<Profile>(&id.to_string(), revision)
            .await
    }
}
