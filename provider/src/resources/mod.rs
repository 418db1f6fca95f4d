//! Resources, a file per noun.

pub(crate) mod allocation;
