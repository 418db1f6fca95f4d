//! The networks of an allocation, for those who want nothing else.

use std::fmt::Write as _;

use ipam_shared::api::allocation::{Allocation, Block};

pub(super) fn networks(allocation: &Allocation, between: &str) -> String {
    let cidrs = allocation.blocks.iter().map(|block| block.cidr.to_string());
    cidrs.collect::<Vec<_>>().join(between)
}

pub(super) fn hcl_list(allocation: &Allocation) -> String {
    // A network needs no quoting but its quotes.
    let cidrs = allocation
        .blocks
        .iter()
        .map(|block| format!("\"{}\"", block.cidr));
    format!("[{}]", cidrs.collect::<Vec<_>>().join(", "))
}

/// A set for each family. Their names have nothing of what users typed but letters, digits and underscores.
pub(super) fn nft(allocation: &Allocation, label: &str) -> String {
    /// Old kernels have names of 31 characters at most.
    const LONGEST: usize = 24;
    let label = &label[..label.len().min(LONGEST)];
    let mut text = "table inet filter {\n".to_owned();
    for (family, kind, is_v6) in [("v4", "ipv4_addr", false), ("v6", "ipv6_addr", true)] {
        let of_family = |block: &&Block| block.cidr.first().is_ipv6() == is_v6;
        let blocks = allocation.blocks.iter().filter(of_family);
        let cidrs: Vec<_> = blocks.map(|block| block.cidr.to_string()).collect();
        if !cidrs.is_empty() {
            let _ = write!(
                text,
                "  set {label}_{family} {{\n    type {kind}\n    flags interval\n    elements = {{ {} }}\n  }}\n",
                cidrs.join(", ")
            );
        }
    }
    text.push_str("}\n");
    text
}
