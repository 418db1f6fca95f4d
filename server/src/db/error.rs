//! From a database error to ours, in one table: SQLSTATE and constraint name to [`Error`].
//!
//! Constraints that a request can hit have a row in [`CONSTRAINTS`]; those that only a bug can break are listed in
//! [`INTERNAL`], and a test reads the catalogue and fails when a constraint is in neither.

use std::borrow::Cow;

use crate::error::Error;

/// What a broken constraint means to the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// The name is taken; which one depends on the request.
    NameTaken,
    /// Another token has a secret with that public id.
    SecretTaken,
    /// The space was taken between the search and the insert. The pool lock rules this out for our own writers.
    Overlap,
    /// The other side of a reference was deleted, or is still used.
    InUse,
    /// The value breaks a rule that the request should have been checked for.
    Invalid,
}

/// Constraints that a request can hit, with what it means.
pub const CONSTRAINTS: &[(&str, Meaning)] = &[
    ("allocation_name_key", Meaning::NameTaken),
    ("vpc_name_key", Meaning::NameTaken),
    ("vrf_name_key", Meaning::NameTaken),
    ("pool_name_key", Meaning::NameTaken),
    ("profile_name_key", Meaning::NameTaken),
    ("token_name_key", Meaning::NameTaken),
    ("webhook_name_key", Meaning::NameTaken),
    ("token_public_id_key", Meaning::SecretTaken),
    ("idempotency_key_pkey", Meaning::NameTaken),
    ("block_no_overlap_excl", Meaning::Overlap),
    ("block_pkey", Meaning::Overlap),
    ("pool_range_no_overlap_excl", Meaning::Overlap),
    ("reservation_no_overlap_excl", Meaning::Overlap),
    ("allocation_vpc_fkey", Meaning::InUse),
    ("allocation_profile_fkey", Meaning::InUse),
    ("block_range_fkey", Meaning::InUse),
    ("block_reservation_fkey", Meaning::InUse),
    ("pool_vrf_fkey", Meaning::InUse),
    ("pool_parent_fkey", Meaning::InUse),
    ("reservation_vrf_fkey", Meaning::InUse),
    ("vpc_vrf_fkey", Meaning::InUse),
    ("pool_range_pool_fkey", Meaning::InUse),
    ("pool_range_parent_fkey", Meaning::InUse),
    ("pool_range_parent_block_fkey", Meaning::InUse),
    ("pool_range_parent_pool_fkey", Meaning::InUse),
    ("profile_member_profile_fkey", Meaning::InUse),
    // Its token was revoked meanwhile.
    ("session_token_fkey", Meaning::InUse),
    // Their webhook was deleted meanwhile.
    ("webhook_secret_webhook_fkey", Meaning::InUse),
    ("webhook_delivery_webhook_fkey", Meaning::InUse),
    ("allocation_name_check", Meaning::Invalid),
    ("vpc_name_check", Meaning::Invalid),
    ("vrf_name_check", Meaning::Invalid),
    ("pool_name_check", Meaning::Invalid),
    ("profile_name_check", Meaning::Invalid),
    ("token_name_check", Meaning::Invalid),
    ("webhook_name_check", Meaning::Invalid),
    ("reservation_reason_check", Meaning::Invalid),
];

/// Constraints that only a bug of ours, or manual changes with psql, can break: their violation is an internal error.
pub const INTERNAL: &[&str] = &[
    "address_plan_pkey",
    "address_plan_singleton_check",
    "allocation_labels_check",
    "allocation_members_check",
    "allocation_number_key",
    "allocation_owner_check",
    "allocation_pkey",
    "allocation_prefix_length_check",
    "allocation_prefix_length_key",
    "allocation_request_check",
    "allocation_requested_check",
    "block_allocation_fkey",
    "block_child_range_owner",
    "block_in_range_check",
    "block_member_fkey",
    "block_member_key",
    "block_owner_check",
    "block_size_check",
    "cooldown_block_fkey",
    "cooldown_pkey",
    "event_action_check",
    "event_detail_check",
    "event_pkey",
    "event_seal_digest_check",
    "event_seal_events_check",
    "event_seal_last_event_key",
    "event_seal_pkey",
    "event_source_check",
    "free_block_host_bits_check",
    "free_block_pkey",
    "free_block_range_fkey",
    "free_count_blocks_check",
    "free_count_pkey",
    "free_count_range_fkey",
    "idempotency_key_fingerprint_check",
    "idempotency_key_length_check",
    "origin_pkey",
    "origin_singleton_check",
    "past_block_owner_check",
    "past_block_pkey",
    "past_block_time_check",
    "pool_bounds_check",
    "pool_family_check",
    "pool_identity_key",
    "pool_labels_check",
    "pool_owner_check",
    "pool_parent_check",
    "pool_parent_key",
    "pool_pkey",
    "pool_range_child_pool_fkey",
    "pool_range_cidr_key",
    "pool_range_family_check",
    "pool_range_ipv6_length_check",
    "pool_range_parent_block_key",
    "pool_range_parent_block_owner",
    "pool_range_parent_check",
    "pool_range_parents_check",
    "pool_range_pkey",
    "pool_range_pool_key",
    "pool_range_vrf_key",
    "pool_release_cooldown_check",
    "pool_required_labels_check",
    "pool_reserved_addresses_check",
    "pool_strategy_check",
    "profile_member_bounds_check",
    "profile_member_pkey",
    "profile_member_pool_name_check",
    "profile_member_position_check",
    "profile_member_position_key",
    "profile_member_role_check",
    "profile_member_role_key",
    "profile_member_rules_key",
    "profile_owner_check",
    "profile_pkey",
    "reservation_labels_check",
    "reservation_owner_check",
    "reservation_pkey",
    "session_holder_check",
    "session_mac_check",
    "session_mac_key",
    "session_pkey",
    "session_user_agent_check",
    "token_admin_check",
    "token_limits_check",
    "token_mac_check",
    "token_owner_check",
    "token_pkey",
    "token_public_id_check",
    "token_quotas_check",
    "token_roles_check",
    "vpc_labels_check",
    "vpc_owner_check",
    "vpc_pkey",
    "vrf_labels_check",
    "vrf_owner_check",
    "vrf_pkey",
    "webhook_actions_check",
    "webhook_batch_size_check",
    "webhook_delivery_attempts_check",
    "webhook_delivery_error_check",
    "webhook_delivery_holder_check",
    "webhook_delivery_pkey",
    "webhook_delivery_position_check",
    "webhook_owner_check",
    "webhook_pkey",
    "webhook_secret_in_use_key",
    "webhook_secret_pkey",
    "webhook_url_check",
];

/// What the broken constraint means, if a constraint that a request can hit was broken.
pub fn meaning(error: &sqlx::Error) -> Option<Meaning> {
    let name = error.as_database_error()?.constraint()?;
    CONSTRAINTS
        .iter()
        .find(|(constraint, _)| *constraint == name)
        .map(|(_, meaning)| *meaning)
}

/// The SQLSTATE, if the database said anything.
fn code(error: &sqlx::Error) -> Option<Cow<'_, str>> {
    error.as_database_error()?.code()
}

/// Whether the statement lost a race that a second attempt wins: a deadlock, a serialisation failure, a lock that took too
/// long, or a row that another transaction inserted first.
pub fn is_race(error: &sqlx::Error) -> bool {
    matches!(
        code(error).as_deref(),
        Some("40001" | "40P01" | "55P03" | "23505" | "23P01" | "23503")
    )
}

/// Whether another transaction held a lock for longer than a request waits.
pub fn is_lock_timeout(error: &sqlx::Error) -> bool {
    code(error).as_deref() == Some("55P03")
}

/// Whether it took as long as a request may wait, so that retrying is pointless: for a lock, a connection or an answer.
pub fn is_slow(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed => true,
        sqlx::Error::Io(error) => error.kind() == std::io::ErrorKind::TimedOut,
        error => is_lock_timeout(error),
    }
}

/// Whether the connection, not the statement, failed.
pub fn is_connection(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed => true,
        sqlx::Error::WorkerCrashed | sqlx::Error::Protocol(_) => true,
        // 08: connection exception; 57P: the server is shutting down, crashed or starting; 53300: too many connections;
        // 25006: a standby, which takes no writes.
        sqlx::Error::Database(error) => error.code().is_some_and(|code| {
            code.starts_with("08") || code.starts_with("57P") || code == "53300" || code == "25006"
        }),
        _ => false,
    }
}

/// Whether the database is a standby, which takes no writes.
pub fn is_read_only(error: &sqlx::Error) -> bool {
    code(error).as_deref() == Some("25006")
}

/// Whether it is unknown if a statement committed. One that a standby or a full server refused has not.
pub fn is_unknown(error: &sqlx::Error) -> bool {
    is_connection(error) && !matches!(code(error).as_deref(), Some("25006" | "53300"))
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        if is_connection(&error) {
            return Self::Unavailable(
                "the database can't be reached at the moment; try again",
                Some(error),
            );
        }
        // 53: insufficient resources, such as a full disk; 58030: the disk failed.
        if code(&error).is_some_and(|code| code.starts_with("53") || code == "58030") {
            return Self::Unavailable(
                "the database has run out of disk space or memory, and can't save anything until its operator makes room; \
                 nothing was changed",
                Some(error),
            );
        }
        // 22021: a text that the encoding can't hold, which after the checks of UTF-8 is one with a NUL character.
        if code(&error).as_deref() == Some("22021") {
            return Self::invalid("a text of the request contains a NUL character");
        }
        match meaning(&error) {
            Some(Meaning::NameTaken) => Self::NameTaken {
                message: "the name is taken; choose another one".to_owned(),
                import_id: None,
            },
            Some(Meaning::SecretTaken) => Self::SecretTaken,
            Some(Meaning::Overlap) => Self::Overlap {
                message: "somebody else took that range at the same moment; repeat the request".to_owned(),
                conflicts: Vec::new(),
            },
            Some(Meaning::InUse) => Self::InUse {
                message: "something that it refers to was deleted, or it is used by something else; look again and \
                          repeat the request"
                    .to_owned(),
                users: 0,
            },
            Some(Meaning::Invalid) => Self::invalid("the database refused a value of the request"),
            None if is_race(&error) => {
                Self::Unavailable("too many requests want the same rows at the moment; try again", Some(error))
            }
            None => Self::Internal(error.into()),
        }
    }
}
