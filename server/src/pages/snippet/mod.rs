//! Snippets to copy: an allocation as Terraform configuration, its import, commands, and its networks for the programs that
//! want them. User input is quoted, so that a pasted line does what it seems to do and nothing else.

mod networks;
mod quoting;

use std::{convert::Infallible, fmt::Write as _};

use axum::{extract::FromRequestParts, http::request::Parts};
use ipam_shared::api::{DEFAULT_VRF, allocation::Allocation, profile::DEFAULT_PROFILE};

use self::{
    networks::{hcl_list, networks, nft},
    quoting::{misleads, quote},
};
use crate::front::Reached;
pub(super) use ipam_shared::shell::quoted as shell;

/// The snippets of one allocation.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Snippets {
    pub(super) copies: Vec<Copy>,
}

/// Something to copy.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Copy {
    /// Of the element that has it.
    pub(super) id: &'static str,
    pub(super) label: &'static str,
    pub(super) text: String,
    /// Whether it is shown at once.
    pub(super) opened: bool,
}

impl Snippets {
    pub(super) fn new(allocation: &Allocation, server: &Server) -> Self {
        let label = resource_label(allocation);
        let copy = |id, label, text, opened| Copy {
            id,
            label,
            text,
            opened,
        };
        let hcl = hcl(allocation, &label);
        let block = import_block(allocation, &label);
        let path = format!("/api/v1/allocations/{}", allocation.id);
        Self {
            copies: vec![
                copy("hcl", "Terraform", hcl, true),
                copy(
                    "import-block",
                    "Import into Terraform 1.12 or later, by identity",
                    block,
                    true,
                ),
                copy(
                    "import",
                    "Import into any Terraform",
                    import(allocation, &label),
                    true,
                ),
                copy("cli", "The command line", cli(allocation), false),
                copy("curl", "curl", server.curl(&path), false),
                copy(
                    "list",
                    "Networks, one a line",
                    networks(allocation, "\n"),
                    false,
                ),
                copy(
                    "hcl-list",
                    "Networks as a list of Terraform",
                    hcl_list(allocation),
                    false,
                ),
                copy(
                    "nft",
                    "Networks as sets of nftables",
                    nft(allocation, &label),
                    false,
                ),
            ],
        }
    }
}

/// The address that the browser used for this server.
#[derive(Debug)]
pub(super) struct Server(String);

impl Server {
    /// A request with curl.
    pub(super) fn curl(&self, path: &str) -> String {
        let url = format!("{}{path}", self.0);
        format!("curl -H \"X-API-Key: $IPAM_API_KEY\" {}", shell(&url))
    }

    /// How a new key is used: what for, and the lines. They have no secret in them, which would stay in the history of a
    /// shell.
    pub(super) fn uses_of_a_key(&self) -> Vec<(&'static str, String)> {
        let url = &self.0;
        vec![
            (
                "In a shell: asks for the key, and shows who you are",
                // The last line asks: what is pasted after it would be the answer.
                format!(
                    "export IPAM_ENDPOINT={}\nread -rs IPAM_API_KEY && export IPAM_API_KEY && ipam whoami",
                    shell(url)
                ),
            ),
            ("With curl", self.curl("/api/v1/whoami")),
            (
                "With Terraform, which reads the same variables",
                "provider \"ipam\" {} # IPAM_ENDPOINT and IPAM_API_KEY".to_owned(),
            ),
        ]
    }
}

impl<S: Sync> FromRequestParts<S> for Server {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let url = Reached::of(&parts.extensions).url(&parts.headers);
        Ok(Self(
            url.unwrap_or_else(|| "http://127.0.0.1:8000".to_owned()),
        ))
    }
}

fn hcl(allocation: &Allocation, label: &str) -> String {
    let name = allocation
        .name
        .as_ref()
        .map(|name| name.as_str().to_owned());
    let name = name.unwrap_or_else(|| format!("allocation-{}", allocation.number));
    let mut lines = vec![
        ("vpc", quote(allocation.vpc.as_str())),
        ("name", quote(&name)),
    ];
    if let Some(profile) = &allocation.profile
        && profile.as_str() != DEFAULT_PROFILE
    {
        lines.push(("profile", quote(profile.as_str())));
    }
    if allocation.vrf != DEFAULT_VRF {
        lines.push(("vrf", quote(&allocation.vrf)));
    }
    if let Some(pools) = &allocation.requested_pools {
        lines.push(("pools", list(pools)));
    }
    if let Some(selector) = &allocation.requested_pool_selector {
        let labels: Vec<_> = selector
            .iter()
            .map(|(key, value)| format!("{} = {}", quote(key), quote(value)))
            .collect();
        lines.push(("pool_selector", format!("{{ {} }}", labels.join(", "))));
    }
    if !allocation.exclude_cidrs.is_empty() {
        lines.push(("exclude_cidrs", list(&allocation.exclude_cidrs)));
    }
    lines.push(
        match (
            allocation.requested_hosts,
            allocation.requested_prefix_length,
        ) {
            (Some(hosts), _) => ("hosts", hosts.to_string()),
            (None, Some(length)) => ("prefix_length", length.to_string()),
            (None, None) => ("cidr", quote(&allocation.cidr.to_string())),
        },
    );
    if !allocation.description.is_empty() {
        lines.push(("description", quote(&allocation.description)));
    }
    if allocation.deletion_protection {
        lines.push(("deletion_protection", "true".to_owned()));
    }
    let width = lines
        .iter()
        .map(|(key, _)| key.len())
        .max()
        .unwrap_or_default();
    let mut text = format!("resource \"ipam_allocation\" \"{label}\" {{\n");
    for (key, value) in lines {
        let _ = writeln!(text, "  {key:width$} = {value}");
    }
    if !allocation.labels.is_empty() {
        let pairs: Vec<_> = allocation
            .labels
            .iter()
            .map(|(key, value)| (quote(key), quote(value)))
            .collect();
        let width = pairs
            .iter()
            .map(|(key, _)| key.chars().count())
            .max()
            .unwrap_or_default();
        text.push_str("\n  labels = {\n");
        for (key, value) in pairs {
            let _ = writeln!(text, "    {key:width$} = {value}");
        }
        text.push_str("  }\n");
    }
    text.push_str("}\n");
    text
}

fn list(items: &[impl ToString]) -> String {
    let items: Vec<_> = items.iter().map(|item| quote(&item.to_string())).collect();
    format!("[{}]", items.join(", "))
}

fn import(allocation: &Allocation, label: &str) -> String {
    let id = shell(&called(allocation));
    format!("terraform import ipam_allocation.{label} {id}")
}

fn import_block(allocation: &Allocation, label: &str) -> String {
    let identity = match &allocation.name {
        Some(name) => format!(
            "    vpc  = {}\n    name = {}\n",
            quote(allocation.vpc.as_str()),
            quote(name.as_str())
        ),
        None => format!("    id = {}\n", quote(&allocation.id.to_string())),
    };
    format!("import {{\n  to = ipam_allocation.{label}\n  identity = {{\n{identity}  }}\n}}\n")
}

/// What it is called on a command line: by its id, if its names could be taken for an option, or would not be read as they
/// look.
fn called(allocation: &Allocation) -> String {
    match &allocation.name {
        Some(name) => {
            let called = format!("{}/{name}", allocation.vpc);
            let is_plain = !called.starts_with('-') && !called.chars().any(misleads);
            if is_plain {
                called
            } else {
                allocation.id.to_string()
            }
        }
        None => allocation.id.to_string(),
    }
}

/// Commands that change nothing; what does is a comment, so that nothing happens by pasting all of them.
fn cli(allocation: &Allocation) -> String {
    let which = shell(&called(allocation));
    let size = match allocation.requested_hosts {
        Some(hosts) => format!("--hosts {hosts}"),
        None => format!("--prefix-length {}", allocation.prefix_length),
    };
    format!(
        "ipam allocation show {which}\n\
         ipam events --subject {}\n\
         ipam allocation resize {which} {size} --dry-run\n\
         # ipam allocation release {which}\n",
        allocation.id
    )
}

/// A Terraform name that says which allocation it is.
fn resource_label(allocation: &Allocation) -> String {
    let name = allocation
        .name
        .as_ref()
        .map_or(allocation.vpc.as_str(), |name| name.as_str());
    let mut label = String::new();
    for c in name.chars() {
        if c.is_ascii_alphanumeric() {
            label.push(c.to_ascii_lowercase());
        } else if !label.is_empty() && !label.ends_with('_') {
            label.push('_');
        }
    }
    let label = label.trim_end_matches('_');
    match label.chars().next() {
        None => format!("allocation_{}", allocation.number),
        Some(first) if first.is_ascii_digit() => format!("a_{label}"),
        Some(_) => label.to_owned(),
    }
}

#[cfg(test)]
mod tests;
