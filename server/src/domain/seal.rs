//! Seals the audit log in the background, and checks the seals.
//!
//! A seal covers the events up to an id, so that id must be one below which nothing more can appear. Ids are handed out
//! before commits, hence two steps: the first notes the last id `n` and then the next transaction number `x`. Every
//! transaction that holds an id up to `n` is numbered below `x`. When a later step sees that all transactions below `x`
//! have ended, the events up to `n` are final.

use std::{
    fs::OpenOptions,
    io::{self, Write as _},
    path::PathBuf,
    time::Duration,
};

use ipam_shared::api::event::Head;
use sha2::{Digest, Sha256};
use time::OffsetDateTime;

use super::{Ipam, change::commit};
use crate::{
    db::{Connection, allocate, lock::Locks, seal},
    error::Result,
    text::moment,
};

/// After how many steps what was noted is recorded.
const NOTES: u64 = 30;
/// Maximum number of Idempotency-Keys that are deleted in one step, so that none takes long.
const KEYS_AT_ONCE: i64 = 10_000;
/// Maximum number of events per seal.
const LARGEST_SEAL: i64 = 10_000;
/// Before every event: also before those that only a hand can have given a number below 1.
const BEGINNING: i64 = i64::MIN;

/// The sealer's state between two steps.
#[derive(Debug, Default)]
pub struct Sealer {
    noted: Option<(i64, i64)>,
    heads: Option<Heads>,
}

/// A file that gets a line for each head, to be kept where nobody who can write to the database can write.
#[derive(Debug)]
struct Heads {
    path: PathBuf,
    last: Option<Head>,
}

impl Sealer {
    /// With a file to which each head is appended, with its time.
    #[must_use]
    pub fn with_heads(mut self, path: Option<PathBuf>) -> Self {
        self.heads = path.map(|path| Heads { path, last: None });
        self
    }

    /// Seals periodically, and deletes old Idempotency-Keys, until it is dropped.
    pub async fn run(mut self, ipam: Ipam, pause: Duration) {
        let mut rounds: u64 = 0;
        let mut has_old_keys = false;
        loop {
            tokio::time::sleep(pause).await;
            if let Err(error) = self.look(&ipam).await {
                tracing::warn!(%error, "the audit log could not be sealed; it is tried again");
            }
            if let Err(error) = self.tell(&ipam).await {
                tracing::warn!(%error, "it is not known how far the audit log is sealed; it is tried again");
            }
            if rounds % NOTES == NOTES - 1
                && let Err(error) = ipam.write_notes().await
            {
                tracing::warn!(%error, "denials and exports could not be recorded; it is tried again");
            }
            rounds += 1;
            if rounds % 600 == 1 || has_old_keys {
                has_old_keys = forget_keys(&ipam).await.unwrap_or_else(|error| {
                    tracing::warn!(%error, "old Idempotency-Keys could not be deleted; it is tried again");
                    false
                });
            }
        }
    }

    /// One step: seals what the previous step noted, if it is final by now. Returns the number of events sealed.
    pub async fn look(&mut self, ipam: &Ipam) -> Result<usize> {
        let mut connection = ipam.read().await?;
        let last = seal::last_id(&mut connection).await?;
        // After the id, so that whoever holds an id up to it has a number below `next`.
        let (next, oldest) = seal::horizon(&mut connection).await?;
        drop(connection);
        let id = match found(self.noted, last, next, oldest) {
            Found::Running => return Ok(0),
            Found::Nothing => {
                self.noted = Some((last, next));
                return Ok(0);
            }
            Found::PutBack => {
                self.noted = Some((last, next));
                ipam.complete.forget();
                return Ok(0);
            }
            Found::Final(id) => id,
        };
        self.noted = Some((last, next));
        ipam.complete.up_to(id);
        let mut sealed = 0;
        loop {
            match seal(ipam, id).await? {
                0 => return Ok(sealed),
                events => sealed += events,
            }
        }
    }
}

/// What a step finds of what the step before it has noted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    /// It is the first step.
    Nothing,
    /// A transaction that may hold one of these ids goes on.
    Running,
    /// No event up to this id can appear any more.
    Final(i64),
    /// Ids and numbers never fall, but where the database is another one, or an earlier state of it.
    PutBack,
}

/// Compares an id and a transaction number that were noted with what there is now.
fn found(noted: Option<(i64, i64)>, last: i64, next: i64, oldest: i64) -> Found {
    match noted {
        None => Found::Nothing,
        Some((id, number)) if last < id || next < number => Found::PutBack,
        Some((_, number)) if oldest < number => Found::Running,
        Some((id, _)) => Found::Final(id),
    }
}

impl Sealer {
    /// Tells how far the log is sealed: to those who follow it, to the file, and as a metric.
    async fn tell(&mut self, ipam: &Ipam) -> Result<()> {
        let now = OffsetDateTime::now_utc();
        let mut connection = ipam.read().await?;
        let head = seal::last_seal(&mut connection)
            .await?
            .map(|seal| seal.head());
        let oldest = seal::oldest_unsealed(&mut connection).await?;
        drop(connection);
        let until = oldest.unwrap_or(now).min(now);
        ipam.metrics.sealed_until(until.unix_timestamp());
        if let (Some(heads), Some(head)) = (&mut self.heads, &head)
            && heads.last.as_ref() != Some(head)
        {
            match heads.append(head) {
                Ok(()) => heads.last = Some(head.clone()),
                Err(error) => {
                    let path = heads.path.display();
                    tracing::error!(%error, "the head of the audit log could not be appended to {path}");
                }
            }
        }
        ipam.complete.sealed(head);
        Ok(())
    }
}

impl Heads {
    fn append(&self, head: &Head) -> io::Result<()> {
        let mut file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&self.path)?;
        let now = moment(OffsetDateTime::now_utc());
        // One write, so that two servers may share a file.
        file.write_all(format!("{now} {head}\n").as_bytes())
    }
}

/// Appends one seal over events up to `id`; how many it covers.
async fn seal(ipam: &Ipam, id: i64) -> Result<usize> {
    let mut transaction = ipam.begin(&Locks::none()).await?;
    if !seal::lock_seals(&mut transaction).await? {
        // Another server is doing it.
        return Ok(0);
    }
    let before = seal::last_seal(&mut transaction).await?;
    let (after, digest) = before.map_or((BEGINNING, Vec::new()), |seal| {
        (seal.last_event_id, seal.digest)
    });
    let texts = seal::texts(&mut transaction, after, id, LARGEST_SEAL).await?;
    let Some((last, _)) = texts.last() else {
        return Ok(0);
    };
    let count = i32::try_from(texts.len()).unwrap_or(i32::MAX);
    seal::insert_seal(&mut transaction, *last, count, &chain(&digest, &texts)).await?;
    commit(transaction).await?;
    Ok(texts.len())
}

/// Forgets some of the old Idempotency-Keys; whether there may be more.
async fn forget_keys(ipam: &Ipam) -> Result<bool> {
    let mut transaction = ipam.begin(&Locks::none()).await?;
    let forgotten = allocate::delete_old_keys(&mut transaction, KEYS_AT_ONCE).await?;
    commit(transaction).await?;
    Ok(forgotten >= KEYS_AT_ONCE.unsigned_abs())
}

/// SHA-256 over the digest before and each event's text with its length, so that the boundaries between texts can't be
/// shifted.
fn chain(before: &[u8], texts: &[(i64, String)]) -> Vec<u8> {
    let mut hash = Sha256::new();
    hash.update(before);
    for (_, text) in texts {
        hash.update((text.len() as u64).to_be_bytes());
        hash.update(text);
    }
    hash.finalize().to_vec()
}

/// What the seals prove.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sealed {
    /// Events that a seal covers.
    pub events: i64,
    /// The last seal.
    pub head: Option<Head>,
    /// What is wrong.
    pub findings: Vec<String>,
}

/// Follows the chain from its beginning up to the first seal that does not fit, and looks for heads that were handed out.
pub(super) async fn check(db: &mut Connection, expected: &[Head]) -> Result<Sealed> {
    let mut sealed = Sealed::default();
    let mut expected: Vec<_> = expected.iter().collect();
    expected.sort();
    let (mut digest, mut after, mut seal_id) = (Vec::new(), BEGINNING, 0);
    loop {
        let seals = seal::seals_after(db, seal_id, 100).await?;
        if seals.is_empty() {
            for head in expected {
                sealed.findings.push(cut_off(head, sealed.head.as_ref()));
            }
            return Ok(sealed);
        }
        for seal in seals {
            let texts =
                seal::texts(db, after, seal.last_event_id, i64::from(seal.events) + 1).await?;
            if i64::try_from(texts.len()).unwrap_or(i64::MAX) != i64::from(seal.events)
                || chain(&digest, &texts) != seal.digest
            {
                sealed.findings.push(format!(
                    "seal {} does not fit the events {} to {}: the audit log was changed there, or a seal before it",
                    seal.id,
                    after.max(0) + 1,
                    seal.last_event_id
                ));
                return Ok(sealed);
            }
            let head = seal.head();
            while let Some(next) = expected.first()
                && next.seal <= head.seal
            {
                let next = expected.remove(0);
                if *next != head {
                    sealed.findings.push(format!(
                        "seal {} is not the one that was handed out: it was over the events up to {}, with the digest {}. The \
                         audit log was written anew, or this is another database",
                        next.seal, next.event, next.digest
                    ));
                }
            }
            sealed.events += i64::from(seal.events);
            sealed.head = Some(head);
            (digest, after, seal_id) = (seal.digest, seal.last_event_id, seal.id);
        }
    }
}

/// A head that was handed out and is no longer there.
fn cut_off(head: &Head, last: Option<&Head>) -> String {
    let end = last.map_or_else(
        || "there are no seals".to_owned(),
        |last| {
            format!(
                "the last seal is {}, over the events up to {}",
                last.seal, last.event
            )
        },
    );
    format!(
        "seal {}, over the events up to {}, was handed out, and {end}: the end of the audit log was cut off, or the database \
         was restored from an older backup",
        head.seal, head.event
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_noted_is_final_once_nothing_older_runs_and_counts_no_longer_in_another_database() {
        assert_eq!(found(None, 5, 100, 90), Found::Nothing);
        let noted = Some((5, 100));
        assert_eq!(found(noted, 7, 120, 99), Found::Running);
        assert_eq!(found(noted, 7, 120, 100), Found::Final(5));
        assert_eq!(found(noted, 5, 100, 100), Found::Final(5));
        // A cluster with younger transaction numbers, and a restore that took events back.
        assert_eq!(found(noted, 7, 50, 50), Found::PutBack);
        assert_eq!(found(noted, 4, 120, 120), Found::PutBack);
    }
}
