//! Allocating against the floor, and how both change with what is there. Databases of all sizes are measured alternately,
//! so that what the machine does meanwhile hits each.

use crate::{
    floor,
    load::{Run, median},
    report::{
        Score,
        Target::{AtLeast, AtMost},
    },
    world::{World, family},
};

/// Numbers of clients, and the least share of the floor's rate.
const CLIENTS: [(usize, f64); 3] = [(1, 0.30), (8, 0.45), (32, 1.5)];

pub(crate) async fn compare(
    worlds: &[World],
    rounds: usize,
    seconds: f64,
    score: &mut Score,
) -> anyhow::Result<()> {
    println!(
        "\ntwo-block allocation over HTTP against a bare two-row INSERT into the same table; medians of {rounds} rounds"
    );
    println!(
        "{:>14} {:>7}  {:>10} {:>17}  {:>10} {:>17}  {:>6}",
        "blocks there", "clients", "floor/s", "p50/p99 ms", "ipam/s", "p50/p99 ms", "ratio"
    );
    // Of each world, for each number of clients: the floor and the server.
    let mut medians: Vec<Vec<(Run, Run)>> = vec![Vec::new(); worlds.len()];
    for (clients, share) in CLIENTS {
        let mut runs = vec![(Vec::new(), Vec::new()); worlds.len()];
        for _ in 0..rounds {
            for (world, (floors, ours)) in worlds.iter().zip(&mut runs) {
                floors.push(floor::insert(world, clients, seconds).await?);
                ours.push(
                    world
                        .allocate(&[], clients, seconds, &<_>::default())
                        .await?,
                );
            }
        }
        for ((world, (floors, ours)), medians) in worlds.iter().zip(&runs).zip(&mut medians) {
            let (floor, run) = (median(floors), median(ours));
            let ratio = run.per_second / floor.per_second;
            let what = format!("{}, {clients} clients: rate / floor's", world.name());
            let verdict = score.check(&what, ratio, AtLeast(share));
            println!(
                "{} {:>9} {clients:>7}  {:>10.0} {:>8.2}/{:>8.2}  {:>10.0} {:>8.2}/{:>8.2}  {ratio:>6.2} {verdict}",
                family(world.kind),
                world.size,
                floor.per_second,
                floor.p50_ms,
                floor.p99_ms,
                run.per_second,
                run.p50_ms,
                run.p99_ms,
            );
            medians.push((floor, run));
        }
    }
    for (world, medians) in worlds.iter().zip(&medians) {
        let name = world.name();
        let (floor, run) = medians[2];
        let what = format!("{name}, 32 clients: p99 / floor's");
        score.line(&what, run.p99_ms / floor.p99_ms, "", AtMost(0.3));
        let failed: usize = medians.iter().map(|(_, run)| run.failed).sum();
        score.none_failed(&name, failed);
    }
    if let ([small, .., large], [first, .., last]) = (worlds, &medians[..]) {
        let what = |figure| {
            let family = family(small.kind);
            format!(
                "{family}, {} to {} blocks: {figure}",
                small.size, large.size
            )
        };
        let slower = last[0].1.p50_ms / first[0].1.p50_ms;
        score.line(
            &what("allocate, p50 at 1 client grows"),
            slower,
            "x",
            AtMost(1.25),
        );
        let kept = last[2].1.per_second / first[2].1.per_second;
        score.line(
            &what("allocate, rate at 32 clients keeps"),
            kept,
            "x",
            AtLeast(0.85),
        );
    }
    Ok(())
}
