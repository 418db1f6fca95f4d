//! How far webhooks are, and which server delivers. The clock is that of the database, which all servers share.

use std::time::Duration;

use ipam_shared::{ids::WebhookId, pattern::Pattern};
use sqlx::query;
use uuid::Uuid;

use super::StoredSecret;
use crate::{
    db::{
        Connection,
        event::{Event, recorded},
    },
    error::{Error, Result},
};

/// A webhook behind which there may be something that it has not delivered.
#[derive(Clone, Debug)]
pub struct Due {
    /// Which.
    pub id: WebhookId,
    /// What the log and metrics call it.
    pub name: String,
    /// Where to.
    pub url: String,
    /// For SQL's `like`; none for every action.
    pub actions: Option<Vec<String>>,
    /// Most events in one request.
    pub batch_size: u16,
    /// Counts the changes of what people set.
    pub revision: i64,
    /// Everything up to there was delivered.
    pub after: i64,
    /// Up to where the last attempt went, if it failed or was given up.
    pub attempted_up_to: Option<i64>,
    /// Attempts that failed since the last success.
    pub attempts: i32,
    /// What the secrets that sign are derived from, the one in use first.
    pub secrets: Vec<StoredSecret>,
}

/// Those that are due, as far as nobody else delivers them.
pub async fn due(db: &mut Connection, server: Uuid, up_to: i64) -> Result<Vec<Due>> {
    let rows = query!(
        r#"select webhook_id, name, url, actions, batch_size, revision, delivered_up_to, attempted_up_to, attempts,
            secrets.ids as "secrets!", secrets.peppers as "peppers!"
        from webhook join webhook_delivery using (webhook_id) cross join lateral (
            select array_agg(secret_id order by ends_at desc nulls first, created_at desc) as ids,
                array_agg(pepper order by ends_at desc nulls first, created_at desc) as peppers
            from webhook_secret
            where webhook_secret.webhook_id = webhook.webhook_id and (ends_at is null or ends_at > now())
        ) as secrets
        where enabled and stopped_at is null and delivered_up_to < $2
            and (next_try_at is null or next_try_at <= now())
            and (holder is null or holder = $1 or held_until <= now())"#,
        server,
        up_to
    )
    .fetch_all(db)
    .await?;
    rows.into_iter()
        .map(|row| {
            let patterns = row.actions.iter().map(|it| {
                let pattern: Result<Pattern, _> = it.parse();
                pattern
                    .map(|pattern| pattern.to_like())
                    .map_err(|error| Error::bug(format!("stored pattern: {error}")))
            });
            let patterns: Vec<_> = patterns.collect::<Result<_>>()?;
            let secrets = row.secrets.into_iter().zip(row.peppers);
            Ok(Due {
                id: WebhookId(row.webhook_id),
                name: row.name,
                url: row.url,
                actions: (!patterns.is_empty()).then_some(patterns),
                batch_size: row.batch_size.unsigned_abs(),
                revision: row.revision,
                after: row.delivered_up_to,
                attempted_up_to: row.attempted_up_to,
                attempts: row.attempts,
                secrets: secrets
                    .map(|(id, pepper)| StoredSecret { id, pepper })
                    .collect(),
            })
        })
        .collect()
}

/// Makes this server the only one that delivers a webhook, for so long; whether it is. Not if it was changed since it was
/// read, stopped, or moved on, nor if there is no event of that number, or no longer: then the database was put back, and
/// others will have the numbers in between.
pub async fn hold(
    db: &mut Connection,
    due: &Due,
    server: Uuid,
    attempted_up_to: i64,
    length: Duration,
) -> Result<bool> {
    let done = query!(
        "update webhook_delivery set holder = $2, held_until = now() + make_interval(secs => $3), attempted_up_to = $4
        from webhook
        where webhook_delivery.webhook_id = $1 and webhook.webhook_id = $1 and revision = $6 and enabled
            and stopped_at is null and delivered_up_to = $5
            and (holder is null or holder = $2 or held_until <= now())
            and $4 <= pg_sequence_last_value('event_event_id_seq')",
        due.id.0,
        server,
        length.as_secs_f64(),
        attempted_up_to,
        due.after,
        due.revision
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// Notes that the receiver has accepted everything up to an event; whether this server still delivers, and nobody has moved
/// the webhook meanwhile. With `lets_go` others may deliver what comes next.
pub async fn accepted(
    db: &mut Connection,
    due: &Due,
    server: Uuid,
    next: i64,
    status: u16,
    lets_go: bool,
) -> Result<bool> {
    let done = query!(
        "update webhook_delivery set delivered_up_to = $4, attempted_up_to = null, attempts = 0, failing_since = null,
            next_try_at = null, last_delivery_at = now(), last_status = $5, last_error = null,
            holder = case when $6 then null else holder end, held_until = case when $6 then null else held_until end
        where webhook_id = $1 and holder = $2 and delivered_up_to = $3",
        due.id.0,
        server,
        due.after,
        next,
        i16::try_from(status).unwrap_or(i16::MAX),
        lets_go
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// Notes that up to an event there was nothing to deliver; whether nobody else was faster, and the event is still there.
pub async fn passed(db: &mut Connection, due: &Due, server: Uuid, next: i64) -> Result<bool> {
    let done = query!(
        "update webhook_delivery set delivered_up_to = $4, attempted_up_to = null
        from webhook
        where webhook_delivery.webhook_id = $1 and webhook.webhook_id = $1 and revision = $5 and delivered_up_to = $3
            and (holder is null or holder = $2 or held_until <= now())
            and $4 <= pg_sequence_last_value('event_event_id_seq')",
        due.id.0,
        server,
        due.after,
        next,
        due.revision
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// Notes that an attempt failed, when the next one is, and that this server no longer holds the webhook; returns for how
/// long it has failed, if this server still delivered and nobody has changed the webhook meanwhile.
pub async fn failed(
    db: &mut Connection,
    due: &Due,
    server: Uuid,
    status: Option<u16>,
    error: &str,
    pause: Duration,
) -> Result<Option<Duration>> {
    let row = query!(
        r#"update webhook_delivery set attempts = least(attempts, 1000000) + 1,
            failing_since = coalesce(failing_since, now()), next_try_at = now() + make_interval(secs => $6),
            last_status = $4, last_error = $5, holder = null, held_until = null
        from webhook
        where webhook_delivery.webhook_id = $1 and webhook.webhook_id = $1 and revision = $7 and holder = $2
            and delivered_up_to = $3
        returning extract(epoch from now() - failing_since)::double precision as "seconds!""#,
        due.id.0,
        server,
        due.after,
        status.map(|status| i16::try_from(status).unwrap_or(i16::MAX)),
        error,
        pause.as_secs_f64(),
        due.revision
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(|row| Duration::from_secs_f64(row.seconds.max(0.0))))
}

/// Gives a locked webhook up.
pub async fn stop(db: &mut Connection, id: WebhookId, events: &[Event<'_>]) -> Result<()> {
    recorded!(
        events,
        "update webhook_delivery set stopped_at = now(), next_try_at = null where webhook_id = $7",
        id.0
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Lets a locked webhook go on: at once, and after that event, if one is given. Whoever delivers it now has that no longer
/// counted.
pub async fn resume(
    db: &mut Connection,
    id: WebhookId,
    after: Option<i64>,
    events: &[Event<'_>],
) -> Result<()> {
    recorded!(
        events,
        ", delivery as (
            update webhook_delivery set stopped_at = null, failing_since = null, next_try_at = null, attempts = 0,
                attempted_up_to = null, delivered_up_to = coalesce($8, delivered_up_to), holder = null, held_until = null
            where webhook_id = $7
        )
        update webhook set revision = revision + 1 where webhook_id = $7",
        id.0,
        after
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Gives back what a server holds: all of it when it stops, or one webhook for which there is nothing left.
pub async fn let_go(db: &mut Connection, server: Uuid, only: Option<WebhookId>) -> Result<()> {
    query!(
        "update webhook_delivery set holder = null, held_until = null
        where holder = $1 and ($2::uuid is null or webhook_id = $2)",
        server,
        only.map(|id| id.0)
    )
    .execute(db)
    .await?;
    Ok(())
}
