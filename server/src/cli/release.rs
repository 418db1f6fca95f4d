//! `ipam release`: give space back.

use std::str::FromStr;

use clap_complete::engine::ArgValueCompleter;
use ipam_client::Client;
use ipam_shared::{
    api::allocation::{Allocation, AllocationFilter},
    ids::AllocationId,
    name::Name,
};

use super::{
    connection::Connection,
    listing::Output,
    noun::{Noun, columns, which},
    output::{Failure, printable},
};

/// Release an allocation: its blocks are free for others at once, or after the cooldown of their pool
#[derive(Debug, clap::Args)]
pub struct Release {
    /// The ID that `ipam list` shows, a UUID, or VPC/NAME
    #[arg(add = ArgValueCompleter::new(which::<Allocation>))]
    allocation: Which,
    /// Only if it still has this revision, as `ipam allocation show` tells it
    #[arg(long, value_name = "N")]
    revision: Option<i64>,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    connection: Connection,
}

/// The ways to name an allocation.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Which {
    Number(i64),
    Id(AllocationId),
    Named(Name, Name),
}

impl FromStr for Which {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(number) = text.parse() {
            return Ok(Self::Number(number));
        }
        if let Ok(id) = text.parse() {
            return Ok(Self::Id(id));
        }
        let (vpc, name) = text
            .split_once('/')
            .ok_or("write an ID as in `ipam list`, a UUID, or VPC/NAME")?;
        let parse = |text: &str| text.parse::<Name>().map_err(|error| error.to_string());
        Ok(Self::Named(parse(vpc)?, parse(name)?))
    }
}

impl Release {
    /// What to print.
    ///
    /// # Errors
    /// When there is no such allocation, the server refuses, or it can't be asked.
    pub async fn run(self) -> Result<String, Failure> {
        let client = self.connection.client().await?;
        let found = find(&client, &self.allocation).await?;
        client.delete_allocation(found.id, self.revision).await?;
        let blocks: Vec<String> = found
            .blocks
            .iter()
            .map(|block| block.cidr.to_string())
            .collect();
        let text = || {
            let vpc = printable(found.vpc.as_str());
            format!("Released {} of {vpc}\n", blocks.join(" and "))
        };
        self.output.one(&found, &columns(), Noun::reference, text)
    }
}

/// The allocation that is named like that.
pub(super) async fn find(client: &Client, which: &Which) -> Result<Allocation, Failure> {
    let found = match which {
        Which::Id(id) => return Ok(client.get_allocation(*id, None).await?),
        Which::Named(vpc, name) => client.find_allocation(vpc, name).await?,
        Which::Number(number) => {
            let filter = AllocationFilter {
                number: Some(*number),
                ..AllocationFilter::default()
            };
            let page = client.list_allocations(&filter).await?;
            page.items.into_iter().find(|found| found.number == *number)
        }
    };
    found.ok_or_else(|| match which {
        Which::Named(vpc, name) => Failure::Refused(format!("there is no allocation {name} in VPC {vpc}; `ipam list --vpc {vpc}` shows what there is")),
        Which::Number(number) => Failure::Refused(format!("there is no allocation {number}; `ipam list` shows what there is")),
        Which::Id(id) => Failure::Refused(format!("there is no allocation {id}")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_allocation_is_named_in_three_ways() {
        assert_eq!("17".parse(), Ok(Which::Number(17)));
        let id = AllocationId::generate();
        assert_eq!(id.to_string().parse(), Ok(Which::Id(id)));
        let named = Which::Named("team a".parse().unwrap(), "nodes".parse().unwrap());
        assert_eq!("team a/nodes".parse(), Ok(named));
        for text in ["", "prod", "a/", "/b", "a/b/c"] {
            assert!(text.parse::<Which>().is_err(), "{text:?}");
        }
    }
}
