//! `ipam events`: the audit log, as it is or as it grows.

use std::{
    io::{self, Write as _},
    num::NonZeroUsize,
    str::FromStr,
    time::Duration,
};

use clap_complete::engine::ArgValueCompleter;
use ipam_client::{Client, Error};
use ipam_shared::{
    api::{
        allocation::Allocation,
        event::{Event, EventFilter, FeedParams},
    },
    error::Code,
    page::MAX_LIMIT,
    pattern::Pattern,
};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{
    connection::Connection,
    listing::{Column, ListOutput, Things, line},
    lookup::moment,
    noun::which,
    output::{Failure, printable},
    release::{Which, find},
    value::Value,
};

/// How many events are shown when nothing else is said.
const SHOWN: usize = 100;
/// How many are shown before those that follow.
const BEFORE: usize = 10;
/// How long a request waits for something to happen, in seconds: less than a request may take.
const WAIT: u16 = 20;
/// Pause before a server that does not answer is asked again.
const PAUSE: Duration = Duration::from_secs(2);

/// List who did what, newest first, or follow it as it happens
#[derive(Debug, clap::Args)]
pub struct Events {
    /// Only about what has this id, or about the allocation that is called so now
    #[arg(long, value_name = "ID|VPC/NAME", add = ArgValueCompleter::new(which::<Allocation>))]
    subject: Option<Subject>,
    /// Only this action, such as allocation.release; * stands for any text: 'allocation.*'
    #[arg(long, value_name = "PATTERN")]
    action: Option<Pattern>,
    /// Only by this actor
    #[arg(long)]
    actor: Option<String>,
    /// Only later than this, such as 2026-01-31T12:00:00Z
    #[arg(long, value_name = "TIME", value_parser = moment)]
    after: Option<OffsetDateTime>,
    /// Only earlier than this
    #[arg(long, value_name = "TIME", value_parser = moment, conflicts_with = "follow")]
    before: Option<OffsetDateTime>,
    /// Show at most this many, the newest; default: 100, all with --after, or 10 before those that follow
    #[arg(long, value_name = "N")]
    limit: Option<NonZeroUsize>,
    /// Go on with what happens from now on, oldest first; JSON has one event a line
    #[arg(short, long, conflicts_with = "sort")]
    follow: bool,
    #[command(flatten)]
    output: ListOutput,
    #[command(flatten)]
    connection: Connection,
}

/// What events are about.
#[derive(Clone, Debug)]
enum Subject {
    /// Of any noun, whether it still exists or not.
    Id(Uuid),
    Allocation(Which),
}

impl FromStr for Subject {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse() {
            Ok(id) => Ok(Self::Id(id)),
            Err(_) => text.parse().map(Self::Allocation),
        }
    }
}

impl Subject {
    async fn id(&self, client: &Client) -> Result<Uuid, Failure> {
        match self {
            Self::Id(id) => Ok(*id),
            Self::Allocation(which) => Ok(find(client, which).await?.id.0),
        }
    }
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
    Column::wide("address", |it| {
        let address = it.source.as_ref().and_then(|source| source.address);
        address.map_or(Value::None, |address| address.to_string().into())
    }),
    Column::wide("workspace", |it| {
        let workspace = it
            .source
            .as_ref()
            .and_then(|source| source.workspace.as_ref());
        workspace.map_or(Value::None, Into::into)
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
        let subject = match &self.subject {
            Some(subject) => Some(subject.id(&client).await?),
            None => None,
        };
        let filter = EventFilter {
            subject,
            action: self.action.clone(),
            actor: self.actor.clone(),
            after: self.after,
            before: self.before,
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
        filter: EventFilter,
        most: usize,
    ) -> Result<String, Failure> {
        let mut params = FeedParams {
            subject: filter.subject,
            action: filter.action.clone(),
            actor: filter.actor.clone(),
            limit: Some(MAX_LIMIT),
            ..FeedParams::default()
        };
        // What is later than this comes with what follows.
        let now = client.event_feed(&params).await?.next;
        let (mut fresh, _) = client.first_events(&filter, most).await?;
        fresh.retain(|event| event.id <= now);
        fresh.sort_by_key(|event| event.id);
        (params.after, params.wait) = (Some(now), Some(WAIT));
        let mut heading = true;
        loop {
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
            }
            if !show(&text)? {
                return Ok(String::new());
            }
            fresh = match client.event_feed(&params).await {
                Ok(feed) => {
                    params.after = Some(feed.next);
                    feed.items
                }
                // A server that restarts, or wants fewer requests, is no reason to stop.
                Err(Error::Refused(refusal))
                    if refusal.problem.status < 500
                        && refusal.problem.code != Code::RateLimited =>
                {
                    return Err(Error::Refused(refusal).into());
                }
                Err(error) => {
                    let text = printable(&format!("waiting for the server: {error}"));
                    _ = writeln!(io::stderr(), "ipam: {text}");
                    tokio::time::sleep(PAUSE).await;
                    Vec::new()
                }
            };
        }
    }
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
