//! What is stored in the end, against what was promised and against what was asked for.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::{
    Broken, Finding,
    answers::{acknowledged, released},
    finding,
};
use crate::{
    history::{Action, Allocation, Answer, History, Id, Operation},
    net::{Net, Size},
};

/// A stored allocation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// What the API shows of it.
    pub allocation: Allocation,
    /// The operation that it says it is from.
    pub operation: Option<u64>,
    /// The size that it says was asked for.
    pub size: Option<Size>,
}

/// A stored block.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Block {
    /// The VRF of its range.
    pub vrf: String,
    /// The network.
    pub net: Net,
    /// Its range.
    pub range: Net,
    /// The allocation that it belongs to.
    pub owner: Option<Id>,
}

/// What is there when everything is over: in the tables, read past the server, and on the API.
#[derive(Clone, Debug, Default)]
pub struct Ending {
    /// All allocations.
    pub rows: Vec<Row>,
    /// All blocks.
    pub blocks: Vec<Block>,
    /// Allocations that were created, by the audit log.
    pub created: BTreeSet<Id>,
    /// Allocations that were released, by the audit log.
    pub released: BTreeSet<Id>,
    /// What each server lists.
    pub listed: Vec<Vec<Allocation>>,
}

/// Blocks of one VRF that have an address in common, or lie outside of their range.
pub(super) fn overlaps(ending: &Ending) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut sorted: Vec<_> = ending.blocks.iter().collect();
    sorted.sort();
    // The block of this VRF so far that reaches furthest.
    let mut furthest: Option<&Block> = None;
    for block in sorted {
        if !block.range.contains(block.net) {
            let text = format!(
                "{} is stored outside of its range {}",
                block.net, block.range
            );
            findings.push(finding(Broken::Wrong, text));
        }
        let before = furthest.filter(|before| before.vrf == block.vrf);
        if let Some(before) = before
            && before.net.overlaps(block.net)
        {
            findings.push(finding(
                Broken::TwoOwners,
                format!("{before:?} and {block:?} are both stored"),
            ));
        }
        if before.is_none_or(|before| before.net.last() < block.net.last()) {
            furthest = Some(block);
        }
    }
    findings
}

/// Rows that come from no request, or from one that was refused, or that there are too many of.
pub(super) fn unasked(history: &History, ending: &Ending) -> Vec<Finding> {
    let operations: HashMap<u64, &Operation> = history
        .operations
        .iter()
        .map(|operation| (operation.number, operation))
        .collect();
    let mut findings = Vec::new();
    let mut by_operation: HashMap<u64, &Id> = HashMap::new();
    let mut by_name: HashMap<(String, &str), &Id> = HashMap::new();
    for row in &ending.rows {
        let id = &row.allocation.id;
        if let Some(text) = why_unasked(row, &operations) {
            findings.push(finding(Broken::Unasked, format!("{text}: {row:?}")));
        }
        if let Some(number) = row.operation
            && let Some(other) = by_operation.insert(number, id)
        {
            let text = format!("operation {number} is stored twice, as {other} and as {id}");
            findings.push(finding(Broken::Unasked, text));
        }
        if let Some(name) = &row.allocation.name
            && let Some(other) = by_name.insert((row.allocation.vpc.to_lowercase(), name), id)
        {
            let text = format!(
                "the name {}/{name} is stored twice, as {other} and as {id}",
                row.allocation.vpc
            );
            findings.push(finding(Broken::Unasked, text));
        }
    }
    let ids: BTreeSet<_> = ending.rows.iter().map(|row| &row.allocation.id).collect();
    for block in &ending.blocks {
        if block
            .owner
            .as_ref()
            .is_none_or(|owner| !ids.contains(owner))
        {
            findings.push(finding(
                Broken::Unasked,
                format!("a block without an allocation: {block:?}"),
            ));
        }
    }
    for id in ids {
        if !ending.created.contains(id) {
            findings.push(finding(
                Broken::Unasked,
                format!("the audit log does not know of {id}"),
            ));
        }
    }
    findings
}

fn why_unasked(row: &Row, operations: &HashMap<u64, &Operation>) -> Option<String> {
    let Some(operation) = row.operation.and_then(|number| operations.get(&number)) else {
        return Some("no operation of the run".to_owned());
    };
    let Action::Allocate(ask) = &operation.action else {
        return Some("from an operation that allocates nothing".to_owned());
    };
    let allocation = &row.allocation;
    if allocation.vpc != ask.vpc || allocation.name != ask.name || row.size != Some(ask.size) {
        return Some(format!("not what was asked for ({ask:?})"));
    }
    if let Some(misfit) = ask.size.misfit(&allocation.blocks) {
        return Some(misfit);
    }
    match operation.shown() {
        Some((_, shown)) => {
            (shown.id != allocation.id).then(|| format!("the operation got {} instead", shown.id))
        }
        None => (!operation.is_open()).then(|| {
            let answers: Vec<_> = operation
                .attempts
                .iter()
                .map(|attempt| &attempt.answer)
                .collect();
            format!("everything that was sent was refused ({answers:?})")
        }),
    }
}

/// Acknowledged allocations and releases that are not as they were acknowledged.
pub(super) fn broken_promises(history: &History, ending: &Ending) -> Vec<Finding> {
    let rows: BTreeMap<&Id, &Allocation> = ending
        .rows
        .iter()
        .map(|row| (&row.allocation.id, &row.allocation))
        .collect();
    let maybe_released = maybe_released(history);
    let released = released(history);
    let mut findings = Vec::new();
    for (id, acknowledged) in acknowledged(history) {
        let stored = rows.get(id);
        match stored {
            Some(stored) if *stored != acknowledged.allocation => {
                let text = format!("{:?} is stored as {stored:?}", acknowledged.allocation);
                findings.push(finding(Broken::Lost, text));
            }
            Some(_) => {}
            None if !maybe_released.contains(id) => {
                let text = format!(
                    "{:?}, acknowledged at {:.3?}, is not stored",
                    acknowledged.allocation, acknowledged.at
                );
                findings.push(finding(Broken::Lost, text));
            }
            None => {}
        }
        if !ending.created.contains(id) {
            let text = format!(
                "{id}, acknowledged at {:.3?}, is not in the audit log",
                acknowledged.at
            );
            findings.push(finding(Broken::Lost, text));
        }
    }
    for (id, at) in released {
        if rows.contains_key(id) {
            let text = format!("{id} is stored, and its release was acknowledged at {at:.3?}");
            findings.push(finding(Broken::Undead, text));
        }
        if !ending.released.contains(id) {
            let text =
                format!("the release of {id}, acknowledged at {at:.3?}, is not in the audit log");
            findings.push(finding(Broken::Undead, text));
        }
    }
    for (server, listed) in ending.listed.iter().enumerate() {
        let shown: BTreeMap<_, _> = listed
            .iter()
            .map(|allocation| (&allocation.id, allocation))
            .collect();
        if shown != rows || listed.len() != rows.len() {
            let text = format!(
                "server {server} lists {} allocations, not the {} that are stored",
                listed.len(),
                rows.len()
            );
            findings.push(finding(Broken::Wrong, text));
        }
    }
    findings
}

/// Allocations that somebody tried to release and that may be released.
fn maybe_released(history: &History) -> BTreeSet<&Id> {
    let tried = history
        .operations
        .iter()
        .filter_map(|operation| match &operation.action {
            Action::Release(id) => Some((id, &operation.attempts)),
            _ => None,
        });
    tried
        .filter(|(_, attempts)| {
            attempts.iter().any(|attempt| {
                matches!(
                    attempt.answer,
                    Answer::Released | Answer::Gone | Answer::Unknown(_)
                )
            })
        })
        .map(|(id, _)| id)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::{
        check,
        example::{Story, kinds},
    };

    /// Two allocations, of which one is released.
    fn story() -> Story {
        let mut story = Story::default();
        story.allocate(0, 10, "a", "10.0.0.0/26");
        story.allocate(0, 10, "b", "10.0.0.64/26");
        story.release(20, 30, "b");
        story
    }

    fn findings(story: &Story, change: impl Fn(&mut Ending)) -> Vec<Broken> {
        let mut ending = story.ending();
        change(&mut ending);
        kinds(&check(&story.history, &ending))
    }

    #[test]
    fn what_must_be_there_is_fine() {
        assert_eq!(findings(&story(), |_| {}), []);
    }

    #[test]
    fn a_lost_allocation_is_found() {
        let without = |ending: &mut Ending| {
            ending.rows.clear();
            ending.blocks.clear();
            ending.listed.iter_mut().for_each(Vec::clear);
        };
        assert_eq!(findings(&story(), without), [Broken::Lost]);
        // Also one of which only the log is lost.
        assert_eq!(
            findings(&story(), |ending| ending.created.retain(|id| id != "b")),
            [Broken::Lost]
        );
    }

    #[test]
    fn an_open_release_may_have_been_done_and_a_refused_one_not() {
        let without = |ending: &mut Ending| {
            ending.rows.clear();
            ending.blocks.clear();
            ending.listed.iter_mut().for_each(Vec::clear);
        };
        let mut open = story();
        open.release_open(40, 50, "a");
        assert_eq!(findings(&open, |_| {}), []);
        assert_eq!(findings(&open, without), []);
        let mut refused = story();
        refused.release_answered(40, 50, "a", Answer::Refused("unavailable".to_owned()));
        assert_eq!(findings(&refused, |_| {}), []);
        assert_eq!(findings(&refused, without), [Broken::Lost]);
    }

    #[test]
    fn a_changed_block_is_found() {
        let moved = |ending: &mut Ending| {
            let net = "10.0.0.128/26".parse().unwrap();
            ending.rows[0].allocation.blocks[0] = net;
            ending.listed[0][0].blocks[0] = net;
            ending.blocks[0].net = net;
        };
        assert_eq!(findings(&story(), moved), [Broken::Lost]);
    }

    #[test]
    fn a_release_that_did_not_stay_is_found() {
        let back = |ending: &mut Ending| {
            let all = story().all_rows();
            ending.listed[0] = all.iter().map(|row| row.allocation.clone()).collect();
            ending.rows = all;
        };
        assert_eq!(findings(&story(), back), [Broken::Undead]);
        assert_eq!(
            findings(&story(), |ending| ending.released.clear()),
            [Broken::Undead]
        );
    }

    #[test]
    fn a_row_that_nobody_asked_for_is_found() {
        let stranger = |ending: &mut Ending, operation| {
            let mut row = ending.rows[0].clone();
            row.allocation.id = "x".to_owned();
            row.allocation.name = Some("x".to_owned());
            row.operation = operation;
            ending.created.insert("x".to_owned());
            ending.listed[0].push(row.allocation.clone());
            ending.rows.push(row);
        };
        assert_eq!(
            findings(&story(), |ending| stranger(ending, None)),
            [Broken::Unasked]
        );
        assert_eq!(
            findings(&story(), |ending| stranger(ending, Some(99))),
            [Broken::Unasked]
        );
        // Of a release.
        assert_eq!(
            findings(&story(), |ending| stranger(ending, Some(2))),
            [Broken::Unasked]
        );
        // A second one from the same request.
        assert_eq!(
            findings(&story(), |ending| stranger(ending, Some(0))),
            [Broken::Unasked]
        );
    }

    #[test]
    fn an_open_request_may_be_stored_once_and_a_refused_one_not() {
        let with = |answer| {
            let mut story = story();
            story.allocate(40, 50, "c", "10.0.0.128/26");
            let mut ending = story.ending();
            let last = story.history.operations.last_mut().unwrap();
            last.attempts[0].answer = answer;
            let stored = kinds(&check(&story.history, &ending));
            ending.rows.pop();
            ending.listed[0].pop();
            ending
                .blocks
                .retain(|block| block.owner.as_deref() != Some("c"));
            (stored, kinds(&check(&story.history, &ending)))
        };
        assert_eq!(with(Answer::Unknown(String::new())), (vec![], vec![]));
        assert_eq!(
            with(Answer::Refused("overlap".to_owned())),
            (vec![Broken::Unasked], vec![])
        );
    }

    #[test]
    fn a_block_of_another_size_is_found() {
        let mut story = story();
        story.ask_of_last_but(2).size = Size::Length(25);
        assert_eq!(findings(&story, |_| {}), [Broken::Unasked, Broken::Wrong]);
    }

    #[test]
    fn stored_overlaps_are_found() {
        let block = |vrf: &str, net: &str| Block {
            vrf: vrf.to_owned(),
            net: net.parse().unwrap(),
            range: "10.0.0.0/16".parse().unwrap(),
            owner: Some("a".to_owned()),
        };
        let found = |blocks: &[Block]| {
            let ending = Ending {
                blocks: blocks.to_vec(),
                ..Ending::default()
            };
            let all = overlaps(&ending).into_iter();
            all.map(|finding| finding.broken).collect::<Vec<_>>()
        };
        let (wide, inner, beside) = (
            block("x", "10.0.0.0/24"),
            block("x", "10.0.0.192/26"),
            block("x", "10.0.0.0/26"),
        );
        assert_eq!(found(&[inner.clone(), beside.clone()]), []);
        assert_eq!(found(&[wide.clone(), block("y", "10.0.0.0/24")]), []);
        assert_eq!(found(&[wide.clone(), wide.clone()]), [Broken::TwoOwners]);
        // The second one is not beside the wide one in order.
        assert_eq!(
            found(&[inner, beside, wide]),
            [Broken::TwoOwners, Broken::TwoOwners]
        );
        assert_eq!(found(&[block("x", "10.1.0.0/26")]), [Broken::Wrong]);
    }

    #[test]
    fn a_block_without_an_allocation_is_found() {
        let without = |ending: &mut Ending| ending.blocks[0].owner = None;
        assert_eq!(findings(&story(), without), [Broken::Unasked]);
    }

    #[test]
    fn a_server_that_lists_something_else_is_found() {
        let forgetful = |ending: &mut Ending| ending.listed[0].clear();
        assert_eq!(findings(&story(), forgetful), [Broken::Wrong]);
    }
}
