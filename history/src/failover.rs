//! A run over a primary and its synchronous standby: the primary is killed, the standby takes over, and the one that was
//! killed is rebuilt as its standby, again and again.
//!
//! Every other time the standby is unreachable before that, so that commits wait for it, and their waits are cancelled:
//! PostgreSQL then says that they are done, and the failover loses them.

use std::{ops::RangeInclusive, sync::Arc, time::Duration};

use ipam_testing::{Pair, TestServer};

use crate::{
    check::{Figures, check},
    client::Habits,
    dice::Dice,
    history::{Fault, Kind},
    last,
    nemesis::wait_for_work,
    run::{Crowd, Report, verify},
};

/// Milliseconds of work before a failover.
const WORK: RangeInclusive<u64> = 500..=1500;
/// How many commits wait before the first of them is cancelled, and how often it is looked for them.
const WAITING: usize = 2;
const LOOKS: usize = 200;
const LOOK: Duration = Duration::from_millis(10);
/// How often waits are cancelled before the primary is killed: commits that come after the first do wait, too.
const CANCELS: usize = 15;

/// What to do.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Decides what clients ask for and when faults come.
    pub seed: u64,
    /// How many failovers.
    pub fail_overs: usize,
    /// How many clients.
    pub clients: usize,
    /// How they behave.
    pub habits: Habits,
}

/// Runs a plan and checks what came of it.
///
/// # Panics
/// When something fails that has nothing to do with what is checked, such as a standby that can't be built.
pub async fn run(plan: &Plan) -> Report {
    let mut pair = Pair::start().await;
    let url = pair.url();
    // The first one makes the schema.
    let first = TestServer::start_with(&url, &[]).await;
    let servers = [first, TestServer::start_with(&url, &[]).await];
    let crowd = Crowd::start(plan.seed, plan.clients, plan.habits, &servers);
    let progress = Arc::clone(&crowd.common.progress);
    let mut dice = Dice::new(plan.seed, 0);
    let mut faults = Vec::new();
    let mut cancelled = 0;
    for round in 0..plan.fail_overs {
        tokio::time::sleep(Duration::from_millis(dice.within(WORK))).await;
        wait_for_work(&progress).await;
        if round % 2 == 0 {
            cancelled += cancel_waits(&pair).await;
        }
        faults.push(Fault {
            kind: Kind::FailOver,
            at: crowd.common.begin.elapsed(),
        });
        pair.fail_over().await;
        pair.rebuild().await;
    }
    // What was left of the last one is finished.
    wait_for_work(&progress).await;
    progress.end();
    let (common, mut history) = crowd.end().await;
    history.faults = faults;

    let ending = last::look(&pair.primary(), &common.servers).await;
    let verified = verify(&url).await;
    let logs = servers.each_ref().map(TestServer::log);
    Report {
        seed: plan.seed,
        figures: Figures::of(&history),
        findings: check(&history, &ending),
        verified,
        stored: ending.rows.len(),
        tampered: 0,
        violations: 0,
        cancelled,
        logs,
    }
}

/// Takes the standby away, and cancels commits that wait for it; how many.
async fn cancel_waits(pair: &Pair) -> usize {
    pair.replication().hold();
    let mut canceller = pair.canceller().await;
    for _ in 0..LOOKS {
        if canceller.waiting().await >= WAITING {
            break;
        }
        tokio::time::sleep(LOOK).await;
    }
    let mut cancelled = 0;
    for _ in 0..CANCELS {
        cancelled += canceller.cancel().await;
        tokio::time::sleep(LOOK).await;
    }
    cancelled
}
