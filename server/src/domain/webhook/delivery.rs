//! Delivers in the background: each webhook in the order of the log, at least once, by one server at a time.
//!
//! A delivery is: read what comes next, hold the webhook for a while, send, note the outcome. The hold, on the clock of the
//! database, is longer than a request may take and is renewed before each, so a server that dies or hangs is followed by
//! another one, and only then. One that wakes up again finds that it no longer holds the webhook before it sends anything
//! more, and what it had sent counts only if nobody else was faster. No connection of the database is used while a request is
//! under way.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use ipam_shared::{
    api::{
        event::FeedParams,
        webhook::{Webhook, WebhookTest},
    },
    ids::WebhookId,
};
use serde_json::json;
use tokio::{sync::Semaphore, task::JoinSet};
use uuid::Uuid;

use super::{
    message::{Message, signing},
    now,
};
use crate::{
    db::{
        Connection, event,
        lock::Locks,
        webhook::{
            self,
            delivery::{self, Due},
        },
    },
    domain::{Caller, Ipam, change::commit, named::there, require},
    error::Result,
    outbound::Answer,
    rights::Right,
};

/// How often it looks for what is due, if nothing happens.
const LOOK: Duration = Duration::from_secs(1);
/// How long a server holds a webhook: longer than a request may take.
const HOLD: Duration = Duration::from_secs(30);
/// After so long a webhook is read again, with what was set since.
const TURN: Duration = Duration::from_secs(10);
/// How many connections of the database deliveries use at a time.
const CONNECTIONS: usize = 4;
/// The pause after the first failure; each further one doubles it.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);
/// After so long without a success it is given up: a long weekend, and a day to notice.
const PATIENCE: Duration = Duration::from_secs(5 * 86_400);
/// What a receiver answers that wants nothing any more.
const GONE: u16 = 410;
/// Longest reason, in characters.
const LONGEST_ERROR: usize = 500;

/// Who records what the server does by itself.
const SERVER: &str = "server";

/// The deliveries of one server.
#[derive(Clone, Debug)]
pub struct Deliveries {
    ipam: Ipam,
    /// By which this server is told apart from all others; a new one at each start.
    server: Uuid,
    under_way: Arc<Mutex<HashSet<WebhookId>>>,
    connections: Arc<Semaphore>,
}

/// A webhook that is under way here, until this is dropped.
struct UnderWay {
    deliveries: Deliveries,
    id: WebhookId,
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.deliveries.lock().remove(&self.id);
    }
}

/// Why an attempt failed.
struct Failed {
    status: Option<u16>,
    error: String,
    retry_after: Option<Duration>,
}

impl Deliveries {
    /// Of the webhooks of a database.
    pub fn new(ipam: Ipam) -> Self {
        Self {
            ipam,
            server: Uuid::new_v4(),
            under_way: Arc::default(),
            connections: Arc::new(Semaphore::new(CONNECTIONS)),
        }
    }

    /// Delivers until it is dropped, and with it what is under way.
    pub async fn run(self) {
        let mut growth = self.ipam.complete.growth();
        let mut tasks = JoinSet::new();
        loop {
            growth.wait(LOOK).await;
            while tasks.try_join_next().is_some() {}
            if let Err(error) = self.look(&mut tasks).await {
                tracing::debug!(%error, "it could not be found out which webhooks are due; it is tried again");
            }
        }
    }

    /// Gives back what this server holds, so that another one need not wait; for when it stops.
    ///
    /// # Errors
    /// When the database can't be reached. Then others wait a little longer.
    pub async fn let_go(&self) -> Result<()> {
        let mut db = self.ipam.seen_by_all().read().await?;
        delivery::let_go(&mut db, self.server, None).await
    }

    /// Begins what is due, each in a task of its own, so that no receiver waits for another.
    async fn look(&self, tasks: &mut JoinSet<()>) -> Result<()> {
        // A copy of a database tells nobody anything: the original does.
        let Some(up_to) = self.ipam.complete.known_up_to() else {
            return Ok(());
        };
        if self.ipam.is_restored() {
            return Ok(());
        }
        let due = self
            .with_db(async |db| delivery::due(db, self.server, up_to).await)
            .await?;
        for due in due {
            if !self.lock().insert(due.id) {
                continue;
            }
            let under_way = UnderWay {
                deliveries: self.clone(),
                id: due.id,
            };
            tasks.spawn(async move {
                let name = due.name.clone();
                if let Err(error) = under_way.deliveries.deliver(due).await {
                    tracing::warn!(%error, webhook = name, "a webhook could not be delivered; it is tried again");
                }
            });
        }
        Ok(())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashSet<WebhookId>> {
        self.under_way
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// With a connection, of which deliveries have few.
    async fn with_db<T>(&self, act: impl AsyncFnOnce(&mut Connection) -> Result<T>) -> Result<T> {
        let _place = self.connections.acquire().await;
        let mut db = self.ipam.seen_by_all().read().await?;
        act(&mut db).await
    }

    /// Delivers until there is nothing left, something fails, or others have a turn.
    async fn deliver(&self, mut due: Due) -> Result<()> {
        let end = Instant::now() + TURN;
        loop {
            let known = self.ipam.complete.known_up_to().unwrap_or_default();
            let up_to = due.attempted_up_to.unwrap_or(known);
            if up_to <= due.after || Instant::now() >= end || self.ipam.is_restored() {
                break;
            }
            let params = FeedParams::default();
            let actions = due.actions.as_deref();
            let (events, next) = self
                .with_db(async |db| {
                    event::after(db, &params, actions, due.after, up_to, due.batch_size).await
                })
                .await?;
            if events.is_empty() {
                let passed =
                    async |db: &mut Connection| delivery::passed(db, &due, self.server, next).await;
                if !self.with_db(passed).await? {
                    break;
                }
                (due.after, due.attempted_up_to) = (next, None);
                continue;
            }
            let head = self.ipam.complete.known_head();
            let count = events.len();
            let message = Message::new(due.id, events, due.after, next, head)?;
            let next = message.next;
            let held =
                async |db: &mut Connection| delivery::hold(db, &due, self.server, next, HOLD).await;
            if !self.with_db(held).await? {
                return Ok(());
            }
            match self.attempt(&due, &message).await {
                Ok(status) => {
                    self.ipam.metrics.webhooks().delivered(count);
                    let is_last = next >= self.ipam.complete.known_up_to().unwrap_or_default();
                    let accepted = async |db: &mut Connection| {
                        delivery::accepted(db, &due, self.server, next, status, is_last).await
                    };
                    if !self.with_db(accepted).await? || is_last {
                        return Ok(());
                    }
                    (due.after, due.attempted_up_to, due.attempts) = (next, None, 0);
                }
                Err(failed) => {
                    self.ipam.metrics.webhooks().failed();
                    return self.failed(&due, failed).await;
                }
            }
        }
        let let_go =
            async |db: &mut Connection| delivery::let_go(db, self.server, Some(due.id)).await;
        self.with_db(let_go).await
    }

    /// Sends a message; the status of whoever accepted it.
    async fn attempt(&self, due: &Due, message: &Message) -> Result<u16, Failed> {
        let secrets = signing(&self.ipam.tokens.peppers, due.id, &due.secrets);
        let unsent = |error: String| Failed {
            status: None,
            error,
            retry_after: None,
        };
        if secrets.is_empty() {
            return Err(unsent(
                "this server lacks the pepper from which the secret of this webhook was made: set it again, or rotate the secret"
                    .to_owned(),
            ));
        }
        let headers = message.headers(&secrets, now());
        let body = message.body.clone();
        match self.ipam.outbound.post(&due.url, headers, body).await {
            Ok(answer) => verdict(answer),
            Err(error) => Err(unsent(error)),
        }
    }

    /// Notes a failure, and gives up after many.
    async fn failed(&self, due: &Due, failed: Failed) -> Result<()> {
        let pause = pause(due.attempts, fraction()).max(failed.retry_after.unwrap_or_default());
        let error: String = failed.error.chars().take(LONGEST_ERROR).collect();
        if due.attempts == 0 {
            tracing::warn!(webhook = due.name, "not delivered: {error}");
        } else {
            tracing::debug!(
                webhook = due.name,
                attempts = due.attempts,
                "not delivered: {error}"
            );
        }
        let noted = async |db: &mut Connection| {
            delivery::failed(db, due, self.server, failed.status, &error, pause).await
        };
        let Some(failing) = self.with_db(noted).await? else {
            return Ok(());
        };
        if failed.status == Some(GONE) {
            self.stop(due, "the receiver answered 410: it wants nothing any more")
                .await
        } else if failing >= PATIENCE {
            let days = PATIENCE.as_secs() / 86_400;
            self.stop(due, &format!("for {days} days every attempt failed"))
                .await
        } else {
            Ok(())
        }
    }

    /// Gives a webhook up, unless somebody has changed it meanwhile.
    async fn stop(&self, due: &Due, why: &str) -> Result<()> {
        let _place = self.connections.acquire().await;
        let mut transaction = self.ipam.begin(&Locks::webhook(due.id)).await?;
        let found = webhook::get(&mut transaction, due.id).await?;
        let Some(webhook) = found.filter(|found| {
            found.revision == due.revision
                && found.delivery.stopped_at.is_none()
                && found.delivery.up_to == due.after
        }) else {
            return Ok(());
        };
        let caller = Caller::trusted(SERVER, Uuid::new_v4());
        let detail = json!({
            "name": webhook.name, "reason": why, "delivered_up_to": webhook.delivery.up_to,
            "failures": webhook.delivery.failures, "last_error": webhook.delivery.last_error,
        });
        let event = caller.event("webhook.stop", due.id.0, &detail)?;
        delivery::stop(&mut transaction, due.id, &[event]).await?;
        commit(transaction).await?;
        tracing::error!(
            webhook = due.name,
            "given up: {why}; `ipam webhook resume` goes on"
        );
        Ok(())
    }
}

impl Ipam {
    /// Sends a message without events, to see whether the receiver accepts it. It is in the audit log, since it reaches out.
    pub async fn test_webhook(&self, caller: Caller, id: WebhookId) -> Result<WebhookTest> {
        require(&caller, Right::Administer)?;
        let ipam = self.clone();
        let (webhook, stored) = self
            .change(caller, Locks::webhook(id), move |mut change| async move {
                let webhook: Webhook = there(&mut change.db, id).await?;
                let stored = webhook::secrets(&mut change.db, id).await?;
                let detail = json!({ "name": webhook.name, "url": webhook.url });
                let event = change.caller.event("webhook.test", id.0, &detail)?;
                event::insert(&mut change.db, &[event]).await?;
                change.commit((webhook, stored)).await
            })
            .await?;
        let secrets = signing(&ipam.tokens.peppers, id, &stored);
        if secrets.is_empty() {
            return Err(crate::domain::token::no_pepper());
        }
        let message = Message::empty(webhook.delivery.up_to, ipam.head().await?)?;
        let headers = message.headers(&secrets, now());
        let began = Instant::now();
        let answer = ipam
            .outbound
            .post(&webhook.url, headers, message.body)
            .await;
        let milliseconds = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let (status, error) = match answer.map(|answer| (answer.status, verdict(answer))) {
            Ok((status, Ok(_))) => (Some(status), None),
            Ok((status, Err(failed))) => (Some(status), Some(failed.error)),
            Err(error) => (None, Some(error)),
        };
        Ok(WebhookTest {
            delivered: error.is_none(),
            status,
            error,
            milliseconds,
        })
    }
}

/// What an answer means.
fn verdict(answer: Answer) -> Result<u16, Failed> {
    let status = answer.status;
    let error = match status {
        200..=299 => return Ok(status),
        300..=399 => format!(
            "the receiver answered {status}, which leads elsewhere, and is not followed; set url to where it leads"
        ),
        GONE => format!("the receiver answered {status}: it wants nothing any more"),
        _ => format!("the receiver answered {status}"),
    };
    let retry_after = answer.retry_after.filter(|_| matches!(status, 429 | 503));
    Err(Failed {
        status: Some(status),
        error,
        retry_after,
    })
}

/// How long to wait after so many failures, `fraction` of the way from half of it to all: so that what failed together does
/// not come again together.
fn pause(failures: i32, fraction: f64) -> Duration {
    let doublings = u32::try_from(failures).unwrap_or_default().min(20);
    let longest = (FIRST_PAUSE * 2_u32.pow(doublings)).min(LONGEST_PAUSE);
    longest.mul_f64(0.5 + fraction / 2.0)
}

/// A random number from 0 to 1.
fn fraction() -> f64 {
    getrandom::u32().map_or(0.5, |number| f64::from(number) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_an_hour_and_are_spread() {
        let seconds = |failures| {
            let [least, most] = [0.0, 1.0].map(|fraction| pause(failures, fraction).as_secs_f64());
            assert!((least * 2.0 - most).abs() < 0.01);
            most
        };
        let all: Vec<_> = [0, 1, 2, 3, 9, 10, 20, i32::MAX, -1].map(seconds).into();
        assert_eq!(
            all,
            [5.0, 10.0, 20.0, 40.0, 2560.0, 3600.0, 3600.0, 3600.0, 5.0]
        );
    }

    #[test]
    fn only_a_success_is_one() {
        let of = |status| {
            let retry_after = Some(Duration::from_secs(60));
            verdict(Answer {
                status,
                retry_after,
            })
        };
        for status in [200, 201, 202, 204, 299] {
            assert_eq!(of(status).ok(), Some(status));
        }
        for (status, waits) in [
            (301, false),
            (304, false),
            (400, false),
            (401, false),
            (404, false),
            (410, false),
            (429, true),
            (500, false),
            (503, true),
        ] {
            let Err(failed) = of(status) else {
                panic!("{status}");
            };
            assert_eq!(failed.status, Some(status));
            assert_eq!(failed.retry_after.is_some(), waits, "{status}");
        }
    }
}
