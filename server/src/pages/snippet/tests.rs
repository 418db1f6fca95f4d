//! What is copied is what was meant, whatever people called it.

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

impl Snippets {
    fn text(&self, id: &str) -> &str {
        let found = self.copies.iter().find(|copy| copy.id == id);
        &found.unwrap().text
    }
}

#[test]
fn lines_of_an_ordinary_allocation() {
    let mut allocation = allocation("production", Some("eks-1"));
    allocation.labels = serde_json::from_str(r#"{"environment":"prod","team":"core"}"#).unwrap();
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
    assert_eq!(snippets.text("hcl"), expected);
    assert_eq!(
        snippets.text("import"),
        "terraform import ipam_allocation.eks_1 'production/eks-1'"
    );
    assert_eq!(
        snippets.text("curl"),
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
            .text("hcl")
            .contains(r#""'; rm -rf ~; echo '$${file(\"x\")}%%{if}$$""#),
        "{snippets:?}"
    );
    let expected = r#"terraform import ipam_allocation.a_9_lives ''\''; rm -rf ~; echo '\''${file("x")}%{if}$$/9 lives'"#;
    assert_eq!(snippets.text("import"), expected);
    assert_eq!(resource_label(&allocation("ü", None)), "allocation_17");
}

#[test]
fn networks_are_there_for_each_program_that_wants_them() {
    let mut allocation = allocation("prod", Some("A very long name; with 'everything' {in} it"));
    for cidr in ["10.0.0.0/23", "2001:db8::/48"] {
        allocation.blocks.push(Block {
            role: "main".to_owned(),
            cidr: cidr.parse().unwrap(),
            pool: "primary".to_owned(),
            vrf: "default".to_owned(),
            usable: 1,
        });
    }
    let snippets = Snippets::new(&allocation, &Server("http://x".to_owned()));
    assert_eq!(snippets.text("list"), networks(&allocation, "\n"));
    for network in allocation.blocks.iter().map(|block| block.cidr.to_string()) {
        for id in ["list", "hcl-list", "nft"] {
            assert!(snippets.text(id).contains(&network), "{id}");
        }
    }
    let nft = snippets.text("nft");
    assert!(
        nft.contains("set a_very_long_name_with_ev_v4 {\n    type ipv4_addr"),
        "{nft}"
    );
    assert!(
        nft.contains("type ipv6_addr\n    flags interval\n    elements = { 2001:db8::/48 }"),
        "{nft}"
    );
    assert!(!nft.contains('\'') && !nft.contains(';'), "{nft}");
    assert_eq!(
        snippets.text("cli"),
        "ipam allocation show 'prod/A very long name; with '\\''everything'\\'' {in} it'\n\
         ipam events --subject 00000000-0000-0000-0000-000000000000\n\
         ipam allocation resize 'prod/A very long name; with '\\''everything'\\'' {in} it' --hosts 500 --dry-run\n\
         # ipam allocation release 'prod/A very long name; with '\\''everything'\\'' {in} it'\n"
    );
}

#[test]
fn what_does_not_look_like_what_it_is_is_escaped_or_called_by_its_id() {
    let id = "'00000000-0000-0000-0000-000000000000'";
    for (vpc, name) in [("prod", "a\u{202e}b"), ("-o", "json")] {
        let snippets = Snippets::new(&allocation(vpc, Some(name)), &Server(String::new()));
        assert!(snippets.text("import").ends_with(id), "{snippets:?}");
        assert!(
            snippets.text("cli").contains(&format!("show {id}")),
            "{snippets:?}"
        );
        assert!(
            !snippets
                .copies
                .iter()
                .any(|copy| copy.text.chars().any(|c| c == '\u{202e}'))
        );
    }
    let snippets = Snippets::new(
        &allocation("${a}", Some("a\u{202e}b")),
        &Server(String::new()),
    );
    let expected = "import {\n  to = ipam_allocation.a_b\n  identity = {\n    vpc  = \"$${a}\"\n    name = \"a\\u202eb\"\n  }\n}\n";
    assert_eq!(snippets.text("import-block"), expected);
    let unnamed = Snippets::new(&allocation("prod", None), &Server(String::new()));
    assert!(
        unnamed
            .text("import-block")
            .contains("    id = \"00000000-"),
        "{unnamed:?}"
    );
}
