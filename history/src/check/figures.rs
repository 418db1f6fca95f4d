//! How much a run did and how often it was hit, and whether that is enough to prove anything.

use std::{collections::BTreeMap, fmt, time::Duration};

use crate::history::{Action, Answer, Fault, History, Kind};

/// A fault, and what was in progress when it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hit {
    /// The fault.
    pub fault: Fault,
    /// Requests to change something that were sent to the victim and not answered.
    pub under_way: usize,
    /// How many of them did not get a definite answer.
    pub cut_off: usize,
}

/// What a run did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Operations that began.
    pub operations: usize,
    /// Requests that were sent.
    pub requests: usize,
    /// Acknowledged requests for space.
    pub allocated: usize,
    /// Acknowledged changes of a size.
    pub resized: usize,
    /// Acknowledged releases.
    pub released: usize,
    /// Answered reads.
    pub read: usize,
    /// Operations that were acknowledged after a request with an unknown outcome.
    pub repeated: usize,
    /// Operations to change something that were given up with an unknown outcome.
    pub open: usize,
    /// Requests that were refused, by code.
    pub refused: BTreeMap<String, usize>,
    /// Requests whose outcome was not known, by what was seen.
    pub unknown: BTreeMap<String, usize>,
    /// The faults.
    pub hits: Vec<Hit>,
}

impl Figures {
    /// Counts.
    #[must_use]
    pub fn of(history: &History) -> Self {
        let mut figures = Self {
            operations: history.operations.len(),
            ..Self::default()
        };
        for operation in &history.operations {
            let mut acknowledged = false;
            for attempt in &operation.attempts {
                figures.requests += 1;
                match (&attempt.answer, &operation.action) {
                    (Answer::Refused(code), _) => {
                        *figures.refused.entry(code.clone()).or_default() += 1
                    }
                    (Answer::Unknown(seen), _) => {
                        *figures.unknown.entry(seen.clone()).or_default() += 1
                    }
                    (Answer::Shown(_), Action::Allocate(_)) => figures.allocated += 1,
                    (Answer::Shown(_), Action::Resize(..)) => figures.resized += 1,
                    (Answer::Released | Answer::Gone, Action::Release(_)) => figures.released += 1,
                    _ => figures.read += 1,
                }
                acknowledged |= matches!(
                    attempt.answer,
                    Answer::Shown(_) | Answer::Released | Answer::Gone
                );
            }
            let open = operation.is_open();
            figures.repeated += usize::from(acknowledged && open && operation.is_write());
            figures.open += usize::from(!acknowledged && open && operation.is_write());
        }
        figures.hits = history
            .faults
            .iter()
            .map(|fault| hit(history, *fault))
            .collect();
        figures
    }

    /// Why the run proves nothing, if it proves nothing.
    #[must_use]
    pub fn invalid(&self, gate: &Gate) -> Option<String> {
        let hard = |is: fn(&Kind) -> bool| {
            let hits = self.hits.iter().filter(|hit| is(&hit.fault.kind));
            hits.filter(|hit| hit.under_way >= gate.under_way).count()
        };
        let kills = hard(|kind| matches!(kind, Kind::Kill(_)));
        let stops = hard(|kind| matches!(kind, Kind::Stop));
        let fail_overs = hard(|kind| matches!(kind, Kind::FailOver));
        let cut_off: usize = self.hits.iter().map(|hit| hit.cut_off).sum();
        let acknowledged = self.allocated + self.resized + self.released;
        let wanted = [
            (
                "kills of a server that hit enough requests",
                kills,
                gate.kills,
            ),
            (
                "stops of PostgreSQL that hit enough requests",
                stops,
                gate.stops,
            ),
            (
                "failovers that hit enough requests",
                fail_overs,
                gate.fail_overs,
            ),
            ("requests cut off by a fault", cut_off, gate.cut_off),
            ("acknowledged changes", acknowledged, gate.acknowledged),
        ];
        let missing: Vec<_> = wanted
            .iter()
            .filter(|(_, is, least)| is < least)
            .map(|(what, is, least)| format!("{is} {what}, at least {least} are needed"))
            .collect();
        (!missing.is_empty()).then(|| missing.join("; "))
    }
}

fn hit(history: &History, fault: Fault) -> Hit {
    let mut hit = Hit {
        fault,
        under_way: 0,
        cut_off: 0,
    };
    for operation in history
        .operations
        .iter()
        .filter(|operation| operation.is_write())
    {
        for attempt in &operation.attempts {
            let is_victim = match fault.kind {
                Kind::Kill(server) => server == attempt.server,
                Kind::Stop | Kind::FailOver => true,
            };
            if is_victim && attempt.sent <= fault.at && fault.at < attempt.ended {
                hit.under_way += 1;
                let cut_off = match &attempt.answer {
                    Answer::Unknown(_) => true,
                    Answer::Refused(code) => code == "unavailable",
                    _ => false,
                };
                hit.cut_off += usize::from(cut_off);
            }
        }
    }
    hit
}

/// What a run must have done at least.
#[derive(Clone, Copy, Debug)]
pub struct Gate {
    /// Requests under way at a fault, for it to count.
    pub under_way: usize,
    /// Kills of a server that count.
    pub kills: usize,
    /// Stops of PostgreSQL that count.
    pub stops: usize,
    /// Failovers that count.
    pub fail_overs: usize,
    /// Requests without a definite answer because of a fault.
    pub cut_off: usize,
    /// Acknowledged allocations, changes of a size and releases.
    pub acknowledged: usize,
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} operations in {} requests: {} allocated, {} resized, {} released, {} read; {} acknowledged by a repetition, {} left open",
            self.operations,
            self.requests,
            self.allocated,
            self.resized,
            self.released,
            self.read,
            self.repeated,
            self.open
        )?;
        writeln!(
            f,
            "refused: {:?}; unknown: {:?}",
            self.refused, self.unknown
        )?;
        let sum = |is: fn(&Kind) -> bool| {
            let hits = self.hits.iter().filter(|hit| is(&hit.fault.kind));
            hits.fold((0, 0, 0), |sum, hit| {
                (sum.0 + 1, sum.1 + hit.under_way, sum.2 + hit.cut_off)
            })
        };
        type Is = fn(&Kind) -> bool;
        let kinds: [(&str, Is); 3] = [
            ("kills of a server", |kind| matches!(kind, Kind::Kill(_))),
            ("stops of PostgreSQL", |kind| matches!(kind, Kind::Stop)),
            ("failovers", |kind| matches!(kind, Kind::FailOver)),
        ];
        let mut between = "";
        for (what, is) in kinds {
            let (count, under_way, cut_off) = sum(is);
            write!(
                f,
                "{between}{count} {what} hit {under_way} changes under way and cut {cut_off} off"
            )?;
            between = "\n";
        }
        for hit in &self.hits {
            let at: Duration = hit.fault.at;
            write!(
                f,
                "\n  {:.2?} {:?}: {} under way, {} cut off",
                at, hit.fault.kind, hit.under_way, hit.cut_off
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::example::Story;

    const GATE: Gate = Gate {
        under_way: 2,
        kills: 1,
        stops: 1,
        fail_overs: 0,
        cut_off: 1,
        acknowledged: 3,
    };

    fn story() -> Story {
        let mut story = Story::default();
        story.allocate(0, 10, "a", "10.0.0.0/26");
        story.allocate(0, 10, "b", "10.0.0.64/26");
        story.fault(9, Kind::Kill(0));
        story.release(20, 30, "a");
        story.release_open(20, 30, "b");
        story.fault(20, Kind::Stop);
        story
    }

    #[test]
    fn only_what_is_under_way_at_the_victim_counts() {
        let mut story = story();
        // Too late, too early, at another server, and no change.
        story.fault(10, Kind::Kill(0));
        story.fault(19, Kind::Stop);
        story.fault(9, Kind::Kill(1));
        story.read(0, 10, "a", Answer::Gone);
        let figures = Figures::of(&story.history);
        let counts: Vec<_> = figures
            .hits
            .iter()
            .map(|hit| (hit.under_way, hit.cut_off))
            .collect();
        assert_eq!(counts, [(2, 0), (2, 1), (0, 0), (0, 0), (0, 0)]);
        assert_eq!(
            (figures.allocated, figures.released, figures.open),
            (2, 1, 1)
        );
    }

    #[test]
    fn a_run_with_too_little_is_invalid() {
        let is_valid =
            |story: &Story, gate: Gate| Figures::of(&story.history).invalid(&gate).is_none();
        assert!(is_valid(&story(), GATE));
        for gate in [
            Gate {
                under_way: 3,
                ..GATE
            },
            Gate { kills: 2, ..GATE },
            Gate { stops: 2, ..GATE },
            Gate {
                fail_overs: 1,
                ..GATE
            },
            Gate { cut_off: 2, ..GATE },
            Gate {
                acknowledged: 4,
                ..GATE
            },
        ] {
            assert!(!is_valid(&story(), gate), "{gate:?}");
        }
        let mut quiet = story();
        quiet.history.faults.clear();
        assert!(!is_valid(&quiet, GATE));
    }
}
