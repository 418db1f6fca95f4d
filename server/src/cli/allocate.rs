//! `ipam allocate`: take space for a VPC.

use std::collections::BTreeMap;

use ipam_shared::{
    api::allocation::{Allocation, NewAllocation, Size},
    labels::Labels,
    name::Name,
};

use super::{
    calculate,
    connection::Connection,
    output::{self, Align, Failure, Table, printable, thousands},
};

/// Allocate blocks for a VPC, which is created on first use
#[derive(Debug, clap::Args)]
pub struct Allocate {
    /// Name of the VPC
    vpc: Name,
    #[command(flatten)]
    size: calculate::Size,
    /// Name within the VPC; with a name the command can be repeated and returns the same allocation
    #[arg(long)]
    name: Option<Name>,
    /// A label; may be given several times
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = label)]
    labels: Vec<(String, String)>,
    /// Label `environment`
    #[arg(long, value_name = "ENVIRONMENT")]
    env: Option<String>,
    /// Label `region`
    #[arg(long)]
    region: Option<String>,
    /// What it is for
    #[arg(long, value_name = "TEXT", default_value = "")]
    description: String,
    /// Show what would be allocated, and write nothing
    #[arg(long)]
    dry_run: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: Connection,
}

impl Allocate {
    /// What to print.
    ///
    /// # Errors
    /// When the server refuses, or can't be asked.
    pub async fn run(self) -> Result<String, Failure> {
        let client = self.connection.client()?;
        let created = client.create_allocation(&self.ask()?).await?;
        let allocation = &created.made;
        if self.json {
            return output::json(allocation);
        }
        let did = match (self.dry_run, created.new) {
            (true, _) => "Would allocate",
            (false, true) => "Allocated",
            (false, false) => "Already allocated:",
        };
        Ok(format!(
            "{did} {} for {}\n{}",
            allocation.cidr,
            printable(allocation.vpc.as_str()),
            text(allocation, self.dry_run)
        ))
    }

    fn ask(&self) -> Result<NewAllocation, Failure> {
        let size = match (self.size.hosts, self.size.prefix_length) {
            (Some(hosts), _) => Size::Hosts(hosts),
            (None, Some(length)) => Size::PrefixLength(length),
            (None, None) => {
                return Err(Failure::Usage("give --hosts or --prefix-length".to_owned()));
            }
        };
        let shorthands = [("environment", &self.env), ("region", &self.region)];
        let mut labels: BTreeMap<String, String> = self.labels.iter().cloned().collect();
        for (key, value) in shorthands {
            if let Some(value) = value {
                labels.insert(key.to_owned(), value.clone());
            }
        }
        Ok(NewAllocation {
            name: self.name.clone(),
            labels: Labels::new(labels).map_err(|error| Failure::Usage(error.to_string()))?,
            description: self.description.clone(),
            dry_run: self.dry_run,
            ..NewAllocation::new(self.vpc.clone(), size)
        })
    }
}

fn label(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("write it as KEY=VALUE")?;
    Ok((key.to_owned(), value.to_owned()))
}

fn text(allocation: &Allocation, dry_run: bool) -> String {
    let mut blocks = Table::new([Align::Left, Align::Left, Align::Right, Align::Left]);
    for block in &allocation.blocks {
        let usable = format!("{} usable", thousands(block.usable));
        let pool = format!("pool {}", printable(&block.pool));
        blocks.row([printable(&block.role), block.cidr.to_string(), usable, pool]);
    }
    let mut facts = Table::new([Align::Left, Align::Left]);
    if !dry_run {
        facts.row(["id".to_owned(), allocation.number.to_string()]);
        facts.row(["uuid".to_owned(), allocation.id.to_string()]);
    }
    if let Some(name) = &allocation.name {
        facts.row(["name", &printable(name.as_str())]);
    }
    if !allocation.labels.is_empty() {
        facts.row(["labels", &labels(&allocation.labels)]);
    }
    blocks.text(2) + &facts.text(2)
}

/// Labels on one line.
pub(super) fn labels(labels: &Labels) -> String {
    let pairs: Vec<String> = labels
        .iter()
        .map(|(key, value)| printable(&format!("{key}={value}")))
        .collect();
    pairs.join(", ")
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser)]
    struct Cli {
        #[command(flatten)]
        allocate: Allocate,
    }

    fn parse(line: &str) -> Result<NewAllocation, String> {
        let words = std::iter::once("allocate").chain(line.split_whitespace());
        let cli = Cli::try_parse_from(words).map_err(|error| error.to_string())?;
        cli.allocate.ask().map_err(|failure| failure.to_string())
    }

    #[test]
    fn the_request_says_what_the_command_line_said() {
        let ask =
            parse("prod --hosts 500 --env dev --region eu --label team=a=b --name nodes --dry-run")
                .unwrap();
        assert_eq!(ask.size(), Ok(Size::Hosts(500)));
        assert_eq!(labels(&ask.labels), "environment=dev, region=eu, team=a=b");
        assert_eq!(ask.name.as_ref().map(Name::as_str), Some("nodes"));
        assert!(ask.dry_run);
        assert_eq!(
            parse("prod --prefix 24").unwrap().size(),
            Ok(Size::PrefixLength(24))
        );
        assert_eq!(
            parse("prod --prefix-length 24").unwrap().size(),
            Ok(Size::PrefixLength(24))
        );
    }

    #[test]
    fn exactly_one_size_is_asked_for() {
        assert!(parse("prod").unwrap_err().contains("--hosts"));
        assert!(
            parse("prod --hosts 5 --prefix 24")
                .unwrap_err()
                .contains("cannot be used with")
        );
        assert!(parse("prod --hosts many").is_err());
        assert!(parse("a/b --hosts 5").is_err());
        assert!(
            parse("prod --hosts 5 --label broken")
                .unwrap_err()
                .contains("KEY=VALUE")
        );
    }
}
