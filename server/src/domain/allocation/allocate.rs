//! Allocate, one by one or many at once: rules that do not depend on what is stored are checked here, the rest is decided
//! in batches.

use std::collections::HashMap;

use ipam_shared::{
    api::{
        MAX_BATCH_IDEMPOTENCY_KEY, MAX_IDEMPOTENCY_KEY,
        allocation::{AllocationFilter, AskError, MAX_BATCH, NewAllocation, NewBatch, Recipe},
        ownership::Noun,
    },
    ids::AllocationId,
};
use sha2::{Digest, Sha256};

use super::Outcome;
use crate::{
    db::allocation,
    domain::{
        Caller, Ipam,
        admission::Kind,
        batch::{self, Request},
        change::detached,
        check_description,
        ownership::Maker,
        require,
    },
    error::{Error, Result},
    metrics::Allocated,
    rights::Right,
};

/// The outcome of a batch.
#[derive(Debug)]
pub enum BatchOutcome {
    /// An answer for each request, in their order.
    Done(Vec<Result<Outcome>>),
    /// Nothing was written, since these requests, counted from 0, can't be satisfied.
    Refused(Vec<(usize, Error)>),
}

/// What a request for space needs.
fn of_request(is_dry: bool) -> Right {
    if is_dry { Right::Plan } else { Right::Allocate }
}

fn refused<T>(answers: Vec<Result<T>>) -> Vec<(usize, Error)> {
    answers
        .into_iter()
        .enumerate()
        .filter_map(|(index, answer)| Some((index, answer.err()?)))
        .collect()
}

impl Ipam {
    /// Allocates, or returns what an earlier attempt of the same request created. Returns after the commit.
    pub async fn allocate(
        &self,
        maker: impl Into<Maker>,
        new: NewAllocation,
        key: Option<String>,
    ) -> Result<Outcome> {
        let is_dry = new.dry_run;
        let maker = maker.into();
        require(&maker.caller, of_request(is_dry))?;
        self.may_hand_out()?;
        let request = check(&maker, new, key)?;
        // What was allocated is everybody's business, so it is decided on all of it.
        let ipam = self.seen_by_all();
        if !is_dry {
            let answer = self.queues.submit(&ipam, request).await;
            self.count(&answer, false);
            return self.shown_to(&maker.caller, answer).await;
        }
        let _slot = self.admit(Kind::Allocation).await?;
        let answers = detached(async move { batch::together(&ipam, vec![request], true).await });
        let answer = answers
            .await?
            .pop()
            .ok_or_else(|| Error::bug("a dry run was left undecided"))?;
        self.count(&answer, true);
        self.shown_to(&maker.caller, answer).await
    }

    /// An answer as its caller may see it.
    async fn shown_to(&self, caller: &Caller, answer: Result<Outcome>) -> Result<Outcome> {
        let (Some(_), Err(error)) = (caller.rights.scope(), &answer) else {
            return answer;
        };
        let (Error::Claimed { import_id, .. }
        | Error::NameTaken {
            import_id: Some(import_id),
            ..
        }) = error
        else {
            return answer.map_err(Error::without_names);
        };
        let (vpc, name) = import_id.split_once('/').unwrap_or_default();
        let filter = AllocationFilter {
            vpc: Some(vpc.to_owned()),
            name: Some(name.to_owned()),
            ..AllocationFilter::default()
        };
        let mut connection = self.seen_by(caller).read().await?;
        match allocation::find(&mut connection, &filter, None, None, 1).await?[..] {
            [] => Err(Error::taken(Noun::Allocation)),
            _ => answer,
        }
    }

    /// Counts a request for space that succeeded.
    fn count(&self, answer: &Result<Outcome>, is_dry: bool) {
        if let Ok(outcome) = answer {
            self.metrics.allocated(match (is_dry, outcome.created) {
                (true, _) => Allocated::DryRun,
                (false, true) => Allocated::Created,
                (false, false) => Allocated::Existing,
            });
        }
    }

    /// Allocates for several requests. Each answer comes after the commit.
    pub async fn allocate_batch(
        &self,
        maker: impl Into<Maker>,
        new: NewBatch,
        key: Option<String>,
    ) -> Result<BatchOutcome> {
        let maker = maker.into();
        let ipam = self.seen_by_all();
        require(&maker.caller, of_request(new.dry_run))?;
        self.may_hand_out()?;
        if !(1..=MAX_BATCH).contains(&new.requests.len()) {
            return Err(Error::invalid(format!(
                "a batch has 1 to {MAX_BATCH} requests, this one has {}",
                new.requests.len()
            )));
        }
        if let Some(key) = &key {
            check_key(key, MAX_BATCH_IDEMPOTENCY_KEY)?;
        }
        let mut requests = Vec::with_capacity(new.requests.len());
        let mut seen = HashMap::new();
        for (index, request) in new.requests.into_iter().enumerate() {
            if request.dry_run {
                return Err(Error::invalid(format!(
                    "request {index} sets dry_run; set it for the whole batch"
                )));
            }
            // Each request has a key of its own, so that a repeated batch finds what each of them made.
            let key = key.as_ref().map(|key| format!("{key} {index}"));
            let request = check(&maker, request, key);
            if let Ok(request) = &request {
                for identity in request.identities() {
                    if let Some(other) = seen.insert(identity, index) {
                        return Err(Error::invalid(format!(
                            "requests {other} and {index} ask for the same name in the same VPC; give each its own"
                        )));
                    }
                }
            }
            requests.push(request);
        }
        if !new.atomic && !new.dry_run {
            let answers = requests.into_iter().map(|request| async {
                match request {
                    Ok(request) => {
                        let answer = self.queues.join(&ipam, request).await;
                        self.shown_to(&maker.caller, answer).await
                    }
                    Err(error) => Err(error),
                }
            });
            let answers = futures::future::join_all(answers).await;
            answers.iter().for_each(|answer| self.count(answer, false));
            return Ok(BatchOutcome::Done(answers));
        }
        if new.atomic && requests.iter().any(Result::is_err) {
            return Ok(BatchOutcome::Refused(refused(requests)));
        }
        let mut answers = Vec::with_capacity(requests.len());
        let (mut places, mut valid) = (Vec::new(), Vec::new());
        for (place, request) in requests.into_iter().enumerate() {
            match request {
                Ok(request) => {
                    places.push(place);
                    valid.push(request);
                }
                Err(error) => answers.push((place, Err(error))),
            }
        }
        let decided =
            detached(async move { batch::together(&ipam, valid, new.dry_run).await }).await?;
        for (place, answer) in places.into_iter().zip(decided) {
            answers.push((place, self.shown_to(&maker.caller, answer).await));
        }
        answers.sort_by_key(|(place, _)| *place);
        let answers: Vec<_> = answers.into_iter().map(|(_, answer)| answer).collect();
        if new.atomic && answers.iter().any(Result::is_err) {
            return Ok(BatchOutcome::Refused(refused(answers)));
        }
        answers
            .iter()
            .for_each(|answer| self.count(answer, new.dry_run));
        Ok(BatchOutcome::Done(answers))
    }
}

/// Checks rules that do not depend on what is stored.
fn check(maker: &Maker, new: NewAllocation, key: Option<String>) -> Result<Request> {
    covered(&maker.caller, &new)?;
    let invalid = |error: AskError| Error::invalid(error.to_string()).about(error.field());
    let size = new.size().map_err(invalid)?;
    let recipe = new.recipe().map_err(invalid)?;
    check_description(&new.description)?;
    let key = key
        .map(|key| {
            check_key(&key, MAX_IDEMPOTENCY_KEY)?;
            Ok::<_, Error>((key, fingerprint(&new)?))
        })
        .transpose()?;
    Ok(Request {
        id: AllocationId::generate(),
        new,
        recipe,
        size,
        maker: maker.clone(),
        key,
        tried: Vec::new(),
        exceeded: Vec::new(),
    })
}

/// Checks what a limited caller asks for, as far as it does not depend on what is stored: pools, profiles and VRFs that it does
/// not cover are not found later.
fn covered(caller: &Caller, new: &NewAllocation) -> Result<()> {
    let Some(scope) = caller.rights.scope() else {
        return Ok(());
    };
    let refuse = |what: String| {
        Err(Error::Forbidden(format!(
            "this token does not cover {what}; GET /api/v1/whoami shows its limits"
        )))
    };
    if !scope.covers_vpc(new.vpc.as_str()) {
        return refuse(format!("VPCs named \"{}\"", new.vpc));
    }
    if !scope.covers_labels(&new.labels) {
        return refuse("allocations without its labels".to_owned());
    }
    if scope.profiles.is_some() && !matches!(new.recipe(), Ok(Recipe::Profile(_))) {
        return refuse("requests without a profile".to_owned());
    }
    Ok(())
}

fn check_key(key: &str, longest: usize) -> Result<()> {
    if key.is_empty() || key.len() > longest || key.chars().any(char::is_control) {
        return Err(Error::invalid(format!(
            "an Idempotency-Key has 1 to {longest} printable characters"
        )));
    }
    Ok(())
}

/// A fingerprint of the request: serialising the same struct always gives the same text.
fn fingerprint(new: &NewAllocation) -> Result<Vec<u8>> {
    let text = serde_json::to_vec(new).map_err(|error| Error::Internal(error.into()))?;
    Ok(Sha256::digest(text).to_vec())
}
