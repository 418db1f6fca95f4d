//! The run that must be green, and those that must not be.
//!
//! `IPAM_HISTORY_SECONDS` makes the first one longer, `IPAM_HISTORY_SEED` has clients ask and faults come as in an earlier
//! run.

use std::{collections::BTreeSet, env, time::Duration};

use ipam_history::{
    check::{Broken, Gate},
    run::{Habits, Length, Plan, Report, run},
    saboteur::Tamper,
};

fn number(variable: &str) -> Option<u64> {
    let text = env::var(variable).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{variable} is a number, not {text:?}")),
    )
}

/// At least that long, with so many faults and acknowledged changes.
fn plan(seconds: u64, faults: usize, acknowledged: u64) -> Plan {
    let clock = std::time::UNIX_EPOCH
        .elapsed()
        .expect("the clock is past 1970");
    Plan {
        seed: number("IPAM_HISTORY_SEED").unwrap_or(clock.as_secs()),
        length: Length {
            least: Duration::from_secs(seconds),
            most: Duration::from_secs(seconds + 120),
            faults,
            acknowledged,
        },
        clients: 16,
        pauses: 2000..=4000,
        spare_servers: false,
        habits: Habits {
            keep: 14,
            certain: 25,
            doubled: false,
        },
        statements: &[],
        tamper: None,
    }
}

#[expect(
    clippy::print_stdout,
    reason = "the test harness shows it with the test"
)]
async fn report(plan: &Plan) -> Report {
    println!("IPAM_HISTORY_SEED={}", plan.seed);
    let report = run(plan).await;
    println!("{report}");
    report
}

fn found(report: &Report, broken: Broken) -> usize {
    let found = report.findings.iter();
    found.filter(|finding| finding.broken == broken).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn keeps_its_word_through_kills_and_stops() {
    let seconds = number("IPAM_HISTORY_SECONDS").unwrap_or(60);
    // Of each kind.
    let faults = usize::try_from(seconds / 15).expect("it fits");
    let gate = Gate {
        under_way: 4,
        kills: faults,
        stops: faults,
        fail_overs: 0,
        cut_off: 8 * faults,
        acknowledged: usize::try_from(10 * seconds).expect("it fits"),
    };
    let report = report(&plan(seconds, 3 * faults, 10 * seconds)).await;
    assert_eq!(report.figures.invalid(&gate), None, "the run is invalid");
    assert!(report.findings.is_empty(), "see above");
    assert!(report.verified.is_ok(), "see above");
    // Faults are no excuse for being confused.
    let expected = BTreeSet::from(["overlap", "pool_exhausted", "unavailable"]);
    let refused: BTreeSet<_> = report.figures.refused.keys().map(String::as_str).collect();
    assert!(refused.is_subset(&expected), "{refused:?}");
    assert_eq!(report.figures.unknown.get("internal"), None);
    for log in &report.logs {
        assert!(!log.contains("panicked"), "{log}");
    }
}

/// Who looks at once sees it, and so does who was answered just before PostgreSQL stopped.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_before_the_commit_is_found() {
    let plan = Plan {
        tamper: Some(Tamper::AnswerBeforeCommit(Duration::from_millis(100))),
        pauses: 100..=300,
        spare_servers: true,
        ..plan(3, 3, 50)
    };
    let report = report(&plan).await;
    assert!(report.tampered > 0, "nothing was sabotaged");
    assert!(found(&report, Broken::Unseen) > 0, "not found");
    let not_stored = found(&report, Broken::Lost) + found(&report, Broken::Undead);
    assert!(not_stored > 0, "not found");
}

/// Servers that forget to lock pools, and no constraint that would stop them.
#[tokio::test(flavor = "multi_thread")]
async fn a_missing_exclusion_constraint_is_found() {
    let plan = Plan {
        tamper: Some(Tamper::ForgetLocks),
        statements: &["alter table block drop constraint block_no_overlap_excl"],
        ..plan(4, 1, 300)
    };
    let report = report(&plan).await;
    assert!(report.tampered > 0, "nothing was sabotaged");
    assert!(found(&report, Broken::TwoOwners) > 0, "not found");
    let verified = report.verified.expect_err("overlaps are stored");
    assert!(verified.contains("block_no_overlap_excl"));
}

/// The same servers, which meet at the same networks most of the time: with the constraint they are harmless. Their lists
/// of free space suffer, which `ipam verify` says.
#[tokio::test(flavor = "multi_thread")]
async fn the_exclusion_constraint_holds_without_locks() {
    let plan = Plan {
        tamper: Some(Tamper::ForgetLocks),
        habits: Habits {
            keep: 2,
            certain: 80,
            doubled: false,
        },
        ..plan(4, 1, 100)
    };
    let report = report(&plan).await;
    assert!(report.tampered > 0, "nothing was sabotaged");
    assert!(report.violations > 0, "the constraint was never needed");
    assert!(report.figures.allocated > 0, "nothing worked");
    assert!(report.findings.is_empty(), "see above");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_done_twice_is_found() {
    let mut plan = plan(3, 1, 100);
    plan.habits.doubled = true;
    let report = report(&plan).await;
    assert!(found(&report, Broken::Unasked) > 0, "not found");
}
