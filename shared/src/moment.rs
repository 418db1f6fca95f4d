//! Moments that come from outside, in RFC 3339: only those that can be written so in UTC too, in which they are kept.

use time::{OffsetDateTime, UtcOffset};

/// Why a moment can't be kept.
pub const BEYOND: &str = "in UTC, this is beyond the year 9999";

/// The same moment in UTC; none if its year there has more than four digits, such as that of
/// `9999-12-31T23:59:59-12:00`.
pub fn in_utc(at: OffsetDateTime) -> Option<OffsetDateTime> {
    at.checked_to_offset(UtcOffset::UTC)
}

/// For fields of requests, like `time::serde::rfc3339`.
pub mod required {
    use serde::{Deserializer, de::Error as _};
    use time::OffsetDateTime;
    pub use time::serde::rfc3339::serialize;

    /// # Errors
    /// When it is no moment, or one that can't be kept.
    pub fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<OffsetDateTime, D::Error> {
        let at = time::serde::rfc3339::deserialize(deserializer)?;
        super::in_utc(at).ok_or_else(|| D::Error::custom(super::BEYOND))
    }
}

/// The same where there may be none, like `time::serde::rfc3339::option`.
pub mod option {
    use serde::{Deserializer, de::Error as _};
    use time::OffsetDateTime;
    pub use time::serde::rfc3339::option::serialize;

    /// # Errors
    /// When it is no moment, or one that can't be kept.
    pub fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<OffsetDateTime>, D::Error> {
        let at = time::serde::rfc3339::option::deserialize(deserializer)?;
        at.map(|at| super::in_utc(at).ok_or_else(|| D::Error::custom(super::BEYOND)))
            .transpose()
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use time::OffsetDateTime;

    #[derive(Debug, Deserialize)]
    struct Asked {
        #[serde(with = "super::required")]
        at: OffsetDateTime,
        #[serde(default, with = "super::option")]
        end: Option<OffsetDateTime>,
    }

    #[test]
    fn what_has_no_year_of_four_digits_in_utc_is_refused() {
        let asked = |text: &str| serde_json::from_str::<Asked>(text);
        let good =
            asked(r#"{"at": "2026-01-31T12:00:00+02:00", "end": "9999-12-31T23:59:59Z"}"#).unwrap();
        assert_eq!(good.at.hour(), 10);
        assert_eq!(good.end.map(OffsetDateTime::year), Some(9999));
        for text in [
            r#"{"at": "9999-12-31T23:59:59-12:00"}"#,
            r#"{"at": "2026-01-31T12:00:00Z", "end": "9999-12-31T23:59:59-00:01"}"#,
        ] {
            let error = asked(text).unwrap_err().to_string();
            assert!(error.contains(super::BEYOND), "{text}: {error}");
        }
    }
}
