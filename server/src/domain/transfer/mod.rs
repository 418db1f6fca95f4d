//! Whole address plans: import of a file, all or nothing, and export of everything there is.
//!
//! An import reports all conflicts at once, and is written in one transaction:
//!
//! 1. `read`: from bytes to records with their lines, what their values may be, and from records to pools, profiles, allocations.
//! 2. `resolve`: each thing is new, or there already and the same, or in conflict.
//! 3. `overlap`: overlaps within the file by a sweep over addresses, overlaps with what is there by the free list.
//! 4. `write`: if there is no conflict, what takes no space, some thousand rows a statement.
//! 5. `locks`: only now locks what the file takes space from, and checks whether all that was read still holds; otherwise it
//!    starts over.
//! 6. `write::space`: what takes space.
//!
//! Steps 2 and 3 read a snapshot, and a dry run ends there. So requests for space wait only while blocks are written, and
//! only for pools of the file. What already exists exactly as in the file is left alone, so that a file may be imported
//! again whatever the outcome of the first time.

mod export;
mod findings;
mod locks;
mod overlap;
mod read;
mod resolve;
mod write;

use std::sync::Arc;

use ipam_shared::api::transfer::{Format, ImportResult, Imported, Phase, Progress};
use tokio::sync::{Semaphore, watch};

pub(super) use self::export::encode;
pub(super) use self::read::read_records;
use self::{findings::Findings, locks::Locks, read::gather::File, resolve::Import};
use super::{
    Caller, Ipam,
    admission::Kind,
    change::{commit, detached},
    require, unlimited,
};
use crate::{
    db::{
        Connection,
        connection::LONG_PATIENCE,
        lock,
        transfer::{
            find,
            write::{self as rows, CHUNK},
        },
    },
    error::{Error, Result},
    memory,
    rights::Right,
};

/// Reads a file as an import does, see [`super::fuzzing`].
pub(super) fn gathered(file: &[u8], format: Format) {
    _ = read::read(file, format);
}

/// One import at a time: each may hold a file of the largest size several times over in memory.
static IMPORTS: Semaphore = Semaphore::const_new(1);

/// How often an import reads what exists before it gives up. The last time it holds its locks meanwhile.
const TRIES: u32 = 4;

/// Size in bytes from which it is worth giving the memory back.
const LARGE: usize = 1 << 20;

/// The observer of an import.
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
        require(&caller, Right::Administer)?;
        let ipam = self.clone();
        let report = Report(progress);
        detached(async move {
            let _permit = IMPORTS
                .acquire()
                .await
                .map_err(|error| Error::Internal(error.into()))?;
            let file: Arc<[u8]> = file.into();
            let mut tries = 0;
            let result = loop {
                tries += 1;
                // The last time it checks under the locks, where nothing can interfere.
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
                        tracing::info!(
                            "what an import found has changed meanwhile; it checks again"
                        )
                    }
                    // Somebody created the same VPC or took the same number meanwhile, which a second check will see.
                    Err(error) if is_race(&error) && tries < TRIES => {
                        tracing::info!(%error, "an import lost a race and is tried again");
                    }
                    Err(error) => break Err(error),
                }
            };
            if file.len() > LARGE {
                drop(file);
                // The memory is not needed again soon. It does not matter if it can't be given back.
                _ = tokio::task::spawn_blocking(memory::give_back).await;
            }
            result
        })
        .await
    }

    /// One attempt; none if what it found has changed before it could be written.
    async fn try_import(
        &self,
        caller: &Caller,
        file: Arc<[u8]>,
        format: Format,
        dry_run: bool,
        (locks, report): (Locks, &Report),
    ) -> Result<Option<ImportResult>> {
        report.tell(Phase::Read, 0, 0);
        let read = tokio::task::spawn_blocking(move || read::read(&file, format)).await;
        let (file, records, mut findings) =
            read.map_err(|error| Error::Internal(error.into()))??;
        report.tell(Phase::Check, 0, records);
        let mut early = None;
        let import = if locks == Locks::First && !dry_run {
            let transaction = early.insert(self.begin(&lock::Locks::none()).await?);
            find::be_patient(transaction).await?;
            locks::lock_all(transaction, &file).await?;
            check(transaction, file, &mut findings).await?
        } else {
            let mut snapshot = self.begin_snapshot().await?;
            self.may_hand_out()?;
            find::be_patient(&mut snapshot).await?;
            let import = check(&mut snapshot, file, &mut findings).await?;
            snapshot.rollback().await?;
            import
        };
        report.tell(Phase::Check, records, records);
        let is_good = findings.is_empty();
        let created = if is_good {
            import.counts()
        } else {
            Imported::default()
        };
        let unchanged = findings.unchanged;
        let (conflicts, total_conflicts) = findings.finish();
        let result = ImportResult {
            dry_run,
            records,
            unchanged,
            created,
            total_conflicts,
            conflicts,
        };
        if dry_run || !is_good {
            return Ok(Some(result));
        }
        self.reserve_numbers(&import).await?;
        let mut transaction = match early {
            Some(transaction) => transaction,
            None => {
                let mut transaction = self.begin(&lock::Locks::none()).await?;
                find::be_patient(&mut transaction).await?;
                transaction
            }
        };
        self.may_hand_out()?;
        let Some(locked) = write::write(&mut transaction, &import, locks, caller, report).await?
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
        if import.allocations.len() > CHUNK {
            self.refresh_statistics().await;
        }
        Ok(Some(result))
    }

    /// Makes sure that nobody is given a number of the file.
    async fn reserve_numbers(&self, import: &Import) -> Result<()> {
        let numbers = import
            .allocations
            .iter()
            .filter_map(|new| new.record.number);
        let Some(most) = numbers.max() else {
            return Ok(());
        };
        let mut transaction = self.begin(&lock::Locks::none()).await?;
        rows::reserve_numbers(&mut transaction, most).await?;
        commit(transaction).await
    }

    /// Refreshes the planner's statistics, before the database does so by itself. Failure does not matter.
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

    /// Everything there is, or what is in one VRF, as a file, in pieces. It is one state of the database, however long the
    /// reading takes.
    ///
    /// # Errors
    /// When the caller is limited: a part of a plan is none that could be imported; when too many are under way.
    pub async fn export(
        &self,
        caller: &Caller,
        format: Format,
        vrf: Option<String>,
    ) -> Result<tokio::sync::mpsc::Receiver<Result<Vec<u8>>>> {
        unlimited(caller, "an export")?;
        let slot = self.admit(Kind::Export).await?;
        let (sender, receiver) = tokio::sync::mpsc::channel(4);
        let ipam = self.clone();
        tokio::spawn(async move {
            let _slot = slot;
            let done = async {
                let mut transaction = ipam.begin_snapshot().await?;
                // The client may take its time for a piece.
                find::be_patient(&mut transaction).await?;
                export::export(&mut transaction, format, vrf, &sender).await?;
                transaction.rollback().await?;
                Ok(())
            };
            if let Err(error) = done.await {
                // The receiver may be gone.
                _ = sender.send(Err(error)).await;
            }
        });
        Ok(receiver)
    }
}

fn is_race(error: &Error) -> bool {
    matches!(
        error,
        Error::NameTaken { .. } | Error::Overlap { .. } | Error::InUse { .. }
    ) || matches!(error, Error::Unavailable(_, Some(error)) if crate::db::error::is_race(error))
}

/// Finds everything that a file would create, and everything that conflicts with it.
async fn check(db: &mut Connection, file: File, findings: &mut Findings) -> Result<Import> {
    let mut import = resolve::resolve(db, file, findings).await?;
    overlap::resolve(db, &mut import, findings).await?;
    Ok(import)
}
