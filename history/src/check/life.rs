//! What an allocation can have looked like at which time, from what its owner was told.
//!
//! Between sending a change and its answer an allocation looks as before or as asked for. If no answer ever says which,
//! it is both from then on, until a later change is answered.

use std::{collections::BTreeMap, time::Duration};

use crate::{
    history::{Action, Allocation, Answer, History, Id, Operation},
    net::{Net, Size},
};

/// One allocation that was acknowledged.
pub(super) struct Life<'a> {
    /// As it was shown first, to who asked for it.
    pub(super) allocation: &'a Allocation,
    /// When that was.
    pub(super) acknowledged: Duration,
    /// When a release was sent for the first time.
    pub(super) first_release: Option<Duration>,
    /// When a release was acknowledged for the first time.
    pub(super) released: Option<Duration>,
    /// Whether a release may have been done.
    pub(super) maybe_released: bool,
    /// Sizes that its owner asked for later.
    pub(super) sizes: Vec<Size>,
    phases: Vec<Phase>,
}

/// A time in which it was one of these.
struct Phase {
    from: Duration,
    maybe: Vec<Vec<Net>>,
}

impl Life<'_> {
    /// Whether it can have had these blocks at some time between these two.
    pub(super) fn can_be(&self, blocks: &[Net], from: Duration, until: Duration) -> bool {
        let next = self.phases.iter().skip(1).map(|phase| phase.from);
        let ends = next.chain([Duration::MAX]);
        self.phases
            .iter()
            .zip(ends)
            .filter(|(phase, end)| phase.from <= until && from <= *end)
            .any(|(phase, _)| phase.maybe.iter().any(|maybe| maybe == blocks))
    }

    /// Whether it can have these blocks in the end.
    pub(super) fn can_end_as(&self, blocks: &[Net]) -> bool {
        self.can_be(blocks, Duration::MAX, Duration::MAX)
    }

    /// The networks that it surely had, each with when that began and ended. A release that was sent ends it all.
    pub(super) fn surely_had(&self) -> impl Iterator<Item = (Net, Duration, Duration)> {
        let until = self.first_release.unwrap_or(Duration::MAX);
        let next = self.phases.iter().skip(1).map(|phase| phase.from);
        let ends = next.chain([Duration::MAX]).map(move |end| end.min(until));
        self.phases
            .iter()
            .zip(ends)
            .flat_map(|(phase, end)| {
                let common = common(&phase.maybe).into_iter();
                common.map(move |net| (net, phase.from, end))
            })
            // What was acknowledged to a second client while a first one released it proves nothing.
            .filter(|(_, from, until)| from < until)
    }

    fn maybe(&self) -> Vec<Vec<Net>> {
        self.phases
            .last()
            .map(|phase| phase.maybe.clone())
            .unwrap_or_default()
    }

    fn resize(&mut self, operation: &Operation, size: Size) {
        let (Some(first), Some(last)) = (operation.attempts.first(), operation.attempts.last())
        else {
            return;
        };
        self.sizes.push(size);
        let before = self.maybe();
        let mut either = before.clone();
        either.extend(before.iter().filter_map(|blocks| resized(blocks, size)));
        self.phases.push(Phase {
            from: first.sent,
            maybe: either,
        });
        let known = match operation.shown() {
            Some((_, shown)) => vec![shown.blocks.clone()],
            None if operation.is_open() => return,
            None => before,
        };
        self.phases.push(Phase {
            from: last.ended,
            maybe: known,
        });
    }
}

/// What blocks become in another size: the network around each, or its lower end.
pub(super) fn resized(blocks: &[Net], size: Size) -> Option<Vec<Net>> {
    let first = blocks.first()?;
    let change = i16::from(size.node_length()?) - i16::from(first.length());
    let each = blocks.iter().map(|net| {
        let length = u8::try_from(i16::from(net.length()) + change).ok()?;
        Net::around(net.first(), length)
    });
    each.collect()
}

/// The addresses that all of these have, block by block. One of them lies in the other, or there are none.
fn common(maybe: &[Vec<Net>]) -> Vec<Net> {
    let mut common = maybe.first().cloned().unwrap_or_default();
    for blocks in maybe {
        common = common
            .iter()
            .zip(blocks)
            .filter_map(|(a, b)| match (a.contains(*b), b.contains(*a)) {
                (true, _) => Some(*b),
                (_, true) => Some(*a),
                _ => None,
            })
            .collect();
    }
    common
}

/// All allocations that were acknowledged to who asked for them, by id.
pub(super) fn lives(history: &History) -> BTreeMap<&Id, Life<'_>> {
    let mut lives: BTreeMap<&Id, Life<'_>> = BTreeMap::new();
    let mut acknowledged: Vec<_> = history
        .operations
        .iter()
        .filter(|operation| matches!(operation.action, Action::Allocate(_)))
        .filter_map(Operation::shown)
        .collect();
    acknowledged.sort_by_key(|(attempt, _)| attempt.ended);
    for (attempt, allocation) in acknowledged {
        lives.entry(&allocation.id).or_insert_with(|| Life {
            allocation,
            acknowledged: attempt.ended,
            first_release: None,
            released: None,
            maybe_released: false,
            sizes: Vec::new(),
            phases: vec![Phase {
                from: attempt.ended,
                maybe: vec![allocation.blocks.clone()],
            }],
        });
    }
    // Whoever changes an allocation does one thing after the other.
    let mut changes: Vec<_> = history
        .operations
        .iter()
        .filter_map(|operation| match &operation.action {
            Action::Resize(id, size) => Some((operation, id, *size)),
            _ => None,
        })
        .collect();
    changes.sort_by_key(|(operation, ..)| operation.attempts.first().map(|attempt| attempt.sent));
    for (operation, id, size) in changes {
        if let Some(life) = lives.get_mut(id) {
            life.resize(operation, size);
        }
    }
    for operation in &history.operations {
        if let Action::Release(id) = &operation.action
            && let Some(life) = lives.get_mut(id)
        {
            for attempt in &operation.attempts {
                earlier(&mut life.first_release, attempt.sent);
                let done = matches!(attempt.answer, Answer::Released | Answer::Gone);
                if done {
                    earlier(&mut life.released, attempt.ended);
                }
                life.maybe_released |= done || matches!(attempt.answer, Answer::Unknown(_));
            }
        }
    }
    lives
}

fn earlier(time: &mut Option<Duration>, other: Duration) {
    *time = Some(time.map_or(other, |time| time.min(other)));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::example::Story;

    const SMALL: &str = "10.0.0.0/26";
    const LARGE: &str = "10.0.0.0/25";

    fn story(answer: Answer) -> Story {
        let mut story = Story::default();
        story.allocate(0, 10, "a", SMALL);
        story.resize(20, 30, "a", 25, answer);
        story
    }

    /// The sure node range, when it began and when it ended, in milliseconds.
    fn sure(story: &Story) -> Vec<(String, u128, Option<u128>)> {
        let lives = lives(&story.history);
        let life = lives.values().next().unwrap();
        let nodes = life.surely_had().filter(|(net, ..)| net.length() > 21);
        nodes
            .map(|(net, from, until)| {
                let until = (until < Duration::MAX).then_some(until.as_millis());
                (net.to_string(), from.as_millis(), until)
            })
            .collect()
    }

    fn can_be(story: &Story, node: &str, from: u64, until: u64) -> bool {
        let lives = lives(&story.history);
        let Answer::Shown(allocation) = Story::shown_as("a", node) else {
            panic!("it is shown");
        };
        let times = [from, until].map(Duration::from_millis);
        lives
            .values()
            .next()
            .unwrap()
            .can_be(&allocation.blocks, times[0], times[1])
    }

    #[test]
    fn blocks_grow_into_what_is_around_them_and_shrink_to_their_lower_end() {
        let net = |text: &str| text.parse::<Net>().unwrap();
        let to =
            |blocks: [&str; 2], length| resized(&blocks.map(net), Size::Length(length)).unwrap();
        assert_eq!(
            to(["10.0.0.192/26", "100.64.24.0/21"], 24),
            ["10.0.0.0/24", "100.64.0.0/19"].map(net)
        );
        assert_eq!(
            to(["10.0.1.0/24", "100.64.32.0/19"], 26),
            ["10.0.1.0/26", "100.64.32.0/21"].map(net)
        );
    }

    #[test]
    fn a_growth_is_sure_when_it_is_acknowledged() {
        let story = story(Story::shown_as("a", LARGE));
        let rest = [
            (SMALL.to_owned(), 10, Some(20)),
            (SMALL.to_owned(), 20, Some(30)),
            (LARGE.to_owned(), 30, None),
        ];
        assert_eq!(sure(&story), rest);
        assert!(can_be(&story, SMALL, 21, 22) && can_be(&story, LARGE, 21, 22));
        assert!(!can_be(&story, LARGE, 11, 19) && !can_be(&story, SMALL, 31, 32));
    }

    #[test]
    fn a_shrinking_is_sure_when_it_is_sent() {
        let mut story = Story::default();
        story.allocate(0, 10, "a", LARGE);
        story.resize(20, 30, "a", 26, Story::shown_as("a", SMALL));
        let rest = [
            (LARGE.to_owned(), 10, Some(20)),
            (SMALL.to_owned(), 20, Some(30)),
            (SMALL.to_owned(), 30, None),
        ];
        assert_eq!(sure(&story), rest);
    }

    #[test]
    fn an_open_change_leaves_both_and_a_refused_one_nothing() {
        let open = story(Answer::Unknown(String::new()));
        assert_eq!(sure(&open).last().unwrap(), &(SMALL.to_owned(), 20, None));
        assert!(can_be(&open, SMALL, 90, 99) && can_be(&open, LARGE, 90, 99));
        let refused = story(Answer::Refused("overlap".to_owned()));
        assert_eq!(
            sure(&refused).last().unwrap(),
            &(SMALL.to_owned(), 30, None)
        );
        assert!(can_be(&refused, SMALL, 90, 99) && !can_be(&refused, LARGE, 90, 99));
    }

    #[test]
    fn a_release_ends_what_is_sure() {
        let mut story = story(Story::shown_as("a", LARGE));
        story.release_open(40, 50, "a");
        assert_eq!(
            sure(&story).last().unwrap(),
            &(LARGE.to_owned(), 30, Some(40))
        );
    }
}
