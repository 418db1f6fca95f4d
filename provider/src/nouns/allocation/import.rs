//! What identifies an allocation, and how an import finds it.

use ipam_client::{Client, Error};
use ipam_shared::{api::allocation::Allocation, error::Code, ids::AllocationId, name::Name};
use tfplugin::{Diagnostic, IdentitySchema, Import, Result, Value};

use super::{lookup, model::WORD};
use crate::framework::identity;

/// The id, and the VPC with the name.
pub(super) fn identity() -> IdentitySchema {
    let known_by = [
        ("vpc", "Name of the VPC.".to_owned()),
        ("name", "Name of the allocation within the VPC.".to_owned()),
    ];
    identity::schema(WORD, &known_by)
}

/// What an import names, for people.
///
/// # Errors
/// If an identity names nothing.
pub(super) fn text(request: &Import) -> Result<String> {
    let identity = match request {
        Import::Id(text) => return Ok(text.clone()),
        Import::Identity(identity) => identity,
    };
    let part = |name: &str| identity.get(name).as_str();
    match (part("id"), part("vpc"), part("name")) {
        (Some(id), ..) => Ok(id.to_owned()),
        (None, Some(vpc), Some(name)) => Ok(format!("{vpc}/{name}")),
        _ => Err(Diagnostic::error(
            "Which allocation?",
            "Its identity needs the id, or both the vpc and the name.",
        )
        .into()),
    }
}

/// Finds what an import names. An identity distinguishes an id from names and networks, however they look.
pub(super) async fn find(
    client: &Client,
    request: &Import,
) -> std::result::Result<Vec<Allocation>, Error> {
    let identity = match request {
        Import::Id(text) => return lookup::named(client, text).await,
        Import::Identity(identity) => identity,
    };
    let part = |name: &str| identity.get(name).as_str();
    let found = match part("id").map(str::parse::<AllocationId>) {
        Some(Ok(id)) => match client.get_allocation(id, None).await {
            Err(error) if error.code() == Some(Code::NotFound) => None,
            found => Some(found?),
        },
        Some(Err(_)) => None,
        None => {
            let name = |part: Option<&str>| part.and_then(|text| text.parse::<Name>().ok());
            match (name(part("vpc")), name(part("name"))) {
                (Some(vpc), Some(name)) => client.find_allocation(&vpc, &name).await?,
                _ => None,
            }
        }
    };
    Ok(found.into_iter().collect())
}

/// Refuses what was found by one part of an identity while another part refers to something else.
pub(super) fn check(request: &Import, found: &Value) -> Result<()> {
    match request {
        Import::Id(_) => Ok(()),
        Import::Identity(identity) => identity::check(WORD, &["vpc"], identity, found),
    }
}
