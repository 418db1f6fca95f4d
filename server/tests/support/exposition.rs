//! A strict reader of what `/metrics` answers (text format 0.0.4): whatever Prometheus would refuse or misread panics.

use std::collections::{BTreeMap, BTreeSet};

/// One value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Sample {
    pub(crate) name: String,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) value: f64,
}

/// A metric with all its samples.
#[derive(Clone, Debug)]
pub(crate) struct Family {
    pub(crate) kind: String,
    pub(crate) samples: Vec<Sample>,
}

/// All metrics by name.
#[derive(Clone, Debug)]
pub(crate) struct Exposition(pub(crate) BTreeMap<String, Family>);

impl Exposition {
    /// Reads and checks.
    pub(crate) fn parse(text: &str) -> Self {
        assert!(text.ends_with('\n'), "the last line is not whole");
        let mut families = BTreeMap::new();
        let mut current: Option<(String, Family)> = None;
        let mut lines = text.lines().peekable();
        while let Some(line) = lines.next() {
            if let Some(help) = line.strip_prefix("# HELP ") {
                let (name, help) = help.split_once(' ').expect("help has words");
                assert!(!help.trim().is_empty() && !help.ends_with('.'), "{line}");
                let kind = lines.next().and_then(|line| {
                    line.strip_prefix(&format!("# TYPE {name} "))
                        .map(str::to_owned)
                });
                let kind = kind.unwrap_or_else(|| panic!("no type after {line}"));
                assert!(["counter", "gauge", "histogram"].contains(&kind.as_str()));
                assert_eq!(
                    kind == "counter",
                    name.ends_with("_total"),
                    "{name}: {kind}"
                );
                let samples = Vec::new();
                keep(
                    &mut families,
                    current.replace((name.to_owned(), Family { kind, samples })),
                );
                continue;
            }
            let sample = sample(line);
            let (name, family) = current.as_mut().expect("a sample follows its type");
            let is_its = if family.kind == "histogram" {
                ["_bucket", "_sum", "_count"]
                    .iter()
                    .any(|end| sample.name == format!("{name}{end}"))
            } else {
                sample.name == *name
            };
            assert!(is_its, "{line} does not belong to {name}");
            family.samples.push(sample);
        }
        keep(&mut families, current);
        Self(families)
    }

    /// The value of a sample with exactly these labels.
    #[track_caller]
    pub(crate) fn value(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.find(name, labels)
            .unwrap_or_else(|| panic!("no {name} {labels:?}"))
    }

    pub(crate) fn find(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let labels: BTreeMap<_, _> = labels
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect();
        self.samples()
            .find(|sample| sample.name == name && sample.labels == labels)
            .map(|sample| sample.value)
    }

    pub(crate) fn samples(&self) -> impl Iterator<Item = &Sample> {
        self.0.values().flat_map(|family| &family.samples)
    }

    /// Names as queries use them, with the ends of histograms.
    pub(crate) fn names(&self) -> BTreeSet<String> {
        self.samples().map(|sample| sample.name.clone()).collect()
    }
}

fn keep(families: &mut BTreeMap<String, Family>, done: Option<(String, Family)>) {
    let Some((name, family)) = done else { return };
    assert!(!family.samples.is_empty(), "{name} has no samples");
    let mut seen = BTreeSet::new();
    for sample in &family.samples {
        let identity = format!("{} {:?}", sample.name, sample.labels);
        assert!(seen.insert(identity), "twice: {sample:?}");
        assert!(family.kind == "gauge" || sample.value >= 0.0, "{sample:?}");
    }
    if family.kind == "histogram" {
        check_histogram(&name, &family);
    }
    assert!(
        families.insert(name.clone(), family).is_none(),
        "{name} is there twice"
    );
}

/// Buckets grow with their bounds, and the last one holds all.
fn check_histogram(name: &str, family: &Family) {
    let mut by_labels: BTreeMap<_, Vec<(f64, f64)>> = BTreeMap::new();
    for sample in &family.samples {
        if let Some(bound) = sample.labels.get("le") {
            let mut labels = sample.labels.clone();
            labels.remove("le");
            let bound = number(bound);
            by_labels
                .entry(labels)
                .or_default()
                .push((bound, sample.value));
        }
    }
    assert!(!by_labels.is_empty(), "{name} has no buckets");
    for (labels, buckets) in by_labels {
        assert!(
            buckets.is_sorted_by(|a, b| a.0 < b.0 && a.1 <= b.1),
            "{name}: {buckets:?}"
        );
        let last = buckets.last().expect("there are buckets");
        assert_eq!(last.0, f64::INFINITY, "{name}");
        let count = family
            .samples
            .iter()
            .find(|sample| sample.name == format!("{name}_count") && sample.labels == labels);
        assert_eq!(
            count.map(|sample| sample.value),
            Some(last.1),
            "{name} {labels:?}"
        );
    }
}

fn sample(line: &str) -> Sample {
    let end = line
        .find(['{', ' '])
        .unwrap_or_else(|| panic!("no sample: {line}"));
    let (name, mut rest) = line.split_at(end);
    check_name(name);
    let mut labels = BTreeMap::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        loop {
            let (key, after) = rest.split_once("=\"").expect("a label has a value");
            check_name(key);
            let (value, after) = quoted(after);
            assert!(
                labels.insert(key.to_owned(), value).is_none(),
                "twice: {line}"
            );
            match after.strip_prefix(',') {
                Some(more) => rest = more,
                None => {
                    rest = after.strip_prefix('}').expect("labels end with a brace");
                    break;
                }
            }
        }
    }
    let value = rest.strip_prefix(' ').expect("a space before the value");
    Sample {
        name: name.to_owned(),
        labels,
        value: number(value),
    }
}

/// The text up to the closing quote, and what is behind it.
fn quoted(text: &str) -> (String, &str) {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((place, char)) = chars.next() {
        match char {
            '"' => return (value, &text[place + 1..]),
            '\\' => value.push(match chars.next().expect("something is escaped").1 {
                'n' => '\n',
                char @ ('\\' | '"') => char,
                other => panic!("\\{other} is no escape: {text}"),
            }),
            char => value.push(char),
        }
    }
    panic!("no closing quote: {text}")
}

fn check_name(name: &str) {
    let is_right = name.starts_with(|char: char| char.is_ascii_lowercase())
        && name
            .chars()
            .all(|char| char.is_ascii_lowercase() || char.is_ascii_digit() || char == '_');
    assert!(is_right, "{name:?} is no name");
}

fn number(text: &str) -> f64 {
    match text {
        "+Inf" => f64::INFINITY,
        text => text
            .parse()
            .ok()
            .filter(|number: &f64| number.is_finite())
            .unwrap_or_else(|| panic!("{text:?} is no number")),
    }
}
