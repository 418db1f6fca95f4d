//! Tokens. Only [`holder`] reads what is stored of a secret.

use std::{collections::BTreeSet, net::IpAddr};

use ipam_shared::{
    api::token::{Limits, NewToken, Role, Token, TokenFilter, TokenPatch},
    ids::{Claim, PoolId, ProfileId, TokenId, VrfId},
};
use sqlx::{query, types::ipnet::IpNet};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    db::{
        Connection, convert,
        event::{Event, made, recorded},
        ownership::Made,
        quota,
    },
    error::{Error, Result},
    json::rounded,
    rights::{Rights, Scope},
};

/// Limits with their names resolved. None stands for no limit.
#[derive(Clone, Debug, Default)]
pub struct Resolved {
    /// These VRFs.
    pub vrfs: Option<Vec<VrfId>>,
    /// These pools.
    pub pools: Option<Vec<PoolId>>,
    /// These profiles.
    pub profiles: Option<Vec<ProfileId>>,
    /// Quotas.
    pub quotas: Vec<quota::Resolved>,
}

impl Resolved {
    fn columns(&self) -> [Option<Vec<Uuid>>; 3] {
        fn ids<Id: Copy + Into<Uuid>>(ids: Option<&Vec<Id>>) -> Option<Vec<Uuid>> {
            ids.map(|ids| ids.iter().map(|id| (*id).into()).collect())
        }
        [
            ids(self.vrfs.as_ref()),
            ids(self.pools.as_ref()),
            ids(self.profiles.as_ref()),
        ]
    }

    fn quotas(&self) -> Result<serde_json::Value> {
        serde_json::to_value(&self.quotas).map_err(|error| Error::Internal(error.into()))
    }
}

/// What is stored of a secret: the part of it that is no secret, the version of the pepper, and the hash.
#[derive(Clone, Copy, Debug)]
pub struct Hashed<'a> {
    /// By which it is found.
    pub public_id: &'a str,
    /// The version of the pepper.
    pub pepper: i16,
    /// HMAC-SHA256.
    pub mac: &'a [u8],
}

fn words(roles: &BTreeSet<Role>) -> Vec<String> {
    roles.iter().map(|role| role.as_str().to_owned()).collect()
}

fn roles(words: Vec<String>) -> Result<BTreeSet<Role>> {
    let roles = words.into_iter().map(|word| word.parse());
    roles
        .collect::<Result<_, _>>()
        .map_err(|error| Error::bug(format!("stored role: {error}")))
}

fn limits_json(limits: &Limits) -> Result<serde_json::Value> {
    rounded(limits).map_err(|error| Error::Internal(error.into()))
}

fn limits(json: serde_json::Value) -> Result<Limits> {
    serde_json::from_value(json).map_err(|error| Error::bug(format!("stored limits: {error}")))
}

/// Patterns for `like`; none if there is no limit.
fn likes(limits: &Limits) -> Option<Vec<String>> {
    let patterns = limits.vpcs.iter().map(|pattern| pattern.to_like());
    (!limits.vpcs.is_empty()).then(|| patterns.collect())
}

/// Makes a token, unless one of that name was made meanwhile.
pub async fn insert(
    db: &mut Connection,
    id: TokenId,
    new: &NewToken,
    resolved: &Resolved,
    hashed: Hashed<'_>,
    made: &Made<'_>,
    events: &[Event<'_>],
) -> Result<bool> {
    let [vrfs, pools, profiles] = resolved.columns();
    let patterns = likes(&new.limits);
    Ok(made!(
        db,
        events,
        "insert into token (token_id, public_id, name, description, roles, limits, vrf_ids, pool_ids, profile_ids,
            vpc_patterns, labels, pepper, mac, expires_at, created_by, owner, claim, quotas)
        values ($7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24)
        on conflict (lower(name collate \"C\")) do nothing",
        id.0,
        hashed.public_id,
        new.name.as_str(),
        new.description,
        &words(&new.roles),
        limits_json(&new.limits)?,
        vrfs.as_deref(),
        pools.as_deref(),
        profiles.as_deref(),
        patterns.as_deref(),
        convert::labels_json(&new.limits.labels)?,
        hashed.pepper,
        hashed.mac,
        new.expires_at,
        made.by,
        made.owner(),
        made.claim.0,
        resolved.quotas()?
    ))
}

/// Locks the token of that name, in whatever case; returns its id.
pub async fn lock_named(db: &mut Connection, name: &str) -> Result<Option<TokenId>> {
    let row = query!(
        "select token_id from token where lower(name collate \"C\") = lower($1 collate \"C\") for no key update",
        name
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(|row| TokenId(row.token_id)))
}

/// The id of a token by id or name; an id wins over a name that looks like one.
pub async fn find_id(
    db: &mut Connection,
    id: Option<TokenId>,
    name: &str,
) -> Result<Option<TokenId>> {
    let row = query!(
        "select token_id from token where token_id = $1 or lower(name collate \"C\") = lower($2 collate \"C\")
        order by (token_id = $1) desc limit 1",
        id.map(|id| id.0),
        name
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(|row| TokenId(row.token_id)))
}

/// Tokens that pass a condition.
macro_rules! tokens {
    ($db:expr, $condition:literal, $($value:expr),+) => {
        query!(
            r#"select token_id, public_id, name, description, roles, limits, expires_at, last_used_at,
                host(last_used_from) as last_used_from, created_by, owner, confirmed_at is not null as "confirmed!", claim,
                revision, created_at
            from token where "# + $condition,
            $($value),+
        )
        .fetch_all($db)
        .await?
        .into_iter()
        .map(|row| {
            Ok(Token {
                id: TokenId(row.token_id),
                public_id: row.public_id,
                name: convert::name(row.name)?,
                description: row.description,
                roles: roles(row.roles)?,
                limits: limits(row.limits)?,
                usage: None,
                expires_at: row.expires_at,
                last_used_at: row.last_used_at,
                last_used_from: row.last_used_from,
                created_by: row.created_by,
                owner: convert::owner(row.owner)?,
                confirmed: row.confirmed,
                claim_digest: Some(Claim(row.claim).digest()),
                revision: row.revision,
                created_at: row.created_at,
                claim: None,
                secret: None,
            })
        })
        .collect::<Result<Vec<_>>>()
    };
}

/// One token.
pub async fn get(db: &mut Connection, id: TokenId) -> Result<Option<Token>> {
    Ok(tokens!(db, "token_id = $1", id.0)?.pop())
}

/// Tokens that a filter lets through, in the order of their ids, after `cursor`.
pub async fn list(
    db: &mut Connection,
    filter: &TokenFilter,
    cursor: Option<TokenId>,
    limit: u16,
) -> Result<Vec<Token>> {
    tokens!(
        db,
        "($1::text is null or lower(name collate \"C\") = lower($1 collate \"C\")) and ($2::uuid is null or token_id > $2)
            and ($3::text is null or coalesce(owner, '') = $3)
            and ($4::boolean is null or (confirmed_at is not null) = $4)
        order by token_id limit $5",
        filter.name.as_deref(),
        cursor.map(|id| id.0),
        filter.owner.as_deref(),
        filter.confirmed,
        i64::from(limit)
    )
}

/// Changes a token. Limits come with what their names mean.
pub async fn update(
    db: &mut Connection,
    id: TokenId,
    patch: &TokenPatch,
    resolved: &Resolved,
    events: &[Event<'_>],
) -> Result<()> {
    let [vrfs, pools, profiles] = resolved.columns();
    let new = patch.limits.as_ref();
    let (roles, patterns) = (patch.roles.as_ref().map(words), new.and_then(likes));
    recorded!(
        events,
        "update token set description = coalesce($8, description), roles = coalesce($9, roles),
            expires_at = case when $17 then $10 else expires_at end, limits = coalesce($11, limits),
            vrf_ids = case when $11::jsonb is null then vrf_ids else $12 end,
            pool_ids = case when $11::jsonb is null then pool_ids else $13 end,
            profile_ids = case when $11::jsonb is null then profile_ids else $14 end,
            vpc_patterns = case when $11::jsonb is null then vpc_patterns else $15 end,
            labels = coalesce($16, labels), quotas = coalesce($18, quotas), revision = revision + 1
        where token_id = $7",
        id.0,
        patch.description.as_deref(),
        roles.as_deref(),
        patch.expires_at.flatten(),
        new.map(limits_json).transpose()?,
        vrfs.as_deref(),
        pools.as_deref(),
        profiles.as_deref(),
        patterns.as_deref(),
        new.map(|limits| convert::labels_json(&limits.labels))
            .transpose()?,
        patch.expires_at.is_some(),
        new.map(|_| resolved.quotas()).transpose()?
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Gives a token, which is locked, a new secret. The one before is no longer valid.
pub async fn replace_secret(db: &mut Connection, id: TokenId, hashed: Hashed<'_>) -> Result<()> {
    query!(
        "update token set public_id = $2, pepper = $3, mac = $4 where token_id = $1",
        id.0,
        hashed.public_id,
        hashed.pepper,
        hashed.mac
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Deletes a token.
pub async fn delete(db: &mut Connection, id: TokenId, events: &[Event<'_>]) -> Result<()> {
    recorded!(events, "delete from token where token_id = $7", id.0)
        .execute(db)
        .await?;
    Ok(())
}

/// Who has a secret, with what is stored of it.
#[derive(Clone, Debug)]
pub struct Holder {
    /// The token.
    pub id: TokenId,
    /// Its name.
    pub name: String,
    /// For whom it was created.
    pub owner: Option<String>,
    /// What it may do.
    pub rights: Rights,
    /// Where, as it was asked for.
    pub limits: Limits,
    /// Until when.
    pub expires_at: Option<OffsetDateTime>,
    /// The version of the pepper.
    pub pepper: i16,
    /// HMAC-SHA256 of the secret.
    pub mac: Vec<u8>,
}

/// The holder that passes a condition.
macro_rules! holder {
    ($db:expr, $condition:literal, $value:expr) => {{
        let row = query!(
            "select token_id, name, owner, roles, limits, vrf_ids, pool_ids, profile_ids, expires_at, pepper, mac
            from token where " + $condition,
            $value
        )
        .fetch_optional($db)
        .await?;
        row.map(|row| {
            let id = TokenId(row.token_id);
            let limits = limits(row.limits)?;
            let scope = (!limits.is_everywhere()).then(|| Scope {
                token: id,
                vrfs: (row.vrf_ids).map(|ids| ids.into_iter().map(VrfId).collect()),
                pools: (row.pool_ids).map(|ids| ids.into_iter().map(PoolId).collect()),
                profiles: (row.profile_ids).map(|ids| ids.into_iter().map(ProfileId).collect()),
                vpcs: (!limits.vpcs.is_empty()).then(|| limits.vpcs.clone()),
                labels: limits.labels.clone(),
            });
            let rights = Rights::of(roles(row.roles)?, scope);
            Ok(Holder {
                id,
                name: row.name,
                owner: row.owner,
                rights: if limits.quotas.is_empty() {
                    rights
                } else {
                    rights.with_quotas_of(id)
                },
                limits,
                expires_at: row.expires_at,
                pepper: row.pepper,
                mac: row.mac,
            })
        })
        .transpose()
    }};
}

/// Who has the secret with that public id.
pub async fn holder_of(db: &mut Connection, public_id: &str) -> Result<Option<Holder>> {
    holder!(db, "public_id = $1", public_id)
}

/// Who has that token.
pub async fn holder(db: &mut Connection, id: TokenId) -> Result<Option<Holder>> {
    holder!(db, "token_id = $1", id.0)
}

/// Notes that a token was used, unless that was noted within the last minute.
pub async fn touch(db: &mut Connection, id: TokenId, from: Option<IpAddr>) -> Result<()> {
    query!(
        "update token set last_used_at = now(), last_used_from = $2
        where token_id = $1 and (last_used_at is null or last_used_at < now() - interval '55 s')",
        id.0,
        from.map(IpNet::from)
    )
    .execute(db)
    .await?;
    Ok(())
}
