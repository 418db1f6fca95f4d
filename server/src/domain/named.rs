//! How what exists is found: by id, or by name where it has one; and what the log calls its end, and a new owner.

use std::{fmt::Display, str::FromStr};

use ipam_shared::{
    api::{
        allocation::Allocation,
        ownership::{Noun, Owned},
        pool::Pool,
        profile::Profile,
        reservation::Reservation,
        token::Token,
        vpc::Vpc,
        vrf::Vrf,
        webhook::Webhook,
    },
    ids::{
        AllocationId, Claim, PoolId, ProfileId, ReservationId, TokenId, VpcId, VrfId, WebhookId,
    },
};
use uuid::Uuid;

use super::{Caller, Ipam};
use crate::{
    db::{self, Connection, event},
    error::{Error, Result},
};

/// A noun that is found and read in the same way as all others.
pub trait Named: Owned + Sized + Send + 'static {
    /// Its id.
    type Id: Copy + Display + FromStr + Into<Uuid> + Send + Sync;

    /// The id of the one with that id or name; an id wins over a name that looks like one.
    fn find(
        db: &mut Connection,
        id: Option<Self::Id>,
        key: &str,
    ) -> impl Future<Output = Result<Option<Self::Id>>> + Send;

    /// One of them.
    fn get(db: &mut Connection, id: Self::Id) -> impl Future<Output = Result<Option<Self>>> + Send;
}

macro_rules! named {
    ($($type:ident, $id:ident, $find:path, $get:path;)+) => {$(
        impl Named for $type {
            type Id = $id;

            async fn find(db: &mut Connection, id: Option<$id>, key: &str) -> Result<Option<$id>> {
                $find(db, id, key).await
            }

            async fn get(db: &mut Connection, id: $id) -> Result<Option<Self>> {
                $get(db, id).await
            }
        }
    )+};
}

named! {
    Vrf, VrfId, db::vrf::find_id, db::vrf::get;
    Vpc, VpcId, db::vpc::find_id, db::vpc::get;
    Profile, ProfileId, db::profile::find_id, db::profile::get;
    Pool, PoolId, only_pool, db::pool::get;
    Reservation, ReservationId, itself, db::reservation::get;
    Allocation, AllocationId, itself, db::allocation::get;
    Token, TokenId, db::token::find_id, db::token::get;
    Webhook, WebhookId, db::webhook::find_id, db::webhook::get;
}

/// What has no name is found by its id alone.
async fn itself<Id>(_: &mut Connection, id: Option<Id>, _: &str) -> Result<Option<Id>> {
    Ok(id)
}

/// A pool by id, or by name if only one VRF has a pool of that name.
async fn only_pool(db: &mut Connection, id: Option<PoolId>, key: &str) -> Result<Option<PoolId>> {
    let found = db::pool::find(db, id, key).await?;
    match found.as_slice() {
        [] => Ok(None),
        [(only, _)] => Ok(Some(*only)),
        several => match id.filter(|id| several.iter().any(|(found, _)| found == id)) {
            Some(id) => Ok(Some(id)),
            None => {
                let vrfs: Vec<_> = several
                    .iter()
                    .map(|(id, vrf)| format!("\"{vrf}\" ({id})"))
                    .collect();
                Err(Error::invalid(format!(
                    "several VRFs have a pool \"{key}\": {}; ask for it by id",
                    vrfs.join(", ")
                )))
            }
        },
    }
}

impl Ipam {
    /// The id of something by id or name.
    ///
    /// # Errors
    /// Not found, with the key; gone, if the id was deleted.
    pub async fn find<T: Named>(&self, key: &str) -> Result<T::Id> {
        self.found::<T>(&mut self.read().await?, key).await
    }

    async fn found<T: Named>(&self, db: &mut Connection, key: &str) -> Result<T::Id> {
        let id: Option<T::Id> = key.parse().ok();
        match T::find(db, id, key).await? {
            Some(found) => Ok(found),
            None => Err(missing(db, T::NOUN, id.map(Into::into), key).await),
        }
    }

    /// Something by id or name. With a claim, the caller must be its owner, and is confirmed as such: afterwards nobody can
    /// adopt it by repeating the request.
    ///
    /// # Errors
    /// As [`Ipam::find`]; claimed, if the claim is not that of the thing.
    pub async fn show<T: Named>(
        &self,
        caller: Caller,
        key: impl Display,
        claim: Option<Claim>,
    ) -> Result<T> {
        let mut connection = self.read().await?;
        let id = self.found::<T>(&mut connection, &key.to_string()).await?;
        let thing = there(&mut connection, id).await?;
        self.shown(connection, caller, thing, claim).await
    }

    /// Checks that everything a filter names exists. A list that found something need not ask.
    ///
    /// # Errors
    /// Not found, with the name; gone, if an id was deleted.
    pub async fn must_exist(&self, names: &[Option<Filter<'_>>]) -> Result<()> {
        for name in names.iter().flatten() {
            match name {
                Filter::Vrf(key) => drop(self.find::<Vrf>(key).await?),
                Filter::Vpc(key) => drop(self.find::<Vpc>(key).await?),
                Filter::Pool(key) => {
                    let mut connection = self.read().await?;
                    let id: Option<PoolId> = key.parse().ok();
                    if db::pool::find(&mut connection, id, key).await?.is_empty() {
                        let id = id.map(Into::into);
                        return Err(missing(&mut connection, Noun::Pool, id, key).await);
                    }
                }
            }
        }
        Ok(())
    }
}

/// Something that a filter names, by id or name.
#[derive(Clone, Copy, Debug)]
pub enum Filter<'a> {
    /// A VRF.
    Vrf(&'a str),
    /// A VPC.
    Vpc(&'a str),
    /// A pool; of a name, those of all VRFs are meant.
    Pool(&'a str),
}

/// The thing with that id. Called under its lock, so if it is missing, it was deleted before.
pub(super) async fn there<T: Named>(db: &mut Connection, id: T::Id) -> Result<T> {
    match T::get(db, id).await? {
        Some(thing) => Ok(thing),
        None => Err(missing_id(db, T::NOUN, id.into()).await),
    }
}

/// Why nothing has that id.
pub(super) async fn missing_id(db: &mut Connection, noun: Noun, id: Uuid) -> Error {
    missing(db, noun, Some(id), "").await
}

/// Why nothing has that id or name. Deleted differs from unknown: a client may forget what was deleted, but not what a
/// wrong database never knew.
async fn missing(db: &mut Connection, noun: Noun, id: Option<Uuid>, key: &str) -> Error {
    let Some(id) = id else {
        return Error::not_found(format!("there is no {} \"{key}\"", noun.word()));
    };
    let ended = match noun {
        Noun::Allocation => event::release_of(db, AllocationId(id)).await,
        _ => event::end_of(db, id, end(noun)).await,
    };
    match ended {
        Ok(Some((at, by))) => Error::Gone {
            what: format!("{} {id}", noun.word()),
            at,
            by,
        },
        Ok(None) => Error::not_found(unknown(noun, id)),
        Err(error) => error,
    }
}

/// Nothing has that id, or ever had it.
pub(super) fn unknown(noun: Noun, id: Uuid) -> String {
    match noun {
        Noun::Allocation => format!("no allocation has ever had the id {id} in this database"),
        _ => format!("there is no {} with the id {id}", noun.word()),
    }
}

/// The action that deletes a thing.
pub(super) fn end(noun: Noun) -> &'static str {
    match noun {
        Noun::Vrf => "vrf.delete",
        Noun::Profile => "profile.delete",
        Noun::Reservation => "reservation.delete",
        Noun::Pool => "pool.delete",
        Noun::Vpc => "vpc.delete",
        Noun::Allocation => "allocation.release",
        Noun::Token => "token.revoke",
        Noun::Webhook => "webhook.delete",
    }
}

/// What gives a thing an owner or proves ownership.
#[derive(Clone, Copy, Debug)]
pub(super) enum Act {
    Adopt,
    Confirm,
}

/// The name of an event.
pub(super) fn action(noun: Noun, act: Act) -> &'static str {
    match (noun, act) {
        (Noun::Vrf, Act::Adopt) => "vrf.adopt",
        (Noun::Profile, Act::Adopt) => "profile.adopt",
        (Noun::Reservation, Act::Adopt) => "reservation.adopt",
        (Noun::Pool, Act::Adopt) => "pool.adopt",
        (Noun::Vpc, Act::Adopt) => "vpc.adopt",
        (Noun::Allocation, Act::Adopt) => "allocation.adopt",
        (Noun::Token, Act::Adopt) => "token.adopt",
        (Noun::Webhook, Act::Adopt) => "webhook.adopt",
        (Noun::Vrf, Act::Confirm) => "vrf.confirm",
        (Noun::Profile, Act::Confirm) => "profile.confirm",
        (Noun::Reservation, Act::Confirm) => "reservation.confirm",
        (Noun::Pool, Act::Confirm) => "pool.confirm",
        (Noun::Vpc, Act::Confirm) => "vpc.confirm",
        (Noun::Allocation, Act::Confirm) => "allocation.confirm",
        (Noun::Token, Act::Confirm) => "token.confirm",
        (Noun::Webhook, Act::Confirm) => "webhook.confirm",
    }
}
