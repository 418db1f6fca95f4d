//! A noun as a data source: one thing, by its id or by its name.

use std::marker::PhantomData;

use ipam_shared::error::Code;
use tfplugin::{
    Attribute, Context, DataSource, Diagnostic, Path, Result, Schema, Text, ToValue as _, Value,
    async_trait,
};

use super::{
    attribute_spec::AttributeSpec,
    call::until_stopped,
    failure::failure,
    labels,
    noun::Noun,
    state::{shown, vrfs},
};
use crate::connection::Connection;

/// The data source of a noun.
pub(crate) struct LookedUp<N>(PhantomData<fn() -> N>);

impl<N> LookedUp<N> {
    pub(crate) fn new() -> Self {
        Self(PhantomData)
    }
}

/// What a data source shows.
pub(crate) fn specs<N: Noun>() -> Vec<AttributeSpec> {
    let owner = AttributeSpec::shown(
        "owner",
        Attribute::string(),
        "For whom it was created; null for nobody in particular.",
    );
    let shown = N::only_looked_up().into_iter().chain([owner]);
    let known = N::specs().into_iter().filter(|spec| !spec.is_written);
    known.chain(shown).collect()
}

/// All attributes that a data source shows, computed.
pub(crate) fn attributes<N: Noun>() -> Vec<(&'static str, Attribute)> {
    let id = Attribute::string().computed().describe("Id.");
    let mut all = vec![("id", id)];
    all.extend(
        specs::<N>()
            .iter()
            .map(|spec| (spec.name, spec.of_data_source())),
    );
    if N::HAS_LABELS {
        let labels = labels::attribute().computed();
        all.push(("labels", labels.describe("All labels that it has.")));
    }
    all
}

/// What is found, as attributes.
pub(crate) fn values<N: Noun>(found: &N::Found) -> Result<Value> {
    let mut values = shown::<N>(found, &specs::<N>())?;
    N::settle(found, &Value::Null, &mut values)?;
    if let Some(all) = N::labels(found) {
        values.set("labels", labels::LabelMap::from(all.clone()).to_value());
    }
    Ok(values)
}

#[async_trait]
impl<N: Noun> DataSource<Connection> for LookedUp<N> {
    fn name(&self) -> &str {
        N::TYPE
    }

    fn schema(&self) -> Schema {
        let by = if N::SCOPED {
            format!(
                "by `id`, or by `{}` and, if several VRFs have one, `vrf`",
                N::KEY
            )
        } else {
            format!("by `id` or by `{}`", N::KEY)
        };
        let about = format!(
            "Looks up one {}: {by}. It is an error if there is none.",
            N::WORD
        );
        attributes::<N>()
            .into_iter()
            .fold(Schema::new(about), |schema, (name, attribute)| {
                let usage = match name {
                    "vrf" if N::SCOPED => {
                        format!("Give it beside `{}` if several VRFs have one.", N::KEY)
                    }
                    _ if name == "id" || name == N::KEY => "Give it to look up by it.".to_owned(),
                    _ => return schema.attribute(name, attribute),
                };
                let text = format!("{} {usage}", attribute.description);
                let attribute = attribute.optional().describe(text);
                schema.attribute(name, attribute)
            })
    }

    async fn validate(&self, _ctx: &Context<Connection>, config: &Value) -> Result<()> {
        for spec in specs::<N>() {
            spec.check(config.get(spec.name), &Path::attribute(spec.name))?;
        }
        let given = |name: &str| !config.get(name).is_null();
        let unknown = ["id", N::KEY]
            .iter()
            .any(|name| config.get(name).is_unknown());
        if unknown || (given("id") != given(N::KEY) && !(given("id") && N::SCOPED && given("vrf")))
        {
            return Ok(());
        }
        let beside = if N::SCOPED {
            "; vrf goes with it if several VRFs have one"
        } else {
            ""
        };
        Err(Diagnostic::error(
            format!("Which {}?", N::WORD),
            format!("Give exactly one of id and {}{beside}.", N::KEY),
        )
        .into())
    }

    async fn read(&self, ctx: &Context<Connection>, config: Value) -> Result<Value> {
        let connection = ctx.client()?;
        let client = &connection.client;
        let vrf = if N::SCOPED {
            config.get("vrf").as_str()
        } else {
            None
        };
        let (at, found) = match config.attribute::<Option<Text<N::Id>>>("id")? {
            Some(Text(id)) => {
                let what = format!("look up the {} {id}", N::WORD);
                let found = match until_stopped(ctx, &what, N::get(client, id, None)).await? {
                    Ok(found) => vec![found],
                    Err(error) if error.code() == Some(Code::NotFound) => Vec::new(),
                    Err(error) => return Err(failure(&what, &error).at("id").into()),
                };
                ("id", found)
            }
            None => {
                let key: String = config.attribute(N::KEY)?;
                let what = format!("look up the {} {key}", N::WORD);
                let found = until_stopped(ctx, &what, N::find(client, &key, vrf))
                    .await?
                    .map_err(|error| failure(&what, &error).at(N::KEY))?;
                (N::KEY, found)
            }
        };
        match found.as_slice() {
            [found] => {
                let mut values = values::<N>(found)?;
                // As it is spelled; names of VPCs ignore case.
                if !config.get(N::KEY).is_null() {
                    values.set(N::KEY, config.get(N::KEY).clone());
                }
                Ok(values)
            }
            [] => Err(Diagnostic::error(
                format!("No such {}", N::WORD),
                format!(
                    "The server at {} has no {} {}{}.",
                    client.endpoint(),
                    N::WORD,
                    config.get(at).as_str().unwrap_or_default(),
                    vrf.map(|vrf| format!(" in the VRF {vrf}"))
                        .unwrap_or_default()
                ),
            )
            .at(at)
            .into()),
            several => Err(Diagnostic::error(
                format!("More than one {}", N::WORD),
                format!(
                    "Several VRFs have one. Give vrf too, which is one of these: {}.",
                    vrfs::<N>(several)?.join(", ")
                ),
            )
            .at(at)
            .into()),
        }
    }
}
