//! How the use of pools went, and where that leads.

use std::collections::BTreeMap;

use ipam_shared::{api::pool::Pool, ids::PoolId};
use time::{Duration, OffsetDateTime};

use crate::{
    db::{Connection, pool::growth},
    error::Result,
};

/// How far back it goes.
const SPAN: Duration = Duration::days(30);
/// In how many steps.
const STEPS: usize = 30;
/// Changes that are read for it; what is older than these is not told.
const MOST: i64 = 2000;
/// The pace that a forecast prefers.
const PACE: Duration = Duration::days(7);
/// Less than that says nothing about tomorrow.
const SHORTEST: Duration = Duration::DAY;
/// A forecast that reaches further is none.
const FURTHEST: f64 = 730.0;

/// How the use of a pool went.
#[derive(Clone, Debug, PartialEq)]
pub struct Trend {
    /// For how long that is known.
    pub span: Duration,
    /// The used part at the end of each step, from 0 to 1; the last one is now.
    pub shares: Vec<f64>,
    /// When it is full if it goes on like that.
    pub full: Option<Forecast>,
}

/// When a pool is full.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Forecast {
    /// In how many days.
    pub days: f64,
    /// At the pace of how many.
    pub of: Duration,
}

/// How the use of these pools went, of those of which that is known.
pub async fn trends(db: &mut Connection, pools: &[Pool]) -> Result<BTreeMap<PoolId, Trend>> {
    let now = OffsetDateTime::now_utc();
    let horizon = growth::horizon(db, MOST).await?;
    let since = horizon.map_or(now - SPAN, |horizon| horizon.max(now - SPAN));
    let span = now - since;
    if span < Duration::HOUR || pools.is_empty() {
        return Ok(BTreeMap::new());
    }
    let step = span / STEPS as u32;
    let ids: Vec<_> = pools.iter().map(|pool| pool.id).collect();
    let mut changes: BTreeMap<PoolId, Vec<(usize, f64)>> = BTreeMap::new();
    for change in growth::steps(db, &ids, since, step, MOST).await? {
        let at = usize::try_from(change.step).unwrap_or_default();
        changes
            .entry(change.pool)
            .or_default()
            .push((at, change.more));
    }
    let trend = |pool: &Pool| {
        let changes = changes.get(&pool.id).map_or(&[][..], Vec::as_slice);
        let age = now - pool.created_at;
        (pool.id, trend(pool, changes, span, age))
    };
    Ok(pools.iter().map(trend).collect())
}

/// From what changed in which step of the span, backwards from what is used now.
fn trend(pool: &Pool, changes: &[(usize, f64)], span: Duration, age: Duration) -> Trend {
    #[expect(clippy::cast_precision_loss, reason = "a share is enough")]
    let (total, used) = (
        (pool.total_addresses as f64).max(1.0),
        pool.used_addresses as f64,
    );
    let mut points: Vec<f64> = (0..=STEPS)
        .map(|point| {
            let later = changes.iter().filter(|(step, _)| *step >= point);
            (used - later.map(|(_, more)| more).sum::<f64>()).clamp(0.0, total)
        })
        .collect();
    // Before it was made nothing of it was used, which says nothing.
    let step = span / STEPS as u32;
    let steps = age / step;
    let mut known = STEPS;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "fewer than the steps"
    )]
    if steps < STEPS as f64 {
        known = (steps.max(0.0) as usize).min(STEPS);
        points.drain(..STEPS - known);
    }
    let span = step * known as u32;
    let full = [PACE, SPAN]
        .into_iter()
        .find_map(|pace| forecast(&points, step, span.min(pace), total));
    Trend {
        span,
        shares: points.into_iter().map(|used| used / total).collect(),
        full,
    }
}

/// When all is used, at the pace of the last steps; none if it does not grow.
fn forecast(points: &[f64], step: Duration, pace: Duration, total: f64) -> Option<Forecast> {
    if pace < SHORTEST {
        return None;
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "no more than there are points"
    )]
    let back = (pace / step).round() as usize;
    let now = *points.last()?;
    let then = *points.get(points.len().checked_sub(back + 1)?)?;
    let per_day = (now - then) / (step * back as u32).as_seconds_f64() * 86_400.0;
    let days = (total - now) / per_day;
    let is_near = per_day > 0.0 && now < total && days <= FURTHEST;
    is_near.then_some(Forecast { days, of: pace })
}

impl Forecast {
    /// How long that is, in words.
    pub fn in_words(self) -> String {
        let days = self.days;
        let (number, unit) = match days {
            _ if days < 1.0 => return "less than a day".to_owned(),
            _ if days < 90.0 => (days, "day"),
            _ => (days / 30.4, "month"),
        };
        let number = number.round();
        let plural = if number == 1.0 { "" } else { "s" };
        format!("about {number:.0} {unit}{plural}")
    }

    /// At which pace, in words.
    pub fn pace(self) -> String {
        match self.of.whole_days() {
            ..=1 => "at the pace of the last day".to_owned(),
            days => format!("at the pace of the last {days} days"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(days: &[f64]) -> Vec<f64> {
        days.to_vec()
    }

    #[test]
    fn a_pool_is_full_when_the_pace_says_so() {
        let day = Duration::DAY;
        // Ten a day for a week, 100 of 1,000 used.
        let growing: Vec<f64> = (0..=30).map(|day| f64::from(day) * 10.0).collect();
        let found = forecast(&growing, day, PACE, 1000.0).unwrap();
        assert_eq!((found.days.round(), found.of), (70.0, PACE));
        assert_eq!(found.in_words(), "about 70 days");
        assert_eq!(found.pace(), "at the pace of the last 7 days");
        // Shrinking, standing still, full, too little, or too far away.
        let shrinking: Vec<f64> = growing.iter().rev().copied().collect();
        assert_eq!(forecast(&shrinking, day, PACE, 1000.0), None);
        assert_eq!(forecast(&[5.0; 31], day, PACE, 1000.0), None);
        assert_eq!(forecast(&growing, day, PACE, 300.0), None);
        assert_eq!(forecast(&growing, day, Duration::HOUR, 1000.0), None);
        assert_eq!(forecast(&growing, day, PACE, 1e9), None);
        assert_eq!(forecast(&points(&[1.0, 2.0]), day, PACE, 1000.0), None);
    }

    #[test]
    fn days_become_months() {
        let words =
            [0.4, 1.2, 12.0, 89.0, 91.0, 700.0].map(|days| Forecast { days, of: PACE }.in_words());
        let expected = [
            "less than a day",
            "about 1 day",
            "about 12 days",
            "about 89 days",
            "about 3 months",
            "about 23 months",
        ];
        assert_eq!(words, expected);
    }
}
