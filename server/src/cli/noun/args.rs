//! Options that several nouns take.

use std::collections::BTreeMap;

use ipam_shared::{api::pool::RequiredLabels, labels::Labels};

use crate::cli::output::Failure;

/// The labels of something new.
#[derive(Clone, Debug, Default, clap::Args)]
pub(in crate::cli) struct NewLabels {
    /// A label; may be given several times
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = pair)]
    pub(in crate::cli) labels: Vec<(String, String)>,
}

impl NewLabels {
    /// Those that were given.
    pub(in crate::cli) fn labels(&self) -> Result<Labels, Failure> {
        labels(&self.labels)
    }
}

/// Changes of labels.
#[derive(Clone, Debug, Default, clap::Args)]
pub(in crate::cli) struct LabelChanges {
    /// Set a label; may be given several times
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = pair)]
    set: Vec<(String, String)>,
    /// Remove a label; may be given several times
    #[arg(long = "remove-label", value_name = "KEY")]
    remove: Vec<String>,
    /// Remove all labels that are not given with --label
    #[arg(long)]
    clear_labels: bool,
}

impl LabelChanges {
    /// All labels that something with these has afterwards; nothing, if they are not to be changed.
    pub(in crate::cli) fn applied(&self, labels: &Labels) -> Result<Option<Labels>, Failure> {
        if self.set.is_empty() && self.remove.is_empty() && !self.clear_labels {
            return Ok(None);
        }
        let kept = labels
            .iter()
            .filter(|(key, _)| !self.clear_labels && self.remove.iter().all(|it| it != key))
            .map(|(key, value)| (key.to_owned(), value.to_owned()));
        let mut after: BTreeMap<String, String> = kept.collect();
        after.extend(by_key(&self.set)?);
        checked(after).map(Some)
    }
}

/// What is given by key, each once: of two one would be lost silently.
fn by_key<V: Clone>(given: &[(String, V)]) -> Result<BTreeMap<String, V>, Failure> {
    let mut all = BTreeMap::new();
    for (key, value) in given {
        if all.insert(key.clone(), value.clone()).is_some() {
            return Err(Failure::Usage(format!(
                "the label {key:?} is given twice; give it once"
            )));
        }
    }
    Ok(all)
}

fn checked(labels: BTreeMap<String, String>) -> Result<Labels, Failure> {
    Labels::new(labels).map_err(|error| Failure::Usage(error.to_string()))
}

/// `KEY=VALUE`.
pub(in crate::cli) fn pair(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("write it as KEY=VALUE")?;
    Ok((key.to_owned(), value.to_owned()))
}

/// Labels from pairs.
pub(in crate::cli) fn labels(pairs: &[(String, String)]) -> Result<Labels, Failure> {
    checked(by_key(pairs)?)
}

/// `KEY`, `KEY=VALUE` or `KEY=VALUE|VALUE`.
pub(in crate::cli) fn required(text: &str) -> Result<(String, Vec<String>), String> {
    let (key, values) = match text.split_once('=') {
        Some((key, values)) => (key, values.split('|').map(str::to_owned).collect()),
        None => (text, Vec::new()),
    };
    match key {
        "" => Err("write it as KEY, KEY=VALUE or KEY=VALUE|VALUE".to_owned()),
        key => Ok((key.to_owned(), values)),
    }
}

/// Required labels from what was given.
pub(in crate::cli) fn required_labels(
    given: &[(String, Vec<String>)],
) -> Result<RequiredLabels, Failure> {
    by_key(given)
}

/// Who a listed thing was created for, and whether an owner has it.
#[derive(Clone, Debug, Default, clap::Args)]
pub(in crate::cli) struct OwnerFilter {
    /// Only what was created for this owner; empty for what was created for none
    #[arg(long, value_name = "TEXT")]
    pub(in crate::cli) owner: Option<String>,
    /// Only what an owner has confirmed (true), or only what none has (false)
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    pub(in crate::cli) confirmed: Option<bool>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_changed_one_by_one() {
        let labels = checked(BTreeMap::from([
            ("a".to_owned(), "1".to_owned()),
            ("b".to_owned(), "2".to_owned()),
        ]))
        .unwrap();
        let none = LabelChanges::default();
        assert_eq!(none.applied(&labels).unwrap(), None);
        let changes = LabelChanges {
            set: vec![pair("c=x=y").unwrap(), pair("b=3").unwrap()],
            remove: vec!["a".to_owned()],
            clear_labels: false,
        };
        let after = changes.applied(&labels).unwrap().unwrap();
        assert_eq!(after.iter().collect::<Vec<_>>(), [("b", "3"), ("c", "x=y")]);
        let cleared = LabelChanges {
            clear_labels: true,
            ..none
        };
        assert!(cleared.applied(&labels).unwrap().unwrap().is_empty());
    }

    #[test]
    fn a_label_that_is_given_twice_is_refused() {
        let twice = vec![pair("a=1").unwrap(), pair("a=2").unwrap()];
        let new = NewLabels {
            labels: twice.clone(),
        };
        let changes = LabelChanges {
            set: twice,
            ..LabelChanges::default()
        };
        let required = [required("a=1").unwrap(), required("a").unwrap()];
        for failure in [
            new.labels().unwrap_err(),
            changes.applied(&Labels::default()).unwrap_err(),
            required_labels(&required).unwrap_err(),
        ] {
            assert_eq!(failure.exit_code(), 2);
            assert!(
                failure.to_string().contains("\"a\" is given twice"),
                "{failure}"
            );
        }
    }

    #[test]
    fn required_labels_may_have_values() {
        assert_eq!(required("team"), Ok(("team".to_owned(), Vec::new())));
        let two = ("env".to_owned(), vec!["dev".to_owned(), "prod".to_owned()]);
        assert_eq!(required("env=dev|prod"), Ok(two));
        assert!(required("=x").is_err());
    }
}
