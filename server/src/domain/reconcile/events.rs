//! What the audit log says is taken: events from before the backup on, as fetched from the lost server.

use std::collections::{BTreeMap, btree_map::Entry};

use ipam_shared::{api::event::Event, cidr::Cidr};
use serde::Deserialize;
use serde_json::Value;
use uuid::Uuid;

use super::Wanted;
use crate::{
    db::{Connection, event},
    error::{Error, Result},
};

/// What a file may hold, any number of times: a page, a list of events, or one event.
#[derive(Deserialize)]
#[serde(untagged)]
enum Piece {
    Page { items: Vec<Event> },
    List(Vec<Event>),
    One(Box<Event>),
}

/// The events of a file, the oldest first.
pub(super) fn read(file: &[u8]) -> Result<Vec<Event>> {
    let mut events = BTreeMap::new();
    for piece in serde_json::Deserializer::from_slice(file).into_iter::<Piece>() {
        let piece = piece.map_err(|error| {
            Error::invalid(format!(
                "the file of events is not what GET /api/v1/events returns: {error}"
            ))
        })?;
        let items = match piece {
            Piece::Page { items } | Piece::List(items) => items,
            Piece::One(event) => vec![*event],
        };
        for event in items {
            match events.entry(event.id) {
                Entry::Vacant(place) => drop(place.insert(event)),
                // Pages that were fetched while new events arrived overlap.
                Entry::Occupied(known) if *known.get() == event => {}
                Entry::Occupied(_) => {
                    return Err(Error::invalid(format!(
                        "the file has two different events with the id {}: do they come from one database?",
                        event.id
                    )));
                }
            }
        }
    }
    Ok(events.into_values().collect())
}

/// Whether the events begin where the database ends, or before: otherwise events in between may be missing.
pub(super) async fn check_continues(db: &mut Connection, log: &[Event]) -> Result<()> {
    let Some(first) = log.first() else {
        return Err(Error::invalid(
            "the file has no events; is it the right file?",
        ));
    };
    if event::is_known(db, first).await? {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "the first event of the file ({}, of {}) is not in this database, so that there may be others before it that are in \
         neither: get the events from a time before the backup on, without any filter but \"after\"",
        first.id, first.at
    )))
}

/// What is taken after all these events, and, in sentences, what is unclear.
pub(super) fn wanted(log: &[Event]) -> (Vec<Wanted>, Vec<String>) {
    let mut held: BTreeMap<Uuid, Vec<Wanted>> = BTreeMap::new();
    let mut unclear: BTreeMap<Uuid, Vec<String>> = BTreeMap::new();
    for event in log {
        let found = match event.action.as_str() {
            "allocation.create" | "allocation.import" | "allocation.resize" => blocks(event),
            "reservation.create" | "reservation.import" => reserved(event),
            "allocation.release" | "reservation.delete" => Ok(Vec::new()),
            _ => continue,
        };
        match found {
            Ok(found) => {
                held.insert(event.subject, found);
                unclear.remove(&event.subject);
            }
            Err(why) => {
                held.remove(&event.subject);
                unclear.insert(event.subject, why);
            }
        }
    }
    let mut wanted: Vec<_> = held.into_values().flatten().collect();
    // What lies in something larger comes after it.
    wanted.sort_by_key(|one| one.cidr.prefix_length());
    (wanted, unclear.into_values().flatten().collect())
}

fn cidrs(value: &Value) -> Option<Vec<Cidr>> {
    serde_json::from_value(value.clone()).ok()
}

/// The blocks of an allocation; otherwise why they are not known.
fn blocks(event: &Event) -> std::result::Result<Vec<Wanted>, Vec<String>> {
    let detail = &event.detail;
    let vpc = detail["vpc"].as_str().unwrap_or_default();
    let Some(cidrs) = cidrs(&detail["cidrs"]) else {
        return Err(vec![format!(
            "event {} ({}) says no CIDRs",
            event.id, event.action
        )]);
    };
    let whats = cidrs.iter().map(|cidr| match detail["name"].as_str() {
        Some(name) => format!("{cidr} of allocation \"{vpc}/{name}\""),
        None => format!("{cidr} of an allocation of VPC \"{vpc}\""),
    });
    let vrfs: Option<Vec<String>> = serde_json::from_value(detail["vrfs"].clone()).ok();
    let Some(vrfs) = vrfs.filter(|vrfs| vrfs.len() == cidrs.len()) else {
        // Written by an earlier release. In which VRF a pool's name was resolved depends on what existed at that time.
        return Err(whats
            .map(|what| {
                format!(
                    "{what}: event {} was written by an earlier release and does not say in which VRF that is; reserve it \
                     there, or use an export",
                    event.id
                )
            })
            .collect());
    };
    Ok(cidrs
        .iter()
        .zip(whats)
        .zip(vrfs)
        .map(|((cidr, what), vrf)| Wanted {
            vrf,
            cidr: *cidr,
            owner: Some(event.subject),
            what,
        })
        .collect())
}

fn reserved(event: &Event) -> std::result::Result<Vec<Wanted>, Vec<String>> {
    let detail = &event.detail;
    let cidr = detail["cidr"].as_str().and_then(|text| text.parse().ok());
    let (Some(cidr), Some(vrf)) = (cidr, detail["vrf"].as_str()) else {
        return Err(vec![format!(
            "event {} ({}) says no network",
            event.id, event.action
        )]);
    };
    let reason = detail["reason"].as_str().unwrap_or_default();
    let reason: String = reason.chars().take(500).collect();
    Ok(vec![Wanted {
        vrf: vrf.to_owned(),
        cidr,
        owner: None,
        what: format!("{cidr}, reserved: {reason}"),
    }])
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn event(id: i64, action: &str, subject: u128, detail: Value) -> Value {
        json!({
            "id": id, "at": "2026-01-01T00:00:00Z", "actor": "admin", "action": action,
            "subject": Uuid::from_u128(subject), "request_id": Uuid::nil(), "detail": detail,
        })
    }

    fn pair(vrf: &str, cidr: &str) -> Value {
        json!({"vpc": "prod", "name": "a", "cidrs": [cidr, "100.64.0.0/18"], "vrfs": ["default", vrf]})
    }

    #[test]
    fn what_is_taken_after_all_events_is_wanted() {
        let reservation =
            json!({"cidr": "10.9.0.0/16", "vrf": "dev", "reason": "office", "pools": []});
        let newest = json!({ "items": [
            event(9, "reservation.delete", 5, reservation.clone()),
            event(8, "allocation.release", 2, pair("default", "10.0.4.0/23")),
            event(7, "allocation.resize", 1, pair("dev", "10.0.0.0/22")),
            event(6, "vpc.update", 7, json!({"name": "other"})),
        ], "next_cursor": "6" });
        let older = json!([
            event(6, "vpc.update", 7, json!({"name": "other"})),
            event(5, "reservation.create", 4, reservation.clone()),
            event(4, "reservation.create", 5, reservation),
            event(3, "allocation.create", 2, pair("default", "10.0.4.0/23")),
        ]);
        let oldest = event(2, "allocation.create", 1, pair("dev", "10.0.0.0/23"));
        let file = format!("{newest}\n{older}\n{oldest}");
        let log = read(file.as_bytes()).unwrap();
        assert_eq!(log.first().unwrap().id, 2);
        assert_eq!(log.len(), 8);
        let (found, unclear) = wanted(&log);
        let found: Vec<_> = found
            .iter()
            .map(|one| (one.vrf.as_str(), one.cidr.to_string(), one.owner.is_some()))
            .collect();
        assert_eq!(
            found,
            [
                ("dev", "10.9.0.0/16".to_owned(), false),
                ("dev", "100.64.0.0/18".to_owned(), true),
                ("default", "10.0.0.0/22".to_owned(), true),
            ]
        );
        assert!(unclear.is_empty(), "{unclear:?}");
    }

    #[test]
    fn events_of_an_earlier_release_are_not_guessed_at() {
        let old = json!({"vpc": "prod", "name": null, "cidrs": ["10.0.0.0/23", "100.64.0.0/18"]});
        let file = event(1, "allocation.create", 1, old.clone()).to_string();
        let (found, unclear) = wanted(&read(file.as_bytes()).unwrap());
        assert!(found.is_empty());
        assert_eq!(unclear.len(), 2, "{unclear:?}");
        assert!(unclear[0].starts_with("10.0.0.0/23 of an allocation of VPC \"prod\""));
        // What was released meanwhile is not reported.
        let file = file + &event(2, "allocation.release", 1, old).to_string();
        let (found, unclear) = wanted(&read(file.as_bytes()).unwrap());
        assert!(found.is_empty() && unclear.is_empty());
    }

    #[test]
    fn what_is_no_list_of_events_is_refused() {
        for file in ["{\"kind\": \"pool\"}", "cidr,vpc\n10.0.0.0/24,a\n", "[1]"] {
            assert!(read(file.as_bytes()).is_err(), "{file}");
        }
        let (one, other) = (
            event(1, "vpc.delete", 1, json!({})),
            event(1, "vpc.delete", 2, json!({})),
        );
        assert!(read(format!("{one}{one}").as_bytes()).is_ok());
        assert!(read(format!("{one}{other}").as_bytes()).is_err());
    }
}
