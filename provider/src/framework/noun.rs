//! Nouns that are made, changed and deleted by id and found by what people call them: all but allocations.
//!
//! Their attributes have the same names as the fields of the API's bodies, so that requests and states are made from
//! each other through JSON, and a noun is little more than its attributes and its calls. What is left to a noun is what the
//! plan can know ahead, and where state and reply differ. `resource` is such a noun as a resource, `looked_up` as a data
//! source.

use std::{fmt::Display, str::FromStr};

use ipam_client::{Client, Created, Error};
use ipam_shared::{api::ownership::Owned as _, ids::Claim, labels::Labels};
use serde::{Serialize, de::DeserializeOwned};
use tfplugin::{Context, Plan, Result, Update, Value, async_trait};
use uuid::Uuid;

use super::{attribute_spec::AttributeSpec, fields::Fields};
use crate::{
    connection::Connection,
    run::{
        ahead::Listed,
        key::{Key, scoped},
    },
};

/// A noun.
#[async_trait]
pub(crate) trait Noun: Send + Sync + 'static {
    /// Of the resource and the data source, such as `ipam_vrf`.
    const TYPE: &'static str;
    /// What one is called in a sentence, such as `VRF`.
    const WORD: &'static str;
    /// What it is, for the documentation of the resource.
    const ABOUT: &'static str;
    /// The attribute that people know it by, beside its id.
    const KEY: &'static str = "name";
    /// Whether the same key may exist in several VRFs.
    const SCOPED: bool = false;
    /// What to import it by, to complete "Import ".
    const IMPORT: &'static str = "by id or by name";

    /// Id.
    type Id: FromStr<Err: Display + Send> + Display + Into<Uuid> + Clone + Send + Sync;
    /// The body that makes one.
    type New: DeserializeOwned + Send + Sync;
    /// The body that changes one.
    type Patch: DeserializeOwned + Send + Sync;
    /// What the server has.
    type Found: Listed + Serialize;

    /// The attributes of the resource, but for `id` and the labels. The data source shows them too.
    fn specs() -> Vec<AttributeSpec>;

    /// What only the data source shows, because it changes by itself.
    fn only_looked_up() -> Vec<AttributeSpec>;

    /// Its id.
    fn id(found: &Self::Found) -> String;

    /// Its labels, if it can have any.
    fn labels(_found: &Self::Found) -> Option<&Labels> {
        None
    }

    /// Whether it can have labels.
    const HAS_LABELS: bool = true;

    /// Makes one.
    async fn create(
        client: &Client,
        new: &Self::New,
    ) -> std::result::Result<Created<Self::Found>, Error>;

    /// The one with that id. The claim, if there is one, confirms that the reader owns it.
    async fn get(
        client: &Client,
        id: Self::Id,
        claim: Option<Claim>,
    ) -> std::result::Result<Self::Found, Error>;

    /// Those that people call so, in all VRFs or in that one.
    async fn find(
        client: &Client,
        key: &str,
        vrf: Option<&str>,
    ) -> std::result::Result<Vec<Self::Found>, Error>;

    /// Changes the one with that id.
    async fn update(
        client: &Client,
        id: Self::Id,
        patch: &Self::Patch,
    ) -> std::result::Result<Self::Found, Error>;

    /// Deletes the one with that id.
    async fn delete(client: &Client, id: Self::Id) -> std::result::Result<(), Error>;

    /// Refuses configurations that can't be, beyond the checks of single attributes.
    fn validate(_config: &Value) -> Result<()> {
        Ok(())
    }

    /// What the plan can know ahead.
    async fn plan(_ctx: &Context<Connection>, _plan: &mut Plan) -> Result<()> {
        Ok(())
    }

    /// Fits the fields of a creation, which are those of all attributes, to what the configuration asks for.
    fn creation(_config: &Value, _fields: &mut Fields) {}

    /// Fits the fields of a change, which are those of the attributes that differ, to the body.
    fn patch(_request: &Update, _patch: &mut Fields) -> Result<()> {
        Ok(())
    }

    /// Fits the attributes, as the reply has them, to what the configuration says: `known` is the plan or the state from
    /// before, null after an import.
    fn settle(_found: &Self::Found, _known: &Value, _state: &mut Value) -> Result<()> {
        Ok(())
    }

    /// Refines the configuration that is written for something that is imported: of attributes that say the same, all but
    /// one become null.
    fn generate(_config: &mut Value) {}

    /// What tells it from all others of its type; nothing while that is not known.
    fn key(values: &Value) -> Option<Key> {
        let key = values.get(Self::KEY).as_str()?;
        let vrf = values.get("vrf").as_str();
        Some(if Self::SCOPED {
            scoped(Self::Found::NOUN, vrf?, key)
        } else {
            Key::new(Self::Found::NOUN, key)
        })
    }

    /// What people call it: its key, with the VRF if it takes that to tell it from others.
    fn title(values: &Value) -> String {
        let key = values.get(Self::KEY).as_str();
        match (key, values.get("vrf").as_str()) {
            (Some(key), Some(vrf)) if Self::SCOPED && vrf != ipam_shared::api::DEFAULT_VRF => {
                format!("{vrf}/{key}")
            }
            (Some(key), _) => key.to_owned(),
            (None, _) => values
                .get("id")
                .as_str()
                .unwrap_or("with an unknown name")
                .to_owned(),
        }
    }
}
