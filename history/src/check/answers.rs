//! Answers that contradict the request, or earlier answers.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use super::{Broken, Finding, finding, ownership::first_release};
use crate::history::{Action, Allocation, Answer, Attempt, History, Id, Operation};

/// What is acknowledged about one allocation.
pub(super) struct Acknowledged<'a> {
    /// As it was shown first.
    pub(super) allocation: &'a Allocation,
    /// When that was.
    pub(super) at: Duration,
}

/// Allocations that were acknowledged to who asked for them, by id.
pub(super) fn acknowledged(history: &History) -> BTreeMap<&Id, Acknowledged<'_>> {
    let mut all: BTreeMap<&Id, Acknowledged<'_>> = BTreeMap::new();
    for operation in &history.operations {
        if let (Action::Allocate(_), Some((attempt, allocation))) =
            (&operation.action, operation.shown())
        {
            let new = Acknowledged {
                allocation,
                at: attempt.ended,
            };
            all.entry(&allocation.id)
                .and_modify(|old| {
                    if new.at < old.at {
                        old.at = new.at;
                        old.allocation = new.allocation;
                    }
                })
                .or_insert(new);
        }
    }
    all
}

/// When a release of each allocation was acknowledged for the first time.
pub(super) fn released(history: &History) -> HashMap<&Id, Duration> {
    let mut all = HashMap::new();
    for operation in &history.operations {
        if let Action::Release(id) = &operation.action {
            for attempt in &operation.attempts {
                if matches!(attempt.answer, Answer::Released | Answer::Gone) {
                    let time = all.entry(id).or_insert(attempt.ended);
                    *time = attempt.ended.min(*time);
                }
            }
        }
    }
    all
}

/// Everything that is wrong with single answers.
pub(super) fn wrong(history: &History) -> Vec<Finding> {
    let (acknowledged, first_release, released) = (
        acknowledged(history),
        first_release(history),
        released(history),
    );
    let mut findings = Vec::new();
    for operation in &history.operations {
        for attempt in &operation.attempts {
            let found = match &operation.action {
                Action::Allocate(_) => allocated(operation, attempt, &acknowledged),
                Action::Release(id) => release(history, id, attempt, &first_release),
                Action::Read(id) => read(id, attempt, &acknowledged, &first_release, &released),
            };
            findings.extend(found);
        }
    }
    findings
}

fn allocated(
    operation: &Operation,
    attempt: &Attempt,
    acknowledged: &BTreeMap<&Id, Acknowledged<'_>>,
) -> Option<Finding> {
    let Action::Allocate(ask) = &operation.action else {
        return None;
    };
    let number = operation.number;
    match &attempt.answer {
        Answer::Shown(shown) => {
            if let Some(misfit) = ask.size.misfit(&shown.blocks) {
                return Some(finding(
                    Broken::Wrong,
                    format!("operation {number} was answered {misfit}"),
                ));
            }
            if shown.vpc != ask.vpc || shown.name != ask.name {
                let text = format!("operation {number} asked for {ask:?} and was shown {shown:?}");
                return Some(finding(Broken::Wrong, text));
            }
            let first = acknowledged.get(&shown.id)?;
            (first.allocation != shown).then(|| {
                let text = format!(
                    "{:?} was shown as {shown:?} to operation {number}",
                    first.allocation
                );
                finding(Broken::Unseen, text)
            })
        }
        // By its Idempotency-Key: nobody knows the id yet, so nobody can have released it.
        Answer::Gone => Some(finding(
            Broken::Unseen,
            format!("what operation {number} allocated was gone before it was acknowledged"),
        )),
        _ => None,
    }
}

fn release(
    history: &History,
    id: &Id,
    attempt: &Attempt,
    first_release: &HashMap<&Id, Duration>,
) -> Option<Finding> {
    match &attempt.answer {
        Answer::Missing => Some(finding(
            Broken::Unseen,
            format!(
                "{id} was not known when it was to be released at {:.3?}",
                attempt.sent
            ),
        )),
        // Somebody must have been earlier. Two that are sent in the same instant are told apart by being two.
        Answer::Gone if first_release.get(id) == Some(&attempt.sent) => {
            let others = history
                .operations
                .iter()
                .filter(|other| matches!(&other.action, Action::Release(other) if other == id))
                .flat_map(|other| &other.attempts)
                .filter(|other| other.sent < attempt.ended)
                .count();
            (others < 2).then(|| {
                let text = format!(
                    "{id} was gone at {:.3?} although nobody had released it",
                    attempt.sent
                );
                finding(Broken::Unseen, text)
            })
        }
        _ => None,
    }
}

fn read(
    id: &Id,
    attempt: &Attempt,
    acknowledged: &BTreeMap<&Id, Acknowledged<'_>>,
    first_release: &HashMap<&Id, Duration>,
    released: &HashMap<&Id, Duration>,
) -> Option<Finding> {
    let first = acknowledged.get(id)?;
    match &attempt.answer {
        Answer::Shown(shown) if shown != first.allocation => Some(finding(
            Broken::Unseen,
            format!(
                "{:?} was shown as {shown:?} at {:.3?}",
                first.allocation, attempt.sent
            ),
        )),
        Answer::Shown(_) if released.get(id).is_some_and(|at| *at < attempt.sent) => Some(finding(
            Broken::Undead,
            format!(
                "{id} was shown at {:.3?} although it was released",
                attempt.sent
            ),
        )),
        Answer::Missing => Some(finding(
            Broken::Unseen,
            format!(
                "{id} was not known at {:.3?}, acknowledged at {:.3?}",
                attempt.sent, first.at
            ),
        )),
        Answer::Gone if first_release.get(id).is_none_or(|at| *at > attempt.ended) => {
            Some(finding(
                Broken::Unseen,
                format!(
                    "{id} was gone at {:.3?} although nobody had released it",
                    attempt.sent
                ),
            ))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        check::example::{Story, kinds},
        net::Size,
    };

    fn story() -> Story {
        let mut story = Story::default();
        story.allocate(0, 10, "a", "10.0.0.0/26");
        story
    }

    #[test]
    fn an_ordinary_life_is_fine() {
        let mut story = story();
        story.read(11, 12, "a", story.shown("a"));
        story.release_open(20, 30, "a");
        // Either is true now.
        story.read(21, 29, "a", Answer::Gone);
        story.read(31, 32, "a", story.shown("a"));
        story.release(40, 50, "a");
        story.read(45, 55, "a", story.shown("a"));
        story.read(60, 61, "a", Answer::Gone);
        story.released_again(62, 63, "a");
        assert_eq!(wrong(&story.history), []);
    }

    #[test]
    fn a_read_that_does_not_see_what_was_acknowledged_is_found() {
        for answer in [Answer::Missing, Answer::Gone] {
            let mut story = story();
            story.read(11, 12, "a", answer);
            story.release(20, 30, "a");
            assert_eq!(kinds(&wrong(&story.history)), [Broken::Unseen]);
        }
    }

    #[test]
    fn other_blocks_than_before_are_found() {
        let mut story = story();
        story.read(11, 12, "a", Story::shown_as("a", "10.0.0.64/26"));
        assert_eq!(kinds(&wrong(&story.history)), [Broken::Unseen]);
        let mut story = self::story();
        story.allocate(11, 12, "a", "10.0.0.64/26");
        assert_eq!(kinds(&wrong(&story.history)), [Broken::Unseen]);
    }

    #[test]
    fn a_release_that_did_not_stay_is_found() {
        let mut story = story();
        story.release(20, 30, "a");
        story.read(40, 50, "a", story.shown("a"));
        assert_eq!(kinds(&wrong(&story.history)), [Broken::Undead]);
    }

    #[test]
    fn a_release_finds_what_was_acknowledged() {
        let mut story = story();
        story.release_answered(20, 30, "a", Answer::Missing);
        assert_eq!(kinds(&wrong(&story.history)), [Broken::Unseen]);
        let mut story = self::story();
        story.released_again(20, 30, "a");
        assert_eq!(kinds(&wrong(&story.history)), [Broken::Unseen]);
        // Two at once: one of them is too late.
        let mut story = self::story();
        story.released_again(20, 30, "a");
        story.release(20, 30, "a");
        assert_eq!(wrong(&story.history), []);
    }

    #[test]
    fn an_answer_fits_the_request() {
        let mut story = story();
        story.ask_of_last().size = Size::Length(25);
        assert_eq!(kinds(&wrong(&story.history)), [Broken::Wrong]);
        let mut story = self::story();
        story.ask_of_last().name = Some("other".to_owned());
        assert_eq!(kinds(&wrong(&story.history)), [Broken::Wrong]);
    }

    #[test]
    fn what_nobody_knew_cannot_have_been_released() {
        let mut story = story();
        story.history.operations[0].attempts[0].answer = Answer::Gone;
        assert_eq!(kinds(&wrong(&story.history)), [Broken::Unseen]);
    }
}
