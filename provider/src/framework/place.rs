//! Where a thing is: its VRF, its parent, its profile. No change moves a thing, so another place means another thing; but a
//! place may be renamed, and then the same change of the configuration changes nothing.
//!
//! A plan distinguishes the two by what this run knows of the place. If it knows of no renaming and of no new place, it
//! asks the server: if both names exist, they are two places, and the thing is replaced. If one does not exist, the change
//! is planned in place, and the apply, by which time the renaming has happened, checks it before it does anything.

use ipam_client::{Client, Error};
use ipam_shared::{api::ownership::Noun, name::Name};
use tfplugin::{Attribute, Context, Diagnostic, Field, Plan, Result, Text, Value};

use super::{attribute_spec::AttributeSpec, call::finish};
use crate::{connection::Connection, run::key::Key};

/// The VRF that a thing is in.
pub(crate) fn vrf(what: &'static str, usage: &'static str) -> AttributeSpec {
    let attribute = Attribute::string().default(ipam_shared::api::DEFAULT_VRF);
    AttributeSpec::new("vrf", attribute, what, usage)
        .is::<Text<Name>>()
        .place()
}

/// Replaces the thing if its VRF changes to another one. Returns whether it does.
pub(crate) async fn plan_vrf(
    ctx: &Context<Connection>,
    plan: &mut Plan,
    consequence: &str,
) -> Result<bool> {
    let exists = async |client: &Client, name: &Name| Ok(client.find_vrf(name).await?.is_some());
    plan_name(ctx, plan, "vrf", Noun::Vrf, exists, consequence).await
}

/// Replaces the thing if the attribute, which names a `noun`, changes to another one. Returns whether it does.
pub(crate) async fn plan_name(
    ctx: &Context<Connection>,
    plan: &mut Plan,
    attribute: &str,
    noun: Noun,
    exists: impl AsyncFn(&Client, &Name) -> std::result::Result<bool, Error>,
    consequence: &str,
) -> Result<bool> {
    if plan.is_create() || !plan.changes(attribute) {
        return Ok(false);
    }
    let names = (
        plan.prior::<Field<Text<Name>>>(attribute)?,
        plan.planned::<Field<Text<Name>>>(attribute)?,
    );
    let (Field::Known(Text(before)), Field::Known(Text(after))) = names else {
        return Ok(false);
    };
    let Some(connection) = ctx.try_client() else {
        return Ok(false);
    };
    let key = |name: &Name| Key::new(noun, name.as_str());
    if connection.run.is_renamed(&key(&before), &key(&after)) {
        return Ok(false);
    }
    let client = &connection.client;
    let both = async { Ok(exists(client, &after).await? && exists(client, &before).await?) };
    if !connection.run.is_new(&key(&after))
        && !finish(ctx, &format!("look up {after}"), both).await?
    {
        return Ok(false);
    }
    plan.replace(
        attribute,
        format!("Its {attribute} is {before}, and {after} is wanted. {consequence}"),
    );
    Ok(true)
}

/// Refuses a change that was planned in place because it might have been a renaming, but turns out not to be one.
pub(crate) fn check(
    word: &str,
    attribute: &str,
    found: &Value,
    planned: &Value,
) -> std::result::Result<(), Diagnostic> {
    let (now, wanted) = (found.get(attribute), planned.get(attribute));
    if now == wanted {
        return Ok(());
    }
    let text = |value: &Value| match value.as_str() {
        Some(text) => format!("\"{text}\""),
        None => "none".to_owned(),
    };
    Err(Diagnostic::error(
        format!("The {attribute} of the {word} can't be changed"),
        format!(
            "Its {attribute} is {}, and no change makes it {}: that would be another {word}. It was planned in place \
             because the new name did not exist and might have been that of the same {attribute}. Nothing was changed; \
             the next plan knows better.",
            text(now),
            text(wanted)
        ),
    )
    .at(attribute))
}
