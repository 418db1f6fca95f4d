//! How templates write numbers and times.

#![expect(unreachable_pub, reason = "the macro writes public items")]

use askama::{Result, Values};
use time::{OffsetDateTime, format_description::well_known::Rfc3339, macros::format_description};

use crate::text;

/// A number of addresses.
#[askama::filter_fn]
pub(super) fn addresses(number: &u128, _: &dyn Values) -> Result<String> {
    Ok(text::addresses(*number))
}

/// A count.
#[askama::filter_fn]
pub(super) fn thousands(number: &u64, _: &dyn Values) -> Result<String> {
    Ok(text::thousands(*number))
}

/// A part of a whole.
#[askama::filter_fn]
pub(super) fn percent(part: &f64, _: &dyn Values) -> Result<String> {
    Ok(text::percent(*part))
}

/// A moment for people, in UTC.
#[askama::filter_fn]
pub(super) fn utc(at: &OffsetDateTime, _: &dyn Values) -> Result<String> {
    let format = format_description!("[year]-[month]-[day] [hour]:[minute]");
    at.to_offset(time::UtcOffset::UTC)
        .format(&format)
        .map_err(askama::Error::custom)
}

/// The same to the second.
#[askama::filter_fn]
pub(super) fn to_the_second(at: &OffsetDateTime, _: &dyn Values) -> Result<String> {
    let format = format_description!("[year]-[month]-[day] [hour]:[minute]:[second]");
    at.to_offset(time::UtcOffset::UTC)
        .format(&format)
        .map_err(askama::Error::custom)
}

/// A moment for programs.
#[askama::filter_fn]
pub(super) fn rfc3339(at: &OffsetDateTime, _: &dyn Values) -> Result<String> {
    at.format(&Rfc3339).map_err(askama::Error::custom)
}

/// The same without digits behind the point, where there is little room.
#[askama::filter_fn]
pub(super) fn share(part: &f64, _: &dyn Values) -> Result<String> {
    Ok(text::share(*part))
}

/// The class of something that is full to that part: what is nearly full looks different.
#[askama::filter_fn]
pub(super) fn level(part: &f64, _: &dyn Values) -> Result<&'static str> {
    Ok(crate::picture::level(*part))
}

/// How far a moment is from now, in words.
#[askama::filter_fn]
pub(super) fn ago(at: &OffsetDateTime, _: &dyn Values) -> Result<String> {
    Ok(super::duration::from_now(*at, OffsetDateTime::now_utc()))
}

/// A number of seconds in words.
#[askama::filter_fn]
pub(super) fn seconds(seconds: &u32, _: &dyn Values) -> Result<String> {
    Ok(super::duration::in_words((*seconds).into()))
}

/// A word of the API for people.
#[askama::filter_fn]
pub(super) fn spaced(word: &str, _: &dyn Values) -> Result<String> {
    Ok(word.replace('_', " "))
}
