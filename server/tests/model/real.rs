//! The same on PostgreSQL: every operation is done by the server's domain, must answer what the model says, and must leave
//! behind what the model says, to the address.

use std::collections::{BTreeMap, BTreeSet};

use ipam_server::{
    db::connections::Connections,
    domain::{
        Caller, Ipam,
        allocation::{BatchOutcome, Outcome},
    },
    error::Error,
};
use ipam_shared::{
    api::{
        allocation::{Allocation, AllocationPatch, AskError, NewAllocation, NewBatch},
        pool::{NewPool, PoolPatch},
        profile::{Member as NewMember, Profile, ProfilePatch},
        reservation::NewReservation,
        vpc::{NewVpc, Vpc},
    },
    error::Code,
    ids::ProfileId,
    labels::Labels,
};
use ipam_testing::TestDatabase;
use sqlx::postgres::PgPoolOptions;
use uuid::Uuid;

use crate::{
    decide::{Got, NewSize},
    model::{Answer, COOLDOWN, Model, POOLS, PROFILES, VRFS, length, network},
    moved::moved,
    ops::{Ask, Op, Policy, PoolSpec, Ranges, Request, Sequence, Spot, Step},
    stored,
    world::{self, VPCS, labels, members, required, resolve, rules, to_name},
};

/// What happened so often: what was done, and what came of it.
pub(crate) type Tally = BTreeMap<(&'static str, &'static str), usize>;

/// One database, and two servers on it.
pub(crate) struct Real {
    db: Connections,
    /// Another database, which is emptied before anything moves there.
    elsewhere: Connections,
    servers: [Ipam; 2],
    pub(crate) tally: Tally,
    /// What was done in this sequence, and what came of it.
    log: Vec<String>,
}

pub(crate) type Check<T> = Result<T, String>;

impl Real {
    pub(crate) fn new([database, elsewhere]: &[TestDatabase; 2]) -> Self {
        let connect = |database: &TestDatabase| {
            // Nobody minds if a crash takes the last of it; and what is small is planned once.
            let options = database.connect_options().options([
                ("synchronous_commit", "off"),
                ("jit", "off"),
                ("plan_cache_mode", "force_generic_plan"),
            ]);
            Connections::new(12, PgPoolOptions::new(), vec![options])
        };
        let db = connect(database);
        Self {
            elsewhere: connect(elsewhere),
            servers: [Ipam::new(db.clone()), Ipam::new(db.clone())],
            db,
            tally: Tally::new(),
            log: Vec::new(),
        }
    }

    /// Runs a sequence; what went wrong, with all that led to it.
    pub(crate) async fn run(&mut self, sequence: &Sequence) -> Check<()> {
        self.log.clear();
        let mut model = world::begin(&self.db.usual, sequence).await;
        self.servers = [Ipam::new(self.db.clone()), Ipam::new(self.db.clone())];
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
        // One world in four, for it takes as long as many steps.
        if !sequence.steps.len().is_multiple_of(4) {
            return Ok(());
        }
        self.log.push("moved to an empty server".to_owned());
        let repeated = moved(&self.servers[0], &self.elsewhere, model, sequence).await?;
        *self.tally.entry(("moved", "done")).or_default() += 1;
        *self
            .tally
            .entry(("repeated elsewhere", "done"))
            .or_default() += repeated;
        Ok(())
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
                self.batches(model, &server, requests, *atomic, dry_first)
                    .await?;
            }
            Op::Again {
                which,
                gone,
                exclude,
            } => {
                self.again(model, &server, (*which, *gone), *exclude, dry_first)
                    .await?;
            }
            Op::Release(which) => self.release(model, &server, *which).await?,
            Op::Change { .. } => self.change(model, &server, op, dry_first).await?,
            Op::CreateVpc { vpc, blue } => self.create_vpc(model, &server, *vpc, *blue).await?,
            Op::DeleteVpc { vpc, cascade } => {
                self.delete_vpc(model, &server, *vpc, *cascade).await?
            }
            Op::Reserve { spot, blue, reason } => {
                self.reserve(model, &server, *spot, *blue, *reason).await?
            }
            Op::Unreserve(which) => self.unreserve(model, &server, *which).await?,
            Op::CreatePool(spec) => self.create_pool(model, &server, spec).await?,
            Op::ChangePool {
                which,
                ranges,
                policy,
            } => {
                self.change_pool(model, &server, *which, ranges, *policy)
                    .await?;
            }
            Op::DeletePool(which) => self.delete_pool(model, &server, *which).await?,
            Op::TimePasses(which) => self.time_passes(model, *which).await,
            Op::EndCooldowns => {
                let expected = Ok(model.end_cooldowns());
                let answer = server.end_cooldowns().await;
                self.same("end cooldowns", expected, answer)?;
            }
            Op::ChangeProfile { which, recipe } => {
                self.change_profile(model, &server, *which, *recipe).await?;
            }
        }
        stored::compare(&self.db.usual, model).await
    }

    /// Several at once; first without doing it, if so.
    async fn batches(
        &mut self,
        model: &mut Model,
        server: &Ipam,
        requests: &[Request],
        atomic: bool,
        dry_first: bool,
    ) -> Check<()> {
        let mut requests: Vec<_> = requests
            .iter()
            .map(|request| resolve(model, request))
            .collect();
        if !atomic {
            // What is not in one queue races.
            let first = requests[0].clone();
            for new in &mut requests {
                (new.vpc, new.vrf) = (first.vpc.clone(), first.vrf.clone());
                (new.profile, new.pools) = (first.profile.clone(), first.pools.clone());
                new.pool_selector.clone_from(&first.pool_selector);
                if first.profile.is_some() && new.size() == Err(AskError::Size) {
                    new.prefix_length = Some(length(model.family, 1));
                }
            }
        }
        if dry_first {
            self.batch(model, server, &requests, atomic, true).await?;
            stored::compare(&self.db.usual, model).await?;
        }
        self.batch(model, server, &requests, atomic, false).await?;
        Ok(())
    }

    /// What an allocation was asked for once, again.
    async fn again(
        &mut self,
        model: &mut Model,
        server: &Ipam,
        (which, gone): (u8, bool),
        exclude: Option<Spot>,
        dry_first: bool,
    ) -> Check<()> {
        let choice = Model::living(&model.allocations, |allocation| {
            allocation.exists != gone && allocation.name.is_some()
        });
        let Some(number) = choice.get(usize::from(which) % choice.len().max(1)) else {
            return Ok(());
        };
        let allocation = &model.allocations[*number];
        let mut new = allocation.asked.clone();
        // It may have been moved since.
        new.vpc = to_name(&allocation.vpc);
        new.name = allocation.name.as_deref().map(to_name);
        if let Some(spot) = exclude {
            new.exclude_cidrs = vec![network(model.family, spot)];
        }
        self.allocate(model, server, new, dry_first).await
    }

    async fn release(&mut self, model: &mut Model, server: &Ipam, which: u8) -> Check<()> {
        let living = Model::living(&model.allocations, |allocation| allocation.exists);
        let Some((number, exists)) = pick(which, &living, model.allocations.len()) else {
            return Ok(());
        };
        let expected = self.expect(model, exists, |model| model.release(number));
        let id = model.allocations[number].id;
        let answer = server.release(caller(), id, None).await;
        self.same("release", expected, answer)?;
        Ok(())
    }

    /// Another VPC, another name, another size, protection.
    async fn change(
        &mut self,
        model: &mut Model,
        server: &Ipam,
        op: &Op,
        dry_first: bool,
    ) -> Check<()> {
        let Op::Change {
            which,
            vpc,
            name,
            size,
            protected,
        } = *op
        else {
            unreachable!("{op:?} is no change");
        };
        let living = Model::living(&model.allocations, |allocation| allocation.exists);
        let Some((number, exists)) = pick(which, &living, model.allocations.len()) else {
            return Ok(());
        };
        let size = match size {
            Some(Ask::Hosts(hosts)) => Some(NewSize::Hosts(hosts.into())),
            Some(Ask::Bits(bits)) => Some(NewSize::Length(length(model.family, bits))),
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
            deletion_protection: protected,
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
                model.change(number, vpc, name.as_deref(), size, protected)
            });
            let patch = AllocationPatch {
                dry_run,
                ..patch.clone()
            };
            let answer = server.update(caller(), id, patch, None).await;
            let answer = answer.map(|allocation| got(&allocation, number, false));
            self.same(what, expected, answer)?;
            if dry_run {
                stored::compare(&self.db.usual, model).await?;
            } else {
                *model = after;
            }
        }
        Ok(())
    }

    async fn create_vpc(
        &mut self,
        model: &mut Model,
        server: &Ipam,
        vpc: u8,
        blue: bool,
    ) -> Check<()> {
        let name = VPCS[usize::from(vpc)];
        let expected = self.expect(model, true, |model| {
            model.create_vpc(name, usize::from(blue))
        });
        let new = NewVpc {
            name: to_name(name),
            vrf: Some(to_name(VRFS[usize::from(blue)])),
            labels: Labels::default(),
            description: String::new(),
        };
        let answer = server.create_vpc(caller(), new).await;
        self.same("create vpc", expected, answer.map(|_| ()))
    }

    async fn delete_vpc(
        &mut self,
        model: &mut Model,
        server: &Ipam,
        vpc: u8,
        cascade: bool,
    ) -> Check<()> {
        let which = usize::from(vpc);
        let there: Vec<_> = model.vpcs.keys().collect();
        let name = match there.get(which % there.len().max(1)) {
            Some(name) if which < 240 => (*name).clone(),
            _ => VPCS[which % VPCS.len()].to_owned(),
        };
        let name = name.as_str();
        let expected = self.expect(model, true, |model| model.delete_vpc(name, cascade));
        let answer = match server.find::<Vpc>(name).await {
            Ok(id) => server.delete_vpc(caller(), id, cascade, None).await,
            Err(error) => Err(error),
        };
        self.same(
            "delete vpc",
            expected,
            answer.map(|deleted| deleted.released_allocations),
        )?;
        Ok(())
    }

    async fn reserve(
        &mut self,
        model: &mut Model,
        server: &Ipam,
        spot: Spot,
        blue: bool,
        reason: bool,
    ) -> Check<()> {
        let (vrf, cidr) = (usize::from(blue), network(model.family, spot));
        let expected = self.expect(model, true, |model| model.reserve(vrf, cidr, reason));
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
        Ok(())
    }

    async fn unreserve(&mut self, model: &mut Model, server: &Ipam, which: u8) -> Check<()> {
        let living = Model::living(&model.reservations, |reservation| reservation.exists);
        let Some((number, exists)) = pick(which, &living, model.reservations.len()) else {
            return Ok(());
        };
        let expected = self.expect(model, exists, |model| {
            model.unreserve(number);
            Ok(())
        });
        let id = model.reservations[number].id;
        let answer = server.delete_reservation(caller(), id, None).await;
        self.same("unreserve", expected, answer)?;
        Ok(())
    }

    async fn delete_pool(&mut self, model: &mut Model, server: &Ipam, which: u8) -> Check<()> {
        let living = Model::living(&model.pools, |pool| pool.exists);
        let Some((number, exists)) = pick(which, &living, model.pools.len()) else {
            return Ok(());
        };
        let expected = self.expect(model, exists, |model| model.delete_pool(number));
        let id = model.pools[number].id;
        let answer = server.delete_pool(caller(), id, None).await;
        self.same("delete pool", expected, answer)?;
        Ok(())
    }

    /// The time of what cools down in a pool is over.
    async fn time_passes(&self, model: &mut Model, which: u8) {
        let living = Model::living(&model.pools, |pool| pool.exists);
        let Some((number, true)) = pick(which % 200, &living, 0) else {
            return;
        };
        model.time_passes(number);
        let passed = sqlx::query(
            "update cooldown set released_at = released_at - interval '10 years', free_at = free_at - interval '10 years'
            where free_at > now() and range_id in (select range_id from pool_range where pool_id = $1)",
        );
        let passed = passed
            .bind(model.pools[number].id.0)
            .execute(&self.db.usual)
            .await;
        passed.expect("time can be moved");
    }

    async fn change_profile(
        &mut self,
        model: &mut Model,
        server: &Ipam,
        which: u8,
        recipe: u8,
    ) -> Check<()> {
        let which = usize::from(which);
        model.profiles[which] = members(model.family, recipe.into());
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
            .find::<Profile>(PROFILES[which])
            .await
            .expect("it is there");
        let answer = server.update_profile(caller(), id, patch, None).await;
        self.same("change profile", Ok(()), answer.map(|_| ()))?;
        Ok(())
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
            stored::compare(&self.db.usual, model).await?;
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
        let made = answer.as_ref().ok();
        let made = made.and_then(|(pool, is_new)| is_new.then_some(pool.id));
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

pub(crate) fn caller() -> Caller {
    Caller::trusted("model", Uuid::now_v7())
}
