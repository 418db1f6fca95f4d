//! What the original API answers: bodies with its field names in its order, and refusals with its wording.

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use http::{StatusCode, header};
use ipam_shared::{
    api::profile::CGNAT_OFFSET,
    cidr::{Cidr, Family, RESERVED_ADDRESSES},
    error::Code,
    labels::Labels,
};
use serde::Serialize;
use serde_json::{Map, Value, json};
use time::{OffsetDateTime, format_description::BorrowedFormatItem, macros::format_description};
use uuid::Uuid;

use crate::{
    db::error::is_connection,
    error::Error,
    http::error::{RETRY_AFTER, is_worth_repeating, log},
};

/// `POST /allocate`.
#[derive(Serialize)]
pub(super) struct Allocated {
    pub ok: bool,
    /// Only in a dry run, where the two ids are missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dry_run: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allocation_id: Option<i64>,
    pub vpc: String,
    pub primary_cidr: Cidr,
    pub cgnat_cidr: Cidr,
    pub primary_subnet_size: String,
    pub cgnat_subnet_size: String,
    pub usable_primary: u64,
    pub usable_cgnat: u64,
    pub requested_hosts: Option<u64>,
    pub requested_prefix: Option<u8>,
    pub labels: Labels,
    /// 32 hexadecimal digits, the same as in the header `X-Request-Id`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
}

/// `GET /allocations`.
#[derive(Serialize)]
pub(super) struct List {
    pub total_count: i64,
    pub limit: i64,
    pub offset: i128,
    pub items: Vec<Item>,
}

#[derive(Serialize)]
pub(super) struct Item {
    pub vpc: String,
    pub allocation_id: i64,
    pub primary_cidr: Cidr,
    pub usable_primary: u64,
    pub cgnat_cidr: Cidr,
    pub usable_cgnat: u64,
    pub requested_hosts: Option<u64>,
    pub requested_prefix: Option<u8>,
    pub labels: Labels,
    /// With dashes, unlike in [`Allocated`].
    pub request_id: Uuid,
    pub created_at: String,
}

/// `PUT /allocations/{id}`.
#[derive(Serialize)]
pub(super) struct Moved {
    pub ok: bool,
    pub allocation_id: i64,
    pub new_vpc_name: String,
}

/// `DELETE`.
#[derive(Serialize)]
pub(super) struct Deleted {
    pub ok: bool,
    pub deleted: bool,
}

/// `GET /calculate`.
#[derive(Serialize)]
pub(super) struct Sizes {
    requested_hosts: Option<u64>,
    /// The original put the calculated length here too.
    requested_prefix: u8,
    calculated_prefix: u8,
    primary_subnet_size: String,
    cgnat_subnet_size: String,
    usable_primary_ips: i64,
    usable_cgnat_ips: i64,
    total_addresses_primary: i64,
    total_addresses_cgnat: i64,
}

impl Sizes {
    /// The sizes for a prefix length of 5 to 32. Blocks too small for the reserved addresses have a negative number of
    /// usable ones.
    pub(super) fn new(requested_hosts: Option<u64>, prefix_length: u8) -> Self {
        let cgnat = prefix_length.saturating_add_signed(CGNAT_OFFSET);
        let addresses = |length: u8| 1_i64 << (Family::Ipv4.bits() - length);
        let usable = |length: u8| addresses(length) - i64::from(RESERVED_ADDRESSES);
        Self {
            requested_hosts,
            requested_prefix: prefix_length,
            calculated_prefix: prefix_length,
            primary_subnet_size: size(prefix_length),
            cgnat_subnet_size: size(cgnat),
            usable_primary_ips: usable(prefix_length),
            usable_cgnat_ips: usable(cgnat),
            total_addresses_primary: addresses(prefix_length),
            total_addresses_cgnat: addresses(cgnat),
        }
    }
}

/// A prefix length as the original wrote it.
pub(super) fn size(prefix_length: u8) -> String {
    format!("/{prefix_length}")
}

/// A time as Python writes it: microseconds unless there are none, and `+00:00`, never `Z`.
pub(super) fn timestamp(at: OffsetDateTime) -> Result<String, Error> {
    const WHOLE: &[BorrowedFormatItem<'_>] =
        format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]+00:00");
    const FRACTION: &[BorrowedFormatItem<'_>] = format_description!(
        "[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:6]+00:00"
    );
    let utc = at.to_offset(time::UtcOffset::UTC);
    let format = if utc.microsecond() == 0 {
        WHOLE
    } else {
        FRACTION
    };
    utc.format(format)
        .map_err(|error| Error::Internal(error.into()))
}

/// One fault of a request.
#[derive(Debug, PartialEq, Serialize)]
pub(super) struct Fault {
    #[serde(rename = "type")]
    pub(super) kind: &'static str,
    pub(super) loc: Vec<Value>,
    pub(super) msg: String,
    pub(super) input: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ctx: Option<Value>,
}

/// A refusal in the original's shapes.
#[derive(Debug)]
pub(super) enum Refusal {
    /// `{"code", "message", "details"}`.
    Coded {
        status: StatusCode,
        code: &'static str,
        message: String,
        details: Value,
    },
    /// The same for an error of the domain, with our code for it, which is counted.
    Failed(Box<Refusal>, Code),
    /// 422 with a list of what is wrong where.
    Faults(Vec<Fault>),
    /// `{"detail": …}`, the way its framework refused.
    Detail(StatusCode, &'static str),
}

impl Refusal {
    /// A rule that the request breaks.
    pub(super) fn bad_request(message: impl Into<String>) -> Self {
        Self::coded(StatusCode::BAD_REQUEST, "BAD_REQUEST", message)
    }

    /// There is no allocation with that number, or no longer.
    pub(super) fn no_allocation(number: i128) -> Self {
        Self::coded(
            StatusCode::NOT_FOUND,
            "NOT_FOUND",
            format!("Allocation {number} not found"),
        )
    }

    pub(super) fn coded(
        status: StatusCode,
        code: &'static str,
        message: impl Into<String>,
    ) -> Self {
        Self::Coded {
            status,
            code,
            message: message.into(),
            details: Value::Null,
        }
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        log(&error);
        let code = error.code();
        let refusal = match error {
            // The refusal names one pool of the profile, the first that is full.
            Error::Exhausted(pools) => {
                let (mut message, mut details) = (String::new(), Map::new());
                for pool in &pools {
                    let ranges: Vec<_> =
                        pool.space.ranges.iter().map(ToString::to_string).collect();
                    message = format!(
                        "No available /{} in {}",
                        pool.space.prefix_length,
                        ranges.join(", ")
                    );
                    details.insert(format!("{}_conflicts", pool.role), json!(["exhausted"]));
                }
                Self::Coded {
                    status: StatusCode::BAD_REQUEST,
                    code: "NO_SPACE",
                    message,
                    details: details.into(),
                }
            }
            Error::Invalid(reason) => Self::bad_request(reason.message),
            Error::Forbidden(message) => Self::coded(StatusCode::FORBIDDEN, "FORBIDDEN", message),
            Error::NotFound(_) | Error::Gone { .. } => {
                Self::coded(StatusCode::NOT_FOUND, "NOT_FOUND", error.to_string())
            }
            Error::NameTaken { .. }
            | Error::Claimed { .. }
            | Error::SecretTaken
            | Error::Overlap { .. }
            | Error::QuotaExceeded(_)
            | Error::InUse { .. }
            | Error::Protected(_)
            | Error::KeyReused(_)
            | Error::Stale { .. } => {
                Self::coded(StatusCode::CONFLICT, "CONFLICT", error.to_string())
            }
            Error::Unavailable(_, Some(source)) if is_connection(&source) => Self::coded(
                StatusCode::INTERNAL_SERVER_ERROR,
                "DB_CONNECTION_ERROR",
                "Database unavailable",
            ),
            Error::Unavailable(..)
            | Error::Overloaded
            | Error::UnknownOutcome(_)
            | Error::Restored => Self::coded(
                StatusCode::SERVICE_UNAVAILABLE,
                "RETRY_EXHAUSTED",
                error.to_string(),
            ),
            Error::Internal(_) => Self::coded(
                StatusCode::INTERNAL_SERVER_ERROR,
                "INTERNAL_ERROR",
                "Internal error",
            ),
        };
        Self::Failed(Box::new(refusal), code)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        // Not `json!`, which would sort the keys.
        #[derive(Serialize)]
        struct Coded {
            code: &'static str,
            message: String,
            details: Value,
        }
        #[derive(Serialize)]
        struct Detail<T> {
            detail: T,
        }
        match self {
            Self::Coded {
                status,
                code,
                message,
                details,
            } => (
                status,
                Json(Coded {
                    code,
                    message,
                    details,
                }),
            )
                .into_response(),
            Self::Failed(refusal, code) => {
                let mut response = refusal.into_response();
                if is_worth_repeating(code) {
                    response
                        .headers_mut()
                        .insert(header::RETRY_AFTER, RETRY_AFTER);
                }
                response.extensions_mut().insert(code);
                response
            }
            Self::Faults(detail) => {
                (StatusCode::UNPROCESSABLE_ENTITY, Json(Detail { detail })).into_response()
            }
            Self::Detail(status, detail) => (status, Json(Detail { detail })).into_response(),
        }
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn times_are_written_as_python_wrote_them() {
        let of = |at| timestamp(at).unwrap();
        assert_eq!(
            of(datetime!(2026-11-24 22:57:17.496159 UTC)),
            "2026-11-24T22:57:17.496159+00:00"
        );
        assert_eq!(
            of(datetime!(2026-11-24 22:57:17 UTC)),
            "2026-11-24T22:57:17+00:00"
        );
        assert_eq!(
            of(datetime!(2026-11-25 00:57:17.5 +2)),
            "2026-11-24T22:57:17.500000+00:00"
        );
    }
}
