//! Bodies of requests and replies of `/api/v1`, a module per noun.
//!
//! An existing thing has the name of its noun (`Pool`); a creation is `New…`, and a change is `…Patch`. In a patch a
//! missing field means "leave it", and null is refused where the field must have a value. In requests, null stands for a
//! field that is not given, so that a null of a reply can be sent back. Unknown fields are refused everywhere, so that a
//! misspelt one is never silently ignored.

pub mod allocation;
pub mod event;
pub mod lookup;
pub mod ownership;
pub mod pool;
pub mod profile;
pub mod proof;
pub mod reservation;
pub mod token;
pub mod transfer;
pub mod vpc;
pub mod vrf;
pub mod webhook;

/// Name of the header with the [`crate::ids::Claim`] of what is read.
pub const CLAIM_HEADER: &str = "ipam-claim";
/// Name of the header that makes an unnamed creation idempotent.
pub const IDEMPOTENCY_HEADER: &str = "idempotency-key";
/// Longest Idempotency-Key, in bytes.
pub const MAX_IDEMPOTENCY_KEY: usize = 255;
/// Longest Idempotency-Key of a batch, in bytes: each of its requests gets one of its own, with its number appended.
pub const MAX_BATCH_IDEMPOTENCY_KEY: usize = 250;

/// The VRF that always exists.
pub const DEFAULT_VRF: &str = "default";

/// Reads a field of a request: null means the default, as if the field was missing.
fn or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: serde::Deserialize<'de> + Default,
{
    or_else(deserializer, T::default)
}

/// The same, with another default.
fn or_else<'de, D, T>(deserializer: D, default: fn() -> T) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: serde::Deserialize<'de>,
{
    let given: Option<T> = serde::Deserialize::deserialize(deserializer)?;
    Ok(given.unwrap_or_else(default))
}

/// Reads a field that is present in a patch: null, which would be taken for a missing field, is refused.
fn given<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: serde::Deserializer<'de>,
    T: serde::Deserialize<'de>,
{
    T::deserialize(deserializer).map(Some)
}

/// Reads a number of addresses. JSON has no limit for numbers but most readers turn large ones into floating point, so
/// that a reply that went through one of them is still understood; of 2^64 and more only the leading digits count.
fn addresses<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<u128, D::Error> {
    let number: serde_json::Number = serde::Deserialize::deserialize(deserializer)?;
    match (number.as_u64(), number.as_f64()) {
        (Some(exact), _) => Ok(exact.into()),
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "the cast saturates at both ends"
        )]
        (None, Some(rounded)) if rounded >= 0.0 => Ok(rounded as u128),
        _ => Err(serde::de::Error::custom("not a number of addresses")),
    }
}
