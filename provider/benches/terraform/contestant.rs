//! A configuration, and what Terraform does with it.

use std::{
    fs,
    os::unix::fs::symlink,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use ipam_testing::TestServer;
use tempfile::TempDir;

use crate::distance::Distance;

const HEAD: &str = "terraform {\n  required_providers {\n    ipam = {\n      source = \"ipam/ipam\"\n    }\n  }\n}\n";

pub(crate) struct Contestant {
    pub(crate) name: &'static str,
    dir: TempDir,
    endpoint: String,
}

/// What one cycle took.
#[derive(Clone, Debug, Default)]
pub(crate) struct Round {
    apply: Duration,
    /// The first plan after the apply, which confirms what was made.
    first: Duration,
    pub(crate) plan: Duration,
    unrefreshed: Duration,
    /// The plan with the server far away.
    pub(crate) far: Duration,
    destroy: Duration,
    /// That the first plan makes.
    requests: u64,
    /// Of the state, for each resource.
    bytes: u64,
}

impl Contestant {
    /// Where `provider` is what Terraform runs as `ipam/ipam`.
    pub(crate) fn new(name: &'static str, config: &str, provider: &Path, endpoint: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let bin = dir.path().join("bin");
        fs::create_dir(&bin).unwrap();
        symlink(provider, bin.join("terraform-provider-ipam")).unwrap();
        let uses_provider = !config.contains("terraform_data");
        let head = if uses_provider { HEAD } else { "" };
        fs::write(dir.path().join("main.tf"), format!("{head}{config}")).unwrap();
        let overrides = format!(
            "provider_installation {{\n  dev_overrides {{\n    \"ipam/ipam\" = \"{}\"\n  }}\n  direct {{}}\n}}\n",
            bin.display()
        );
        fs::write(dir.path().join("terraform.rc"), overrides).unwrap();
        Self {
            name,
            dir,
            endpoint: endpoint.to_owned(),
        }
    }

    /// Makes everything, plans in each way, and takes it down again.
    pub(crate) async fn round(&self, server: &TestServer, far: &Distance) -> Round {
        let apply = self.terraform(&self.endpoint, &["apply", "-auto-approve"]);
        let state = fs::metadata(self.dir.path().join("terraform.tfstate")).unwrap();
        let text = fs::read_to_string(self.dir.path().join("terraform.tfstate")).unwrap();
        let before = requests(server).await;
        let plan = ["plan", "-detailed-exitcode"];
        let first = self.terraform(&self.endpoint, &plan);
        // The scrape is a request too.
        let requests = requests(server).await - before - 1;
        Round {
            apply,
            first,
            requests,
            bytes: state.len() / text.matches("\"index_key\"").count().max(1) as u64,
            plan: self.terraform(&self.endpoint, &plan),
            unrefreshed: self.terraform(
                &self.endpoint,
                &["plan", "-refresh=false", "-detailed-exitcode"],
            ),
            far: self.terraform(&far.url, &plan),
            destroy: self.terraform(&self.endpoint, &["destroy", "-auto-approve"]),
        }
    }

    fn terraform(&self, endpoint: &str, arguments: &[&str]) -> Duration {
        let began = Instant::now();
        let output = Command::new("terraform")
            .args(arguments)
            .arg("-no-color")
            .current_dir(self.dir.path())
            .env("TF_CLI_CONFIG_FILE", self.dir.path().join("terraform.rc"))
            .env("CHECKPOINT_DISABLE", "1")
            .env("IPAM_ENDPOINT", endpoint)
            .env("IPAM_API_KEY", TestServer::API_KEY)
            .stdin(Stdio::null())
            .output()
            .unwrap_or_else(|error| panic!("terraform must be on the path: {error}"));
        let took = began.elapsed();
        assert!(
            output.status.success(),
            "{}: terraform {arguments:?} fails:\n{}",
            self.name,
            String::from_utf8_lossy(&output.stderr)
        );
        took
    }
}

/// How many requests the server has answered.
async fn requests(server: &TestServer) -> u64 {
    _ = rustls::crypto::ring::default_provider().install_default();
    let text = reqwest::Client::new()
        .get(format!("{}/metrics", server.url()))
        .header("x-api-key", TestServer::API_KEY)
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    text.lines()
        .filter(|line| line.starts_with("ipam_http_requests_total{"))
        .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
        .sum::<f64>() as u64
}

impl Round {
    pub(crate) fn median(rounds: &[Self]) -> Self {
        let of = |value: fn(&Self) -> Duration| {
            let mut values: Vec<_> = rounds.iter().map(value).collect();
            values.sort();
            values[values.len() / 2]
        };
        let last = rounds.last().unwrap();
        Self {
            apply: of(|round| round.apply),
            first: of(|round| round.first),
            plan: of(|round| round.plan),
            unrefreshed: of(|round| round.unrefreshed),
            far: of(|round| round.far),
            destroy: of(|round| round.destroy),
            requests: last.requests,
            bytes: last.bytes,
        }
    }

    /// A line of the table.
    pub(crate) fn beside(&self, other: &Self) -> String {
        let cell = |own: Duration, other: Duration| {
            let (own, other) = (own.as_secs_f64(), other.as_secs_f64());
            format!("{own:>6.2} s ({:>4.2})", own / other)
        };
        format!(
            "{} {} {} {} {} {:>9} {:>8}",
            cell(self.apply, other.apply),
            cell(self.first, other.first),
            cell(self.plan, other.plan),
            cell(self.unrefreshed, other.unrefreshed),
            cell(self.destroy, other.destroy),
            self.requests,
            self.bytes
        )
    }
}
