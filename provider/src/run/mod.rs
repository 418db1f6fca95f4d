//! What one run of Terraform remembers: a provider process serves one walk, and Terraform asks for one resource at a time.
//!
//! All of it needs only the client. How it is used while planning and applying is in `framework` and `nouns`.

pub(crate) mod ahead;
pub(crate) mod claims;
pub(crate) mod confirming;
pub(crate) mod key;
pub(crate) mod names;
pub(crate) mod notes;
pub(crate) mod previews;
pub(crate) mod roles;
pub(crate) mod taken;
