//! Webhooks: who is told what happens.

use std::fmt;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    api::ownership::{Owner, by_name, owned},
    ids::{Claim, WebhookId},
    name::Name,
    pattern::Pattern,
};

/// Maximum number of patterns of actions.
pub const MAX_ACTIONS: usize = 100;
/// Longest address, in characters.
pub const MAX_URL: usize = 2000;
/// Events in one request, if nothing else is asked for.
pub const BATCH_SIZE: u16 = 100;
/// Most events in one request.
pub const MAX_BATCH_SIZE: u16 = 1000;
/// How long a secret that was replaced also signs, if nothing else is asked for: a day, in seconds.
pub const OVERLAP: u32 = 86_400;
/// The longest that it may: 30 days, in seconds.
pub const MAX_OVERLAP: u32 = 30 * 86_400;
/// Most secrets that sign at a time.
pub const MAX_SECRETS: usize = 5;

fn batch_size() -> u16 {
    BATCH_SIZE
}

fn given_or_batch_size<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<u16, D::Error> {
    super::or_else(deserializer, batch_size)
}

fn enabled() -> bool {
    true
}

fn given_or_enabled<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    super::or_else(deserializer, enabled)
}

fn overlap() -> u32 {
    OVERLAP
}

fn given_or_overlap<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    super::or_else(deserializer, overlap)
}

/// A new webhook: `POST /api/v1/webhooks`. Only the reply has the secret, by which a receiver recognises what it is sent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct NewWebhook {
    /// Unique, whatever its case.
    pub name: Name,
    /// Free text, at most 1,000 characters.
    #[serde(default, deserialize_with = "super::or_default")]
    pub description: String,
    /// Where to: `https://`, and a host with a public address, unless the operator allows others. No user, no password and
    /// no fragment. It is no place for secrets: the audit log has it, and auditors read it.
    pub url: String,
    /// Only actions that match one of these patterns, such as `allocation.*` or `token.create`; all, if there are none.
    #[serde(
        default,
        deserialize_with = "super::or_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub actions: Vec<Pattern>,
    /// Most events in one request, 1 to 1,000; 100 if not given.
    #[serde(default = "batch_size", deserialize_with = "given_or_batch_size")]
    pub batch_size: u16,
    /// Whether anything is sent; true if not given.
    #[serde(default = "enabled", deserialize_with = "given_or_enabled")]
    pub enabled: bool,
    /// It begins after this event: 0 for all that the log has; if not given, with what happens from now on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<i64>,
}

/// A change: `PATCH /api/v1/webhooks/{id}`. What is missing stays as it is. What could not be delivered before is tried at
/// once.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct WebhookPatch {
    /// A new name.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "super::given"
    )]
    pub name: Option<Name>,
    /// Free text.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "super::given"
    )]
    pub description: Option<String>,
    /// Another address.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "super::given"
    )]
    pub url: Option<String>,
    /// All patterns of actions.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "super::given"
    )]
    pub actions: Option<Vec<Pattern>>,
    /// Most events in one request.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "super::given"
    )]
    pub batch_size: Option<u16>,
    /// Whether anything is sent. What happens meanwhile is sent later.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "super::given"
    )]
    pub enabled: Option<bool>,
}

/// Who is told what happens, and how far that is.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Webhook {
    /// Stable id.
    pub id: WebhookId,
    /// Unique, whatever its case.
    pub name: Name,
    /// Free text.
    pub description: String,
    /// Where to.
    pub url: String,
    /// Only actions that match one of these patterns; all, if there are none.
    pub actions: Vec<Pattern>,
    /// Most events in one request.
    pub batch_size: u16,
    /// Whether anything is sent.
    pub enabled: bool,
    /// How far it is.
    pub delivery: Delivery,
    /// Until when a secret that was replaced also signs; null if there is none.
    #[serde(default, with = "time::serde::rfc3339::option")]
    pub old_secrets_until: Option<OffsetDateTime>,
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
    /// Counts the changes; the ETag. Deliveries are none.
    pub revision: i64,
    /// When it was created.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// Proof of ownership, only in the reply to a creation. Send it in the header `Ipam-Claim` when reading by id, or
    /// confirm it with `POST /api/v1/confirmations`; from then on nobody can adopt it by asking for the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim: Option<Claim>,
    /// What signs, as `whsec_…`: only in the reply to a creation or a rotation. Nothing stores it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
}

/// How far a webhook is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Delivery {
    /// Everything up to this event was delivered, or was not asked for.
    pub up_to: i64,
    /// How many events the log has behind that, whether they were asked for or not; numbers that were skipped count too.
    pub behind: i64,
    /// When something was last delivered; null if never.
    #[serde(default, with = "time::serde::rfc3339::option")]
    pub last_at: Option<OffsetDateTime>,
    /// What the receiver last answered; null if it gave no answer.
    #[serde(default)]
    pub last_status: Option<u16>,
    /// Why the last attempt failed; null if it did not.
    #[serde(default)]
    pub last_error: Option<String>,
    /// Attempts that failed since the last success.
    pub failures: i32,
    /// When they began to fail; null if the last one succeeded.
    #[serde(default, with = "time::serde::rfc3339::option")]
    pub failing_since: Option<OffsetDateTime>,
    /// When it is tried again; null if nothing failed, or if it was stopped.
    #[serde(default, with = "time::serde::rfc3339::option")]
    pub next_try_at: Option<OffsetDateTime>,
    /// When the server gave up: the receiver answered 410, or everything failed for days. `POST …/resume` goes on.
    #[serde(default, with = "time::serde::rfc3339::option")]
    pub stopped_at: Option<OffsetDateTime>,
}

owned!(Webhook: |webhook| format!("webhook \"{}\"", webhook.name), by_name(webhook.name.as_str(), webhook.id.0));

// By hand, so that the secret is in no log.
impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Webhook")
            .field("id", &self.id)
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// A new secret: `POST /api/v1/webhooks/{id}/rotate`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct NewWebhookSecret {
    /// For how many seconds those before also sign, at most 30 days; a day if not given. 0 if one has leaked: then only the new
    /// one signs.
    #[serde(default = "overlap", deserialize_with = "given_or_overlap")]
    pub overlap_seconds: u32,
}

impl Default for NewWebhookSecret {
    fn default() -> Self {
        Self {
            overlap_seconds: OVERLAP,
        }
    }
}

/// Going on after a stop: `POST /api/v1/webhooks/{id}/resume`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct WebhookResumption {
    /// After this event, an earlier one to have some sent again, or a later one to skip some; if not given, where it stopped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<i64>,
}

/// The outcome of `POST /api/v1/webhooks/{id}/test`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct WebhookTest {
    /// Whether the receiver accepted it.
    pub delivered: bool,
    /// What it answered; null if it gave no answer.
    #[serde(default)]
    pub status: Option<u16>,
    /// Why it failed; null if it did not.
    #[serde(default)]
    pub error: Option<String>,
    /// How long it took, in milliseconds.
    pub milliseconds: u64,
}

/// Filters of a list: `GET /api/v1/webhooks`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::IntoParams), into_params(parameter_in = Query))]
#[serde(deny_unknown_fields)]
pub struct WebhookFilter {
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
