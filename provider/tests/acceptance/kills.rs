//! kill -9 of Terraform, its provider, the server or PostgreSQL at random moments of applies and destroys of a stack with
//! every type of resource. Afterwards the same command, repeated, has to end well without any help: the plan is empty,
//! nothing leaked, and nothing is there twice, as SQL counts it.
//!
//! `IPAM_KILLS` says how many in each of the tests here, and `IPAM_SEED` repeats a sequence.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use ipam_testing::{Pair, TestServer};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use sqlx::ConnectOptions as _;

use crate::{
    backend::Backend,
    stack::{Run, Workspace, finish, is_running},
};

/// Kills in each test, if nothing else is said.
const KILLS: usize = 6;
/// So often a command may have to be repeated: once, and once more when a database or a server that was killed was not back
/// in time for the first.
const REPEATS: usize = 2;

#[derive(Clone, Copy, Debug)]
enum Victim {
    Terraform,
    Provider,
    Server,
    Postgres,
}

const VICTIMS: [Victim; 4] = [
    Victim::Terraform,
    Victim::Provider,
    Victim::Server,
    Victim::Postgres,
];

/// A small generator (xorshift), so that a sequence can be repeated.
struct Random(u64);

impl Random {
    fn new(salt: u64) -> Self {
        let seed = std::env::var("IPAM_SEED")
            .ok()
            .and_then(|seed| seed.parse().ok());
        let seed = seed.unwrap_or_else(|| u64::from(std::process::id()) ^ salt << 32 ^ salt);
        Self(seed | 1)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

/// A stack with every type of resource. Another `variant` renames, resizes, labels, adds and removes.
fn stack(variant: u64) -> String {
    let (changed, text) = (variant % 2 == 1, if variant % 2 == 1 { "b" } else { "a" });
    let clusters = if changed {
        r#"["c0", "c1", "c3", "c4"]"#
    } else {
        r#"["c0", "c1", "c2"]"#
    };
    let lengths = if changed { "[19, 20]" } else { "[19]" };
    let (size, extra) = if changed {
        (22, r#", "192.168.0.0/16""#)
    } else {
        (23, "")
    };
    format!(
        r#"
resource "ipam_vrf" "v" {{
  name        = "dev-{text}"
  description = "variant {text}"
}}
resource "ipam_pool" "nodes" {{
  name   = "nodes-{text}"
  vrf    = ipam_vrf.v.name
  ranges = ["10.0.0.0/14"]
  labels = {{ tier = "nodes" }}
}}
resource "ipam_pool" "pods" {{
  name   = "pods"
  vrf    = ipam_vrf.v.name
  ranges = ["100.64.0.0/10"]
}}
resource "ipam_pool" "by_ranges" {{
  name   = "by-ranges"
  vrf    = ipam_vrf.v.name
  parent = ipam_pool.nodes.id
  ranges = ["10.1.0.0/18"]
}}
resource "ipam_pool" "by_sizes" {{
  name                 = "by-sizes"
  vrf                  = ipam_vrf.v.name
  parent               = ipam_pool.nodes.id
  range_prefix_lengths = {lengths}
}}
resource "ipam_profile" "p" {{
  name        = "cluster"
  description = "{text}"
  members = [
    {{ role = "nodes", pool = ipam_pool.nodes.name, min_prefix_length = 20, max_prefix_length = 26 }},
    {{ role = "pods", pool = ipam_pool.pods.name, size_offset = -5 }},
  ]
}}
resource "ipam_vpc" "c" {{
  for_each    = toset({clusters})
  name        = "vpc-${{each.key}}"
  vrf         = ipam_vrf.v.name
  description = "{text}"
}}
resource "ipam_reservation" "r" {{
  for_each = toset(["10.200.0.0/24", "10.200.1.0/24"{extra}])
  cidr     = each.key
  vrf      = ipam_vrf.v.name
  reason   = "legacy {text}"
}}
resource "ipam_allocation" "by_profile" {{
  for_each      = ipam_vpc.c
  vpc           = each.value.name
  name          = "cluster"
  profile       = ipam_profile.p.name
  prefix_length = 26
  labels        = {{ variant = "{text}" }}
}}
# Alone in its pool, so that it can always grow.
resource "ipam_pool" "solo" {{
  name   = "solo"
  ranges = ["10.100.0.0/20"]
}}
resource "ipam_allocation" "solo" {{
  vpc           = ipam_vpc.shared.name
  name          = "solo-{text}"
  pools         = [ipam_pool.solo.name]
  prefix_length = {size}
}}
resource "ipam_allocation" "from_pool" {{
  for_each      = ipam_vpc.c
  vpc           = each.value.name
  name          = "db-{text}"
  pools         = [ipam_pool.by_ranges.name, ipam_pool.by_sizes.name]
  prefix_length = 28
  labels        = {{ variant = "{text}" }}
}}
resource "ipam_allocation" "built_in" {{
  count = 2
  vpc   = "shared"
  name  = "n${{count.index}}"
  hosts = 50
  depends_on = [ipam_vpc.shared]
}}
resource "ipam_vpc" "shared" {{
  name = "shared"
}}
ephemeral "ipam_token_secret" "t" {{}}
resource "ipam_token" "t" {{
  name              = "ci-{text}"
  description       = "variant {text}"
  roles             = ["allocator"]
  limits            = {{ pools = [ipam_pool.nodes.id], vpcs = ["vpc-*"] }}
  secret_wo         = ephemeral.ipam_token_secret.t.secret
  secret_wo_version = 1
}}
"#
    )
}

struct Field {
    pair: Pair,
    server: TestServer,
    random: Random,
}

impl Field {
    async fn start(salt: u64) -> Self {
        let pair = Pair::start().await;
        let server = TestServer::start_with(&pair.url(), &[]).await;
        Self {
            pair,
            server,
            random: Random::new(salt),
        }
    }

    async fn ids(&self) -> BTreeSet<String> {
        let mut connection = self.pair.primary().connect().await.unwrap();
        let ids: Vec<String> = sqlx::query_scalar(
            "select vrf_id::text from vrf where name <> 'default'
             union all select pool_id::text from pool where name not in ('primary', 'cgnat')
             union all select profile_id::text from profile where name <> 'node-pod'
             union all select vpc_id::text from vpc
             union all select reservation_id::text from reservation
             union all select allocation_id::text from allocation
             union all select token_id::text from token",
        )
        .fetch_all(&mut connection)
        .await
        .unwrap();
        let count = ids.len();
        let ids = BTreeSet::from_iter(ids);
        assert_eq!(ids.len(), count);
        ids
    }

    /// Runs a command and kills somebody meanwhile. Whether the run was still going on at that moment.
    async fn strike(
        &mut self,
        terraform: &Workspace,
        command: &[&str],
        within: Duration,
    ) -> (Victim, bool) {
        let victim = VICTIMS[self.random.below(4) as usize];
        let within = u64::try_from(within.as_millis()).unwrap().max(1);
        let after = Duration::from_millis(self.random.below(within));
        let mut run = terraform.start(command);
        tokio::time::sleep(after).await;
        let was_running = run.try_wait().unwrap().is_none();
        match victim {
            Victim::Terraform => drop(run.kill().await),
            Victim::Provider => {
                let running = terraform
                    .provider_pids()
                    .into_iter()
                    .filter(|pid| is_running(*pid));
                for pid in running {
                    // It may have ended by now.
                    _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
                }
            }
            Victim::Server => {
                self.server.kill_9();
                self.server.restart().await;
            }
            Victim::Postgres => self.pair.restart().await,
        }
        if !matches!(victim, Victim::Terraform) {
            finish(run).await;
        }
        (victim, was_running)
    }

    /// Repeats what was interrupted until it ends well.
    async fn repeat(&self, terraform: &Workspace, command: &[&str], what: &str) -> Run {
        let mut said = String::new();
        for _ in 0..REPEATS {
            let run = terraform.terraform(command).await;
            if run.code == Some(0) {
                return run;
            }
            said = run.text;
        }
        panic!(
            "{what}: repeated {REPEATS} times, {command:?} still fails:\n{said}\n{}",
            self.server.log()
        );
    }
}

/// Terraform writes a local state in place, and keeps the one before beside it. Killed between emptying the file and
/// writing it, it leaves none or half of one, whatever the provider: then its user puts the one before back.
fn mend(terraform: &Workspace) {
    let state = terraform.path("terraform.tfstate");
    let Ok(text) = std::fs::read(&state) else {
        return;
    };
    if serde_json::from_slice::<serde_json::Value>(&text).is_err() {
        let before = terraform.path("terraform.tfstate.backup");
        if std::fs::copy(before, &state).is_err() {
            std::fs::remove_file(&state).unwrap();
        }
    }
}

/// Returns what was done.
async fn strikes(salt: u64, backend: Option<Backend>) -> String {
    let kills = std::env::var("IPAM_KILLS")
        .ok()
        .and_then(|kills| kills.parse().ok());
    let kills: usize = kills.unwrap_or(KILLS);
    let mut field = Field::start(salt).await;
    let seed = field.random.0;
    let address = field.server.url();
    let new = async || {
        let terraform = Workspace::new(&address);
        terraform.write("");
        if let Some(backend) = &backend {
            backend.keep(&terraform).await;
        }
        terraform
    };
    let mut terraform = new().await;
    // How long a command takes that nobody disturbs; learnt as it goes on.
    let mut usual = Duration::from_secs(3);
    let (mut hits, mut exists) = (0, false);
    let mut by_victim = [0; 4];
    while hits < kills {
        let destroys = exists && field.random.below(3) == 0;
        let variant = field.random.below(2);
        terraform.write(&stack(variant));
        let command: &[&str] = if destroys {
            &["destroy", "-no-color", "-input=false", "-auto-approve"]
        } else {
            &["apply", "-no-color", "-input=false", "-auto-approve"]
        };
        let (victim, was_running) = field.strike(&terraform, command, usual).await;
        if was_running {
            hits += 1;
            by_victim[victim as usize] += 1;
        }
        let what = format!(
            "kill {hits} ({victim:?}, variant {variant}, {})",
            command[0]
        );
        if matches!(victim, Victim::Terraform) {
            mend(&terraform);
        }
        let began = Instant::now();
        field.repeat(&terraform, command, &what).await;
        usual = (usual + began.elapsed()) / 2;
        exists = !destroys;
        let stored = field.ids().await;
        if destroys {
            assert_eq!(
                stored,
                BTreeSet::new(),
                "{what}: the destroy leaves something"
            );
            // A state that was never written before is another case than one that was.
            terraform = new().await;
            continue;
        }
        let plan = terraform.plan().await;
        assert_eq!(
            plan.code,
            Some(0),
            "{what}: the plan is not empty:\n{}",
            plan.text
        );
        let known = BTreeSet::from_iter(terraform.ids().await);
        assert_eq!(known, stored, "{what}: state and database differ");
    }
    let mut connection = field.pair.primary().connect().await.unwrap();
    let twice: i64 = sqlx::query_scalar(
        "select count(*) from block one join block other
            on one.range_id = other.range_id and one.cidr && other.cidr and one.ctid <> other.ctid
            where one.allocation_id is not null and other.allocation_id is not null",
    )
    .fetch_one(&mut connection)
    .await
    .unwrap();
    assert_eq!(twice, 0);
    format!("IPAM_SEED={seed}, {hits} hits: {VICTIMS:?} {by_victim:?}")
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_killed_the_same_command_ends_well_the_next_time_1() {
    println!("{}", strikes(1, None).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_killed_the_same_command_ends_well_the_next_time_2() {
    println!("{}", strikes(2, None).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_killed_the_same_command_ends_well_the_next_time_with_an_http_backend_1() {
    println!("{}", strikes(3, Some(Backend::start().await)).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_killed_the_same_command_ends_well_the_next_time_with_an_http_backend_2() {
    println!("{}", strikes(4, Some(Backend::start().await)).await);
}
