//! `ipam history`: who ever held a network.

use std::num::NonZeroUsize;

use ipam_shared::api::lookup::{HistoryQuery, Holder};

use super::{
    connection::Connection,
    listing::{Column, ListOutput, Things},
    output::{Align, Failure, Table, printable},
    screen::Screen,
    target::{Target, target},
    value::Value,
};
use crate::text::moment;

/// List who ever held an address or a network: current holders first, then past ones, latest first
#[derive(Debug, clap::Args)]
pub struct History {
    /// An address or a CIDR, such as 10.0.0.1 or 10.0.0.0/24
    #[arg(value_name = "ADDRESS|CIDR", value_parser = target)]
    target: Target,
    /// Only in this VRF
    #[arg(long)]
    vrf: Option<String>,
    /// Show at most this many
    #[arg(long, value_name = "N")]
    limit: Option<NonZeroUsize>,
    #[command(flatten)]
    output: ListOutput,
    #[command(flatten)]
    connection: Connection,
}

/// How holders are printed for programs.
pub(super) const THINGS: Things<'_, Holder> = Things {
    columns: &[
        Column::new("cidr", |it| it.cidr.into()),
        Column::new("vrf", |it| (&it.vrf).into()),
        Column::new("pool", |it| Value::of(it.pool.as_ref())),
        Column::new("kind", |it| it.kind.as_str().into()),
        Column::new("owner", |it| it.owner().into()),
        Column::new("since", |it| it.since.into()),
        Column::new("until", |it| Value::of(it.until)),
        Column::wide("role", |it| Value::of(it.role.as_ref())),
        Column::wide("vpc", |it| Value::of(it.vpc.as_ref())),
        Column::wide("name", |it| Value::of(it.name.as_ref())),
        Column::wide("reason", |it| Value::of(it.reason.as_ref())),
        Column::wide("allocation_id", |it| {
            Value::of(it.allocation_id.map(|id| id.to_string()))
        }),
        Column::wide("reservation_id", |it| {
            Value::of(it.reservation_id.map(|id| id.to_string()))
        }),
    ],
    name: Holder::owner,
    nothing: "holders",
};

impl History {
    /// What to print.
    ///
    /// # Errors
    /// When the server refuses, or can't be asked.
    pub async fn run(self) -> Result<String, Failure> {
        let (ip, cidr) = self.target.parameters();
        let query = HistoryQuery {
            ip,
            cidr,
            vrf: self.vrf,
            ..HistoryQuery::default()
        };
        let (read, most) = self.output.amounts(self.limit);
        let client = self.connection.client().await?;
        let (found, more) = client.first_of_history(&query, read).await?;
        if !self.output.is_plain_table() {
            return self.output.many(found, &THINGS, most, more);
        }
        if found.is_empty() {
            return Ok("Nobody ever held it\n".to_owned());
        }
        let more = if more { "and perhaps more\n" } else { "" };
        Ok(holders(&found, Screen::stdout()) + more)
    }
}

/// Holders as lines; nothing if there are none.
pub(super) fn holders(holders: &[Holder], screen: Screen) -> String {
    // A column with the same value everywhere is of no use.
    let in_vrfs = holders.iter().any(|holder| holder.vrf != holders[0].vrf);
    let mut columns = vec![(Align::Left, "CIDR")];
    if in_vrfs {
        columns.push((Align::Left, "VRF"));
    }
    for heading in ["POOL", "KIND", "OWNER", "SINCE", "UNTIL"] {
        columns.push((Align::Left, heading));
    }
    let (aligns, headings): (Vec<Align>, Vec<&str>) = columns.into_iter().unzip();
    let mut table = Table::new(aligns);
    if !holders.is_empty() {
        table.row(headings);
    }
    for holder in holders {
        let mut cells = vec![holder.cidr.to_string()];
        if in_vrfs {
            cells.push(printable(&holder.vrf));
        }
        cells.push(holder.pool.as_deref().map(printable).unwrap_or_default());
        cells.push(holder.kind.as_str().replace('_', " "));
        cells.push(printable(&holder.owner()));
        cells.push(moment(holder.since));
        cells.push(holder.until.map(moment).unwrap_or_default());
        table.row(cells);
    }
    table.headed(screen)
}
