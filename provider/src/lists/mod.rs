//! Lists: `terraform query` finds what exists, whoever created it, and writes its configuration (Terraform 1.14 and later).
//!
//! A list is filtered by the server as far as its filters go, and the rest is filtered here, page by page, for as long as
//! more items are wanted. The filters of each noun are in `nouns`.

mod nouns;

use std::{marker::PhantomData, net::IpAddr};

use ipam_client::{Client, Error};
use ipam_shared::{
    cidr::Cidr,
    page::{MAX_LIMIT, Page},
};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value as Json};
use tfplugin::{
    Attribute, Context, Diagnostic, Field, Found, List, ListResource, Listed, Result, Schema, Text,
    Value, async_trait,
};

pub(crate) use nouns::all;

use crate::{
    connection::Connection,
    framework::{
        call::finish,
        labels::{self, LabelMap},
    },
};

/// Something of which there are lists.
#[async_trait]
pub(crate) trait Listable: Send + Sync + 'static {
    /// Of the resource, such as `ipam_vrf`.
    const TYPE: &'static str;
    /// What several are called in a sentence, such as `VRFs`.
    const WORDS: &'static str;
    /// Who filters by labels, if they have any.
    const LABELS: Option<By>;
    /// Filters: an attribute of a list's `config` and what it matches.
    const FILTERS: &'static [FilterSpec];

    /// The server's filter, with fields of the names of attributes.
    type Filter: DeserializeOwned + Send + Sync;
    /// What the server has.
    type Found: Send + Sync;

    /// One page of what matches a filter.
    async fn page(
        client: &Client,
        filter: &Self::Filter,
    ) -> std::result::Result<Page<Self::Found>, Error>;

    /// The attributes of the resource.
    fn state(found: &Self::Found, connection: &Connection) -> Result<Value>;

    /// What people call it.
    fn title(state: &Value) -> String;
}

/// One attribute to find things by.
pub(crate) struct FilterSpec {
    name: &'static str,
    what: &'static str,
    by: By,
}

/// Who applies the filter.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum By {
    /// The server: its filter has a field of that name, or one for a label.
    Server,
    /// The provider: the attribute of that name has to be equal.
    Us,
}

/// Lists of one noun.
struct Lists<L>(PhantomData<fn() -> L>);

#[async_trait]
impl<L: Listable> ListResource<Connection> for Lists<L> {
    fn name(&self) -> &str {
        L::TYPE
    }

    fn schema(&self) -> Schema {
        let about = format!(
            "Finds {}: all, or those that match every given filter. An empty result is not an error.",
            L::WORDS
        );
        let schema = L::FILTERS
            .iter()
            .fold(Schema::new(about), |schema, filter| {
                let attribute = Attribute::string().optional().describe(filter.what);
                schema.attribute(filter.name, attribute)
            });
        if L::LABELS.is_none() {
            return schema;
        }
        let what = "Only those that have all of these labels.";
        schema.attribute("labels", labels::attribute().optional().describe(what))
    }

    async fn validate(&self, _ctx: &Context<Connection>, config: &Value) -> Result<()> {
        // The server would refuse these too, but less clearly.
        for filter in L::FILTERS {
            let text: Field<String> = config.attribute(filter.name)?;
            if text.as_known().is_some_and(String::is_empty) {
                let detail = format!("Leave {} out to find {} with any.", filter.name, L::WORDS);
                return Err(Diagnostic::error("An empty filter finds nothing", detail)
                    .at(filter.name)
                    .into());
            }
        }
        if L::LABELS.is_some() {
            labels::check(config, "labels")?;
        }
        config.attribute::<Field<Text<Cidr>>>("within")?;
        config.attribute::<Field<Text<IpAddr>>>("contains")?;
        Ok(())
    }

    async fn list(
        &self,
        ctx: &Context<Connection>,
        request: List,
        found: &mut Found,
    ) -> Result<()> {
        let connection = ctx.client()?;
        let what = format!("list the {}", L::WORDS);
        let wanted: Option<LabelMap> = request.config.attribute("labels")?;
        let wanted = wanted.unwrap_or_default();
        let mut fields = fields::<L>(&request.config, &wanted);
        // If only the server filters, every item counts.
        let page = if narrows_here::<L>(&request.config, &wanted) {
            MAX_LIMIT
        } else {
            u16::try_from(request.limit)
                .unwrap_or(u16::MAX)
                .clamp(1, MAX_LIMIT)
        };
        fields.insert("limit".to_owned(), page.into());
        while found.wants_more() {
            let filter: L::Filter = serde_json::from_value(Json::Object(fields.clone()))
                .map_err(|error| unsuitable(&error))?;
            let page = finish(ctx, &what, L::page(&connection.client, &filter)).await?;
            for item in &page.items {
                let state = L::state(item, connection)?;
                if !is_wanted::<L>(&request.config, &wanted, &state) {
                    continue;
                }
                if !found.put(Listed::new(L::title(&state), state)).await {
                    return Ok(());
                }
            }
            match page.next_cursor {
                Some(cursor) => fields.insert("cursor".to_owned(), cursor.into()),
                None => return Ok(()),
            };
        }
        Ok(())
    }
}

/// The fields of the server's filter.
fn fields<L: Listable>(config: &Value, wanted: &LabelMap) -> Map<String, Json> {
    let by_server = L::FILTERS.iter().filter(|filter| filter.by == By::Server);
    let mut fields: Map<String, Json> = by_server
        .filter_map(|filter| {
            Some((
                filter.name.to_owned(),
                config.get(filter.name).as_str()?.into(),
            ))
        })
        .collect();
    if let Some(label) = label_of_server::<L>(wanted) {
        fields.insert("label".to_owned(), label.into());
    }
    fields
}

/// The label that the server compares.
fn label_of_server<L: Listable>(wanted: &LabelMap) -> Option<String> {
    match L::LABELS {
        Some(By::Server) => labels::of_filter(wanted),
        _ => None,
    }
}

fn narrows_here<L: Listable>(config: &Value, wanted: &LabelMap) -> bool {
    let mut by_us = L::FILTERS.iter().filter(|filter| filter.by == By::Us);
    let labels_of_server = usize::from(label_of_server::<L>(wanted).is_some());
    by_us.any(|filter| !config.get(filter.name).is_null()) || wanted.len() > labels_of_server
}

/// Whether something matches the filters that the server does not apply.
fn is_wanted<L: Listable>(config: &Value, wanted: &LabelMap, state: &Value) -> bool {
    let mut by_us = L::FILTERS.iter().filter(|filter| filter.by == By::Us);
    let same = |filter: &FilterSpec| {
        let wanted = config.get(filter.name);
        wanted.is_null() || wanted == state.get(filter.name)
    };
    let all = state.get("effective_labels");
    by_us.all(same)
        && wanted
            .iter()
            .all(|(key, value)| all.get(key).as_str() == Some(value))
}

/// What was checked before does not get here.
fn unsuitable(error: &serde_json::Error) -> Diagnostic {
    Diagnostic::error("Unsuitable filter", format!("{error}."))
}
