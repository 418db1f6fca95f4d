//! A noun as a data source of many: all of them, or those that match every given filter.
//!
//! The filters of the API have the same names here. Lists are read in pages of the maximum size, so that ten thousand items
//! take ten requests.

use std::{collections::BTreeMap, marker::PhantomData};

use ipam_client::{Client, Error};
use ipam_shared::labels::Labels;
use serde::de::DeserializeOwned;
use tfplugin::{
    Attribute, Context, DataSource, Diagnostic, FromValue, Path, Result, Schema, Value, async_trait,
};

use super::{
    attribute_spec::AttributeSpec,
    call::finish,
    fields::{Fields, body},
    labels,
};
use crate::connection::Connection;

/// What can be listed.
#[async_trait]
pub(crate) trait Listing: Send + Sync + 'static {
    /// Of the data source, such as `ipam_vrfs`.
    const TYPE: &'static str;
    /// The attribute with the results, which is also what they are called in a sentence, such as `pools`.
    const PLURAL: &'static str;
    /// What they are called in a sentence, such as `VRFs`.
    const WORDS: &'static str = Self::PLURAL;
    /// What is shown in addition to the resource's attributes, to complete "Lists VRFs".
    const WITH: &'static str = "";
    /// Whether they can have labels.
    const HAS_LABELS: bool = true;
    /// Whether the server can be asked for those with a label.
    const SERVER_KNOWS_LABELS: bool = false;

    /// The server's filter.
    type Filter: DeserializeOwned + Send + Sync;
    /// What it answers.
    type Found: Send + Sync;

    /// The filters of the API except `label`, and those of [`Listing::lets_through`].
    fn filters() -> Vec<AttributeSpec>;

    /// Which of the filters the server does not know.
    const OWN_FILTERS: &'static [&'static str] = &[];

    /// Whether it matches the filters that the server does not know.
    fn lets_through(_found: &Self::Found, _config: &Value) -> bool {
        true
    }

    /// All that match the server's filter.
    async fn all(
        client: &Client,
        filter: &Self::Filter,
    ) -> std::result::Result<Vec<Self::Found>, Error>;

    /// The labels of one, if it can have any.
    fn labels(_found: &Self::Found) -> Option<&Labels> {
        None
    }

    /// The attributes of each, computed.
    fn attributes() -> Vec<(&'static str, Attribute)>;

    /// One, as attributes.
    fn values(found: &Self::Found) -> Result<Value>;
}

/// The data source of many.
pub(crate) struct Listed<L>(PhantomData<fn() -> L>);

impl<L> Listed<L> {
    pub(crate) fn new() -> Self {
        Self(PhantomData)
    }
}

/// All filters: those of the noun, and those that everything with an owner has.
fn filters<L: Listing>() -> Vec<AttributeSpec> {
    let confirmed = Attribute::bool().optional();
    L::filters()
        .into_iter()
        .chain([
            by(
                "owner",
                "Only what was created for this owner, see the provider's `owner`; empty for what was created for none.",
            ),
            AttributeSpec::new(
                "confirmed",
                confirmed,
                "Only what an owner has confirmed (`true`), or only what none has (`false`), such as leftovers of an \
                 interrupted apply.",
                "",
            ),
        ])
        .collect()
}

/// A filter that takes a text.
pub(crate) fn by(name: &'static str, what: &'static str) -> AttributeSpec {
    AttributeSpec::new(name, Attribute::string().optional(), what, "")
}

/// A filter of that name whose text must be a `T`.
pub(crate) fn by_a<T: FromValue>(name: &'static str, what: &'static str) -> AttributeSpec {
    by(name, what).is::<T>()
}

/// Maximum size of the result, in bytes of JSON, which is more than what is sent. Terraform accepts 64 MiB in one message.
const MAX_BYTES: usize = 60 << 20;

/// Refuses a result for which Terraform would break the connection, with advice.
fn check_size(plural: &str, values: &[Value], most: usize) -> std::result::Result<(), Diagnostic> {
    let mut bytes = 0;
    for value in values {
        bytes += value.to_json().to_string().len();
        if bytes > most {
            let text = format!(
                "These are {} {plural}, which is more than Terraform accepts in one reply. Narrow them down with filters, \
                 in several data sources if need be.",
                values.len()
            );
            return Err(Diagnostic::error("The list is too long", text));
        }
    }
    Ok(())
}

/// The filter that only pools had before there was `labels`.
pub(crate) const LABEL: &str = "label";

fn wanted_labels(config: &Value) -> Result<BTreeMap<String, String>> {
    let mut wanted: BTreeMap<String, String> =
        config.attribute::<Option<_>>("labels")?.unwrap_or_default();
    if let Some(label) = config.attribute::<Option<String>>(LABEL)? {
        let (key, value) = key_value(&label)?;
        if wanted
            .insert(key.to_owned(), value.to_owned())
            .is_some_and(|other| other != value)
        {
            let text = format!("labels has another value for {key}.");
            return Err(Diagnostic::error("The label is given twice", text)
                .at(LABEL)
                .into());
        }
    }
    Ok(wanted)
}

fn key_value(label: &str) -> std::result::Result<(&str, &str), Diagnostic> {
    label.split_once('=').ok_or_else(|| {
        let text = format!("{label:?} is not key=value, such as environment=prod.");
        Diagnostic::error("Invalid value", text).at(LABEL)
    })
}

#[async_trait]
impl<L: Listing> DataSource<Connection> for Listed<L> {
    fn name(&self) -> &str {
        L::TYPE
    }

    fn schema(&self) -> Schema {
        let about = format!(
            "Lists {}{}: all, or those that match every given filter. An empty result is not an error.",
            L::WORDS,
            L::WITH
        );
        let mut schema = filters::<L>()
            .iter()
            .fold(Schema::new(about), |schema, spec| {
                schema.attribute(spec.name, spec.of_resource())
            });
        if L::HAS_LABELS {
            let filter = labels::attribute()
                .optional()
                .describe("Only those that have all of these labels.");
            schema = schema.attribute("labels", filter);
        }
        let found = Attribute::nested_list(L::attributes())
            .computed()
            .describe(format!("The {}.", L::WORDS));
        schema.attribute(L::PLURAL, found)
    }

    async fn validate(&self, _ctx: &Context<Connection>, config: &Value) -> Result<()> {
        for spec in filters::<L>() {
            spec.check(config.get(spec.name), &Path::attribute(spec.name))?;
        }
        if let Some(label) = config.get(LABEL).as_str() {
            key_value(label)?;
        }
        if L::HAS_LABELS {
            labels::check(config, "labels")?;
        }
        Ok(())
    }

    async fn read(&self, ctx: &Context<Connection>, config: Value) -> Result<Value> {
        let wanted = wanted_labels(&config)?;
        let mut fields = Fields::new();
        for spec in filters::<L>() {
            let value = config.get(spec.name);
            if !value.is_null() && !L::OWN_FILTERS.contains(&spec.name) && spec.name != LABEL {
                fields.insert(spec.name.to_owned(), value.to_json());
            }
        }
        if L::SERVER_KNOWS_LABELS
            && let Some(label) = labels::of_filter(&wanted)
        {
            fields.insert(LABEL.to_owned(), label.into());
        }
        let filter: L::Filter = body(fields)?;
        let what = format!("list the {}", L::WORDS);
        let client = &ctx.client()?.client;
        let found = finish(ctx, &what, L::all(client, &filter)).await?;
        let has_labels = |found: &L::Found| {
            wanted.iter().all(|(key, value)| {
                L::labels(found).is_some_and(|labels| labels.get(key) == Some(value.as_str()))
            })
        };
        let values = found
            .iter()
            .filter(|found| L::lets_through(found, &config) && has_labels(found))
            .map(L::values)
            .collect::<Result<Vec<_>>>()?;
        check_size(L::WORDS, &values, MAX_BYTES)?;
        let mut answer = config;
        answer.set(L::PLURAL, values);
        Ok(answer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_that_terraform_would_not_take_is_refused_with_what_to_do() {
        let one = Value::object([("name", "a".into())]);
        let values = vec![one; 10];
        // {"name":"a"} each.
        assert_eq!(check_size("pools", &values, 120), Ok(()));
        let error = check_size("pools", &values, 119).unwrap_err();
        assert!(error.detail.starts_with("These are 10 pools"), "{error:?}");
        assert!(error.detail.contains("Narrow them down"), "{error:?}");
    }
}
