//! From a decision to the rows and events that are written, and to the answer.

use ipam_shared::{
    api::allocation::{Allocation, Block},
    cidr::usable_hosts,
    ids::AllocationId,
};
use serde_json::json;
use sqlx::types::ipnet::IpNet;
use uuid::Uuid;

use super::{decide::Grant, read::Batch};
use crate::{
    db::{
        allocate::NewRows,
        convert::{self, Asked},
        event::{Event, Snapshot},
    },
    error::{Error, Result},
};

impl<'a> Batch<'a> {
    /// The name of a request's VPC, in whatever case the request has it.
    pub(super) fn vpc_name(&self, request: usize) -> &str {
        let owner = self.owners.get(&request);
        owner.map_or(self.requests[request].new.vpc.as_str(), |owner| &owner.name)
    }

    /// The rows and events of one decided request.
    pub(super) fn add_rows(
        &self,
        grant: &Grant,
        rows: &mut NewRows,
        events: &mut Vec<Event<'a>>,
    ) -> Result<()> {
        let request = &self.requests[grant.request];
        let new = &request.new;
        if !self.owners.contains_key(&grant.request) && !rows.vpc_id.contains(&grant.vpc.0) {
            rows.vpc_id.push(grant.vpc.0);
            rows.vpc_vrf.push(grant.vrf.0);
            rows.vpc_name.push(new.vpc.as_str().to_owned());
            events.push(Event {
                action: "vpc.create",
                subject: grant.vpc.0,
                caller: &request.maker.caller,
                detail: json!({ "name": new.vpc, "vrf": self.plan.vrf_name(grant.vrf) }),
            });
        }
        rows.id.push(request.id.0);
        rows.vpc.push(grant.vpc.0);
        rows.name
            .push(new.name.as_ref().map(|name| name.as_str().to_owned()));
        rows.profile
            .push(grant.profile.as_ref().map(|(profile, _)| profile.0));
        rows.request.push(Asked::of(new).json()?);
        rows.prefix_length.push(grant.prefix_length.into());
        rows.members
            .push(i16::try_from(grant.pieces.len()).unwrap_or(i16::MAX));
        rows.requested_hosts
            .push(new.hosts.map(convert::hosts).transpose()?);
        rows.requested_prefix_length
            .push(new.prefix_length.map(i16::from));
        rows.requested_cidr.push(new.cidr.map(IpNet::from));
        rows.labels.push(convert::labels_json(&new.labels)?);
        rows.description.push(new.description.clone());
        rows.deletion_protection.push(new.deletion_protection);
        rows.created_by.push(request.maker.caller.actor.clone());
        rows.owner
            .push(request.maker.owner.as_ref().map(ToString::to_string));
        rows.request_id.push(request.maker.caller.request_id);
        rows.claim.push(grant.claim.0);
        for (source, place) in &grant.pieces {
            let range = self
                .space
                .range(place.range)
                .ok_or_else(|| Error::bug("a block in no range"))?;
            rows.block_range.push(place.range);
            rows.block_cidr.push(place.cidr.into());
            rows.block_range_cidr.push(range.cidr.into());
            rows.block_allocation.push(request.id.0);
            rows.block_member.push(source.member);
            rows.block_prefix_length.push(grant.prefix_length.into());
            rows.block_size_offset.push(source.size_offset);
            rows.block_min.push(source.min_prefix_length.into());
            rows.block_max.push(source.max_prefix_length.into());
        }
        if let Some((key, fingerprint)) = &request.key {
            rows.key_actor.push(request.maker.caller.actor.clone());
            rows.key.push(key.clone());
            rows.key_fingerprint.push(fingerprint.clone());
            rows.key_allocation.push(request.id.0);
        }
        let snapshot = Snapshot {
            vpc: self.vpc_name(grant.request),
            name: new.name.as_ref().map(|name| name.as_str()),
            cidrs: grant.pieces.iter().map(|(_, place)| place.cidr).collect(),
            vrfs: grant
                .pieces
                .iter()
                .map(|(source, _)| source.pool.vrf_name.as_str())
                .collect(),
            labels: Some(&new.labels).filter(|labels| !labels.is_empty()),
            description: &new.description,
        };
        events.push(Event {
            action: "allocation.create",
            subject: request.id.0,
            caller: &request.maker.caller,
            detail: serde_json::to_value(snapshot)
                .map_err(|error| Error::Internal(error.into()))?,
        });
        Ok(())
    }

    /// The answer to a request that got blocks. A dry run has no id, no number and no claim.
    pub(super) fn allocation(
        &self,
        grant: &Grant,
        number: i64,
        created_at: time::OffsetDateTime,
        is_dry: bool,
    ) -> Allocation {
        let request = &self.requests[grant.request];
        let new = &request.new;
        let blocks: Vec<_> = grant
            .pieces
            .iter()
            .map(|(source, place)| Block {
                role: source.role.to_string(),
                cidr: place.cidr,
                pool: source.pool.name.clone(),
                vrf: source.pool.vrf_name.clone(),
                usable: usable_hosts(
                    source.pool.family,
                    place.cidr.prefix_length(),
                    source.pool.reserved_addresses,
                ),
            })
            .collect();
        let stored = self
            .owners
            .get(&grant.request)
            .and_then(|owner| owner.name.parse().ok());
        Allocation {
            id: if is_dry {
                AllocationId(Uuid::nil())
            } else {
                request.id
            },
            number,
            vpc: stored.unwrap_or_else(|| new.vpc.clone()),
            vpc_id: grant.vpc,
            name: new.name.clone(),
            vrf: self.plan.vrf_name(grant.vrf).to_owned(),
            profile: grant.profile.as_ref().map(|(_, name)| name.clone()),
            requested_pools: new.pools.clone(),
            requested_pool_selector: new.pool_selector.clone(),
            exclude_cidrs: new.exclude_cidrs.clone(),
            cidr: grant.pieces[0].1.cidr,
            prefix_length: grant.prefix_length,
            requested_hosts: new.hosts,
            requested_prefix_length: new.prefix_length,
            requested_cidr: new.cidr,
            blocks,
            labels: new.labels.clone(),
            description: new.description.clone(),
            deletion_protection: new.deletion_protection,
            revision: 1,
            created_by: request.maker.caller.actor.clone(),
            owner: request.maker.owner.clone(),
            confirmed: false,
            created_at,
            updated_at: created_at,
            claim_digest: (!is_dry).then(|| grant.claim.digest()),
            claim: (!is_dry).then_some(grant.claim),
        }
    }
}
