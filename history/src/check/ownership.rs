//! Who owned which addresses when, as far as acknowledgements prove it, and whether two did at once.
//!
//! An owner is sure of its blocks from the acknowledgement until it, or anybody, asks for their release: the allocation
//! was committed before the one, and the release can't have been before the other. Two owners whose sure times meet had
//! the same address at the same time, whatever happened in between.

use std::{collections::BTreeMap, time::Duration};

use super::{Broken, Finding, finding, life::Life};
use crate::{history::Id, net::Net};

/// A time in which an allocation surely owned a network.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Tenure<'a> {
    id: &'a Id,
    net: Net,
    from: Duration,
    until: Duration,
}

fn tenures<'a>(lives: &BTreeMap<&'a Id, Life<'a>>) -> Vec<Tenure<'a>> {
    let mut tenures = Vec::new();
    for (id, life) in lives {
        let nets = life.surely_had();
        tenures.extend(nets.map(|(net, from, until)| Tenure {
            id,
            net,
            from,
            until,
        }));
    }
    tenures
}

/// Addresses with two owners at once.
pub(super) fn shared<'a>(lives: &BTreeMap<&'a Id, Life<'a>>) -> Vec<Finding> {
    let tenures = tenures(lives);
    // Ends before beginnings of the same time.
    let mut steps: Vec<(Duration, bool, &Tenure<'_>)> = tenures
        .iter()
        .flat_map(|tenure| [(tenure.from, true, tenure), (tenure.until, false, tenure)])
        .collect();
    steps.sort_by_key(|(at, begins, tenure)| (*at, *begins, tenure.net, tenure.id));
    // Owned at the moment. As long as nothing is wrong these are disjoint, so only neighbours can conflict.
    let mut owned: BTreeMap<(Net, &Id), &Tenure<'_>> = BTreeMap::new();
    let mut findings = Vec::new();
    for (_, begins, tenure) in steps {
        let place = (tenure.net, tenure.id);
        if !begins {
            owned.remove(&place);
            continue;
        }
        let before = owned.range(..place).next_back();
        let after = owned.range(place..).next();
        for (_, other) in before.into_iter().chain(after) {
            if other.net.overlaps(tenure.net) && other.id != tenure.id {
                findings.push(finding(
                    Broken::TwoOwners,
                    format!(
                        "{} was acknowledged to {} at {:.3?} while {} owned {} since {:.3?}",
                        tenure.net, tenure.id, tenure.from, other.id, other.net, other.from
                    ),
                ));
            }
        }
        owned.insert(place, tenure);
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        check::{
            example::{Story, kinds},
            life::lives,
        },
        history::Answer,
    };

    fn found(story: &Story) -> Vec<Broken> {
        kinds(&shared(&lives(&story.history)))
    }

    #[test]
    fn one_after_the_other_is_fine() {
        let mut story = Story::default();
        story.allocate(0, 10, "a", "10.0.0.0/26");
        story.release(20, 30, "a");
        // Acknowledged while the release is under way, which may have been done by then.
        story.allocate(15, 25, "b", "10.0.0.0/26");
        story.allocate(26, 27, "c", "10.0.0.64/26");
        assert_eq!(found(&story), []);
    }

    #[test]
    fn two_at_once_are_found() {
        for other in ["10.0.0.0/26", "10.0.0.0/25", "10.0.0.0/24"] {
            let mut story = Story::default();
            story.allocate(0, 10, "a", "10.0.0.0/26");
            story.allocate(12, 19, "b", other);
            story.release(20, 30, "a");
            assert_eq!(found(&story), [Broken::TwoOwners], "{other}");
        }
    }

    #[test]
    fn an_open_release_ends_what_is_sure() {
        let mut story = Story::default();
        story.allocate(0, 10, "a", "10.0.0.0/26");
        story.release_open(20, 30, "a");
        story.allocate(40, 50, "b", "10.0.0.0/26");
        assert_eq!(found(&story), []);
    }

    #[test]
    fn the_smaller_network_between_others_is_found() {
        let mut story = Story::default();
        story.allocate(0, 10, "a", "10.0.0.0/26");
        story.allocate(0, 10, "b", "10.0.1.0/24");
        story.allocate(0, 10, "c", "10.0.2.0/24");
        story.allocate(20, 30, "d", "10.0.1.192/26");
        assert_eq!(found(&story), [Broken::TwoOwners]);
    }

    #[test]
    fn the_same_allocation_shown_twice_has_one_owner() {
        let mut story = Story::default();
        story.allocate(0, 10, "a", "10.0.0.0/26");
        story.allocate(5, 20, "a", "10.0.0.0/26");
        assert_eq!(found(&story), []);
    }

    #[test]
    fn what_grows_and_shrinks_counts_as_what_it_surely_is() {
        let mut story = Story::default();
        story.allocate(0, 10, "a", "10.0.0.0/26");
        story.allocate(0, 10, "b", "10.0.0.64/26");
        story.release(15, 16, "b");
        story.resize(20, 30, "a", 25, Story::shown_as("a", "10.0.0.0/25"));
        assert_eq!(found(&story), []);
        story.allocate(35, 36, "c", "10.0.0.64/26");
        assert_eq!(found(&story), [Broken::TwoOwners]);
        // Unless it shrinks meanwhile, even if nobody says whether it did.
        story.resize(32, 90, "a", 26, Answer::Unknown(String::new()));
        assert_eq!(found(&story), []);
        story.allocate(40, 41, "d", "10.0.0.0/26");
        assert_eq!(found(&story), [Broken::TwoOwners]);
    }

    /// Against looking at each pair, over many random histories.
    #[test]
    fn agrees_with_looking_at_each_pair() {
        let mut dice = crate::dice::Dice::new(7, 0);
        let mut bad = 0;
        for _ in 0..2000 {
            let mut story = Story::default();
            for number in 0..6 {
                let length = dice.within(24..=26);
                let first = dice.within(0..=3) << (32 - length);
                let net = Net::new(
                    0x0a00_0000 + u32::try_from(first).unwrap(),
                    u8::try_from(length).unwrap(),
                );
                let (id, at) = (format!("a{number}"), dice.within(0..=50));
                story.allocate(at, at + 1, &id, &net.unwrap().to_string());
                let end = at + dice.within(2..=10);
                story.release(end, end + 1, &id);
            }
            let lives = lives(&story.history);
            let tenures = tenures(&lives);
            let pair = tenures.iter().any(|a| {
                let meets = |b: &Tenure<'_>| {
                    a.id != b.id && a.net.overlaps(b.net) && a.from < b.until && b.from < a.until
                };
                tenures.iter().any(meets)
            });
            assert_eq!(!found(&story).is_empty(), pair, "{tenures:#?}");
            bad += usize::from(pair);
        }
        assert!((200..1800).contains(&bad), "{bad} of 2000 were bad");
    }
}
