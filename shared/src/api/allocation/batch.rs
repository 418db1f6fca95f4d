//! Several requests at once.

use serde::{Deserialize, Serialize};

use super::{Allocation, request::NewAllocation};
use crate::{api::or_else, error::Problem};

/// Most requests in a batch.
pub const MAX_BATCH: usize = 1000;

/// Several requests at once: `POST /api/v1/allocations/batch`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct NewBatch {
    /// 1 to 1,000 requests, each as for `POST /api/v1/allocations`.
    pub requests: Vec<NewAllocation>,
    /// All or nothing; if false, each on its own.
    #[serde(default = "yes", deserialize_with = "or_yes")]
    pub atomic: bool,
    /// Return what would be allocated, without writing anything. Then no request may set its own.
    #[serde(default, deserialize_with = "crate::api::or_default")]
    pub dry_run: bool,
}

fn yes() -> bool {
    true
}

fn or_yes<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    or_else(deserializer, yes)
}

/// The outcome of a batch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Batch {
    /// How many requests got what they asked for.
    pub succeeded: usize,
    /// One per request, in their order.
    pub results: Vec<BatchResult>,
}

/// The outcome of one request of a batch: one of the two is present.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct BatchResult {
    /// The status that it would have had on its own.
    pub status: u16,
    /// What it got.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allocation: Option<Allocation>,
    /// Why it was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<Problem>,
}
