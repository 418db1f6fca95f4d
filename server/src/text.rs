//! How numbers and moments are written for people, on the command line and on pages.

use ipam_shared::api::token::QuotaUsage;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

/// Bytes as hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A whole number with a comma between thousands, as in 16,379.
pub fn thousands(number: impl Into<u128>) -> String {
    let digits = number.into().to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// The same, as a power of two where nobody would read the digits: IPv6.
pub fn addresses(number: u128) -> String {
    if number >= 1 << 40 && number.is_power_of_two() {
        format!("2^{}", number.trailing_zeros())
    } else if number >= 1 << 53 {
        // Nobody counts these one by one.
        #[expect(clippy::cast_precision_loss, reason = "two digits are shown")]
        let exponent = (number as f64).log2();
        format!("about 2^{exponent:.1}")
    } else {
        thousands(number)
    }
}

/// How much of a quota is held, as in "default/primary: 64 of 4,096".
pub fn held(usage: &QuotaUsage) -> String {
    let (used, most) = (addresses(usage.used_addresses), addresses(usage.addresses));
    format!("{}: {used} of {most}", usage.quota)
}

/// A fraction from 0 to 1 as a percentage: never 0 unless it is nothing, nor 100 unless it is everything.
pub fn percent(part: f64) -> String {
    if part <= 0.0 {
        "0%".to_owned()
    } else if part < 0.001 {
        "<0.1%".to_owned()
    } else if part >= 1.0 {
        "100%".to_owned()
    } else if part > 0.999 {
        ">99.9%".to_owned()
    } else {
        format!("{:.1}%", part * 100.0)
    }
}

/// The same without digits behind the point.
pub fn share(part: f64) -> String {
    if part <= 0.0 {
        "0%".to_owned()
    } else if part < 0.01 {
        "<1%".to_owned()
    } else if part >= 1.0 {
        "100%".to_owned()
    } else if part > 0.99 {
        ">99%".to_owned()
    } else {
        format!("{:.0}%", part * 100.0)
    }
}

/// A moment to the second, as in 2026-11-25T02:30:00Z.
pub fn moment(at: OffsetDateTime) -> String {
    let at = at.replace_nanosecond(0).unwrap_or(at);
    at.format(&Rfc3339).unwrap_or_default()
}

/// The text, or as much of it as fits into so many columns with … at its end.
pub fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let (mut kept, mut used) = (String::new(), 0);
    for c in text.chars() {
        let wide = c.width().unwrap_or(0);
        if used + wide + 1 > width {
            break;
        }
        used += wide;
        kept.push(c);
    }
    if width > 0 {
        kept.push('…');
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_grouped_from_the_right() {
        for (number, text) in [
            (0_u32, "0"),
            (999, "999"),
            (1000, "1,000"),
            (16_379, "16,379"),
            (4_194_304, "4,194,304"),
        ] {
            assert_eq!(thousands(number), text);
        }
    }

    #[test]
    fn large_numbers_become_powers_of_two() {
        assert_eq!(addresses(1 << 22), "4,194,304");
        assert_eq!(addresses(1 << 96), "2^96");
        assert_eq!(addresses((1 << 96) - 5), "about 2^96.0");
        assert_eq!(addresses(3 << 64), "about 2^65.6");
    }

    #[test]
    fn per_cent_never_rounds_to_nothing_or_all() {
        let texts = [0.0, 0.000_01, 0.25, 0.9999, 1.0].map(percent);
        assert_eq!(texts, ["0%", "<0.1%", "25.0%", ">99.9%", "100%"]);
        let texts = [0.0, 0.000_01, 0.254, 0.9999, 1.0].map(share);
        assert_eq!(texts, ["0%", "<1%", "25%", ">99%", "100%"]);
    }

    #[test]
    fn what_is_cut_says_so() {
        for (text, width, cut_to) in [
            ("abc", 3, "abc"),
            ("abcd", 3, "ab…"),
            ("東京", 3, "東…"),
            ("東京", 2, "…"),
            ("a", 0, ""),
        ] {
            assert_eq!(cut(text, width), cut_to);
        }
    }
}
