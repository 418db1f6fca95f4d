//! Spans of time as people write and read them.

use time::OffsetDateTime;

/// Units, the largest first: seconds, the letter, and the word.
const UNITS: [(u64, char, &str); 4] = [
    (86_400, 'd', "day"),
    (3_600, 'h', "hour"),
    (60, 'm', "minute"),
    (1, 's', "second"),
];

/// Seconds of a text such as `90m`, `12h`, `7d`, `1 day 2 hours` or `3600`.
pub(super) fn seconds(text: &str) -> Option<u64> {
    let text = text.trim();
    if let Ok(seconds) = text.parse() {
        return Some(seconds);
    }
    let mut total: Option<u64> = None;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let number: u64 = rest[..digits].parse().ok()?;
        rest = rest[digits..].trim_start();
        let letters = rest
            .find(|c: char| !c.is_ascii_alphabetic())
            .unwrap_or(rest.len());
        let unit = &rest[..letters];
        let (seconds, ..) = UNITS.iter().find(|(_, letter, word)| {
            unit.len() == 1 && unit.starts_with(*letter)
                || unit == *word
                || unit.strip_suffix('s') == Some(word)
        })?;
        rest = rest[letters..].trim_start_matches([' ', ',']);
        total = Some(
            total
                .unwrap_or(0)
                .checked_add(number.checked_mul(*seconds)?)?,
        );
    }
    total
}

/// A span exactly, such as `1 day 2 hours`.
pub(super) fn in_words(seconds: u64) -> String {
    let mut rest = seconds;
    let mut parts = Vec::new();
    for (unit, _, word) in UNITS {
        let count = rest / unit;
        rest %= unit;
        if count > 0 {
            parts.push(plural(count, word));
        }
    }
    if parts.is_empty() {
        "0".to_owned()
    } else {
        parts.join(" ")
    }
}

/// How far a moment is from now, by its largest unit: `3 days ago`, `in 2 hours`.
pub(super) fn from_now(at: OffsetDateTime, now: OffsetDateTime) -> String {
    /// Beyond that, days say nothing.
    const YEAR: u64 = 365;
    let seconds = (now - at).whole_seconds();
    let span = seconds.unsigned_abs();
    let unit = UNITS.iter().find(|(unit, ..)| span >= *unit);
    let words = match unit {
        None => return "now".to_owned(),
        Some((unit, _, "day")) if span / unit >= 2 * YEAR => plural(span / unit / YEAR, "year"),
        Some((unit, _, word)) => plural(span / unit, word),
    };
    if seconds < 0 {
        format!("in {words}")
    } else {
        format!("{words} ago")
    }
}

fn plural(count: u64, word: &str) -> String {
    let many = if count == 1 { "" } else { "s" };
    format!("{count} {word}{many}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_read_as_they_are_written() {
        for (text, expected) in [
            ("3600", Some(3_600)),
            ("90m", Some(5_400)),
            ("7d", Some(604_800)),
            ("1 day 2 hours", Some(93_600)),
            ("1d 2h", Some(93_600)),
            ("0", Some(0)),
            ("soon", None),
            ("7", Some(7)),
            ("7x", None),
            ("99999999999999999999d", None),
            ("9999999999999999999d", None),
        ] {
            assert_eq!(seconds(text), expected, "{text}");
        }
        for span in [0, 1, 61, 3_600, 86_400, 93_600, 31_536_000] {
            assert_eq!(seconds(&in_words(span)), Some(span), "{span}");
        }
    }

    #[test]
    fn moments_are_told_by_their_largest_unit() {
        let now = OffsetDateTime::UNIX_EPOCH + time::Duration::days(10_000);
        let ago = |seconds| from_now(now - time::Duration::seconds(seconds), now);
        assert_eq!(ago(0), "now");
        assert_eq!(ago(59), "59 seconds ago");
        assert_eq!(ago(60), "1 minute ago");
        assert_eq!(ago(3 * 86_400 + 5), "3 days ago");
        assert_eq!(ago(-7_200), "in 2 hours");
        assert_eq!(ago(800 * 86_400), "2 years ago");
    }
}
