//! What identifies a noun, and how an import finds it.

use ipam_client::{Client, Error};
use ipam_shared::error::Code;
use tfplugin::{Diagnostic, IdentitySchema, Import, Result, Value};

use super::{identity, noun::Noun};

/// The id and the key, with the VRF where keys are unique per VRF.
pub(super) fn schema<N: Noun>() -> IdentitySchema {
    let key = format!("The {} of the {}.", N::KEY, N::WORD);
    let mut known_by = vec![(N::KEY, key)];
    if N::SCOPED {
        let what = format!(
            "Name of its VRF. It may be left out if only one VRF has such a {}.",
            N::WORD
        );
        known_by.push(("vrf", what));
    }
    identity::schema(N::WORD, &known_by)
}

/// What an import names, for people.
///
/// # Errors
/// If an identity names nothing.
pub(super) fn text<N: Noun>(request: &Import) -> Result<String> {
    let identity = match request {
        Import::Id(text) => return Ok(text.clone()),
        Import::Identity(identity) => identity,
    };
    let part = |name: &str| identity.get(name).as_str();
    match (part("id"), part(N::KEY), part("vrf")) {
        (Some(id), ..) => Ok(id.to_owned()),
        (None, Some(key), Some(vrf)) if N::SCOPED => Ok(format!("{vrf}/{key}")),
        (None, Some(key), _) => Ok(key.to_owned()),
        (None, None, _) => Err(Diagnostic::error(
            format!("Which {}?", N::WORD),
            format!(
                "Its identity needs the id, or the {}{}.",
                N::KEY,
                match N::SCOPED {
                    true => " and, if several VRFs have one, the vrf",
                    false => "",
                }
            ),
        )
        .into()),
    }
}

/// Finds what an import names. An identity distinguishes an id from a name, however they look.
pub(super) async fn find<N: Noun>(
    client: &Client,
    request: &Import,
) -> std::result::Result<Vec<N::Found>, Error> {
    let identity = match request {
        Import::Id(text) => return named::<N>(client, text).await,
        Import::Identity(identity) => identity,
    };
    let part = |name: &str| identity.get(name).as_str();
    let Some(id) = part("id") else {
        let vrf = if N::SCOPED { part("vrf") } else { None };
        return N::find(client, part(N::KEY).unwrap_or_default(), vrf).await;
    };
    let Ok(id) = id.parse::<N::Id>() else {
        return Ok(Vec::new());
    };
    match N::get(client, id, None).await {
        Err(error) if error.code() == Some(Code::NotFound) => Ok(Vec::new()),
        found => Ok(vec![found?]),
    }
}

/// Refuses what was found by one part of an identity while another part refers to something else.
pub(super) fn check<N: Noun>(request: &Import, found: &Value) -> Result<()> {
    match request {
        Import::Id(_) => Ok(()),
        Import::Identity(identity) => {
            let folded: &[&str] = if N::FOLDS { &[N::KEY] } else { &[] };
            identity::check(N::WORD, folded, identity, found)
        }
    }
}

/// Finds what an import or a person names: an id, a key, or a VRF and a key.
async fn named<N: Noun>(client: &Client, text: &str) -> std::result::Result<Vec<N::Found>, Error> {
    if let Ok(id) = text.parse::<N::Id>() {
        match N::get(client, id, None).await {
            // A name may look like an id.
            Err(error) if error.code() == Some(Code::NotFound) => {}
            found => return Ok(vec![found?]),
        }
    }
    let mut found = N::find(client, text, None).await?;
    if N::SCOPED
        && let Some((vrf, key)) = text.split_once('/')
    {
        found.extend(N::find(client, key, Some(vrf)).await?);
    }
    Ok(found)
}
