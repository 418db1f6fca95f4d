//! What a snapshot that is held open under full load costs: meanwhile no dead row can be removed.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::Context as _;
use sqlx::{Connection as _, PgConnection};

use crate::{
    load::middle,
    report::{
        Score,
        Target::{AtLeast, AtMost},
    },
    world::World,
};

const CLIENTS: usize = 32;
/// How often the allocations are counted.
const SLICE: Duration = Duration::from_millis(100);
/// Slices that do not count, at the beginning.
const WARM_UP: usize = 10;
/// Slices over which the rate is taken after the end of the snapshot, to say when it is back.
const BACK: usize = 5;
/// What share of the normal rate is normal again.
const NORMAL: f64 = 0.9;

/// How long each stretch lasts, in slices.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stretches {
    before: usize,
    held: usize,
    after: usize,
}

impl Stretches {
    /// As the target has it: 10 s.
    pub(crate) const FULL: Self = Self {
        before: 50,
        held: 100,
        after: 60,
    };
    /// For a check whether it works.
    pub(crate) const QUICK: Self = Self {
        before: 20,
        held: 15,
        after: 10,
    };
}

pub(crate) async fn hold(
    world: &World,
    stretches: Stretches,
    rounds: usize,
    score: &mut Score,
) -> anyhow::Result<()> {
    let Stretches {
        before,
        held,
        after,
    } = stretches;
    let seconds = |slices: usize| slices as f64 * SLICE.as_secs_f64();
    println!(
        "\na repeatable-read snapshot held for {} s under the load of {CLIENTS} clients ({}); medians of {rounds} \
         rounds",
        seconds(held),
        world.name()
    );
    let (mut shares, mut backs, mut failed) = (Vec::new(), Vec::new(), 0);
    for _ in 0..rounds {
        let done = Arc::new(AtomicU64::new(0));
        let load = world.allocate(&[], CLIENTS, seconds(before + held + after), &done);
        let (run, counts) = tokio::join!(load, watch(world, stretches, &done));
        let (run, rates) = (run?, counts?);
        failed += run.failed;
        let normal = mean(&rates[WARM_UP..before]);
        let during = &rates[before..before + held];
        let lowest = during.windows(10).map(mean).fold(f64::MAX, f64::min);
        let back = rates[before + held..]
            .windows(BACK)
            .position(|rates| mean(rates) >= NORMAL * normal);
        println!(
            "normal {normal:.0}/s, while it is held {:.0}/s, in the worst second {lowest:.0}/s, {}",
            mean(during),
            match back {
                Some(slices) => format!("back after {:.1} s", seconds(slices)),
                None => "not back".to_owned(),
            }
        );
        shares.push(lowest / normal);
        backs.push(back.map_or(f64::INFINITY, seconds));
    }
    let lowest = middle(shares);
    score.line("snapshot: worst second / normal", lowest, "", AtLeast(0.15));
    let back = middle(backs);
    let what = format!("snapshot: back at {NORMAL} of normal after its end");
    score.line(&what, back, " s", AtMost(2.0));
    score.none_failed("snapshot", failed);
    Ok(())
}

/// Allocations a second in each slice; holds the snapshot in the middle stretch.
async fn watch(world: &World, stretches: Stretches, done: &AtomicU64) -> anyhow::Result<Vec<f64>> {
    let mut holder = Some(PgConnection::connect(&world.url).await?);
    let mut ticks = tokio::time::interval(SLICE);
    ticks.tick().await;
    let (mut rates, mut last) = (Vec::new(), (Instant::now(), 0));
    for slice in 0..stretches.before + stretches.held + stretches.after {
        if slice == stretches.before {
            let holder = holder.as_mut().context("held once")?;
            // The first query takes the snapshot.
            sqlx::raw_sql("begin isolation level repeatable read; select count(*) from vrf")
                .execute(holder)
                .await?;
        } else if slice == stretches.before + stretches.held
            && let Some(mut holder) = holder.take()
        {
            sqlx::raw_sql("commit").execute(&mut holder).await?;
            holder.close().await?;
        }
        ticks.tick().await;
        let now = (Instant::now(), done.load(Ordering::Relaxed));
        rates.push((now.1 - last.1) as f64 / (now.0 - last.0).as_secs_f64());
        last = now;
    }
    Ok(rates)
}

fn mean(rates: &[f64]) -> f64 {
    rates.iter().sum::<f64>() / rates.len() as f64
}
