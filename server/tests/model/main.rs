//! Sequences of everything that can be done with an address space, each step compared with a model that has one flag per
//! address and finds everything by looking at all of them: what is answered, which error it is, what is stored after it,
//! and that used and free add up to the pool. What it leaves behind is moved to an empty server, and must be the same there.
//!
//! `IPAM_MODEL_SEQUENCES` sets how many sequences there are, `IPAM_MODEL_SEED` repeats those of an earlier run. What fails
//! is shrunk to the shortest sequence that does.

mod config;
mod decide;
mod model;
mod moved;
mod ops;
mod real;
mod stored;
mod world;

use std::{
    cell::RefCell,
    env, thread,
    time::{Instant, UNIX_EPOCH},
};

use ipam_testing::TestDatabase;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};
use real::{Real, Tally};

/// What must have happened in a run of usual length, or the world is too dull to find anything.
const HAPPENED: &[(&str, &str)] = &[
    ("allocate", "done"),
    ("allocate", "invalid_request"),
    ("allocate", "name_taken"),
    ("allocate", "not_found"),
    ("allocate", "overlap"),
    ("allocate", "pool_exhausted"),
    ("dry run", "done"),
    ("atomic batch", "done"),
    ("atomic batch", "refused"),
    ("batch of each", "done"),
    ("batch of each", "pool_exhausted"),
    ("release", "done"),
    ("release", "gone"),
    ("release", "deletion_protected"),
    ("resize", "done"),
    ("resize", "overlap"),
    ("resize", "invalid_request"),
    ("change", "done"),
    ("change", "name_taken"),
    ("delete vpc", "done"),
    ("delete vpc", "in_use"),
    ("reserve", "done"),
    ("reserve", "overlap"),
    ("unreserve", "done"),
    ("create pool", "done"),
    ("create pool", "overlap"),
    ("create pool", "pool_exhausted"),
    ("change pool", "done"),
    ("change pool", "overlap"),
    ("change pool", "in_use"),
    ("delete pool", "done"),
    ("delete pool", "in_use"),
    ("end cooldowns", "done"),
    ("change profile", "done"),
    ("moved", "done"),
    ("repeated elsewhere", "done"),
];

/// At once, on a database each: the same everywhere, so that a seed means the same sequences.
const WORKERS: u64 = 4;

fn number(name: &str) -> Option<u64> {
    let text = env::var(name).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{name} is not a number: {text}")),
    )
}

#[test]
fn the_server_does_what_a_search_over_every_address_says() {
    let sequences = number("IPAM_MODEL_SEQUENCES").unwrap_or(200);
    let now = UNIX_EPOCH.elapsed().expect("the clock is past 1970");
    let seed = number("IPAM_MODEL_SEED").unwrap_or(now.as_secs());
    println!("IPAM_MODEL_SEED={seed}");
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let began = Instant::now();
    let results: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = (0..WORKERS)
            .map(|worker| {
                let databases = runtime
                    .block_on(async { [TestDatabase::new().await, TestDatabase::new().await] });
                // The remainder goes to the first.
                let share = sequences / WORKERS + u64::from(worker < sequences % WORKERS);
                scope.spawn(move || work(&databases, share, seed, worker))
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().expect("a worker"))
            .collect()
    });
    let mut tally = Tally::new();
    for result in results {
        match result {
            Ok(counted) => {
                for (what, count) in counted {
                    *tally.entry(what).or_default() += count;
                }
            }
            Err(failure) => {
                panic!("IPAM_MODEL_SEED={seed}\n{failure}")
            }
        }
    }
    let steps: usize = tally.values().sum();
    println!(
        "{sequences} sequences, {steps} operations in {:.1?}",
        began.elapsed()
    );
    for ((what, outcome), count) in &tally {
        println!("{count:8} {what}: {outcome}");
    }
    if sequences >= 500 {
        for what in HAPPENED {
            assert!(tally.contains_key(what), "never happened: {what:?}");
        }
    }
}

/// Runs a share of the sequences on databases of its own.
fn work(
    databases: &[TestDatabase; 2],
    sequences: u64,
    seed: u64,
    worker: u64,
) -> Result<Tally, String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let real = runtime.block_on(async { RefCell::new(Real::new(databases)) });
    let config = Config {
        cases: u32::try_from(sequences).expect("not so many"),
        failure_persistence: None,
        max_shrink_iters: u32::MAX,
        // In milliseconds: done before `./test` loses patience.
        max_shrink_time: 100_000,
        ..Config::default()
    };
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    bytes[8..16].copy_from_slice(&worker.to_le_bytes());
    let dice = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut runner = TestRunner::new_with_rng(config, dice);
    let outcome = runner.run(&ops::sequence(), |sequence| {
        let mut real = real.borrow_mut();
        runtime
            .block_on(real.run(&sequence))
            .map_err(TestCaseError::fail)
    });
    match outcome {
        Ok(()) => Ok(std::mem::take(&mut real.borrow_mut().tally)),
        Err(TestError::Fail(reason, shortest)) => {
            Err(format!("{reason}\nthe shortest sequence:\n{shortest:#?}"))
        }
        Err(TestError::Abort(reason)) => Err(reason.to_string()),
    }
}
