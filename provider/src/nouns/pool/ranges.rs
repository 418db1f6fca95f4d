//! Ranges by size: which stay, and which are missing. Arithmetic only.

use ipam_shared::cidr::Cidr;
use tfplugin::{Diagnostic, Field, Result, Text, Value};

/// How ranges become those of the wanted sizes.
#[derive(Debug, PartialEq)]
pub(super) struct BySize {
    pub(super) kept: Vec<Cidr>,
    /// Whether any is removed.
    pub(super) removes: bool,
    /// Prefix lengths of those that are to be cut.
    pub(super) added: Vec<u8>,
}

pub(super) fn by_size(mut ranges: Vec<Cidr>, wanted: &[u8]) -> BySize {
    ranges.sort_unstable_by_key(|range| range.number());
    let count = ranges.len();
    let mut added = wanted.to_vec();
    // In address order, so that those with the highest addresses are the surplus ones.
    ranges.retain(|range| {
        let wanting = added
            .iter()
            .position(|length| *length == range.prefix_length());
        wanting.map(|index| added.remove(index)).is_some()
    });
    BySize {
        removes: ranges.len() < count,
        kept: ranges,
        added: sorted(added),
    }
}

/// Prefix lengths, the largest range first.
pub(super) fn lengths(ranges: &[Cidr]) -> Vec<u8> {
    sorted(ranges.iter().map(|range| range.prefix_length()).collect())
}

pub(super) fn sorted(mut lengths: Vec<u8>) -> Vec<u8> {
    lengths.sort_unstable();
    lengths
}

/// Refuses ranges and sizes of ranges that are not the same, in a configuration that gives both, as generated ones do.
/// Their order does not matter.
pub(super) fn check_agreement(config: &Value) -> Result<()> {
    let ranges: Field<Vec<Text<Cidr>>> = config.attribute("ranges")?;
    let sizes: Field<Vec<u8>> = config.attribute("range_prefix_lengths")?;
    let (Field::Known(ranges), Field::Known(sizes)) = (ranges, sizes) else {
        return Ok(());
    };
    let of_ranges = lengths(&ranges.iter().map(|Text(cidr)| *cidr).collect::<Vec<_>>());
    let sizes = sorted(sizes);
    if of_ranges == sizes {
        return Ok(());
    }
    Err(Diagnostic::error(
        "The ranges disagree",
        format!(
            "ranges has {}, and range_prefix_lengths asks for {}. Leave one of them out: ranges says which networks they \
             are, range_prefix_lengths has them cut from the parent.",
            listed(&of_ranges),
            listed(&sizes)
        ),
    )
    .at("range_prefix_lengths")
    .into())
}

/// Prefix lengths, for a sentence.
fn listed(lengths: &[u8]) -> String {
    let texts: Vec<String> = lengths.iter().map(|length| format!("/{length}")).collect();
    match texts.as_slice() {
        [] => "none".to_owned(),
        [one] => one.clone(),
        [all @ .., last] => format!("{} and {last}", all.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_a_multiset_and_the_highest_goes_first() {
        let ranges =
            |all: &[&str]| -> Vec<Cidr> { all.iter().map(|text| text.parse().unwrap()).collect() };
        let before = || ranges(&["10.8.0.0/20", "10.0.0.0/20", "10.4.0.0/22"]);
        let same = by_size(before(), &[22, 20, 20]);
        assert_eq!((same.removes, same.added), (false, vec![]));
        let fewer = by_size(before(), &[20, 22]);
        assert_eq!(fewer.kept, ranges(&["10.0.0.0/20", "10.4.0.0/22"]));
        assert_eq!((fewer.removes, fewer.added), (true, vec![]));
        let other = by_size(before(), &[24, 20, 23, 22]);
        assert_eq!(other.kept, ranges(&["10.0.0.0/20", "10.4.0.0/22"]));
        assert_eq!((other.removes, other.added), (true, vec![23, 24]));
        let first = by_size(Vec::new(), &[20]);
        assert_eq!((first.removes, first.added), (false, vec![20]));
    }
}
