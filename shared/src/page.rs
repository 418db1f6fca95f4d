//! Cursor pages: a list is read in pieces, and items that are added meanwhile never make another appear twice.

use serde::{Deserialize, Serialize};

/// Default number of items on a page.
pub const DEFAULT_LIMIT: u16 = 100;
/// Maximum number of items on a page.
pub const MAX_LIMIT: u16 = 1000;

/// One piece of a list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Page<T> {
    /// The items, in the order of the list.
    pub items: Vec<T>,
    /// Pass it as `cursor` to get the next page; null on the last page.
    pub next_cursor: Option<String>,
}
