//! Who takes which addresses: ranges, reservations and blocks of a file against each other and against what exists.
//!
//! Within the file `sweep` finds the overlaps. Against the database the free list decides: what can't be taken from it is
//! in use, and only then is the holder looked up.

mod free;
mod sweep;

use std::collections::HashSet;

use ipam_shared::{api::transfer::ConflictCode, cidr::Cidr};

use self::sweep::{Wanted, overlaps};
use super::{
    findings::{Findings, Problem},
    read::gather::text,
    resolve::{
        Import, ReservedBlock,
        plan::{Plan, Range, Reservation},
    },
};
use crate::{db::Connection, error::Result, network::Place};

/// Finds all overlaps, and stores in the import what reservations take and what changes in the free lists.
pub(super) async fn resolve(
    db: &mut Connection,
    import: &mut Import,
    findings: &mut Findings,
) -> Result<()> {
    check_roots(&import.plan, findings);
    import.reserved = reserved_blocks(&import.plan, findings);
    import.changes = free::take(db, import, findings).await?;
    Ok(())
}

/// Reports which of the networks, each with an address space and a line, overlap. Returns the indexes of the later ones,
/// which lose. `describe` names the other one, by its network, index and line.
fn report<S: Copy + Ord>(
    networks: impl Iterator<Item = (S, Cidr, Option<u64>)>,
    findings: &mut Findings,
    describe: impl Fn(Cidr, usize, Option<u64>) -> String,
) -> HashSet<usize> {
    let wanted = networks.map(|(space, cidr, line)| Wanted { space, cidr, line });
    let wanted: Vec<_> = wanted.collect();
    let mut lost = HashSet::new();
    for (later, before) in overlaps(&wanted) {
        lost.insert(later);
        let (Some(one), Some(two)) = (wanted.get(later), wanted.get(before)) else {
            continue;
        };
        let Some(line) = one.line else {
            continue;
        };
        let code = match two.line {
            Some(_) => ConflictCode::OverlapInFile,
            None => ConflictCode::Overlap,
        };
        let other = describe(two.cidr, before, two.line);
        let detail = format!("{} overlaps {other}", one.cidr);
        let problem = Problem::new(code, detail);
        findings.add(line, problem.about(one.cidr).beside(two.line));
    }
    lost
}

/// New ranges without a parent overlap no other of their VRF.
fn check_roots(plan: &Plan, findings: &mut Findings) {
    let ranges = plan.ranges.values();
    let roots: Vec<&Range> = ranges.filter(|range| range.parent.is_none()).collect();
    let networks = roots.iter().map(|it| (it.pool.vrf.id, it.cidr, it.line));
    report(networks, findings, |cidr, place, line| {
        let pool = roots.get(place).map(|range| range.pool.full_name());
        let at = line.map_or_else(String::new, |line| format!(", on line {line}"));
        format!(
            "{cidr} of pool \"{}\"{at}; overlapping networks are a pool and its child: name the parent",
            pool.unwrap_or_default()
        )
    });
}

/// Where reservations take space: new ones, and those that are there in ranges that are new.
fn reserved_blocks(plan: &Plan, findings: &mut Findings) -> Vec<ReservedBlock> {
    // Reservations don't overlap each other, wherever they are.
    let all: Vec<(&Reservation, Cidr)> = plan
        .reservations
        .all()
        .filter_map(|reservation| Some((&**reservation, reservation.record.cidr?)))
        .collect();
    let networks = all.iter().map(|(it, cidr)| (it.vrf.id, *cidr, it.line));
    let lost = report(networks, findings, |cidr, place, line| {
        let reason = all
            .get(place)
            .map(|(it, _)| text(it.record.reason.as_ref()));
        match line {
            Some(line) => format!("the reservation of {cidr} on line {line}"),
            None => format!("the reservation of {cidr} ({})", reason.unwrap_or_default()),
        }
    });

    let new_roots: Vec<_> = plan
        .new_ranges()
        .filter(|range| range.parent.is_none())
        .collect();
    let mut reserved = Vec::new();
    for (place, (reservation, cidr)) in all.into_iter().enumerate() {
        let vrf = reservation.vrf.id;
        let block = |range: &Range, cidr| ReservedBlock {
            line: reservation.line,
            place: Place {
                range: range.id,
                cidr,
            },
            reservation: reservation.id,
            since: reservation.record.created_at,
        };
        let around = plan.containing(vrf, cidr).next();
        if reservation.is_new() {
            match around {
                // What a conflicting reservation would block is reported for the other one.
                _ if lost.contains(&place) => {}
                Some(range) => reserved.push(block(range, cidr)),
                None => {
                    let inside = plan.roots_in(vrf, cidr);
                    reserved.extend(inside.map(|range| block(range, range.cidr)));
                }
            }
        } else if reservation.record.id.is_some() {
            for root in new_roots.iter().filter(|root| root.pool.vrf.id == vrf) {
                if cidr.contains(root.cidr) {
                    refuse_root(root, cidr, reservation, findings);
                } else if root.cidr.contains(cidr) {
                    reserved.extend(around.map(|range| block(range, cidr)));
                }
            }
        }
    }
    reserved
}

/// A range can't be created within a reservation.
fn refuse_root(root: &Range, cidr: Cidr, reservation: &Reservation, findings: &mut Findings) {
    let reason = text(reservation.record.reason.as_ref());
    let detail = format!("{} lies in the reservation of {cidr} ({reason})", root.cidr);
    let problem = Problem::new(ConflictCode::Overlap, detail);
    findings.add(root.line.unwrap_or_default(), problem.about(root.cidr));
}
