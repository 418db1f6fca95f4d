//! How long `terraform plan` takes for 1,000 allocations, as a ratio of the built-in `terraform_data` with the same
//! count, alternating, medians. `cargo bench -p terraform-provider-ipam --bench plan [-- COUNT ROUNDS]`.
//!
//! Terraform itself spends time on each value of each resource, also of its built-in one. Two of those are measured: with
//! the same values in the state as the allocations have, which is the fair comparison, and with nothing but the arguments
//! that a person writes.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a measurement prints, and stops at whatever goes wrong"
)]

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use ipam_testing::{TestDatabase, TestServer};
use tempfile::TempDir;

const HEAD: &str = "terraform {\n  required_providers {\n    ipam = {\n      source = \"ipam/ipam\"\n    }\n  }\n}\n";

/// What an allocation's state holds.
const SAME_VALUES: &str = r#"{
    vpc = "prod", name = "n${count.index}", hosts = 50, prefix_length = 26, cidr = "10.0.0.0/26", profile = "node-pod"
    id = "0190d6a5-8f0e-7cc0-a7a0-000000000001", description = "", deletion_protection = false
    labels = { env = "prod" }, effective_labels = { env = "prod" }
    primary_cidr = "10.0.0.0/26", cgnat_cidr = "100.64.0.0/21"
    blocks = {
      primary = { cidr = "10.0.0.0/26", pool = "primary", vrf = "default", usable = 59 }
      cgnat   = { cidr = "100.64.0.0/21", pool = "cgnat", vrf = "default", usable = 2043 }
    }
  }"#;

struct Contestant {
    name: &'static str,
    dir: TempDir,
    times: Vec<Duration>,
}

#[tokio::main]
async fn main() {
    let mut numbers = std::env::args()
        .skip(1)
        .filter_map(|argument| argument.parse::<usize>().ok());
    let count = numbers.next().unwrap_or(1000);
    let rounds = numbers.next().unwrap_or(7);
    let database = TestDatabase::new().await;
    let server = TestServer::start(&database).await;
    let resource = |kind: &str, body: &str| {
        format!("{HEAD}resource \"{kind}\" \"a\" {{\n  count = {count}\n{body}\n}}\n")
    };
    let allocation = resource(
        "ipam_allocation",
        "  vpc = \"prod\"\n  name = \"n${count.index}\"\n  hosts = 50\n  labels = { env = \"prod\" }",
    );
    let mut contestants = [
        ("ipam_allocation", allocation.as_str()),
        (
            "terraform_data, same values",
            &resource("terraform_data", &format!("  input = {SAME_VALUES}")),
        ),
        (
            "terraform_data, arguments only",
            &resource(
                "terraform_data",
                "  input = { vpc = \"prod\", name = \"n${count.index}\", hosts = 50, labels = { env = \"prod\" } }",
            ),
        ),
    ]
    .map(|(name, config)| Contestant::new(name, config));
    for contestant in &contestants {
        contestant.terraform(&server, &["apply", "-auto-approve"]);
        contestant.terraform(&server, &["plan"]);
    }
    for _ in 0..rounds {
        for contestant in &mut contestants {
            let began = Instant::now();
            contestant.terraform(&server, &["plan", "-detailed-exitcode"]);
            contestant.times.push(began.elapsed());
        }
    }
    let medians = contestants.each_mut().map(Contestant::median);
    println!("terraform plan of {count} resources, median of {rounds} rounds");
    for (contestant, median) in contestants.iter().zip(medians) {
        println!(
            "  {:<32} {:>7.3} s   ipam_allocation is {:.2} times this",
            contestant.name,
            median.as_secs_f64(),
            medians[0].as_secs_f64() / median.as_secs_f64()
        );
    }
}

impl Contestant {
    fn new(name: &'static str, config: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("main.tf"), config).unwrap();
        let provider = Path::new(env!("CARGO_BIN_EXE_terraform-provider-ipam"));
        let overrides = format!(
            "provider_installation {{\n  dev_overrides {{\n    \"ipam/ipam\" = \"{}\"\n  }}\n  direct {{}}\n}}\n",
            provider.parent().map(PathBuf::from).unwrap().display()
        );
        fs::write(dir.path().join("terraform.rc"), overrides).unwrap();
        Self {
            name,
            dir,
            times: Vec::new(),
        }
    }

    fn terraform(&self, server: &TestServer, arguments: &[&str]) {
        let status = Command::new("terraform")
            .args(arguments)
            .current_dir(self.dir.path())
            .env("TF_CLI_CONFIG_FILE", self.dir.path().join("terraform.rc"))
            .env("CHECKPOINT_DISABLE", "1")
            .env("IPAM_ENDPOINT", server.url())
            .env("IPAM_API_KEY", TestServer::API_KEY)
            .stdout(Stdio::null())
            .status()
            .unwrap_or_else(|error| panic!("terraform must be on the path: {error}"));
        assert!(
            status.success(),
            "{}: terraform {arguments:?} fails",
            self.name
        );
    }

    fn median(&mut self) -> Duration {
        self.times.sort();
        self.times[self.times.len() / 2]
    }
}
