//! Histories written by hand, for the tests of the checks.

use std::{collections::BTreeSet, time::Duration};

use super::{Block, Broken, Ending, Finding, Row};
use crate::{
    history::{Action, Allocation, Answer, Ask, Attempt, Fault, History, Id, Kind, Operation},
    net::{Net, Size},
};

/// A history that grows, with times in milliseconds.
#[derive(Clone, Debug, Default)]
pub(super) struct Story {
    pub(super) history: History,
}

/// Which kinds there are, each once: whoever has a wrong node range often has a wrong pod range too.
pub(super) fn kinds(findings: &[Finding]) -> Vec<Broken> {
    let all: BTreeSet<_> = findings.iter().map(|finding| finding.broken).collect();
    all.into_iter().collect()
}

/// The node range and the pod range that goes with it: the same place in a larger space.
fn blocks(node: &str) -> Vec<Net> {
    let node: Net = node.parse().unwrap();
    let offset = node.first() - 0x0a00_0000;
    let pods = Net::new(0x6440_0000 + offset * 32, node.length() - 5).unwrap();
    vec![node, pods]
}

fn allocation(id: &str, node: &str) -> Allocation {
    Allocation {
        id: id.to_owned(),
        vpc: "v".to_owned(),
        name: Some(id.to_owned()),
        blocks: blocks(node),
    }
}

impl Story {
    fn add(&mut self, sent: u64, ended: u64, action: Action, answer: Answer) {
        let number = u64::try_from(self.history.operations.len()).unwrap();
        self.history.operations.push(Operation {
            number,
            client: 0,
            action,
            attempts: vec![Attempt {
                server: 0,
                sent: Duration::from_millis(sent),
                ended: Duration::from_millis(ended),
                answer,
            }],
        });
    }

    pub(super) fn allocate(&mut self, sent: u64, ended: u64, id: &str, node: &str) {
        let allocation = allocation(id, node);
        let ask = Ask {
            vpc: allocation.vpc.clone(),
            name: allocation.name.clone(),
            key: None,
            size: Size::Length(allocation.blocks[0].length()),
        };
        self.add(
            sent,
            ended,
            Action::Allocate(ask),
            Answer::Shown(allocation),
        );
    }

    pub(super) fn release_answered(&mut self, sent: u64, ended: u64, id: &str, answer: Answer) {
        self.add(sent, ended, Action::Release(id.to_owned()), answer);
    }

    pub(super) fn release(&mut self, sent: u64, ended: u64, id: &str) {
        self.release_answered(sent, ended, id, Answer::Released);
    }

    pub(super) fn released_again(&mut self, sent: u64, ended: u64, id: &str) {
        self.release_answered(sent, ended, id, Answer::Gone);
    }

    pub(super) fn release_open(&mut self, sent: u64, ended: u64, id: &str) {
        self.release_answered(sent, ended, id, Answer::Unknown(String::new()));
    }

    pub(super) fn resize(&mut self, sent: u64, ended: u64, id: &str, length: u8, answer: Answer) {
        let action = Action::Resize(id.to_owned(), Size::Length(length));
        self.add(sent, ended, action, answer);
    }

    pub(super) fn read(&mut self, sent: u64, ended: u64, id: &str, answer: Answer) {
        self.add(sent, ended, Action::Read(id.to_owned()), answer);
    }

    pub(super) fn fault(&mut self, at: u64, kind: Kind) {
        let at = Duration::from_millis(at);
        self.history.faults.push(Fault { kind, at });
    }

    /// The answer to a read of what was allocated.
    pub(super) fn shown(&self, id: &str) -> Answer {
        let all = self.history.operations.iter().filter_map(Operation::shown);
        let found = all
            .map(|(_, allocation)| allocation)
            .find(|allocation| allocation.id == id);
        Answer::Shown(found.unwrap().clone())
    }

    pub(super) fn shown_as(id: &str, node: &str) -> Answer {
        Answer::Shown(allocation(id, node))
    }

    pub(super) fn ask_of_last(&mut self) -> &mut Ask {
        self.ask_of_last_but(0)
    }

    pub(super) fn ask_of_last_but(&mut self, count: usize) -> &mut Ask {
        let place = self.history.operations.len() - 1 - count;
        match &mut self.history.operations[place].action {
            Action::Allocate(ask) => ask,
            other => panic!("{other:?}"),
        }
    }

    /// A row for each allocation that was ever shown to who asked for it.
    pub(super) fn all_rows(&self) -> Vec<Row> {
        let asked =
            self.history
                .operations
                .iter()
                .filter_map(|operation| match &operation.action {
                    Action::Allocate(ask) => Some((operation, ask)),
                    _ => None,
                });
        asked
            .filter_map(|(operation, ask)| {
                Some(Row {
                    allocation: operation.shown()?.1.clone(),
                    operation: Some(operation.number),
                    size: Some(ask.size),
                })
            })
            .collect()
    }

    /// What is stored if all goes well and open releases are not done.
    pub(super) fn ending(&self) -> Ending {
        let released: BTreeSet<Id> = self
            .history
            .operations
            .iter()
            .filter_map(|operation| match &operation.action {
                Action::Release(id) if operation.attempts[0].answer == Answer::Released => {
                    Some(id.clone())
                }
                _ => None,
            })
            .collect();
        let mut rows = self.all_rows();
        let created = rows.iter().map(|row| row.allocation.id.clone()).collect();
        rows.retain(|row| !released.contains(&row.allocation.id));
        let blocks = rows
            .iter()
            .flat_map(|row| {
                row.allocation
                    .blocks
                    .iter()
                    .map(|net| (row.allocation.id.clone(), *net))
            })
            .map(|(id, net)| Block {
                vrf: "default".to_owned(),
                net,
                range: "0.0.0.0/0".parse().unwrap(),
                owner: Some(id),
            })
            .collect();
        let asks = self.history.operations.iter().filter_map(|operation| {
            let Action::Allocate(ask) = &operation.action else {
                return None;
            };
            Some((ask, operation.shown()?.1.id.clone()))
        });
        let vpcs = asks.clone().map(|(ask, _)| ask.vpc.clone()).collect();
        let keys = asks
            .filter_map(|(ask, id)| Some((ask.key.clone()?, id)))
            .collect();
        Ending {
            vpcs,
            keys,
            listed: vec![rows.iter().map(|row| row.allocation.clone()).collect()],
            rows,
            blocks,
            created,
            released,
        }
    }
}
