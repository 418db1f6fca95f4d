//! Webhooks, and the secrets that sign for them, of which only a part is stored. How far they are is in [`delivery`].

pub mod delivery;

use ipam_shared::{
    api::webhook::{Delivery, NewWebhook, Webhook, WebhookFilter, WebhookPatch},
    ids::{Claim, WebhookId},
    pattern::Pattern,
};
use sqlx::query;
use uuid::Uuid;

use crate::{
    db::{
        Connection, convert,
        event::{Event, made, recorded},
        ownership::Made,
    },
    error::{Error, Result},
};

/// What a secret is derived from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredSecret {
    /// Drawn for it.
    pub id: Uuid,
    /// The version of the pepper.
    pub pepper: i16,
}

fn words(actions: &[Pattern]) -> Vec<String> {
    actions.iter().map(|it| it.as_str().to_owned()).collect()
}

fn patterns(words: Vec<String>) -> Result<Vec<Pattern>> {
    let patterns = words.into_iter().map(|word| word.parse());
    patterns
        .collect::<Result<_, _>>()
        .map_err(|error| Error::bug(format!("stored pattern: {error}")))
}

/// Makes a webhook that begins after an event, unless one of that name was made meanwhile.
pub async fn insert(
    db: &mut Connection,
    id: WebhookId,
    new: &NewWebhook,
    secret: StoredSecret,
    after: i64,
    made: &Made<'_>,
    events: &[Event<'_>],
) -> Result<bool> {
    Ok(made!(
        db,
        events,
        "insert into webhook (webhook_id, name, description, url, actions, batch_size, enabled, created_by, owner, claim)
        values ($7, $8, $9, $10, $11, $12, $13, $14, $15, $16)
        on conflict (lower(name collate \"C\")) do nothing"
            + ", secret as (
                insert into webhook_secret (secret_id, webhook_id, pepper) select $17::uuid, $7, $18::smallint from made
            ), delivery as (
                insert into webhook_delivery (webhook_id, delivered_up_to) select $7, $19::bigint from made
            )",
        id.0,
        new.name.as_str(),
        new.description,
        new.url,
        &words(&new.actions),
        i16::try_from(new.batch_size).unwrap_or(i16::MAX),
        new.enabled,
        made.by,
        made.owner(),
        made.claim.0,
        secret.id,
        secret.pepper,
        after
    ))
}

/// How many there are.
pub async fn count(db: &mut Connection) -> Result<i64> {
    let row = query!(r#"select count(*) as "count!" from webhook"#)
        .fetch_one(db)
        .await?;
    Ok(row.count)
}

/// Locks the webhook of that name, in whatever case; returns its id.
pub async fn lock_named(db: &mut Connection, name: &str) -> Result<Option<WebhookId>> {
    let row = query!(
        "select webhook_id from webhook where lower(name collate \"C\") = lower($1 collate \"C\") for no key update",
        name
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(|row| WebhookId(row.webhook_id)))
}

/// The id of a webhook by id or name; an id wins over a name that looks like one.
pub async fn find_id(
    db: &mut Connection,
    id: Option<WebhookId>,
    name: &str,
) -> Result<Option<WebhookId>> {
    let row = query!(
        "select webhook_id from webhook where webhook_id = $1 or lower(name collate \"C\") = lower($2 collate \"C\")
        order by (webhook_id = $1) desc limit 1",
        id.map(|id| id.0),
        name
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(|row| WebhookId(row.webhook_id)))
}

/// Webhooks that pass a condition.
macro_rules! webhooks {
    ($db:expr, $condition:literal $(, $value:expr)*) => {
        query!(
            r#"select webhook.webhook_id, name, description, url, actions, batch_size, enabled, created_by, owner,
                confirmed_at is not null as "confirmed!", claim, revision, created_at,
                delivered_up_to, attempts, failing_since, next_try_at, last_delivery_at, last_status, last_error, stopped_at,
                greatest(coalesce(pg_sequence_last_value('event_event_id_seq'), 0) - delivered_up_to, 0) as "behind!",
                (
                    select max(ends_at) from webhook_secret
                    where webhook_secret.webhook_id = webhook.webhook_id and ends_at > now()
                ) as old_secrets_until
            from webhook join webhook_delivery using (webhook_id) where "# + $condition
            $(, $value)*
        )
        .fetch_all($db)
        .await?
        .into_iter()
        .map(|row| {
            Ok(Webhook {
                id: WebhookId(row.webhook_id),
                name: convert::name(row.name)?,
                description: row.description,
                url: row.url,
                actions: patterns(row.actions)?,
                batch_size: row.batch_size.unsigned_abs(),
                enabled: row.enabled,
                delivery: Delivery {
                    up_to: row.delivered_up_to,
                    behind: row.behind,
                    last_at: row.last_delivery_at,
                    last_status: row.last_status.map(i16::unsigned_abs),
                    last_error: row.last_error,
                    failures: row.attempts,
                    failing_since: row.failing_since,
                    next_try_at: row.next_try_at,
                    stopped_at: row.stopped_at,
                },
                old_secrets_until: row.old_secrets_until,
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

/// One webhook.
pub async fn get(db: &mut Connection, id: WebhookId) -> Result<Option<Webhook>> {
    Ok(webhooks!(db, "webhook.webhook_id = $1", id.0)?.pop())
}

/// All of them, for monitoring. They are few.
pub async fn all(db: &mut Connection) -> Result<Vec<Webhook>> {
    webhooks!(db, "true order by webhook.webhook_id limit 1000")
}

/// Webhooks that a filter lets through, in the order of their ids, after `cursor`.
pub async fn list(
    db: &mut Connection,
    filter: &WebhookFilter,
    cursor: Option<WebhookId>,
    limit: u16,
) -> Result<Vec<Webhook>> {
    webhooks!(
        db,
        "($1::text is null or lower(name collate \"C\") = lower($1 collate \"C\"))
            and ($2::uuid is null or webhook.webhook_id > $2)
            and ($3::text is null or coalesce(owner, '') = $3)
            and ($4::boolean is null or (confirmed_at is not null) = $4)
        order by webhook.webhook_id limit $5",
        filter.name.as_deref(),
        cursor.map(|id| id.0),
        filter.owner.as_deref(),
        filter.confirmed,
        i64::from(limit)
    )
}

/// Changes a webhook. What failed before is tried at once, as if for the first time, and need not have the same events as
/// before.
pub async fn update(
    db: &mut Connection,
    id: WebhookId,
    patch: &WebhookPatch,
    events: &[Event<'_>],
) -> Result<()> {
    let actions = patch.actions.as_deref().map(words);
    recorded!(
        events,
        ", delivery as (
            update webhook_delivery set attempted_up_to = null, next_try_at = null, attempts = 0, failing_since = null
            where webhook_id = $7
        )
        update webhook set name = coalesce($8, name), description = coalesce($9, description), url = coalesce($10, url),
            actions = coalesce($11, actions), batch_size = coalesce($12, batch_size), enabled = coalesce($13, enabled),
            revision = revision + 1
        where webhook_id = $7",
        id.0,
        patch.name.as_ref().map(ipam_shared::name::Name::as_str),
        patch.description.as_deref(),
        patch.url.as_deref(),
        actions.as_deref(),
        patch
            .batch_size
            .map(|size| i16::try_from(size).unwrap_or(i16::MAX)),
        patch.enabled
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Deletes a webhook.
pub async fn delete(db: &mut Connection, id: WebhookId, events: &[Event<'_>]) -> Result<()> {
    recorded!(events, "delete from webhook where webhook_id = $7", id.0)
        .execute(db)
        .await?;
    Ok(())
}

/// What the secrets that sign now are derived from: the one in use first, then those before it.
pub async fn secrets(db: &mut Connection, id: WebhookId) -> Result<Vec<StoredSecret>> {
    let rows = query!(
        "select secret_id, pepper from webhook_secret where webhook_id = $1 and (ends_at is null or ends_at > now())
        order by ends_at desc nulls first, created_at desc",
        id.0
    )
    .fetch_all(db)
    .await?;
    let secrets = rows.into_iter().map(|row| StoredSecret {
        id: row.secret_id,
        pepper: row.pepper,
    });
    Ok(secrets.collect())
}

/// Ends the secrets of a locked webhook after so many seconds, unless they end earlier, and forgets those that have ended.
pub async fn end_secrets(db: &mut Connection, id: WebhookId, seconds: u32) -> Result<()> {
    query!(
        "with ended as (
            delete from webhook_secret where webhook_id = $1 and (ends_at <= now() or $2 = 0)
        )
        update webhook_secret set ends_at = least(ends_at, now() + make_interval(secs => $2))
        where webhook_id = $1 and (ends_at is null or ends_at > now()) and $2 > 0",
        id.0,
        i32::try_from(seconds).unwrap_or(i32::MAX)
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Gives a locked webhook, whose secrets all have an end, a new one.
pub async fn add_secret(
    db: &mut Connection,
    id: WebhookId,
    secret: StoredSecret,
    events: &[Event<'_>],
) -> Result<()> {
    recorded!(
        events,
        ", secret as (insert into webhook_secret (secret_id, webhook_id, pepper) values ($8, $7, $9))
        update webhook set revision = revision + 1 where webhook_id = $7",
        id.0,
        secret.id,
        secret.pepper
    )
    .execute(db)
    .await?;
    Ok(())
}
