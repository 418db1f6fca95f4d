//! Compares what is stored in the end with what was promised and with what was requested.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::{Broken, Finding, finding, life::Life};
use crate::{
    history::{Action, Allocation, History, Id, Operation},
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
    /// The names of all VPCs.
    pub vpcs: BTreeSet<String>,
    /// What each Idempotency-Key made.
    pub keys: BTreeMap<String, Id>,
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

/// Rows that come from no request or from a refused one, and duplicate rows.
pub(super) fn unasked(
    history: &History,
    lives: &BTreeMap<&Id, Life<'_>>,
    ending: &Ending,
) -> Vec<Finding> {
    let operations: HashMap<u64, &Operation> = history
        .operations
        .iter()
        .map(|operation| (operation.number, operation))
        .collect();
    let mut texts = Vec::new();
    let mut by_operation: HashMap<u64, &Id> = HashMap::new();
    let mut by_name: HashMap<(String, &str), &Id> = HashMap::new();
    for row in &ending.rows {
        let Allocation { id, vpc, name, .. } = &row.allocation;
        if let Some(text) = why_unasked(row, &operations, lives.get(id)) {
            texts.push(format!("{text}: {row:?}"));
        }
        if let Some(number) = row.operation
            && let Some(other) = by_operation.insert(number, id)
        {
            texts.push(format!(
                "operation {number} is stored twice, as {other} and as {id}"
            ));
        }
        if let Some(name) = name
            && let Some(other) = by_name.insert((vpc.to_ascii_lowercase(), name), id)
        {
            texts.push(format!(
                "the name {vpc}/{name} is stored twice, as {other} and as {id}"
            ));
        }
    }
    texts.extend(strangers(history, ending));
    let texts = texts.into_iter();
    texts.map(|text| finding(Broken::Unasked, text)).collect()
}

fn why_unasked(
    row: &Row,
    operations: &HashMap<u64, &Operation>,
    life: Option<&Life<'_>>,
) -> Option<String> {
    let Some(operation) = row.operation.and_then(|number| operations.get(&number)) else {
        return Some("no operation of the run".to_owned());
    };
    let Action::Allocate(ask) = &operation.action else {
        return Some("from an operation that allocates nothing".to_owned());
    };
    let allocation = &row.allocation;
    let later = life.map(|life| life.sizes.as_slice()).unwrap_or_default();
    let size = row
        .size
        .filter(|size| *size == ask.size || later.contains(size));
    let Some(size) = size.filter(|_| allocation.vpc == ask.vpc && allocation.name == ask.name)
    else {
        return Some(format!("not what was asked for ({ask:?}, later {later:?})"));
    };
    if let Some(misfit) = size.misfit(&allocation.blocks) {
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

/// Everything but allocations that nobody asked for.
fn strangers(history: &History, ending: &Ending) -> Vec<String> {
    let ids: BTreeSet<_> = ending.rows.iter().map(|row| &row.allocation.id).collect();
    let asks: Vec<_> = history
        .operations
        .iter()
        .filter_map(|operation| match &operation.action {
            Action::Allocate(ask) => Some((ask, operation)),
            _ => None,
        })
        .collect();
    let vpcs: BTreeSet<_> = asks.iter().map(|(ask, _)| &ask.vpc).collect();
    let keys: HashMap<_, _> = asks
        .iter()
        .filter_map(|(ask, operation)| Some((ask.key.as_ref()?, *operation)))
        .collect();
    let releases: BTreeSet<_> = history
        .operations
        .iter()
        .filter_map(|operation| match &operation.action {
            Action::Release(id) if !operation.attempts.is_empty() => Some(id),
            _ => None,
        })
        .collect();
    let mut texts = Vec::new();
    for block in &ending.blocks {
        let owner = block.owner.as_ref();
        if owner.is_none_or(|owner| !ids.contains(owner)) {
            texts.push(format!("a block without an allocation: {block:?}"));
        }
    }
    for vpc in ending.vpcs.iter().filter(|vpc| !vpcs.contains(vpc)) {
        texts.push(format!("a VPC: {vpc}"));
    }
    for (key, id) in &ending.keys {
        let shown = keys.get(key).map(|operation| operation.shown());
        if shown.is_none_or(|shown| shown.is_some_and(|(_, shown)| shown.id != *id)) {
            texts.push(format!("an Idempotency-Key: {key:?} for {id}"));
        }
    }
    for id in ids.iter().filter(|id| !ending.created.contains(**id)) {
        texts.push(format!("the audit log does not know of {id}"));
    }
    for id in ending.released.iter().filter(|id| !releases.contains(id)) {
        texts.push(format!("the release of {id}"));
    }
    texts
}

/// Acknowledged allocations and releases that are not as they were acknowledged.
pub(super) fn broken_promises(lives: &BTreeMap<&Id, Life<'_>>, ending: &Ending) -> Vec<Finding> {
    let rows: BTreeMap<&Id, &Allocation> = ending
        .rows
        .iter()
        .map(|row| (&row.allocation.id, &row.allocation))
        .collect();
    let mut findings = Vec::new();
    for (id, life) in lives {
        let (first, at) = (life.allocation, life.acknowledged);
        if let Some(stored) = rows.get(id) {
            let same = (&stored.vpc, &stored.name) == (&first.vpc, &first.name);
            if !same || !life.can_end_as(&stored.blocks) {
                let text = format!("{first:?}, later {:?}, is stored as {stored:?}", life.sizes);
                findings.push(finding(Broken::Lost, text));
            }
        } else if !life.maybe_released {
            let text = format!("{first:?}, acknowledged at {at:.3?}, is not stored");
            findings.push(finding(Broken::Lost, text));
        }
        if !ending.created.contains(*id) {
            let text = format!("{id}, acknowledged at {at:.3?}, is not in the audit log");
            findings.push(finding(Broken::Lost, text));
        }
        let Some(at) = life.released else {
            continue;
        };
        if rows.contains_key(id) {
            let text = format!("{id} is stored, and its release was acknowledged at {at:.3?}");
            findings.push(finding(Broken::Undead, text));
        }
        if !ending.released.contains(*id) {
            let text =
                format!("the release of {id}, acknowledged at {at:.3?}, is not in the audit log");
            findings.push(finding(Broken::Undead, text));
        }
    }
    for id in &ending.created {
        // Whatever was created is there, unless it was released.
        if !rows.contains_key(id) && !ending.released.contains(id) {
            let text =
                format!("{id} is not stored, and by the audit log it was made and not released");
            findings.push(finding(Broken::Lost, text));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        check::{
            check,
            example::{Story, kinds},
        },
        history::Answer,
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
            ending.released.insert("a".to_owned());
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
            [Broken::Lost, Broken::Undead]
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
            ending.created.remove("c");
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

    #[test]
    fn a_vpc_or_a_key_that_nobody_sent_is_found() {
        let vpc = |ending: &mut Ending| ending.vpcs.extend(["x".to_owned()]);
        assert_eq!(findings(&story(), vpc), [Broken::Unasked]);
        let key = |ending: &mut Ending| ending.keys.extend([("x".to_owned(), "a".to_owned())]);
        assert_eq!(findings(&story(), key), [Broken::Unasked]);
        let mut with_key = story();
        with_key.ask_of_last_but(1).key = Some("x".to_owned());
        assert_eq!(findings(&with_key, |_| {}), []);
        // Of another allocation than the one that was acknowledged.
        assert_eq!(findings(&with_key, key), [Broken::Unasked]);
    }

    #[test]
    fn a_release_that_nobody_sent_is_found() {
        let released = |ending: &mut Ending| ending.released.extend(["a".to_owned()]);
        assert_eq!(findings(&story(), released), [Broken::Unasked]);
    }

    #[test]
    fn a_made_allocation_that_went_away_silently_is_found() {
        let mut story = story();
        story.allocate(40, 50, "c", "10.0.0.128/26");
        let mut ending = story.ending();
        story.history.operations[3].attempts[0].answer = Answer::Unknown(String::new());
        assert_eq!(kinds(&check(&story.history, &ending)), []);
        ending.rows.pop();
        ending.listed[0].pop();
        ending
            .blocks
            .retain(|block| block.owner.as_deref() != Some("c"));
        assert_eq!(kinds(&check(&story.history, &ending)), [Broken::Lost]);
    }

    #[test]
    fn a_new_size_is_stored_when_it_was_acknowledged_and_perhaps_when_it_was_not() {
        let resized = |answer| {
            let mut story = story();
            story.resize(40, 50, "a", 25, answer);
            let before = findings(&story, |_| {});
            let after = findings(&story, |ending| {
                let Answer::Shown(large) = Story::shown_as("a", "10.0.0.0/25") else {
                    panic!("it is shown");
                };
                for (block, net) in ending.blocks.iter_mut().zip(&large.blocks) {
                    block.net = *net;
                }
                ending.rows[0].size = Some(Size::Length(25));
                ending.rows[0].allocation = large.clone();
                ending.listed[0][0] = large;
            });
            (before, after)
        };
        let lost = vec![Broken::Lost];
        assert_eq!(
            resized(Story::shown_as("a", "10.0.0.0/25")),
            (lost.clone(), vec![])
        );
        assert_eq!(resized(Answer::Unknown(String::new())), (vec![], vec![]));
        assert_eq!(
            resized(Answer::Refused("overlap".to_owned())),
            (vec![], lost)
        );
    }
}
