//! Allocations: space for one user, which has a size and comes from somewhere.
//!
//! `resource` and `data_source` are what Terraform sees, `many` the data source of many. `request` says what blocks are cut
//! from, `misfit` whether the existing ones satisfy it, `size` and `agreement` how large they are, `foresight` what a plan
//! can know of a new one, and `naming` handles names.

mod agreement;
pub(crate) mod data_source;
mod excuse;
mod foresight;
mod import;
mod lookup;
pub(crate) mod many;
mod misfit;
pub(crate) mod model;
pub(crate) mod naming;
mod request;
pub(crate) mod resource;
mod schema;
mod size;
pub(crate) mod sizing;
