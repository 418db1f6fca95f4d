//! Whole address plans: import of a file, all or nothing, and export of everything there is.
//!
//! An import says every conflict at once, and is written in one transaction:
//!
//! 1. `parse`: from bytes to records with their lines; `bounds`: what their values may be; `gather`: from records to pools, profiles, allocations.
//! 2. `config`, `recipe`, `check`, `resolve`, `past`: each thing is new, or there already and the same, or in conflict.
//! 3. `space`: overlaps within the file by a sweep over addresses, overlaps with what is there by the free list.
//! 4. `write`: if there is no conflict, what takes no space, some thousand rows a statement.
//! 5. `turn`: only now locks, of what the file takes space from, and a look whether all that was read still holds; else it begins anew.
//! 6. `write`: what takes space.
//!
//! Steps 2 and 3 read a snapshot, and a dry run ends there. So who wants space waits only while blocks are written, and only
//! for pools of the file. What an import finds there already, exactly the same, it leaves alone, so that a file may be
//! imported again whatever became of the first time.

mod bounds;
mod check;
mod conflict;
mod export;
mod gather;
mod overlap;
mod owners;
mod parse;
mod place;
mod recipe;
mod resolve;
mod space;
mod turn;
mod world;
mod write;

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

use ipam_shared::{
    api::{
        DEFAULT_VRF,
        transfer::{Format, ImportResult, Phase, Progress, Record},
    },
    name::Name,
};
use tokio::sync::{Semaphore, watch};

use self::{
    check::{CHUNK, Check},
    conflict::Conflicts,
    gather::{File, gather, vpc_of, vrf_of},
    turn::{Basis, Locks},
    world::World,
};
use super::{
    Caller, Ipam,
    change::{commit, detached},
};
use crate::{
    db::{
        Connection,
        connection::LONG_PATIENCE,
        transfer::{find, insert},
    },
    error::{Error, Result},
    memory,
};

/// One import at a time: each may hold a file of the largest size several times over in memory.
static TURN: Semaphore = Semaphore::const_new(1);

/// How often an import looks at what is there before it gives up. The last time it holds its locks meanwhile.
const TRIES: u32 = 4;

/// In bytes: a file that takes memory worth giving back.
const LARGE: usize = 1 << 20;

/// The records of a file that was exported, all of which have to be whole.
pub(super) fn read_records(file: &[u8], format: Format) -> Result<Vec<Record>> {
    let mut conflicts = Conflicts::default();
    let lines = parse::parse(file, format, &mut conflicts)?;
    match conflicts.finish().0.first() {
        Some(first) => Err(Error::Invalid(format!(
            "line {} of the export can't be read: {}",
            first.line, first.detail
        ))),
        None => Ok(lines.into_iter().map(|line| line.record).collect()),
    }
}

/// Whoever watches an import.
pub(super) struct Report(watch::Sender<Progress>);

impl Report {
    fn tell(&self, phase: Phase, done: u64, total: u64) {
        self.0.send_replace(Progress { phase, done, total });
    }
}

impl Ipam {
    /// Imports a file; returns after the commit. With conflicts, or in a dry run, nothing is written.
    pub async fn import(
        &self,
        caller: Caller,
        file: Vec<u8>,
        format: Format,
        dry_run: bool,
        progress: watch::Sender<Progress>,
    ) -> Result<ImportResult> {
        let ipam = self.clone();
        let report = Report(progress);
        detached(async move {
            let _turn = TURN
                .acquire()
                .await
                .map_err(|error| Error::Internal(error.into()))?;
            let file: Arc<[u8]> = file.into();
            let mut tries = 0;
            let result = loop {
                tries += 1;
                // In the end it looks under the locks, where nobody can be faster.
                let locks = if tries < TRIES {
                    Locks::Late
                } else {
                    Locks::First
                };
                let done =
                    ipam.try_import(&caller, file.clone(), format, dry_run, (locks, &report));
                match done.await {
                    Ok(Some(result)) => break Ok(result),
                    Ok(None) => {
                        tracing::info!("what an import found has changed meanwhile; it looks again")
                    }
                    // Somebody made the same VPC or took the same number meanwhile, which a second look sees.
                    Err(error) if is_race(&error) && tries < TRIES => {
                        tracing::info!(%error, "an import lost a race and is tried again");
                    }
                    Err(error) => break Err(error),
                }
            };
            if file.len() > LARGE {
                drop(file);
                // What was made of it is not needed again soon. Whether it can be given back is of no consequence.
                _ = tokio::task::spawn_blocking(memory::give_back).await;
            }
            result
        })
        .await
    }

    /// One try; none if what it found has changed before it could be written.
    async fn try_import(
        &self,
        caller: &Caller,
        file: Arc<[u8]>,
        format: Format,
        dry_run: bool,
        (locks, report): (Locks, &Report),
    ) -> Result<Option<ImportResult>> {
        report.tell(Phase::Read, 0, 0);
        let read = move || {
            let mut conflicts = Conflicts::default();
            let lines = parse::parse(&file, format, &mut conflicts)?;
            let records = lines.len() as u64;
            let lines = bounds::within(lines, time::OffsetDateTime::now_utc(), &mut conflicts);
            Ok::<_, Error>((gather(lines, &mut conflicts), records, conflicts))
        };
        let (file, records, conflicts) = tokio::task::spawn_blocking(read)
            .await
            .map_err(|error| Error::Internal(error.into()))??;
        report.tell(Phase::Check, 0, records);
        let wanted = file.vpc_names();
        let whole = file.is_whole();
        let mut early = None;
        let (check, basis) = if locks == Locks::First && !dry_run {
            let transaction = early.insert(self.begin(&crate::db::lock::Locks::none()).await?);
            find::be_patient(transaction).await?;
            turn::lock_all(transaction, &file, &wanted).await?;
            check_file(transaction, file, conflicts, &wanted, whole).await?
        } else {
            let mut snapshot = self.begin_snapshot().await?;
            self.may_hand_out()?;
            find::be_patient(&mut snapshot).await?;
            let found = check_file(&mut snapshot, file, conflicts, &wanted, whole).await?;
            snapshot.rollback().await?;
            found
        };
        report.tell(Phase::Check, records, records);
        let mut result = ImportResult {
            dry_run,
            records,
            unchanged: check.unchanged,
            ..ImportResult::default()
        };
        if dry_run || !check.conflicts.is_empty() {
            if check.conflicts.is_empty() {
                result.created = check.counts();
            }
            (result.conflicts, result.total_conflicts) = check.conflicts.finish();
            return Ok(Some(result));
        }
        result.created = check.counts();
        self.reserve_numbers(&check).await?;
        let mut transaction = match early {
            Some(transaction) => transaction,
            None => {
                let mut transaction = self.begin(&crate::db::lock::Locks::none()).await?;
                find::be_patient(&mut transaction).await?;
                transaction
            }
        };
        self.may_hand_out()?;
        let Some(locked) =
            turn::write(&mut transaction, (&check, &basis), locks, caller, report).await?
        else {
            transaction.rollback().await?;
            return Ok(None);
        };
        report.tell(Phase::Commit, 0, 0);
        commit(transaction).await?;
        let held = locked.since.elapsed();
        tracing::info!(
            records,
            pools = locked.pools,
            locked_ms = u64::try_from(held.as_millis()).unwrap_or(u64::MAX),
            "a plan was imported"
        );
        if check.allocations.len() > CHUNK {
            self.refresh_statistics().await;
        }
        Ok(Some(result))
    }

    /// Sees to it that nobody is given a number of the file.
    async fn reserve_numbers(&self, check: &Check) -> Result<()> {
        let numbers = check.allocations.iter().filter_map(|new| new.record.number);
        let Some(most) = numbers.max() else {
            return Ok(());
        };
        let mut transaction = self.begin(&crate::db::lock::Locks::none()).await?;
        insert::reserve_numbers(&mut transaction, most).await?;
        commit(transaction).await
    }

    /// Tells the planner what there is now, before the database finds out by itself. Whether it can is of no consequence.
    async fn refresh_statistics(&self) {
        let done = async {
            let mut connection = self.read().await?;
            connection.set_patience(LONG_PATIENCE);
            find::analyze(&mut connection).await
        };
        if let Err(error) = done.await {
            tracing::debug!(%error, "statistics were not refreshed");
        }
    }

    /// Everything there is, as a file, in pieces. It is one state of the database, however long the reading takes.
    pub fn export(&self, format: Format) -> tokio::sync::mpsc::Receiver<Result<Vec<u8>>> {
        let (sender, receiver) = tokio::sync::mpsc::channel(4);
        let ipam = self.clone();
        tokio::spawn(async move {
            let done = async {
                let mut transaction = ipam.begin_snapshot().await?;
                transaction.set_patience(LONG_PATIENCE);
                export::export(&mut transaction, format, &sender).await?;
                transaction.rollback().await?;
                Ok(())
            };
            if let Err(error) = done.await {
                // Nobody may be there to hear it.
                _ = sender.send(Err(error)).await;
            }
        });
        receiver
    }
}

fn is_race(error: &Error) -> bool {
    matches!(
        error,
        Error::NameTaken { .. } | Error::Overlap { .. } | Error::InUse { .. }
    ) || matches!(error, Error::Unavailable(_, Some(error)) if crate::db::error::is_race(error))
}

impl File {
    /// Whether it is a whole plan, as an export is: it says under which id the VRF `default` is known.
    fn is_whole(&self) -> bool {
        self.vrfs
            .iter()
            .any(|line| vrf_of(&line.record) == DEFAULT_VRF && line.record.id.is_some())
    }

    /// The VPCs that it names, each once, as first written, with the line and the VRF that is first said of it.
    fn vpc_names(&self) -> Vec<(u64, Name, Option<Name>)> {
        let mut names: BTreeMap<String, (u64, Name, Option<Name>)> = BTreeMap::new();
        let records = self.vpcs.iter().map(|line| (line.line, &line.record));
        for (line, record) in
            records.chain(self.allocations.iter().map(|new| (new.line, &new.record)))
        {
            let Some(name) = &record.vpc else {
                continue;
            };
            let known = names
                .entry(vpc_of(record))
                .or_insert_with(|| (line, name.clone(), record.vrf.clone()));
            if known.2.is_none() {
                known.2.clone_from(&record.vrf);
            }
        }
        names.into_values().collect()
    }

    /// The VRFs that it names, for whatever.
    fn vrf_names(&self) -> HashSet<String> {
        let lines = self
            .vrfs
            .iter()
            .chain(&self.vpcs)
            .chain(&self.reservations)
            .chain(&self.cooldowns)
            .map(|line| &line.record);
        let records = lines
            .chain(self.pools.iter().map(|pool| &pool.record))
            .chain(self.allocations.iter().map(|new| &new.record));
        let mut names: HashSet<String> = records.map(|record| vrf_of(record).to_owned()).collect();
        let pools = self
            .allocations
            .iter()
            .flat_map(|new| &new.blocks)
            .filter_map(|block| block.pool.as_deref());
        names.extend(
            pools
                .filter_map(|pool| pool.split_once('/'))
                .map(|(vrf, _)| vrf.to_owned()),
        );
        names.insert(DEFAULT_VRF.to_owned());
        names
    }
}

/// Looks for everything that stands in the way of a file, and what that was seen in.
async fn check_file(
    db: &mut Connection,
    file: File,
    conflicts: Conflicts,
    wanted: &[(u64, Name, Option<Name>)],
    whole: bool,
) -> Result<(Check, Basis)> {
    let names: Vec<_> = wanted.iter().map(|(_, name, _)| name.to_string()).collect();
    let revision = find::revision(db).await?;
    let found = find::vpcs(db, &names).await?;
    let vpcs = found.iter().map(|vpc| (vpc.id, vpc.vrf)).collect();
    let clear = whole && find::is_untouched(db).await?;
    let given: Vec<_> = file.vpcs.iter().filter_map(|line| line.record.id).collect();
    let taken = find::vpc_ids(db, &given).await?;
    let mut check = Check {
        world: World::read(db, clear).await?,
        conflicts,
        ..Check::default()
    };
    check.vrfs(file.vrfs);
    check.pools(file.pools);
    check.profiles(file.profiles);
    check.vpcs(file.vpcs, wanted, found, taken);
    check.reservations(file.reservations);
    check.roots();
    check.reserve();
    check.allocations(db, file.allocations).await?;
    check.cooldowns(db, file.cooldowns).await?;
    check.past(db, file.past).await?;
    check.take(db).await?;
    let basis = Basis {
        revision,
        clear,
        names,
        vpcs,
    };
    Ok((check, basis))
}
