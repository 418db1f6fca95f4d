//! What filters of lists name.

use ipam_shared::ids::PoolId;

use super::{Ipam, missing, pool};
use crate::{db, error::Result};

/// Something that a filter names, by id or name.
#[derive(Clone, Copy, Debug)]
pub enum Named<'a> {
    /// A VRF.
    Vrf(&'a str),
    /// A VPC.
    Vpc(&'a str),
    /// A pool; of a name, those of all VRFs are meant.
    Pool(&'a str),
}

impl Ipam {
    /// Whether all that a filter names exists. A list that found something need not ask.
    ///
    /// # Errors
    /// Not found, with the name; gone, if an id was deleted.
    pub async fn must_exist(&self, names: &[Option<Named<'_>>]) -> Result<()> {
        for name in names.iter().flatten() {
            match name {
                Named::Vrf(key) => drop(self.find_vrf(key).await?),
                Named::Vpc(key) => drop(self.find_vpc(key).await?),
                Named::Pool(key) => {
                    let mut connection = self.read().await?;
                    let id: Option<PoolId> = key.parse().ok();
                    if db::pool::find(&mut connection, id, key).await?.is_empty() {
                        let text = format!("there is no pool \"{key}\"");
                        let id = id.map(|id| id.0);
                        let error = missing(&mut connection, id, pool::DELETE, "pool", text);
                        return Err(error.await);
                    }
                }
            }
        }
        Ok(())
    }
}
