//! What all calls have in common that are about one thing with an id: making it, reading it, changing it and deleting it,
//! so that each may be repeated. Knows no noun by name; those are in the files beside.
//!
//! A creation is repeatable because the server answers what it made before to the same owner who asks for the same, until
//! that is confirmed. A change that carries a revision recognises its own work: when the first reply was lost and the
//! repeated request is told that the revision is an older one, the thing is looked at, and if it shows what was asked for,
//! that was us. A deletion is by id and not by name, so that its repetition can't hit something that was made in between.

use ipam_shared::{
    api::{
        CLAIM_HEADER, allocation::AllocationFilter, event::EventFilter, lookup::HistoryQuery,
        pool::PoolFilter, profile::ProfileFilter, reservation::ReservationFilter, vpc::VpcFilter,
        vrf::VrfFilter,
    },
    error::Code,
    ids::Claim,
    page::{MAX_LIMIT, Page},
};
use reqwest::{Method, RequestBuilder, StatusCode, header::IF_MATCH};
use serde::{Serialize, de::DeserializeOwned};

use crate::{Client, Error, reply::Reply};

/// A thing with an id.
pub(crate) trait Noun: DeserializeOwned {
    /// Where they are, below `/api/v1/`.
    const PATH: &'static str;
    /// What one is called in a sentence.
    const WORD: &'static str;
    /// What changes.
    type Patch: Serialize + Sync;

    /// Its id, as it stands in paths.
    fn id(&self) -> String;

    /// Whether it looks as the patch wants it to.
    fn shows(&self, patch: &Self::Patch) -> bool;
}

/// What a list found; nothing, if its filter names something that does not exist.
pub(crate) fn unless_unknown<T>(found: Result<Vec<T>, Error>) -> Result<Vec<T>, Error> {
    match found {
        Err(error) if error.code() == Some(Code::NotFound) => Ok(Vec::new()),
        found => found,
    }
}

/// A thing with a name that can be taken only once.
pub(crate) trait Named: Noun {
    /// What is asked for.
    type New: Serialize + Sync;

    /// Whether it is what the request names.
    fn is_named_by(&self, new: &Self::New) -> bool;
}

/// What a creation did.
#[derive(Clone, Debug, PartialEq)]
pub struct Created<T> {
    /// What the caller has now; it carries the claim.
    pub made: T,
    /// Whether this request made it. If not, it was there already (perhaps by an earlier attempt of this request), or it
    /// was a dry run.
    pub new: bool,
    /// Whether it was there before the first attempt: the same owner asked for the same before, or, of a VPC, it was made
    /// on first use.
    pub adopted: bool,
}

impl<T> Created<T> {
    pub(crate) fn of(made: T, reply: &Reply) -> Self {
        Self {
            made,
            new: reply.status == StatusCode::CREATED,
            adopted: reply.status == StatusCode::OK && !reply.repeated,
        }
    }
}

/// What a list is narrowed to.
pub(crate) trait Filter: Serialize + Clone + Sync {
    fn limit(&mut self) -> &mut Option<u16>;
    fn cursor(&mut self) -> &mut Option<String>;
}

macro_rules! filters {
    ($($filter:ty),+ $(,)?) => {$(
        impl Filter for $filter {
            fn limit(&mut self) -> &mut Option<u16> {
                &mut self.limit
            }

            fn cursor(&mut self) -> &mut Option<String> {
                &mut self.cursor
            }
        }
    )+};
}

filters!(
    AllocationFilter,
    EventFilter,
    HistoryQuery,
    PoolFilter,
    ProfileFilter,
    ReservationFilter,
    VpcFilter,
    VrfFilter,
);

impl Client {
    /// Makes one, or is given what the same owner made before by asking for the same.
    pub(crate) async fn create<T: Named>(&self, new: &T::New) -> Result<Created<T>, Error> {
        let reply = self.send(self.creation(&[T::PATH]).json(new)).await?;
        let made: T = reply.json()?;
        if made.is_named_by(new) {
            Ok(Created::of(made, &reply))
        } else {
            Err(reply.unbelievable("it is about something that was not asked for".to_owned()))
        }
    }

    /// The one with that id or name. A claim proves that the reader owns it; the first read that carries it confirms the
    /// ownership, and from then on it is given to nobody for asking for the same.
    pub(crate) async fn get<T: Noun>(
        &self,
        id_or_name: &str,
        claim: Option<Claim>,
    ) -> Result<T, Error> {
        let request = self.api(Method::GET, &[T::PATH, id_or_name]);
        self.send(showing(request, claim)).await?.json()
    }

    /// One page of those that the filter lets through.
    pub(crate) async fn list<T: DeserializeOwned>(
        &self,
        path: &str,
        filter: &impl Filter,
    ) -> Result<Page<T>, Error> {
        self.send(self.api(Method::GET, &[path]).query(filter))
            .await?
            .json()
    }

    /// All that the filter lets through, from its cursor on, in as few requests as possible.
    pub(crate) async fn all<T: DeserializeOwned>(
        &self,
        path: &str,
        filter: &impl Filter,
    ) -> Result<Vec<T>, Error> {
        let (items, _) = self.first(path, filter, usize::MAX).await?;
        Ok(items)
    }

    /// The first that the filter lets through, from its cursor on, at most `most`, and whether there are more. No more than
    /// that are asked for.
    pub(crate) async fn first<T: DeserializeOwned>(
        &self,
        path: &str,
        filter: &impl Filter,
        most: usize,
    ) -> Result<(Vec<T>, bool), Error> {
        let mut filter = filter.clone();
        let of_page = *filter.limit().get_or_insert(MAX_LIMIT);
        let mut items = Vec::new();
        loop {
            let left = most.saturating_sub(items.len());
            *filter.limit() = Some(u16::try_from(left).unwrap_or(u16::MAX).min(of_page));
            let page: Page<T> = self.list(path, &filter).await?;
            items.extend(page.items);
            *filter.cursor() = page.next_cursor;
            if filter.cursor().is_none() || items.len() >= most {
                return Ok((items, filter.cursor().is_some()));
            }
        }
    }

    /// Changes the one with that id. With `revision` only if nobody changed it since; a repeated request that finds its
    /// own change there is a success.
    pub(crate) async fn update<T: Noun>(
        &self,
        id: &str,
        patch: &T::Patch,
        revision: Option<i64>,
    ) -> Result<T, Error> {
        self.update_unless(id, patch, revision, |found: &T| found.shows(patch))
            .await
    }

    /// The same, where it takes more than the patch to say whether the change is there already.
    pub(crate) async fn update_unless<T: Noun>(
        &self,
        id: &str,
        patch: &T::Patch,
        revision: Option<i64>,
        is_done: impl Fn(&T) -> bool + Send,
    ) -> Result<T, Error> {
        let request = self.api(Method::PATCH, &[T::PATH, id]).json(patch);
        match self.send(if_match(request, revision)).await {
            Ok(reply) => about(id, &reply),
            Err(error) if error.code() == Some(Code::Stale) && repeated(&error) => {
                let found: T = self.get(id, None).await?;
                if is_done(&found) {
                    Ok(found)
                } else {
                    Err(error)
                }
            }
            Err(error) => Err(error),
        }
    }

    /// Deletes the one with that id. With `revision` only if nobody changed it since. A repeated request that finds
    /// nothing left is a success, without a reply.
    pub(crate) async fn delete(
        &self,
        request: RequestBuilder,
        revision: Option<i64>,
    ) -> Result<Option<Reply>, Error> {
        match self.send(if_match(request, revision)).await {
            Ok(reply) => Ok(Some(reply)),
            Err(error) if is_gone(&error) && repeated(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Deletes the one with that id, where the reply has nothing to say.
    pub(crate) async fn delete_by_id<T: Noun>(
        &self,
        id: &str,
        revision: Option<i64>,
    ) -> Result<(), Error> {
        self.delete(self.api(Method::DELETE, &[T::PATH, id]), revision)
            .await
            .map(drop)
    }
}

pub(crate) fn if_match(request: RequestBuilder, revision: Option<i64>) -> RequestBuilder {
    match revision {
        Some(revision) => request.header(IF_MATCH, format!("\"{revision}\"")),
        None => request,
    }
}

/// A request that shows a claim, if there is one.
pub(crate) fn showing(request: RequestBuilder, claim: Option<Claim>) -> RequestBuilder {
    match claim {
        Some(claim) => request.header(CLAIM_HEADER, claim.to_string()),
        None => request,
    }
}

/// Whether an earlier attempt of the request may have done what was asked.
pub(crate) fn repeated(error: &Error) -> bool {
    matches!(error, Error::Refused(refusal) if refusal.repeated)
}

fn is_gone(error: &Error) -> bool {
    matches!(error.code(), Some(Code::Gone | Code::NotFound))
}

/// The thing in a reply that must be about `id`.
pub(crate) fn about<T: Noun>(id: &str, reply: &Reply) -> Result<T, Error> {
    let found: T = reply.json()?;
    if found.id() != id {
        return Err(reply.unbelievable(format!("it is about {} {}", T::WORD, found.id())));
    }
    Ok(found)
}

/// Whether what a patch wants, if it wants anything, is there.
pub(crate) fn is<T: PartialEq + ?Sized>(wanted: Option<&T>, found: &T) -> bool {
    wanted.is_none_or(|wanted| wanted == found)
}

/// Whether the VRF that was asked for, `default` if none was, is the one that is there.
pub(crate) fn same_vrf(asked: Option<&ipam_shared::name::Name>, found: &str) -> bool {
    asked.map_or(ipam_shared::api::DEFAULT_VRF, |name| name.as_str()) == found
}
