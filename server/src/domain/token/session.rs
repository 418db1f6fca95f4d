//! Sessions of the dashboard: they begin with a key, and end with it, by signing out, or by themselves.

use std::{net::IpAddr, sync::Arc, time::Instant};

use ipam_shared::ids::TokenId;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::known::{Opened, Principal, Slot, Stored, Used};
use crate::{
    db::{
        Connection,
        lock::Locks,
        session::{self, Holder, Session},
        token,
    },
    domain::{Caller, Ipam},
    error::{Error, Result},
    text::hex,
};

/// Longest name of a browser that is kept, in characters.
const MAX_USER_AGENT: usize = 255;

impl Ipam {
    /// Begins a session; returns what goes into the cookie, which is stored nowhere.
    pub async fn open_session(
        &self,
        caller: Caller,
        holder: Holder,
        from: Option<IpAddr>,
        user_agent: &str,
    ) -> Result<[u8; 32]> {
        let mut cookie = [0; 32];
        getrandom::fill(&mut cookie).map_err(|error| Error::Internal(error.to_string().into()))?;
        let user_agent: String = user_agent
            .chars()
            .filter(|c| !c.is_control())
            .take(MAX_USER_AGENT)
            .collect();
        self.change(caller, Locks::none(), move |mut change| async move {
            let id = Uuid::now_v7();
            let detail = json!({ "address": from, "user_agent": user_agent });
            let event = change.caller.event("session.open", id, &detail)?;
            let mac = mac(&cookie);
            session::insert(
                &mut change.db,
                id,
                &mac,
                holder,
                from,
                &user_agent,
                &[event],
            )
            .await?;
            change.commit(cookie).await
        })
        .await
    }

    /// The session of a cookie, if it goes on, which is used now: an administrator's key that was changed ends those of the
    /// key before.
    ///
    /// # Errors
    /// When the database can't be asked.
    pub async fn session(
        &self,
        cookie: &[u8; 32],
        administrator: Option<i32>,
        from: Option<IpAddr>,
    ) -> Result<Option<Opened>> {
        let (slot, opened) = self.known_session(cookie, administrator).await?;
        if let Some(opened) = &opened {
            self.note(&slot, Used::Session(opened.id), from);
        }
        Ok(opened)
    }

    /// The same without using it, so that a page that only waits and shows itself anew does not keep it alive.
    pub async fn session_unused(
        &self,
        cookie: &[u8; 32],
        administrator: Option<i32>,
    ) -> Result<Option<Opened>> {
        Ok(self.known_session(cookie, administrator).await?.1)
    }

    async fn known_session(
        &self,
        cookie: &[u8; 32],
        administrator: Option<i32>,
    ) -> Result<(Arc<Slot>, Option<Opened>)> {
        let mac = mac(cookie);
        let slot = self.tokens.slot(&format!("session {}", hex(&mac)));
        let stored = match slot.known() {
            Some(stored) => stored,
            None => {
                let read = || async {
                    let mut connection = self.db.read().await?;
                    let since = Instant::now();
                    let Some((id, holder)) = session::find(&mut connection, &mac).await? else {
                        return Ok((since, None));
                    };
                    let who = match holder {
                        Holder::Administrator(_) => Some(Principal::admin()),
                        Holder::Token(id) => token::holder(&mut connection, id)
                            .await?
                            .map(|holder| Arc::new(Principal::of(&holder))),
                    };
                    let stored = who.map(|who| Stored::Session(Opened { id, who, holder }));
                    Ok((since, stored))
                };
                slot.read(read).await?
            }
        };
        let Some(Stored::Session(opened)) = stored.as_deref() else {
            return Ok((slot, None));
        };
        let is_of_this_key = match opened.holder {
            Holder::Administrator(check) => Some(check) == administrator,
            Holder::Token(_) => true,
        };
        let goes_on = is_of_this_key && !opened.who.is_expired();
        Ok((slot, goes_on.then(|| opened.clone())))
    }

    /// The sessions of somebody that go on.
    pub async fn sessions(&self, holder: Holder) -> Result<Vec<Session>> {
        session::list(&mut self.db.read().await?, holder).await
    }

    /// Ends one session of somebody, or all. This server refuses them from now on, others within a second.
    pub async fn close_sessions(
        &self,
        caller: Caller,
        holder: Holder,
        id: Option<Uuid>,
    ) -> Result<()> {
        let ipam = self.clone();
        self.change(caller, Locks::none(), move |mut change| async move {
            let subject = match (id, holder) {
                (Some(id), _) => id,
                (None, Holder::Token(id)) => id.0,
                (None, Holder::Administrator(_)) => Uuid::nil(),
            };
            let detail = json!({ "all": id.is_none() });
            let event = change.caller.event("session.close", subject, &detail)?;
            session::delete(&mut change.db, holder, id, &[event]).await?;
            let done = change.commit(()).await;
            ipam.tokens.forget();
            done
        })
        .await
    }
}

/// Ends the sessions of a token, as a part of the change that says why.
pub(super) async fn end_all(db: &mut Connection, token: TokenId) -> Result<()> {
    session::delete(db, Holder::Token(token), None, &[]).await
}

/// What is stored of a cookie. It has 256 random bits, which nobody finds by trying.
fn mac(cookie: &[u8; 32]) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(b"ipam session, version 1\0");
    hash.update(cookie);
    hash.finalize().into()
}
