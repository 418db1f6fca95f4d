//! The data source `ipam_preview`: what a request for space would get now. It is the server's dry run, so it returns
//! exactly what an `ipam_allocation` would get, and reserves nothing.

use ipam_client::Error;
use ipam_shared::{
    api::allocation::{AskError, NewAllocation},
    cidr::Cidr,
    labels::Labels,
    name::Name,
};
use tfplugin::{
    Attribute, Context, DataSource, Diagnostic, Path, Result, Schema, Text, Type, Value,
    async_trait,
};

use crate::{
    connection::Connection,
    framework::{
        attribute_spec::AttributeSpec,
        call::until_stopped,
        failure::{failure, sentence},
        fields::{Fields, body},
        labels,
    },
    nouns::allocation::model,
};

/// The data source `ipam_preview`.
pub(crate) struct Preview;

/// Status of refusals of requests that may succeed at another time.
const CONFLICT: u16 = 409;

/// What a request says, as the API has it.
fn asked() -> Vec<AttributeSpec> {
    let text = |name, what| AttributeSpec::new(name, Attribute::string().optional(), what, "");
    let number =
        |name, what| AttributeSpec::new(name, Attribute::number().optional().computed(), what, "");
    let texts =
        |name, what| AttributeSpec::new(name, Attribute::list(Type::String).optional(), what, "");
    let pairs = |name, what| AttributeSpec::new(name, labels::attribute().optional(), what, "");
    vec![
        AttributeSpec::new(
            "vpc",
            Attribute::string().required(),
            "Name of the VPC that the space would be for. It need not exist, and is not created.",
            "",
        )
        .is::<Text<Name>>(),
        text(
            "name",
            "Name that the allocation would get. Leave it out to ask for a further allocation.",
        )
        .is::<Text<Name>>(),
        AttributeSpec::new(
            "hosts",
            Attribute::number().optional(),
            "Number of hosts that the first block must hold.",
            "",
        )
        .is::<u64>(),
        number(
            "prefix_length",
            "Prefix length. It is that of the first block, unless the first member of the profile has a `size_offset`, which \
             is added to it. Give exactly one of it, `hosts` and `cidr`; from pools none may be given, \
             for the pool's default.",
        )
        .is::<u8>(),
        AttributeSpec::new(
            "cidr",
            Attribute::string().optional().computed(),
            "The first block itself. Give it to ask whether this very network is free.",
            "",
        )
        .is::<Text<Cidr>>(),
        text("vrf", "Name of the VPC's VRF. If left out: that of the VPC, or `default` for a new one.")
            .is::<Text<Name>>(),
        text(
            "profile",
            "Name of the profile. If left out: `node-pod`, or none with `pools` or `pool_selector`.",
        )
        .is::<Text<Name>>(),
        texts("pools", "Instead of a profile: pools, by name or id, of which the first that has room gives one block.")
            .is::<Vec<String>>(),
        pairs(
            "pool_selector",
            "Instead of a profile: labels of pools, of which the first that has all of them and room gives one block.",
        ),
        texts("exclude_cidrs", "Networks that no block may overlap.").is::<Vec<Text<Cidr>>>(),
        pairs("labels", "Labels that it would have, in addition to the provider's `default_labels`: pools may require some."),
    ]
}

/// The result besides the blocks.
fn answered() -> Vec<AttributeSpec> {
    let shown = |name, what| AttributeSpec::shown(name, Attribute::string(), what);
    vec![
        AttributeSpec::shown(
            "available",
            Attribute::bool(),
            "Whether the request would get space now. If not, `refusal` says why, and everything about blocks is null.",
        ),
        shown(
            "refusal",
            "Why it would get none: what is left, what conflicts, and what to do; null if it would.",
        ),
        shown(
            "refusal_code",
            "The same for programs, such as `pool_exhausted`, `overlap` or `name_taken`; null if it would.",
        ),
    ]
}

/// The blocks, as an allocation has them.
fn blocks() -> Vec<(&'static str, Attribute)> {
    model::computed()
        .into_iter()
        .filter(|(name, _)| *name != "id")
        .collect()
}

/// The request, unless it is not valid.
fn request(config: &Value) -> Result<NewAllocation> {
    let mut fields = Fields::new();
    for spec in asked() {
        let value = config.get(spec.name);
        if !value.is_null() {
            fields.insert(spec.name.to_owned(), value.to_json());
        }
    }
    fields.insert("dry_run".to_owned(), true.into());
    let request: NewAllocation = body(fields)?;
    let refuse = |error: AskError| {
        Diagnostic::error(
            "Invalid request",
            format!("{}.", sentence(&error.to_string())),
        )
    };
    request.size().map_err(refuse)?;
    request.recipe().map_err(refuse)?;
    Ok(request)
}

#[async_trait]
impl DataSource<Connection> for Preview {
    fn name(&self) -> &str {
        "ipam_preview"
    }

    fn schema(&self) -> Schema {
        let schema = Schema::new(
            "Says what a request for space would get now, without creating anything: which blocks, or why none. Nothing is \
             reserved, so others may take it first. A request that can never succeed, such as for a size that the profile \
             does not have, is an error.",
        );
        let asked = asked();
        let asked = asked.iter().map(|spec| (spec.name, spec.of_resource()));
        let answered = answered();
        let answered = answered
            .iter()
            .map(|spec| (spec.name, spec.of_data_source()));
        asked
            .chain(answered)
            .chain(blocks())
            .fold(schema, |schema, (name, attribute)| {
                schema.attribute(name, attribute)
            })
    }

    async fn validate(&self, _ctx: &Context<Connection>, config: &Value) -> Result<()> {
        for spec in asked() {
            spec.check(config.get(spec.name), &Path::attribute(spec.name))?;
        }
        labels::check(config, "labels")?;
        labels::check(config, "pool_selector")?;
        if config.is_wholly_known() {
            request(config)?;
        }
        Ok(())
    }

    async fn read(&self, ctx: &Context<Connection>, config: Value) -> Result<Value> {
        let connection = ctx.client()?;
        let mut request = request(&config)?;
        let all = labels::merged(connection, request.labels.into());
        request.labels = Labels::new(all).map_err(|error| {
            Diagnostic::error(
                "Invalid labels",
                format!("With the provider's default_labels, {error}."),
            )
            .at("labels")
        })?;
        let what = format!("preview an allocation for {}", request.vpc);
        let mut answer = config.clone();
        for (name, _) in blocks() {
            answer.set(name, Value::Null);
        }
        match until_stopped(ctx, &what, connection.client.create_allocation(&request)).await? {
            Ok(created) => {
                let found = model::attributes(&created.made);
                for name in blocks()
                    .iter()
                    .map(|(name, _)| *name)
                    .chain(["prefix_length", "cidr"])
                {
                    answer.set(name, found.get(name).clone());
                }
                answer.set("available", true);
                answer.set("refusal", Value::Null);
                answer.set("refusal_code", Value::Null);
            }
            Err(error) => {
                let refusal = refusal(&error).ok_or_else(|| failure(&what, &error))?;
                answer.set("available", false);
                answer.set("refusal", refusal.0);
                answer.set("refusal_code", refusal.1);
            }
        }
        Ok(answer)
    }
}

/// A refusal that counts as an answer: the same request may succeed at another time.
fn refusal(error: &Error) -> Option<(String, &'static str)> {
    let problem = error.problem()?;
    (problem.status == CONFLICT).then(|| (problem.detail.clone(), problem.code.as_str()))
}
