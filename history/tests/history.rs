//! The run that must be green, and those that must not be.
//!
//! `IPAM_HISTORY_SECONDS` makes the first one longer, `IPAM_HISTORY_SEED` repeats what its clients asked for.

use std::{env, time::Duration};

use ipam_history::{
    check::{Broken, Gate},
    run::{Habits, Plan, Report, run},
    saboteur::Tamper,
};

fn number(variable: &str) -> Option<u64> {
    let text = env::var(variable).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{variable} is a number, not {text:?}")),
    )
}

fn plan(seconds: u64) -> Plan {
    let clock = std::time::UNIX_EPOCH
        .elapsed()
        .expect("the clock is past 1970");
    let plan = Plan {
        seed: number("IPAM_HISTORY_SEED").unwrap_or(clock.as_secs()),
        duration: Duration::from_secs(seconds),
        clients: 16,
        pauses: 2000..=4000,
        habits: Habits {
            keep: Some(14),
            doubled: false,
        },
        statements: &[],
        tamper: None,
    };
    println!("IPAM_HISTORY_SEED={}", plan.seed);
    plan
}

/// Faults every second.
fn short_plan() -> Plan {
    Plan {
        pauses: 600..=1200,
        ..plan(8)
    }
}

async fn report(plan: &Plan) -> Report {
    let report = run(plan).await;
    println!("{report}");
    report
}

fn found(report: &Report, broken: Broken) -> usize {
    report
        .findings
        .iter()
        .filter(|finding| finding.broken == broken)
        .count()
}

#[tokio::test(flavor = "multi_thread")]
async fn keeps_its_word_through_kills_and_stops() {
    let seconds = number("IPAM_HISTORY_SECONDS").unwrap_or(60);
    let report = report(&plan(seconds)).await;
    let faults = usize::try_from(seconds / 15).expect("it fits");
    let gate = Gate {
        under_way: 4,
        kills: faults,
        stops: faults,
        cut_off: 4 * faults,
        acknowledged: usize::try_from(10 * seconds).expect("it fits"),
    };
    assert_eq!(report.figures.invalid(&gate), None, "the run is invalid");
    assert!(report.findings.is_empty(), "see above");
    assert!(report.verified.is_ok(), "see above");
}

/// The same in short, with servers that don't know when a commit is done.
#[tokio::test(flavor = "multi_thread")]
async fn answering_before_the_commit_is_found() {
    let plan = Plan {
        tamper: Some(Tamper::AnswerBeforeCommit(Duration::from_millis(30))),
        ..short_plan()
    };
    let report = report(&plan).await;
    assert!(report.tampered > 0, "nothing was sabotaged");
    assert!(found(&report, Broken::Lost) > 0, "it was not found");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_exclusion_constraint_is_found() {
    let plan = Plan {
        tamper: Some(Tamper::ForgetLocks),
        statements: &["alter table block drop constraint block_no_overlap_excl"],
        ..short_plan()
    };
    let report = report(&plan).await;
    assert!(report.tampered > 0, "nothing was sabotaged");
    assert!(found(&report, Broken::TwoOwners) > 0, "it was not found");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_exclusion_constraint_holds_without_locks() {
    let plan = Plan {
        tamper: Some(Tamper::ForgetLocks),
        ..short_plan()
    };
    let report = report(&plan).await;
    assert!(report.tampered > 0, "nothing was sabotaged");
    assert!(report.violations > 0, "the constraint was never needed");
    assert!(report.findings.is_empty(), "see above");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_done_twice_is_found() {
    let mut plan = short_plan();
    plan.habits.doubled = true;
    let report = report(&plan).await;
    assert!(found(&report, Broken::Unasked) > 0, "it was not found");
}
