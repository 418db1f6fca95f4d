//! Tokens: create, change, revoke. A secret is shown in the reply to the creation and nowhere else.

mod known;
mod session;

use std::collections::BTreeSet;

use ipam_shared::{
    api::{
        pool::Pool,
        token::{Limits, MAX_LIMITS, NewToken, Role, Token, TokenPatch},
    },
    ids::{Claim, PoolId, TokenId},
    secret::Secret,
};
use serde_json::json;
use time::OffsetDateTime;

pub(super) use self::known::Known;
pub use self::known::{ADMIN, Opened, Principal, Recognised};
use super::{
    Caller, Ipam, TRIES,
    change::{Change, check_revision, set, was},
    check_description, check_new_name,
    named::there,
    ownership::{Maker, Title, adopt, may_adopt},
    require, too_fast,
};
use crate::{
    db::{
        Connection,
        lock::Locks,
        pool, profile, quota,
        token::{self, Hashed, Resolved},
        vrf,
    },
    error::{Error, Result},
    json::rounded,
    rights::Right,
    text::moment,
};

impl Ipam {
    /// Creates a token, or returns what its owner created before by the same request; and whether it was created now. Either
    /// way it has the secret of the request, or a new one, which the answer shows: the one before, which its owner may never
    /// have seen, is no longer valid.
    pub async fn create_token(
        &self,
        maker: impl Into<Maker>,
        mut new: NewToken,
    ) -> Result<(Token, bool)> {
        let maker = maker.into();
        require(&maker.caller, Right::Administer)?;
        check_new_name(&new.name)?;
        check_description(&new.description)?;
        check(&new.roles, &new.limits)?;
        check_end(new.expires_at)?;
        // Who brings a secret has it, so no reply shows it.
        let (secret, shown) = match new.secret.take() {
            Some(secret) => (secret, None),
            None => {
                let secret = Secret::generate()
                    .map_err(|error| Error::Internal(error.to_string().into()))?;
                let shown = secret.reveal().to_owned();
                (secret, Some(shown))
            }
        };
        // The same request at the same moment may have the secret before it has the name; by the second time it has both.
        let (again, same) = (maker.clone(), new.clone());
        match self
            .make_token(maker, new, secret.clone(), shown.clone())
            .await
        {
            Err(Error::SecretTaken) => self.make_token(again, same, secret, shown).await,
            made => made,
        }
    }

    async fn make_token(
        &self,
        maker: Maker,
        new: NewToken,
        secret: Secret,
        shown: Option<String>,
    ) -> Result<(Token, bool)> {
        let (pepper, mac) = self.tokens.peppers.hash(&secret).ok_or_else(no_pepper)?;
        let caller = maker.caller.clone();
        self.change(caller, Locks::none(), move |mut change| async move {
            let resolved = resolve(&mut change.db, &new.limits).await?;
            let hashed = Hashed {
                public_id: secret.public_id(),
                pepper,
                mac: &mac,
            };
            for _ in 0..TRIES {
                let (id, claim) = (TokenId::generate(), Claim::generate());
                let limits = rounded(&new.limits).map_err(|error| Error::Internal(error.into()))?;
                let detail = json!({
                    "name": new.name, "roles": new.roles, "limits": limits, "expires_at": new.expires_at.map(moment),
                    "owner": maker.owner, "description": new.description, "public_id": hashed.public_id,
                });
                let event = maker.caller.event("token.create", id.0, &detail)?;
                let (made, events) = (maker.made(claim), [event]);
                let db = &mut change.db;
                if token::insert(db, id, &new, &resolved, hashed, &made, &events).await? {
                    let mut made: Token = there(&mut change.db, id).await?;
                    made.claim = Some(claim);
                    made.secret = shown;
                    return change.commit((made, true)).await;
                }
                if let Some(id) = token::lock_named(&mut change.db, new.name.as_str()).await? {
                    let mut taken = take(&mut change, &maker, id, &new, hashed.public_id).await?;
                    replace_secret(&mut change.db, id, hashed).await?;
                    secret.public_id().clone_into(&mut taken.public_id);
                    taken.secret = shown;
                    return change.commit((taken, false)).await;
                }
            }
            Err(too_fast())
        })
        .await
    }

    /// Changes a token. With `if_match`, only if it is at that revision.
    pub async fn update_token(
        &self,
        caller: Caller,
        id: TokenId,
        mut patch: TokenPatch,
        if_match: Option<i64>,
    ) -> Result<Token> {
        require(&caller, Right::Administer)?;
        if let Some(description) = &patch.description {
            check_description(description)?;
        }
        check_end(patch.expires_at.flatten())?;
        // Taken out, so that the event, which has the rest, can't have it.
        let secret = patch.secret.take();
        let new = match secret.clone() {
            Some(secret) => {
                let (pepper, mac) = self.tokens.peppers.hash(&secret).ok_or_else(no_pepper)?;
                Some((secret, pepper, mac))
            }
            None => None,
        };
        let peppers = self.tokens.peppers.clone();
        self.change(caller, Locks::token(id), move |mut change| async move {
            let before: Token = there(&mut change.db, id).await?;
            check_revision(if_match, before.revision)?;
            let hashed = match &new {
                Some((secret, pepper, mac)) => {
                    let has = token::holder(&mut change.db, id).await?;
                    let is_the_same =
                        has.is_some_and(|has| peppers.verify(secret, has.pepper, &has.mac));
                    (!is_the_same).then(|| Hashed {
                        public_id: secret.public_id(),
                        pepper: *pepper,
                        mac,
                    })
                }
                None => None,
            };
            if patch == TokenPatch::default() && hashed.is_none() {
                return change.undo(before).await;
            }
            check(
                patch.roles.as_ref().unwrap_or(&before.roles),
                patch.limits.as_ref().unwrap_or(&before.limits),
            )?;
            let resolved = match &patch.limits {
                Some(limits) => resolve(&mut change.db, limits).await?,
                None => Resolved::default(),
            };
            let mut detail = rounded(&patch).map_err(|error| Error::Internal(error.into()))?;
            if let Some(hashed) = hashed {
                // That it has another secret, and by what to recognise it.
                detail["public_id"] = hashed.public_id.into();
                replace_secret(&mut change.db, id, hashed).await?;
            }
            let event = change
                .caller
                .changed("token.update", id.0, &before, &detail)?;
            token::update(&mut change.db, id, &patch, &resolved, &[event]).await?;
            let mut after = before;
            if let Some(hashed) = hashed {
                hashed.public_id.clone_into(&mut after.public_id);
            }
            set(&mut after.description, patch.description);
            set(&mut after.roles, patch.roles);
            set(&mut after.limits, patch.limits);
            set(&mut after.expires_at, patch.expires_at);
            after.revision += 1;
            change.commit(after).await
        })
        .await
    }

    /// Revokes a token: it is refused by every server within a second, and its sessions end.
    pub async fn revoke_token(
        &self,
        caller: Caller,
        id: TokenId,
        if_match: Option<i64>,
    ) -> Result<()> {
        require(&caller, Right::Administer)?;
        self.change(caller, Locks::token(id), move |mut change| async move {
            let token: Token = there(&mut change.db, id).await?;
            check_revision(if_match, token.revision)?;
            let detail = json!({ "name": token.name, "public_id": token.public_id });
            let event = change.caller.ended("token.revoke", id.0, &detail, &token)?;
            token::delete(&mut change.db, id, &[event]).await?;
            change.commit(()).await
        })
        .await
    }
}

/// Gives a locked token another secret, and ends its sessions: somebody else may have begun one with the secret before.
async fn replace_secret(db: &mut Connection, id: TokenId, hashed: Hashed<'_>) -> Result<()> {
    token::replace_secret(db, id, hashed).await?;
    session::end_all(db, id).await
}

/// Lets the caller adopt a locked token, which then has the secret with that public id.
async fn take(
    change: &mut Change,
    maker: &Maker,
    id: TokenId,
    new: &NewToken,
    public_id: &str,
) -> Result<Token> {
    let mut before: Token = there(&mut change.db, id).await?;
    may_adopt(&mut change.db, maker, &before).await?;
    let is_same = before.roles == new.roles
        && before.limits == new.limits
        && before.expires_at.map(unix) == new.expires_at.map(unix);
    if !is_same {
        return Err(Title::of(&before).differs("with other roles, limits or end"));
    }
    let patch = TokenPatch {
        description: (before.description != new.description).then(|| new.description.clone()),
        ..TokenPatch::default()
    };
    let was = was(&before, &patch)?;
    if patch != TokenPatch::default() {
        token::update(&mut change.db, id, &patch, &Resolved::default(), &[]).await?;
        set(&mut before.description, patch.description.clone());
        before.revision += 1;
    }
    let detail =
        json!({ "name": new.name, "public_id": public_id, "changed": patch, "before": was });
    adopt(&mut change.db, maker, &mut before, detail).await?;
    Ok(before)
}

/// Checks what does not depend on what is stored.
fn check(roles: &BTreeSet<Role>, limits: &Limits) -> Result<()> {
    if roles.is_empty() {
        let message = "a token has at least one role: admin, operator, allocator, planner, reader, auditor or metrics";
        return Err(Error::invalid(message).about("roles"));
    }
    if roles.contains(&Role::Admin) && !limits.is_empty() {
        let message = "the role admin may do everything, so it can't be limited; leave limits out, or give another role";
        return Err(Error::invalid(message).about("roles"));
    }
    let longest = [
        ("limits.vrfs", limits.vrfs.len()),
        ("limits.pools", limits.pools.len()),
        ("limits.profiles", limits.profiles.len()),
        ("limits.vpcs", limits.vpcs.len()),
        ("limits.quotas", limits.quotas.len()),
    ];
    match longest.into_iter().find(|(_, count)| *count > MAX_LIMITS) {
        Some((field, count)) => Err(Error::invalid(format!(
            "{field} has at most {MAX_LIMITS} entries, this one has {count}"
        ))
        .about(field)),
        None => Ok(()),
    }
}

fn check_end(expires_at: Option<OffsetDateTime>) -> Result<()> {
    match expires_at {
        Some(at) if at <= OffsetDateTime::now_utc() => Err(Error::invalid(
            "expires_at is in the past; to end a token now, delete it",
        )
        .about("expires_at")),
        _ => Ok(()),
    }
}

/// PostgreSQL keeps microseconds, so ends are compared by the second.
fn unix(at: OffsetDateTime) -> i64 {
    at.unix_timestamp()
}

pub(in crate::domain) fn no_pepper() -> Error {
    Error::Unavailable(
        "this server has no pepper, without which no token and no webhook can be made; an operator sets IPAM_TOKEN_PEPPER, or \
         IPAM_TOKEN_PEPPER_FILE, to the same 32 random characters or more on every server",
        None,
    )
}

/// What the names in limits mean.
async fn resolve(db: &mut Connection, limits: &Limits) -> Result<Resolved> {
    let missing = |field, key: &str| {
        Error::invalid(format!("{field}: there is none that is called \"{key}\"")).about(field)
    };
    let mut resolved = Resolved::default();
    for key in &limits.vrfs {
        let found = vrf::find_id(db, key.parse().ok(), key).await?;
        let id = found.ok_or_else(|| missing("limits.vrfs", key))?;
        resolved.vrfs.get_or_insert_default().push(id);
    }
    for key in &limits.pools {
        let id = one_pool(db, "limits.pools", key)
            .await?
            .ok_or_else(|| missing("limits.pools", key))?;
        resolved.pools.get_or_insert_default().push(id);
    }
    for key in &limits.profiles {
        let found = profile::find_id(db, key.parse().ok(), key).await?;
        let id = found.ok_or_else(|| missing("limits.profiles", key))?;
        resolved.profiles.get_or_insert_default().push(id);
    }
    for (key, addresses) in limits.quotas.iter() {
        let id = one_pool(db, "limits.quotas", key)
            .await?
            .ok_or_else(|| missing("limits.quotas", key))?;
        if let Some(same) = resolved.quotas.iter().find(|quota| quota.pool_id == id) {
            return Err(Error::invalid(format!(
                "limits.quotas: \"{}\" and \"{key}\" are the same pool; give it one quota",
                same.quota
            ))
            .about("limits.quotas"));
        }
        let pool: Pool = there(db, id).await?;
        resolved.quotas.push(quota::Resolved {
            quota: key.to_owned(),
            pool_id: id,
            vrf: pool.vrf.to_string(),
            pool: pool.name.to_string(),
            addresses: addresses.to_string(),
        });
    }
    Ok(resolved)
}

/// A pool by id, by its name if only one VRF has a pool of that name, or by `vrf/name`.
async fn one_pool(db: &mut Connection, field: &'static str, key: &str) -> Result<Option<PoolId>> {
    let (vrf, name) = match key.split_once('/') {
        Some((vrf, name)) => (Some(vrf), name),
        None => (None, key),
    };
    let found = pool::find(db, name.parse().ok(), name).await?;
    let mut found: Vec<_> = found
        .into_iter()
        .filter(|(_, of)| vrf.is_none_or(|vrf| of == vrf))
        .collect();
    match found.len() {
        0 => Ok(None),
        1 => Ok(found.pop().map(|(id, _)| id)),
        _ => Err(Error::invalid(format!(
            "{field}: several VRFs have a pool \"{name}\"; write vrf/{name}, or its id"
        ))
        .about(field)),
    }
}
