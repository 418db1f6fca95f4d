//! Data sources, a file per noun.

pub(crate) mod allocation;
pub(crate) mod pools;
