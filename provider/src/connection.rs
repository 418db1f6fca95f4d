//! What resources and data sources share once the provider is configured.

use std::collections::BTreeMap;

use ipam_client::{Client, Error};
use ipam_shared::{api::ownership::Confirmation, ids::Claim};
use uuid::Uuid;

use crate::{
    run::{
        ahead::{Listed, Reads},
        confirming::Confirming,
        notes::Run,
        previews::Previews,
        roles::Roles,
        taken::Taken,
    },
    settings::Rename,
};

/// The client, what the provider's settings say, and what the run remembers.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) client: Client,
    pub(crate) default_labels: BTreeMap<String, String>,
    /// For whom things are created.
    pub(crate) owner: Option<String>,
    /// What happens to the ranges of something that is renamed.
    pub(crate) rename: Rename,
    /// What this run is about to do.
    pub(crate) run: Run,
    /// Dry runs of creations.
    pub(crate) previews: Previews,
    /// What is known of names that are taken.
    pub(crate) taken: Taken,
    /// What is known of the roles of profiles.
    pub(crate) roles: Roles,
    /// What was read ahead.
    reads: Reads,
    confirming: Confirming,
}

impl Connection {
    /// One of a run that has done nothing yet.
    pub(crate) fn new(
        client: Client,
        default_labels: BTreeMap<String, String>,
        owner: Option<String>,
        rename: Rename,
    ) -> Self {
        Self {
            previews: Previews::new(client.clone()),
            client,
            default_labels,
            owner,
            rename,
            run: Run::default(),
            taken: Taken::default(),
            roles: Roles::default(),
            reads: Reads::default(),
            confirming: Confirming::default(),
        }
    }

    /// The thing with that id, for which the state holds that claim, and whether the server has seen the claim by now.
    /// `alone` reads it individually.
    pub(crate) async fn read<T: Listed>(
        &self,
        id: Uuid,
        claim: Option<Claim>,
        alone: impl Future<Output = Result<T, Error>> + Send,
    ) -> Result<(T, bool), Error> {
        let ahead = T::ahead(&self.reads);
        let (found, is_open) = ahead.read(&self.client, id, claim, alone).await?;
        if let Some(claim) = claim.filter(|_| is_open) {
            let claim = Confirmation {
                kind: T::NOUN,
                id,
                claim,
            };
            self.confirming.later(&self.client, claim).await;
        }
        Ok((found, claim.is_some() && !is_open))
    }

    /// Makes a change. What was read ahead is forgotten, whether it succeeds or not.
    pub(crate) async fn changing<T>(&self, change: impl Future<Output = T>) -> T {
        let done = change.await;
        self.reads.forget().await;
        done
    }

    /// Sends outstanding confirmations to the server, before the provider ends.
    pub(crate) async fn finish(&self) {
        self.confirming.now(&self.client).await;
    }
}
