//! Pools of a file and their ranges.

use std::{collections::HashSet, sync::Arc};

use ipam_shared::{
    api::{
        DEFAULT_VRF,
        pool::{MAX_RANGES, Strategy},
        transfer::{ConflictCode, Record},
    },
    cidr::{Cidr, RESERVED_ADDRESSES},
    name::Name,
};

use super::{
    nouns::Nouns,
    plan::{OfPool, Plan, Pool, Range, Vrf},
};
use crate::domain::{
    pool::{
        range::check_range,
        rules::{check_bounds, check_policies},
    },
    transfer::{
        findings::{Findings, Problem},
        read::gather::{FileRange, Thing, text, vrf_of},
    },
};

/// Pools that every database starts with, under ids of its own.
const BORN: [&str; 2] = ["primary", "cgnat"];

/// VRF and name of a pool's record.
fn key(record: &Record) -> (String, String) {
    (vrf_of(record).to_owned(), text(record.pool.as_ref()))
}

/// Adds pools, and ranges of pools. Parents come before their children, whatever the order of the file.
pub(super) fn add(plan: &mut Plan, pools: Vec<Thing<FileRange>>, findings: &mut Findings) {
    let names: HashSet<_> = pools.iter().map(|pool| key(&pool.record)).collect();
    let mut waiting = pools;
    while !waiting.is_empty() {
        let before = waiting.len();
        let mut later = Vec::new();
        for pool in waiting {
            let parent = pool.record.parent.as_ref();
            let parent = parent.map(|name| (vrf_of(&pool.record).to_owned(), name.to_string()));
            let is_ready = parent.is_none_or(|parent| {
                plan.pools.get(&parent).is_some()
                    || !names.contains(&parent)
                    || plan.refused.contains(&parent)
            });
            if is_ready {
                add_one(plan, pool, findings);
            } else {
                later.push(pool);
            }
        }
        if later.len() == before {
            let detail =
                "its parents form a cycle; a pool can only be cut from one that exists before it";
            for pool in later {
                findings.add(pool.line, Problem::bad_value(detail));
            }
            return;
        }
        waiting = later;
    }
}

fn add_one(plan: &mut Plan, file: Thing<FileRange>, findings: &mut Findings) {
    let Thing {
        line,
        record,
        parts,
    } = file;
    let key = key(&record);
    let (vrf, name) = key.clone();
    let subject = format!("the pool \"{name}\"");
    let is_born = vrf == DEFAULT_VRF && BORN.contains(&name.as_str());
    let first = parts.iter().find_map(|range| range.cidr);
    let resolved = plan.vrf_of(&record).and_then(|vrf| {
        let is = (subject.as_str(), is_born);
        plan.pools
            .resolve(line, key.clone(), is, record, |pools, record| {
                new_pool(pools, vrf, record, first)
            })
    });
    let Some(pool) = findings.ok(line, resolved) else {
        plan.refused.insert(key);
        return;
    };
    let of_pool = plan.ranges.values().filter(|it| it.pool.id == pool.id);
    let mut ranges = of_pool.count();
    for FileRange { line, cidr, since } in parts {
        let Some(cidr) = cidr else {
            // It adds no range.
            findings.unchanged += u64::from(!pool.is_new());
            continue;
        };
        let known = plan.range_of(&pool, cidr);
        match known.filter(|range| range.cidr == cidr) {
            Some(range) if range.line.is_none() => findings.unchanged += 1,
            Some(_) => {
                let detail = format!("{cidr} is a range of pool \"{name}\" twice in this file");
                let problem = Problem::new(ConflictCode::Contradiction, detail);
                findings.add(line, problem.about(cidr));
            }
            None => {
                ranges += 1;
                let range = new_range(plan, &pool, line, cidr);
                let range = range.map_err(|problem| problem.about(cidr));
                if let Some(range) = findings.ok(line, range) {
                    plan.add_range(Range { since, ..range });
                }
            }
        }
    }
    if ranges > MAX_RANGES {
        let detail = format!(
            "a pool has at most {MAX_RANGES} ranges, with this file \"{name}\" would have {ranges}"
        );
        findings.add(line, Problem::bad_value(detail));
    }
}

fn new_range(plan: &Plan, pool: &Arc<Pool>, line: u64, cidr: Cidr) -> Result<Range, Problem> {
    let (_, longest) = pool.bounds();
    let of_pool = (pool.name.as_str(), pool.family, longest);
    check_range(of_pool, cidr.prefix_length(), Some(cidr))
        .map_err(|error| Problem::new(ConflictCode::OutOfBounds, error.to_string()))?;
    let parent = match &pool.parent {
        None => None,
        Some(parent) => Some(plan.range_of(parent, cidr).ok_or_else(|| {
            let detail = format!(
                "{cidr} lies in no range of pool \"{}\", from which those of \"{}\" are cut",
                parent.full_name(),
                pool.name
            );
            Problem::new(ConflictCode::OutsidePool, detail)
        })?),
    };
    Ok(Range {
        id: plan.new_range_id(),
        pool: pool.clone(),
        cidr,
        parent: parent.map(|range| range.id),
        since: None,
        line: Some(line),
    })
}

/// A pool from its record, with everything that this leaves out.
fn new_pool(
    pools: &Nouns<(String, String), OfPool>,
    vrf: Arc<Vrf>,
    record: Record,
    range: Option<Cidr>,
) -> Result<(Record, OfPool), Problem> {
    let name = record.pool.clone().unwrap_or_default();
    if let Err(error) = name.parse::<Name>() {
        return Err(Problem::bad_value(format!("pool: {error}")));
    }
    let parent = match &record.parent {
        None => None,
        Some(name) => {
            let found = pools.get(&(vrf.name.clone(), name.to_string()));
            Some(found.cloned().ok_or_else(|| {
                let detail =
                    format!("there is no pool \"{name}\" in the same VRF to be its parent");
                Problem::new(ConflictCode::UnknownPool, detail)
            })?)
        }
    };
    let of_parent = parent.as_ref().map(|parent| parent.family);
    let family = record.family.or(range.map(Cidr::family)).or(of_parent);
    let family =
        family.ok_or_else(|| Problem::bad_value("give a cidr, or the family: ipv4 or ipv6"))?;
    if of_parent.is_some_and(|other| other != family) {
        return Err(Problem::bad_value(
            "its parent is of the other address family",
        ));
    }
    let shortest = record.min_prefix_length.unwrap_or_default();
    let longest = record.max_prefix_length.unwrap_or(family.bits());
    let (reserved, cooldown) = (record.reserved_addresses, record.release_cooldown_seconds);
    check_bounds(family, shortest, longest, record.default_prefix_length)
        .and_then(|()| check_policies(reserved, cooldown, record.required_labels.as_ref()))
        .map_err(Problem::bad_value)?;
    let record = Record {
        vrf: vrf.name.parse().ok(),
        cidr: None,
        family: Some(family),
        min_prefix_length: Some(shortest),
        max_prefix_length: Some(longest),
        reserved_addresses: reserved.or(Some(RESERVED_ADDRESSES)),
        strategy: record.strategy.or(Some(Strategy::default())),
        ..record
    };
    let own = OfPool {
        name,
        vrf,
        family,
        parent,
    };
    Ok((record, own))
}
