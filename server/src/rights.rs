//! Who a caller is, what it may do, and where. Knows neither where that is stored nor which request needs what.

use std::{
    collections::{BTreeSet, HashSet},
    sync::Arc,
};

use ipam_shared::{
    api::{event::Source, ownership::Noun, token::Role},
    ids::{PoolId, ProfileId, TokenId, VrfId},
    labels::Labels,
    pattern::Pattern,
};
use uuid::Uuid;

/// Who makes a change, in which request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Who: `admin`, or `token/NAME`.
    pub actor: String,
    /// Finds the request in the log.
    pub request_id: Uuid,
    /// What the caller may do.
    pub rights: Rights,
    /// Where the request came from; none for what the server does by itself.
    pub source: Option<Arc<Source>>,
}

impl Caller {
    /// Somebody who may do everything, such as the operator at the command line.
    pub fn trusted(actor: impl Into<String>, request_id: Uuid) -> Self {
        Self {
            actor: actor.into(),
            request_id,
            rights: Rights::all(),
            source: None,
        }
    }
}

/// What a request needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Right {
    /// Any valid key.
    Any,
    /// To read.
    Read,
    /// To ask what a request for space would get.
    Plan,
    /// To create, change and release allocations and VPCs.
    Allocate,
    /// To create, change and delete pools, profiles, VRFs and reservations.
    Operate,
    /// To read the audit log.
    Audit,
    /// To read `/metrics`.
    Metrics,
    /// To manage tokens and webhooks, and to import.
    Administer,
}

impl Right {
    /// Every right.
    pub const ALL: [Self; 8] = [
        Self::Any,
        Self::Read,
        Self::Plan,
        Self::Allocate,
        Self::Operate,
        Self::Audit,
        Self::Metrics,
        Self::Administer,
    ];

    /// To change a thing; who claims one needs that too.
    pub fn to_change(noun: Noun) -> Self {
        match noun {
            Noun::Vpc | Noun::Allocation => Self::Allocate,
            Noun::Vrf | Noun::Pool | Noun::Profile | Noun::Reservation => Self::Operate,
            Noun::Token | Noun::Webhook => Self::Administer,
        }
    }

    /// What a caller without it is missing, in a sentence: `the role admin or allocator`.
    pub fn needed(self) -> String {
        let names: Vec<_> = self.roles().iter().map(|role| role.as_str()).collect();
        format!("the role {}", names.join(" or "))
    }

    /// The roles that have it.
    pub fn roles(self) -> &'static [Role] {
        use Role::{Admin, Allocator, Auditor, Metrics, Operator, Planner, Reader};
        match self {
            Self::Any => &Role::ALL,
            Self::Read => &[Admin, Operator, Allocator, Planner, Reader, Auditor],
            Self::Plan => &[Admin, Allocator, Planner],
            Self::Allocate => &[Admin, Allocator],
            Self::Operate => &[Admin, Operator],
            Self::Audit => &[Admin, Auditor],
            Self::Metrics => &[Admin, Auditor, Metrics],
            Self::Administer => &[Admin],
        }
    }
}

/// What a caller may do: roles, and what they are limited to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rights {
    roles: Arc<BTreeSet<Role>>,
    scope: Option<Arc<Scope>>,
    quotas: Option<TokenId>,
}

impl Rights {
    /// Everything, everywhere.
    pub fn all() -> Self {
        Self::of(BTreeSet::from([Role::Admin]), None)
    }

    /// Those of these roles, within a scope.
    pub fn of(roles: BTreeSet<Role>, scope: Option<Scope>) -> Self {
        Self {
            roles: Arc::new(roles),
            scope: scope.map(Arc::new),
            quotas: None,
        }
    }

    /// The same, with the quotas of a token.
    #[must_use]
    pub fn with_quotas_of(self, token: TokenId) -> Self {
        Self {
            quotas: Some(token),
            ..self
        }
    }

    /// The token whose quotas hold for what is asked with these rights; none without quotas. Like its limits, they take effect
    /// within a second; how much they are is read where they are compared with what is held.
    pub fn quotas(&self) -> Option<TokenId> {
        self.quotas
    }

    /// The roles.
    pub fn roles(&self) -> &BTreeSet<Role> {
        &self.roles
    }

    /// Whether a role has that right.
    pub fn may(&self, right: Right) -> bool {
        right.roles().iter().any(|role| self.roles.contains(role))
    }

    /// The same, shared.
    pub fn shared_scope(&self) -> Option<Arc<Scope>> {
        self.scope.clone()
    }

    /// What they are limited to; none if to nothing.
    pub fn scope(&self) -> Option<&Scope> {
        self.scope.as_deref()
    }
}

/// What a limited token covers. What it does not cover does not exist for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    /// Whose it is: in the database, the views of `ipam_scoped` show what it covers.
    pub token: TokenId,
    /// These VRFs; none for all.
    pub vrfs: Option<HashSet<VrfId>>,
    /// These pools; none for all.
    pub pools: Option<HashSet<PoolId>>,
    /// These profiles, and no requests that name pools; none for all.
    pub profiles: Option<HashSet<ProfileId>>,
    /// VPCs with these names; none for all.
    pub vpcs: Option<Vec<Pattern>>,
    /// Allocations with these labels.
    pub labels: Labels,
}

impl Scope {
    /// Whether it covers a VRF.
    pub fn covers_vrf(&self, id: VrfId) -> bool {
        self.vrfs.as_ref().is_none_or(|vrfs| vrfs.contains(&id))
    }

    /// Whether it covers a pool of that VRF.
    pub fn covers_pool(&self, id: PoolId, vrf: VrfId) -> bool {
        self.covers_vrf(vrf) && self.pools.as_ref().is_none_or(|pools| pools.contains(&id))
    }

    /// Whether it covers requests from that profile, or with none from pools.
    pub fn covers_profile(&self, id: Option<ProfileId>) -> bool {
        self.profiles
            .as_ref()
            .is_none_or(|profiles| id.is_some_and(|id| profiles.contains(&id)))
    }

    /// Whether it covers VPCs of that name, as far as the name goes.
    pub fn covers_vpc(&self, name: &str) -> bool {
        self.vpcs
            .as_ref()
            .is_none_or(|patterns| patterns.iter().any(|pattern| pattern.matches(name)))
    }

    /// Whether something that has ended in the pools that it covers is not shown: of what is there, it is shown that it is taken.
    pub fn hides_past(&self) -> bool {
        self.vpcs.is_some() || self.profiles.is_some() || !self.labels.is_empty()
    }

    /// Whether it covers allocations with these labels.
    pub fn covers_labels(&self, labels: &Labels) -> bool {
        self.labels
            .iter()
            .all(|(key, value)| labels.get(key).is_some_and(|has| has == value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_right_is_the_administrators() {
        for right in Right::ALL {
            assert!(Rights::all().may(right), "{right:?}");
        }
    }

    #[test]
    fn a_role_may_what_its_description_says() {
        let may = |role| {
            let rights = Rights::of(BTreeSet::from([role]), None);
            Right::ALL
                .into_iter()
                .filter(|right| rights.may(*right))
                .collect::<Vec<_>>()
        };
        use Right::{Allocate, Any, Audit, Metrics, Operate, Plan, Read};
        assert_eq!(may(Role::Operator), [Any, Read, Operate]);
        assert_eq!(may(Role::Allocator), [Any, Read, Plan, Allocate]);
        assert_eq!(may(Role::Planner), [Any, Read, Plan]);
        assert_eq!(may(Role::Reader), [Any, Read]);
        assert_eq!(may(Role::Auditor), [Any, Read, Audit, Metrics]);
        assert_eq!(may(Role::Metrics), [Any, Metrics]);
    }
}
