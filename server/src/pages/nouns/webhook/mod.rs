//! Webhooks: who is told what happens. A secret is in the reply to the form that made it, and nowhere else.

mod steps;

use ipam_shared::{
    api::webhook::{BATCH_SIZE, NewWebhook, Webhook, WebhookFilter, WebhookPatch},
    ids::WebhookId,
    page::MAX_LIMIT,
    pattern::Pattern,
};

pub(super) use self::steps::routes;
use super::{Editable, Noun, Row, after, changed, changed_text, wanted};
use crate::{
    db::{self, Connection},
    domain::{Caller, Ipam},
    error::Result,
    pages::{
        Section,
        form::{Field, Input, Reader},
        shown::{Fact, Shown},
        snippet::Server,
    },
    rights::{Right, Rights},
    text::{moment, thousands},
};

impl Editable for Webhook {
    const PATH: &'static str = "/ui/webhooks";
    const SECTION: Section = Section::Webhooks;
    const MANY: &'static str = "Webhooks";
    const SECRET_KEPT: &'static str =
        "the server stores nothing from which anybody else could make it";
    type Patch = WebhookPatch;

    fn called(&self) -> String {
        self.name.to_string()
    }

    fn facts(&self) -> Vec<Fact> {
        let actions = self.actions.iter().map(Pattern::as_str);
        let actions = match self.actions.is_empty() {
            true => Shown::text("all"),
            false => Shown::lines(actions),
        };
        let enabled = if self.enabled {
            "yes"
        } else {
            "no: what happens meanwhile is sent later"
        };
        vec![
            Fact::new("Name", Shown::text(&self.name)),
            Fact::new("To", Shown::text(&self.url)),
            Fact::new("Actions", actions),
            Fact::new(
                "Most events in a request",
                Shown::text(thousands(self.batch_size)),
            ),
            Fact::new("Enabled", Shown::text(enabled)),
            Fact::new("Description", Shown::text(&self.description)),
        ]
    }

    async fn fields(_: &mut Connection, this: Option<&Self>) -> Result<Vec<Field>> {
        let mut fields = vec![
            Field::text("name", "Name").required(),
            Field::code("url", "To")
                .hint("An address such as https://siem.example.com/ipam. It is no place for secrets: the audit log has it.")
                .required(),
            Field::lines("actions", "Only these actions")
                .hint("One pattern per line, such as allocation.* or token.create. Nothing for all."),
            Field::number("batch_size", "Most events in a request").hint("1 to 1,000."),
            Field::description(),
            Field::check("enabled", "Send what happens"),
        ];
        if this.is_none() {
            fields.insert(
                4,
                Field::number("after", "Begin after event")
                    .hint("0 for all that the log has. Nothing for what happens from now on."),
            );
        }
        Ok(fields)
    }

    fn input(&self) -> Input {
        let actions: Vec<_> = self.actions.iter().map(Pattern::as_str).collect();
        Input::default()
            .with("name", self.name.as_str())
            .with("url", self.url.as_str())
            .with("actions", actions.join("\n"))
            .with("batch_size", self.batch_size.to_string())
            .with("description", &self.description)
            .with("enabled", if self.enabled { "on" } else { "" })
    }

    fn patch(&self, form: &mut Reader<'_>) -> Option<WebhookPatch> {
        let new = Self::new(form)?;
        let patch = WebhookPatch {
            name: changed(&self.name, new.name),
            description: changed_text(&self.description, new.description),
            url: changed(&self.url, new.url),
            actions: changed(&self.actions, new.actions),
            batch_size: changed(&self.batch_size, new.batch_size),
            enabled: changed(&self.enabled, new.enabled),
        };
        (patch != WebhookPatch::default()).then_some(patch)
    }

    async fn update(
        ipam: &Ipam,
        caller: Caller,
        id: WebhookId,
        patch: WebhookPatch,
        revision: i64,
    ) -> Result<Self> {
        ipam.update_webhook(caller, id, patch, Some(revision)).await
    }

    async fn delete(
        ipam: &Ipam,
        caller: Caller,
        id: WebhookId,
        _: &Input,
        revision: i64,
    ) -> Result<()> {
        ipam.delete_webhook(caller, id, Some(revision)).await
    }

    fn remarks(before: Option<&Self>, after: &Self) -> Vec<String> {
        let Some(before) = before else {
            return vec!["Its secret is shown on the next page, once.".to_owned()];
        };
        let mut remarks = Vec::new();
        if before.url != after.url {
            remarks.push(
                "Whoever is at the new address is told everything that was not delivered yet, with the same secret."
                    .to_owned(),
            );
        }
        if before.enabled && !after.enabled {
            remarks.push("Nothing is sent until it is enabled again. Nothing is lost.".to_owned());
        }
        if !before.enabled && after.enabled {
            remarks.push(format!(
                "What has happened meanwhile is sent too: up to {} events.",
                thousands(before.delivery.behind.unsigned_abs())
            ));
        }
        if before != after && before.delivery.failing_since.is_some() {
            remarks.push("What failed before is tried again at once.".to_owned());
        }
        remarks
    }

    fn loses(&self) -> Vec<String> {
        let mut sentences = vec![
            "Nobody at its address is told anything any more. A request that is under way may still arrive."
                .to_owned(),
        ];
        match self.delivery.behind {
            0 => {}
            1 => sentences.push("One event that was not delivered yet never is.".to_owned()),
            behind => sentences.push(format!(
                "{} events that were not delivered yet never are.",
                thousands(behind.unsigned_abs())
            )),
        }
        sentences
    }

    fn secret(&self) -> Option<&str> {
        self.secret.as_deref()
    }

    fn secret_when_taken_over() -> Option<&'static str> {
        Some("Its secret stays the same, and is shown again.")
    }

    fn uses_of_secret(&self, _: &Server) -> Vec<(&'static str, String)> {
        vec![
            (
                "See whether it arrives: a signed request without events",
                format!("ipam webhook test {}", self.id),
            ),
            (
                "What a receiver compares with the header webhook-signature, as Standard Webhooks says",
                "\"v1,\" + base64(hmac_sha256(base64_decode(secret without \"whsec_\"), id + \".\" + timestamp + \".\" + body))"
                    .to_owned(),
            ),
        ]
    }

    fn steps() -> &'static [(&'static str, &'static str)] {
        &[
            ("test", "Test…"),
            ("resume", "Go on…"),
            ("rotate", "New secret…"),
        ]
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
        "working"
    }
}

impl Noun for Webhook {
    const ABOUT: &'static str = "Who is told what happens: the audit log is sent there, signed, in order and at least once.";
    const COLUMNS: &'static [(&'static str, bool)] = &[
        ("Webhook", false),
        ("To", false),
        ("State", false),
        ("Behind", true),
        ("Last delivered", false),
        ("Last error", false),
    ];
    type New = NewWebhook;

    fn may_make(rights: &Rights) -> bool {
        rights.may(Right::Administer)
    }

    async fn list(db: &mut Connection, search: &Input, limit: u16) -> Result<Vec<Row>> {
        let (filter, part) = (WebhookFilter::default(), wanted(search, "name")?);
        // They are few, so a part of a name is looked for in all of them.
        let most = if part.is_some() { MAX_LIMIT } else { limit };
        let mut found = db::webhook::list(db, &filter, after(search)?, most).await?;
        if let Some(part) = part.map(|part| part.to_lowercase()) {
            found.retain(|webhook| webhook.name.as_str().to_lowercase().contains(&part));
            found.truncate(limit.into());
        }
        let rows = found.into_iter().map(|webhook| {
            let delivery = &webhook.delivery;
            let cells = vec![
                Shown::text(&webhook.url),
                Shown::text(state(&webhook)),
                Shown::text(thousands(delivery.behind.unsigned_abs())),
                Shown::time(delivery.last_at),
                Shown::maybe(delivery.last_error.as_deref()),
            ];
            Row::of(&webhook, webhook.called(), cells)
        });
        Ok(rows.collect())
    }

    fn state(&self) -> Vec<Fact> {
        let delivery = &self.delivery;
        let mut facts = vec![
            Fact::new("State", Shown::text(state(self))),
            Fact::new(
                "Delivered",
                Shown::text(format!(
                    "up to event {}",
                    thousands(delivery.up_to.unsigned_abs())
                )),
            ),
            Fact::new(
                "Behind",
                Shown::text(match delivery.behind {
                    0 => "nothing: everything was delivered".to_owned(),
                    1 => "1 event".to_owned(),
                    behind => format!("{} events", thousands(behind.unsigned_abs())),
                }),
            ),
            Fact::new("Last delivered", Shown::time(delivery.last_at)),
            Fact::new("Last answer", Shown::maybe(delivery.last_status)),
        ];
        if let Some(error) = &delivery.last_error {
            facts.push(Fact::new("Last error", Shown::text(error)));
        }
        if let Some(since) = delivery.failing_since {
            facts.push(Fact::new(
                "Failing since",
                Shown::text(format!("{}, {} attempts", moment(since), delivery.failures)),
            ));
        }
        if let Some(at) = delivery.next_try_at {
            facts.push(Fact::new("Next attempt", Shown::Time(at)));
        }
        if let Some(at) = delivery.stopped_at {
            facts.push(Fact::new("Stopped", Shown::Time(at)));
        }
        if let Some(until) = self.old_secrets_until {
            facts.push(Fact::new("Old secrets sign until", Shown::Time(until)));
        }
        facts
    }

    fn defaults() -> Input {
        Input::default()
            .with("batch_size", BATCH_SIZE.to_string())
            .with("enabled", "on")
    }

    fn new(form: &mut Reader<'_>) -> Option<NewWebhook> {
        let name = form.name();
        let url = form.input.get("url").to_owned();
        if url.is_empty() {
            form.wrong("url", "say where to");
        } else if url.contains('\0') {
            form.wrong("url", "an address has no NUL character");
        }
        let new = NewWebhook {
            description: form.text("description"),
            url,
            actions: form.each("actions"),
            batch_size: form.number("batch_size").unwrap_or(BATCH_SIZE),
            enabled: form.input.has("enabled", "on"),
            after: form.number("after"),
            name: name?,
        };
        Some(new)
    }

    async fn make(ipam: &Ipam, caller: Caller, new: NewWebhook) -> Result<(Self, bool)> {
        ipam.create_webhook(caller, new).await
    }
}
