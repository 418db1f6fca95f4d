//! `ipam list`: what is allocated, all pages of it.

use std::{collections::BTreeSet, num::NonZeroUsize};

use clap_complete::engine::ArgValueCompleter;
use ipam_shared::api::{
    allocation::{Allocation, AllocationFilter},
    vpc::Vpc,
};

use super::{
    allocate::labels,
    connection::Connection,
    listing::{ListOutput, Things},
    noun::{Noun as _, columns, names},
    output::{Align, Failure, Table, printable, thousands},
    screen::Screen,
};

/// List allocations
#[derive(Debug, clap::Args)]
pub struct List {
    /// Only of this VPC
    #[arg(long, add = ArgValueCompleter::new(names::<Vpc>))]
    vpc: Option<String>,
    /// Only with this label
    #[arg(long, value_name = "KEY=VALUE")]
    label: Option<String>,
    /// Show at most this many: the first in the order of --sort, else the oldest
    #[arg(long, value_name = "N")]
    limit: Option<NonZeroUsize>,
    #[command(flatten)]
    output: ListOutput,
    #[command(flatten)]
    connection: Connection,
}

impl List {
    /// What to print.
    ///
    /// # Errors
    /// When the server refuses, or can't be asked.
    pub async fn run(self) -> Result<String, Failure> {
        let client = self.connection.client().await?;
        let filter = AllocationFilter {
            vpc: self.vpc,
            label: self.label,
            ..AllocationFilter::default()
        };
        let (read, most) = self.output.amounts(self.limit);
        let (mut allocations, more) = client.first_allocations(&filter, read).await?;
        allocations.sort_by_cached_key(|it| (it.vpc.folded(), it.cidr));
        if self.output.is_plain_table() {
            return Ok(text(&allocations, more, Screen::stdout()));
        }
        let things = Things {
            columns: &columns(),
            name: Allocation::reference,
            nothing: "allocations",
        };
        self.output.many(allocations, &things, most, more)
    }
}

fn text(allocations: &[Allocation], more: bool, screen: Screen) -> String {
    let mut roles: Vec<&str> = Vec::new();
    for block in allocations.iter().flat_map(|it| &it.blocks) {
        if !roles.contains(&block.role.as_str()) {
            roles.push(&block.role);
        }
    }
    let named = allocations.iter().any(|it| it.name.is_some());
    let labelled = allocations.iter().any(|it| !it.labels.is_empty());

    // Empty columns are left out.
    let mut columns = vec![
        (Align::Right, "ID".to_owned()),
        (Align::Left, "VPC".to_owned()),
    ];
    if named {
        columns.push((Align::Left, "NAME".to_owned()));
    }
    for role in &roles {
        columns.push((Align::Left, printable(role).to_uppercase()));
        columns.push((Align::Right, "USABLE".to_owned()));
    }
    columns.push((Align::Left, "ASKED FOR".to_owned()));
    if labelled {
        columns.push((Align::Left, "LABELS".to_owned()));
    }
    let (aligns, headings): (Vec<Align>, Vec<String>) = columns.into_iter().unzip();
    let mut table = Table::new(aligns);
    if !allocations.is_empty() {
        table.row(headings);
    }
    for allocation in allocations {
        let mut cells = vec![
            allocation.number.to_string(),
            printable(allocation.vpc.as_str()),
        ];
        if named {
            cells.push(
                allocation
                    .name
                    .as_ref()
                    .map_or_else(String::new, |name| printable(name.as_str())),
            );
        }
        for role in &roles {
            let block = allocation.block(role);
            cells.push(block.map_or_else(String::new, |block| block.cidr.to_string()));
            cells.push(block.map_or_else(String::new, |block| thousands(block.usable)));
        }
        cells.push(asked_for(allocation));
        if labelled {
            cells.push(labels(&allocation.labels));
        }
        table.row(cells);
    }
    let vpcs: BTreeSet<String> = allocations.iter().map(|it| it.vpc.folded()).collect();
    let summary = match (allocations.len(), more) {
        (0, false) => "No allocations\n".to_owned(),
        (shown, true) => format!("{}, and perhaps more\n", count(shown, "allocation")),
        (shown, false) => format!(
            "{} in {}\n",
            count(shown, "allocation"),
            count(vpcs.len(), "VPC")
        ),
    };
    table.headed(screen) + &summary
}

fn asked_for(allocation: &Allocation) -> String {
    match (
        allocation.requested_hosts,
        allocation.requested_prefix_length,
        allocation.requested_cidr,
    ) {
        (Some(hosts), _, _) => count(usize::try_from(hosts).unwrap_or(usize::MAX), "host"),
        (_, Some(length), _) => format!("/{length}"),
        (_, _, Some(cidr)) => cidr.to_string(),
        _ => String::new(),
    }
}

fn count(number: usize, noun: &str) -> String {
    let ending = if number == 1 { "" } else { "s" };
    format!("{} {noun}{ending}", thousands(number as u128))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn allocation(
        number: i64,
        vpc: &str,
        name: Option<&str>,
        hosts: Option<u64>,
        cidr: &str,
        pods: &str,
    ) -> Allocation {
        let block = |role: &str, cidr: &str, usable: u64| json!({"role": role, "cidr": cidr, "pool": role, "vrf": "default", "usable": usable});
        let (length, usable, pod_usable) = match cidr.rsplit_once('/') {
            Some((_, "23")) => (23, 507, 16379),
            _ => (26, 59, 2043),
        };
        let nothing = "00000000-0000-0000-0000-000000000000";
        serde_json::from_value(json!({
            "id": nothing, "number": number, "vpc": vpc, "vpc_id": nothing, "vrf": "default", "name": name, "profile": "node-pod", "cidr": cidr,
            "prefix_length": length, "requested_hosts": hosts, "requested_prefix_length": hosts.is_none().then_some(length),
            "requested_cidr": null, "blocks": [block("primary", cidr, usable), block("cgnat", pods, pod_usable)],
            "labels": if number == 1 { json!({"environment": "prod"}) } else { json!({}) }, "description": "",
            "deletion_protection": false, "revision": 1, "created_by": "t",
            "created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00Z",
        }))
        .unwrap()
    }

    #[test]
    fn people_read_one_line_an_allocation() {
        let list = [
            allocation(
                1,
                "prod",
                Some("nodes"),
                Some(500),
                "10.0.0.0/23",
                "100.64.0.0/18",
            ),
            allocation(20, "staging", None, None, "10.0.2.0/26", "100.64.64.0/21"),
        ];
        let expected = "\
ID  VPC      NAME   PRIMARY      USABLE  CGNAT           USABLE  ASKED FOR  LABELS
 1  prod     nodes  10.0.0.0/23     507  100.64.0.0/18   16,379  500 hosts  environment=prod
20  staging         10.0.2.0/26      59  100.64.64.0/21   2,043  /26
2 allocations in 2 VPCs
";
        assert_eq!(text(&list, false, Screen::NONE), expected);
        assert!(text(&list[1..], true, Screen::NONE).ends_with("1 allocation, and perhaps more\n"));
        assert!(!text(&list[1..], false, Screen::NONE).contains("NAME"));
        assert_eq!(text(&[], false, Screen::NONE), "No allocations\n");
    }
}
