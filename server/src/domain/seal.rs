//! Seals the audit log in the background, and checks the seals.
//!
//! A seal covers the events up to an id, so that id must be one below which nothing more can appear. Ids are handed out
//! before commits, hence two steps: the first notes the last id `n` and then the next transaction number `x`. Every
//! transaction that holds an id up to `n` is numbered below `x`. When a later step sees that all transactions below `x`
//! have ended, the events up to `n` are final.

use std::time::Duration;

use sha2::{Digest, Sha256};

use super::{Ipam, change::commit};
use crate::{
    db::{Connection, allocate, lock::Locks, seal},
    error::Result,
};

/// Maximum number of events per seal.
const LARGEST_SEAL: i64 = 10_000;

/// The sealer's state between two steps.
#[derive(Debug, Default)]
pub struct Sealer {
    noted: Option<(i64, i64)>,
}

impl Sealer {
    /// Seals periodically, and deletes old Idempotency-Keys, until it is dropped.
    pub async fn run(mut self, ipam: Ipam, pause: Duration) {
        let mut rounds: u64 = 0;
        loop {
            tokio::time::sleep(pause).await;
            if let Err(error) = self.look(&ipam).await {
                tracing::warn!(%error, "the audit log could not be sealed; it is tried again");
            }
            rounds += 1;
            if rounds % 600 == 1
                && let Err(error) = forget_keys(&ipam).await
            {
                tracing::warn!(%error, "old Idempotency-Keys could not be deleted; it is tried again");
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
        let Some((id, number)) = self.noted else {
            self.noted = Some((last, next));
            return Ok(0);
        };
        if oldest < number {
            return Ok(0);
        }
        self.noted = Some((last, next));
        let mut sealed = 0;
        loop {
            match seal(ipam, id).await? {
                0 => return Ok(sealed),
                events => sealed += events,
            }
        }
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
    let (after, digest) = before.map_or((0, Vec::new()), |seal| (seal.last_event_id, seal.digest));
    let texts = seal::texts(&mut transaction, after, id, LARGEST_SEAL).await?;
    let Some((last, _)) = texts.last() else {
        return Ok(0);
    };
    let count = i32::try_from(texts.len()).unwrap_or(i32::MAX);
    seal::insert_seal(&mut transaction, *last, count, &chain(&digest, &texts)).await?;
    commit(transaction).await?;
    Ok(texts.len())
}

async fn forget_keys(ipam: &Ipam) -> Result<()> {
    let mut transaction = ipam.begin(&Locks::none()).await?;
    allocate::delete_old_keys(&mut transaction).await?;
    commit(transaction).await
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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sealed {
    /// Events that a seal covers.
    pub events: i64,
    /// Seals.
    pub seals: i64,
}

/// Follows the chain from its beginning. The error names the first seal that does not fit.
pub(super) async fn check(db: &mut Connection) -> Result<std::result::Result<Sealed, String>> {
    let mut sealed = Sealed::default();
    let (mut digest, mut after, mut seal_id) = (Vec::new(), 0, 0);
    loop {
        let seals = seal::seals_after(db, seal_id, 100).await?;
        if seals.is_empty() {
            return Ok(Ok(sealed));
        }
        for seal in seals {
            let texts =
                seal::texts(db, after, seal.last_event_id, i64::from(seal.events) + 1).await?;
            if i64::try_from(texts.len()).unwrap_or(i64::MAX) != i64::from(seal.events)
                || chain(&digest, &texts) != seal.digest
            {
                return Ok(Err(format!(
                    "seal {} does not fit the events {} to {}: the audit log was changed there, or a seal before it",
                    seal.id,
                    after + 1,
                    seal.last_event_id
                )));
            }
            sealed.events += i64::from(seal.events);
            sealed.seals += 1;
            (digest, after, seal_id) = (seal.digest, seal.last_event_id, seal.id);
        }
    }
}
