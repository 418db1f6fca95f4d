//! Functions: arithmetic on networks and sizes without a server, for expressions that need it before anything is
//! allocated. IPv4 and IPv6.
//!
//! Unknown values never get here: Terraform returns an unknown result itself, and refuses null. A null inside a list does
//! get here, and is refused because it is not a network.

pub(crate) mod argument;
pub(crate) mod contains;
pub(crate) mod nth_block;
pub(crate) mod overlaps;
pub(crate) mod prefix_for_hosts;
pub(crate) mod split;
pub(crate) mod subtract;
pub(crate) mod summarize;
pub(crate) mod usable_hosts;

use tfplugin::Function;

/// All functions.
pub(crate) fn all() -> Vec<Box<dyn Function>> {
    vec![
        Box::new(contains::Contains),
        Box::new(nth_block::NthBlock),
        Box::new(overlaps::Overlaps),
        Box::new(prefix_for_hosts::PrefixForHosts),
        Box::new(split::Split),
        Box::new(subtract::Subtract),
        Box::new(summarize::Summarize),
        Box::new(usable_hosts::UsableHosts),
    ]
}
