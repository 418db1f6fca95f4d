//! Who has a secret. What a server knows of a token is read again before it is older than [`LEASE`], so that a token that was
//! revoked, changed or given other limits is refused by every server within a second, whatever happens to the network:
//! nothing has to be told to anybody.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, LazyLock, Mutex, PoisonError},
    time::{Duration, Instant},
};

use ipam_shared::{
    api::{event::Source, token::Limits},
    ids::TokenId,
    secret::Secret,
};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    db::{
        session,
        token::{self, Holder},
    },
    domain::Ipam,
    error::{Error, Result},
    rights::Rights,
    secret::Peppers,
};

/// How long a server relies on what it read of a token, counted from when it asked.
const LEASE: Duration = Duration::from_millis(700);
/// How often a server notes that a token is used.
const NOTED: Duration = Duration::from_mins(1);
/// How many public ids are remembered, most of them those of tokens. Guessed ones are among them.
const REMEMBERED: usize = 4096;

/// What the administrator is called in the audit log.
pub const ADMIN: &str = "admin";

/// Somebody who has shown a valid key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// What the audit log calls it.
    pub actor: String,
    /// The token; none for the administrator's key.
    pub token: Option<TokenId>,
    /// For whom it was created.
    pub owner: Option<String>,
    /// What it may do.
    pub rights: Rights,
    /// Where, as it was asked for.
    pub limits: Limits,
    /// Until when.
    pub expires_at: Option<OffsetDateTime>,
}

impl Principal {
    /// Who has the administrator's key.
    pub fn admin() -> Arc<Self> {
        // Made once, since most requests may be the administrator's.
        static ADMINISTRATOR: LazyLock<Arc<Principal>> = LazyLock::new(|| {
            Arc::new(Principal {
                actor: ADMIN.to_owned(),
                token: None,
                owner: None,
                rights: Rights::all(),
                limits: Limits::default(),
                expires_at: None,
            })
        });
        Arc::clone(&ADMINISTRATOR)
    }

    /// Who has a token.
    pub(super) fn of(holder: &Holder) -> Self {
        Self {
            actor: format!("token/{}", holder.name),
            token: Some(holder.id),
            owner: holder.owner.clone(),
            rights: holder.rights.clone(),
            limits: holder.limits.clone(),
            expires_at: holder.expires_at,
        }
    }

    /// Where a request by it comes from, as far as the server itself knows.
    pub fn source(&self, address: Option<IpAddr>) -> Source {
        Source {
            token: self.token,
            owner: self.owner.clone(),
            address,
            ..Source::default()
        }
    }

    /// Whether its time is over.
    pub(super) fn is_expired(&self) -> bool {
        self.expires_at
            .is_some_and(|at| at <= OffsetDateTime::now_utc())
    }
}

/// A session that goes on.
#[derive(Clone, Debug)]
pub struct Opened {
    /// Its id.
    pub id: Uuid,
    /// Who signed in.
    pub who: Arc<Principal>,
    /// The same, as it is stored.
    pub holder: session::Holder,
}

/// Whether a secret is valid.
#[derive(Clone, Debug)]
pub enum Recognised {
    /// It is.
    Valid(Arc<Principal>),
    /// It was, until then.
    Expired(OffsetDateTime, Arc<Principal>),
    /// No token has it.
    Unknown,
}

/// The tokens that a server knows.
#[derive(Debug, Default)]
pub(in crate::domain) struct Known {
    pub(in crate::domain) peppers: Peppers,
    slots: Mutex<HashMap<String, Arc<Slot>>>,
}

/// What is known of a public id, or of a cookie.
#[derive(Debug, Default)]
pub(super) struct Slot {
    seen: Mutex<Seen>,
    /// Held while it is read, so that a crowd reads it once.
    reading: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct Seen {
    /// What was read, and from when on.
    read: Option<(Instant, Option<Arc<Stored>>)>,
    noted: Option<Instant>,
}

/// What a key or a cookie belongs to.
#[derive(Debug)]
pub(super) enum Stored {
    Token(Hashed, Arc<Principal>),
    Session(Opened),
}

/// What a secret is compared with.
#[derive(Debug)]
pub(super) struct Hashed {
    /// The version of the pepper.
    pepper: i16,
    mac: Vec<u8>,
}

/// What was used.
#[derive(Clone, Copy, Debug)]
pub(super) enum Used {
    Token(TokenId),
    Session(Uuid),
}

impl Known {
    pub(in crate::domain) fn new(peppers: Peppers) -> Self {
        Self {
            peppers,
            slots: Mutex::default(),
        }
    }

    pub(super) fn slot(&self, public_id: &str) -> Arc<Slot> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = slots.get(public_id) {
            return Arc::clone(slot);
        }
        if slots.len() >= REMEMBERED {
            slots.clear();
        }
        Arc::clone(slots.entry(public_id.to_owned()).or_default())
    }

    fn has(&self, public_id: &str) -> bool {
        let slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.contains_key(public_id)
    }

    /// Reads everything again before it is relied on.
    pub(super) fn forget(&self) {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.clear();
    }
}

impl Slot {
    /// What is known, if that is recent enough.
    pub(super) fn known(&self) -> Option<Option<Arc<Stored>>> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let (since, stored) = seen.read.as_ref()?;
        (since.elapsed() < LEASE).then(|| stored.clone())
    }

    /// Reads it, unless somebody else has just done that; with the moment at which the database was asked.
    ///
    /// # Errors
    /// When the database takes longer to answer than the answer may be relied on, twice.
    pub(super) async fn read<F>(&self, read: impl Fn() -> F) -> Result<Option<Arc<Stored>>>
    where
        F: Future<Output = Result<(Instant, Option<Stored>)>>,
    {
        let _reading = self.reading.lock().await;
        if let Some(stored) = self.known() {
            return Ok(stored);
        }
        for _ in 0..2 {
            let (since, stored) = read().await?;
            let stored = stored.map(Arc::new);
            self.seen
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .read = Some((since, stored));
            if let Some(stored) = self.known() {
                return Ok(stored);
            }
        }
        Err(Error::Unavailable(
            "the database takes too long to say whether the key is valid; try again in a moment",
            None,
        ))
    }

    /// Whether a use is to be noted now.
    fn is_to_be_noted(&self) -> bool {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = seen.noted.is_none_or(|noted| noted.elapsed() >= NOTED);
        if is_due {
            seen.noted = Some(Instant::now());
        }
        is_due
    }
}

impl Ipam {
    /// Whether the database was asked for its public id before, so that it is asked again once in [`LEASE`] at most.
    pub fn has_asked(&self, secret: &Secret) -> bool {
        self.tokens.has(secret.public_id())
    }

    /// Whose secret it is. Notes that the token was used from that address, once a minute.
    ///
    /// # Errors
    /// When the database can't be asked.
    pub async fn recognise(&self, secret: &Secret, from: Option<IpAddr>) -> Result<Recognised> {
        let slot = self.tokens.slot(secret.public_id());
        let stored = match slot.known() {
            Some(stored) => stored,
            None => {
                let read = || async {
                    let mut connection = self.db.read().await?;
                    let since = Instant::now();
                    let found = token::holder_of(&mut connection, secret.public_id()).await?;
                    let stored = found.map(|holder| {
                        let who = Arc::new(Principal::of(&holder));
                        let (pepper, mac) = (holder.pepper, holder.mac);
                        Stored::Token(Hashed { pepper, mac }, who)
                    });
                    Ok((since, stored))
                };
                slot.read(read).await?
            }
        };
        let Some(Stored::Token(hashed, who)) = stored.as_deref() else {
            return Ok(Recognised::Unknown);
        };
        if !self
            .tokens
            .peppers
            .verify(secret, hashed.pepper, &hashed.mac)
        {
            return Ok(Recognised::Unknown);
        }
        if let Some(at) = who.expires_at
            && who.is_expired()
        {
            return Ok(Recognised::Expired(at, Arc::clone(who)));
        }
        if let Some(id) = who.token {
            self.note(&slot, Used::Token(id), from);
        }
        Ok(Recognised::Valid(Arc::clone(who)))
    }

    /// Notes, aside from the request and once a minute, that a token or a session is used.
    pub(super) fn note(&self, slot: &Slot, used: Used, from: Option<IpAddr>) {
        if !slot.is_to_be_noted() {
            return;
        }
        let ipam = self.clone();
        tokio::spawn(async move {
            let noted = async {
                let mut connection = ipam.db.read().await?;
                match used {
                    Used::Token(id) => token::touch(&mut connection, id, from).await,
                    Used::Session(id) => session::touch(&mut connection, id, from).await,
                }
            };
            if let Err(error) = noted.await {
                tracing::warn!(%error, ?used, "the use of a token or a session was not noted");
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[tokio::test]
    async fn what_took_too_long_to_read_is_read_again_and_not_relied_on() {
        let asked = AtomicU32::new(0);
        let read = async |slow: u32| {
            let slot = Slot::default();
            asked.store(0, Ordering::Relaxed);
            let read = || async {
                let since = Instant::now();
                if asked.fetch_add(1, Ordering::Relaxed) < slow {
                    tokio::time::sleep(LEASE).await;
                }
                Ok((since, None))
            };
            let read = slot.read(read).await;
            (read.is_ok(), asked.load(Ordering::Relaxed))
        };
        assert_eq!(read(0).await, (true, 1));
        assert_eq!(read(1).await, (true, 2));
        assert_eq!(read(2).await, (false, 2));
    }
}
