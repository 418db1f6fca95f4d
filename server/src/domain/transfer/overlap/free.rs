//! Takes what a file wants from the free lists, and names the holders of addresses that can't be taken.

use std::collections::{BTreeMap, HashMap};

use ipam_shared::{api::transfer::ConflictCode, ids::PoolId};

use super::report;
use crate::{
    db::{Connection, free, transfer::find},
    domain::{
        space::free_space::{self, FreeSpace},
        transfer::{
            findings::{Findings, Problem},
            resolve::{Import, plan},
        },
    },
    error::{Error, Result},
    network::{Changes, Place, Range, RangeId},
};

/// For up to this many networks the free blocks around each are read; for more, those of the whole ranges.
const FEW: usize = 1_000;

/// Something that wants addresses.
#[derive(Clone, Copy, Debug)]
struct Claim {
    place: Place,
    /// None for an existing reservation in a new range.
    line: Option<u64>,
}

/// What is claimed of one range.
struct Claimed<'a> {
    range: &'a plan::Range,
    claims: Vec<Claim>,
}

/// What changes in the free lists when everything is taken from them; what can't be taken is a conflict.
pub(super) async fn take(
    db: &mut Connection,
    import: &Import,
    findings: &mut Findings,
) -> Result<Changes> {
    let mut by_range: BTreeMap<RangeId, Claimed<'_>> = BTreeMap::new();
    for claim in claims(import) {
        let id = claim.place.range;
        let range = import.plan.ranges.get(&id);
        let range = range.ok_or_else(|| Error::bug("a claim on a range that is not known"))?;
        let claims = Vec::new();
        let of_range = by_range.entry(id).or_insert(Claimed { range, claims });
        of_range.claims.push(claim);
    }
    let mut lost = Vec::new();
    for claimed in by_range.values_mut() {
        lost.extend(sweep(&mut claimed.claims, findings));
    }
    // What is in conflict with the file may be in conflict with the database too.
    lost.retain(|claim| claim.place.range > 0);
    lost.truncate(findings.room());

    let mut blocked = Vec::new();
    let mut changes = Changes::default();
    let free = read_free(db, &by_range).await?;
    for Claimed { range, claims } in by_range.values() {
        let pool = PoolId(range.pool.id);
        let (id, cidr) = (range.id, range.cidr);
        let mut space = FreeSpace::new([Range { id, pool, cidr }]);
        let of_range = free.get(&id).into_iter().flatten();
        of_range.for_each(|place| space.read(*place));
        if id < 0 {
            // It will be one free block when it is created.
            space.read(Place { range: id, cidr });
        }
        let mut is_blocked = |claim: &&Claim| space.take_exact(pool, claim.place.cidr).is_none();
        blocked.extend(claims.iter().filter(|claim| is_blocked(claim)).copied());
        let Changes { removed, added } = space.changes();
        changes.removed.extend(removed);
        changes.added.extend(added);
    }
    changes.removed.sort_unstable();
    changes.added.sort_unstable();
    name_obstacles(db, &blocked, &lost, findings).await?;
    Ok(changes)
}

/// Everything that wants addresses of a range.
fn claims(import: &Import) -> impl Iterator<Item = Claim> {
    let blocks = import.allocations.iter().flat_map(|new| &new.blocks);
    let blocks = blocks.map(|block| (block.place, Some(block.line)));
    let reserved = import.reserved.iter().map(|it| (it.place, it.line));
    let children = import.plan.new_ranges().filter_map(|range| {
        let place = Place {
            range: range.parent?,
            cidr: range.cidr,
        };
        Some((place, range.line))
    });
    let cooling = import.cooldowns.iter().map(|it| (it.place, Some(it.line)));
    blocks
        .chain(reserved)
        .chain(children)
        .chain(cooling)
        .map(|(place, line)| Claim { place, line })
}

/// Finds what overlaps within the file, and keeps the first of each in the order of lines; returns the others.
fn sweep(claims: &mut Vec<Claim>, findings: &mut Findings) -> Vec<Claim> {
    let networks = claims.iter().map(|it| ((), it.place.cidr, it.line));
    let lost = report(networks, findings, |cidr, _, line| match line {
        Some(line) => format!("{cidr} on line {line}"),
        None => format!("the reservation of {cidr}"),
    });
    let mut place = 0;
    let is_lost = |_: &mut Claim| {
        place += 1;
        lost.contains(&(place - 1))
    };
    claims.extract_if(.., is_lost).collect()
}

/// The free blocks of ranges that may be needed, by range.
async fn read_free(
    db: &mut Connection,
    by_range: &BTreeMap<RangeId, Claimed<'_>>,
) -> Result<HashMap<RangeId, Vec<Place>>> {
    let claims: usize = by_range.values().map(|it| it.claims.len()).sum();
    let stored = by_range.range(1..);
    let found = if claims > FEW {
        let ids: Vec<_> = stored.map(|(id, _)| *id).collect();
        find::free(db, &ids).await?
    } else {
        let around = stored.flat_map(|(_, Claimed { range, claims })| {
            let ancestors = |claim: &Claim| free_space::ancestors(claim.place, range.cidr);
            claims.iter().flat_map(ancestors)
        });
        let mut around: Vec<_> = around.collect();
        around.sort_unstable();
        around.dedup();
        free::find(db, &around).await?
    };
    let mut free: HashMap<RangeId, Vec<Place>> = HashMap::new();
    for place in found {
        free.entry(place.range).or_default().push(place);
    }
    Ok(free)
}

/// Names the holders of addresses that could not, or perhaps could not, be taken.
async fn name_obstacles(
    db: &mut Connection,
    blocked: &[Claim],
    doubtful: &[Claim],
    findings: &mut Findings,
) -> Result<()> {
    if blocked.is_empty() && doubtful.is_empty() {
        return Ok(());
    }
    let (first, rest) = blocked.split_at(blocked.len().min(findings.room()));
    let named: Vec<_> = first.iter().chain(doubtful).collect();
    let places: Vec<_> = named.iter().map(|claim| claim.place).collect();
    let found: HashMap<_, _> = find::obstacles(db, &places).await?.into_iter().collect();
    let mut add = |claim: &Claim, detail: String| {
        let problem = Problem::new(ConflictCode::Overlap, detail);
        let line = claim.line.unwrap_or_default();
        findings.add(line, problem.about(claim.place.cidr));
    };
    for (index, claim) in named.into_iter().enumerate() {
        let cidr = claim.place.cidr;
        if let Some(obstacle) = found.get(&index) {
            let pool = obstacle.pool.as_deref().unwrap_or_default();
            let (theirs, whose) = (obstacle.cidr, obstacle.whose());
            let detail = format!("{cidr} is not free: {theirs} of pool \"{pool}\" {whose}");
            add(claim, detail);
        } else if index < first.len() {
            return Err(Error::bug(format!(
                "{cidr} is neither free nor in use: the free list was changed by hand; see ipam verify"
            )));
        }
    }
    for claim in rest {
        add(claim, format!("{} is not free", claim.place.cidr));
    }
    Ok(())
}
