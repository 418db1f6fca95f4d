//! Whether the server is there.

use ipam_shared::{api::allocation::AllocationFilter, error::Code};
use reqwest::Method;

use crate::{Client, Error};

impl Client {
    /// Whether the server is there and can reach its database.
    pub async fn ready(&self) -> Result<(), Error> {
        let reply = self.send(self.request(Method::GET, &["readyz"])).await?;
        reply.json::<serde_json::Value>().map(drop)
    }

    /// Whether an ipam server is there and accepts the key.
    pub async fn check(&self) -> Result<(), Error> {
        let filter = AllocationFilter {
            limit: Some(1),
            ..AllocationFilter::default()
        };
        match self.list_allocations(&filter).await {
            // The key is valid, it just has no permission to list.
            Err(error) if error.code() == Some(Code::Forbidden) => Ok(()),
            result => result.map(drop),
        }
    }
}
