//! Spans of time as options take them.

use std::time::Duration;

/// A number with a unit, such as `90s`, `30m`, `12h` or `7d`; nothing if it is none.
pub(super) fn span(text: &str) -> Option<Duration> {
    let unit = match text.chars().last()? {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        _ => return None,
    };
    let number: u64 = text[..text.len() - 1].parse().ok()?;
    // Capped, so that subtracting it from the clock can't overflow.
    let seconds = number.checked_mul(unit)?.min(1 << 40);
    Some(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_a_unit() {
        for (text, seconds) in [
            ("90s", 90),
            ("30m", 1_800),
            ("1h", 3_600),
            ("7d", 604_800),
            ("0s", 0),
        ] {
            assert_eq!(span(text), Some(Duration::from_secs(seconds)));
        }
        for text in [
            "",
            "1",
            "h",
            "-1h",
            "1.5h",
            "1w",
            "1ä",
            "99999999999999999999d",
        ] {
            assert_eq!(span(text), None, "{text:?}");
        }
    }
}
