//! Who owns what: a creation happens once for its owner, however often it is repeated.
//!
//! A caller that repeats a creation is given what exists, with a new claim, as long as no owner has shown the claim yet,
//! and only as the same principal and for the same owner. All nouns share these rules; which creations count as the same is
//! defined by each noun. Labels and free text never make a difference: the latest request wins.

use std::collections::HashMap;

use ipam_shared::{
    api::ownership::{
        Confirmation, ConfirmationResult, ConfirmationStatus, MAX_CONFIRMATIONS, Noun, Owned, Owner,
    },
    ids::Claim,
};
use serde_json::json;
use uuid::Uuid;

use super::{
    Caller, Ipam,
    named::{Act, action, missing_id},
    require,
};
use crate::{
    db::{
        Connection,
        event::{self, Event},
        lock::Locks,
        ownership::{self, Made, Standing},
        scope, vpc,
    },
    error::{Error, Result},
    rights::Right,
};

/// Who creates something.
#[derive(Clone, Debug)]
pub struct Maker {
    /// The caller, in which request.
    pub caller: Caller,
    /// For whom.
    pub owner: Option<Owner>,
    /// Whether it may adopt something that already exists.
    pub adopts: bool,
}

impl From<Caller> for Maker {
    fn from(caller: Caller) -> Self {
        Self {
            caller,
            owner: None,
            adopts: true,
        }
    }
}

impl Maker {
    /// What is stored of it.
    pub(super) fn made(&self, claim: Claim) -> Made<'_> {
        Made {
            by: &self.caller.actor,
            owner: self.owner.as_ref(),
            claim,
        }
    }
}

/// What exists, by its name for people and its Terraform import id.
#[derive(Clone, Debug)]
pub(super) struct Title {
    noun: Noun,
    text: String,
    import_id: String,
}

impl Title {
    pub(super) fn of<T: Owned>(thing: &T) -> Self {
        Self::new(T::NOUN, thing.title(), thing.import_id())
    }

    pub(super) fn new(noun: Noun, text: String, import_id: String) -> Self {
        Self {
            noun,
            text,
            import_id,
        }
    }

    /// What to do instead.
    fn advice(&self) -> String {
        let other = match self.noun {
            Noun::Reservation => "choose another network",
            _ => "choose another name",
        };
        format!(
            "{other}, or take it over with: terraform import <address> '{}'",
            self.import_id
        )
    }

    fn claimed(&self, why: &str) -> Error {
        Error::Claimed {
            message: format!("the {} exists, and {why}; {}", self.text, self.advice()),
            import_id: self.import_id.clone(),
        }
    }

    /// This request must not adopt what exists.
    pub(super) fn forbidden(&self) -> Error {
        self.claimed("this request does not adopt what exists (Ipam-Adopt: never)")
    }

    /// It was requested differently before.
    pub(super) fn differs(&self, how: &str) -> Error {
        Error::NameTaken {
            message: format!(
                "the {} exists and was asked for differently ({how}); ask for the same, {}",
                self.text,
                self.advice()
            ),
            import_id: Some(self.import_id.clone()),
        }
    }
}

/// Whether what exists may be adopted by a request for the same.
pub(super) fn judge(maker: &Maker, standing: &Standing, title: &Title) -> Result<()> {
    let of_owner = |owner: &Option<Owner>| match owner {
        Some(owner) => format!("for the owner \"{owner}\""),
        None => "for no owner".to_owned(),
    };
    if standing.confirmed {
        let owner = standing.owner.as_ref();
        let owner = owner.map_or_else(String::new, |owner| format!(" (\"{owner}\")"));
        return Err(title.claimed(&format!(
            "its owner{owner} has confirmed it, so asking for the same does not adopt it"
        )));
    }
    match &standing.created_by {
        None => return Err(title.claimed("it is no longer known who created it")),
        Some(by) if *by != maker.caller.actor => {
            return Err(title.claimed(&format!(
                "it was made with another key, {}",
                of_owner(&standing.owner)
            )));
        }
        Some(_) => {}
    }
    if standing.owner != maker.owner {
        return Err(title.claimed(&format!(
            "it was made {}, and this request is {}",
            of_owner(&standing.owner),
            of_owner(&maker.owner)
        )));
    }
    if !maker.adopts {
        return Err(title.forbidden());
    }
    Ok(())
}

/// Whether the caller sees what exists, which has the name that it asks for.
pub(super) async fn must_see<T: Owned>(
    db: &mut Connection,
    maker: &Maker,
    thing: &T,
) -> Result<()> {
    let is_limited = maker.caller.rights.scope().is_some();
    if is_limited
        && !scope::unseen(db, &[(T::NOUN, thing.uuid())])
            .await?
            .is_empty()
    {
        return Err(Error::taken(T::NOUN));
    }
    Ok(())
}

/// Whether what exists, whose row is locked, may be adopted by a request for the same.
pub(super) async fn may_adopt<T: Owned>(
    db: &mut Connection,
    maker: &Maker,
    thing: &T,
) -> Result<()> {
    must_see(db, maker, thing).await?;
    let standing = ownership::standing(db, T::NOUN, thing.uuid())
        .await?
        .ok_or_else(|| Error::bug("it was locked"))?;
    judge(maker, &standing, &Title::of(thing))
}

/// Lets the caller adopt what exists, whose row is locked: it gets a new claim, which the reply shows.
pub(super) async fn adopt<T: Owned>(
    db: &mut Connection,
    maker: &Maker,
    thing: &mut T,
    detail: serde_json::Value,
) -> Result<()> {
    let claim = Claim::generate();
    let event = (maker.caller).event(action(T::NOUN, Act::Adopt), thing.uuid(), &detail)?;
    ownership::adopt(db, T::NOUN, thing.uuid(), claim, &[event]).await?;
    thing.set_claim(claim);
    Ok(())
}

/// The claim that was shown is not the thing's.
fn lost(title: &Title) -> Error {
    Error::Claimed {
        message: format!(
            "the {} was adopted by somebody else since this claim was given, such as a copy of the same configuration with \
             another state; if it is yours anyway, take it over with: terraform import <address> '{}'",
            title.text, title.import_id
        ),
        import_id: title.import_id.clone(),
    }
}

impl Ipam {
    /// What was read. With a claim, the reader must be its owner, and is confirmed as such: from now on nobody can adopt it
    /// by asking for the same.
    pub(super) async fn shown<T: Owned + Send + 'static>(
        &self,
        mut connection: Connection,
        caller: Caller,
        mut thing: T,
        claim: Option<Claim>,
    ) -> Result<T> {
        let Some(claim) = claim else {
            return Ok(thing);
        };
        let id = thing.uuid();
        let Some(standing) = ownership::standing(&mut connection, T::NOUN, id).await? else {
            return Err(missing_id(&mut connection, T::NOUN, id).await);
        };
        if standing.claim != claim {
            return Err(lost(&Title::of(&thing)));
        }
        drop(connection);
        if !standing.confirmed {
            let title = Title::of(&thing);
            self.change(caller, Locks::none(), move |mut change| async move {
                let shown = ([id], [claim.0]);
                let new = ownership::confirm(&mut change.db, T::NOUN, &shown.0, &shown.1).await?;
                if new.is_empty() {
                    // Another request was faster: it confirmed, adopted or deleted it.
                    return match ownership::standing(&mut change.db, T::NOUN, id).await? {
                        None => Err(missing_id(&mut change.db, T::NOUN, id).await),
                        Some(now) if now.claim != claim => Err(lost(&title)),
                        Some(_) => change.settle(()).await,
                    };
                }
                let event = confirmed(T::NOUN, id, &change.caller);
                event::insert(&mut change.db, &[event]).await?;
                change.commit(()).await
            })
            .await?;
        }
        thing.confirm();
        Ok(thing)
    }

    /// Confirms many claims at once; returns the outcome of each, in their order.
    pub async fn confirm(
        &self,
        caller: Caller,
        claims: Vec<Confirmation>,
    ) -> Result<Vec<ConfirmationResult>> {
        self.settle_claims(caller.into(), claims, false).await
    }

    /// Transfers these things to the caller, whoever had them, with the given claims; returns the outcome of each, in their
    /// order. A previous owner learns of it when showing the old claim.
    pub async fn take_over(
        &self,
        maker: Maker,
        claims: Vec<Confirmation>,
    ) -> Result<Vec<ConfirmationResult>> {
        self.settle_claims(maker, claims, true).await
    }

    async fn settle_claims(
        &self,
        maker: Maker,
        claims: Vec<Confirmation>,
        is_taken: bool,
    ) -> Result<Vec<ConfirmationResult>> {
        if !(1..=MAX_CONFIRMATIONS).contains(&claims.len()) {
            return Err(Error::invalid(format!(
                "a request has 1 to {MAX_CONFIRMATIONS} claims, this one has {}",
                claims.len()
            )));
        }
        let ipam = self.clone();
        self.change(
            maker.caller.clone(),
            Locks::none(),
            move |mut change| async move {
                for shown in &claims {
                    require(&change.caller, Right::to_change(shown.kind))?;
                }
                let things: Vec<_> = claims.iter().map(|shown| (shown.kind, shown.id)).collect();
                let hidden = change.hidden(&things).await?;
                let mut events = Vec::new();
                let mut known: HashMap<(Noun, Uuid), Claim> = HashMap::new();
                // In the global lock order: by noun, and the rows of each by id.
                for noun in Noun::ALL {
                    let shown = claims
                        .iter()
                        .filter(|shown| shown.kind == noun && !hidden.contains(&(noun, shown.id)));
                    let (ids, shown): (Vec<_>, Vec<_>) =
                        shown.map(|shown| (shown.id, shown.claim.0)).unzip();
                    if ids.is_empty() {
                        continue;
                    }
                    if is_taken {
                        let new = ownership::take(
                            &mut change.db,
                            noun,
                            &ids,
                            &shown,
                            maker.owner.as_ref(),
                        )
                        .await?;
                        if noun == Noun::Vpc {
                            vpc::manage(&mut change.db, &new).await?;
                        }
                        events.extend(new.into_iter().map(|id| taken(noun, id, &maker)));
                    } else {
                        let new = ownership::confirm(&mut change.db, noun, &ids, &shown).await?;
                        events.extend(new.into_iter().map(|id| confirmed(noun, id, &maker.caller)));
                    }
                    // Read after locking: what was adopted while we waited for the locks has another claim now.
                    let now = ownership::claims(&mut change.db, noun, &ids).await?;
                    known.extend(now.into_iter().map(|(id, claim)| ((noun, id), claim)));
                }
                let mut results = Vec::with_capacity(claims.len());
                for shown in &claims {
                    let (status, detail) = match known.get(&(shown.kind, shown.id)) {
                        Some(claim) if *claim == shown.claim => {
                            (ConfirmationStatus::Confirmed, None)
                        }
                        Some(_) => {
                            let text = format!("{} {}", shown.kind.word(), shown.id);
                            let title = Title::new(shown.kind, text, shown.id.to_string());
                            (ConfirmationStatus::Claimed, Some(lost(&title).to_string()))
                        }
                        None => {
                            let error = if hidden.is_empty() {
                                missing_id(&mut change.db, shown.kind, shown.id).await
                            } else {
                                missing_id(&mut ipam.read().await?, shown.kind, shown.id).await
                            };
                            let status = match &error {
                                Error::Gone { .. } => ConfirmationStatus::Gone,
                                Error::NotFound(_) => ConfirmationStatus::Unknown,
                                _ => return Err(error),
                            };
                            (status, Some(error.to_string()))
                        }
                    };
                    results.push(ConfirmationResult {
                        id: shown.id,
                        status,
                        detail,
                    });
                }
                if events.is_empty() {
                    return change.settle(results).await;
                }
                event::insert(&mut change.db, &events).await?;
                change.commit(results).await
            },
        )
        .await
    }
}

fn taken(noun: Noun, id: Uuid, maker: &Maker) -> Event<'_> {
    Event {
        action: action(noun, Act::Adopt),
        subject: id,
        caller: &maker.caller,
        detail: json!({ "taken_over": true, "owner": maker.owner }),
    }
}

fn confirmed(noun: Noun, id: Uuid, caller: &Caller) -> Event<'_> {
    Event {
        action: action(noun, Act::Confirm),
        subject: id,
        caller,
        detail: json!({}),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn maker(actor: &str, owner: Option<&str>, adopts: bool) -> Maker {
        Maker {
            caller: Caller::trusted(actor, Uuid::nil()),
            owner: owner.map(|owner| owner.parse().unwrap()),
            adopts,
        }
    }

    fn standing(by: Option<&str>, owner: Option<&str>, confirmed: bool) -> Standing {
        Standing {
            created_by: by.map(ToOwned::to_owned),
            owner: owner.map(|owner| owner.parse().unwrap()),
            claim: Claim::generate(),
            confirmed,
        }
    }

    #[test]
    fn only_the_same_principal_and_owner_is_given_what_nobody_confirmed() {
        let title = Title::new(Noun::Vrf, "VRF \"dev\"".to_owned(), "dev".to_owned());
        let ask = |maker: &Maker, standing: &Standing| judge(maker, standing, &title);
        for owner in [None, Some("ws-1")] {
            let maker = maker("ci", owner, true);
            assert!(ask(&maker, &standing(Some("ci"), owner, false)).is_ok());
            for (standing, word) in [
                (standing(Some("ci"), owner, true), "confirmed"),
                (standing(Some("other"), owner, false), "another key"),
                (standing(None, owner, false), "no longer known"),
                (standing(Some("ci"), Some("ws-2"), false), "\"ws-2\""),
            ] {
                let Err(Error::Claimed { message, import_id }) = ask(&maker, &standing) else {
                    panic!("{standing:?}");
                };
                assert!(message.contains(word), "{message}");
                assert!(
                    message.contains("terraform import <address> 'dev'"),
                    "{message}"
                );
                assert_eq!(import_id, "dev");
            }
        }
        let ours = standing(Some("ci"), Some("ws-1"), false);
        assert!(ask(&maker("ci", None, true), &ours).is_err());
        let never = ask(&maker("ci", Some("ws-1"), false), &ours).unwrap_err();
        assert!(never.to_string().contains("never"), "{never}");
    }
}
