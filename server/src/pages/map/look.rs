//! The address of a map: what it shows, and how. Everything is in the URL, so that it can be sent to a colleague.

use ipam_shared::cidr::Cidr;
use serde::Deserialize;
use time::{OffsetDateTime, format_description::well_known::Rfc3339, macros::format_description};

use super::super::{error::Failure, query_value};
use crate::{drawing::Layout, picture::By};

/// How many bits one step zooms in or out.
pub(super) const STEP: u8 = 2;

/// The query of a map's address.
#[derive(Clone, Debug, Default, Deserialize)]
pub(in crate::pages) struct Query {
    #[serde(default)]
    vrf: String,
    #[serde(default)]
    at: String,
    #[serde(default)]
    into: String,
    #[serde(default)]
    pick: String,
    #[serde(default)]
    by: String,
    #[serde(default)]
    view: String,
    #[serde(default)]
    time: String,
    #[serde(default)]
    since: String,
    #[serde(default)]
    after: String,
}

/// What a map shows, and how.
#[derive(Clone, Debug)]
pub(in crate::pages) struct Look {
    /// The page without its query.
    pub(super) path: String,
    /// The VRF, of a map that is not that of a pool.
    pub(super) vrf: Option<String>,
    /// The network that is shown; all of it if none.
    pub(super) at: Option<Cidr>,
    /// The network that is looked at closely.
    pub(super) pick: Option<Cidr>,
    pub(super) by: By,
    pub(super) layout: Layout,
    /// The moment that is shown; now if none.
    pub(super) time: Option<OffsetDateTime>,
    /// The moment that it is compared with.
    pub(super) since: Option<OffsetDateTime>,
    /// Where the table begins.
    pub(super) after: Option<Cidr>,
}

impl Look {
    pub(in crate::pages) fn new(path: String, query: Query) -> Result<Self, Failure> {
        let mut at = network(&query.at)?;
        if let Some(into) = network(&query.into)? {
            at = Some(match at {
                Some(at) if at.contains(into) => into
                    .ancestor(at.prefix_length().saturating_add(STEP))
                    .unwrap_or(into),
                _ => into,
            });
        }
        let by = match query.by.as_str() {
            "state" => By::State,
            "age" => By::Age,
            "utilisation" => By::Utilisation,
            by => match by.strip_prefix("label:") {
                Some(key) if !key.is_empty() => By::Label(key.to_owned()),
                _ => By::Vpc,
            },
        };
        // Of two moments the later one is shown, whichever was chosen first. Nothing differs from itself.
        let (time, since) = match (moment(&query.time)?, moment(&query.since)?) {
            (Some(time), Some(since)) if since > time => (Some(since), Some(time)),
            (time, since) => (time, since.filter(|since| time != Some(*since))),
        };
        Ok(Self {
            path,
            vrf: Some(query.vrf).filter(|vrf| !vrf.is_empty()),
            at,
            pick: network(&query.pick)?,
            by,
            layout: if query.view == "hilbert" {
                Layout::Hilbert
            } else {
                Layout::Rows
            },
            time,
            since,
            after: network(&query.after)?,
        })
    }

    /// The address of the same with one thing changed.
    pub(super) fn with(&self, change: impl FnOnce(&mut Self)) -> String {
        let mut look = self.clone();
        look.after = None;
        change(&mut look);
        look.url()
    }

    fn url(&self) -> String {
        let parameters: Vec<_> = self
            .parameters()
            .into_iter()
            .map(|(key, value)| format!("{key}={}", query_value(&value)))
            .collect();
        if parameters.is_empty() {
            self.path.clone()
        } else {
            format!("{}?{}", self.path, parameters.join("&"))
        }
    }

    /// The address of the same as a picture, with what is looked at closely highlighted. A picture shows the present, and
    /// nothing outside of the pool's ranges.
    pub(super) fn picture(&self, ranges: &[Cidr]) -> String {
        let there = |cidr: &Cidr| ranges.iter().any(|range| range.contains(*cidr));
        let pick = self.pick.filter(there);
        let highlight = pick.map(|pick| format!("highlight={pick}"));
        let at = self.at.filter(there).map(|at| format!("at={at}"));
        let view = (self.layout == Layout::Hilbert).then(|| "view=hilbert".to_owned());
        let all: Vec<_> = [at, highlight, view].into_iter().flatten().collect();
        let query = if all.is_empty() { "" } else { "?" };
        format!("{}/map.svg{query}{}", self.path, all.join("&"))
    }

    /// The query of its address.
    pub(super) fn parameters(&self) -> Vec<(&'static str, String)> {
        let by = match &self.by {
            By::Vpc => None,
            By::State => Some("state".to_owned()),
            By::Age => Some("age".to_owned()),
            By::Utilisation => Some("utilisation".to_owned()),
            By::Label(key) => Some(format!("label:{key}")),
        };
        let hilbert = self.layout == Layout::Hilbert;
        let all = [
            ("vrf", self.vrf.clone()),
            ("at", self.at.map(|at| at.to_string())),
            ("by", by),
            ("view", hilbert.then(|| "hilbert".to_owned())),
            ("time", written(self.time)),
            ("since", written(self.since)),
            ("pick", self.pick.map(|pick| pick.to_string())),
            ("after", self.after.map(|after| after.to_string())),
        ];
        all.into_iter()
            .filter_map(|(key, value)| Some((key, value?)))
            .collect()
    }
}

fn written(at: Option<OffsetDateTime>) -> Option<String> {
    at.and_then(|at| at.format(&Rfc3339).ok())
}

/// A network or an address of a query; an address with host bits is the network that it lies in.
fn network(text: &str) -> Result<Option<Cidr>, Failure> {
    let text = text.trim();
    if text.is_empty() {
        return Ok(None);
    }
    Cidr::of_address_or_network(text)
        .map(Some)
        .map_err(|error| Failure::invalid(&error.to_string()))
}

/// A moment, as RFC 3339 or as browsers write it, in UTC.
pub(in crate::pages) fn moment(text: &str) -> Result<Option<OffsetDateTime>, Failure> {
    let text = text.trim();
    if text.is_empty() || text == "now" {
        return Ok(None);
    }
    let local = || {
        let minutes = format_description!("[year]-[month]-[day]T[hour]:[minute]");
        let seconds = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]");
        time::PrimitiveDateTime::parse(text, &minutes)
            .or_else(|_| time::PrimitiveDateTime::parse(text, &seconds))
            .map(time::PrimitiveDateTime::assume_utc)
    };
    let at = OffsetDateTime::parse(text, &Rfc3339)
        .or_else(|_| local())
        .map_err(|_| {
            Failure::invalid(
                "write the time as 2026-11-29T21:00:00Z; it is UTC if it says nothing else",
            )
        })?;
    // What is not yet is shown as it is now. PostgreSQL knows no earlier times than these.
    let known = at.year() > 1 && at < OffsetDateTime::now_utc();
    Ok(known.then_some(at))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(query: &str) -> Look {
        let uri = format!("/m?{query}").parse().unwrap();
        let query = axum::extract::Query::try_from_uri(&uri).unwrap();
        Look::new("/m".to_owned(), query.0).unwrap()
    }

    #[test]
    fn an_address_is_read_as_it_is_written() {
        for query in [
            "",
            "?vrf=a%20b",
            "?at=10.0.0.0/8&by=state&view=hilbert",
            "?by=label%3Ateam&time=2026-01-02T03%3A04%3A05Z&pick=10.0.0.0/9",
            "?by=utilisation&time=2026-01-02T03%3A04%3A05Z&since=2026-01-01T00%3A00%3A00Z",
        ] {
            let url = look(query.trim_start_matches('?')).url();
            assert_eq!(url, format!("/m{query}"));
        }
    }

    #[test]
    fn a_step_into_a_network_is_no_larger_than_the_network() {
        assert_eq!(
            look("at=10.0.0.0/8&into=10.1.0.0/24").url(),
            "/m?at=10.0.0.0/10"
        );
        assert_eq!(
            look("at=10.0.0.0/8&into=10.128.0.0/9").url(),
            "/m?at=10.128.0.0/9"
        );
        assert_eq!(look("into=10.1.0.0/24").url(), "/m?at=10.1.0.0/24");
        assert_eq!(
            look("at=10.0.0.0/8&into=192.0.2.0/24").url(),
            "/m?at=192.0.2.0/24"
        );
    }

    #[test]
    fn times_are_utc_and_never_in_the_future() {
        let at = moment("2026-01-02T03:04").unwrap().unwrap();
        assert_eq!(at, time::macros::datetime!(2026-01-02 03:04 UTC));
        assert_eq!(moment("9999-01-01T00:00:00Z").unwrap(), None);
        assert_eq!(moment("now").unwrap(), None);
        assert!(moment("yesterday").is_err());
    }

    #[test]
    fn the_later_of_two_moments_is_compared_with_the_earlier_one() {
        let of = |query: &str| {
            let uri = format!("/m?{query}").parse().unwrap();
            let query = axum::extract::Query::try_from_uri(&uri).unwrap();
            Look::new("/m".to_owned(), query.0)
        };
        assert!(of("since=2026-01-02T00:00Z&time=2026-01-03T00:00").is_err());
        for query in [
            "since=2026-01-02T00:00&time=2026-01-03T00:00",
            "since=2026-01-03T00:00&time=2026-01-02T00:00",
        ] {
            assert_eq!(
                of(query).unwrap().url(),
                "/m?time=2026-01-03T00%3A00%3A00Z&since=2026-01-02T00%3A00%3A00Z"
            );
        }
        for (query, alone) in [
            (
                "since=2026-01-03T00:00&time=2026-01-03T00:00",
                "/m?time=2026-01-03T00%3A00%3A00Z",
            ),
            ("since=9999-01-01T00:00", "/m"),
            (
                "since=9999-01-01T00:00&time=2026-01-03T00:00",
                "/m?time=2026-01-03T00%3A00%3A00Z",
            ),
        ] {
            assert_eq!(of(query).unwrap().url(), alone);
        }
    }
}
