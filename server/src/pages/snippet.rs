//! Snippets to copy: an allocation as Terraform configuration, its import, and a request with curl. User input is quoted,
//! so that a pasted line does what it seems to do and nothing else.

use std::{convert::Infallible, fmt::Write as _};

use axum::{extract::FromRequestParts, http::request::Parts};
use ipam_shared::api::{DEFAULT_VRF, allocation::Allocation, profile::DEFAULT_PROFILE};

use crate::front::Reached;

/// The snippets of one allocation.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Snippets {
    pub(super) hcl: String,
    pub(super) import: String,
    pub(super) curl: String,
}

impl Snippets {
    pub(super) fn new(allocation: &Allocation, Server(server): &Server) -> Self {
        let label = resource_label(allocation);
        Self {
            hcl: hcl(allocation, &label),
            import: import(allocation, &label),
            curl: curl(allocation, server),
        }
    }
}

/// The address that the browser used for this server.
#[derive(Debug)]
pub(super) struct Server(String);

impl Server {
    /// How a new key is used: what for, and the lines. They have no secret in them, which would stay in the history of a
    /// shell.
    pub(super) fn uses_of_a_key(&self) -> Vec<(&'static str, String)> {
        let url = &self.0;
        vec![
            (
                "In a shell: asks for the key, and shows who you are",
                format!(
                    "read -rs IPAM_API_KEY && export IPAM_API_KEY\nexport IPAM_ENDPOINT={}\nipam whoami",
                    shell(url)
                ),
            ),
            (
                "With curl",
                format!(
                    "curl -H \"X-API-Key: $IPAM_API_KEY\" {}",
                    shell(&format!("{url}/api/v1/whoami"))
                ),
            ),
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
    let id = match &allocation.name {
        Some(name) => format!("{}/{name}", allocation.vpc),
        None => allocation.id.to_string(),
    };
    format!("terraform import ipam_allocation.{label} {}", shell(&id))
}

fn curl(allocation: &Allocation, server: &str) -> String {
    format!(
        "curl -H \"X-API-Key: $IPAM_API_KEY\" {}",
        shell(&format!("{server}/api/v1/allocations/{}", allocation.id))
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

/// A string of the configuration language: nothing in it is a template.
fn quote(text: &str) -> String {
    let mut quoted = String::from("\"");
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' | '\\' => {
                quoted.push('\\');
                quoted.push(c);
            }
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '$' | '%' if chars.peek() == Some(&'{') => {
                quoted.push(c);
                quoted.push(c);
            }
            c if c.is_control() => {
                let _ = write!(quoted, "\\u{:04x}", u32::from(c));
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// One word of a shell.
fn shell(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use ipam_shared::{
        api::allocation::Block,
        ids::{AllocationId, VpcId},
        labels::Labels,
    };

    use super::*;

    fn allocation(vpc: &str, name: Option<&str>) -> Allocation {
        Allocation {
            id: AllocationId(uuid::Uuid::nil()),
            number: 17,
            vpc: vpc.parse().unwrap(),
            vpc_id: VpcId(uuid::Uuid::nil()),
            name: name.map(|name| name.parse().unwrap()),
            vrf: "default".into(),
            profile: DEFAULT_PROFILE.parse().ok(),
            requested_pools: None,
            requested_pool_selector: None,
            exclude_cidrs: Vec::new(),
            cidr: "10.0.0.0/23".parse().unwrap(),
            prefix_length: 23,
            requested_hosts: Some(500),
            requested_prefix_length: None,
            requested_cidr: None,
            blocks: Vec::<Block>::new(),
            labels: Labels::default(),
            description: String::new(),
            deletion_protection: false,
            revision: 1,
            created_by: "admin".to_owned(),
            owner: None,
            confirmed: false,
            created_at: time::OffsetDateTime::UNIX_EPOCH,
            updated_at: time::OffsetDateTime::UNIX_EPOCH,
            claim: None,
            claim_digest: None,
        }
    }

    #[test]
    fn lines_of_an_ordinary_allocation() {
        let mut allocation = allocation("production", Some("eks-1"));
        allocation.labels =
            serde_json::from_str(r#"{"environment":"prod","team":"core"}"#).unwrap();
        let snippets = Snippets::new(&allocation, &Server("http://127.0.0.1:8000".to_owned()));
        let expected = r#"resource "ipam_allocation" "eks_1" {
  vpc   = "production"
  name  = "eks-1"
  hosts = 500

  labels = {
    "environment" = "prod"
    "team"        = "core"
  }
}
"#;
        assert_eq!(snippets.hcl, expected);
        assert_eq!(
            snippets.import,
            "terraform import ipam_allocation.eks_1 'production/eks-1'"
        );
        assert_eq!(
            snippets.curl,
            "curl -H \"X-API-Key: $IPAM_API_KEY\" \
             'http://127.0.0.1:8000/api/v1/allocations/00000000-0000-0000-0000-000000000000'"
        );
    }

    #[test]
    fn an_allocation_from_pools_is_asked_for_from_pools() {
        let mut allocation = allocation("dev", Some("lab"));
        allocation.vrf = "dev".to_owned();
        allocation.profile = None;
        allocation.requested_pools = Some(vec!["a".to_owned(), "b".to_owned()]);
        allocation.exclude_cidrs = vec!["10.0.0.0/24".parse().unwrap()];
        let expected = r#"resource "ipam_allocation" "lab" {
  vpc           = "dev"
  name          = "lab"
  vrf           = "dev"
  pools         = ["a", "b"]
  exclude_cidrs = ["10.0.0.0/24"]
  hosts         = 500
}
"#;
        assert_eq!(hcl(&allocation, "lab"), expected);
        allocation.requested_pools = None;
        allocation.requested_pool_selector = serde_json::from_str(r#"{"tier":"gold"}"#).ok();
        assert!(hcl(&allocation, "lab").contains(r#"pool_selector = { "tier" = "gold" }"#));
    }

    #[test]
    fn what_users_typed_stays_text() {
        let evil = "'; rm -rf ~; echo '${file(\"x\")}%{if}$$";
        let snippets = Snippets::new(
            &allocation(evil, Some("9 lives")),
            &Server("http://x".to_owned()),
        );
        assert!(
            snippets
                .hcl
                .contains(r#""'; rm -rf ~; echo '$${file(\"x\")}%%{if}$$""#),
            "{}",
            snippets.hcl
        );
        let expected = r#"terraform import ipam_allocation.a_9_lives ''\''; rm -rf ~; echo '\''${file("x")}%{if}$$/9 lives'"#;
        assert_eq!(snippets.import, expected);
        assert_eq!(resource_label(&allocation("ü", None)), "allocation_17");
    }
}
