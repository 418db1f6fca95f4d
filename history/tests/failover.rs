//! Fail-overs of a primary with a synchronous standby: nothing that was acknowledged is missing afterwards.
//!
//! `IPAM_FAILOVERS` says how many, `IPAM_HISTORY_SEED` has clients ask and faults come as in an earlier run.

use std::{collections::BTreeSet, env};

use ipam_history::{
    check::Gate,
    failover::{Plan, run},
    run::Habits,
};

fn number(variable: &str) -> Option<u64> {
    let text = env::var(variable).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{variable} is a number, not {text:?}")),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_missing_after_fail_overs() {
    let clock = std::time::UNIX_EPOCH
        .elapsed()
        .expect("the clock is past 1970");
    let fail_overs = usize::try_from(number("IPAM_FAILOVERS").unwrap_or(3)).expect("it fits");
    let plan = Plan {
        seed: number("IPAM_HISTORY_SEED").unwrap_or(clock.as_secs()),
        fail_overs,
        clients: 16,
        habits: Habits {
            keep: 14,
            certain: 25,
            doubled: false,
        },
    };
    println!("IPAM_HISTORY_SEED={}", plan.seed);
    let report = run(&plan).await;
    println!("{report}");
    let gate = Gate {
        under_way: 4,
        kills: 0,
        stops: 0,
        fail_overs,
        cut_off: 4 * fail_overs,
        acknowledged: 40 * fail_overs,
    };
    assert_eq!(report.figures.invalid(&gate), None, "the run is invalid");
    assert!(
        report.cancelled >= fail_overs,
        "the run is invalid: {} waits were cancelled",
        report.cancelled
    );
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
