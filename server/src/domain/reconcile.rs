//! After a restore: what was allocated since the backup is taken out of circulation, as far as a newer record knows it;
//! then the database is marked as belonging where it is.
//!
//! Nothing is handed out until then, so the steps need not be one transaction: what an interrupted run reserved is found by
//! the next.

mod events;

use std::collections::{BTreeSet, HashMap};

use ipam_shared::{
    api::{
        DEFAULT_VRF,
        reservation::NewReservation,
        transfer::{Format, Kind, Record},
    },
    cidr::{Cidr, Family},
    ids::ReservationId,
    labels::Labels,
};
use serde_json::json;

use super::{Caller, Ipam, change::commit, transfer::read_records};
use crate::{
    db::{
        event::{self, Event},
        identity,
        lock::Locks,
        reconcile::{self as rows, Taken},
    },
    error::{Error, Result},
};

/// What is known of the time between the backup and the restore.
#[derive(Clone, Debug)]
pub struct Evidence {
    /// An export that is newer than the backup.
    pub export: Option<(Vec<u8>, Format)>,
    /// The audit log since before the backup, as pages of `GET /api/v1/events`.
    pub events: Option<Vec<u8>>,
    /// Whether it is accepted that unknown allocations may be lost.
    pub accept_loss: bool,
    /// Whether nothing was changed after the backup, because the database was moved on purpose.
    pub moved: bool,
}

/// What a reconciliation did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reconciled {
    /// Whether there was anything to do.
    pub was_restored: bool,
    /// Networks that were taken out of circulation.
    pub reserved: u64,
    /// What the export or the events contain but could not be taken out of circulation, in sentences. Then nothing was
    /// done, unless a loss is accepted.
    pub conflicts: Vec<String>,
}

/// A network that the newer record says is taken.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Wanted {
    vrf: String,
    cidr: Cidr,
    /// The allocation that has it.
    owner: Option<uuid::Uuid>,
    what: String,
}

impl Ipam {
    /// Refuses to hand out space from a database that was restored.
    pub(super) fn may_hand_out(&self) -> Result<()> {
        if self.db.standing.is_restored() {
            Err(Error::Restored)
        } else {
            Ok(())
        }
    }

    /// Whether the database was restored and not reconciled yet.
    pub fn is_restored(&self) -> bool {
        self.db.standing.is_restored()
    }

    /// Periodically checks where the database is, to detect a restore into a database that stays connected, and the end of
    /// a reconciliation.
    pub async fn look_at_origin_forever(self) {
        loop {
            tokio::time::sleep(std::time::Duration::from_secs(1)).await;
            let look = async {
                let mut connection = self.read().await?;
                identity::look(&mut connection, &self.db.standing).await?;
                Ok::<_, Error>(())
            };
            if let Err(error) = look.await {
                tracing::debug!(%error, "could not check whether the database was restored; trying again");
            }
        }
    }

    /// Takes what is newer than the backup out of circulation, and lets space be handed out again.
    pub async fn reconcile(&self, caller: Caller, evidence: Evidence) -> Result<Reconciled> {
        let mut connection = self.read().await?;
        let found = identity::find(&mut connection).await?;
        if !found.is_some_and(|found| found.is_restored) {
            return Ok(Reconciled::default());
        }
        let mut done = Reconciled {
            was_restored: true,
            ..Reconciled::default()
        };
        let newer = match (&evidence.export, &evidence.events) {
            (Some((file, format)), _) => Some(wanted(&read_records(file, *format)?)?),
            (None, Some(file)) => {
                let log = events::read(file)?;
                events::check_continues(&mut connection, &log).await?;
                let (wanted, unclear) = events::wanted(&log);
                done.conflicts = unclear;
                Some(wanted)
            }
            (None, None) => None,
        };
        if let Some(wanted) = newer {
            let taken = rows::taken(&mut connection).await?;
            let (missing, conflicts) = missing(wanted, &taken);
            done.conflicts.extend(conflicts);
            if !done.conflicts.is_empty() && !evidence.accept_loss {
                return Ok(done);
            }
            drop(connection);
            for one in missing {
                match self.set_aside(&caller, &one).await {
                    Ok(()) => done.reserved += 1,
                    Err(
                        error
                        @ (Error::Overlap { .. } | Error::Claimed { .. } | Error::NotFound(_)),
                    ) => {
                        done.conflicts.push(format!("{}: {error}", one.what));
                    }
                    Err(error) => return Err(error),
                }
            }
            if !done.conflicts.is_empty() && !evidence.accept_loss {
                return Ok(done);
            }
        }
        let mut transaction = self.begin(&Locks::none()).await?;
        identity::update(&mut transaction).await?;
        let event = Event {
            action: "database.reconcile",
            subject: ReservationId::generate().0,
            caller: &caller,
            detail: json!({
                "export": evidence.export.is_some(),
                "events": evidence.events.is_some(),
                "accept_loss": evidence.accept_loss,
                "moved": evidence.moved,
                "reserved": done.reserved,
                "conflicts": done.conflicts.len(),
            }),
        };
        event::insert(&mut transaction, &[event]).await?;
        commit(transaction).await?;
        Ok(done)
    }

    async fn set_aside(&self, caller: &Caller, wanted: &Wanted) -> Result<()> {
        let name = |text: &str| {
            text.parse()
                .map_err(|error| Error::invalid(format!("the name {text:?}: {error}")))
        };
        let new = NewReservation {
            cidr: wanted.cidr,
            vrf: Some(name(&wanted.vrf)?),
            reason: format!(
                "taken since the backup that this database was restored from: {}; found by ipam reconcile",
                wanted.what
            ),
            labels: Labels::default(),
        };
        self.take_out(caller.clone().into(), new).await.map(drop)
    }
}

/// What an export says is taken. Ranges of pools without a parent are not: what is allocated from them is.
fn wanted(records: &[Record]) -> Result<Vec<Wanted>> {
    let name = |name: &Option<ipam_shared::name::Name>| {
        name.as_ref()
            .map_or(DEFAULT_VRF.to_owned(), |name| name.as_str().to_owned())
    };
    let pools: BTreeSet<(String, String)> = records
        .iter()
        .filter(|record| record.kind == Kind::Pool)
        .filter_map(|record| Some((name(&record.vrf), record.pool.as_ref()?.to_string())))
        .collect();
    let mut found = Vec::new();
    for record in records {
        let Some(cidr) = record.cidr else {
            continue;
        };
        let (vrf, owner, what) = match record.kind {
            Kind::Allocation => {
                let own = name(&record.vrf);
                let pool = record.pool.as_ref().map(ToString::to_string);
                // Resolved as the address plan does: the pool of the VPC's VRF, else that of `default`.
                let vrf = match pool.as_deref().map(|pool| (pool, pool.split_once('/'))) {
                    Some((_, Some((vrf, _)))) => vrf.to_owned(),
                    Some((pool, None)) if !pools.contains(&(own.clone(), pool.to_owned())) => {
                        DEFAULT_VRF.to_owned()
                    }
                    _ => own,
                };
                let vpc = record.vpc.as_ref().map_or("", |vpc| vpc.as_str());
                let what = match &record.name {
                    Some(name) => format!("{cidr} of allocation \"{vpc}/{name}\""),
                    None => format!("{cidr} of an allocation of VPC \"{vpc}\""),
                };
                (vrf, record.id, what + &made_for(record))
            }
            Kind::Reservation => {
                let reason = record.reason.as_deref().unwrap_or_default();
                let reason: String = reason.chars().take(500).collect();
                (
                    name(&record.vrf),
                    None,
                    format!("{cidr}, reserved: {reason}") + &made_for(record),
                )
            }
            _ => continue,
        };
        found.push(Wanted {
            vrf,
            cidr,
            owner,
            what,
        });
    }
    if found.is_empty() {
        return Err(Error::invalid(
            "the export has no allocation and no reservation; is it the right file?",
        ));
    }
    // A network comes after those that contain it.
    found.sort_by_key(|one| one.cidr.prefix_length());
    Ok(found)
}

/// Whom to ask about it.
fn made_for(record: &Record) -> String {
    let owner = record.owner.as_ref();
    owner.map_or_else(String::new, |owner| format!(", made for \"{owner}\""))
}

/// What is still in circulation here, and what can't be reserved because somebody else has it here.
fn missing(wanted: Vec<Wanted>, taken: &HashMap<String, Vec<Taken>>) -> (Vec<Wanted>, Vec<String>) {
    let (mut missing, mut conflicts) = (Vec::new(), Vec::new());
    for one in wanted {
        let here = taken.get(&one.vrf).map(Vec::as_slice).unwrap_or_default();
        let mut pieces = vec![one.cidr];
        let mut is_in_conflict = false;
        for other in overlapping(here, one.cidr) {
            if other.is_child_range && other.cidr.contains(one.cidr) {
                continue;
            }
            if other.is_reserved || one.owner.is_some() && other.allocation == one.owner {
                pieces = pieces
                    .into_iter()
                    .flat_map(|piece| without(piece, other.cidr))
                    .collect();
                continue;
            }
            is_in_conflict = true;
            let whose = match &other.name {
                Some(name) => format!(
                    "belongs here to allocation \"{name}\", which was released since the backup; release it"
                ),
                None => "is out of circulation here, as it cools down or is a range of a child pool; wait until it has \
                         cooled down, or release the pool's range"
                    .to_owned(),
            };
            conflicts.push(format!("{}: {} {whose}", one.what, other.cidr));
        }
        if !is_in_conflict {
            missing.extend(pieces.into_iter().map(|cidr| Wanted {
                cidr,
                ..one.clone()
            }));
        }
    }
    (missing, conflicts)
}

/// Those that overlap a network, of networks in address order that may nest.
fn overlapping(taken: &[Taken], cidr: Cidr) -> impl Iterator<Item = &Taken> {
    let key = |cidr: Cidr| {
        (
            cidr.family() == Family::Ipv6,
            cidr.number(),
            cidr.prefix_length(),
        )
    };
    let from = move |cidr: Cidr| {
        let first = taken.partition_point(|other| key(other.cidr) < key(cidr));
        taken.get(first..).unwrap_or_default().iter()
    };
    let around = (0..cidr.prefix_length())
        .filter_map(move |length| cidr.ancestor(length))
        .flat_map(move |wider| from(wider).take_while(move |other| other.cidr == wider));
    around.chain(from(cidr).take_while(move |other| cidr.contains(other.cidr)))
}

/// What is left of a network without another one.
fn without(cidr: Cidr, other: Cidr) -> Vec<Cidr> {
    if other.contains(cidr) {
        return Vec::new();
    }
    let Some((low, high)) = cidr.halves().filter(|_| cidr.contains(other)) else {
        return vec![cidr];
    };
    let mut left = without(low, other);
    left.extend(without(high, other));
    left
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cidr(text: &str) -> Cidr {
        text.parse().unwrap()
    }

    fn owned(cidr: Cidr, owner: u128) -> Taken {
        Taken {
            cidr,
            allocation: Some(uuid::Uuid::from_u128(owner)),
            name: Some("prod/x".to_owned()),
            is_reserved: false,
            is_child_range: false,
        }
    }

    fn check(wanted: &[(&str, u128)], here: Vec<Taken>) -> (Vec<String>, usize) {
        let wanted = wanted.iter().map(|(text, owner)| Wanted {
            vrf: DEFAULT_VRF.to_owned(),
            cidr: cidr(text),
            owner: Some(uuid::Uuid::from_u128(*owner)),
            what: (*text).to_owned(),
        });
        let here = HashMap::from([(DEFAULT_VRF.to_owned(), here)]);
        let (missing, conflicts) = missing(wanted.collect(), &here);
        let missing = missing.iter().map(|one| one.cidr.to_string());
        (missing.collect(), conflicts.len())
    }

    #[test]
    fn only_what_the_database_does_not_know_is_missing() {
        let here = vec![
            owned(cidr("10.0.0.0/24"), 1),
            Taken {
                is_reserved: true,
                allocation: None,
                ..owned(cidr("10.0.2.0/23"), 0)
            },
            Taken {
                is_child_range: true,
                allocation: None,
                name: None,
                ..owned(cidr("10.1.0.0/16"), 0)
            },
            owned(cidr("10.1.0.0/24"), 2),
            owned(cidr("10.2.0.0/25"), 3),
        ];
        let none: Vec<String> = Vec::new();
        for (wanted, missing, conflicts) in [
            // The same network, a part of it after it shrank, or the rest of it after it grew.
            (("10.0.0.0/24", 1), none.clone(), 0),
            (("10.0.0.0/25", 1), none.clone(), 0),
            (("10.0.0.0/23", 1), vec!["10.0.1.0/24".to_owned()], 0),
            // A reservation keeps it out of circulation, even one by an interrupted run.
            (("10.0.3.0/24", 9), none.clone(), 0),
            (("10.0.0.0/22", 1), vec!["10.0.1.0/24".to_owned()], 0),
            // In the range of a child pool only its contents count; a network that contains the range conflicts with the
            // pool.
            (("10.1.1.0/24", 9), vec!["10.1.1.0/24".to_owned()], 0),
            (("10.1.0.0/25", 9), none.clone(), 1),
            (("10.0.0.0/15", 9), none.clone(), 3),
            // Somebody else has it or a part of it here.
            (("10.2.0.0/24", 9), none.clone(), 1),
            (("10.2.0.0/26", 9), none.clone(), 1),
            (("10.3.0.0/24", 9), vec!["10.3.0.0/24".to_owned()], 0),
            (("2001:db8::/32", 9), vec!["2001:db8::/32".to_owned()], 0),
        ] {
            assert_eq!(
                check(&[wanted], here.clone()),
                (missing, conflicts),
                "{wanted:?}"
            );
        }
    }

    #[test]
    fn a_block_is_wanted_in_the_vrf_of_its_pool() {
        let export = r#"{"kind":"vrf","vrf":"dev"}
{"kind":"pool","vrf":"dev","pool":"cgnat","cidr":"100.64.0.0/10"}
{"kind":"pool","pool":"primary","cidr":"10.0.0.0/16"}
{"vrf":"dev","vpc":"a","name":"x","pool":"cgnat","cidr":"100.64.0.0/18"}
{"vrf":"dev","vpc":"a","name":"x","pool":"primary","cidr":"10.0.0.0/23"}
{"vrf":"dev","vpc":"a","pool":"default/primary","cidr":"10.0.2.0/24"}
{"kind":"reservation","vrf":"dev","cidr":"192.0.2.0/24","reason":"office"}"#;
        let records = read_records(export.as_bytes(), Format::Json).unwrap();
        let found = wanted(&records).unwrap();
        let found: Vec<_> = found
            .iter()
            .map(|one| (one.cidr.to_string(), one.vrf.as_str()))
            .collect();
        let expected = [
            ("100.64.0.0/18", "dev"),
            ("10.0.0.0/23", "default"),
            ("10.0.2.0/24", "default"),
            ("192.0.2.0/24", "dev"),
        ];
        assert_eq!(found, expected.map(|(cidr, vrf)| (cidr.to_owned(), vrf)));
        let pools = &records[..3];
        assert!(
            wanted(pools)
                .unwrap_err()
                .to_string()
                .contains("right file")
        );
        assert!(read_records(b"cidr,vpc\n10.0.0.0/99,a\n", Format::Csv).is_err());
    }
}
