//! Tokens: who may do what, and where.

use std::{collections::BTreeSet, fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    api::ownership::{Owner, by_name, owned},
    ids::{Claim, PoolId, TokenId},
    labels::Labels,
    name::Name,
    pattern::Pattern,
    quotas::Quotas,
    secret::Secret,
};

/// Maximum number of entries of one limit.
pub const MAX_LIMITS: usize = 100;

/// What a token may do. A token has one or several roles.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Everything, tokens and imports included; it can't be limited.
    Admin,
    /// Reads, and creates, changes and deletes pools, profiles, VRFs and reservations.
    Operator,
    /// Reads, and creates, changes and releases allocations and VPCs.
    Allocator,
    /// Reads, and makes dry runs of requests for space.
    Planner,
    /// Reads everything but the audit log.
    Reader,
    /// Reads everything and the audit log.
    Auditor,
    /// Reads `/metrics` and nothing else.
    Metrics,
}

impl Role {
    /// Every role, the most powerful first.
    pub const ALL: [Self; 7] = [
        Self::Admin,
        Self::Operator,
        Self::Allocator,
        Self::Planner,
        Self::Reader,
        Self::Auditor,
        Self::Metrics,
    ];

    /// As written in a body.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Operator => "operator",
            Self::Allocator => "allocator",
            Self::Planner => "planner",
            Self::Reader => "reader",
            Self::Auditor => "auditor",
            Self::Metrics => "metrics",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Role {
    type Err = UnknownRole;

    fn from_str(text: &str) -> Result<Self, UnknownRole> {
        Self::ALL
            .into_iter()
            .find(|role| role.as_str() == text)
            .ok_or_else(|| UnknownRole(text.to_owned()))
    }
}

/// A text that is no role.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "there is no role {0:?}; there are admin, operator, allocator, planner, reader, auditor and metrics"
)]
pub struct UnknownRole(String);

/// Where a token may do what its roles allow. What is missing or empty is no limit; several limits hold together. What a
/// token does not cover does not exist for it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Only these VRFs, by id or name. A VPC whose profile takes blocks from pools of `default` needs that here too.
    #[serde(
        default,
        deserialize_with = "super::or_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub vrfs: Vec<String>,
    /// Only these pools, by id, by name if only one VRF has a pool of that name, or as `vrf/name`.
    #[serde(
        default,
        deserialize_with = "super::or_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub pools: Vec<String>,
    /// Only these profiles, by id or name; requests that name pools themselves are not covered then.
    #[serde(
        default,
        deserialize_with = "super::or_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub profiles: Vec<String>,
    /// Only VPCs whose name matches one of these patterns, such as `team-a-*`.
    #[serde(
        default,
        deserialize_with = "super::or_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub vpcs: Vec<Pattern>,
    /// Only allocations with all of these labels.
    #[serde(
        default,
        deserialize_with = "super::or_default",
        skip_serializing_if = "Labels::is_empty"
    )]
    pub labels: Labels,
    /// How many addresses of a pool the allocations that the other limits cover may hold, whoever made them; all allocations,
    /// if there are no other limits. Pools are named as in `pools`. What this token asks for beyond that is refused.
    #[serde(
        default,
        deserialize_with = "super::or_default",
        skip_serializing_if = "Quotas::is_empty"
    )]
    pub quotas: Quotas,
}

impl Limits {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether they cover everything: quotas say how much, and not where.
    pub fn is_everywhere(&self) -> bool {
        let Self {
            vrfs,
            pools,
            profiles,
            vpcs,
            labels,
            quotas: _,
        } = self;
        vrfs.is_empty()
            && pools.is_empty()
            && profiles.is_empty()
            && vpcs.is_empty()
            && labels.is_empty()
    }
}

/// How much of a quota is used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct QuotaUsage {
    /// The pool, as the quota names it.
    pub quota: String,
    /// The pool's id; null if there is no such pool any more.
    #[serde(default)]
    pub pool_id: Option<PoolId>,
    /// How many of its addresses may be held.
    #[serde(deserialize_with = "crate::api::addresses")]
    pub addresses: u128,
    /// How many are held by the allocations that the limits cover, whoever made them.
    #[serde(deserialize_with = "crate::api::addresses")]
    pub used_addresses: u128,
}

/// A new token: `POST /api/v1/tokens`. The reply is the only one that has the secret, unless the request brings it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct NewToken {
    /// Unique, whatever its case: what the audit log calls it by, as `token/NAME`.
    pub name: Name,
    /// Free text, at most 1,000 characters.
    #[serde(default, deserialize_with = "super::or_default")]
    pub description: String,
    /// What it may do.
    pub roles: BTreeSet<Role>,
    /// Where.
    #[serde(default, deserialize_with = "super::or_default")]
    pub limits: Limits,
    /// Until when; null for no end.
    #[serde(
        default,
        with = "crate::moment::option",
        skip_serializing_if = "Option::is_none"
    )]
    pub expires_at: Option<OffsetDateTime>,
    /// Its secret, if whoever asks has made one and stored it where it is used; no reply shows it then. Without it the server
    /// makes one. No other token has the same public id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub secret: Option<Secret>,
}

/// A change: `PATCH /api/v1/tokens/{id}`. What is missing stays as it is. It takes effect everywhere within a second.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct TokenPatch {
    /// Free text.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "super::given"
    )]
    pub description: Option<String>,
    /// All roles.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "super::given"
    )]
    pub roles: Option<BTreeSet<Role>>,
    /// All limits.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "super::given"
    )]
    pub limits: Option<Limits>,
    /// A new end: an earlier one, or a later one; null for no end.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "end")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<OffsetDateTime>))]
    pub expires_at: Option<Option<OffsetDateTime>>,
    /// Another secret, which the caller has made; the one before is refused by every server within a second. Nothing changes
    /// if it is the one that the token has.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "super::given"
    )]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub secret: Option<Secret>,
}

/// A time that may be cleared: null is a value, unlike a field that is not given.
mod end {
    use serde::{Deserializer, Serializer};
    use time::OffsetDateTime;

    use crate::moment::option;

    // Serde passes a reference to the field.
    #[expect(clippy::ref_option, reason = "the signature is serde's")]
    pub(super) fn serialize<S: Serializer>(
        end: &Option<Option<OffsetDateTime>>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        option::serialize(&end.flatten(), serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Option<OffsetDateTime>>, D::Error> {
        option::deserialize(deserializer).map(Some)
    }
}

/// Who may do what, and where.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Token {
    /// Stable id.
    pub id: TokenId,
    /// The part of the secret behind `ipam_` that is no secret, to recognise it by.
    pub public_id: String,
    /// Unique, whatever its case.
    pub name: Name,
    /// Free text.
    pub description: String,
    /// What it may do.
    pub roles: BTreeSet<Role>,
    /// Where. Names stand for what had them when the limits were set: what is renamed since stays covered.
    pub limits: Limits,
    /// How much of its quotas is used, in the reply to a `GET` of one token that has some.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Vec<QuotaUsage>>,
    /// Until when; null for no end.
    #[serde(default, with = "time::serde::rfc3339::option")]
    pub expires_at: Option<OffsetDateTime>,
    /// When it was last used, to the minute; null if never.
    #[serde(default, with = "time::serde::rfc3339::option")]
    pub last_used_at: Option<OffsetDateTime>,
    /// The address that used it then.
    #[serde(default)]
    pub last_used_from: Option<String>,
    /// Who created it.
    #[serde(default)]
    pub created_by: Option<String>,
    /// For whom it was created: the `Ipam-Owner` of its creation; null if there was none.
    #[serde(default)]
    pub owner: Option<Owner>,
    /// Whether an owner has shown its claim; from then on nobody can adopt it by asking for the same.
    #[serde(default)]
    pub confirmed: bool,
    /// A public digest of its claim, by which the holder of the claim can tell that it is still valid: the version 5 UUID
    /// of `ipam claim` in the namespace given by the claim.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim_digest: Option<Uuid>,
    /// Counts the changes; the ETag.
    pub revision: i64,
    /// When it was created.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// Proof of ownership, only in the reply to a creation. Send it in the header `Ipam-Claim` when reading by id, or
    /// confirm it with `POST /api/v1/confirmations`; from then on nobody can adopt it by asking for the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim: Option<Claim>,
    /// The secret that the server made, only in the reply to a creation that brought none. Such a creation that is repeated
    /// by its owner gets a new one, and the one before is no longer valid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
}

owned!(Token: |token| format!("token \"{}\"", token.name), by_name(token.name.as_str(), token.id.0));

// By hand, so that the secret is in no log.
impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token")
            .field("id", &self.id)
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// Filters of a list: `GET /api/v1/tokens`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::IntoParams), into_params(parameter_in = Query))]
#[serde(deny_unknown_fields)]
pub struct TokenFilter {
    /// Only with this name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Only what was created for this owner; empty for what was created for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// Only what an owner has confirmed, or only what none has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirmed: Option<bool>,
    /// Items on a page, 1 to 1,000; 100 if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u16>,
    /// The `next_cursor` of the previous page. Items are in the order of their ids, so any id works, even one that is not
    /// in the list: the page begins after it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

/// Who is asking: `GET /api/v1/whoami`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Whoami {
    /// What the audit log calls the caller: `admin`, or `token/NAME`.
    pub actor: String,
    /// The token; null for the administrator's key.
    #[serde(default)]
    pub token: Option<TokenId>,
    /// What the caller may do.
    pub roles: BTreeSet<Role>,
    /// Where.
    pub limits: Limits,
    /// How much of its quotas is used, if it has some.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Vec<QuotaUsage>>,
    /// Until when; null for no end.
    #[serde(default, with = "time::serde::rfc3339::option")]
    pub expires_at: Option<OffsetDateTime>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_are_written_the_same_everywhere() {
        for role in Role::ALL {
            assert_eq!(serde_json::to_value(role).unwrap(), role.as_str());
            assert_eq!(role.as_str().parse::<Role>(), Ok(role));
        }
        assert!("root".parse::<Role>().is_err());
    }
}
