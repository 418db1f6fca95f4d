//! Rules for pools that do not depend on what is stored: family, bounds, policies. Pure.

use std::collections::BTreeMap;

use ipam_shared::{
    api::pool::{MAX_RELEASE_COOLDOWN_SECONDS, NewPool, Pool, RequiredLabels},
    cidr::Family,
    labels::{Labels, MAX_LABELS},
};

use crate::error::{Error, Result};

/// The family that the request says, or that follows from it.
pub(in crate::domain) fn family(new: &NewPool, parent: Option<&Pool>) -> Result<Family> {
    let range = new.ranges.first().map(|cidr| cidr.family());
    let parent_family = parent.map(|parent| parent.family);
    let family = new.family.or(parent_family).or(range).ok_or_else(|| {
        Error::invalid(
            "the address family is not known: give \"family\": \"ipv4\" or \"ipv6\", or a range",
        )
        .about("family")
    })?;
    match parent {
        Some(parent) if parent.family != family => Err(Error::invalid(format!(
            "pool \"{}\" is of the other address family; a pool has the family of its parent",
            parent.name
        ))
        .about("family")),
        _ => Ok(family),
    }
}

/// Whether blocks between these lengths are possible.
pub(in crate::domain) fn check_bounds(
    family: Family,
    shortest: u8,
    longest: u8,
    usual: Option<u8>,
) -> Result<()> {
    let invalid = |field, text: String| Err(Error::invalid(text).about(field));
    if longest > family.bits() {
        let word = if family == Family::Ipv4 {
            "IPv4"
        } else {
            "IPv6"
        };
        return invalid(
            "max_prefix_length",
            format!(
                "max_prefix_length is {longest}, but an {word} prefix has at most {} bits",
                family.bits()
            ),
        );
    }
    if shortest > longest {
        return invalid(
            "min_prefix_length",
            format!(
                "min_prefix_length {shortest} is longer than max_prefix_length {longest}; the shortest prefix is that of the \
             largest block"
            ),
        );
    }
    match usual {
        Some(usual) if !(shortest..=longest).contains(&usual) => invalid(
            "default_prefix_length",
            format!(
                "default_prefix_length {usual} is not between min_prefix_length {shortest} and max_prefix_length {longest}"
            ),
        ),
        _ => Ok(()),
    }
}

/// Checks the rules for a new or changed pool that do not depend on what is stored.
pub(in crate::domain) fn check_policies(
    reserved: Option<u32>,
    cooldown: Option<u32>,
    required: Option<&RequiredLabels>,
) -> Result<()> {
    if reserved.is_some_and(|reserved| i32::try_from(reserved).is_err()) {
        return Err(
            Error::invalid(format!("reserved_addresses is at most {}", i32::MAX))
                .about("reserved_addresses"),
        );
    }
    if cooldown.is_some_and(|cooldown| cooldown > MAX_RELEASE_COOLDOWN_SECONDS) {
        return Err(Error::invalid(format!(
            "release_cooldown_seconds is at most {MAX_RELEASE_COOLDOWN_SECONDS}, a year"
        ))
        .about("release_cooldown_seconds"));
    }
    let Some(required) = required else {
        return Ok(());
    };
    if required.len() > MAX_LABELS {
        return Err(Error::invalid(format!(
            "at most {MAX_LABELS} labels can be required, these are {}",
            required.len()
        ))
        .about("required_labels"));
    }
    for (key, values) in required {
        // An allocation could not have an invalid label.
        let values = values.iter().map(String::as_str);
        for value in std::iter::once("").chain(values) {
            Labels::new(BTreeMap::from([(key.clone(), value.to_owned())])).map_err(|error| {
                Error::invalid(format!("required_labels: {error}")).about("required_labels")
            })?;
        }
    }
    Ok(())
}
