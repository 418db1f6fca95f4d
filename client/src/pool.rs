//! Calls about pools.

use ipam_shared::api::pool::Pool;
use reqwest::Method;

use crate::{Client, Error};

const POOLS: &str = "pools";

impl Client {
    /// All pools, with what is left of them.
    pub async fn all_pools(&self) -> Result<Vec<Pool>, Error> {
        self.all(|cursor| self.api(Method::GET, &[POOLS]).query(&[("cursor", cursor)]))
            .await
    }

    /// The pool with that id or name.
    pub async fn get_pool(&self, id_or_name: &str) -> Result<Pool, Error> {
        self.send(self.api(Method::GET, &[POOLS, id_or_name]))
            .await?
            .json()
    }
}
