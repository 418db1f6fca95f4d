//! `ipam orphans`: what was created and no owner has confirmed since: leftovers of interrupted applies, and what scripts
//! created.

use std::{
    io::{self, Write as _},
    time::Duration,
};

use ipam_client::{Client, Error};
use ipam_shared::{
    api::{
        allocation::{Allocation, AllocationFilter},
        ownership::{Noun, Owned},
        pool::{Pool, PoolFilter},
        profile::{Profile, ProfileFilter},
        reservation::ReservationFilter,
        token::{Token, TokenFilter},
        vpc::{Vpc, VpcFilter},
        vrf::{Vrf, VrfFilter},
        webhook::{Webhook, WebhookFilter},
    },
    error::Code,
    shell::quoted,
};
use serde::Serialize;
use time::OffsetDateTime;

use super::{
    connection::Connection,
    listing::{Column, ListOutput, Things},
    output::{Failure, printable, thousands},
    span::span,
    value::Value,
};
use crate::text::moment;

/// List what no owner has confirmed, such as leftovers of an interrupted apply, with the commands that import and release
/// it
///
/// Terraform confirms what it created when it reads it again. Scripts confirm nothing, so what they created is listed too:
/// --owner and --older-than narrow it down. Nothing here is wrong in itself, and nothing is released by itself: take over
/// what you need with the import, and end the rest with the release that stands beside it. VPCs that were created on first
/// use, and what every database starts with, belong to nobody and are not listed.
#[derive(Debug, clap::Args)]
pub struct Orphans {
    /// Only what was created for this owner; empty for what was created for none
    #[arg(long, value_name = "TEXT")]
    owner: Option<String>,
    /// Only what is older than this, such as 90s, 30m, 1h or 7d
    #[arg(long, value_name = "TIME", value_parser = age_at_least)]
    older_than: Option<Duration>,
    #[command(flatten)]
    output: ListOutput,
    #[command(flatten)]
    connection: Connection,
}

/// Something that no owner has confirmed.
#[derive(Debug, PartialEq, Serialize)]
struct Orphan {
    kind: Noun,
    id: uuid::Uuid,
    /// Its name for people.
    title: String,
    owner: Option<String>,
    created_by: String,
    #[serde(with = "time::serde::rfc3339")]
    created_at: OffsetDateTime,
    age_seconds: i64,
    /// What it contains: networks, or how many things.
    holds: Vec<String>,
    /// The command that takes it over, if Terraform has such things.
    import: Option<String>,
    /// The command that ends it.
    release: String,
}

const THINGS: Things<'_, Orphan> = Things {
    columns: &[
        Column::new("kind", |it| it.kind.as_str().into()),
        Column::new("title", |it| (&it.title).into()),
        Column::new("owner", |it| Value::of(it.owner.as_ref())),
        Column::new("created_by", |it| (&it.created_by).into()),
        Column::new("created_at", |it| it.created_at.into()),
        Column::new("holds", |it| (&it.holds).into()),
        Column::wide("import", |it| Value::of(it.import.as_ref())),
        Column::wide("release", |it| (&it.release).into()),
        Column::wide("id", |it| it.id.to_string().into()),
    ],
    name: |it| it.id.to_string(),
    nothing: "orphans",
};

impl Orphans {
    /// What to print.
    ///
    /// # Errors
    /// When the server refuses, or can't be asked.
    pub async fn run(self) -> Result<String, Failure> {
        let client = self.connection.client().await?;
        let now = OffsetDateTime::now_utc();
        let mut orphans = find(&client, self.owner.as_ref(), now).await?;
        if let Some(span) = self.older_than {
            orphans.retain(|orphan| now - orphan.created_at >= span);
        }
        if self.output.is_plain_table() {
            return Ok(text(&orphans));
        }
        self.output.many(orphans, &THINGS, usize::MAX, false)
    }
}

/// Everything unconfirmed of every noun, innermost first: they can be released in this order.
async fn find(
    client: &Client,
    owner: Option<&String>,
    now: OffsetDateTime,
) -> Result<Vec<Orphan>, Failure> {
    /// A filter that lets through what is not confirmed.
    macro_rules! unconfirmed {
        ($filter:ident) => {
            $filter {
                owner: owner.cloned(),
                confirmed: Some(false),
                ..$filter::default()
            }
        };
    }
    let mut found = Vec::new();
    for it in client
        .all_allocations(&unconfirmed!(AllocationFilter))
        .await?
    {
        found.push(orphan(&it, Some(&it.created_by), held(&it), now));
    }
    for it in client
        .all_reservations(&unconfirmed!(ReservationFilter))
        .await?
    {
        let holds = vec![format!(
            "keeps {} out of circulation: {}",
            it.cidr, it.reason
        )];
        found.push(orphan(&it, Some(&it.created_by), holds, now));
    }
    for it in client.all_vpcs(&unconfirmed!(VpcFilter)).await? {
        let holds = vec![count(it.allocations, "allocation")];
        found.push(orphan::<Vpc>(&it, it.created_by.as_ref(), holds, now));
    }
    let tokens = client.all_tokens(&unconfirmed!(TokenFilter)).await;
    for it in if_allowed(tokens, "tokens")? {
        let roles = it.roles.iter().map(ToString::to_string).collect();
        found.push(orphan::<Token>(&it, it.created_by.as_ref(), roles, now));
    }
    let webhooks = client.all_webhooks(&unconfirmed!(WebhookFilter)).await;
    for it in if_allowed(webhooks, "webhooks")? {
        let to = vec![it.url.clone()];
        found.push(orphan::<Webhook>(&it, it.created_by.as_ref(), to, now));
    }
    for it in client.all_pools(&unconfirmed!(PoolFilter)).await? {
        let ranges = it.ranges.iter().map(ToString::to_string).collect();
        found.push(orphan::<Pool>(&it, it.created_by.as_ref(), ranges, now));
    }
    for it in client.all_profiles(&unconfirmed!(ProfileFilter)).await? {
        let holds = vec![count(it.allocations, "allocation")];
        found.push(orphan::<Profile>(&it, it.created_by.as_ref(), holds, now));
    }
    for it in client.all_vrfs(&unconfirmed!(VrfFilter)).await? {
        let holds = vec![
            count(it.pools, "pool"),
            count(it.vpcs, "VPC"),
            count(it.reservations, "reservation"),
        ];
        found.push(orphan::<Vrf>(&it, it.created_by.as_ref(), holds, now));
    }
    Ok(found.into_iter().flatten().collect())
}

/// What the caller may not see is left out, and that is said beside the list.
fn if_allowed<T>(found: Result<Vec<T>, Error>, what: &str) -> Result<Vec<T>, Failure> {
    match found {
        Err(error) if error.code() == Some(Code::Forbidden) => {
            let text = printable(&format!("without {what}: {error}"));
            _ = writeln!(io::stderr(), "ipam: {text}");
            Ok(Vec::new())
        }
        found => Ok(found?),
    }
}

fn held(allocation: &Allocation) -> Vec<String> {
    let blocks = allocation.blocks.iter();
    blocks.map(|block| block.cidr.to_string()).collect()
}

fn count(number: i64, word: &str) -> String {
    let s = if number == 1 { "" } else { "s" };
    format!(
        "{} {word}{s}",
        thousands(u64::try_from(number).unwrap_or_default())
    )
}

/// Without what nobody created.
fn orphan<T: Owned>(
    it: &T,
    created_by: Option<&String>,
    holds: Vec<String>,
    now: OffsetDateTime,
) -> Option<Orphan> {
    let which = quoted(&it.import_id());
    let release = match T::NOUN {
        Noun::Allocation => format!("ipam release {which}"),
        noun => format!("ipam {} delete {which}", noun.as_str()),
    };
    let import = match T::NOUN {
        Noun::Webhook => None,
        _ => Some(format!("terraform import ADDRESS {which}")),
    };
    Some(Orphan {
        kind: T::NOUN,
        id: it.uuid(),
        title: it.title(),
        owner: it.owner().map(ToString::to_string),
        created_by: created_by?.clone(),
        created_at: it.created_at(),
        age_seconds: (now - it.created_at()).whole_seconds(),
        holds,
        import,
        release,
    })
}

fn text(orphans: &[Orphan]) -> String {
    if orphans.is_empty() {
        return "Nothing that no owner has confirmed\n".to_owned();
    }
    let mut text = String::new();
    for orphan in orphans {
        let owner = match &orphan.owner {
            Some(owner) => format!("for {owner}"),
            None => "for no owner".to_owned(),
        };
        let about = [
            format!("{}: {}", orphan.title, orphan.holds.join(", ")),
            format!(
                "  made {owner} by {} at {}, {} ago",
                orphan.created_by,
                moment(orphan.created_at),
                age(orphan.age_seconds)
            ),
        ];
        let commands = orphan.import.iter().chain([&orphan.release]);
        for line in about
            .into_iter()
            .chain(commands.map(|line| format!("  {line}")))
        {
            text.push_str(&printable(&line));
            text.push('\n');
        }
    }
    let things = orphans.len();
    let s = if things == 1 { "" } else { "s" };
    text.push_str(&format!(
        "{} thing{s} that no owner has confirmed; check whether an apply is running before you release any\n",
        thousands(things as u64)
    ));
    text
}

/// The two largest units of a time.
fn age(seconds: i64) -> String {
    let seconds = seconds.max(0);
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, minutes) => format!("{minutes} min"),
        (0, hours, minutes) => format!("{hours} h {minutes} min"),
        (days, hours, _) => format!("{days} d {hours} h"),
    }
}

/// How old at least.
fn age_at_least(text: &str) -> Result<Duration, String> {
    span(text).ok_or_else(|| format!("{text:?} is not a duration; write 90s, 30m, 1h or 7d"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_told_in_two_units() {
        let texts = [0, 59, 61, 3_660, 90_000].map(age);
        assert_eq!(texts, ["0 s", "59 s", "1 min", "1 h 1 min", "1 d 1 h"]);
    }
}
