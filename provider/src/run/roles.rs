//! Which roles the blocks of a profile have, so that a plan knows the keys of `blocks` before the networks are chosen.

use std::collections::HashMap;

use ipam_client::{Client, Error};
use ipam_shared::name::Name;
use tfplugin::{Field, Result, Text, Value};
use tokio::sync::Mutex;

/// The roles of each profile, by its name; none if it does not exist yet, or is not known before apply.
#[derive(Debug, Default)]
pub(crate) struct Roles(Mutex<HashMap<Name, Option<Vec<String>>>>);

impl Roles {
    /// Notes the planned roles of a profile of this run, whatever the server has until then.
    pub(crate) async fn plan(&self, planned: &Value) -> Result<()> {
        let Field::Known(Text(name)) = planned.attribute("name")? else {
            return Ok(());
        };
        let members = planned.get("members").as_list().unwrap_or_default();
        let roles = members
            .iter()
            .map(|member| member.get("role").as_str().map(str::to_owned))
            .collect::<Option<Vec<_>>>();
        let roles = roles.filter(|roles| !roles.is_empty());
        self.0.lock().await.insert(name, roles);
        Ok(())
    }

    /// The roles of a profile, in the order of its members. The server is asked once.
    ///
    /// # Errors
    /// When the server can't be asked. Terraform plans each creation twice, and both plans have to say the same.
    pub(crate) async fn of(
        &self,
        client: &Client,
        name: &Name,
    ) -> std::result::Result<Option<Vec<String>>, Error> {
        // Held while the server is asked: concurrent callers most likely want the same.
        let mut known = self.0.lock().await;
        if let Some(roles) = known.get(name) {
            return Ok(roles.clone());
        }
        let found = client.find_profile(name).await?;
        let roles = found.map(|found| {
            let members = found.members.into_iter();
            members.map(|member| member.role.to_string()).collect()
        });
        known.insert(name.clone(), roles.clone());
        Ok(roles)
    }
}
