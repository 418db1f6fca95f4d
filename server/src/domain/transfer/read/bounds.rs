//! Bounds of a record's values that do not depend on what is stored: the numbers and times that everything else can handle.
//! Checks single records; a file that is only read, not imported, may contain anything.

use ipam_shared::api::transfer::{At, Kind, Record};
use time::{Duration, OffsetDateTime};

use super::parse::Line;
use crate::domain::transfer::findings::{Findings, Problem};

/// The largest number that programs in JavaScript read exactly. It leaves more numbers than anybody will ever use.
const MAX_NUMBER: i64 = (1 << 53) - 1;

/// How far the clock of the server that wrote a file may be ahead of ours.
const CLOCKS_DIFFER: Duration = Duration::minutes(5);

/// The longest cooldown that a pool can have.
const LONGEST_COOLDOWN: Duration = Duration::days(365);

/// Keeps the records whose values are within bounds; every other one is a conflict.
pub(super) fn within(
    mut lines: Vec<Line>,
    now: OffsetDateTime,
    findings: &mut Findings,
) -> Vec<Line> {
    let latest = now + CLOCKS_DIFFER;
    lines.retain(|Line { line, record }| {
        let Some(problem) = problem(record, latest) else {
            return true;
        };
        findings.add(*line, Problem::bad_value(problem).about(record.cidr));
        false
    });
    lines
}

fn problem(record: &Record, latest: OffsetDateTime) -> Option<String> {
    if record
        .number
        .is_some_and(|number| !(1..=MAX_NUMBER).contains(&number))
    {
        return Some(format!(
            "number must be 1 to {MAX_NUMBER}; leave it out to get a new one"
        ));
    }
    let good = |at: &At| at.0 >= OffsetDateTime::UNIX_EPOCH && at.0 <= latest;
    let early = [
        ("created_at", &record.created_at),
        ("since", &record.since),
        ("released_at", &record.released_at),
        ("retired_at", &record.retired_at),
    ]
    .into_iter()
    .find(|(_, at)| !at.as_ref().is_none_or(good))
    .map(|(column, _)| {
        format!(
            "{column} must be after 1970-01-01 and not in the future; correct it, or the clock of the server that wrote \
             the file"
        )
    });
    early.or_else(|| released(record, latest))
}

/// What is wrong with a block that was released.
fn released(record: &Record, latest: OffsetDateTime) -> Option<String> {
    let (since, until) = (record.since?.0, record.until?.0);
    if record.kind == Kind::Cooldown && until > latest + LONGEST_COOLDOWN {
        return Some("until must be within a year from now".to_owned());
    }
    if record.kind == Kind::PastBlock && (until < since || until > latest) {
        return Some("until must not be before since, nor in the future".to_owned());
    }
    if record.kind == Kind::PastBlock && record.vpc.is_some() == record.reason.is_some() {
        return Some(
            "a past block belonged to an allocation, which had a vpc, or to a reservation, which had a reason: give one of \
             the two"
                .to_owned(),
        );
    }
    None
}
