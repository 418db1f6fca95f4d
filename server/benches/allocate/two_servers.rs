//! Two server processes on one PostgreSQL against one, at the same total load.

use std::path::Path;

use crate::{
    load::median,
    report::{Score, Target::AtLeast},
    server::Server,
    world::World,
};

/// Clients in all.
const CLIENTS: usize = 32;

pub(crate) async fn compare(
    world: &World,
    dir: &Path,
    rounds: usize,
    seconds: f64,
    score: &mut Score,
) -> anyhow::Result<()> {
    println!(
        "\ntwo servers with 16 clients each against one with 32 ({}); medians of {rounds} rounds",
        world.name()
    );
    let second = Server::start(&world.url, dir).await?;
    let (mut ones, mut twos) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        for (others, runs) in [(&[][..], &mut ones), (&[&second][..], &mut twos)] {
            let done = <_>::default();
            runs.push(world.allocate(others, CLIENTS, seconds, &done).await?);
        }
    }
    let (one, two) = (median(&ones), median(&twos));
    for (name, run) in [("one server", one), ("two servers", two)] {
        println!(
            "{name:<12} {:>8.0} allocations/s, p50/p99 {:.2}/{:.2} ms",
            run.per_second, run.p50_ms, run.p99_ms
        );
    }
    let ratio = two.per_second / one.per_second;
    score.line("two servers / one", ratio, "", AtLeast(0.7));
    score.none_failed("two servers", one.failed + two.failed);
    Ok(())
}
