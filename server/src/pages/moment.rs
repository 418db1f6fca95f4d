//! Moments as people write them in a filter: exactly, as a day, or how long ago.

use time::{
    Date, OffsetDateTime, PrimitiveDateTime, UtcOffset, format_description::well_known::Rfc3339,
    macros::format_description,
};

use super::duration::seconds;

/// How a moment may be written.
pub(super) const FORMS: &str = "write a moment such as 2026-11-29T21:00:00Z, a day such as 2026-11-29, or how long ago, such as 2h; it is UTC if it says nothing else";

/// The moment of a text, in UTC; none if it can't be told, or is out of the range that is stored.
pub(super) fn past(text: &str, now: OffsetDateTime) -> Option<OffsetDateTime> {
    let text = text.trim();
    let at = exactly(text).or_else(|| ago(text, now))?;
    // PostgreSQL and the API can write these.
    (1..10_000).contains(&at.year()).then_some(at)
}

fn exactly(text: &str) -> Option<OffsetDateTime> {
    if let Ok(at) = OffsetDateTime::parse(text, &Rfc3339) {
        return at.checked_to_offset(UtcOffset::UTC);
    }
    let day = format_description!("[year]-[month]-[day]");
    if let Ok(day) = Date::parse(text, &day) {
        return Some(day.midnight().assume_utc());
    }
    // As browsers and people write it.
    let text = text.replacen(' ', "T", 1);
    let minutes = format_description!("[year]-[month]-[day]T[hour]:[minute]");
    let exact = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]");
    let at = PrimitiveDateTime::parse(&text, &minutes)
        .or_else(|_| PrimitiveDateTime::parse(&text, &exact));
    at.ok().map(PrimitiveDateTime::assume_utc)
}

fn ago(text: &str, now: OffsetDateTime) -> Option<OffsetDateTime> {
    let text = text.strip_suffix("ago").unwrap_or(text).trim();
    // A number without a unit could be anything.
    if text.parse::<u64>().is_ok() {
        return None;
    }
    let span = i64::try_from(seconds(text)?).ok()?;
    now.checked_sub(time::Duration::seconds(span))
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn a_moment_is_exact_a_day_or_a_span() {
        let now = datetime!(2026-11-30 12:00 UTC);
        for (text, at) in [
            ("2026-11-29T21:00:00Z", datetime!(2026-11-29 21:00 UTC)),
            ("2026-11-29T22:00:00+01:00", datetime!(2026-11-29 21:00 UTC)),
            ("2026-11-29", datetime!(2026-11-29 0:00 UTC)),
            ("2026-11-29 21:00", datetime!(2026-11-29 21:00 UTC)),
            (" 2026-11-29T21:00:07 ", datetime!(2026-11-29 21:00:07 UTC)),
            ("2h", datetime!(2026-11-30 10:00 UTC)),
            ("1 day 2 hours ago", datetime!(2026-11-29 10:00 UTC)),
        ] {
            assert_eq!(past(text, now), Some(at), "{text}");
        }
        for text in [
            "",
            "7",
            "soon",
            "2026-13-01",
            "9999999d",
            "0000-01-01",
            "99999999999999999d",
        ] {
            assert_eq!(past(text, now), None, "{text}");
        }
    }
}
