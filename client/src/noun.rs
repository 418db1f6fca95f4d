//! What calls about one thing with an id have in common: creating, reading, changing and deleting it, so that each can be
//! repeated. Names no noun; those are in the other files.
//!
//! A creation is repeatable because the server returns what it created before to the same owner who asks for the same,
//! until that is confirmed. A change that carries a revision recognises its own work: when the first reply was lost and the
//! repeated request is told that the revision is an older one, the thing is read, and if it is as requested, the change was
//! ours. A deletion is by id and not by name, so repeating it can't hit something that was created in between.

use ipam_shared::{
    api::{
        CLAIM_HEADER, allocation::AllocationFilter, event::EventFilter, lookup::HistoryQuery,
        pool::PoolFilter, profile::ProfileFilter, reservation::ReservationFilter,
        token::TokenFilter, vpc::VpcFilter, vrf::VrfFilter, webhook::WebhookFilter,
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
    /// What it is called in a sentence.
    const WORD: &'static str;
    /// The body of a change.
    type Patch: Serialize + Sync;

    /// Its id, as written in paths.
    fn id(&self) -> String;

    /// Whether the server changes nothing, and only says what would come of it.
    fn is_rehearsal(_: &Self::Patch) -> bool {
        false
    }

    /// Whether it is as the patch wants it.
    fn shows(&self, patch: &Self::Patch) -> bool;
}

/// What a list found; nothing, if its filter names something that does not exist.
pub(crate) fn unless_unknown<T>(found: Result<Vec<T>, Error>) -> Result<Vec<T>, Error> {
    match found {
        Err(error) if error.code() == Some(Code::NotFound) => Ok(Vec::new()),
        found => found,
    }
}

/// A thing with a unique name.
pub(crate) trait Named: Noun {
    /// The body of a creation.
    type New: Serialize + Sync;

    /// Whether it is what the request names.
    fn is_named_by(&self, new: &Self::New) -> bool;
}

/// The result of a creation.
#[derive(Clone, Debug, PartialEq)]
pub struct Created<T> {
    /// What the caller has now; it carries the claim.
    pub made: T,
    /// Whether this request created it. If not, it existed already (perhaps created by an earlier attempt of this request),
    /// or it was a dry run.
    pub new: bool,
    /// Whether it existed before the first attempt: the same owner asked for the same before, or, for a VPC, it was created
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

/// The filter of a list.
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
    TokenFilter,
    VpcFilter,
    VrfFilter,
    WebhookFilter,
);

impl Client {
    /// Creates one, or returns what the same owner created before by the same request.
    pub(crate) async fn create<T: Named>(&self, new: &T::New) -> Result<Created<T>, Error> {
        let reply = self.send(self.creation(&[T::PATH]).json(new)).await?;
        let made: T = reply.json()?;
        if made.is_named_by(new) {
            Ok(Created::of(made, &reply))
        } else {
            Err(reply.unbelievable("it is about something that was not asked for".to_owned()))
        }
    }

    /// The one with that id or name. A claim proves that the reader owns it; the first read that shows it confirms the
    /// ownership, and from then on nobody can adopt it by asking for the same.
    pub(crate) async fn get<T: Noun>(
        &self,
        id_or_name: &str,
        claim: Option<Claim>,
    ) -> Result<T, Error> {
        let request = self.api(Method::GET, &[T::PATH, id_or_name]);
        self.send(showing(request, claim)).await?.json()
    }

    /// One page of those that match the filter.
    pub(crate) async fn list<T: DeserializeOwned>(
        &self,
        path: &str,
        filter: &impl Filter,
    ) -> Result<Page<T>, Error> {
        self.send(self.api(Method::GET, &[path]).query(filter))
            .await?
            .json()
    }

    /// All that match the filter, from its cursor on, in as few requests as possible.
    pub(crate) async fn all<T: DeserializeOwned>(
        &self,
        path: &str,
        filter: &impl Filter,
    ) -> Result<Vec<T>, Error> {
        let (items, _) = self.first(path, filter, usize::MAX).await?;
        Ok(items)
    }

    /// The first ones that match the filter, from its cursor on, at most `most`, and whether there are more. No more than
    /// that are requested.
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

    /// Changes the one with that id. With `revision` only if nobody has changed it since; a repeated request that finds its
    /// own change succeeds.
    pub(crate) async fn update<T: Noun>(
        &self,
        id: &str,
        patch: &T::Patch,
        revision: Option<i64>,
    ) -> Result<T, Error> {
        self.update_unless(id, patch, revision, |found: &T| found.shows(patch))
            .await
    }

    /// The same, for cases in which the patch alone does not tell whether the change was made already.
    pub(crate) async fn update_unless<T: Noun>(
        &self,
        id: &str,
        patch: &T::Patch,
        revision: Option<i64>,
        is_done: impl Fn(&T) -> bool + Send,
    ) -> Result<T, Error> {
        let request = self.api(Method::PATCH, &[T::PATH, id]).json(patch);
        let request = if_match(request, revision);
        match self.send_or_rehearse(request, T::is_rehearsal(patch)).await {
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

    /// Deletes the one with that id. With `revision` only if nobody has changed it since. A repeated request that finds
    /// nothing left succeeds, without a reply.
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

    /// Deletes the one with that id, where the reply is empty.
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

/// A change of that revision, or of any: a server may be set to refuse a change that says neither.
pub(crate) fn if_match(request: RequestBuilder, revision: Option<i64>) -> RequestBuilder {
    match revision {
        Some(revision) => request.header(IF_MATCH, format!("\"{revision}\"")),
        None => request.header(IF_MATCH, "*"),
    }
}

/// A request that shows a claim, if there is one.
pub(crate) fn showing(request: RequestBuilder, claim: Option<Claim>) -> RequestBuilder {
    match claim {
        Some(claim) => request.header(CLAIM_HEADER, claim.to_string()),
        None => request,
    }
}

/// Whether an earlier attempt of the request may have had an effect.
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

/// Whether a value is as a patch wants it, if it wants anything.
pub(crate) fn is<T: PartialEq + ?Sized>(wanted: Option<&T>, found: &T) -> bool {
    wanted.is_none_or(|wanted| wanted == found)
}

/// Whether the requested VRF, `default` if none was given, is the actual one.
pub(crate) fn same_vrf(asked: Option<&ipam_shared::name::Name>, found: &str) -> bool {
    asked.map_or(ipam_shared::api::DEFAULT_VRF, |name| name.as_str()) == found
}
