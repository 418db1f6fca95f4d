//! Blocks of a file that were released: those that cool down, which take space, and those that are history. Each is new, or
//! there already and the same, or in conflict.

use std::collections::{HashMap, HashSet};

use ipam_shared::api::transfer::{ConflictCode, Record};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{
    super::{
        gather::{vpc_of, vrf_of},
        parse::Line,
    },
    CHUNK, Check,
};
use crate::{
    db::{
        Connection,
        transfer::released::{self, PastKey, StoredCooldown},
    },
    error::Result,
    network::Place,
};

/// A block that is to cool down.
#[derive(Clone, Debug)]
pub(in crate::domain::transfer) struct NewCooldown {
    pub(in crate::domain::transfer) line: u64,
    pub(in crate::domain::transfer) place: Place,
    /// Its place in the world.
    pub(in crate::domain::transfer) pool: usize,
    pub(in crate::domain::transfer) allocation: Uuid,
    /// In lower case.
    pub(in crate::domain::transfer) vpc: String,
    pub(in crate::domain::transfer) name: Option<String>,
    pub(in crate::domain::transfer) role: String,
    pub(in crate::domain::transfer) since: OffsetDateTime,
    pub(in crate::domain::transfer) released_at: OffsetDateTime,
    pub(in crate::domain::transfer) free_at: OffsetDateTime,
}

impl NewCooldown {
    fn is(&self, stored: &StoredCooldown) -> bool {
        stored.place == self.place
            && stored.allocation == self.allocation
            && stored.vpc == self.vpc
            && stored.name == self.name
            && stored.role == self.role
            && stored.since == self.since
            && stored.released_at == self.released_at
            && stored.free_at == self.free_at
    }
}

/// A block that was had once.
#[derive(Clone, Debug)]
pub(in crate::domain::transfer) struct NewPast {
    pub(in crate::domain::transfer) vrf: Uuid,
    pub(in crate::domain::transfer) pool: Uuid,
    pub(in crate::domain::transfer) key: PastKey,
    pub(in crate::domain::transfer) record: Record,
}

impl Check {
    /// Blocks that cool down.
    pub(in crate::domain::transfer) async fn cooldowns(
        &mut self,
        db: &mut Connection,
        lines: Vec<Line>,
    ) -> Result<()> {
        let mut found = Vec::with_capacity(lines.len());
        for line in lines {
            found.extend(self.cooldown(line));
        }
        let places: Vec<_> = found.iter().map(|new| new.place).collect();
        let mut stored = HashMap::new();
        for chunk in places.chunks(CHUNK) {
            let there = released::cooldowns_at(db, chunk).await?;
            stored.extend(there.into_iter().map(|it| (it.place, it)));
        }
        for new in found {
            if stored.get(&new.place).is_some_and(|it| new.is(it)) {
                self.unchanged += 1;
            } else {
                // If something else is there, it is in the way.
                self.cooldowns.push(new);
            }
        }
        Ok(())
    }

    fn cooldown(&mut self, Line { line, record }: Line) -> Option<NewCooldown> {
        let cidr = record.cidr?;
        let name = vrf_of(&record).to_owned();
        let Some(vrf) = self.world.vrf(&name) else {
            self.unknown_vrf(line, &name, Some(cidr));
            return None;
        };
        let pool = record.pool.clone().unwrap_or_default();
        let Some(place) = self.world.pool_in(vrf, &pool) else {
            if !self.refused.contains(&(name, pool.clone())) {
                let detail = format!("there is no pool \"{pool}\"");
                self.conflicts
                    .add(line, ConflictCode::UnknownPool, Some(cidr), detail);
            }
            return None;
        };
        let Some(range) = self.world.range_of(place, cidr) else {
            let detail = format!("{cidr} lies in no range of pool \"{pool}\"");
            self.conflicts
                .add(line, ConflictCode::OutsidePool, Some(cidr), detail);
            return None;
        };
        let since = record.since?.0;
        Some(NewCooldown {
            line,
            place: Place {
                range: range.id,
                cidr,
            },
            pool: place,
            allocation: record.id?,
            vpc: vpc_of(&record),
            name: record.name.map(|name| name.to_string()),
            role: record.role?,
            since,
            released_at: record.released_at.map_or(since, |at| at.0),
            free_at: record.until?.0,
        })
    }

    /// Blocks that are no more. Whatever they say is true: their VRFs and pools may be gone too.
    pub(in crate::domain::transfer) async fn past(
        &mut self,
        db: &mut Connection,
        lines: Vec<Line>,
    ) -> Result<()> {
        let mut found: Vec<NewPast> = Vec::with_capacity(lines.len());
        for Line { line, record } in lines {
            let name = vrf_of(&record).to_owned();
            let of_name = self.world.vrf(&name);
            let vrf = match (record.vrf.is_none(), record.vrf_id, of_name) {
                (true, Some(id), _) => id,
                (_, _, Some(place)) => match self.world.vrfs.get(place) {
                    Some(vrf) => vrf.id.0,
                    None => continue,
                },
                (false, Some(id), None) => id,
                (_, None, None) => {
                    self.unknown_vrf(line, &name, record.cidr);
                    continue;
                }
            };
            let pool = record.pool.as_deref().unwrap_or_default();
            let pool = record.pool_id.unwrap_or_else(|| {
                let of_name = of_name.and_then(|vrf| self.world.pool_in(vrf, pool));
                let known = of_name.and_then(|place| self.world.pools.get(place));
                known.map_or_else(Uuid::now_v7, |pool| pool.id.0)
            });
            let (Some(owner), Some(cidr)) = (record.id, record.cidr) else {
                continue;
            };
            let (Some(since), Some(until)) = (record.since, record.until) else {
                continue;
            };
            let key = PastKey {
                owner,
                cidr,
                since: since.0,
                until: until.0,
            };
            found.push(NewPast {
                vrf,
                pool,
                key,
                record,
            });
        }
        let keys: Vec<PastKey> = found.iter().map(|new| new.key).collect();
        let mut there = HashSet::new();
        for chunk in keys.chunks(CHUNK) {
            there.extend(released::past_of(db, chunk).await?);
        }
        let before = found.len();
        found.retain(|new| !there.contains(&new.key));
        self.unchanged += (before - found.len()) as u64;
        self.past = found;
        Ok(())
    }
}
