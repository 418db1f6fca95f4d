//! `ipam lookup`: who holds an address, now or at an earlier time.

use ipam_shared::api::lookup::{Lookup as Found, LookupQuery};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::{
    connection::Connection,
    history::{THINGS, holders},
    listing::{Form, ListOutput},
    output::{self, Failure, printable},
    screen::Screen,
    target::{Target, target},
};
use crate::text;

/// Show who holds an address or a network, now or at a given time
#[derive(Debug, clap::Args)]
pub struct Lookup {
    /// An address or a CIDR, such as 10.0.0.1 or 10.0.0.0/24
    #[arg(value_name = "ADDRESS|CIDR", value_parser = target)]
    target: Target,
    /// Only in this VRF
    #[arg(long)]
    vrf: Option<String>,
    /// At this time, such as 2026-01-31T12:00:00Z; default: now
    #[arg(long, value_name = "TIME", value_parser = moment)]
    at: Option<OffsetDateTime>,
    #[command(flatten)]
    output: ListOutput,
    #[command(flatten)]
    connection: Connection,
}

/// A time as an option takes it.
pub(super) fn moment(text: &str) -> Result<OffsetDateTime, String> {
    OffsetDateTime::parse(text, &Rfc3339)
        .map_err(|_| "write it as 2026-01-31T12:00:00Z or 2026-01-31T12:00:00+01:00".to_owned())
}

impl Lookup {
    /// What to print.
    ///
    /// # Errors
    /// When the server refuses, or can't be asked.
    pub async fn run(self) -> Result<String, Failure> {
        let is_json = self.output.output.form() == Form::Json;
        if is_json {
            self.output.check_whole()?;
        }
        let (ip, cidr) = self.target.parameters();
        let query = LookupQuery {
            ip,
            cidr,
            vrf: self.vrf,
            at: self.at,
        };
        let found = self.connection.client().await?.lookup(&query).await?;
        if is_json {
            return output::json(&found);
        }
        if self.output.is_plain_table() {
            return Ok(text(&found, self.at.is_some(), Screen::stdout()));
        }
        self.output
            .many(found.holders, &THINGS, usize::MAX, found.more)
    }
}

fn text(found: &Found, at_a_time: bool, screen: Screen) -> String {
    let mut text = holders(&found.holders, screen);
    if found.more {
        text.push_str("and more\n");
    }
    let mut pools: Vec<String> = found
        .pools
        .iter()
        .map(|range| {
            format!(
                "{} ({}, VRF {})",
                printable(&range.pool),
                range.cidr,
                printable(&range.vrf)
            )
        })
        .collect();
    pools.dedup();
    let place = if pools.is_empty() {
        "in no pool".to_owned()
    } else {
        format!("in pool {}", pools.join(", "))
    };
    // The range of a child pool holds what lies in it, which may be free there.
    let state = match (found.free || found.holders.is_empty(), at_a_time) {
        (false, _) => "",
        (true, true) => "nobody held it, ",
        (true, false) if found.free => "free, ",
        (true, false) => "nobody holds it, ",
    };
    let at = if at_a_time {
        format!(" at {}", text::moment(found.at))
    } else {
        String::new()
    };
    format!("{text}{}{at}: {state}{place}\n", found.cidr)
}
