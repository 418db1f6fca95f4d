//! What a sequence leaves behind, moved to an empty server: exported, imported and exported again it is the same, its history
//! is the same, and who repeats a request by name is answered there as here. Before it moves, names may be swapped.

use std::collections::{BTreeMap, BTreeSet};

use ipam_server::{
    db::connections::Connections,
    domain::{Ipam, allocation::Outcome},
    error::Error,
};
use ipam_shared::{
    api::{
        allocation::NewAllocation,
        pool::PoolPatch,
        profile::{Profile, ProfilePatch},
        transfer::{Format, Progress},
        vpc::{Vpc, VpcPatch},
        vrf::{Vrf, VrfPatch},
    },
    cidr::{Cidr, Family},
    ids::{AllocationId, VpcId},
};
use time::OffsetDateTime;
use tokio::sync::watch;
use uuid::Uuid;

use crate::{
    model::{Model, PROFILES, VRFS, network},
    ops::{Sequence, Spot},
    real::{Check, caller},
    world::{RESET, to_name},
};

/// Names that were changed: what they are called now.
#[derive(Default)]
struct Renamed {
    vpcs: BTreeMap<String, String>,
    vrf: Option<String>,
    profiles: BTreeMap<String, String>,
}

/// How many named requests were repeated, and answered with what is there.
pub(crate) async fn moved(
    here: &Ipam,
    there: &Connections,
    model: &Model,
    sequence: &Sequence,
) -> Check<usize> {
    let renamed = rename(here, model, sequence.cooldowns).await?;
    let format = if !sequence.steps.len().is_multiple_of(8) {
        Format::Csv
    } else {
        Format::Json
    };
    let file = export(here, format).await?;
    let sql = format!("{RESET} commit");
    let done = sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&there.usual);
    done.await.expect("the other database can be emptied");
    let there = Ipam::new(there.clone());
    for repeated in [false, true] {
        let (progress, _) = watch::channel(Progress {
            phase: Default::default(),
            done: 0,
            total: 0,
        });
        let bytes = file.clone().into_bytes();
        let result = there.import(caller(), bytes, format, false, progress).await;
        let result = result.map_err(|error| format!("import: {error:?}\n{file}"))?;
        if result.total_conflicts > 0 {
            return Err(format!("import: {:#?}\n{file}", result.conflicts));
        }
        if repeated && result.unchanged != result.records {
            return Err(format!(
                "a second import is not the same: {result:?}\n{file}"
            ));
        }
    }
    let again = export(&there, format).await?;
    if again != file {
        return Err(format!("exported again:\n{}", difference(&file, &again)));
    }
    let report = there.verify().await.map_err(|error| error.to_string())?;
    if !report.findings.is_empty() {
        return Err(format!("verify finds {:#?} there", report.findings));
    }
    for family in [Family::Ipv4, Family::Ipv6] {
        let all = network(family, Spot { at: 0, bits: 9 });
        let (one, other) = (history(here, all).await?, history(&there, all).await?);
        if one != other {
            return Err(format!("history:\n{}", difference(&one, &other)));
        }
    }
    repeat(here, &there, model, &renamed).await
}

/// Repeats every request that had a name: first those of what is there, then those of what is gone.
async fn repeat(here: &Ipam, there: &Ipam, model: &Model, renamed: &Renamed) -> Check<usize> {
    let mut repeated = 0;
    let mut back = BTreeSet::new();
    let named = || model.allocations.iter().filter(|it| it.name.is_some());
    for allocation in named()
        .filter(|it| it.exists)
        .chain(named().filter(|it| !it.exists))
    {
        // Who is gone comes back with the first repetition of its name.
        if !allocation.exists && !back.insert((&allocation.vpc, &allocation.name)) {
            continue;
        }
        let vpc = renamed.vpcs.get(&allocation.vpc);
        let new = NewAllocation {
            vpc: to_name(vpc.unwrap_or(&allocation.vpc)),
            name: allocation.name.as_deref().map(to_name),
            vrf: allocation.asked.vrf.clone().map(|vrf| {
                let now = renamed.vrf.as_deref().filter(|_| vrf.as_str() == VRFS[1]);
                now.map_or(vrf, to_name)
            }),
            profile: allocation.asked.profile.clone().map(|profile| {
                let now = renamed.profiles.get(profile.as_str());
                now.map_or(profile, |now| to_name(now))
            }),
            ..allocation.asked.clone()
        };
        let answer = here.allocate(caller(), new.clone(), None).await;
        let expected = shown(&answer);
        let found = shown(&there.allocate(caller(), new.clone(), None).await);
        if expected != found {
            return Err(format!(
                "{new:?}\nis answered here {expected}\nand there {found}"
            ));
        }
        if allocation.exists {
            let same = answer.is_ok_and(|answer| answer.allocation.id == allocation.id);
            if !same {
                return Err(format!(
                    "{new:?}\nis answered {expected}, not with {allocation:?}"
                ));
            }
            repeated += 1;
        }
    }
    Ok(repeated)
}

/// An answer without what is drawn anew each time.
fn shown(answer: &Result<Outcome, Error>) -> String {
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) => return error.code().as_str().to_owned(),
    };
    let mut shown = answer.allocation.clone();
    (shown.claim, shown.claim_digest, shown.revision) = (None, None, 0);
    shown.updated_at = OffsetDateTime::UNIX_EPOCH;
    if answer.created {
        shown.id = AllocationId(Uuid::nil());
        shown.vpc_id = VpcId(Uuid::nil());
        shown.number = 0;
        shown.created_at = OffsetDateTime::UNIX_EPOCH;
    }
    serde_json::to_string(&shown).expect("JSON")
}

async fn export(server: &Ipam, format: Format) -> Check<String> {
    let mut pieces = server
        .export(&caller(), format, None)
        .await
        .expect("an export");
    let mut bytes = Vec::new();
    while let Some(piece) = pieces.recv().await {
        bytes.extend(piece.map_err(|error| format!("export: {error:?}"))?);
    }
    Ok(String::from_utf8(bytes).expect("UTF-8"))
}

/// Everybody who ever held a part of the network, a line each.
async fn history(server: &Ipam, all: Cidr) -> Check<String> {
    let mut lines = String::new();
    let mut cursor = None;
    loop {
        let page = server.history(all, None, cursor, 1000).await;
        let (holders, next) = page.map_err(|error| format!("history: {error:?}"))?;
        for holder in holders {
            lines += &serde_json::to_string(&holder).expect("JSON");
            lines.push('\n');
        }
        cursor = next;
        if cursor.is_none() {
            return Ok(lines);
        }
    }
}

/// The lines of one text that the other has not.
fn difference(one: &str, other: &str) -> String {
    let only = |text: &str, than: &str| {
        let lines = text
            .lines()
            .filter(|line| !than.lines().any(|it| it == *line));
        lines.collect::<Vec<_>>().join("\n  ")
    };
    format!(
        "only here:\n  {}\nonly there:\n  {}",
        only(one, other),
        only(other, one)
    )
}

/// Gives things the names of each other, as the bits of `dice` say.
async fn rename(server: &Ipam, model: &Model, dice: u8) -> Check<Renamed> {
    let mut renamed = Renamed::default();
    let failed = |error: Error| format!("rename: {error:?}");
    if dice & 16 > 0 {
        // The first two pools of a VRF; a name that is free is needed in between.
        let of_vrf = |vrf| Model::living(&model.pools, |pool| pool.exists && pool.vrf == vrf);
        for vrf in 0..VRFS.len() {
            if let [one, other, ..] = of_vrf(vrf)[..] {
                swap_pools(server, model, one, other)
                    .await
                    .map_err(failed)?;
            }
        }
    }
    if dice & 32 > 0 {
        let (one, other) = (PROFILES[0], PROFILES[1]);
        for (from, to) in [(one, "between"), (other, one), ("between", other)] {
            let id = server.find::<Profile>(from).await.map_err(failed)?;
            let patch = ProfilePatch {
                name: Some(to_name(to)),
                ..ProfilePatch::default()
            };
            let done = server.update_profile(caller(), id, patch, None).await;
            done.map_err(failed)?;
        }
        renamed.profiles = BTreeMap::from([
            (one.to_owned(), other.to_owned()),
            (other.to_owned(), one.to_owned()),
        ]);
    }
    let vpcs: Vec<_> = model.vpcs.keys().take(2).cloned().collect();
    if let (true, [one, other]) = (dice & 64 > 0, &vpcs[..]) {
        for (from, to) in [(one.as_str(), "between"), (other, one), ("between", other)] {
            let id = server.find::<Vpc>(from).await.map_err(failed)?;
            let patch = VpcPatch {
                name: Some(to_name(to)),
                ..VpcPatch::default()
            };
            let done = server.update_vpc(caller(), id, patch, None).await;
            done.map_err(failed)?;
        }
        renamed.vpcs = BTreeMap::from([(one.clone(), other.clone()), (other.clone(), one.clone())]);
    }
    if dice & 128 > 0 {
        let id = server.find::<Vrf>(VRFS[1]).await.map_err(failed)?;
        let patch = VrfPatch {
            name: Some(to_name("navy")),
            ..VrfPatch::default()
        };
        let done = server.update_vrf(caller(), id, patch, None).await;
        done.map_err(failed)?;
        renamed.vrf = Some("navy".to_owned());
    }
    Ok(renamed)
}

async fn swap_pools(server: &Ipam, model: &Model, one: usize, other: usize) -> Result<(), Error> {
    let (one, other) = (&model.pools[one], &model.pools[other]);
    for (pool, name) in [(one, "between"), (other, one.name), (one, other.name)] {
        let patch = PoolPatch {
            name: Some(to_name(name)),
            ..PoolPatch::default()
        };
        server.update_pool(caller(), pool.id, patch, None).await?;
    }
    Ok(())
}
