//! The same on PostgreSQL: every operation is done by the server's domain, must answer what the model says, and must leave
//! behind what the model says, to the address.

use std::collections::{BTreeMap, BTreeSet};

use ipam_server::{
    db,
    domain::{
        Caller, Ipam,
        allocation::{BatchOutcome, Outcome},
    },
    error::Error,
};
use ipam_shared::{
    api::{
        allocation::{Allocation, AllocationPatch, NewAllocation, NewBatch, Size},
        pool::{NewPool, PoolPatch},
        profile::{Member as NewMember, ProfilePatch},
        reservation::NewReservation,
        vpc::NewVpc,
    },
    cidr::Family,
    error::Code,
    ids::{PoolId, ProfileId},
    labels::Labels,
    name::Name,
};
use ipam_testing::TestDatabase;
use sqlx::{AssertSqlSafe, PgPool, postgres::PgPoolOptions};
use uuid::Uuid;

use crate::{
    config::Rules,
    decide::{Got, NewSize},
    model::{
        Answer, COOLDOWN, Flag, Member, Model, OTHER, POOLS, PROFILES, Pool, Range, VRFS, length,
        network,
    },
    ops::{Ask, From, Named, Op, Policy, PoolSpec, Ranges, Request, Sequence, Spot, Step},
};

const VPCS: [&str; 5] = ["x", "y", "z", "X", "q"];

/// Begins anew: all that sequences make is gone, without a database of its own for each.
const RESET: &str = "begin; set local session_replication_role = replica;
    delete from cooldown; delete from block; delete from past_block; delete from free_block; delete from free_count;
    delete from reservation; delete from allocation; delete from event; delete from vpc; delete from pool_range;
    delete from pool; delete from profile_member; delete from profile;
    set local session_replication_role = origin;
    insert into vrf (name) values ('blue') on conflict do nothing;
    insert into profile (name) values ('one'), ('two'), ('three');";

/// All that is there, a line each.
const EVERYTHING: &str = "
    select format('block %s %s %s %s', pool_id, pool_range.cidr, block.cidr, coalesce(
        'allocation ' || block.allocation_id, 'reservation ' || reservation_id,
        'child ' || (select child.pool_id from pool_range as child
            where child.parent_range_id = block.range_id and child.cidr = block.cidr and reason = 'child_range'),
        'cooling ' || cooldown.allocation_id || ' ' || vpc || ' ' || coalesce(name, '-') || ' ' || role || ' '
            || (free_at <= now()))) as line
    from block join pool_range using (range_id)
        left join cooldown on cooldown.range_id = block.range_id and cooldown.cidr = block.cidr and reason = 'cooldown'
    union all
    select format('free %s %s %s', pool_id, pool_range.cidr, free_block.cidr)
    from free_block join pool_range using (range_id)
    union all
    select format('count %s %s %s %s', pool_id, pool_range.cidr, host_bits, blocks)
    from free_count join pool_range using (range_id) where blocks <> 0
    union all
    select format('range %s %s', pool_id, cidr) from pool_range
    union all
    select format('allocation %s %s %s %s %s', allocation_id, lower(vpc.name), coalesce(allocation.name, '-'),
        prefix_length, deletion_protection)
    from allocation join vpc using (vpc_id)
    union all
    select format('vpc %s %s', lower(vpc.name), vrf.name) from vpc join vrf using (vrf_id)
    union all
    select format('reservation %s %s %s', reservation_id, vrf.name, cidr) from reservation join vrf using (vrf_id)
    union all
    select format('pool %s %s %s', pool_id, vrf.name, pool.name) from pool join vrf using (vrf_id)
    union all
    select format('range %s %s holds %s of %s addresses', pool_id, pool_range.cidr, used + free, size)
    from pool_range cross join lateral (
        select 2::numeric ^ (case family(cidr) when 4 then 32 else 128 end - masklen(cidr)) as size,
            (select coalesce(sum(2::numeric ^ (case family(cidr) when 4 then 32 else 128 end - masklen(cidr))), 0)
                from block where block.range_id = pool_range.range_id) as used,
            (select coalesce(sum(2::numeric ^ host_bits), 0) from free_block
                where free_block.range_id = pool_range.range_id) as free
    ) as sums
    where used + free <> size";

/// What happened so often: what was done, and what came of it.
pub(crate) type Tally = BTreeMap<(&'static str, &'static str), usize>;

/// One database, and two servers on it.
pub(crate) struct Real {
    db: PgPool,
    servers: [Ipam; 2],
    pub(crate) tally: Tally,
    /// What was done in this sequence, and what came of it.
    log: Vec<String>,
}

type Check<T> = Result<T, String>;

impl Real {
    pub(crate) fn new(database: &TestDatabase) -> Self {
        // Nobody minds if a crash takes the last of it; and what is small is planned once.
        let options = database.connect_options().options([
            ("synchronous_commit", "off"),
            ("jit", "off"),
            ("plan_cache_mode", "force_generic_plan"),
        ]);
        let db = PgPoolOptions::new()
            .max_connections(4)
            .connect_lazy_with(options);
        Self {
            servers: [Ipam::new(db.clone()), Ipam::new(db.clone())],
            db,
            tally: Tally::new(),
            log: Vec::new(),
        }
    }

    /// Runs a sequence; what went wrong, with all that led to it.
    pub(crate) async fn run(&mut self, sequence: &Sequence) -> Check<()> {
        self.log.clear();
        let mut model = self.begin(sequence).await;
        let wrong = self.run_in(&mut model, sequence).await;
        wrong.map_err(|wrong| format!("{wrong}\nafter:\n  {}", self.log.join("\n  ")))
    }

    async fn run_in(&mut self, model: &mut Model, sequence: &Sequence) -> Check<()> {
        let child = PoolSpec {
            name: 2,
            blue: false,
            parent: Some(0),
            ranges: vec![Spot { at: 96, bits: 5 }],
            cut: Vec::new(),
            policy: Policy {
                strategy: sequence.strategies[3],
                cooldown: sequence.cooldowns & 8 > 0,
                largest: 8,
                smallest: 0,
                usual: None,
                tier: 2,
                labelled_only: false,
            },
        };
        self.step(model, &Op::CreatePool(child), false, false)
            .await?;
        for Step {
            op,
            other_server,
            dry_first,
        } in &sequence.steps
        {
            model.clock += 1;
            self.step(model, op, *other_server, *dry_first).await?;
        }
        let report = self.servers[0]
            .verify()
            .await
            .map_err(|error| error.to_string())?;
        if !report.findings.is_empty() {
            return Err(format!("verify finds {:#?}", report.findings));
        }
        Ok(())
    }

    /// The world as it is in the beginning.
    async fn begin(&mut self, sequence: &Sequence) -> Model {
        let family = if sequence.v6 {
            Family::Ipv6
        } else {
            Family::Ipv4
        };
        let other = if sequence.v6 {
            Family::Ipv4
        } else {
            Family::Ipv6
        };
        let pool = |name, vrf, family, spots: &[(u8, u8)], place: usize, tier| Pool {
            id: PoolId::generate(),
            exists: true,
            name,
            vrf,
            family,
            parent: None,
            ranges: spots
                .iter()
                .map(|(at, bits)| {
                    Range::new(network(
                        family,
                        Spot {
                            at: *at,
                            bits: *bits,
                        },
                    ))
                })
                .collect(),
            shortest: length(family, 8),
            longest: length(family, 0),
            usual: (tier > 0).then(|| length(family, 2)),
            reserved: 1,
            strategy: sequence.strategies[place],
            cooldown: sequence.cooldowns & (1 << place) > 0,
            tier,
            labelled_only: false,
        };
        let pools = vec![
            pool(POOLS[0], 0, family, &[(0, 7)], 0, 1),
            pool(POOLS[1], 0, family, &[(128, 6), (192, 5)], 1, 1),
            pool(OTHER, 0, other, &[(0, 5)], 2, 0),
            pool(POOLS[0], 1, family, &[(0, 6)], 2, 1),
        ];
        let profiles = (0..3).map(|recipe| members(family, recipe)).collect();
        let model = Model {
            family,
            pools,
            vpcs: BTreeMap::new(),
            allocations: Vec::new(),
            reservations: Vec::new(),
            cooling: Vec::new(),
            profiles,
            clock: 0,
        };
        let mut sql = RESET.to_owned();
        for pool in &model.pools {
            sql += &format!(
                "insert into pool (pool_id, vrf_id, name, family, min_prefix_length, max_prefix_length,
                    default_prefix_length, reserved_addresses, strategy, release_cooldown_seconds, labels)
                select '{}', vrf_id, '{}', {}, {}, {}, {}, {}, '{}', {}, '{{\"tier\": \"{}\"}}'
                from vrf where name = '{}';",
                pool.id,
                pool.name,
                if pool.family == Family::Ipv4 { 4 } else { 6 },
                pool.shortest,
                pool.longest,
                pool.usual.map_or("null".to_owned(), |usual| usual.to_string()),
                pool.reserved,
                pool.strategy.as_str(),
                if pool.cooldown { COOLDOWN } else { 0 },
                pool.tier,
                VRFS[pool.vrf]
            );
            for range in &pool.ranges {
                sql += &format!(
                    "insert into pool_range (pool_id, vrf_id, family, cidr)
                    select pool_id, vrf_id, family, '{}' from pool where pool_id = '{}';",
                    range.cidr, pool.id
                );
            }
        }
        for (profile, members) in PROFILES.iter().zip(&model.profiles) {
            for (position, member) in members.iter().enumerate() {
                sql += &format!(
                    "insert into profile_member (profile_id, position, role, pool_name, size_offset, min_prefix_length,
                        max_prefix_length)
                    select profile_id, {}, '{}', '{}', {}, {}, {} from profile where name = '{profile}';",
                    position + 1,
                    member.role,
                    member.pool,
                    member.offset,
                    member.shortest,
                    member.longest
                );
            }
        }
        sql += "commit";
        let done = sqlx::raw_sql(AssertSqlSafe(sql)).execute(&self.db).await;
        done.expect("the world can be made");
        self.servers = [Ipam::new(self.db.clone()), Ipam::new(self.db.clone())];
        model
    }

    async fn step(
        &mut self,
        model: &mut Model,
        op: &Op,
        other: bool,
        dry_first: bool,
    ) -> Check<()> {
        let server = self.servers[usize::from(other)].clone();
        self.log.push(format!(
            "{op:?} (server {}, dry first {dry_first})",
            u8::from(other)
        ));
        match op {
            Op::Allocate(request) => {
                let new = resolve(model, request);
                self.allocate(model, &server, new, dry_first).await?;
            }
            Op::Batch { requests, atomic } => {
                let mut requests: Vec<_> = requests
                    .iter()
                    .map(|request| resolve(model, request))
                    .collect();
                if !*atomic {
                    // What is not in one queue races.
                    let first = requests[0].clone();
                    for new in &mut requests {
                        (new.vpc, new.vrf) = (first.vpc.clone(), first.vrf.clone());
                        (new.profile, new.pools) = (first.profile.clone(), first.pools.clone());
                        new.pool_selector.clone_from(&first.pool_selector);
                        if first.profile.is_some()
                            && new.size() == Err(ipam_shared::api::allocation::AskError::Size)
                        {
                            new.prefix_length = Some(length(model.family, 1));
                        }
                    }
                }
                if dry_first {
                    self.batch(model, &server, &requests, *atomic, true).await?;
                    self.compare(model).await?;
                }
                self.batch(model, &server, &requests, *atomic, false)
                    .await?;
            }
            Op::Again {
                which,
                gone,
                exclude,
            } => {
                let choice = Model::living(&model.allocations, |allocation| {
                    allocation.exists != *gone && allocation.name.is_some()
                });
                let Some(number) = choice.get(usize::from(*which) % choice.len().max(1)) else {
                    return Ok(());
                };
                let allocation = &model.allocations[*number];
                let mut new = allocation.asked.clone();
                // It may have been moved since.
                new.vpc = to_name(&allocation.vpc);
                new.name = allocation.name.as_deref().map(to_name);
                if let Some(spot) = exclude {
                    new.exclude_cidrs = vec![network(model.family, *spot)];
                }
                self.allocate(model, &server, new, dry_first).await?;
            }
            Op::Release(which) => {
                let living = Model::living(&model.allocations, |allocation| allocation.exists);
                let Some((number, exists)) = pick(*which, &living, model.allocations.len()) else {
                    return Ok(());
                };
                let expected = self.expect(model, exists, |model| model.release(number));
                let id = model.allocations[number].id;
                let answer = server.release(caller(), id, None).await;
                self.same("release", expected, answer)?;
            }
            Op::Change {
                which,
                vpc,
                name,
                size,
                protected,
            } => {
                let living = Model::living(&model.allocations, |allocation| allocation.exists);
                let Some((number, exists)) = pick(*which, &living, model.allocations.len()) else {
                    return Ok(());
                };
                let size = match size {
                    Some(Ask::Hosts(hosts)) => Some(NewSize::Hosts((*hosts).into())),
                    Some(Ask::Bits(bits)) => Some(NewSize::Length(length(model.family, *bits))),
                    _ => None,
                };
                let vpc = vpc.map(|vpc| VPCS[usize::from(vpc)]);
                let name = name.map(|name| format!("n{name}"));
                let patch = AllocationPatch {
                    vpc: vpc.map(to_name),
                    name: name.as_deref().map(to_name),
                    hosts: if let Some(NewSize::Hosts(hosts)) = size {
                        Some(hosts)
                    } else {
                        None
                    },
                    prefix_length: if let Some(NewSize::Length(length)) = size {
                        Some(length)
                    } else {
                        None
                    },
                    deletion_protection: *protected,
                    ..AllocationPatch::default()
                };
                let id = model.allocations[number].id;
                let what = if size.is_some() { "resize" } else { "change" };
                for dry_run in [true, false]
                    .into_iter()
                    .filter(|dry_run| dry_first || !dry_run)
                {
                    let mut after = model.clone();
                    let expected = self.expect(&mut after, exists, |model| {
                        model.change(number, vpc, name.as_deref(), size, *protected)
                    });
                    let patch = AllocationPatch {
                        dry_run,
                        ..patch.clone()
                    };
                    let answer = server.update(caller(), id, patch, None).await;
                    let answer = answer.map(|allocation| got(&allocation, number, false));
                    self.same(what, expected, answer)?;
                    if dry_run {
                        self.compare(model).await?;
                    } else {
                        *model = after;
                    }
                }
            }
            Op::CreateVpc { vpc, blue } => {
                let name = VPCS[usize::from(*vpc)];
                let expected = self.expect(model, true, |model| {
                    model.create_vpc(name, usize::from(*blue))
                });
                let new = NewVpc {
                    name: to_name(name),
                    vrf: Some(to_name(VRFS[usize::from(*blue)])),
                    labels: Labels::default(),
                    description: String::new(),
                };
                let answer = server.create_vpc(caller(), new).await;
                self.same("create vpc", expected, answer.map(|_| ()))?;
            }
            Op::DeleteVpc { vpc, cascade } => {
                let which = usize::from(*vpc);
                let there: Vec<_> = model.vpcs.keys().collect();
                let name = match there.get(which % there.len().max(1)) {
                    Some(name) if which < 240 => (*name).clone(),
                    _ => VPCS[which % VPCS.len()].to_owned(),
                };
                let name = name.as_str();
                let expected = self.expect(model, true, |model| model.delete_vpc(name, *cascade));
                let answer = match server.find_vpc(name).await {
                    Ok(id) => server.delete_vpc(caller(), id, *cascade, None).await,
                    Err(error) => Err(error),
                };
                self.same(
                    "delete vpc",
                    expected,
                    answer.map(|deleted| deleted.released_allocations),
                )?;
            }
            Op::Reserve { spot, blue, reason } => {
                let (vrf, cidr) = (usize::from(*blue), network(model.family, *spot));
                let expected = self.expect(model, true, |model| model.reserve(vrf, cidr, *reason));
                let new = NewReservation {
                    cidr,
                    vrf: Some(to_name(VRFS[vrf])),
                    reason: reason.to_string(),
                    labels: Labels::default(),
                };
                let answer = server.reserve(caller(), new).await;
                let made = answer.as_ref().ok().map(|(made, _)| made.id);
                let number = expected
                    .as_ref()
                    .map(|(_, number)| *number)
                    .unwrap_or_default();
                let answer = answer.map(|(_, created)| (created, number));
                self.same("reserve", expected, answer)?;
                if let Some(id) = made {
                    model.reservations[number].id = id;
                }
            }
            Op::Unreserve(which) => {
                let living = Model::living(&model.reservations, |reservation| reservation.exists);
                let Some((number, exists)) = pick(*which, &living, model.reservations.len()) else {
                    return Ok(());
                };
                let expected = self.expect(model, exists, |model| {
                    model.unreserve(number);
                    Ok(())
                });
                let id = model.reservations[number].id;
                let answer = server.delete_reservation(caller(), id, None).await;
                self.same("unreserve", expected, answer)?;
            }
            Op::CreatePool(spec) => self.create_pool(model, &server, spec).await?,
            Op::ChangePool {
                which,
                ranges,
                policy,
            } => {
                self.change_pool(model, &server, *which, ranges, *policy)
                    .await?;
            }
            Op::DeletePool(which) => {
                let living = Model::living(&model.pools, |pool| pool.exists);
                let Some((number, exists)) = pick(*which, &living, model.pools.len()) else {
                    return Ok(());
                };
                let expected = self.expect(model, exists, |model| model.delete_pool(number));
                let id = model.pools[number].id;
                let answer = server.delete_pool(caller(), id, None).await;
                self.same("delete pool", expected, answer)?;
            }
            Op::TimePasses(which) => {
                let living = Model::living(&model.pools, |pool| pool.exists);
                let Some((number, true)) = pick(*which % 200, &living, 0) else {
                    return Ok(());
                };
                model.time_passes(number);
                let passed = sqlx::query(
                    "update cooldown set released_at = released_at - interval '10 years', free_at = free_at - interval '10 years'
                    where free_at > now() and range_id in (select range_id from pool_range where pool_id = $1)",
                );
                let passed = passed
                    .bind(model.pools[number].id.0)
                    .execute(&self.db)
                    .await;
                passed.expect("time can be moved");
            }
            Op::EndCooldowns => {
                let expected = Ok(model.end_cooldowns());
                let answer = server.end_cooldowns().await;
                self.same("end cooldowns", expected, answer)?;
            }
            Op::ChangeProfile { which, recipe } => {
                let which = usize::from(*which);
                model.profiles[which] = members(model.family, (*recipe).into());
                let new = model.profiles[which].iter().map(|member| NewMember {
                    role: member.role.to_owned(),
                    pool: to_name(member.pool),
                    size_offset: member.offset,
                    min_prefix_length: member.shortest,
                    max_prefix_length: member.longest,
                });
                let patch = ProfilePatch {
                    members: Some(new.collect()),
                    ..ProfilePatch::default()
                };
                let id: ProfileId = server
                    .find_profile(PROFILES[which])
                    .await
                    .expect("it is there");
                let answer = server.update_profile(caller(), id, patch, None).await;
                self.same("change profile", Ok(()), answer.map(|_| ()))?;
            }
        }
        self.compare(model).await
    }

    /// What the model says, which changes only if it says yes.
    fn expect<T>(
        &self,
        model: &mut Model,
        exists: bool,
        change: impl FnOnce(&mut Model) -> Answer<T>,
    ) -> Answer<T> {
        if !exists {
            return Err(Code::Gone);
        }
        let mut after = model.clone();
        let answer = change(&mut after)?;
        *model = after;
        Ok(answer)
    }

    /// The server answers what the model does.
    fn same<T: PartialEq + std::fmt::Debug>(
        &mut self,
        what: &'static str,
        expected: Answer<T>,
        answer: Result<T, Error>,
    ) -> Check<()> {
        let outcome = expected
            .as_ref()
            .map_or_else(|code| code.as_str(), |_| "done");
        *self.tally.entry((what, outcome)).or_default() += 1;
        let is_same = match (&expected, &answer) {
            (Ok(expected), Ok(answer)) => expected == answer,
            (Err(expected), Err(answer)) => *expected == answer.code(),
            _ => false,
        };
        let answer =
            answer.map_err(|error| format!("{}: {error} {error:?}", error.code().as_str()));
        self.log.push(format!("    {what}: {answer:?}"));
        if is_same {
            return Ok(());
        }
        Err(format!(
            "{what}:\nthe model says {expected:?}\nthe server says {answer:?}"
        ))
    }

    async fn allocate(
        &mut self,
        model: &mut Model,
        server: &Ipam,
        new: NewAllocation,
        dry_first: bool,
    ) -> Check<()> {
        if dry_first {
            let expected = model
                .together(std::slice::from_ref(&new), true)
                .pop()
                .expect("one");
            let dry = NewAllocation {
                dry_run: true,
                ..new.clone()
            };
            let answer = server.allocate(caller(), dry, None).await;
            self.outcome(model, "dry run", expected, answer, true)?;
            self.compare(model).await?;
        }
        let expected = model.each(std::slice::from_ref(&new)).pop().expect("one");
        let answer = server.allocate(caller(), new, None).await;
        self.outcome(model, "allocate", expected, answer, false)
    }

    fn outcome(
        &mut self,
        model: &mut Model,
        what: &'static str,
        expected: Answer<Got>,
        answer: Result<Outcome, Error>,
        dry: bool,
    ) -> Check<()> {
        if let (Ok(expected), Ok(answer)) = (&expected, &answer) {
            let id = answer.allocation.id;
            if expected.created && !dry {
                model.allocations[expected.number].id = id;
            } else if !expected.created && model.allocations[expected.number].id != id {
                return Err(format!(
                    "{what}: another allocation than {expected:?}: {answer:?}"
                ));
            }
        }
        // A dry run creates nothing.
        let expected = expected.map(|got| Got {
            created: got.created && !dry,
            ..got
        });
        let number = expected.as_ref().map(|got| got.number).unwrap_or_default();
        let answer = answer.map(|answer| got(&answer.allocation, number, answer.created));
        self.same(what, expected, answer)
    }

    async fn batch(
        &mut self,
        model: &mut Model,
        server: &Ipam,
        requests: &[NewAllocation],
        atomic: bool,
        dry: bool,
    ) -> Check<()> {
        let new = NewBatch {
            requests: requests.to_vec(),
            atomic,
            dry_run: dry,
        };
        let answer = server.allocate_batch(caller(), new, None).await;
        let mut identities = BTreeSet::new();
        let valid = requests.iter().filter(|new| new.size().is_ok());
        let is_twice = valid.clone().any(|new| {
            let name = new
                .name
                .as_ref()
                .map(|name| (new.vpc.as_str().to_lowercase(), name.clone()));
            name.is_some_and(|identity| !identities.insert(identity))
        });
        if is_twice {
            return self.same(
                "batch",
                Err::<(), _>(Code::InvalidRequest),
                answer.map(|_| ()),
            );
        }
        // What is wrong in itself is refused before anything is decided.
        let is_wrong = |new: &NewAllocation| new.size().is_err();
        let expected = if atomic && requests.iter().any(is_wrong) {
            let answer = |new| {
                if is_wrong(new) {
                    Err(Code::InvalidRequest)
                } else {
                    Ok(Got::default())
                }
            };
            requests.iter().map(answer).collect()
        } else if atomic || dry {
            model.together(requests, dry)
        } else {
            model.each(requests)
        };
        let what = match (dry, atomic) {
            (true, _) => "dry batch",
            (false, true) => "atomic batch",
            (false, false) => "batch of each",
        };
        match answer {
            Ok(BatchOutcome::Done(answers)) if !atomic || expected.iter().all(Result::is_ok) => {
                for (expected, answer) in expected.into_iter().zip(answers) {
                    self.outcome(model, what, expected, answer, dry)?;
                }
                Ok(())
            }
            Ok(BatchOutcome::Refused(refused)) if atomic => {
                let found: Vec<_> = refused
                    .iter()
                    .map(|(place, error)| (*place, error.code()))
                    .collect();
                let wanted: Vec<_> = expected
                    .iter()
                    .enumerate()
                    .filter_map(|(place, answer)| Some((place, *answer.as_ref().err()?)))
                    .collect();
                self.log.push(format!("    {what}: {refused:?}"));
                *self.tally.entry((what, "refused")).or_default() += 1;
                if found == wanted {
                    return Ok(());
                }
                Err(format!(
                    "{what}:\nthe model says {expected:?}\nthe server refuses {refused:?}"
                ))
            }
            answer => Err(format!(
                "{what}:\nthe model says {expected:?}\nthe server says {answer:?}"
            )),
        }
    }

    async fn create_pool(
        &mut self,
        model: &mut Model,
        server: &Ipam,
        spec: &PoolSpec,
    ) -> Check<()> {
        let family = model.family;
        let (name, vrf) = (POOLS[usize::from(spec.name)], usize::from(spec.blue));
        let parent = spec
            .parent
            .map(|parent| usize::from(parent) % model.pools.len());
        let ranges: Vec<_> = spec
            .ranges
            .iter()
            .map(|spot| network(family, *spot))
            .collect();
        let cut: Vec<_> = spec.cut.iter().map(|bits| length(family, *bits)).collect();
        let rules = rules(family, spec.policy);
        let expected = self.expect(model, true, |model| {
            model.create_pool(name, vrf, family, parent, (&ranges, &cut), &rules)
        });
        let new = NewPool {
            name: to_name(name),
            vrf: Some(to_name(VRFS[vrf])),
            family: Some(family),
            parent: parent.map(|parent| model.pools[parent].id.to_string()),
            ranges,
            range_prefix_lengths: cut,
            min_prefix_length: rules.shortest,
            max_prefix_length: Some(rules.longest),
            default_prefix_length: rules.usual,
            reserved_addresses: 1,
            strategy: rules.strategy,
            release_cooldown_seconds: if rules.cooldown { COOLDOWN } else { 0 },
            labels: labels("tier", &rules.tier.to_string()),
            required_labels: required(rules.labelled_only),
            description: String::new(),
        };
        let answer = server.create_pool(caller(), new).await;
        let made = answer.as_ref().ok().map(|pool| pool.id);
        self.same("create pool", expected, answer.map(|_| ()))?;
        if let (Some(id), Some(pool)) = (made, model.pools.last_mut()) {
            pool.id = id;
        }
        Ok(())
    }

    async fn change_pool(
        &mut self,
        model: &mut Model,
        server: &Ipam,
        which: u8,
        ranges: &Ranges,
        policy: Option<Policy>,
    ) -> Check<()> {
        let living = Model::living(&model.pools, |pool| pool.exists);
        let Some((number, exists)) = pick(which, &living, model.pools.len()) else {
            return Ok(());
        };
        let pool = &model.pools[number];
        let family = pool.family;
        let mut all: Vec<_> = pool.ranges.iter().map(|range| range.cidr).collect();
        let mut cut = Vec::new();
        let mut remove = |which: u8| {
            if !all.is_empty() {
                all.remove(usize::from(which) % all.len());
            }
        };
        let is_changed = match ranges {
            Ranges::Same => false,
            Ranges::Add(spots) => {
                all.extend(spots.iter().map(|spot| network(family, *spot)));
                true
            }
            Ranges::Remove(which) => {
                remove(*which);
                true
            }
            Ranges::Swap(which, spot) => {
                remove(*which);
                all.push(network(family, *spot));
                true
            }
            Ranges::Cut(bits) => {
                cut.extend(bits.iter().map(|bits| length(family, *bits)));
                false
            }
        };
        let ranges = is_changed.then_some(all);
        let rules = policy.map(|policy| rules(family, policy));
        let expected = self.expect(model, exists, |model| {
            model.change_pool(number, ranges.as_deref(), &cut, rules.as_ref())
        });
        let patch = PoolPatch {
            ranges,
            add_range_prefix_lengths: cut,
            min_prefix_length: rules.map(|rules| rules.shortest),
            max_prefix_length: rules.map(|rules| rules.longest),
            default_prefix_length: rules.map(|rules| rules.usual),
            strategy: rules.map(|rules| rules.strategy),
            release_cooldown_seconds: rules.map(|rules| if rules.cooldown { COOLDOWN } else { 0 }),
            labels: rules.map(|rules| labels("tier", &rules.tier.to_string())),
            required_labels: rules.map(|rules| required(rules.labelled_only)),
            ..PoolPatch::default()
        };
        let id = model.pools[number].id;
        let answer = server.update_pool(caller(), id, patch, None).await;
        self.same("change pool", expected, answer.map(|_| ()))
    }

    /// What is stored is what the model has, and what the server shows of pools adds up.
    async fn compare(&self, model: &Model) -> Check<()> {
        let lines: Vec<String> = sqlx::query_scalar(EVERYTHING)
            .fetch_all(&self.db)
            .await
            .expect("everything can be read");
        let count = lines.len();
        let stored: BTreeSet<_> = lines.into_iter().collect();
        let expected = everything(model);
        if stored != expected || stored.len() != count {
            return Err(format!(
                "only in the database: {:#?}\nonly in the model: {:#?}",
                stored.difference(&expected).collect::<Vec<_>>(),
                expected.difference(&stored).collect::<Vec<_>>()
            ));
        }
        if model.clock % 3 > 0 {
            return Ok(());
        }
        let mut db = self.db.acquire().await.expect("a connection");
        let shown = db::pool::all(&mut db)
            .await
            .map_err(|error| error.to_string())?;
        for shown in shown {
            let pool = model
                .pools
                .iter()
                .find(|pool| pool.exists && pool.id == shown.id);
            let pool = pool.ok_or_else(|| format!("a pool that is gone: {shown:?}"))?;
            let unit: u128 = if pool.family == Family::Ipv4 {
                1
            } else {
                1 << 64
            };
            let flags = || pool.ranges.iter().flat_map(|range| &range.flags);
            let total = flags().count() as u128 * unit;
            let used = flags().filter(|flag| **flag != Flag::Free).count() as u128 * unit;
            let free: u128 = shown.free.iter().fold(0, |sum, free| {
                sum + (u128::from(free.count) << (pool.family.bits() - free.prefix_length))
            });
            if (shown.total_addresses, shown.used_addresses, free) != (total, used, total - used)
                || shown.largest_free_prefix_length != pool.largest_free()
            {
                return Err(format!(
                    "{used} of {total} addresses are used, not as shown: {shown:#?}"
                ));
            }
        }
        Ok(())
    }
}

/// What the database must hold, a line each.
fn everything(model: &Model) -> BTreeSet<String> {
    let mut lines = BTreeSet::new();
    for (pool, cidr, flag) in model.blocks() {
        let range = model.pools[pool].range_of(cidr).expect("it lies in one");
        assert!(range.is_all(cidr, flag), "{cidr} is not {flag:?} alone");
        let whose = match flag {
            Flag::Free => unreachable!("a block is not free"),
            Flag::Allocation(number) => format!("allocation {}", model.allocations[number].id),
            Flag::Reservation(number) => format!("reservation {}", model.reservations[number].id),
            Flag::Child(number) => format!("child {}", model.pools[number].id),
            Flag::Cooling(number) => {
                let cooling = &model.cooling[number];
                format!(
                    "cooling {} {} {} {} {}",
                    model.allocations[cooling.allocation].id,
                    cooling.vpc,
                    cooling.name.as_deref().unwrap_or("-"),
                    cooling.role,
                    cooling.due
                )
            }
        };
        lines.insert(format!(
            "block {} {} {cidr} {whose}",
            model.pools[pool].id, range.cidr
        ));
    }
    for pool in model.pools.iter().filter(|pool| pool.exists) {
        lines.insert(format!("pool {} {} {}", pool.id, VRFS[pool.vrf], pool.name));
        for range in &pool.ranges {
            lines.insert(format!("range {} {}", pool.id, range.cidr));
            let mut counts: BTreeMap<u8, u64> = BTreeMap::new();
            for free in range.free() {
                lines.insert(format!("free {} {} {free}", pool.id, range.cidr));
                *counts.entry(free.host_bits()).or_default() += 1;
            }
            for (bits, count) in counts {
                lines.insert(format!("count {} {} {bits} {count}", pool.id, range.cidr));
            }
        }
    }
    for allocation in model
        .allocations
        .iter()
        .filter(|allocation| allocation.exists)
    {
        lines.insert(format!(
            "allocation {} {} {} {} {}",
            allocation.id,
            allocation.vpc,
            allocation.name.as_deref().unwrap_or("-"),
            allocation.prefix_length,
            if allocation.protected { "t" } else { "f" }
        ));
    }
    for (name, vrf) in &model.vpcs {
        lines.insert(format!("vpc {name} {}", VRFS[*vrf]));
    }
    for reservation in model
        .reservations
        .iter()
        .filter(|reservation| reservation.exists)
    {
        lines.insert(format!(
            "reservation {} {} {}",
            reservation.id, VRFS[reservation.vrf], reservation.cidr
        ));
    }
    lines
}

/// One of those that exist; now and then one that is gone.
fn pick(which: u8, living: &[usize], all: usize) -> Option<(usize, bool)> {
    let gone: Vec<_> = (0..all).filter(|number| !living.contains(number)).collect();
    let which = usize::from(which);
    if which >= 240 && !gone.is_empty() {
        return Some((gone[which % gone.len()], false));
    }
    (!living.is_empty()).then(|| (living[which % living.len()], true))
}

fn resolve(model: &Model, request: &Request) -> NewAllocation {
    let family = model.family;
    let size = match request.size {
        Ask::Hosts(hosts) => Size::Hosts(hosts.into()),
        Ask::Bits(bits) => Size::PrefixLength(length(family, bits)),
        Ask::Exactly(spot) => Size::Cidr(network(family, spot)),
        Ask::Default => Size::Default,
    };
    let mut new = NewAllocation::new(to_name(VPCS[usize::from(request.vpc)]), size);
    new.name = request.name.map(|name| to_name(&format!("n{name}")));
    new.vrf = request.vrf.map(|blue| to_name(VRFS[usize::from(blue)]));
    match &request.from {
        From::Profile(which) => {
            let profile = PROFILES.get(usize::from(*which)).copied().unwrap_or("none");
            new.profile = Some(to_name(profile));
        }
        From::Pools(pools) => {
            let text = |pool: &Named| match pool {
                Named::Name(name) => POOLS
                    .get(usize::from(*name))
                    .copied()
                    .unwrap_or(OTHER)
                    .to_owned(),
                Named::Id(number) => model.pools[usize::from(*number) % model.pools.len()]
                    .id
                    .to_string(),
            };
            new.pools = Some(pools.iter().map(text).collect());
        }
        From::Selector(tier) => new.pool_selector = Some(labels("tier", &tier.to_string())),
    }
    new.exclude_cidrs = request
        .exclude
        .iter()
        .map(|spot| network(family, *spot))
        .collect();
    if request.labelled {
        new.labels = labels("cost", "1");
    }
    new.deletion_protection = request.protected;
    new
}

fn got(allocation: &Allocation, number: usize, created: bool) -> Got {
    let blocks = allocation.blocks.iter();
    let blocks = blocks.map(|block| {
        (
            block.role.clone(),
            block.cidr,
            block.pool.clone(),
            block.vrf.clone(),
        )
    });
    Got {
        created,
        number,
        prefix_length: allocation.prefix_length,
        blocks: blocks.collect(),
    }
}

/// Recipes that a profile can have.
fn members(family: Family, recipe: usize) -> Vec<Member> {
    let member = |role, pool, offset| Member {
        role,
        pool,
        offset,
        shortest: 0,
        longest: 128,
    };
    let bounds = |member: Member, largest, smallest| Member {
        shortest: length(family, largest),
        longest: length(family, smallest),
        ..member
    };
    // The other pool has lengths of the other family.
    let between = if family == Family::Ipv4 { 32 } else { -32 };
    match recipe {
        0 => vec![member("node", "a", 0)],
        1 => vec![member("node", "a", 0), member("pod", "b", -1)],
        2 => vec![
            member("node", "b", 0),
            member("pod", "a", -1),
            bounds(member("service", "a", 0), 2, 2),
        ],
        3 => vec![member("pod", "a", 1), member("node", "c", 0)],
        4 => vec![member("node", "a", 0), member("other", OTHER, between)],
        5 => vec![bounds(member("node", "b", 0), 3, 1), member("pod", "b", 0)],
        _ => vec![member("node", "d", 0)],
    }
}

fn rules(family: Family, policy: Policy) -> Rules {
    Rules {
        strategy: policy.strategy,
        cooldown: policy.cooldown,
        shortest: length(family, policy.largest),
        longest: length(family, policy.smallest),
        usual: policy.usual.map(|bits| length(family, bits)),
        tier: policy.tier,
        labelled_only: policy.labelled_only,
    }
}

fn labels(key: &str, value: &str) -> Labels {
    Labels::new(BTreeMap::from([(key.to_owned(), value.to_owned())])).expect("a label")
}

fn required(cost: bool) -> BTreeMap<String, Vec<String>> {
    cost.then(|| ("cost".to_owned(), Vec::new()))
        .into_iter()
        .collect()
}

fn to_name(name: &str) -> Name {
    name.parse().expect("a name")
}

fn caller() -> Caller {
    Caller {
        actor: "model".to_owned(),
        request_id: Uuid::now_v7(),
    }
}
