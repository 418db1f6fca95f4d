//! Blocks of a file that were released: those that cool down, which take space, and those that are history.

use std::collections::{HashMap, HashSet};

use ipam_shared::api::transfer::{ConflictCode, Record};
use uuid::Uuid;

use super::{NewCooldown, plan::Plan};
use crate::{
    db::{
        Connection,
        transfer::{
            find::{self, PastKey},
            read,
            write::CHUNK,
        },
    },
    domain::transfer::{
        findings::{Findings, Problem},
        read::{
            gather::{text, vpc_of, vrf_of},
            parse::Line,
        },
    },
    error::Result,
    network::Place,
};

/// Blocks that are to cool down.
pub(super) async fn cooldowns(
    db: &mut Connection,
    plan: &Plan,
    lines: Vec<Line>,
    findings: &mut Findings,
) -> Result<Vec<NewCooldown>> {
    let mut stored = HashMap::new();
    if !lines.is_empty() {
        for block in read::cooldowns(db).await? {
            stored.insert((block.range, block.record.cidr), block.record);
        }
    }
    let mut new = Vec::with_capacity(lines.len());
    for Line { line, record } in lines {
        let cidr = record.cidr;
        let found = cooldown(plan, line, record);
        let found = found.map_err(|problem| Some(problem?.about(cidr)));
        let Some(found) = findings.ok(line, found) else {
            continue;
        };
        let is = stored.get(&(found.place.range, Some(found.place.cidr)));
        // If something else is there, it conflicts.
        if is.is_some_and(|is| is_same(&found.record, is)) {
            findings.unchanged += 1;
        } else {
            new.push(found);
        }
    }
    Ok(new)
}

/// Whether two are the same, but for how they write the VPC.
fn is_same(new: &Record, is: &Record) -> bool {
    let said = Record {
        vpc: is.vpc.clone(),
        ..new.clone()
    };
    vpc_of(new) == vpc_of(is) && said == *is
}

fn cooldown(plan: &Plan, line: u64, record: Record) -> Result<NewCooldown, Option<Problem>> {
    let vrf = plan.vrf_of(&record)?;
    let name = text(record.pool.as_ref());
    let Some(pool) = plan.pool_in(&vrf.name, &name) else {
        let is_refused = plan.refused.contains(&(vrf.name.clone(), name.clone()));
        let detail = format!("there is no pool \"{name}\"");
        let problem = Problem::new(ConflictCode::UnknownPool, detail);
        return Err((!is_refused).then_some(problem));
    };
    let cidr = record.cidr.ok_or(None)?;
    let range = plan.range_of(pool, cidr).ok_or_else(|| {
        let detail = format!("{cidr} lies in no range of pool \"{name}\"");
        Problem::new(ConflictCode::OutsidePool, detail)
    })?;
    Ok(NewCooldown {
        line,
        place: Place {
            range: range.id,
            cidr,
        },
        pool: pool.clone(),
        record: Record {
            vrf: vrf.name.parse().ok(),
            released_at: record.released_at.or(record.since),
            ..record
        },
    })
}

/// Past blocks. Their data is taken at face value: their VRFs and pools may be gone too.
pub(super) async fn past(
    db: &mut Connection,
    plan: &Plan,
    lines: Vec<Line>,
    findings: &mut Findings,
) -> Result<Vec<Record>> {
    let mut found = Vec::with_capacity(lines.len());
    for Line { line, record } in lines {
        found.extend(findings.ok(line, past_block(plan, record)));
    }
    let mut there = HashSet::new();
    for chunk in found.chunks(CHUNK) {
        there.extend(find::past(db, chunk).await?);
    }
    let before = found.len();
    found.retain(|record| past_key(record).is_none_or(|key| !there.contains(&key)));
    findings.unchanged += (before - found.len()) as u64;
    Ok(found)
}

fn past_key(record: &Record) -> Option<PastKey> {
    let (since, until) = record.since.zip(record.until)?;
    Some((record.id?, record.cidr?, since.0, until.0))
}

/// A block of the past, with the ids of its VRF and its pool.
fn past_block(plan: &Plan, record: Record) -> Result<Record, Problem> {
    let of_name = plan.vrfs.get(&vrf_of(&record).to_owned());
    let vrf_id = match (record.vrf_id, of_name) {
        (Some(id), _) if record.vrf.is_none() => id,
        (_, Some(vrf)) => vrf.id,
        (Some(id), None) => id,
        (None, None) => {
            plan.vrf_of(&record)
                .map_err(|problem| problem.about(record.cidr))?
                .id
        }
    };
    let pool_id = record.pool_id.unwrap_or_else(|| {
        let name = text(record.pool.as_ref());
        let pool = of_name.and_then(|vrf| plan.pool_in(&vrf.name, &name));
        pool.map_or_else(Uuid::now_v7, |pool| pool.id)
    });
    Ok(Record {
        vrf_id: Some(vrf_id),
        pool_id: Some(pool_id),
        ..record
    })
}
