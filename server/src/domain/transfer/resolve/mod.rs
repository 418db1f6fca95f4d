//! What each entry of a file means against what is stored: it exists and is the same, or it is to be created, or it is in
//! conflict. Reads, and writes nothing.

mod allocation;
pub(crate) mod nouns;
pub(crate) mod plan;
mod pool;
mod profile;
mod released;
mod stored;

use std::{
    collections::{BTreeSet, HashSet},
    sync::Arc,
};

use ipam_shared::{
    api::{
        DEFAULT_VRF,
        transfer::{At, Imported, Kind, Record},
    },
    ids::ProfileId,
    name::Name,
};
use uuid::Uuid;

use self::{
    nouns::Noun,
    plan::{InVrf, OfVrf, Plan, Pool, Vpc},
};
use super::{
    findings::{Findings, Problem},
    read::{
        gather::{File, NamedVpc, Thing, vpc_of, vrf_of},
        parse::Line,
    },
};
use crate::{
    db::{
        Connection, address_plan,
        transfer::{find, read},
    },
    error::Result,
    network::{Changes, Place, RangeId},
};

/// What a file would make, and what it was checked against.
#[derive(Debug)]
pub(super) struct Import {
    pub(super) basis: Basis,
    pub(super) plan: Plan,
    pub(super) allocations: Vec<NewAllocation>,
    pub(super) cooldowns: Vec<NewCooldown>,
    /// Past blocks, with the ids of their VRFs and pools.
    pub(super) past: Vec<Record>,
    /// The blocks of reservations, which `overlap` finds.
    pub(super) reserved: Vec<ReservedBlock>,
    /// What changes in the free lists, which `overlap` finds.
    pub(super) changes: Changes,
}

/// What a file was checked against.
#[derive(Clone, Debug)]
pub(super) struct Basis {
    /// The revision of the address plan.
    pub(super) revision: i64,
    /// Whether the contents of a fresh database are replaced.
    pub(super) clear: bool,
    /// The VPCs that the file names.
    pub(super) names: Vec<String>,
    /// Those of them that exist.
    pub(super) vpcs: HashSet<VpcKey>,
}

/// Id and VRF of a VPC.
pub(super) type VpcKey = (Option<Uuid>, Option<Name>);

/// An allocation to be made.
#[derive(Debug)]
pub(super) struct NewAllocation {
    pub(super) line: u64,
    pub(super) id: Uuid,
    pub(super) record: Record,
    pub(super) vpc: Arc<Vpc>,
    pub(super) profile: Option<ProfileId>,
    pub(super) prefix_length: u8,
    /// What was asked for beside the size and the profile.
    pub(super) request: Option<serde_json::Value>,
    /// In the order of the profile.
    pub(super) blocks: Vec<NewBlock>,
}

/// A block to be made.
#[derive(Debug)]
pub(super) struct NewBlock {
    pub(super) line: u64,
    pub(super) place: Place,
    pub(super) pool: Arc<Pool>,
    /// Key of the member.
    pub(super) member: Option<i32>,
    pub(super) role: String,
    /// The rules that it is cut by: offset, shortest and longest prefix.
    pub(super) rules: (i16, u8, u8),
    pub(super) since: Option<At>,
}

/// A block that is to cool down.
#[derive(Debug)]
pub(super) struct NewCooldown {
    pub(super) line: u64,
    pub(super) place: Place,
    pub(super) pool: Arc<Pool>,
    pub(super) record: Record,
}

/// A block that a reservation, new or not, takes from a pool.
#[derive(Clone, Copy, Debug)]
pub(super) struct ReservedBlock {
    /// The id of the reservation, if that is new.
    pub(super) line: Option<u64>,
    pub(super) place: Place,
    pub(super) reservation: Uuid,
    pub(super) since: Option<At>,
}

impl Import {
    /// How much would be created.
    pub(super) fn counts(&self) -> Imported {
        let plan = &self.plan;
        let blocks = self.allocations.iter().map(|new| new.blocks.len());
        Imported {
            vrfs: plan.vrfs.added().count() as u64,
            pools: plan.pools.added().count() as u64,
            ranges: plan.new_ranges().count() as u64,
            profiles: plan.profiles.added().count() as u64,
            vpcs: plan.vpcs.added().count() as u64,
            allocations: self.allocations.len() as u64,
            blocks: blocks.sum::<usize>() as u64,
            reservations: plan.reservations.added().count() as u64,
            cooldowns: self.cooldowns.len() as u64,
            past_blocks: self.past.len() as u64,
        }
    }

    /// The ranges that something is taken from.
    pub(super) fn ranges_taken(&self) -> BTreeSet<RangeId> {
        let blocks = self.allocations.iter().flat_map(|new| &new.blocks);
        let blocks = blocks.map(|block| block.place.range);
        let reserved = self.reserved.iter().map(|block| block.place.range);
        let cooling = self.cooldowns.iter().map(|new| new.place.range);
        blocks.chain(reserved).chain(cooling).collect()
    }
}

/// What each entry means.
pub(super) async fn resolve(
    db: &mut Connection,
    file: File,
    findings: &mut Findings,
) -> Result<Import> {
    let named = file.vpc_names();
    let names: Vec<_> = named.iter().map(|vpc| vpc.name.to_string()).collect();
    let revision = address_plan::revision(db).await?;
    let vpcs = read::vpcs_named(db, &names).await?;
    let clear = file.is_whole() && find::is_untouched(db).await?;
    let basis = Basis {
        revision,
        clear,
        names,
        vpcs: vpcs.iter().map(|(_, vpc)| vpc_key(vpc)).collect(),
    };
    let mut plan = if clear {
        Plan::empty()
    } else {
        Plan::read(db).await?
    };
    let given: Vec<_> = file.vpcs.iter().filter_map(|it| it.record.id).collect();
    plan.vpcs.ids.extend(find::vpc_ids(db, &given).await?);
    for (place, record) in vpcs {
        if let (Some(named), Ok(vrf)) = (named.get(place), plan.vrf_of(&record)) {
            let key = named.name.folded();
            plan.vpcs.store(key, record, InVrf { vrf });
        }
    }

    add_vrfs(&mut plan, file.vrfs, findings);
    pool::add(&mut plan, file.pools, findings);
    profile::add(&mut plan, file.profiles, findings);
    add_vpcs(&mut plan, file.vpcs, named, findings);
    add_reservations(&mut plan, file.reservations, findings);
    let allocations = allocation::resolve(&plan, file.allocations, findings);
    let allocations = stored::without_stored(db, allocations, findings).await?;
    let allocations = allocation::unique(allocations, findings);
    profile::forget_unused_members(&mut plan, &allocations, findings);
    let cooldowns = released::cooldowns(db, &plan, file.cooldowns, findings).await?;
    let past = released::past(db, &plan, file.past, findings).await?;
    Ok(Import {
        basis,
        plan,
        allocations,
        cooldowns,
        past,
        reserved: Vec::new(),
        changes: Changes::default(),
    })
}

/// Tells whether a VPC is still the same.
pub(super) fn vpc_key(vpc: &Record) -> VpcKey {
    (vpc.id, vpc.vrf.clone())
}

/// Counts a record whose thing exists, or reports what is wrong with it.
fn count<T>(line: u64, resolved: Result<Arc<Noun<T>>, Problem>, findings: &mut Findings) {
    if let Some(noun) = findings.ok(line, resolved) {
        findings.unchanged += u64::from(!noun.is_new());
    }
}

fn add_vrfs(plan: &mut Plan, things: Vec<Thing<()>>, findings: &mut Findings) {
    for Thing { line, record, .. } in things {
        let name = vrf_of(&record).to_owned();
        let subject = format!("the VRF \"{name}\"");
        let is = (subject.as_str(), name == DEFAULT_VRF);
        let resolved = plan
            .vrfs
            .resolve(line, name.clone(), is, record, |_, record| {
                let vrf = name.parse().ok();
                Ok((Record { vrf, ..record }, OfVrf { name }))
            });
        count(line, resolved, findings);
    }
}

/// VPCs that have a record, and those that allocations use for the first time.
fn add_vpcs(
    plan: &mut Plan,
    things: Vec<Thing<()>>,
    named: Vec<NamedVpc>,
    findings: &mut Findings,
) {
    for Thing { line, record, .. } in things {
        let resolved = add_vpc(plan, line, record);
        count(line, resolved, findings);
    }
    for NamedVpc { line, name, vrf } in named {
        let record = Record {
            kind: Kind::Vpc,
            vpc: Some(name),
            vrf,
            implicit: Some(true),
            ..Record::default()
        };
        if plan.vpcs.get(&vpc_of(&record)).is_none() {
            let added = add_vpc(plan, line, record);
            findings.ok(line, added);
        }
    }
}

fn add_vpc(plan: &mut Plan, line: u64, record: Record) -> Result<Arc<Vpc>, Problem> {
    let key = vpc_of(&record);
    let vrf = plan.vrf_of(&record);
    let subject = format!("the VPC \"{key}\"");
    plan.vpcs
        .resolve(line, key, (&subject, false), record, |_, record| {
            complete(record, vrf?)
        })
}

fn add_reservations(plan: &mut Plan, lines: Vec<Line>, findings: &mut Findings) {
    for Line { line, record } in lines {
        let Some(cidr) = record.cidr else {
            continue;
        };
        let subject = format!("a reservation of {cidr}");
        let vrf = plan.vrf_of(&record);
        let vrf = vrf.map_err(|problem| problem.about(cidr));
        let resolved = vrf.and_then(|vrf| {
            let key = (vrf.name.clone(), cidr);
            let reservations = &mut plan.reservations;
            reservations.resolve(line, key, (&subject, false), record, |_, record| {
                complete(record, vrf)
            })
        });
        count(line, resolved, findings);
    }
}

/// A record of something in a VRF, which it says.
fn complete(record: Record, vrf: Arc<plan::Vrf>) -> Result<(Record, InVrf), Problem> {
    let name = vrf.name.parse().ok();
    Ok((
        Record {
            vrf: name,
            ..record
        },
        InVrf { vrf },
    ))
}
