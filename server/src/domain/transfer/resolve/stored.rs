//! Allocations of a file that already exist: exactly the same, which are left alone, or different.

use std::collections::{HashMap, HashSet};

use ipam_shared::{
    api::transfer::{ConflictCode, Record},
    ids::{AllocationId, VpcId},
};
use uuid::Uuid;

use super::{NewAllocation, nouns::differences};
use crate::{
    db::{
        Connection,
        transfer::{
            find::{self, Known, KnownBy},
            read::{self, StoredBlock},
            write::CHUNK,
        },
    },
    domain::transfer::{
        findings::{Findings, Problem},
        read::gather::{text, vpc_of},
    },
    error::Result,
    network::Place,
};

/// Blocks of allocations, by the ids of these.
type Stored = HashMap<Uuid, Vec<StoredBlock>>;

/// Keeps those that do not exist. For those that exist and differ, reports how.
pub(super) async fn without_stored(
    db: &mut Connection,
    all: Vec<NewAllocation>,
    findings: &mut Findings,
) -> Result<Vec<NewAllocation>> {
    let mut known = Vec::with_capacity(all.len());
    for chunk in all.chunks(CHUNK) {
        let wanted: Vec<_> = chunk.iter().map(known_by).collect();
        known.extend(find::known(db, &wanted).await?);
    }
    // Several of the file may mean the same one.
    let ids: HashSet<AllocationId> = known.iter().filter_map(meant).collect();
    let ids: Vec<_> = ids.into_iter().collect();
    let mut stored = Stored::new();
    for chunk in ids.chunks(CHUNK) {
        for block in read::allocations(db, chunk).await? {
            let id = block.record.id.unwrap_or_default();
            stored.entry(id).or_default().push(block);
        }
    }
    let mut left = Vec::with_capacity(all.len());
    for (new, known) in all.into_iter().zip(known) {
        let cidr = new.blocks.first().map(|block| block.place.cidr);
        let same = is_stored(&new, &known, &stored).map_err(|problem| problem.about(cidr));
        match findings.ok(new.line, same) {
            Some(true) => findings.unchanged += new.blocks.len() as u64,
            Some(false) => left.push(new),
            None => {}
        }
    }
    Ok(left)
}

/// What an allocation may be known by: what the file says, and its first block if it has no name.
fn known_by(new: &NewAllocation) -> KnownBy<'_> {
    let record = &new.record;
    let known = KnownBy {
        id: record.id,
        number: record.number,
        ..KnownBy::default()
    };
    let vpc_id = (!new.vpc.is_new()).then_some(VpcId(new.vpc.id));
    match (&record.name, vpc_id, new.blocks.first()) {
        (Some(name), Some(_), _) => KnownBy {
            vpc_id,
            name: Some(name.as_str()),
            ..known
        },
        (None, Some(_), Some(block)) if block.place.range > 0 => KnownBy {
            range_id: Some(block.place.range),
            cidr: Some(block.place.cidr),
            ..known
        },
        _ => known,
    }
}

/// The allocation that is meant.
fn meant(known: &Known) -> Option<AllocationId> {
    known.by_id.or(known.by_name).or(known.by_block)
}

/// Whether it exists, exactly the same; reports a conflict if something different does.
fn is_stored(new: &NewAllocation, known: &Known, stored: &Stored) -> Result<bool, Problem> {
    let blocks = meant(known).and_then(|id| Some((id, stored.get(&id.0)?)));
    let Some((id, blocks)) = blocks else {
        return known.by_number.map_or(Ok(false), |owner| {
            let detail = format!(
                "the number belongs to the allocation {owner}; leave it out to get a new one"
            );
            Err(Problem::new(ConflictCode::IdTaken, detail))
        });
    };
    let differences = compare(new, blocks);
    if differences.is_empty() {
        return Ok(true);
    }
    let by_id = new.record.id == Some(id.0);
    // The block alone does not show that this allocation is meant; it may be somebody else's, which is then an overlap.
    if new.record.name.is_none() && !by_id {
        return Ok(false);
    }
    let code = if by_id {
        ConflictCode::IdTaken
    } else {
        ConflictCode::NameTaken
    };
    Err(Problem::new(code, different(id, blocks, &differences)))
}

/// In what an existing allocation differs from the file.
fn compare(new: &NewAllocation, stored: &[StoredBlock]) -> Vec<&'static str> {
    let is = stored.first().map(|block| block.record.clone());
    let is = is.unwrap_or_default();
    let mut found = Vec::new();
    if vpc_of(&is) != vpc_of(&new.record) {
        found.push("vpc");
    }
    let ours = new.blocks.iter();
    let mut ours: Vec<_> = ours
        .map(|block| (block.place, block.role.as_str()))
        .collect();
    let theirs = stored.iter().filter_map(|block| {
        let place = Place {
            range: block.range,
            cidr: block.record.cidr?,
        };
        Some((place, block.record.role.as_deref().unwrap_or_default()))
    });
    let mut theirs: Vec<_> = theirs.collect();
    ours.sort_unstable();
    theirs.sort_unstable();
    if ours != theirs {
        found.push("blocks");
    }
    let said = Record {
        vrf: None,
        ..new.record.clone()
    };
    found.extend(differences(&said, &is, false));
    // An allocation without a name differs from one with a name.
    if new.record.name.is_none() && new.record.id.is_none() && is.name.is_some() {
        found.push("name");
    }
    found
}

fn different(id: AllocationId, stored: &[StoredBlock], differences: &[&str]) -> String {
    let record = stored.first().map(|block| &block.record);
    let vpc = text(record.and_then(|record| record.vpc.as_ref()));
    let what = match record.and_then(|record| record.name.as_ref()) {
        Some(name) => format!("the allocation \"{vpc}/{name}\" ({id})"),
        None => format!("the allocation {id} of VPC \"{vpc}\""),
    };
    let cidrs = stored.iter().map(|block| text(block.record.cidr.as_ref()));
    let cidrs: Vec<_> = cidrs.collect();
    format!(
        "{what} exists with {} and differs in {}; release or change it, or use another name or id",
        cidrs.join(" and "),
        differences.join(", ")
    )
}
