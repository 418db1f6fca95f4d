//! How fast the server is, against the floor (the same two rows inserted by hand into the same table), and whether it stays
//! so: with a million blocks, with two servers, while a snapshot is held open. What it costs when idle.
//!
//! `cargo bench -p ipam-server --bench allocate` starts a durable PostgreSQL of its own and real servers, measures all
//! parts, and prints each figure beside its target. What is compared alternates, so that noise of the machine hits both;
//! medians of the rounds are printed, and their ratios are the figures to quote.
//!
//! The rooms: `allocation`, `operations`, `pages`, `tokens`, `two_servers`, `snapshot` and `idle` are the parts; `floor` is what they compare
//! with; a `world` is a database, filled by `fill`, with a `server` on it; `load` has the clients, `report` the targets.

#![expect(clippy::print_stdout, reason = "the figures are what it is for")]

mod allocation;
mod fill;
mod floor;
mod idle;
mod load;
mod operations;
mod pages;
mod report;
mod server;
mod snapshot;
mod tokens;
mod two_servers;
mod world;

use std::path::Path;

use anyhow::{Context as _, ensure};
use ipam_server::postgres::{Managed, Options};

use crate::{
    report::Score,
    snapshot::Stretches,
    world::{IPV4, IPV6, Kind, World},
};

const USAGE: &str = "
What to measure (everything if none is given):
  --allocate      allocation against the floor, and how it changes with the size
  --operations    release, resize, lookup, list page and dry run, and how they change with the size
  --pages         the pages of the dashboard, with the most blocks and two thousand pools
  --tokens        allocation by tokens against the administrator's key
  --two-servers   two servers on one PostgreSQL against one
  --snapshot      a snapshot held open for 10 s
  --idle          memory, start and size of the server
How:
  --sizes 100,1000000    blocks that are there at first (two for each allocation); the first is compared with the last,
                         and the parts that do not compare sizes take the first
  --family both          4, 6 or both; the parts that do not compare families take the first
  --rounds 3             of which the median is taken
  --seconds 2            of each measurement
  --quick                to see that it works: short, small and once; options after it still count";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Allocate,
    Operations,
    Pages,
    Tokens,
    TwoServers,
    Snapshot,
    Idle,
}

struct Plan {
    parts: Vec<Part>,
    sizes: Vec<usize>,
    kinds: Vec<&'static Kind>,
    rounds: usize,
    seconds: f64,
    stretches: Stretches,
}

impl Plan {
    fn has(&self, part: Part) -> bool {
        self.parts.is_empty() || self.parts.contains(&part)
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let Some(plan) = plan()? else {
        println!("{USAGE}");
        return Ok(());
    };
    println!(
        "sizes are counted in blocks, two for each allocation; {} s a measurement",
        plan.seconds
    );
    // Not in a directory of root's own, which the database's user could not enter.
    let dir = tempfile::tempdir()?;
    let postgres = Managed::start(&dir.path().join("data"), Options::default()).await?;
    let mut score = Score::default();
    let done = measure(&plan, &postgres.database_url(), dir.path(), &mut score).await;
    postgres.stop().await?;
    done?;
    score.close();
    Ok(())
}

async fn measure(plan: &Plan, url: &str, dir: &Path, score: &mut Score) -> anyhow::Result<()> {
    let Plan {
        rounds, seconds, ..
    } = *plan;
    if [Part::Allocate, Part::Operations, Part::Pages]
        .map(|part| plan.has(part))
        .contains(&true)
    {
        for kind in &plan.kinds {
            let mut worlds = Vec::new();
            for size in &plan.sizes {
                worlds.push(World::make(url, dir, kind, *size).await?);
            }
            if plan.has(Part::Allocate) {
                allocation::compare(&worlds, rounds, seconds, score).await?;
            }
            if plan.has(Part::Operations) {
                operations::compare(&mut worlds, rounds, seconds, score).await?;
            }
            if let Some(world) = worlds.last()
                && plan.has(Part::Pages)
            {
                pages::measure(world, rounds, seconds, score).await?;
            }
            for world in worlds {
                world.close().await?;
            }
        }
    }
    for part in [Part::Tokens, Part::TwoServers, Part::Snapshot, Part::Idle] {
        if !plan.has(part) {
            continue;
        }
        let world = World::make(url, dir, plan.kinds[0], plan.sizes[0]).await?;
        match part {
            Part::Tokens => tokens::compare(&world, rounds, seconds, score).await?,
            Part::TwoServers => two_servers::compare(&world, dir, rounds, seconds, score).await?,
            Part::Snapshot => snapshot::hold(&world, plan.stretches, rounds, score).await?,
            _ => idle::measure(&world, dir, rounds, seconds, score).await?,
        }
        world.close().await?;
    }
    Ok(())
}

/// What the command line asks for; nothing if it asks for help.
fn plan() -> anyhow::Result<Option<Plan>> {
    let mut plan = Plan {
        parts: Vec::new(),
        sizes: vec![100, 1_000_000],
        kinds: vec![&IPV4, &IPV6],
        rounds: 3,
        seconds: 2.0,
        stretches: Stretches::FULL,
    };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || {
            arguments
                .next()
                .with_context(|| format!("{argument} takes a value"))
        };
        match argument.as_str() {
            "--allocate" => plan.parts.push(Part::Allocate),
            "--operations" => plan.parts.push(Part::Operations),
            "--pages" => plan.parts.push(Part::Pages),
            "--tokens" => plan.parts.push(Part::Tokens),
            "--two-servers" => plan.parts.push(Part::TwoServers),
            "--snapshot" => plan.parts.push(Part::Snapshot),
            "--idle" => plan.parts.push(Part::Idle),
            "--sizes" => {
                plan.sizes = value()?
                    .split(',')
                    .map(str::parse)
                    .collect::<Result<_, _>>()?
            }
            "--family" => {
                plan.kinds = match value()?.as_str() {
                    "4" => vec![&IPV4],
                    "6" => vec![&IPV6],
                    "both" => vec![&IPV4, &IPV6],
                    other => anyhow::bail!("--family takes 4, 6 or both, not {other}"),
                }
            }
            "--rounds" => plan.rounds = value()?.parse()?,
            "--seconds" => plan.seconds = value()?.parse()?,
            "--quick" => {
                plan.sizes = vec![100, 2_000];
                (plan.rounds, plan.seconds) = (1, 0.3);
                plan.stretches = Stretches::QUICK;
            }
            "--help" => return Ok(None),
            // `cargo bench` adds it.
            "--bench" => {}
            other => anyhow::bail!("unknown argument {other}\n{USAGE}"),
        }
    }
    ensure!(
        plan.rounds > 0 && plan.sizes.iter().all(|size| *size >= 2),
        "there is at least one round, and sizes are at least 2"
    );
    ensure!(!plan.sizes.is_empty(), "--sizes takes at least one size");
    Ok(Some(plan))
}
