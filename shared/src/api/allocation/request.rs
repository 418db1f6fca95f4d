//! A request for space: how much, and from where.

use serde::{Deserialize, Serialize};

use crate::{api::profile::DEFAULT_PROFILE, cidr::Cidr, labels::Labels, name::Name};

/// The requested size. Exactly one of the three is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Size {
    /// The smallest block that holds that many hosts in addition to the reserved addresses.
    Hosts(u64),
    /// A block of that prefix length.
    PrefixLength(u8),
    /// Exactly this block for the first member of the profile.
    Cidr(Cidr),
    /// The pool's default prefix length. Only from pools.
    Default,
}

impl Size {
    /// The field of a request that says it.
    pub fn field(self) -> Option<&'static str> {
        match self {
            Self::Hosts(_) => Some("hosts"),
            Self::PrefixLength(_) => Some("prefix_length"),
            Self::Cidr(_) => Some("cidr"),
            Self::Default => None,
        }
    }
}

/// What the blocks are cut from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Recipe {
    /// One block per member of the profile with this name.
    Profile(Name),
    /// One block from the first of these pools, by name or id, that has room.
    Pools(Vec<String>),
    /// One block from the first pool with these labels that has room: those of the VPC's VRF before those of `default`,
    /// by name.
    Selector(Labels),
}

impl Default for Recipe {
    fn default() -> Self {
        Self::Profile(default_profile())
    }
}

/// Role of the block of an allocation from pools.
pub const MAIN: &str = "main";

/// Maximum number of pools in a request.
pub const MAX_POOLS: usize = 100;

/// Maximum number of hosts in a request: what is asked for is stored as a signed number of 64 bits.
pub const MAX_HOSTS: u64 = i64::MAX.unsigned_abs();

/// Maximum number of excluded CIDRs in a request.
pub const MAX_EXCLUDE_CIDRS: usize = 100;

/// A request for space: `POST /api/v1/allocations`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct NewAllocation {
    /// Who the space is for. The VPC is created on first use; its name is compared without regard to case.
    pub vpc: Name,
    /// Unique within the VPC. With a name the request is idempotent: the same request returns the same allocation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<Name>,
    /// Name of the VPC's VRF, in which a VPC that does not exist yet is created; `default` if not given. A VPC that exists
    /// must be in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vrf: Option<Name>,
    /// The recipe: which pools give a block each, and how the sizes relate. `node-pod` if neither it nor `pools` nor
    /// `pool_selector` is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<Name>,
    /// Instead of a profile: one block, from the first of these pools that has room. Names are looked up in the VPC's VRF
    /// first, then in `default`; ids are taken as they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pools: Option<Vec<String>>,
    /// Instead of a profile: one block, from the first pool that has all of these labels and room; those of the VPC's VRF
    /// before those of `default`, by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool_selector: Option<Labels>,
    /// Networks that no block may overlap, such as ranges in use elsewhere that must stay reachable.
    #[serde(
        default,
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "crate::api::or_default"
    )]
    pub exclude_cidrs: Vec<Cidr>,
    /// Size by number of hosts of the first block. Exactly one of `hosts`, `prefix_length` and `cidr` is given; from pools
    /// none may be given, for the pool's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hosts: Option<u64>,
    /// Size by prefix length: that of the first block, unless its member has a `size_offset`, which is added to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix_length: Option<u8>,
    /// The first block itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cidr: Option<Cidr>,
    /// Key-value pairs that say what it is for.
    #[serde(default, deserialize_with = "crate::api::or_default")]
    pub labels: Labels,
    /// Free text, at most 1,000 characters.
    #[serde(default, deserialize_with = "crate::api::or_default")]
    pub description: String,
    /// Refuse deletion until this is switched off.
    #[serde(default, deserialize_with = "crate::api::or_default")]
    pub deletion_protection: bool,
    /// Return what would be allocated, without writing anything.
    #[serde(default, deserialize_with = "crate::api::or_default")]
    pub dry_run: bool,
}

fn default_profile() -> Name {
    // The constant is a valid name; a test below checks it.
    #[expect(clippy::expect_used, reason = "a constant that a test checks")]
    DEFAULT_PROFILE.parse().expect("a valid name")
}

/// What is missing from a request for space or given too often.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// None or more than one of `hosts`, `prefix_length` and `cidr`.
    #[error("give exactly one of hosts, prefix_length and cidr")]
    Size,
    /// More than any block holds that can be asked for in this way.
    #[error("hosts is at most {MAX_HOSTS}; give a prefix_length for a larger block")]
    Hosts,
    /// More than one of `profile`, `pools` and `pool_selector`.
    #[error("give at most one of profile, pools and pool_selector")]
    Recipe,
    /// An empty or very long list.
    #[error("pools takes 1 to {MAX_POOLS} names or ids")]
    Pools,
    /// Without labels every pool would be selected.
    #[error("pool_selector takes at least one label")]
    Selector,
    /// A very long list.
    #[error("exclude_cidrs takes at most {MAX_EXCLUDE_CIDRS} networks")]
    ExcludeCidrs,
}

impl AskError {
    /// The field that is wrong, if it is one.
    pub fn field(&self) -> Option<&'static str> {
        match self {
            Self::Size | Self::Recipe => None,
            Self::Hosts => Some("hosts"),
            Self::Pools => Some("pools"),
            Self::Selector => Some("pool_selector"),
            Self::ExcludeCidrs => Some("exclude_cidrs"),
        }
    }
}

impl NewAllocation {
    /// A minimal request.
    pub fn new(vpc: Name, size: Size) -> Self {
        let (mut hosts, mut prefix_length, mut cidr) = (None, None, None);
        match size {
            Size::Hosts(count) => hosts = Some(count),
            Size::PrefixLength(length) => prefix_length = Some(length),
            Size::Cidr(block) => cidr = Some(block),
            Size::Default => {}
        }
        Self {
            vpc,
            name: None,
            vrf: None,
            profile: None,
            pools: None,
            pool_selector: None,
            exclude_cidrs: Vec::new(),
            hosts,
            prefix_length,
            cidr,
            labels: Labels::default(),
            description: String::new(),
            deletion_protection: false,
            dry_run: false,
        }
    }

    /// The requested size.
    pub fn size(&self) -> Result<Size, AskError> {
        match (self.hosts, self.prefix_length, self.cidr) {
            (Some(hosts), None, None) if hosts > MAX_HOSTS => Err(AskError::Hosts),
            (Some(hosts), None, None) => Ok(Size::Hosts(hosts)),
            (None, Some(length), None) => Ok(Size::PrefixLength(length)),
            (None, None, Some(cidr)) => Ok(Size::Cidr(cidr)),
            (None, None, None) if self.pools.is_some() || self.pool_selector.is_some() => {
                Ok(Size::Default)
            }
            _ => Err(AskError::Size),
        }
    }

    /// What the blocks are to be cut from.
    pub fn recipe(&self) -> Result<Recipe, AskError> {
        if self.exclude_cidrs.len() > MAX_EXCLUDE_CIDRS {
            return Err(AskError::ExcludeCidrs);
        }
        match (&self.profile, &self.pools, &self.pool_selector) {
            (None, None, None) => Ok(Recipe::default()),
            (Some(profile), None, None) => Ok(Recipe::Profile(profile.clone())),
            (None, Some(pools), None) if (1..=MAX_POOLS).contains(&pools.len()) => {
                Ok(Recipe::Pools(pools.clone()))
            }
            (None, Some(_), None) => Err(AskError::Pools),
            (None, None, Some(labels)) if labels.is_empty() => Err(AskError::Selector),
            (None, None, Some(labels)) => Ok(Recipe::Selector(labels.clone())),
            _ => Err(AskError::Recipe),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_has_exactly_one_size() {
        let parse =
            |json: &str| serde_json::from_str::<NewAllocation>(json).map(|request| request.size());
        assert_eq!(
            parse(r#"{"vpc":"a","hosts":1}"#).unwrap(),
            Ok(Size::Hosts(1))
        );
        assert_eq!(parse(r#"{"vpc":"a"}"#).unwrap(), Err(AskError::Size));
        assert_eq!(
            parse(r#"{"vpc":"a","hosts":1,"prefix_length":24}"#).unwrap(),
            Err(AskError::Size)
        );
        assert!(parse(r#"{"vpc":"a","host":1}"#).is_err());
        assert_eq!(default_profile().as_str(), DEFAULT_PROFILE);
    }
}
