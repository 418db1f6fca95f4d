//! A size that is given in more than one way, as in configuration that Terraform generates. All of them have to mean the
//! same; then the allocation is requested by the most exact of them, and the others stay as written.

use std::fmt;

use ipam_shared::{api::allocation::Allocation as Found, cidr::Cidr};
use tfplugin::{Diagnostic, Field, Result, Text, Value};

use super::{
    request::{is_built_in, is_of_first_block},
    sizing::{node_prefix_length, resized_prefix_length},
};

/// One of the ways to say a size.
#[derive(Clone, Copy)]
enum Given {
    Cidr(Cidr),
    Hosts(u64),
    PrefixLength(u8),
}

impl Given {
    fn attribute(self) -> &'static str {
        match self {
            Self::Cidr(_) => "cidr",
            Self::Hosts(_) => "hosts",
            Self::PrefixLength(_) => "prefix_length",
        }
    }
}

impl fmt::Display for Given {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} = ", self.attribute())?;
        match self {
            Self::Cidr(cidr) => write!(out, "{cidr}"),
            Self::Hosts(hosts) => write!(out, "{hosts}"),
            Self::PrefixLength(length) => write!(out, "{length}"),
        }
    }
}

/// What a configuration gives, as far as known.
fn given(config: &Value) -> Result<Vec<Given>> {
    let cidr: Field<Text<Cidr>> = config.attribute("cidr")?;
    let hosts: Field<u64> = config.attribute("hosts")?;
    let length: Field<u8> = config.attribute("prefix_length")?;
    Ok([
        cidr.known().map(|Text(cidr)| Given::Cidr(cidr)),
        hosts.known().map(Given::Hosts),
        length.known().map(Given::PrefixLength),
    ]
    .into_iter()
    .flatten()
    .collect())
}

/// Whether the size is given in more than one way, so that it has to be checked whether all mean the same.
pub(super) fn is_redundant(config: &Value) -> Result<bool> {
    Ok(given(config)?.len() > 1)
}

/// Refuses sizes that can't mean the same. What only the server knows, such as how many addresses a pool keeps for itself,
/// is left to [`check_found`].
pub(super) fn check(config: &Value) -> Result<()> {
    if !is_of_first_block(config)? {
        return Ok(());
    }
    let built_in = is_built_in(config)?;
    let length = |given: &Given| match *given {
        Given::Cidr(cidr) => Some(cidr.prefix_length()),
        Given::Hosts(hosts) if built_in => node_prefix_length(hosts).ok(),
        Given::Hosts(_) => None,
        Given::PrefixLength(length) => Some(length),
    };
    let all = given(config)?;
    let lengths: Vec<(Given, u8)> = all
        .iter()
        .filter_map(|given| Some((*given, length(given)?)))
        .collect();
    match lengths.as_slice() {
        [(_, first), rest @ ..] if rest.iter().any(|(_, other)| other != first) => {
            let texts: Vec<String> = lengths
                .iter()
                .map(|(given, length)| format!("{given} is a /{length}"))
                .collect();
            Err(disagreement(&all, &texts.join(", and ")))
        }
        _ => Ok(()),
    }
}

/// Refuses sizes that don't all mean what the server found for one of them.
pub(super) fn check_found(config: &Value, found: &Found) -> Result<()> {
    let all = given(config)?;
    let agrees = |given: &Given| match *given {
        Given::Cidr(cidr) => cidr == found.cidr,
        Given::Hosts(hosts) => means(found, hosts),
        Given::PrefixLength(length) => length == found.prefix_length,
    };
    if all.iter().all(agrees) {
        return Ok(());
    }
    let texts: Vec<String> = all.iter().map(ToString::to_string).collect();
    let text = format!(
        "there are {}, and by one of them the allocation has {} and prefix_length {}",
        texts.join(" and "),
        found.cidr,
        found.prefix_length
    );
    Err(disagreement(&all, &text))
}

/// Whether the allocation has the size that it would have if it had been requested with this number of hosts.
pub(super) fn means(found: &Found, hosts: u64) -> bool {
    if found.requested_hosts == Some(hosts) {
        return true;
    }
    let profile = found.profile.as_ref().map_or("", |name| name.as_str());
    let usable = found.blocks.first().map(|block| block.usable);
    let usable = usable.and_then(|usable| u64::try_from(usable).ok());
    usable.and_then(|usable| resized_prefix_length(found.cidr, usable, hosts, profile))
        == Some(found.cidr.prefix_length())
}

/// Keeps one size in a configuration: the requested one, but never a network, which would be a different one elsewhere.
pub(super) fn keep_one(config: &mut Value) {
    config.set("cidr", Value::Null);
    if !config.get("hosts").is_null() {
        config.set("prefix_length", Value::Null);
    }
}

/// Keeps the number of hosts of the configuration if the allocation was requested in another way that means the same.
pub(super) fn settle(found: &Found, known: &Value, state: &mut Value) -> Result<()> {
    let hosts: Field<u64> = known.attribute("hosts")?;
    if let Field::Known(hosts) = hosts
        && found.requested_hosts.is_none()
        && means(found, hosts)
    {
        state.set("hosts", known.get("hosts").clone());
    }
    Ok(())
}

fn disagreement(all: &[Given], text: &str) -> tfplugin::Diagnostics {
    let detail = format!(
        "The size is given in several ways, which have to mean the same: {text}. Change one of them, or leave all but one \
         out."
    );
    let at = all.last().map_or("cidr", |given| given.attribute());
    Diagnostic::error("The sizes disagree", detail)
        .at(at)
        .into()
}
