//! Functions: sizing without a server, for expressions that need a number before anything is allocated.

pub(crate) mod prefix_for_hosts;
pub(crate) mod usable_hosts;
