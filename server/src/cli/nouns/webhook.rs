//! `ipam webhook`.

use clap_complete::engine::ArgValueCompleter;
use ipam_client::{Client, Created};
use ipam_shared::{
    api::webhook::{
        NewWebhook, NewWebhookSecret, OVERLAP, Webhook, WebhookFilter, WebhookPatch,
        WebhookResumption,
    },
    name::Name,
    pattern::Pattern,
};

use crate::cli::{
    connection::Connection,
    listing::{Column, Output},
    noun::{
        NoOptions, Noun, args::OwnerFilter, done, fits_path, found, name, some_change, told, which,
    },
    output::Failure,
    value::Value,
};

#[derive(clap::Args)]
pub(in crate::cli) struct New {
    /// Its name, unique
    name: Name,
    /// Where to, such as https://siem.example.com/ipam
    #[arg(long = "to", value_name = "URL")]
    url: String,
    /// Only actions like this, such as allocation.* or token.create; may be given several times
    #[arg(long = "action", value_name = "PATTERN")]
    actions: Vec<Pattern>,
    /// Most events in one request
    #[arg(long, value_name = "N", default_value_t = ipam_shared::api::webhook::BATCH_SIZE)]
    batch_size: u16,
    /// Begin after this event, 0 for all that the log has; default: with what happens from now on
    #[arg(long, value_name = "EVENT")]
    after: Option<i64>,
    /// Send nothing yet
    #[arg(long)]
    disabled: bool,
    /// What it is for
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "",
        hide_default_value = true
    )]
    description: String,
}

#[derive(clap::Args, Default)]
pub(in crate::cli) struct Filter {
    /// Only with this name
    #[arg(long)]
    name: Option<String>,
    #[command(flatten)]
    owned: OwnerFilter,
}

#[derive(clap::Args)]
pub(in crate::cli) struct Change {
    /// A new name
    #[arg(long)]
    name: Option<Name>,
    /// Another address
    #[arg(long = "to", value_name = "URL")]
    url: Option<String>,
    /// All patterns of actions, in place of those that it has; may be given several times
    #[arg(
        long = "action",
        value_name = "PATTERN",
        conflicts_with = "all_actions"
    )]
    actions: Vec<Pattern>,
    /// Every action
    #[arg(long)]
    all_actions: bool,
    /// Most events in one request
    #[arg(long, value_name = "N")]
    batch_size: Option<u16>,
    /// Send; what happened meanwhile too
    #[arg(long, conflicts_with = "disable")]
    enable: bool,
    /// Send nothing until it is enabled
    #[arg(long)]
    disable: bool,
    /// What it is for
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
}

#[derive(clap::Subcommand)]
pub(in crate::cli) enum More {
    /// Send a signed request without events, and say what came of it
    Test(Test),
    /// Make a new secret, which is shown once; those before it also sign for a while
    Rotate(Rotate),
    /// Go on after a stop, or before the next attempt is due
    Resume(Resume),
}

#[derive(clap::Args)]
pub(in crate::cli) struct Test {
    /// Its name or id
    #[arg(add = ArgValueCompleter::new(which::<Webhook>))]
    which: String,
    #[command(flatten)]
    connection: Connection,
}

#[derive(clap::Args)]
pub(in crate::cli) struct Rotate {
    /// Its name or id
    #[arg(add = ArgValueCompleter::new(which::<Webhook>))]
    which: String,
    /// For how many seconds the secrets before it also sign; 0 if one has leaked
    #[arg(long, value_name = "SECONDS", default_value_t = OVERLAP)]
    overlap: u32,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    connection: Connection,
}

#[derive(clap::Args)]
pub(in crate::cli) struct Resume {
    /// Its name or id
    #[arg(add = ArgValueCompleter::new(which::<Webhook>))]
    which: String,
    /// After this event, to send some again or to skip some; default: where it is
    #[arg(long, value_name = "EVENT")]
    after: Option<i64>,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    connection: Connection,
}

impl Test {
    async fn run(self) -> Result<String, Failure> {
        let client = self.connection.client().await?;
        let webhook = Webhook::find(&client, &self.which).await?;
        let tested = done(client.test_webhook(webhook.id).await)?;
        match tested.error {
            None => Ok(format!(
                "The receiver of webhook \"{}\" accepted it within {} ms\n",
                webhook.name, tested.milliseconds
            )),
            Some(error) => Err(Failure::Refused(format!(
                "webhook \"{}\": {error}",
                webhook.name
            ))),
        }
    }
}

impl Rotate {
    async fn run(self) -> Result<String, Failure> {
        self.output.check_shows_secret()?;
        let client = self.connection.client().await?;
        let webhook = Webhook::find(&client, &self.which).await?;
        let rotation = NewWebhookSecret {
            overlap_seconds: self.overlap,
        };
        let rotated = done(client.rotate_webhook(webhook.id, rotation).await)?;
        let once = rotated.shown_once().unwrap_or_default();
        told(&self.output, &rotated, "Changed", &once)
    }
}

impl Resume {
    async fn run(self) -> Result<String, Failure> {
        let client = self.connection.client().await?;
        let webhook = Webhook::find(&client, &self.which).await?;
        let resumption = WebhookResumption { after: self.after };
        let resumed = done(client.resume_webhook(webhook.id, resumption).await)?;
        told(&self.output, &resumed, "Resumed", "")
    }
}

/// In a word how it is.
fn state(webhook: &Webhook) -> &'static str {
    let delivery = &webhook.delivery;
    if !webhook.enabled {
        "disabled"
    } else if delivery.stopped_at.is_some() {
        "stopped"
    } else if delivery.failing_since.is_some() {
        "failing"
    } else {
        "ok"
    }
}

fn actions(webhook: &Webhook) -> Vec<String> {
    let actions = webhook.actions.iter();
    actions.map(|it| it.as_str().to_owned()).collect()
}

impl Noun for Webhook {
    const PLURAL: &'static str = "webhooks";
    const ABOUT: &'static str = "Webhooks: who is told what happens";
    const WHICH: &'static str = "Its name or id";
    const COLUMNS: &'static [Column<Self>] = &[
        Column::new("name", |it| (&it.name).into()),
        Column::new("url", |it| it.url.as_str().into()),
        Column::new("actions", |it| (&actions(it)).into()),
        Column::new("state", |it| state(it).into()),
        Column::new("behind", |it| Value::count(it.delivery.behind)),
        Column::new("last_at", |it| Value::of(it.delivery.last_at)),
        Column::wide("last_error", |it| {
            Value::of(it.delivery.last_error.as_ref())
        }),
        Column::wide("next_try_at", |it| Value::of(it.delivery.next_try_at)),
        Column::wide("up_to", |it| Value::count(it.delivery.up_to)),
        Column::wide("batch_size", |it| Value::count(it.batch_size.into())),
        Column::wide("old_secrets_until", |it| Value::of(it.old_secrets_until)),
        Column::wide("description", |it| it.description.as_str().into()),
        Column::wide("created_by", |it| Value::of(it.created_by.as_ref())),
    ];
    type New = New;
    type Filter = Filter;
    type Change = Change;
    type End = NoOptions;
    type More = More;

    async fn create(client: &Client, new: New) -> Result<Created<Self>, Failure> {
        let request = NewWebhook {
            name: new.name,
            description: new.description,
            url: new.url,
            actions: new.actions,
            batch_size: new.batch_size,
            enabled: !new.disabled,
            after: new.after,
        };
        done(client.create_webhook(&request).await)
    }

    async fn list(
        client: &Client,
        filter: Filter,
        most: usize,
    ) -> Result<(Vec<Self>, bool), Failure> {
        let filter = WebhookFilter {
            name: filter.name,
            owner: filter.owned.owner,
            confirmed: filter.owned.confirmed,
            ..WebhookFilter::default()
        };
        done(client.first_webhooks(&filter, most).await)
    }

    async fn find(client: &Client, which: &str) -> Result<Self, Failure> {
        if fits_path(which) {
            return done(client.get_webhook(which, None).await);
        }
        let filter = WebhookFilter {
            name: Some(name(which)?.to_string()),
            ..WebhookFilter::default()
        };
        let (mut all, _) = done(client.first_webhooks(&filter, 1).await)?;
        found(all.pop(), "webhook", which)
    }

    async fn update(
        client: &Client,
        found: &Self,
        change: Change,
        revision: Option<i64>,
    ) -> Result<Self, Failure> {
        let actions = change.all_actions || !change.actions.is_empty();
        let enabled = change.enable || change.disable;
        let patch = some_change(WebhookPatch {
            name: change.name,
            description: change.description,
            url: change.url,
            actions: actions.then_some(change.actions),
            batch_size: change.batch_size,
            enabled: enabled.then_some(change.enable),
        })?;
        done(client.update_webhook(found.id, &patch, revision).await)
    }

    async fn delete(
        client: &Client,
        found: &Self,
        _: NoOptions,
        revision: Option<i64>,
    ) -> Result<String, Failure> {
        done(client.delete_webhook(found.id, revision).await)?;
        Ok(String::new())
    }

    async fn more(verb: More) -> Result<String, Failure> {
        match verb {
            More::Test(it) => it.run().await,
            More::Rotate(it) => it.run().await,
            More::Resume(it) => it.run().await,
        }
    }

    fn makes_secret(_: &New) -> bool {
        true
    }

    fn shown_once(&self) -> Option<String> {
        let secret = self.secret.as_ref()?;
        Some(format!("; its secret, which is shown only now:\n{secret}"))
    }
}
