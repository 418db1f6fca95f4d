//! `ipam allocate`: take space for a VPC.

use clap_complete::engine::ArgValueCompleter;
use ipam_shared::{
    api::{
        allocation::{Allocation, NewAllocation, Size as Wanted},
        pool::Pool,
        profile::Profile,
        vpc::Vpc,
        vrf::Vrf,
    },
    cidr::Cidr,
    labels::Labels,
    name::Name,
};

use super::{
    connection::Connection,
    listing::Output,
    noun::{Noun, args, columns, names},
    output::{Align, Failure, Table, printable, thousands},
};

/// Allocate blocks for a VPC, which is created on first use
#[derive(Debug, clap::Args)]
pub struct Allocate {
    #[command(flatten)]
    ask: Ask,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    connection: Connection,
}

/// What to allocate, and for whom.
#[derive(Debug, clap::Args)]
pub struct Ask {
    /// Name of the VPC
    #[arg(add = ArgValueCompleter::new(names::<Vpc>))]
    vpc: Name,
    #[command(flatten)]
    size: Size,
    /// Name within the VPC; with a name the command can be repeated and returns the same allocation, whose labels, description
    /// and protection become those of the last request
    #[arg(long)]
    name: Option<Name>,
    /// The recipe that says from which pools blocks come; default: node-pod
    #[arg(long, add = ArgValueCompleter::new(names::<Profile>), conflicts_with_all = ["pools", "pool_labels"])]
    profile: Option<Name>,
    /// Instead of a profile one block, of IPv4 or IPv6, from the first of these pools with room; may be given several times
    #[arg(long = "pool", value_name = "POOL", add = ArgValueCompleter::new(names::<Pool>), conflicts_with = "pool_labels")]
    pools: Vec<String>,
    /// Instead of a profile one block from the first pool with all of these labels; may be given several times
    #[arg(long = "pool-label", value_name = "KEY=VALUE", value_parser = args::pair)]
    pool_labels: Vec<(String, String)>,
    /// The VRF of the VPC, in which it is created if there is none yet; default: default
    #[arg(long, add = ArgValueCompleter::new(names::<Vrf>))]
    vrf: Option<Name>,
    /// A network that no block may overlap; may be given several times
    #[arg(long = "exclude", value_name = "CIDR", value_parser = Cidr::of_address_or_network)]
    exclude_cidrs: Vec<Cidr>,
    #[command(flatten)]
    labels: args::NewLabels,
    /// Label `environment`
    #[arg(long, value_name = "ENVIRONMENT")]
    env: Option<String>,
    /// Label `region`
    #[arg(long)]
    region: Option<String>,
    /// What it is for
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "",
        hide_default_value = true
    )]
    description: String,
    /// Refuse to release it until that is switched off
    #[arg(long)]
    deletion_protection: bool,
    /// Show what would be allocated, and write nothing
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Makes a request without a name repeatable: the same key returns the same allocation
    #[arg(long, value_name = "KEY", value_parser = idempotency_key, conflicts_with = "dry_run")]
    pub(super) idempotency_key: Option<String>,
}

/// How much space.
#[derive(Clone, Copy, Debug, clap::Args)]
#[group(required = false, multiple = false)]
struct Size {
    /// Number of hosts that the first block must hold: 1 to 4091 from the built-in profile
    #[arg(long, value_name = "N")]
    hosts: Option<u64>,
    /// Prefix length of the first block, less the offset of its member in the profile: 20 to 26 from the built-in profile
    #[arg(long, value_name = "N", visible_alias = "prefix")]
    prefix_length: Option<u8>,
    /// The first block itself
    #[arg(long)]
    cidr: Option<Cidr>,
}

fn idempotency_key(text: &str) -> Result<String, String> {
    let longest = ipam_shared::api::MAX_IDEMPOTENCY_KEY;
    let is_plain = text.bytes().all(|byte| (b' '..=b'~').contains(&byte)) && text.trim() == text;
    if text.is_empty() || text.len() > longest || !is_plain {
        return Err(format!(
            "it takes 1 to {longest} letters, digits and signs of ASCII"
        ));
    }
    Ok(text.to_owned())
}

impl Allocate {
    /// What to print.
    ///
    /// # Errors
    /// When the server refuses, or can't be asked.
    pub async fn run(self) -> Result<String, Failure> {
        let ask = self.ask.request()?;
        let client = self.connection.client().await?;
        let key = self.ask.idempotency_key.as_deref();
        let created = client.create_allocation_once(&ask, key).await?;
        let allocation = &created.made;
        let is_dry = self.ask.dry_run;
        let did = match (is_dry, created.new) {
            (true, _) => "Would allocate",
            (false, true) => "Allocated",
            (false, false) => "Already allocated:",
        };
        let people = || {
            format!(
                "{did} {} for {}\n{}",
                allocation.cidr,
                printable(allocation.vpc.as_str()),
                text(allocation, is_dry)
            )
        };
        self.output
            .one(allocation, &columns(), Noun::reference, people)
    }
}

impl Ask {
    /// As the API takes it.
    pub(super) fn request(&self) -> Result<NewAllocation, Failure> {
        let from_pools = !self.pools.is_empty() || !self.pool_labels.is_empty();
        let size = match (self.size.hosts, self.size.prefix_length, self.size.cidr) {
            (Some(hosts), ..) => Wanted::Hosts(hosts),
            (_, Some(length), _) => Wanted::PrefixLength(length),
            (.., Some(cidr)) => Wanted::Cidr(cidr),
            _ if from_pools => Wanted::Default,
            _ => {
                return Err(Failure::Usage(
                    "give --hosts, --prefix-length or --cidr; with --pool the pool's default is possible".to_owned(),
                ));
            }
        };
        let mut pairs = self.labels.labels.clone();
        for (key, value) in [("environment", &self.env), ("region", &self.region)] {
            pairs.extend(value.clone().map(|value| (key.to_owned(), value)));
        }
        let selector = match self.pool_labels.as_slice() {
            [] => None,
            pairs => Some(args::labels(pairs)?),
        };
        Ok(NewAllocation {
            name: self.name.clone(),
            vrf: self.vrf.clone(),
            profile: self.profile.clone(),
            pools: (!self.pools.is_empty()).then(|| self.pools.clone()),
            pool_selector: selector,
            exclude_cidrs: self.exclude_cidrs.clone(),
            labels: args::labels(&pairs)?,
            description: self.description.clone(),
            deletion_protection: self.deletion_protection,
            dry_run: self.dry_run,
            ..NewAllocation::new(self.vpc.clone(), size)
        })
    }
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
        cli.allocate
            .ask
            .request()
            .map_err(|failure| failure.to_string())
    }

    #[test]
    fn the_request_says_what_the_command_line_said() {
        let ask =
            parse("prod --hosts 500 --env dev --region eu --label team=a=b --name nodes --dry-run")
                .unwrap();
        assert_eq!(ask.size(), Ok(Wanted::Hosts(500)));
        assert_eq!(labels(&ask.labels), "environment=dev, region=eu, team=a=b");
        assert_eq!(ask.name.as_ref().map(Name::as_str), Some("nodes"));
        assert!(ask.dry_run);
        assert_eq!(
            parse("prod --prefix 24").unwrap().size(),
            Ok(Wanted::PrefixLength(24))
        );
        assert_eq!(
            parse("prod --prefix-length 24").unwrap().size(),
            Ok(Wanted::PrefixLength(24))
        );
    }

    #[test]
    fn everything_can_be_asked_for() {
        let ask = parse(
            "prod --pool a --pool b --vrf dev --exclude 10.0.0.0/8 --exclude 10.1.2.3 --description text \
             --deletion-protection --idempotency-key k1",
        )
        .unwrap();
        assert_eq!(ask.size(), Ok(Wanted::Default));
        assert_eq!(ask.pools, Some(vec!["a".to_owned(), "b".to_owned()]));
        assert_eq!(ask.exclude_cidrs.len(), 2);
        assert!(ask.deletion_protection && ask.description == "text");
        let ask = parse("prod --pool-label tier=gold --prefix 64").unwrap();
        assert_eq!(labels(&ask.pool_selector.unwrap()), "tier=gold");
        let ask = parse("prod --profile p --cidr 10.0.0.0/24").unwrap();
        assert!(matches!(ask.size(), Ok(Wanted::Cidr(_))));
        for line in [
            "prod --hosts 5 --profile p --pool a",
            "prod --hosts 5 --pool-label a=b --pool a",
            "prod --hosts 5 --idempotency-key k --dry-run",
            "prod --hosts 5 --cidr 10.0.0.0/24",
        ] {
            assert!(
                parse(line).unwrap_err().contains("cannot be used with"),
                "{line}"
            );
        }
    }

    #[test]
    fn exactly_one_size_is_asked_for() {
        assert!(parse("prod").unwrap_err().contains("--hosts"));
        assert!(
            parse("prod --hosts 5 --prefix 24")
                .unwrap_err()
                .contains("cannot be used with")
        );
        for twice in ["--label a=1 --label a=2", "--label environment=x --env y"] {
            let refused = parse(&format!("prod --hosts 5 {twice}")).unwrap_err();
            assert!(refused.contains("is given twice"), "{refused}");
        }
        assert!(parse("prod --hosts many").is_err());
        assert!(parse("a/b --hosts 5").is_err());
        assert!(
            parse("prod --hosts 5 --label broken")
                .unwrap_err()
                .contains("KEY=VALUE")
        );
    }
}
