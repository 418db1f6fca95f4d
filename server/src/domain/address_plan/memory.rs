//! What servers remember of the address plan between requests; each piece is checked before it is relied on.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, RwLock},
};

use ipam_shared::ids::{TokenId, VrfId};

use super::{AddressPlan, part::Part};
use crate::domain::Ipam;
use crate::{
    db::{
        Connection,
        address_plan::{self},
    },
    error::Result,
};

/// How many VPCs have their VRF remembered.
const MOST_HINTS: usize = 100_000;

/// What servers remember between requests; each piece is checked before it is relied on.
#[derive(Debug, Default)]
pub(in crate::domain) struct Memory {
    plan: RwLock<Option<Arc<AddressPlan>>>,
    /// The VRF of each VPC, by lower-case name.
    vrfs: RwLock<HashMap<String, VrfId>>,
    /// What limited tokens see of the plan.
    pub(super) parts: Mutex<HashMap<TokenId, Part>>,
}

impl Ipam {
    /// The address plan, read if necessary.
    pub(crate) async fn address_plan(&self) -> Result<Arc<AddressPlan>> {
        let plan = match self.known_address_plan() {
            Some(plan) => plan,
            None => self.read_address_plan(&mut self.db.read().await?).await?,
        };
        Ok(self.as_seen(plan))
    }

    /// What the caller sees of the plan.
    fn as_seen(&self, plan: Arc<AddressPlan>) -> Arc<AddressPlan> {
        match self.scope.as_deref() {
            None => plan,
            Some(scope) => self.address_plan_within(&plan, scope),
        }
    }

    /// The address plan as it is now: for answers that are not checked under a lock.
    pub(crate) async fn current_address_plan(
        &self,
        db: &mut Connection,
    ) -> Result<Arc<AddressPlan>> {
        if let Some(plan) = self.known_address_plan() {
            if address_plan::revision(db).await? == plan.revision {
                return Ok(self.as_seen(plan));
            }
            self.forget_address_plan(&plan);
        }
        let plan = match self.scope {
            None => self.read_address_plan(db).await?,
            // The connection shows a part of the plan only.
            Some(_) => self.read_address_plan(&mut self.db.read().await?).await?,
        };
        Ok(self.as_seen(plan))
    }

    fn known_address_plan(&self) -> Option<Arc<AddressPlan>> {
        let plan = self.memory.plan.read();
        let plan = plan.unwrap_or_else(PoisonError::into_inner).clone();
        plan.filter(|plan| plan.timeline == self.db.timeline())
    }

    async fn read_address_plan(&self, db: &mut Connection) -> Result<Arc<AddressPlan>> {
        let plan = Arc::new(AddressPlan::read(db, self.db.timeline()).await?);
        let mut known = self
            .memory
            .plan
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        *known = Some(Arc::clone(&plan));
        Ok(plan)
    }

    /// Drops a plan that is out of date.
    pub(in crate::domain) fn forget_address_plan(&self, old: &Arc<AddressPlan>) {
        let mut known = self
            .memory
            .plan
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        // Another request may have read a newer one meanwhile.
        if known.as_ref().is_some_and(|plan| Arc::ptr_eq(plan, old)) {
            *known = None;
        }
    }

    /// The VRF that a VPC was in when it was last seen.
    pub(in crate::domain) fn vrf_hint(&self, vpc: &str) -> Option<VrfId> {
        self.memory
            .vrfs
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(vpc)
            .copied()
    }

    /// Remembers the VRF of a VPC, whose name is in lower case.
    pub(in crate::domain) fn remember_vrf(&self, vpc: String, vrf: VrfId) {
        let mut vrfs = self
            .memory
            .vrfs
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        if vrfs.len() >= MOST_HINTS {
            vrfs.clear();
        }
        vrfs.insert(vpc, vrf);
    }
}
