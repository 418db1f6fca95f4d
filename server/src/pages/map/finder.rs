//! Where a network of a size would fit: a row for each prefix length, a chip for each network of it, in address order.

use ipam_shared::cidr::Cidr;

use super::look::Look;
use crate::domain::map::FINDER_BITS;

/// One prefix length.
#[derive(Debug)]
pub(in crate::pages) struct Line {
    pub(in crate::pages) prefix_length: u8,
    /// Free networks of that length, and all.
    pub(in crate::pages) free: usize,
    pub(in crate::pages) all: usize,
    pub(in crate::pages) chips: Vec<Chip>,
}

/// Neighbouring networks of one length that are alike, or one that is free.
#[derive(Debug, PartialEq)]
pub(in crate::pages) struct Chip {
    /// From the left, and how wide, in percent.
    pub(in crate::pages) x: String,
    pub(in crate::pages) width: String,
    pub(in crate::pages) kind: &'static str,
    /// The network and where it leads, if it is free.
    pub(in crate::pages) link: Option<(Cidr, String)>,
}

/// The lines of a window with these free networks. `longest` is the longest prefix that can be had.
pub(in crate::pages) fn lines(window: Cidr, free: &[Cidr], longest: u8, look: &Look) -> Vec<Line> {
    // Most chips of a row, as a power of two.
    let last = longest.min(window.prefix_length().saturating_add(FINDER_BITS));
    let mut lines: Vec<_> = (window.prefix_length()..=last)
        .map(|length| line(window, free, length, look))
        .collect();
    // Of lengths of which nothing is left, only the last one is worth a row.
    let full = lines.iter().take_while(|line| line.free == 0).count();
    lines.drain(..full.saturating_sub(1));
    lines
}

fn line(window: Cidr, free: &[Cidr], length: u8, look: &Look) -> Line {
    let all = 1_usize << (length - window.prefix_length());
    let bits = window.family().bits() - length;
    let networks = (0..all as u128).map(|index| {
        let first = window.number() + (index << bits);
        Cidr::from_number(window.family(), first, length)
    });
    let mut chips: Vec<(usize, usize, &'static str, Option<Cidr>)> = Vec::new();
    let mut count = 0;
    for (index, network) in networks.enumerate() {
        let from = free.partition_point(|gap| gap.last() < network.first());
        let kind = match free.get(from).filter(|gap| gap.overlaps(network)) {
            Some(gap) if gap.contains(network) => "open",
            Some(_) => "part",
            None => "taken",
        };
        if kind == "open" {
            count += 1;
            chips.push((index, 1, kind, Some(network)));
            continue;
        }
        match chips.last_mut() {
            Some((_, wide, before, None)) if *before == kind => *wide += 1,
            _ => chips.push((index, 1, kind, None)),
        }
    }
    #[expect(clippy::cast_precision_loss, reason = "at most 64")]
    let percent = |part: usize| format!("{:.3}%", part as f64 * 100.0 / all as f64);
    let chips = chips.into_iter().map(|(index, wide, kind, network)| Chip {
        x: percent(index),
        width: percent(wide),
        kind,
        link: network.map(|network| (network, look.with(|look| look.pick = Some(network)))),
    });
    Line {
        prefix_length: length,
        free: count,
        all,
        chips: chips.collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::look::Query, *};

    fn cidr(text: &str) -> Cidr {
        text.parse().unwrap()
    }

    #[test]
    fn free_networks_are_counted_by_every_length() {
        let look = Look::new("/m".to_owned(), Query::default()).unwrap();
        let free = [cidr("10.0.0.0/26"), cidr("10.0.0.128/25")];
        let lines = lines(cidr("10.0.0.0/24"), &free, 28, &look);
        let counts: Vec<_> = lines
            .iter()
            .map(|line| (line.prefix_length, line.free, line.all))
            .collect();
        assert_eq!(
            counts,
            [(24, 0, 1), (25, 1, 2), (26, 3, 4), (27, 6, 8), (28, 12, 16)]
        );
        let kinds: Vec<_> = lines[2].chips.iter().map(|chip| chip.kind).collect();
        assert_eq!(kinds, ["open", "taken", "open", "open"]);
        let (network, href) = lines[1].chips[1].link.clone().unwrap();
        assert_eq!(
            (network, href.as_str()),
            (cidr("10.0.0.128/25"), "/m?pick=10.0.0.128/25")
        );
        assert_eq!(lines[1].chips[0].kind, "part");
    }

    #[test]
    fn a_full_window_has_one_line() {
        let look = Look::new("/m".to_owned(), Query::default()).unwrap();
        let lines = lines(cidr("2001:db8::/32"), &[], 64, &look);
        assert_eq!(lines.len(), 1);
        assert_eq!(
            (lines[0].prefix_length, lines[0].free, lines[0].chips.len()),
            (38, 0, 1)
        );
    }
}
