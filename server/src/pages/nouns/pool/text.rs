//! What belongs to pools only, as people write and read it.

use std::collections::BTreeMap;

use ipam_shared::{
    api::pool::{RequiredLabels, Strategy},
    cidr::Family,
};

use crate::pages::{
    duration::{in_words, seconds},
    form::Reader,
};

pub(super) fn strategy(strategy: Strategy) -> &'static str {
    match strategy {
        Strategy::BestFit => "best fit: the smallest free block that is large enough",
        Strategy::FirstFit => "first fit: the lowest address",
        Strategy::LastFit => "last fit: the highest address",
        Strategy::Sparse => "sparse: room to grow beside each block",
    }
}

pub(super) fn read_strategy(form: &mut Reader<'_>) -> Strategy {
    let chosen = form.input.get("strategy");
    if chosen.is_empty() {
        return Strategy::default();
    }
    let found = Strategy::ALL.into_iter().find(|it| it.as_str() == chosen);
    found.unwrap_or_else(|| {
        form.wrong("strategy", "choose one of these strategies");
        Strategy::default()
    })
}

pub(super) fn family(form: &mut Reader<'_>) -> Option<Family> {
    match form.input.get("family") {
        "" => None,
        "ipv4" => Some(Family::Ipv4),
        "ipv6" => Some(Family::Ipv6),
        _ => {
            form.wrong("family", "choose IPv4 or IPv6");
            None
        }
    }
}

/// Prefix lengths of ranges to be cut from the parent.
pub(super) fn cut(form: &mut Reader<'_>) -> Vec<u8> {
    let text = form.input.get("cut");
    let words = text.split([',', ' ', '\n']).map(str::trim);
    let lengths = words
        .filter(|word| !word.is_empty())
        .map(|word| word.trim_start_matches('/').parse());
    lengths.collect::<Result<_, _>>().unwrap_or_else(|_| {
        form.wrong(
            "cut",
            "write prefix lengths with commas between them, such as 20, 22",
        );
        Vec::new()
    })
}

pub(super) fn cooldown(seconds: u32) -> String {
    match seconds {
        0 => "none: released blocks are free at once".to_owned(),
        _ => in_words(seconds.into()),
    }
}

pub(super) fn read_cooldown(form: &mut Reader<'_>) -> u32 {
    match form.input.get("cooldown") {
        "" => 0,
        text => match seconds(text).map(u32::try_from) {
            Some(Ok(seconds)) => seconds,
            _ => {
                form.wrong(
                    "cooldown",
                    "write a time such as 30m, 12h or 7d, or a number of seconds",
                );
                0
            }
        },
    }
}

/// Required labels: a line per key.
pub(super) fn required_text(required: &RequiredLabels) -> String {
    let lines: Vec<_> = required
        .iter()
        .map(|(key, values)| match values.as_slice() {
            [] => key.clone(),
            values => format!("{key}={}", values.join(",")),
        })
        .collect();
    lines.join("\n")
}

pub(super) fn read_required(form: &mut Reader<'_>) -> RequiredLabels {
    let mut required = BTreeMap::new();
    for line in form.lines("required_labels").collect::<Vec<_>>() {
        let (key, values) = line.split_once('=').unwrap_or((line, ""));
        let values = values.split(',').map(str::trim);
        let values = values.filter(|value| !value.is_empty()).map(str::to_owned);
        let key = key.trim().to_owned();
        if required.insert(key.clone(), values.collect()).is_some() {
            form.wrong("required_labels", format!("the key {key} is there twice"));
        }
    }
    required
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pages::nouns::filled;

    #[test]
    fn required_labels_are_read_as_they_are_written() {
        let input = filled(&[("required_labels", " env = dev, prod \n\nteam\r\n")]);
        let mut form = Reader::new(&input);
        let required = read_required(&mut form);
        assert_eq!(required_text(&required), "env=dev,prod\nteam");
        assert!(form.problems.is_empty());
        let input = filled(&[("required_labels", "a\na=1")]);
        let mut form = Reader::new(&input);
        read_required(&mut form);
        assert!(!form.problems.is_empty());
    }
}
