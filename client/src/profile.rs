//! Calls about profiles.

use ipam_shared::{
    api::profile::{NewProfile, Profile, ProfileFilter, ProfilePatch},
    ids::{Claim, ProfileId},
    name::Name,
    page::Page,
};

use crate::{
    Client, Error,
    noun::{Created, Named, Noun, is},
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
}

impl Client {
    /// Creates a profile. Repeating it is safe: until it is confirmed, the same request of the same owner returns the same
    /// profile.
    pub async fn create_profile(&self, request: &NewProfile) -> Result<Created<Profile>, Error> {
        self.create(request).await
    }

    /// The profile with that id or name. The claim, if there is one, confirms that the reader owns it.
    pub async fn get_profile(
        &self,
        id_or_name: &str,
        claim: Option<Claim>,
    ) -> Result<Profile, Error> {
        self.get(id_or_name, claim).await
    }

    /// One page of the profiles that match the filter.
    pub async fn list_profiles(&self, filter: &ProfileFilter) -> Result<Page<Profile>, Error> {
        self.list(Profile::PATH, filter).await
    }

    /// All profiles that match the filter, from its cursor on.
    pub async fn all_profiles(&self, filter: &ProfileFilter) -> Result<Vec<Profile>, Error> {
        self.all(Profile::PATH, filter).await
    }

    /// The first ones that match the filter, at most `most`, which is at least 1, and whether there may be more.
    pub async fn first_profiles(
        &self,
        filter: &ProfileFilter,
        most: usize,
    ) -> Result<(Vec<Profile>, bool), Error> {
        self.first(Profile::PATH, filter, most).await
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

    /// Changes a profile, for later allocations. With `revision` only if nobody has changed it since; a repeated
    /// request that finds its own change succeeds.
    pub async fn update_profile(
        &self,
        id: ProfileId,
        patch: &ProfilePatch,
        revision: Option<i64>,
    ) -> Result<Profile, Error> {
        self.update(&id.to_string(), patch, revision).await
    }

    /// Deletes a profile that no allocation uses. With `revision` only if nobody has changed it since. A repeated request
    /// that finds it deleted succeeds.
    pub async fn delete_profile(&self, id: ProfileId, revision: Option<i64>) -> Result<(), Error> {
        self.delete_by_id::<Profile>(&id.to_string(), revision)
            .await
    }
}
