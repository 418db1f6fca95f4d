//! The audit log: who did what, and when.

use std::{fmt, net::IpAddr, str::FromStr};

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{ids::TokenId, pattern::Pattern};

/// Name of the header that says which workspace of Terraform, or which other part of a pipeline, makes a change.
pub const WORKSPACE_HEADER: &str = "ipam-workspace";
/// Name of the header that says which run of a pipeline makes a change.
pub const RUN_HEADER: &str = "ipam-run";
/// Name of the header that says from which commit a change is made.
pub const COMMIT_HEADER: &str = "ipam-commit";
/// Longest value of these headers, in characters.
pub const MAX_SOURCE: usize = 255;

/// Longest wait of `GET /api/v1/events/feed`, in seconds.
pub const MAX_WAIT: u16 = 30;

/// Where a change came from, as far as that is known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Source {
    /// The token; a name may belong to another one later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<TokenId>,
    /// For whom the token was created.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// The address of the client, which a proxy names only if the server trusts that proxy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub address: Option<IpAddr>,
    /// What the client said in `Ipam-Workspace`; nobody checks it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workspace: Option<String>,
    /// What the client said in `Ipam-Run`; nobody checks it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// What the client said in `Ipam-Commit`; nobody checks it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
}

/// A change that was made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Event {
    /// Its number; later events have higher ones, with gaps.
    pub id: i64,
    /// When.
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
    /// Who: `admin`, `token/NAME`, a command of the operator, `server` for what it does by itself, or `nobody` for attempts
    /// without a valid key.
    pub actor: String,
    /// What was done, such as `allocation.create`.
    pub action: String,
    /// Id of what it was applied to.
    pub subject: Uuid,
    /// The request, in the server's log.
    pub request_id: Uuid,
    /// Details; their shape depends on the action. For a change `before` has what its fields were; for an end, all of it.
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    pub detail: serde_json::Value,
    /// Where it came from; not for what the server does by itself, nor for events of earlier releases.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Source>,
}

/// How far the log is sealed: whoever keeps this elsewhere can prove later that nothing up to there was changed or cut off.
/// As text: `SEAL:EVENT:DIGEST`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Head {
    /// Number of the last seal.
    pub seal: i64,
    /// The last event that it covers.
    pub event: i64,
    /// SHA-256 over the seal before and the events since, in 64 hexadecimal digits.
    #[cfg_attr(feature = "openapi", schema(pattern = "^[0-9a-f]{64}$"))]
    pub digest: String,
}

impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.seal, self.event, self.digest)
    }
}

/// Not the text of a [`Head`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a head is SEAL:EVENT:DIGEST, as `ipam audit head` prints it")]
pub struct NotAHead;

impl FromStr for Head {
    type Err = NotAHead;

    fn from_str(text: &str) -> Result<Self, NotAHead> {
        let mut parts = text.trim().split(':');
        let (Some(seal), Some(event), Some(digest), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(NotAHead);
        };
        let number = |text: &str| text.parse().ok().filter(|number: &i64| *number > 0);
        let is_digest = digest.len() == 64 && digest.bytes().all(|c| c.is_ascii_hexdigit());
        match (number(seal), number(event)) {
            (Some(seal), Some(event)) if is_digest => Ok(Self {
                seal,
                event,
                digest: digest.to_ascii_lowercase(),
            }),
            _ => Err(NotAHead),
        }
    }
}

/// What happened after an event, oldest first. Unlike a list it can be followed: what it shows is complete, since an event
/// appears only once none before it can appear any more.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Feed {
    /// The events that match.
    pub items: Vec<Event>,
    /// What to ask for next, as `after`: everything up to there was looked at.
    pub next: i64,
    /// How far the log is sealed; none before the first seal.
    #[serde(default)]
    pub head: Option<Head>,
}

/// What to follow: `GET /api/v1/events/feed`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::IntoParams), into_params(parameter_in = Query))]
#[serde(deny_unknown_fields)]
pub struct FeedParams {
    /// Only what happened after this event: `next` of the previous reply. If not given, what happens from now on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<i64>,
    /// Seconds to wait for something to happen, 0 to 30; 0 if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait: Option<u16>,
    /// Only about what has this id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Uuid>,
    /// Only actions that match this pattern, in which `*` stands for any text: `allocation.release`, or `allocation.*`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", param(value_type = Option<String>))]
    pub action: Option<Pattern>,
    /// Only by this actor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
    /// Events in a reply, 1 to 1,000; 100 if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u16>,
}

/// Filters of a list: `GET /api/v1/events`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::IntoParams), into_params(parameter_in = Query))]
#[serde(deny_unknown_fields)]
pub struct EventFilter {
    /// Only about what has this id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Uuid>,
    /// Only actions that match this pattern, in which `*` stands for any text: `allocation.release`, or `allocation.*`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", param(value_type = Option<String>))]
    pub action: Option<Pattern>,
    /// Only by this actor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
    /// Only later than this (RFC 3339).
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "crate::moment::option"
    )]
    #[cfg_attr(feature = "openapi", param(value_type = Option<String>, format = DateTime))]
    pub after: Option<OffsetDateTime>,
    /// Only earlier than this (RFC 3339).
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "crate::moment::option"
    )]
    #[cfg_attr(feature = "openapi", param(value_type = Option<String>, format = DateTime))]
    pub before: Option<OffsetDateTime>,
    /// Items on a page, 1 to 1,000; 100 if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u16>,
    /// The `next_cursor` of the previous page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read_as_it_is_written() {
        let text = format!("7:1234:{}", "0a".repeat(32));
        let head: Head = text.parse().unwrap();
        assert_eq!((head.seal, head.event), (7, 1234));
        assert_eq!(head.to_string(), text);
        assert_eq!(format!(" {}\n", text.to_uppercase()).parse(), Ok(head));
    }

    #[test]
    fn what_is_no_head_is_refused() {
        let digest = "0a".repeat(32);
        for text in [
            String::new(),
            "7:1234".to_owned(),
            format!("7:1234:{digest}0"),
            format!("7:1234:{digest}:"),
            format!("0:1234:{digest}"),
            format!("7:-1:{digest}"),
            format!("7:99999999999999999999:{digest}"),
            format!("7:1234:{}", "zz".repeat(32)),
        ] {
            assert_eq!(text.parse::<Head>(), Err(NotAHead), "{text}");
        }
    }
}
