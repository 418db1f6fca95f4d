//! Who owns what: the same columns in the table of every noun.

use ipam_shared::{
    api::ownership::{Noun, Owner},
    ids::Claim,
};
use sqlx::query;
use uuid::Uuid;

use crate::{
    db::{
        Connection, convert,
        event::{Event, recorded},
    },
    error::Result,
};

/// What a creation keeps of who made something.
#[derive(Clone, Copy, Debug)]
pub struct Made<'a> {
    /// Whose key.
    pub by: &'a str,
    /// For whom.
    pub owner: Option<&'a Owner>,
    /// The claim of the reply.
    pub claim: Claim,
}

impl<'a> Made<'a> {
    /// The owner as the driver takes it.
    pub fn owner(&self) -> Option<&'a str> {
        self.owner.map(Owner::as_str)
    }
}

/// Who made and owns something that exists.
#[derive(Clone, Debug)]
pub struct Standing {
    /// Who made it; none if that is not known.
    pub created_by: Option<String>,
    /// For whom.
    pub owner: Option<Owner>,
    /// Its claim.
    pub claim: Claim,
    /// Whether an owner has shown the claim.
    pub confirmed: bool,
}

/// Runs a statement on the table of a noun.
macro_rules! of_noun {
    ($noun:expr, $statement:ident!($($argument:expr),*)) => {
        match $noun {
            Noun::Vrf => $statement!("vrf", "vrf_id", $($argument),*),
            Noun::Profile => $statement!("profile", "profile_id", $($argument),*),
            Noun::Reservation => $statement!("reservation", "reservation_id", $($argument),*),
            Noun::Pool => $statement!("pool", "pool_id", $($argument),*),
            Noun::Vpc => $statement!("vpc", "vpc_id", $($argument),*),
            Noun::Allocation => $statement!("allocation", "allocation_id", $($argument),*),
            Noun::Token => $statement!("token", "token_id", $($argument),*),
            Noun::Webhook => $statement!("webhook", "webhook_id", $($argument),*),
        }
    };
}

/// Who made and owns one.
pub async fn standing(db: &mut Connection, noun: Noun, id: Uuid) -> Result<Option<Standing>> {
    macro_rules! statement {
        ($table:literal, $id:literal, $db:expr, $value:expr) => {
            query!(
                r#"select created_by as "created_by?", owner, claim, confirmed_at is not null as "confirmed!"
                from "# + $table + " where " + $id + " = $1",
                $value
            )
            .fetch_optional($db)
            .await?
            .map(|row| {
                Ok(Standing {
                    created_by: row.created_by,
                    owner: convert::owner(row.owner)?,
                    claim: Claim(row.claim),
                    confirmed: row.confirmed,
                })
            })
            .transpose()
        };
    }
    of_noun!(noun, statement!(db, id))
}

/// Gives one, whose row is locked, to whoever asked for the same again: a new claim.
pub async fn adopt(
    db: &mut Connection,
    noun: Noun,
    id: Uuid,
    claim: Claim,
    events: &[Event<'_>],
) -> Result<()> {
    macro_rules! statement {
        ($table:literal, $id:literal, $db:expr, $events:expr, $value:expr, $claim:expr) => {
            recorded!(
                $events,
                "update " + $table + " set claim = $8 where " + $id + " = $7",
                $value,
                $claim
            )
            .execute($db)
            .await?
        };
    }
    of_noun!(noun, statement!(db, events, id, claim.0));
    Ok(())
}

/// Confirms those of these pairs of id and claim that are right and were not confirmed before; their ids. Rows are locked in
/// the order of their ids.
pub async fn confirm(
    db: &mut Connection,
    noun: Noun,
    ids: &[Uuid],
    claims: &[Uuid],
) -> Result<Vec<Uuid>> {
    macro_rules! statement {
        ($table:literal, $id:literal, $db:expr, $ids:expr, $claims:expr) => {
            query!(
                "with locked as (
                    select "
                    + $id
                    + " as id from "
                    + $table
                    + "
                        join unnest($1::uuid[], $2::uuid[]) as shown (id, claim)
                        on shown.id = "
                    + $id
                    + " and shown.claim = "
                    + $table
                    + ".claim
                    where confirmed_at is null order by "
                    + $id
                    + " for no key update of "
                    + $table
                    + "
                )
                update "
                    + $table
                    + " set confirmed_at = now() from locked where "
                    + $id
                    + " = locked.id
                returning locked.id",
                $ids,
                $claims
            )
            .fetch_all($db)
            .await?
            .into_iter()
            .map(|row| row.id)
            .collect()
        };
    }
    Ok(of_noun!(noun, statement!(db, ids, claims)))
}

/// Makes these somebody's, whoever had them: each gets the claim that goes with it, and is confirmed. Those that were not
/// so already; their ids. Rows are locked in the order of their ids.
pub async fn take(
    db: &mut Connection,
    noun: Noun,
    ids: &[Uuid],
    claims: &[Uuid],
    owner: Option<&Owner>,
) -> Result<Vec<Uuid>> {
    let owner = owner.map(Owner::as_str);
    macro_rules! statement {
        ($table:literal, $id:literal, $db:expr, $ids:expr, $claims:expr, $owner:expr) => {
            query!(
                "with locked as (
                    select " + $id + " as id, shown.claim from " + $table + "
                        join unnest($1::uuid[], $2::uuid[]) as shown (id, claim) on shown.id = " + $id + "
                    where confirmed_at is null or shown.claim <> " + $table + ".claim
                        or owner is distinct from $3
                    order by " + $id + " for no key update of " + $table + "
                )
                update " + $table + " set claim = locked.claim, owner = $3, confirmed_at = now()
                from locked where " + $id + " = locked.id
                returning locked.id",
                $ids,
                $claims,
                $owner
            )
            .fetch_all(&mut *$db)
            .await?
            .into_iter()
            .map(|row| row.id)
            .collect()
        };
    }
    let taken: Vec<Uuid> = of_noun!(noun, statement!(db, ids, claims, owner));
    Ok(taken)
}

/// Those of these ids that exist, each with its claim.
pub async fn claims(db: &mut Connection, noun: Noun, ids: &[Uuid]) -> Result<Vec<(Uuid, Claim)>> {
    macro_rules! statement {
        ($table:literal, $id:literal, $db:expr, $ids:expr) => {
            query!(
                "select " + $id + " as id, claim from " + $table + " where " + $id + " = any($1)",
                $ids
            )
            .fetch_all($db)
            .await?
            .into_iter()
            .map(|row| (row.id, Claim(row.claim)))
            .collect()
        };
    }
    Ok(of_noun!(noun, statement!(db, ids)))
}
