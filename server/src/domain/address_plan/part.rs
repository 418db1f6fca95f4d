//! What limited tokens see of the address plan.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, PoisonError},
};

use super::AddressPlan;
use crate::{db::address_plan::PoolSnapshot, domain::Ipam, rights::Scope};

/// How many limited tokens have what they see remembered.
const MOST_PARTS: usize = 64;

/// What a limited token sees of a plan.
#[derive(Debug)]
pub(in crate::domain) struct Part {
    of: Arc<AddressPlan>,
    scope: Scope,
    seen: Arc<AddressPlan>,
}

impl Ipam {
    /// What a limited caller sees of a plan.
    pub(in crate::domain) fn address_plan_within(
        &self,
        plan: &Arc<AddressPlan>,
        scope: &Scope,
    ) -> Arc<AddressPlan> {
        let mut parts = self
            .memory
            .parts
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(part) = parts.get(&scope.token)
            && Arc::ptr_eq(&part.of, plan)
            && part.scope == *scope
        {
            return Arc::clone(&part.seen);
        }
        if parts.len() >= MOST_PARTS {
            parts.clear();
        }
        let seen = Arc::new(plan.within(scope));
        parts.insert(
            scope.token,
            Part {
                of: Arc::clone(plan),
                scope: scope.clone(),
                seen: Arc::clone(&seen),
            },
        );
        seen
    }
}

impl AddressPlan {
    /// The part of it that a limited caller sees.
    fn within(&self, scope: &Scope) -> Self {
        let sees = |pool: &PoolSnapshot| scope.covers_pool(pool.id, pool.vrf);
        let pools: HashMap<_, _> = self
            .pools
            .iter()
            .filter(|(_, pool)| sees(pool))
            .map(|(id, pool)| (*id, Arc::clone(pool)))
            .collect();
        let mut by_name: HashMap<_, BTreeMap<_, _>> = HashMap::new();
        for pool in pools.values() {
            by_name
                .entry(pool.vrf)
                .or_default()
                .insert(pool.name.clone(), Arc::clone(pool));
        }
        Self {
            revision: self.revision,
            timeline: self.timeline,
            default: self.default,
            vrfs: self
                .vrfs
                .iter()
                .filter(|(_, id)| scope.covers_vrf(**id))
                .map(|(name, id)| (name.clone(), *id))
                .collect(),
            pools,
            by_name,
            profiles: self
                .profiles
                .iter()
                .filter(|(_, profile)| scope.covers_profile(Some(profile.id)))
                .map(|(name, profile)| (name.clone(), Arc::clone(profile)))
                .collect(),
        }
    }
}
