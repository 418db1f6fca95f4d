//! Calls about VPCs.

use ipam_shared::{
    api::vpc::{NewVpc, Vpc, VpcDeleted, VpcFilter, VpcPatch},
    page::{MAX_LIMIT, Page},
};
use reqwest::Method;

use crate::{Client, Error};

const VPCS: &str = "vpcs";

impl Client {
    /// Makes a VPC ahead of its first allocation. Repeating it is safe: the name can be taken only once.
    pub async fn create_vpc(&self, ask: &NewVpc) -> Result<Vpc, Error> {
        self.send(self.api(Method::POST, &[VPCS]).json(ask))
            .await?
            .json()
    }

    /// The VPC with that id or name.
    pub async fn get_vpc(&self, id_or_name: &str) -> Result<Vpc, Error> {
        self.send(self.api(Method::GET, &[VPCS, id_or_name]))
            .await?
            .json()
    }

    /// One page of the VPCs that the filter lets through.
    pub async fn list_vpcs(&self, filter: &VpcFilter) -> Result<Page<Vpc>, Error> {
        self.send(self.api(Method::GET, &[VPCS]).query(filter))
            .await?
            .json()
    }

    /// All VPCs that the filter lets through, from its cursor on.
    pub async fn all_vpcs(&self, filter: &VpcFilter) -> Result<Vec<Vpc>, Error> {
        self.all(|cursor| {
            self.api(Method::GET, &[VPCS]).query(&VpcFilter {
                limit: Some(filter.limit.unwrap_or(MAX_LIMIT)),
                cursor: cursor.or_else(|| filter.cursor.clone()),
                ..filter.clone()
            })
        })
        .await
    }

    /// Changes the VPC with that id or name.
    pub async fn update_vpc(&self, id_or_name: &str, patch: &VpcPatch) -> Result<Vpc, Error> {
        self.send(self.api(Method::PATCH, &[VPCS, id_or_name]).json(patch))
            .await?
            .json()
    }

    /// Deletes the VPC with that id or name; with `cascade` it releases its allocations first, otherwise there must
    /// be none.
    pub async fn delete_vpc(&self, id_or_name: &str, cascade: bool) -> Result<VpcDeleted, Error> {
        let request = self
            .api(Method::DELETE, &[VPCS, id_or_name])
            .query(&[("cascade", cascade)]);
        self.send(request).await?.json()
    }
}
