//! VPCs of a file: those with a record, and those that allocations name. Each is new, or there already and the same, or in
//! conflict.

use std::collections::{HashMap, HashSet};

use ipam_shared::{
    api::{
        DEFAULT_VRF,
        transfer::{ConflictCode, Record},
    },
    ids::VpcId,
    name::Name,
};
use uuid::Uuid;

use super::{
    check::Check,
    check::config::{differences, taken},
    gather::{vpc_of, vrf_of},
    parse::Line,
    world::Vpc,
};
use crate::db::transfer::find::FoundVpc;

impl Check {
    /// VPCs that are there, those with a record, and those that allocations use for the first time. `wanted` has the
    /// names as they are first written, with their line and the VRF that goes with it; `found` refers to their places.
    pub(super) fn vpcs(
        &mut self,
        records: Vec<Line>,
        wanted: &[(u64, Name, Option<Name>)],
        found: Vec<FoundVpc>,
        ids: Vec<Uuid>,
    ) {
        let mut ids: HashSet<Uuid> = ids.into_iter().collect();
        for found in found {
            let Some((_, name, _)) = wanted.get(found.place) else {
                continue;
            };
            let Some(vrf) = self.world.vrfs.iter().position(|vrf| vrf.id == found.vrf) else {
                continue;
            };
            let record = Record {
                vrf: self
                    .world
                    .vrfs
                    .get(vrf)
                    .and_then(|vrf| vrf.name.parse().ok()),
                vpc: found.name.parse().ok(),
                description: Some(found.description),
                labels: serde_json::from_value(found.labels).ok(),
                id: Some(found.id.0),
                ..Record::default()
            };
            let vpc = Vpc {
                id: found.id,
                vrf,
                new: false,
                record,
            };
            self.world.vpcs.insert(name.as_str().to_lowercase(), vpc);
        }
        for Line { line, record } in records {
            let key = vpc_of(&record);
            if let Some(is) = self.world.vpcs.get(&key) {
                let without_name = Record {
                    vpc: None,
                    ..record
                };
                let differences = differences(&without_name, &is.record, false);
                self.same(line, 1, &format!("the VPC \"{key}\""), &differences);
                continue;
            }
            let Some(vrf) = self.world.vrf(vrf_of(&record)) else {
                let name = vrf_of(&record).to_owned();
                self.unknown_vrf(line, &name, None);
                continue;
            };
            let id = record.id.map_or_else(VpcId::generate, VpcId);
            if !ids.insert(id.0) {
                self.conflicts
                    .add(line, ConflictCode::IdTaken, None, taken("VPC", id.0));
                continue;
            }
            self.world.vpcs.insert(
                key,
                Vpc {
                    id,
                    vrf,
                    new: true,
                    record,
                },
            );
        }
        let mut first: HashMap<String, Option<&Name>> = HashMap::new();
        for (line, name, vrf) in wanted {
            let key = name.as_str().to_lowercase();
            let said = first.entry(key.clone()).or_default();
            if said.is_none() {
                *said = vrf.as_ref();
            }
            if !self.world.vpcs.contains_key(&key)
                && self
                    .world
                    .vrf(vrf.as_ref().map_or(DEFAULT_VRF, Name::as_str))
                    .is_none()
            {
                let name = vrf.as_ref().map_or(DEFAULT_VRF, Name::as_str).to_owned();
                self.unknown_vrf(*line, &name, None);
            }
        }
        for (_, name, _) in wanted {
            let key = name.as_str().to_lowercase();
            let vrf = first
                .get(&key)
                .copied()
                .flatten()
                .map_or(DEFAULT_VRF, Name::as_str);
            let Some(vrf) = self.world.vrf(vrf) else {
                continue;
            };
            // As on first use.
            let record = Record {
                vpc: Some(name.clone()),
                implicit: Some(true),
                ..Record::default()
            };
            self.world.vpcs.entry(key).or_insert_with(|| Vpc {
                id: VpcId::generate(),
                vrf,
                new: true,
                record,
            });
        }
    }
}
