//! Webhooks: create, change, delete, rotate, go on. Deliveries are in [`delivery`].

pub mod delivery;
mod message;

use ipam_shared::{
    api::webhook::{
        MAX_ACTIONS, MAX_BATCH_SIZE, MAX_OVERLAP, MAX_SECRETS, MAX_URL, NewWebhook,
        NewWebhookSecret, Webhook, WebhookPatch, WebhookResumption,
    },
    ids::{Claim, WebhookId},
    pattern::Pattern,
};
use serde_json::json;
use time::OffsetDateTime;
use uuid::Uuid;

use self::message::signing;
use super::{
    Caller, Ipam, TRIES,
    change::{Change, check_revision, set, was},
    check_description, check_new_name,
    named::there,
    ownership::{Maker, Title, adopt, may_adopt},
    require,
    token::no_pepper,
    too_fast,
};
use crate::{
    db::{
        lock::Locks,
        seal,
        webhook::{self, StoredSecret},
    },
    error::{Error, Result},
    rights::Right,
    secret::SigningSecret,
};

/// Most webhooks of a database: each has its own place in the log, and is asked for every second.
const MOST: i64 = 100;

impl Ipam {
    /// Creates a webhook, or returns what its owner created before by the same request; and whether it was created now.
    /// Either way the answer has its secret.
    pub async fn create_webhook(
        &self,
        maker: impl Into<Maker>,
        new: NewWebhook,
    ) -> Result<(Webhook, bool)> {
        let maker = maker.into();
        require(&maker.caller, Right::Administer)?;
        check_new_name(&new.name)?;
        check_description(&new.description)?;
        self.check_url(&new.url)?;
        check_actions(&new.actions)?;
        check_batch_size(new.batch_size)?;
        let stored = self.new_secret()?;
        let ipam = self.clone();
        let caller = maker.caller.clone();
        self.change(caller, Locks::none(), move |mut change| async move {
            let after = ipam.position(&mut change, new.after).await?;
            for _ in 0..TRIES {
                let (id, claim) = (WebhookId::generate(), Claim::generate());
                let detail = json!({
                    "name": new.name, "url": new.url, "actions": new.actions, "batch_size": new.batch_size,
                    "enabled": new.enabled, "after": after, "owner": maker.owner, "description": new.description,
                });
                let event = maker.caller.event("webhook.create", id.0, &detail)?;
                let (made, events) = (maker.made(claim), [event]);
                let db = &mut change.db;
                if webhook::insert(db, id, &new, stored, after, &made, &events).await? {
                    if webhook::count(&mut change.db).await? > MOST {
                        return Err(Error::invalid(format!(
                            "there are {MOST} webhooks already, and no more are possible; delete one"
                        )));
                    }
                    let mut made: Webhook = there(&mut change.db, id).await?;
                    made.claim = Some(claim);
                    made.secret = Some(ipam.derive(id, stored)?.reveal());
                    return change.commit((made, true)).await;
                }
                if let Some(id) = webhook::lock_named(&mut change.db, new.name.as_str()).await? {
                    let mut taken = take(&mut change, &maker, id, &new).await?;
                    let known = webhook::secrets(&mut change.db, id).await?;
                    let stored = known.first().ok_or_else(|| Error::bug("no secret is in use"))?;
                    taken.secret = Some(ipam.derive(id, *stored)?.reveal());
                    return change.commit((taken, false)).await;
                }
            }
            Err(too_fast())
        })
        .await
    }

    /// Changes a webhook. With `if_match`, only if it is at that revision. What failed before is tried at once.
    pub async fn update_webhook(
        &self,
        caller: Caller,
        id: WebhookId,
        patch: WebhookPatch,
        if_match: Option<i64>,
    ) -> Result<Webhook> {
        require(&caller, Right::Administer)?;
        if let Some(name) = &patch.name {
            check_new_name(name)?;
        }
        if let Some(description) = &patch.description {
            check_description(description)?;
        }
        if let Some(url) = &patch.url {
            self.check_url(url)?;
        }
        check_actions(patch.actions.as_deref().unwrap_or_default())?;
        if let Some(size) = patch.batch_size {
            check_batch_size(size)?;
        }
        self.change(caller, Locks::webhook(id), move |mut change| async move {
            let before: Webhook = there(&mut change.db, id).await?;
            check_revision(if_match, before.revision)?;
            if patch == WebhookPatch::default() {
                return change.undo(before).await;
            }
            let event = change
                .caller
                .changed("webhook.update", id.0, &before, &patch)?;
            webhook::update(&mut change.db, id, &patch, &[event])
                .await
                .map_err(|error| taken_name(error, &patch))?;
            let after = there(&mut change.db, id).await?;
            change.commit(after).await
        })
        .await
    }

    /// Deletes a webhook. A request that is under way may still arrive.
    pub async fn delete_webhook(
        &self,
        caller: Caller,
        id: WebhookId,
        if_match: Option<i64>,
    ) -> Result<()> {
        require(&caller, Right::Administer)?;
        self.change(caller, Locks::webhook(id), move |mut change| async move {
            let webhook: Webhook = there(&mut change.db, id).await?;
            check_revision(if_match, webhook.revision)?;
            let detail = json!({ "name": webhook.name, "url": webhook.url });
            let event =
                change
                    .caller
                    .ended("webhook.delete", id.0, &detail, &settings(&webhook))?;
            webhook::delete(&mut change.db, id, &[event]).await?;
            change.commit(()).await
        })
        .await
    }

    /// Gives a webhook a new secret, which the answer has. Those before it also sign for a while.
    pub async fn rotate_webhook(
        &self,
        caller: Caller,
        id: WebhookId,
        rotation: NewWebhookSecret,
    ) -> Result<Webhook> {
        require(&caller, Right::Administer)?;
        let overlap = rotation.overlap_seconds;
        if overlap > MAX_OVERLAP {
            return Err(Error::invalid(format!(
                "overlap_seconds is at most {MAX_OVERLAP}, which is 30 days"
            ))
            .about("overlap_seconds"));
        }
        let stored = self.new_secret()?;
        let ipam = self.clone();
        self.change(caller, Locks::webhook(id), move |mut change| async move {
            let before: Webhook = there(&mut change.db, id).await?;
            webhook::end_secrets(&mut change.db, id, overlap).await?;
            let others = webhook::secrets(&mut change.db, id).await?.len();
            if others >= MAX_SECRETS {
                return Err(Error::invalid(format!(
                    "{others} secrets of this webhook sign already, and no more can; wait until one has ended, or end all of \
                     them now with overlap_seconds 0"
                )));
            }
            let detail = json!({ "name": before.name, "overlap_seconds": overlap });
            let event = change.caller.event("webhook.rotate", id.0, &detail)?;
            webhook::add_secret(&mut change.db, id, stored, &[event]).await?;
            let mut after: Webhook = there(&mut change.db, id).await?;
            after.secret = Some(ipam.derive(id, stored)?.reveal());
            change.commit(after).await
        })
        .await
    }

    /// Lets a webhook go on that was stopped, or that waits for its next attempt; or go on elsewhere in the log.
    pub async fn resume_webhook(
        &self,
        caller: Caller,
        id: WebhookId,
        resumption: WebhookResumption,
    ) -> Result<Webhook> {
        require(&caller, Right::Administer)?;
        let ipam = self.clone();
        self.change(caller, Locks::webhook(id), move |mut change| async move {
            let before: Webhook = there(&mut change.db, id).await?;
            let after = match resumption.after {
                Some(_) => Some(ipam.position(&mut change, resumption.after).await?),
                None => None,
            };
            let detail = json!({
                "name": before.name, "after": after.unwrap_or(before.delivery.up_to),
                "before": { "after": before.delivery.up_to },
            });
            let event = change.caller.event("webhook.resume", id.0, &detail)?;
            webhook::delivery::resume(&mut change.db, id, after, &[event]).await?;
            let resumed = there(&mut change.db, id).await?;
            change.commit(resumed).await
        })
        .await
    }

    fn check_url(&self, url: &str) -> Result<()> {
        let length = url.chars().count();
        if length > MAX_URL {
            return Err(Error::invalid(format!(
                "url has at most {MAX_URL} characters, this one has {length}"
            ))
            .about("url"));
        }
        let checked = self.outbound.check(url);
        checked.map_err(|why| Error::invalid(why).about("url"))
    }

    /// Where in the log a webhook begins or goes on: after that event, or with what happens from now on.
    async fn position(&self, change: &mut Change, after: Option<i64>) -> Result<i64> {
        let last = seal::last_id(&mut change.db).await?;
        match after {
            None => Ok(self.complete.known_up_to().unwrap_or(last).min(last)),
            Some(after) if (0..=last).contains(&after) => Ok(after),
            Some(after) => Err(Error::invalid(format!(
                "after={after}: the last event is {last}; 0 stands for the beginning"
            ))
            .about("after")),
        }
    }

    fn new_secret(&self) -> Result<StoredSecret> {
        let pepper = self.tokens.peppers.newest().ok_or_else(no_pepper)?;
        let id = Uuid::new_v4();
        Ok(StoredSecret { id, pepper })
    }

    fn derive(&self, webhook: WebhookId, stored: StoredSecret) -> Result<SigningSecret> {
        let secrets = signing(&self.tokens.peppers, webhook, &[stored]);
        secrets.into_iter().next().ok_or_else(no_pepper)
    }
}

/// Lets the caller adopt a locked webhook.
async fn take(
    change: &mut Change,
    maker: &Maker,
    id: WebhookId,
    new: &NewWebhook,
) -> Result<Webhook> {
    let mut before: Webhook = there(&mut change.db, id).await?;
    may_adopt(&mut change.db, maker, &before).await?;
    if before.url != new.url || before.actions != new.actions {
        return Err(Title::of(&before).differs("with another url or other actions"));
    }
    let patch = WebhookPatch {
        description: (before.description != new.description).then(|| new.description.clone()),
        batch_size: (before.batch_size != new.batch_size).then_some(new.batch_size),
        enabled: (before.enabled != new.enabled).then_some(new.enabled),
        ..WebhookPatch::default()
    };
    let was = was(&before, &patch)?;
    if patch != WebhookPatch::default() {
        webhook::update(&mut change.db, id, &patch, &[]).await?;
        set(&mut before.description, patch.description.clone());
        set(&mut before.batch_size, patch.batch_size);
        set(&mut before.enabled, patch.enabled);
        before.revision += 1;
    }
    let detail = json!({ "name": new.name, "changed": patch, "before": was });
    adopt(&mut change.db, maker, &mut before, detail).await?;
    Ok(before)
}

/// What people set of a webhook: how far it was is of no interest later.
fn settings(webhook: &Webhook) -> serde_json::Value {
    json!({
        "name": webhook.name, "description": webhook.description, "url": webhook.url, "actions": webhook.actions,
        "batch_size": webhook.batch_size, "enabled": webhook.enabled, "owner": webhook.owner,
        "delivered_up_to": webhook.delivery.up_to, "created_by": webhook.created_by,
    })
}

fn taken_name(error: Error, patch: &WebhookPatch) -> Error {
    match (error, &patch.name) {
        (Error::NameTaken { .. }, Some(name)) => Error::NameTaken {
            message: format!("there is already a webhook \"{name}\"; choose another name"),
            import_id: None,
        },
        (error, _) => error,
    }
}

fn check_actions(actions: &[Pattern]) -> Result<()> {
    if actions.len() > MAX_ACTIONS {
        return Err(Error::invalid(format!(
            "actions has at most {MAX_ACTIONS} patterns, this one has {}",
            actions.len()
        ))
        .about("actions"));
    }
    // What no action looks like would silently match nothing.
    let is_action = |c: char| matches!(c, 'a'..='z' | '_' | '.' | '*');
    match actions
        .iter()
        .find(|it| !it.as_str().chars().all(is_action))
    {
        Some(pattern) => Err(Error::invalid(format!(
            "actions: no action looks like \"{}\"; they are written like allocation.create, and * stands for any text, as in \
             allocation.* or *.delete",
            pattern.as_str()
        )).about("actions")),
        None => Ok(()),
    }
}

fn check_batch_size(size: u16) -> Result<()> {
    if (1..=MAX_BATCH_SIZE).contains(&size) {
        return Ok(());
    }
    Err(
        Error::invalid(format!("batch_size must be between 1 and {MAX_BATCH_SIZE}"))
            .about("batch_size"),
    )
}

/// The present moment, as messages carry it.
fn now() -> i64 {
    OffsetDateTime::now_utc().unix_timestamp()
}
