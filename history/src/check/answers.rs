//! Answers that contradict the request, or earlier answers.

use std::collections::{BTreeMap, HashMap};

use super::{Broken, Finding, finding, life::Life};
use crate::{
    history::{Action, Answer, Ask, Attempt, History, Id, Operation},
    net::Size,
};

type Lives<'a> = BTreeMap<&'a Id, Life<'a>>;

/// Everything that is wrong with single answers.
pub(super) fn wrong(history: &History, lives: &Lives<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    // What was created for a unique request must not be acknowledged for another one.
    let mut made_for: HashMap<&Id, u64> = HashMap::new();
    for operation in &history.operations {
        for attempt in &operation.attempts {
            findings.extend(match &operation.action {
                Action::Allocate(ask) => allocated(ask, operation, attempt, lives),
                Action::Resize(id, size) => resized(id, *size, attempt, lives),
                Action::Release(id) => release(history, id, attempt, lives),
                Action::Read(id) => read(id, attempt, lives),
            });
        }
        if let (Action::Allocate(ask), Some((_, shown))) = (&operation.action, operation.shown())
            && ask.name.is_none()
            && let Some(other) = made_for.insert(&shown.id, operation.number)
        {
            let number = operation.number;
            let text = format!(
                "{} was acknowledged to operation {other} and to {number}",
                shown.id
            );
            findings.push(finding(Broken::TwoOwners, text));
        }
    }
    findings
}

fn allocated(
    ask: &Ask,
    operation: &Operation,
    attempt: &Attempt,
    lives: &Lives<'_>,
) -> Option<Finding> {
    let number = operation.number;
    match &attempt.answer {
        Answer::Shown(shown) => {
            if let Some(misfit) = ask.size.misfit(&shown.blocks) {
                let text = format!("operation {number} was answered {misfit}");
                return Some(finding(Broken::Wrong, text));
            }
            if shown.vpc != ask.vpc || shown.name != ask.name {
                let text = format!("operation {number} asked for {ask:?} and was shown {shown:?}");
                return Some(finding(Broken::Wrong, text));
            }
            let first = lives.get(&shown.id)?.allocation;
            (first != shown).then(|| {
                let text = format!("{first:?} was shown as {shown:?} to operation {number}");
                finding(Broken::Unseen, text)
            })
        }
        // Found by its Idempotency-Key: nobody knows the id yet, so nobody can have released it.
        Answer::Gone => Some(finding(
            Broken::Unseen,
            format!("what operation {number} allocated was gone before it was acknowledged"),
        )),
        _ => None,
    }
}

fn resized(id: &Id, size: Size, attempt: &Attempt, lives: &Lives<'_>) -> Option<Finding> {
    let life = lives.get(id)?;
    match &attempt.answer {
        Answer::Shown(shown) => {
            let fits = shown.blocks.first().map(|net| net.length()) == size.node_length();
            if fits && life.can_be(&shown.blocks, attempt.sent, attempt.sent) {
                return unlike(life, shown, attempt);
            }
            let text = format!(
                "{id} was to be resized to {size:?} at {:.3?} and became {shown:?}",
                attempt.sent
            );
            Some(finding(Broken::Wrong, text))
        }
        // Nobody else knows it.
        Answer::Missing | Answer::Gone => Some(finding(
            Broken::Unseen,
            format!(
                "{id} was not there when it was to be resized at {:.3?}",
                attempt.sent
            ),
        )),
        _ => None,
    }
}

/// What no change changes.
fn unlike(
    life: &Life<'_>,
    shown: &crate::history::Allocation,
    attempt: &Attempt,
) -> Option<Finding> {
    let first = life.allocation;
    ((&shown.id, &shown.vpc, &shown.name) != (&first.id, &first.vpc, &first.name)).then(|| {
        let text = format!("{first:?} was shown as {shown:?} at {:.3?}", attempt.sent);
        finding(Broken::Unseen, text)
    })
}

fn release(history: &History, id: &Id, attempt: &Attempt, lives: &Lives<'_>) -> Option<Finding> {
    let life = lives.get(id)?;
    match &attempt.answer {
        Answer::Missing => Some(finding(
            Broken::Unseen,
            format!(
                "{id} was not known when it was to be released at {:.3?}",
                attempt.sent
            ),
        )),
        // Another release must have come first. Two that are sent in the same instant count as two.
        Answer::Gone if life.first_release == Some(attempt.sent) => {
            let others = history
                .operations
                .iter()
                .filter(|other| matches!(&other.action, Action::Release(other) if other == id))
                .flat_map(|other| &other.attempts)
                .filter(|other| other.sent < attempt.ended)
                .count();
            (others < 2).then(|| gone(id, attempt))
        }
        _ => None,
    }
}

fn gone(id: &Id, attempt: &Attempt) -> Finding {
    let text = format!(
        "{id} was gone at {:.3?} although nobody had released it",
        attempt.sent
    );
    finding(Broken::Unseen, text)
}

fn read(id: &Id, attempt: &Attempt, lives: &Lives<'_>) -> Option<Finding> {
    let life = lives.get(id)?;
    match &attempt.answer {
        Answer::Shown(_) if life.released.is_some_and(|at| at < attempt.sent) => Some(finding(
            Broken::Undead,
            format!(
                "{id} was shown at {:.3?} although it was released",
                attempt.sent
            ),
        )),
        Answer::Shown(shown) if !life.can_be(&shown.blocks, attempt.sent, attempt.ended) => {
            Some(finding(
                Broken::Unseen,
                format!(
                    "{:?} was shown as {shown:?} at {:.3?}",
                    life.allocation, attempt.sent
                ),
            ))
        }
        Answer::Shown(shown) => unlike(life, shown, attempt),
        Answer::Missing => Some(finding(
            Broken::Unseen,
            format!(
                "{id} was not known at {:.3?}, acknowledged at {:.3?}",
                attempt.sent, life.acknowledged
            ),
        )),
        Answer::Gone if life.first_release.is_none_or(|at| at > attempt.ended) => {
            Some(gone(id, attempt))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        check::{
            example::{Story, kinds},
            life::lives,
        },
        net::Size,
    };

    fn found(story: &Story) -> Vec<Broken> {
        kinds(&wrong(&story.history, &lives(&story.history)))
    }

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
        assert_eq!(found(&story), []);
    }

    #[test]
    fn a_read_that_does_not_see_what_was_acknowledged_is_found() {
        for answer in [Answer::Missing, Answer::Gone] {
            let mut story = story();
            story.read(11, 12, "a", answer);
            story.release(20, 30, "a");
            assert_eq!(found(&story), [Broken::Unseen]);
        }
    }

    #[test]
    fn other_blocks_than_before_are_found() {
        let mut story = story();
        story.read(11, 12, "a", Story::shown_as("a", "10.0.0.64/26"));
        assert_eq!(found(&story), [Broken::Unseen]);
        let mut story = self::story();
        story.allocate(11, 12, "a", "10.0.0.64/26");
        assert_eq!(found(&story), [Broken::Unseen]);
    }

    #[test]
    fn a_release_that_did_not_stay_is_found() {
        let mut story = story();
        story.release(20, 30, "a");
        story.read(40, 50, "a", story.shown("a"));
        assert_eq!(found(&story), [Broken::Undead]);
    }

    #[test]
    fn a_release_finds_what_was_acknowledged() {
        let mut story = story();
        story.release_answered(20, 30, "a", Answer::Missing);
        assert_eq!(found(&story), [Broken::Unseen]);
        let mut story = self::story();
        story.released_again(20, 30, "a");
        assert_eq!(found(&story), [Broken::Unseen]);
        // Two at once: one of them is too late.
        let mut story = self::story();
        story.released_again(20, 30, "a");
        story.release(20, 30, "a");
        assert_eq!(found(&story), []);
    }

    #[test]
    fn an_answer_fits_the_request() {
        let mut story = story();
        story.ask_of_last().size = Size::Length(25);
        assert_eq!(found(&story), [Broken::Wrong]);
        let mut story = self::story();
        story.ask_of_last().name = Some("other".to_owned());
        assert_eq!(found(&story), [Broken::Wrong]);
    }

    #[test]
    fn what_nobody_knew_cannot_have_been_released() {
        let mut story = story();
        story.history.operations[0].attempts[0].answer = Answer::Gone;
        assert_eq!(found(&story), [Broken::Unseen]);
    }

    #[test]
    fn one_allocation_for_two_unnamed_requests_is_found() {
        let mut story = story();
        story.allocate(20, 30, "a", "10.0.0.0/26");
        assert_eq!(found(&story), []);
        for operation in &mut story.history.operations {
            if let Action::Allocate(ask) = &mut operation.action {
                ask.name = None;
            }
            if let Answer::Shown(shown) = &mut operation.attempts[0].answer {
                shown.name = None;
            }
        }
        assert_eq!(found(&story), [Broken::TwoOwners]);
    }

    #[test]
    fn a_resize_that_does_something_else_is_found() {
        let after = |node: &str| {
            let mut story = story();
            story.resize(20, 30, "a", 25, Story::shown_as("a", node));
            found(&story)
        };
        assert_eq!(after("10.0.0.0/25"), []);
        assert_eq!(after("10.0.0.0/26"), [Broken::Wrong]);
        assert_eq!(after("10.0.0.0/24"), [Broken::Wrong]);
        assert_eq!(after("10.0.0.128/25"), [Broken::Wrong]);
        let mut story = story();
        story.resize(20, 30, "a", 25, Answer::Missing);
        assert_eq!(found(&story), [Broken::Unseen]);
    }

    #[test]
    fn a_read_sees_the_size_that_was_acknowledged() {
        let mut story = story();
        story.resize(20, 30, "a", 25, Story::shown_as("a", "10.0.0.0/25"));
        story.read(25, 35, "a", Story::shown_as("a", "10.0.0.0/26"));
        assert_eq!(found(&story), []);
        story.read(31, 35, "a", Story::shown_as("a", "10.0.0.0/26"));
        assert_eq!(found(&story), [Broken::Unseen]);
    }
}
