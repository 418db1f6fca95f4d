//! Calls about webhooks.

use ipam_shared::{
    api::webhook::{
        NewWebhook, NewWebhookSecret, Webhook, WebhookFilter, WebhookPatch, WebhookResumption,
        WebhookTest,
    },
    ids::{Claim, WebhookId},
};
use reqwest::Method;

use crate::{
    Client, Error,
    noun::{Created, Named, Noun, is},
};

impl Noun for Webhook {
    const PATH: &'static str = "webhooks";
    const WORD: &'static str = "webhook";
    type Patch = WebhookPatch;

    fn id(&self) -> String {
        self.id.to_string()
    }

    fn shows(&self, patch: &WebhookPatch) -> bool {
        is(patch.name.as_ref(), &self.name)
            && is(patch.description.as_ref(), &self.description)
            && is(patch.url.as_ref(), &self.url)
            && is(patch.actions.as_ref(), &self.actions)
            && is(patch.batch_size.as_ref(), &self.batch_size)
            && is(patch.enabled.as_ref(), &self.enabled)
    }
}

impl Named for Webhook {
    type New = NewWebhook;

    fn is_named_by(&self, new: &NewWebhook) -> bool {
        self.name.folded() == new.name.folded()
    }
}

impl Client {
    /// Creates a webhook, whose secret only the reply has. Repeating it is safe: until it is confirmed, the same request of
    /// the same owner returns the same webhook with the same secret.
    pub async fn create_webhook(&self, request: &NewWebhook) -> Result<Created<Webhook>, Error> {
        self.create(request).await
    }

    /// The webhook with that id or name. The claim, if there is one, confirms that the reader owns it.
    pub async fn get_webhook(
        &self,
        id_or_name: &str,
        claim: Option<Claim>,
    ) -> Result<Webhook, Error> {
        self.get(id_or_name, claim).await
    }

    /// All webhooks that match the filter, from its cursor on.
    pub async fn all_webhooks(&self, filter: &WebhookFilter) -> Result<Vec<Webhook>, Error> {
        self.all(Webhook::PATH, filter).await
    }

    /// The first webhooks that match the filter, from its cursor on, at most `most`, and whether there are more.
    pub async fn first_webhooks(
        &self,
        filter: &WebhookFilter,
        most: usize,
    ) -> Result<(Vec<Webhook>, bool), Error> {
        self.first(Webhook::PATH, filter, most).await
    }

    /// Changes a webhook. With `revision` only if nobody has changed it since; a repeated request that finds its own change
    /// succeeds.
    pub async fn update_webhook(
        &self,
        id: WebhookId,
        patch: &WebhookPatch,
        revision: Option<i64>,
    ) -> Result<Webhook, Error> {
        self.update(&id.to_string(), patch, revision).await
    }

    /// Deletes a webhook. With `revision` only if nobody has changed it since. A repeated request that finds it deleted
    /// succeeds.
    pub async fn delete_webhook(&self, id: WebhookId, revision: Option<i64>) -> Result<(), Error> {
        self.delete_by_id::<Webhook>(&id.to_string(), revision)
            .await
    }

    /// Gives a webhook a new secret, which only the reply has. A request that was repeated has made several of them, of which
    /// the last is the one to use.
    pub async fn rotate_webhook(
        &self,
        id: WebhookId,
        rotation: NewWebhookSecret,
    ) -> Result<Webhook, Error> {
        let request = self.api(Method::POST, &[Webhook::PATH, &id.to_string(), "rotate"]);
        self.send(request.json(&rotation)).await?.json()
    }

    /// Lets a webhook go on that was stopped, or go on elsewhere. Repeating it is harmless.
    pub async fn resume_webhook(
        &self,
        id: WebhookId,
        resumption: WebhookResumption,
    ) -> Result<Webhook, Error> {
        let request = self.api(Method::POST, &[Webhook::PATH, &id.to_string(), "resume"]);
        self.send(request.json(&resumption)).await?.json()
    }

    /// Sends a request without events to the receiver; its outcome.
    pub async fn test_webhook(&self, id: WebhookId) -> Result<WebhookTest, Error> {
        let request = self.api(Method::POST, &[Webhook::PATH, &id.to_string(), "test"]);
        self.send(request).await?.json()
    }
}
