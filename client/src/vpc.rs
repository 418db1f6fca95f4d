//! Calls about VPCs.

use ipam_shared::{
    api::vpc::{NewVpc, Vpc, VpcDeleted, VpcFilter, VpcPatch},
    ids::{Claim, VpcId},
    name::Name,
    page::Page,
};
use reqwest::Method;

use crate::{
    Client, Error,
    noun::{Created, Named, Noun, is, same_vrf},
};

impl Noun for Vpc {
    const PATH: &'static str = "vpcs";
    const WORD: &'static str = "VPC";
    type Patch = VpcPatch;

    fn id(&self) -> String {
        self.id.to_string()
    }

    fn shows(&self, patch: &VpcPatch) -> bool {
        is(patch.name.as_ref(), &self.name)
            && is(patch.labels.as_ref(), &self.labels)
            && is(patch.description.as_ref(), &self.description)
    }
}

impl Named for Vpc {
    type New = NewVpc;

    fn is_named_by(&self, new: &NewVpc) -> bool {
        same(&self.name, &new.name) && same_vrf(new.vrf.as_ref(), &self.vrf)
    }
}

impl Client {
    /// Creates a VPC ahead of its first allocation, or takes over one that was created on first use. Repeating it is safe:
    /// until it is confirmed, the same request of the same owner returns the same VPC.
    pub async fn create_vpc(&self, request: &NewVpc) -> Result<Created<Vpc>, Error> {
        self.create(request).await
    }

    /// The VPC with that id or name. The claim, if there is one, confirms that the reader owns it.
    pub async fn get_vpc(&self, id_or_name: &str, claim: Option<Claim>) -> Result<Vpc, Error> {
        self.get(id_or_name, claim).await
    }

    /// One page of the VPCs that match the filter.
    pub async fn list_vpcs(&self, filter: &VpcFilter) -> Result<Page<Vpc>, Error> {
        self.list(Vpc::PATH, filter).await
    }

    /// All VPCs that match the filter, from its cursor on.
    pub async fn all_vpcs(&self, filter: &VpcFilter) -> Result<Vec<Vpc>, Error> {
        self.all(Vpc::PATH, filter).await
    }

    /// The first ones that match the filter, at most `most`, which is at least 1, and whether there may be more.
    pub async fn first_vpcs(
        &self,
        filter: &VpcFilter,
        most: usize,
    ) -> Result<(Vec<Vpc>, bool), Error> {
        self.first(Vpc::PATH, filter, most).await
    }

    /// The VPC of that name, in whatever case, if there is one.
    pub async fn find_vpc(&self, name: &Name) -> Result<Option<Vpc>, Error> {
        let filter = VpcFilter {
            name: Some(name.to_string()),
            ..VpcFilter::default()
        };
        let page = self.list_vpcs(&filter).await?;
        Ok(page.items.into_iter().find(|found| same(&found.name, name)))
    }

    /// Changes a VPC. With `revision` only if nobody has changed it since; a repeated request that finds its own change
    /// succeeds.
    pub async fn update_vpc(
        &self,
        id: VpcId,
        patch: &VpcPatch,
        revision: Option<i64>,
    ) -> Result<Vpc, Error> {
        self.update(&id.to_string(), patch, revision).await
    }

    /// Deletes a VPC; with `cascade` it releases its allocations first, otherwise there must be none. With `revision` only
    /// if nobody changed it since. A repeated request that finds it deleted succeeds, but what was released with it is no
    /// longer known.
    pub async fn delete_vpc(
        &self,
        id: VpcId,
        cascade: bool,
        revision: Option<i64>,
    ) -> Result<Option<VpcDeleted>, Error> {
        let request = self
            .api(Method::DELETE, &[Vpc::PATH, &id.to_string()])
            .query(&[("cascade", cascade)]);
        match self.delete(request, revision).await? {
            Some(reply) => reply.json().map(Some),
            None => Ok(None),
        }
    }
}

/// Names of VPCs ignore case; all other names don't.
pub(crate) fn same(one: &Name, other: &Name) -> bool {
    one.folded() == other.folded()
}
