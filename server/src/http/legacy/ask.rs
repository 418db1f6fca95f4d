//! What `POST /allocate` asks for, and the bounds that the original set.

use std::ops::RangeInclusive;

use ipam_shared::{
    api::{
        allocation::{NewAllocation, Size},
        profile::{MAX_PREFIX_LENGTH, MIN_PREFIX_LENGTH},
    },
    labels::Labels,
    name::{Name, NameError},
};
use serde_json::{Map, Value};

use super::{ANY, lenient::Faults, reply::Refusal};

/// The original's bound, though a /20 holds 4091.
const HOSTS: RangeInclusive<i128> = 1..=4000;
const ENVIRONMENTS: [&str; 3] = ["dev", "stage", "prod"];

/// The body of `POST /allocate`. Unknown fields are ignored, as in the original.
pub(super) struct Ask {
    vpc: String,
    hosts: Option<i128>,
    prefix_length: Option<u8>,
    environment: Option<String>,
    region: Option<String>,
}

impl Ask {
    pub(super) fn read(faults: &mut Faults, body: &Map<String, Value>) -> Option<Self> {
        let lengths = MIN_PREFIX_LENGTH.into()..=MAX_PREFIX_LENGTH.into();
        let vpc = faults.required_text(body, "vpc");
        let hosts = faults.integer(body, "hosts", &ANY);
        let prefix_length = faults.integer(body, "prefix_length", &lengths);
        let labels = faults.object(body, "labels");
        let environment =
            labels.and_then(|it| faults.word_in("labels", it, "environment", &ENVIRONMENTS));
        let region = labels.and_then(|it| faults.text_in("labels", it, "region"));
        let prefix_length = prefix_length.and_then(|length| u8::try_from(length).ok());
        Some(Self {
            vpc: vpc?,
            hosts,
            prefix_length,
            environment,
            region,
        })
    }

    /// The request in terms of the domain.
    pub(super) fn request(&self, dry_run: bool) -> Result<NewAllocation, Refusal> {
        let size = match (self.hosts, self.prefix_length) {
            (Some(_), Some(_)) => {
                return Err(Refusal::bad_request(
                    "Specify either 'hosts' or 'prefix_length', not both",
                ));
            }
            (None, None) => {
                return Err(Refusal::bad_request(
                    "Must specify either 'hosts' or 'prefix_length'",
                ));
            }
            (Some(hosts), None) => Size::Hosts(check_hosts(hosts)?),
            (None, Some(length)) => Size::PrefixLength(length),
        };
        Ok(NewAllocation {
            labels: self.labels()?,
            dry_run,
            ..NewAllocation::new(name(&self.vpc)?, size)
        })
    }

    fn labels(&self) -> Result<Labels, Refusal> {
        if self
            .region
            .as_ref()
            .is_some_and(|region| region.trim().is_empty())
        {
            return Err(Refusal::bad_request("labels.region must not be blank"));
        }
        let pairs = [("environment", &self.environment), ("region", &self.region)];
        let pairs = pairs
            .into_iter()
            .filter_map(|(key, value)| Some((key.to_owned(), value.clone()?)));
        Labels::new(pairs.collect()).map_err(|error| Refusal::bad_request(error.to_string()))
    }
}

/// A number of hosts within the original's bounds.
pub(super) fn check_hosts(hosts: i128) -> Result<u64, Refusal> {
    let within = HOSTS
        .contains(&hosts)
        .then(|| u64::try_from(hosts).ok())
        .flatten();
    within.ok_or_else(|| {
        Refusal::bad_request(format!(
            "hosts must be between {} and {}",
            HOSTS.start(),
            HOSTS.end()
        ))
    })
}

/// Whitespace around a name was not part of it on the original's page nor in its PUT.
pub(super) fn name(text: &str) -> Result<Name, Refusal> {
    text.trim()
        .parse()
        .map_err(|error: NameError| Refusal::bad_request(error.to_string()))
}
