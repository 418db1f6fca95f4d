//! Nouns that are created, changed and deleted by id and found by name: all except allocations.
//!
//! Their attributes have the same names as the fields of the API's bodies, so that requests and states are converted into
//! each other through JSON, and a noun is little more than its attributes and its calls. Only what the plan can know in
//! advance, and where state and reply differ, is left to the noun. `resource` is such a noun as a resource, `looked_up` as
//! a data source.

use std::{fmt::Display, str::FromStr};

use ipam_client::{Client, Created, Error};
use ipam_shared::{api::ownership::Owned as _, ids::Claim, labels::Labels, name::fold};
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
    /// What it is called in a sentence, such as `VRF`.
    const WORD: &'static str;
    /// What it is, for the documentation of the resource.
    const ABOUT: &'static str;
    /// The attribute that people know it by, besides its id.
    const KEY: &'static str = "name";
    /// Whether the same key may exist in several VRFs.
    const SCOPED: bool = false;
    /// Whether the server ignores case in its key.
    const FOLDS: bool = false;
    /// How to import it, to complete "Import ".
    const IMPORT: &'static str = "by id or by name";

    /// Id.
    type Id: FromStr<Err: Display + Send> + Display + Into<Uuid> + Clone + Send + Sync;
    /// The body that creates one.
    type New: DeserializeOwned + Send + Sync;
    /// The body that changes one.
    type Patch: DeserializeOwned + Send + Sync;
    /// The server's representation.
    type Found: Listed + Serialize;

    /// The attributes of the resource, except `id` and the labels. The data source shows them too.
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

    /// Creates one.
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

    /// Those with that name, in all VRFs or in that one.
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

    /// Refuses invalid configurations, beyond the checks of single attributes.
    fn validate(_config: &Value) -> Result<()> {
        Ok(())
    }

    /// What the plan can know in advance.
    async fn plan(_ctx: &Context<Connection>, _plan: &mut Plan) -> Result<()> {
        Ok(())
    }

    /// Adapts the fields of a creation, which are those of all attributes, to what the configuration asks for.
    fn creation(_config: &Value, _fields: &mut Fields) -> Result<()> {
        Ok(())
    }

    /// Adapts the fields of a change, which are those of the attributes that differ, to the body.
    fn patch(_request: &Update, _patch: &mut Fields) -> Result<()> {
        Ok(())
    }

    /// Adapts the attributes of the reply to what the configuration says: `known` is the plan or the prior state, null
    /// after an import.
    fn settle(_found: &Self::Found, _known: &Value, _state: &mut Value) -> Result<()> {
        Ok(())
    }

    /// Refines the configuration that is generated for an import: of attributes that say the same, all but one become null.
    fn generate(_config: &mut Value) {}

    /// What distinguishes it from all others of its type; nothing while that is not known.
    fn key(values: &Value) -> Option<Key> {
        let key = values.get(Self::KEY).as_str()?;
        let vrf = values.get("vrf").as_str();
        let key = match Self::FOLDS {
            true => &fold(key),
            false => key,
        };
        Some(if Self::SCOPED {
            scoped(Self::Found::NOUN, vrf?, key)
        } else {
            Key::new(Self::Found::NOUN, key)
        })
    }

    /// Its name for people: its key, with the VRF if needed to distinguish it.
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
