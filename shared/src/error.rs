//! The body of every refusal (RFC 9457), and the codes that programs may rely on.

use serde::{Deserialize, Serialize};

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $status:literal, $title:literal;)+) => {
        /// What went wrong, for programs. Codes are stable; the words around them are not.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum Code {
            $($(#[$doc])* #[serde(rename = $text)] $name,)+
        }

        impl Code {
            /// Every code.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// The code as written in a body.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text),+ }
            }

            /// The HTTP status that goes with it.
            pub fn status(self) -> u16 {
                match self { $(Self::$name => $status),+ }
            }

            /// A short sentence that is the same for every problem with this code.
            pub fn title(self) -> &'static str {
                match self { $(Self::$name => $title),+ }
            }
        }
    };
}

codes! {
    /// The request can't be understood, or breaks a rule that does not depend on what is stored; `details.field` says which
    /// field is wrong, if it is one.
    InvalidRequest = "invalid_request", 400, "The request is not valid";
    /// No key, or one that is not known.
    Unauthorized = "unauthorized", 401, "A valid API key is needed";
    /// The key does not allow it: a role is missing, or it is outside of the limits; or a form of the dashboard is not of this
    /// session.
    Forbidden = "forbidden", 403, "This key may not do that";
    /// It does not exist, and nothing ever had that id; `details.field` says which field names it, if one does.
    NotFound = "not_found", 404, "Not found";
    /// The path exists, the method does not.
    MethodNotAllowed = "method_not_allowed", 405, "The method is not allowed here";
    /// It existed and was deleted; `details` says when and by whom.
    Gone = "gone", 410, "It was deleted";
    /// The name is taken by something that was requested differently.
    NameTaken = "name_taken", 409, "The name is taken";
    /// Another token has a secret with the same public id; no two tokens share one.
    SecretTaken = "secret_taken", 409, "Another token has this secret";
    /// Another owner has confirmed it; `details.import_id` says how to take it over.
    Claimed = "claimed", 409, "It belongs to somebody else";
    /// The requested CIDR, or a part of it, is not free; `details.conflicts` names who has it.
    Overlap = "overlap", 409, "The range is not free";
    /// Records of an import are in conflict with each other or with what exists; `details` names all of them.
    ImportConflict = "import_conflict", 409, "The file can't be imported as it is";
    /// No free block is large enough; `details.pools` says what is left.
    PoolExhausted = "pool_exhausted", 409, "No space is left";
    /// A quota of the token is used up; `details.quotas` says which, and how far.
    QuotaExceeded = "quota_exceeded", 409, "A quota is used up";
    /// It is used by something else; `details` names the users.
    InUse = "in_use", 409, "It is in use";
    /// Deletion protection must be switched off first.
    DeletionProtected = "deletion_protected", 409, "It is protected from deletion";
    /// The same Idempotency-Key came with another request.
    IdempotencyKeyReused = "idempotency_key_reused", 422, "The Idempotency-Key belongs to another request";
    /// If-Match does not match: it was changed in between.
    Stale = "stale", 412, "It was changed in between";
    /// The server makes no change without If-Match.
    PreconditionRequired = "precondition_required", 428, "The change needs If-Match";
    /// The caller, or its address, made more requests than it may; try again after `Retry-After` seconds.
    RateLimited = "rate_limited", 429, "Too many requests";
    /// The body is too large.
    BodyTooLarge = "body_too_large", 413, "The body is too large";
    /// The body is not JSON by its content type.
    UnsupportedMediaType = "unsupported_media_type", 415, "The body must be JSON";
    /// A bug in the server.
    Internal = "internal", 500, "The server failed";
    /// The database can't be reached, or is too busy; try again after `Retry-After` seconds.
    Unavailable = "unavailable", 503, "The service is not available at the moment";
    /// The server is overloaded, and the request was not started; try again after `Retry-After` seconds.
    Overloaded = "overloaded", 503, "The server is overloaded";
    /// The database was restored from a backup, and hands out no space until an operator has reconciled it.
    Restored = "restored", 503, "The database was restored and is not reconciled yet";
    /// The outcome is not known: repeat the same request, which is safe.
    UnknownOutcome = "unknown_outcome", 504, "The outcome is not known";
}

/// A refusal, as `application/problem+json` (RFC 9457).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Problem {
    /// Stable URI of the kind of problem.
    #[serde(rename = "type")]
    pub type_uri: String,
    /// Short, the same for every problem of this kind.
    pub title: String,
    /// HTTP status.
    pub status: u16,
    /// What went wrong, for programs.
    pub code: Code,
    /// What happened, why, and what to do, for people.
    pub detail: String,
    /// Finds the request in the server's log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// More for programs; its shape depends on the code.
    #[serde(default, skip_serializing_if = "serde_json::Value::is_null")]
    pub details: serde_json::Value,
}

impl Problem {
    /// A problem of that kind.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self {
            type_uri: format!("urn:ipam:problem:{}", code.as_str()),
            title: code.title().to_owned(),
            status: code.status(),
            code,
            detail: detail.into(),
            request_id: None,
            details: serde_json::Value::Null,
        }
    }
}

// By hand, since utoipa ignores names that come from a macro and would spell the codes as Rust does.
#[cfg(feature = "openapi")]
mod schema {
    use utoipa::{
        PartialSchema, ToSchema,
        openapi::{ObjectBuilder, RefOr, Schema, schema::Type},
    };

    use super::Code;

    impl ToSchema for Code {}

    impl PartialSchema for Code {
        fn schema() -> RefOr<Schema> {
            ObjectBuilder::new()
                .schema_type(Type::String)
                .description(Some(
                    "What went wrong, for programs. Codes are stable; the words around them are not.",
                ))
                .enum_values(Some(Code::ALL.iter().map(|code| code.as_str())))
                .into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_on_the_wire_is_the_code_in_the_table() {
        for code in Code::ALL {
            assert_eq!(serde_json::to_value(code).unwrap(), code.as_str());
            assert!((400..600).contains(&code.status()));
        }
    }
}
