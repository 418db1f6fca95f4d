//! Calls about allocations.

use ipam_shared::{
    api::{
        IDEMPOTENCY_HEADER,
        allocation::{
            Allocation, AllocationFilter, AllocationPatch, Batch, NewAllocation, NewBatch,
        },
    },
    error::Code,
    ids::{AllocationId, Claim},
    name::Name,
    page::Page,
};
use reqwest::{Method, StatusCode};
use uuid::Uuid;

use crate::{
    Client, Error,
    noun::{Created, Noun, about, if_match, is, repeated, showing, unless_unknown},
    vpc::same,
};

const ALLOCATIONS: &str = "allocations";

impl Noun for Allocation {
    const PATH: &'static str = ALLOCATIONS;
    const WORD: &'static str = "allocation";
    type Patch = AllocationPatch;

    fn id(&self) -> String {
        self.id.to_string()
    }

    fn is_rehearsal(patch: &AllocationPatch) -> bool {
        patch.dry_run
    }

    fn shows(&self, patch: &AllocationPatch) -> bool {
        patch.vpc.as_ref().is_none_or(|vpc| same(vpc, &self.vpc))
            && patch
                .name
                .as_ref()
                .is_none_or(|name| Some(name) == self.name.as_ref())
            && patch
                .hosts
                .is_none_or(|hosts| Some(hosts) == self.requested_hosts)
            && is(patch.prefix_length.as_ref(), &self.prefix_length)
            && is(patch.labels.as_ref(), &self.labels)
            && is(patch.description.as_ref(), &self.description)
            && is(
                patch.deletion_protection.as_ref(),
                &self.deletion_protection,
            )
    }
}

impl Client {
    /// Allocates. A request with a name can be repeated forever: the same request returns the same allocation. One without
    /// a name is sent with an Idempotency-Key, generated once for all attempts of this call.
    pub async fn create_allocation(
        &self,
        request: &NewAllocation,
    ) -> Result<Created<Allocation>, Error> {
        self.create_allocation_once(request, None).await
    }

    /// The same with an Idempotency-Key of the caller, so that another call with it returns the same allocation too.
    pub async fn create_allocation_once(
        &self,
        request: &NewAllocation,
        idempotency_key: Option<&str>,
    ) -> Result<Created<Allocation>, Error> {
        let mut call = self.creation(&[ALLOCATIONS]).json(request);
        if let Some(key) = idempotency_key {
            call = call.header(IDEMPOTENCY_HEADER, key);
        } else if request.name.is_none() && !request.dry_run {
            call = call.header(IDEMPOTENCY_HEADER, Uuid::new_v4().to_string());
        }
        let reply = self.send_or_rehearse(call, request.dry_run).await?;
        let allocation: Allocation = reply.json()?;
        // What an earlier call with this key made may have been moved or resized since.
        let is_earlier = idempotency_key.is_some() && reply.status == StatusCode::OK;
        let asked_for = is_earlier
            || same(&allocation.vpc, &request.vpc)
                && request.cidr.is_none_or(|cidr| cidr == allocation.cidr)
                && request
                    .prefix_length
                    .is_none_or(|length| length == allocation.prefix_length);
        if !asked_for {
            return Err(
                reply.unbelievable("it is about something that was not asked for".to_owned())
            );
        }
        let created = Created::of(allocation, &reply);
        Ok(Created {
            adopted: created.adopted && !request.dry_run,
            ..created
        })
    }

    /// The allocation with that id. The claim proves that the reader owns it; the first read that shows it confirms the
    /// ownership, and from then on nobody can adopt the allocation by its name.
    pub async fn get_allocation(
        &self,
        id: AllocationId,
        claim: Option<Claim>,
    ) -> Result<Allocation, Error> {
        let request = self.api(Method::GET, &[ALLOCATIONS, &id.to_string()]);
        about(&id.to_string(), &self.send(showing(request, claim)).await?)
    }

    /// Several requests at once, all or nothing or each on its own. Repeating it is as safe as repeating each: if not all
    /// have names, the batch carries an Idempotency-Key, generated once for all attempts of this call.
    pub async fn create_allocations(&self, batch: &NewBatch) -> Result<Batch, Error> {
        let mut request = self.creation(&[ALLOCATIONS, "batch"]).json(batch);
        if !batch.dry_run && batch.requests.iter().any(|request| request.name.is_none()) {
            request = request.header(IDEMPOTENCY_HEADER, Uuid::new_v4().to_string());
        }
        let reply = self.send_or_rehearse(request, batch.dry_run).await?;
        let done: Batch = reply.json()?;
        if done.results.len() != batch.requests.len() {
            return Err(reply.unbelievable(format!(
                "it has {} results for {} requests",
                done.results.len(),
                batch.requests.len()
            )));
        }
        Ok(done)
    }

    /// One page of the allocations that match the filter.
    pub async fn list_allocations(
        &self,
        filter: &AllocationFilter,
    ) -> Result<Page<Allocation>, Error> {
        self.list(ALLOCATIONS, filter).await
    }

    /// All allocations that match the filter, from its cursor on, in as few requests as possible.
    pub async fn all_allocations(
        &self,
        filter: &AllocationFilter,
    ) -> Result<Vec<Allocation>, Error> {
        self.all(ALLOCATIONS, filter).await
    }

    /// The first ones that match the filter, oldest first, at most `most`, which is at least 1, and whether there may be
    /// more.
    pub async fn first_allocations(
        &self,
        filter: &AllocationFilter,
        most: usize,
    ) -> Result<(Vec<Allocation>, bool), Error> {
        self.first(ALLOCATIONS, filter, most).await
    }

    /// The allocation of that name in that VPC, if there is one.
    pub async fn find_allocation(
        &self,
        vpc: &Name,
        name: &Name,
    ) -> Result<Option<Allocation>, Error> {
        let filter = AllocationFilter {
            vpc: Some(vpc.to_string()),
            name: Some(name.to_string()),
            limit: Some(2),
            ..AllocationFilter::default()
        };
        let page = self.list_allocations(&filter).await;
        let found = unless_unknown(page.map(|page| page.items))?;
        // A server that ignored the filter would answer with somebody else's allocation.
        Ok(found
            .into_iter()
            .find(|found| same(&found.vpc, vpc) && found.name.as_ref() == Some(name)))
    }

    /// Changes an allocation. With `revision` only if nobody has changed it since; a repeated request that finds its own
    /// change succeeds.
    pub async fn update_allocation(
        &self,
        id: AllocationId,
        patch: &AllocationPatch,
        revision: Option<i64>,
    ) -> Result<Allocation, Error> {
        self.update(&id.to_string(), patch, revision).await
    }

    /// Releases an allocation. With `revision` only if nobody has changed it since. A repeated request that finds it
    /// deleted succeeds; a first one fails with [`Code::Gone`].
    pub async fn delete_allocation(
        &self,
        id: AllocationId,
        revision: Option<i64>,
    ) -> Result<(), Error> {
        let request = self.api(Method::DELETE, &[ALLOCATIONS, &id.to_string()]);
        match self.send(if_match(request, revision)).await {
            Ok(_) => Ok(()),
            Err(error) if error.code() == Some(Code::Gone) && repeated(&error) => Ok(()),
            Err(error) => Err(error),
        }
    }
}
