//! `ipam events`: the audit log, as it is or as it grows.

use std::{
    collections::BTreeMap,
    io::{self, Write as _},
    num::NonZeroUsize,
    time::Duration,
};

use ipam_client::{Client, Error};
use ipam_shared::api::event::{Event, EventFilter};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{
    connection::Connection,
    listing::{Column, ListOutput, Things, line},
    lookup::moment,
    output::{Failure, printable},
    value::Value,
};

/// How many events are shown when nothing else is said.
const SHOWN: usize = 100;
/// How many are shown before those that follow.
const BEFORE: usize = 10;
/// An event is written when its change begins, and appears when that is committed: it may be this much older than those
/// that were there before it.
const LATE: time::Duration = time::Duration::seconds(30);

/// List who did what, newest first, or follow it as it happens
#[derive(Debug, clap::Args)]
pub struct Events {
    /// Only about what has this id
    #[arg(long, value_name = "ID")]
    subject: Option<Uuid>,
    /// Only this action, such as allocation.release
    #[arg(long)]
    action: Option<String>,
    /// Only by this actor
    #[arg(long)]
    actor: Option<String>,
    /// Only later than this, such as 2026-01-31T12:00:00Z
    #[arg(long, value_name = "TIME", value_parser = moment)]
    after: Option<OffsetDateTime>,
    /// Show at most this many, the newest; default: 100, all with --after, or 10 before those that follow
    #[arg(long, value_name = "N")]
    limit: Option<NonZeroUsize>,
    /// Go on with what happens from now on, oldest first; JSON has one event a line
    #[arg(short, long, conflicts_with = "sort")]
    follow: bool,
    /// How often to look for new events
    #[arg(
        long,
        value_name = "SECONDS",
        default_value_t = 2,
        value_parser = clap::value_parser!(u16).range(1..=3600),
        requires = "follow"
    )]
    interval: u16,
    #[command(flatten)]
    output: ListOutput,
    #[command(flatten)]
    connection: Connection,
}

const COLUMNS: &[Column<Event>] = &[
    Column::new("at", |it| it.at.into()),
    Column::new("action", |it| (&it.action).into()),
    Column::new("actor", |it| (&it.actor).into()),
    Column::new("subject", |it| it.subject.to_string().into()),
    Column::new("detail", |it| match it.detail.is_null() {
        true => Value::None,
        false => it.detail.to_string().into(),
    }),
    Column::wide("request_id", |it| it.request_id.to_string().into()),
    Column::wide("id", |it| Value::count(it.id)),
];

impl Events {
    /// What to print. When it follows, it prints by itself and ends only with an error, or when nobody reads any more.
    ///
    /// # Errors
    /// When the server refuses, or can't be asked.
    pub async fn run(self) -> Result<String, Failure> {
        let client = self.connection.client().await?;
        let most = match (self.limit, self.after, self.follow) {
            (Some(limit), ..) => limit.get(),
            (None, Some(_), _) => usize::MAX,
            (None, None, true) => BEFORE,
            (None, None, false) => SHOWN,
        };
        let filter = EventFilter {
            subject: self.subject,
            action: self.action.clone(),
            actor: self.actor.clone(),
            after: self.after,
            ..EventFilter::default()
        };
        if self.follow {
            return self.follow(&client, filter, most).await;
        }
        let (found, more) = client.first_events(&filter, most).await?;
        let things = Things {
            columns: COLUMNS,
            name: |it: &Event| it.id.to_string(),
            nothing: "events",
        };
        // That there are older events needs saying only to those who wanted a certain number.
        let more = more && self.limit.is_some();
        self.output.many(found, &things, most, more)
    }

    async fn follow(
        &self,
        client: &Client,
        mut filter: EventFilter,
        most: usize,
    ) -> Result<String, Failure> {
        let mut newest = latest(client).await?;
        let (mut fresh, _) = client.first_events(&filter, most).await?;
        // What is older than these was not wanted.
        let begin = fresh.iter().map(|event| event.id).min().unwrap_or(0);
        let mut seen: BTreeMap<i64, OffsetDateTime> = BTreeMap::new();
        let mut heading = true;
        loop {
            fresh.sort_by_key(|event| event.id);
            let mut text = String::new();
            for event in &fresh {
                text += &line(
                    &self.output,
                    event,
                    COLUMNS,
                    |it| it.id.to_string(),
                    heading,
                )?;
                heading = false;
                seen.insert(event.id, event.at);
            }
            if !show(&text)? {
                return Ok(String::new());
            }
            tokio::time::sleep(Duration::from_secs(self.interval.into())).await;
            let since = newest.map(|newest| newest - LATE);
            filter.after = since.max(self.after);
            // The time first: what happens between the two questions is asked for again.
            let asked = async {
                let newest = latest(client).await?;
                Ok((newest, client.first_events(&filter, usize::MAX).await?.0))
            };
            match asked.await {
                Ok((now, found)) => (newest, fresh) = (now.max(newest), found),
                Err(error @ Error::Refused(_)) => return Err(error.into()),
                // A server that restarts is no reason to stop.
                Err(error) => {
                    let text = printable(&format!("waiting for the server: {error}"));
                    _ = writeln!(io::stderr(), "ipam: {text}");
                    fresh = Vec::new();
                    continue;
                }
            }
            if let Some(since) = since {
                seen.retain(|_, at| *at > since);
            }
            fresh.retain(|event| event.id > begin && !seen.contains_key(&event.id));
        }
    }
}

/// When the last event of all was, by the clock of the server.
async fn latest(client: &Client) -> Result<Option<OffsetDateTime>, Error> {
    let (events, _) = client.first_events(&EventFilter::default(), 1).await?;
    Ok(events.first().map(|event| event.at))
}

/// Writes to the standard output. Whether somebody still reads it.
fn show(text: &str) -> Result<bool, Failure> {
    let mut stdout = io::stdout();
    match stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
    {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(Failure::Refused(format!("cannot write: {error}"))),
    }
}
