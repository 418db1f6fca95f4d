//! How the use of a pool went, as a line, and where it leads.

use std::collections::BTreeMap;

use ipam_shared::{api::pool::Pool, ids::PoolId};

use super::session::SignedIn;
use crate::{
    db::Connection,
    domain::pool::{Trend, trends},
    error::Result,
    text,
};

/// The size of the line.
const WIDTH: f64 = 120.0;
const HEIGHT: f64 = 24.0;
/// No smaller part of the pool fills the height, so that little does not look like much.
const LEAST: f64 = 0.02;

/// A line, and what it says.
#[derive(Debug)]
pub(super) struct Spark {
    /// Along the line.
    pub(super) path: String,
    /// Under the line too.
    pub(super) area: String,
    /// The same in words.
    pub(super) words: String,
    /// For how long that is known.
    pub(super) span: String,
    /// In how long it is full, and at which pace.
    pub(super) full: Option<(String, String)>,
}

/// Those of these pools of which something is known. Who sees a part of a pool only sees a part of what happened to it, so
/// nothing is said.
pub(super) async fn sparks(
    db: &mut Connection,
    signed_in: &SignedIn,
    pools: &[Pool],
) -> Result<BTreeMap<PoolId, Spark>> {
    if signed_in.caller.rights.scope().is_some() {
        return Ok(BTreeMap::new());
    }
    let trends = trends(db, pools).await?.into_iter();
    Ok(trends
        .filter_map(|(id, trend)| Some((id, Spark::new(&trend)?)))
        .collect())
}

impl Spark {
    fn new(trend: &Trend) -> Option<Self> {
        let shares = &trend.shares;
        let (first, last) = (shares.first()?, shares.last()?);
        if shares.len() < 2 {
            return None;
        }
        let low = shares.iter().copied().fold(f64::INFINITY, f64::min);
        let high = shares.iter().copied().fold(0.0, f64::max);
        let reach = (high - low).max(LEAST);
        #[expect(clippy::cast_precision_loss, reason = "some thirty points")]
        let points: Vec<_> = shares
            .iter()
            .enumerate()
            .map(|(at, share)| {
                let x = at as f64 / (shares.len() - 1) as f64 * WIDTH;
                let y = HEIGHT - 2.0 - (share - low) / reach * (HEIGHT - 4.0);
                format!("{x:.1} {y:.1}")
            })
            .collect();
        let line = points.join("L");
        let span = span(trend.span);
        Some(Self {
            area: format!("M0 {HEIGHT}L{line}L{WIDTH} {HEIGHT}Z"),
            path: format!("M{line}"),
            words: format!(
                "{span}: {} used, was {}",
                text::percent(*last),
                text::percent(*first)
            ),
            span,
            full: trend.full.map(|full| (full.in_words(), full.pace())),
        })
    }
}

fn span(span: time::Duration) -> String {
    let number = |number: i64, unit: &str| {
        let plural = if number == 1 { "" } else { "s" };
        format!("{number} {unit}{plural}")
    };
    match span.whole_hours() {
        0 => number(span.whole_minutes(), "minute"),
        hours @ ..48 => number(hours, "hour"),
        hours => number((hours + 12) / 24, "day"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_told_in_the_unit_that_fits() {
        use time::Duration;
        let spans = [
            Duration::minutes(1),
            Duration::minutes(59),
            Duration::hours(1),
            Duration::hours(47),
            Duration::hours(60),
        ];
        let expected = ["1 minute", "59 minutes", "1 hour", "47 hours", "3 days"];
        assert_eq!(spans.map(span), expected);
    }

    #[test]
    fn a_line_fills_its_height_only_if_much_happened() {
        let trend = |shares: &[f64]| Trend {
            span: time::Duration::days(30),
            shares: shares.to_vec(),
            full: None,
        };
        let spark = Spark::new(&trend(&[0.0, 0.5, 1.0])).unwrap();
        assert_eq!(spark.path, "M0.0 22.0L60.0 12.0L120.0 2.0");
        assert_eq!(spark.words, "30 days: 100% used, was 0%");
        let little = Spark::new(&trend(&[0.5, 0.501])).unwrap();
        assert_eq!(little.path, "M0.0 22.0L120.0 21.0");
        assert!(Spark::new(&trend(&[0.5])).is_none());
    }
}
