//! What is sent: events as the feed shows them, signed as Standard Webhooks says (<https://www.standardwebhooks.com>).

use std::fmt::Write as _;

use ipam_shared::{
    api::event::{Event, Feed, Head},
    ids::WebhookId,
};
use uuid::Uuid;

use crate::{
    db::webhook::StoredSecret,
    error::{Error, Result},
    secret::{Peppers, SigningSecret},
};

/// Recognises a message that arrives twice.
const ID: &str = "webhook-id";
/// When it was sent, in seconds since 1970.
const TIMESTAMP: &str = "webhook-timestamp";
/// By every secret that signs now, the one in use first.
const SIGNATURE: &str = "webhook-signature";

/// Largest body, in bytes, unless a single event is larger.
const LARGEST: usize = 1 << 20;

/// A message before it is signed.
#[derive(Debug)]
pub(super) struct Message {
    /// The same for each attempt to deliver the same events, and for no other ones: not even after a restore, which lets
    /// numbers of events come again, since those of their requests don't.
    pub(super) id: String,
    /// Everything up to this event is delivered with it.
    pub(super) next: i64,
    pub(super) body: Vec<u8>,
}

impl Message {
    /// Of as many of these events as fit, which are all from `after` up to `next`.
    pub(super) fn new(
        webhook: WebhookId,
        mut items: Vec<Event>,
        after: i64,
        mut next: i64,
        head: Option<Head>,
    ) -> Result<Self> {
        let mut size = 0;
        for (index, event) in items.iter().enumerate() {
            size += json(event)?.len() + 1;
            if size > LARGEST && index > 0 {
                items.truncate(index);
                next = items.last().map_or(next, |last| last.id);
                break;
            }
        }
        let mut name = format!("{after} {next}");
        for item in &items {
            _ = write!(name, " {} {}", item.id, item.request_id);
        }
        let id = format!("msg_{}", Uuid::new_v5(&webhook.0, name.as_bytes()).simple());
        let body = json(&Feed { items, next, head })?;
        Ok(Self { id, next, body })
    }

    /// One without events, which receivers accept as any other, to see whether they do.
    pub(super) fn empty(position: i64, head: Option<Head>) -> Result<Self> {
        let body = json(&Feed {
            items: Vec::new(),
            next: position,
            head,
        })?;
        Ok(Self {
            id: format!("msg_{}", Uuid::new_v4().simple()),
            next: position,
            body,
        })
    }

    /// The headers of an attempt.
    pub(super) fn headers(
        &self,
        secrets: &[SigningSecret],
        timestamp: i64,
    ) -> Vec<(&'static str, String)> {
        let signatures: Vec<_> = secrets
            .iter()
            .map(|secret| secret.sign(&self.id, timestamp, &self.body))
            .collect();
        vec![
            ("content-type", "application/json".to_owned()),
            (ID, self.id.clone()),
            (TIMESTAMP, timestamp.to_string()),
            (SIGNATURE, signatures.join(" ")),
        ]
    }
}

/// The secrets of a webhook whose pepper is known here.
pub(super) fn signing(
    peppers: &Peppers,
    webhook: WebhookId,
    stored: &[StoredSecret],
) -> Vec<SigningSecret> {
    let secrets = stored.iter();
    secrets
        .filter_map(|secret| peppers.of_webhook(webhook.0, secret.id, secret.pepper))
        .collect()
}

fn json(value: &impl serde::Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec(value).map_err(|error| Error::Internal(error.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(id: i64, text: usize) -> Event {
        Event {
            id,
            at: time::OffsetDateTime::UNIX_EPOCH,
            actor: "admin".to_owned(),
            action: "vrf.create".to_owned(),
            subject: Uuid::nil(),
            request_id: Uuid::from_u128(u128::try_from(id).unwrap()),
            detail: serde_json::json!({ "text": "x".repeat(text) }),
            source: None,
        }
    }

    fn message(items: Vec<Event>, after: i64, next: i64) -> (Message, Feed) {
        let message = Message::new(WebhookId(Uuid::nil()), items, after, next, None).unwrap();
        let feed = serde_json::from_slice(&message.body).unwrap();
        (message, feed)
    }

    #[test]
    fn what_is_too_large_comes_in_several_messages() {
        let large = || (1..=5).map(|id| event(id, 400_000)).collect::<Vec<_>>();
        let (first, feed) = message(large(), 0, 9);
        assert_eq!((feed.items.len(), feed.next, first.next), (2, 2, 2));
        assert!(first.body.len() < LARGEST + 1000);
        let (alone, feed) = message(vec![event(7, 2 << 20)], 6, 9);
        assert_eq!(
            (feed.items.len(), alone.next),
            (1, 9),
            "there is no smaller one"
        );
        let (all, feed) = message(vec![event(1, 1), event(4, 1)], 0, 9);
        assert_eq!((feed.items.len(), feed.next, all.next), (2, 9, 9));
    }

    #[test]
    fn the_same_events_are_the_same_message() {
        let few = || vec![event(1, 1), event(2, 1)];
        let id = |items, after, next| message(items, after, next).0.id;
        let one = id(few(), 0, 2);
        assert_eq!(one, id(few(), 0, 2));
        assert!(!one.contains('.') && one.len() < 64);
        let mut restored = few();
        restored[1].request_id = Uuid::from_u128(77);
        let chosen = |first| vec![event(first, 1), event(4, 1)];
        assert_ne!(id(chosen(1), 0, 4), id(chosen(2), 0, 4), "other actions");
        for other in [
            id(few(), 0, 3),
            id(restored, 0, 2),
            id(vec![event(2, 1)], 0, 2),
            id(vec![event(2, 1)], 1, 2),
        ] {
            assert_ne!(one, other);
        }
        let other = Message::new(WebhookId(Uuid::from_u128(1)), few(), 0, 2, None).unwrap();
        assert_ne!(one, other.id);
    }
}
