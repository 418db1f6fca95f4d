//! Calls about current and past holders, free space, and the audit log.

use ipam_shared::{
    api::{
        event::{Event, EventFilter, Feed, FeedParams, Head},
        lookup::{HistoryQuery, Holder, Lookup, LookupQuery},
        pool::{FreeQuery, PoolFree},
    },
    page::Page,
};
use reqwest::Method;

use crate::{Client, Error};

impl Client {
    /// Who holds an address or a network, or held it at a given time.
    pub async fn lookup(&self, query: &LookupQuery) -> Result<Lookup, Error> {
        self.send(self.api(Method::GET, &["lookup"]).query(query))
            .await?
            .json()
    }

    /// The current holders of a network, followed by past ones, latest first, from the query's cursor on: at most `most`,
    /// which is at least 1, and whether there may be more.
    pub async fn first_of_history(
        &self,
        query: &HistoryQuery,
        most: usize,
    ) -> Result<(Vec<Holder>, bool), Error> {
        self.first("history", query, most).await
    }

    /// One page of the audit log, newest first. It may be short; only a missing cursor ends the list.
    pub async fn events(&self, filter: &EventFilter) -> Result<Page<Event>, Error> {
        self.list("events", filter).await
    }

    /// The newest events that match the filter, from its cursor on, at most `most`, which is at least 1, and whether there
    /// may be more.
    pub async fn first_events(
        &self,
        filter: &EventFilter,
        most: usize,
    ) -> Result<(Vec<Event>, bool), Error> {
        self.first("events", filter, most).await
    }

    /// What happened after an event, oldest first and without gaps; from now on if `after` is not given. It may wait.
    pub async fn event_feed(&self, params: &FeedParams) -> Result<Feed, Error> {
        let request = self.api(Method::GET, &["events", "feed"]).query(params);
        self.send(request).await?.json()
    }

    /// How far the audit log is sealed.
    pub async fn audit_head(&self) -> Result<Head, Error> {
        self.send(self.api(Method::GET, &["events", "head"]))
            .await?
            .json()
    }

    /// Whether the pool with that id or name has room for a block, and what to do if it does not.
    pub async fn pool_free(&self, id_or_name: &str, query: &FreeQuery) -> Result<PoolFree, Error> {
        self.send(
            self.api(Method::GET, &["pools", id_or_name, "free"])
                .query(query),
        )
        .await?
        .json()
    }
}
