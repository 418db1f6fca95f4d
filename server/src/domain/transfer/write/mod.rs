//! Writes what was resolved, in an order in which everything that is referred to exists, one statement per chunk of rows.

mod space;

use std::collections::HashMap;

use ipam_shared::{api::transfer::Phase, ids::VpcId};
use serde_json::{Value, json};

use super::{
    Report,
    locks::{self, Locked, Locks},
    resolve::{Import, NewAllocation},
};
use crate::{
    db::{
        Connection,
        event::{self, Event, Snapshot},
        transfer::write::{self, CHUNK, Keyed, Member},
    },
    error::{Error, Result},
    rights::Caller,
};

/// The keys of new rows, by their temporary keys.
struct Keys(HashMap<i32, i32>);

impl Keys {
    /// Takes keys for these, the lowest for the first.
    async fn take(db: &mut Connection, table: Keyed, ids: Vec<i32>) -> Result<Self> {
        let keys = write::keys(db, table, ids.len()).await?;
        Ok(Self(ids.into_iter().zip(keys).collect()))
    }

    /// The key of a row, new or not.
    fn of(&self, id: i32) -> i32 {
        self.0.get(&id).copied().unwrap_or(id)
    }
}

/// Writes everything, if what was found still holds; otherwise nothing that lasts.
pub(super) async fn write(
    db: &mut Connection,
    import: &Import,
    locks: Locks,
    caller: &Caller,
    report: &Report,
) -> Result<Option<Locked>> {
    // The row of the address plan is locked by whoever changes it, after the locks of VRFs and pools.
    let is_early = locks == Locks::First || import.basis.clear || locks::changes_plan(import);
    let mut locked = None;
    if is_early {
        locked = Some(locks::lock(db, import).await?);
        if locks == Locks::Late && !locks::holds(db, import).await? {
            return Ok(None);
        }
        if import.basis.clear {
            write::clear(db).await?;
        }
    }
    let members = owners(db, import, caller, report).await?;
    let locked = match locked {
        Some(locked) => locked,
        None => {
            let locked = locks::lock(db, import).await?;
            if !locks::holds(db, import).await? {
                return Ok(None);
            }
            locked
        }
    };
    space::write(db, import, caller, &members, report).await?;
    Ok(Some(locked))
}

/// Writes what takes no space: VRFs, profiles, VPCs, allocations without their blocks, and the past. This is most of the
/// work, and requests for space don't wait for it. Returns the keys that members of profiles got.
async fn owners(
    db: &mut Connection,
    import: &Import,
    caller: &Caller,
    report: &Report,
) -> Result<Keys> {
    let plan = &import.plan;
    write::vrfs(db, &plan.vrfs.added_records()).await?;
    write::profiles(db, &plan.profiles.added_records()).await?;
    let members = plan.members.iter().filter(|it| it.id < 0);
    let ids = members.clone().map(|member| member.id).collect();
    let keys = Keys::take(db, Keyed::Members, ids).await?;
    let members = members.map(|member| Member {
        id: keys.of(member.id),
        ..member.clone()
    });
    write::members(db, &members.collect::<Vec<_>>()).await?;
    write::vpcs(db, &plan.vpcs.added_records()).await?;
    let event = |action, subject, name: Value| Event {
        action,
        subject,
        caller,
        detail: json!({ "name": name }),
    };
    let vrfs = plan.vrfs.added();
    let vrfs = vrfs.map(|it| event("vrf.import", it.id, json!(it.record.vrf)));
    let profiles = plan.profiles.added();
    let profiles = profiles.map(|it| event("profile.import", it.id, json!(it.record.profile)));
    let vpcs = plan.vpcs.added();
    let vpcs = vpcs.map(|it| event("vpc.import", it.id, json!(it.record.vpc)));
    let events: Vec<_> = vrfs.chain(profiles).chain(vpcs).collect();
    event::insert(db, &events).await?;

    let total = import.allocations.len() as u64;
    report.tell(Phase::Write, 0, total);
    let mut done = 0;
    for chunk in import.allocations.chunks(CHUNK) {
        allocations(db, chunk, caller).await?;
        done += chunk.len() as u64;
        // Their blocks are the other half of the work.
        report.tell(Phase::Write, done / 2, total);
    }
    write::past(db, &import.past).await?;
    Ok(keys)
}

/// Inserts allocations and their events; their blocks take space.
async fn allocations(db: &mut Connection, chunk: &[NewAllocation], caller: &Caller) -> Result<()> {
    let rows = chunk.iter().map(|new| write::Allocation {
        record: &new.record,
        vpc_id: VpcId(new.vpc.id),
        profile_id: new.profile,
        prefix_length: new.prefix_length,
        members: new.blocks.len(),
        request: new.request.as_ref(),
    });
    let rows: Vec<_> = rows.collect();
    write::allocations(db, &rows, &caller.actor, caller.request_id).await?;
    let mut events = Vec::with_capacity(chunk.len());
    for new in chunk {
        let (name, vpc) = (new.record.name.as_ref(), new.record.vpc.as_ref());
        let snapshot = Snapshot {
            vpc: vpc.map_or("", |vpc| vpc.as_str()),
            name: name.map(|name| name.as_str()),
            cidrs: new.blocks.iter().map(|block| block.place.cidr).collect(),
            vrfs: new
                .blocks
                .iter()
                .map(|it| it.pool.vrf.name.as_str())
                .collect(),
            labels: (new.record.labels.as_ref()).filter(|labels| !labels.is_empty()),
            description: new.record.description.as_deref().unwrap_or_default(),
        };
        events.push(Event {
            action: "allocation.import",
            subject: new.id,
            caller,
            detail: serde_json::to_value(snapshot)
                .map_err(|error| Error::Internal(error.into()))?,
        });
    }
    event::insert(db, &events).await
}
