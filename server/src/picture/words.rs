//! Who has a network, in words.

use ipam_shared::cidr::Cidr;

use crate::{
    db::map::{Holder, Used},
    escape, text,
};

/// Blocks that a sentence names.
const NAMED: usize = 3;

/// Whose a block is.
pub(super) fn whose(holder: &Holder) -> String {
    match holder {
        Holder::Allocation { vpc, name, .. } => match name {
            Some(name) => format!("VPC {vpc}, {name}"),
            None => format!("VPC {vpc}"),
        },
        Holder::Reservation { reason, .. } => format!("reserved: {reason}"),
        Holder::Child { name, .. } => format!("pool {name}"),
        Holder::Cooling { until } => format!("cooling down until {}", text::moment(*until)),
        Holder::Other { reason } => reason.clone(),
    }
}

/// What a network is, from the blocks that overlap it; `more` if there are others.
pub(super) fn state(cidr: Cidr, used: &[Used], more: bool) -> String {
    let taken = |used: &Used| match &used.holder {
        Holder::Allocation { .. } => format!("allocated to {}", whose(&used.holder)),
        other => whose(other),
    };
    match used {
        [] => "free".to_owned(),
        [one] if one.cidr == cidr => taken(one),
        [one] if one.cidr.contains(cidr) => format!("part of {}, {}", one.cidr, taken(one)),
        [one] => format!("overlaps {} ({})", one.cidr, whose(&one.holder)),
        several => {
            let named: Vec<_> = several
                .iter()
                .take(NAMED)
                .map(|used| format!("{} ({})", used.cidr, whose(&used.holder)))
                .collect();
            let than = if more { "more than " } else { "" };
            let rest = if several.len() > NAMED { ", …" } else { "" };
            let (count, named) = (several.len(), named.join(", "));
            format!("overlaps {than}{count} blocks: {named}{rest}")
        }
    }
}

/// The same on one line, without what XML can't hold, and with the names of characters that would turn what follows.
pub(super) fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            c if c.is_whitespace() => plain.push(' '),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => plain.push('\u{fffd}'),
            c => match escape::named(c) {
                Some(name) => plain.push_str(&name),
                None => plain.push(c),
            },
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use ipam_shared::{ids::AllocationId, labels::Labels};
    use time::OffsetDateTime;

    use super::*;

    fn used(cidr: &str, name: Option<&str>) -> Used {
        Used {
            range: 1,
            cidr: cidr.parse().unwrap(),
            holder: Holder::Allocation {
                id: AllocationId(uuid::Uuid::nil()),
                vpc: "x".to_owned(),
                name: name.map(str::to_owned),
                labels: Labels::default(),
            },
            since: OffsetDateTime::UNIX_EPOCH,
        }
    }

    #[test]
    fn a_network_is_free_somebodys_or_partly_in_use() {
        let cidr: Cidr = "10.0.4.0/22".parse().unwrap();
        let all = used("10.0.4.0/22", Some("web"));
        let wide = used("10.0.0.0/20", None);
        let parts: Vec<_> = (4..8)
            .map(|n| used(&format!("10.0.{n}.0/24"), None))
            .collect();
        for (blocks, more, expected) in [
            (&[][..], false, "free"),
            (&[all][..], false, "allocated to VPC x, web"),
            (
                &[wide][..],
                false,
                "part of 10.0.0.0/20, allocated to VPC x",
            ),
            (&parts[..1], false, "overlaps 10.0.4.0/24 (VPC x)"),
            (
                &parts[..],
                false,
                "overlaps 4 blocks: 10.0.4.0/24 (VPC x), 10.0.5.0/24 (VPC x), 10.0.6.0/24 (VPC x), …",
            ),
            (
                &parts[..],
                true,
                "overlaps more than 4 blocks: 10.0.4.0/24 (VPC x), 10.0.5.0/24 (VPC x), 10.0.6.0/24 (VPC x), …",
            ),
        ] {
            assert_eq!(state(cidr, blocks, more), expected);
        }
    }

    #[test]
    fn text_of_others_is_one_line_in_one_direction() {
        assert_eq!(plain("a\u{202e}b\u{1}c\nd"), "a‹U+202E›b\u{fffd}c d");
    }
}
