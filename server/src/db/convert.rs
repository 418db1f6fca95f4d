//! From the database's types to ours. What the schema rules out is reported as a bug, with the row.

use ipam_shared::{
    api::{allocation::NewAllocation, ownership::Owner, pool::RequiredLabels},
    cidr::Cidr,
    labels::Labels,
    name::Name,
};
use serde::{Deserialize, Serialize};
use sqlx::{Postgres, QueryBuilder, types::ipnet::IpNet};
use uuid::Uuid;

use crate::error::{Error, Result};

/// CIDRs as the driver takes them.
pub(crate) fn nets(cidrs: impl IntoIterator<Item = Cidr>) -> Vec<IpNet> {
    cidrs.into_iter().map(IpNet::from).collect()
}

/// Adds a condition for a row of `table`, which has a name and the id `{table}_id`, by either.
pub(crate) fn push_named(sql: &mut QueryBuilder<Postgres>, table: &str, key: &str) {
    sql.push(format_args!("({table}.name = "))
        .push_bind(key.to_owned());
    if let Ok(id) = key.parse::<Uuid>() {
        sql.push(format_args!(" or {table}.{table}_id = "))
            .push_bind(id);
    }
    sql.push(")");
}

/// Adds conditions for what was made for this owner (if empty, for none), and for what is or is not confirmed.
pub(crate) fn push_owned(
    sql: &mut QueryBuilder<Postgres>,
    owner: Option<&str>,
    confirmed: Option<bool>,
) {
    match owner {
        None => {}
        Some("") => drop(sql.push(" and owner is null")),
        Some(owner) => drop(sql.push(" and owner = ").push_bind(owner.to_owned())),
    }
    match confirmed {
        None => {}
        Some(true) => drop(sql.push(" and confirmed_at is not null")),
        Some(false) => drop(sql.push(" and confirmed_at is null")),
    }
}

/// A name that the schema checked.
pub(crate) fn name(text: String) -> Result<Name> {
    text.parse()
        .map_err(|error| Error::bug(format!("stored name {text:?}: {error}")))
}

/// An owner that the schema checked.
pub(crate) fn owner(text: Option<String>) -> Result<Option<Owner>> {
    text.map(|text| {
        text.parse()
            .map_err(|error| Error::bug(format!("stored owner {text:?}: {error}")))
    })
    .transpose()
}

/// A prefix length, or other number of 0 to 255, from a smallint.
pub(crate) fn small(number: i16) -> Result<u8> {
    u8::try_from(number).map_err(|_| Error::bug(format!("stored length {number} is not one")))
}

/// Bits added to a prefix length, from a smallint.
pub(crate) fn offset(number: i16) -> Result<i8> {
    i8::try_from(number).map_err(|_| Error::bug(format!("stored offset {number} is not one")))
}

/// A count from a bigint.
pub(crate) fn count(number: i64) -> Result<u64> {
    u64::try_from(number).map_err(|_| Error::bug(format!("stored count {number} is negative")))
}

/// A number of hosts as a bigint: a request has no more than that holds.
pub(crate) fn hosts(number: u64) -> Result<i64> {
    i64::try_from(number).map_err(|_| Error::bug(format!("{number} hosts were not refused")))
}

/// Labels from a JSON object.
pub(crate) fn labels(json: serde_json::Value) -> Result<Labels> {
    serde_json::from_value(json).map_err(|error| Error::bug(format!("stored labels: {error}")))
}

/// Required labels from a JSON object.
pub(crate) fn required_labels(json: serde_json::Value) -> Result<RequiredLabels> {
    serde_json::from_value(json)
        .map_err(|error| Error::bug(format!("stored required labels: {error}")))
}

/// Required labels as a JSON object.
pub(crate) fn required_labels_json(labels: &RequiredLabels) -> Result<serde_json::Value> {
    serde_json::to_value(labels).map_err(|error| Error::Internal(error.into()))
}

/// Labels as a JSON object.
pub(crate) fn labels_json(labels: &Labels) -> Result<serde_json::Value> {
    serde_json::to_value(labels).map_err(|error| Error::Internal(error.into()))
}

/// What a request said besides its size and its profile, as it is stored with the allocation.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Asked {
    /// Pools by name or id, in the order of preference.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pools: Option<Vec<String>>,
    /// Labels that the pool was selected by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool_selector: Option<Labels>,
    /// Networks to keep away from.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exclude_cidrs: Vec<Cidr>,
}

impl Asked {
    /// What a request says.
    pub fn of(new: &NewAllocation) -> Self {
        Self {
            pools: new.pools.clone(),
            pool_selector: new.pool_selector.clone(),
            exclude_cidrs: new.exclude_cidrs.clone(),
        }
    }

    /// As a JSON object; none if it says nothing.
    pub(crate) fn json(&self) -> Result<Option<serde_json::Value>> {
        if *self == Self::default() {
            return Ok(None);
        }
        serde_json::to_value(self)
            .map(Some)
            .map_err(|error| Error::Internal(error.into()))
    }
}

/// What a request said, from its JSON object; nothing from none.
pub(crate) fn request(json: Option<serde_json::Value>) -> Result<Asked> {
    json.map_or_else(
        || Ok(Asked::default()),
        |json| {
            serde_json::from_value(json)
                .map_err(|error| Error::bug(format!("stored request: {error}")))
        },
    )
}
