//! What the audit log has although it changed nothing: requests that were denied, keys that were wrong or had expired, and
//! exports. They are counted here and recorded twice a minute, those of a kind as one event, so that an attack neither
//! fills the disk nor waits for it.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};

use ipam_shared::api::event::Source;
use serde_json::json;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{
    Caller, Ipam,
    change::{commit, detached},
};
use crate::{
    db::{event, lock::Locks},
    error::Result,
    front::owner,
    rights::Rights,
    text::moment,
};

/// How many kinds of an action are told apart between two recordings. What comes beyond is recorded by its action alone: so
/// what one of them floods says nothing less of the others.
const KINDS: usize = 48;

/// Who tried something without a valid key.
const NOBODY: &str = "nobody";
/// Who did what is beyond [`KINDS`].
const SEVERAL: &str = "several";

/// Something to be recorded.
#[derive(Clone, Debug)]
pub struct Note {
    /// Such as `access.denied`.
    pub action: &'static str,
    /// Who; none without a valid key.
    pub actor: Option<String>,
    /// Where it came from.
    pub source: Source,
    /// Method and route; nothing for a wrong key, of which the route says nothing.
    pub request: Option<String>,
    /// The request, in the server's log.
    pub request_id: Uuid,
}

/// What is told apart.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Kind {
    action: &'static str,
    actor: String,
    token: Option<Uuid>,
    address: Option<IpAddr>,
    request: Option<String>,
}

/// Those of a kind.
#[derive(Debug)]
struct Group {
    count: u64,
    since: OffsetDateTime,
    until: OffsetDateTime,
    source: Source,
    /// The last one.
    request_id: Uuid,
}

/// What was noted since the last recording.
#[derive(Debug, Default)]
pub(super) struct Noted(Mutex<HashMap<Kind, Group>>);

impl Noted {
    fn add(&self, kind: Kind, group: Group) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let of_action = all.keys().filter(|other| other.action == kind.action);
        let is_room = of_action.count() < KINDS || all.contains_key(&kind);
        let (kind, mut group) = if is_room {
            (kind, group)
        } else {
            let kind = Kind {
                action: kind.action,
                actor: SEVERAL.to_owned(),
                token: None,
                address: None,
                request: None,
            };
            let source = Source::default();
            (kind, Group { source, ..group })
        };
        if let Some(before) = all.get(&kind) {
            group.count += before.count;
            group.since = group.since.min(before.since);
            group.until = group.until.max(before.until);
        }
        all.insert(kind, group);
    }

    fn take(&self) -> HashMap<Kind, Group> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Ipam {
    /// Notes something; it is recorded within a minute.
    pub fn note_later(&self, note: Note) {
        let now = OffsetDateTime::now_utc();
        // A network of IPv6 has more addresses than anybody can tell apart; it counts as one where nothing else says who it is.
        let address = match note.actor {
            Some(_) => note.source.address,
            None => note.source.address.map(owner),
        };
        let kind = Kind {
            action: note.action,
            actor: note.actor.unwrap_or_else(|| NOBODY.to_owned()),
            token: note.source.token.map(|id| id.0),
            address,
            request: note.request,
        };
        let group = Group {
            count: 1,
            since: now,
            until: now,
            source: note.source,
            request_id: note.request_id,
        };
        self.noted.add(kind, group);
    }

    /// Records what was noted. What can't be recorded now is kept for the next time.
    pub async fn write_notes(&self) -> Result<()> {
        let noted = self.noted.take();
        if noted.is_empty() {
            return Ok(());
        }
        let ipam = self.clone();
        detached(async move {
            let written = ipam.write(&noted).await;
            if written.is_err() {
                for (kind, group) in noted {
                    ipam.noted.add(kind, group);
                }
            }
            written
        })
        .await
    }

    async fn write(&self, noted: &HashMap<Kind, Group>) -> Result<()> {
        let mut groups: Vec<_> = noted.iter().collect();
        groups.sort_by_key(|(_, group)| group.since);
        let callers: Vec<_> = groups
            .iter()
            .map(|(kind, group)| caller(kind, group))
            .collect();
        let mut events = Vec::new();
        for ((kind, group), caller) in groups.iter().zip(&callers) {
            let mut detail = json!({
                "count": group.count, "since": moment(group.since), "until": moment(group.until),
            });
            if let Some(request) = &kind.request {
                detail["request"] = json!(request);
            }
            let subject = kind.token.unwrap_or_default();
            events.push(caller.event(kind.action, subject, &detail)?);
        }
        let mut transaction = self.begin(&Locks::none()).await?;
        event::insert(&mut transaction, &events).await?;
        commit(transaction).await
    }
}

fn caller(kind: &Kind, group: &Group) -> Caller {
    Caller {
        actor: kind.actor.clone(),
        request_id: group.request_id,
        rights: Rights::all(),
        source: Some(Arc::new(group.source.clone())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(noted: &Noted, address: u32, action: &'static str) {
        let now = OffsetDateTime::now_utc();
        let source = Source {
            address: Some(IpAddr::V4(address.into())),
            ..Source::default()
        };
        let kind = Kind {
            action,
            actor: NOBODY.to_owned(),
            token: None,
            address: source.address,
            request: None,
        };
        let group = Group {
            count: 1,
            since: now,
            until: now,
            source,
            request_id: Uuid::nil(),
        };
        noted.add(kind, group);
    }

    #[test]
    fn a_flood_of_one_action_hides_nobody_who_did_another() {
        let noted = Noted::default();
        for number in 0..10_000 {
            add(&noted, number, "access.denied");
        }
        add(&noted, 7, "plan.export");
        let all = noted.take();
        let exports: Vec<_> = all
            .keys()
            .filter(|kind| kind.action == "plan.export")
            .collect();
        assert_eq!(exports.len(), 1);
        assert_eq!(
            (exports[0].actor.as_str(), exports[0].address),
            (NOBODY, Some([0, 0, 0, 7].into()))
        );
    }

    #[test]
    fn a_crowd_is_counted_and_takes_no_more_room_than_a_few() {
        let noted = Noted::default();
        for number in 0..10_000 {
            add(&noted, number, "access.wrong_key");
            add(&noted, 7, "access.denied");
        }
        let all = noted.take();
        assert!(all.len() <= KINDS + 2, "{}", all.len());
        let of = |action| {
            let groups = all.iter().filter(|(kind, _)| kind.action == action);
            groups.map(|(_, group)| group.count).sum::<u64>()
        };
        assert_eq!(
            (of("access.wrong_key"), of("access.denied")),
            (10_000, 10_000)
        );
        let several = all.iter().find(|(kind, _)| kind.actor == SEVERAL);
        let (kind, group) = several.expect("some are beyond");
        assert_eq!((kind.address, &group.source), (None, &Source::default()));
        assert!(noted.take().is_empty());
    }
}
