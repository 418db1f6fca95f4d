//! What may stand in the attributes of a token. Nothing here shows a secret, nor what was given in the place of one.

use ipam_shared::{
    api::token::{Limits, QuotaUsage, Role},
    moment::{BEYOND, in_utc},
    quotas::Quotas,
    secret::Secret,
};
use tfplugin::{Diagnostic, FromValue, Number, Path, ToValue as _, Value};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::{QUOTAS, SECRET};

/// A secret of a token.
pub(super) struct SecretText;

impl FromValue for SecretText {
    fn from_value(value: &Value, path: &Path) -> Result<Self, Diagnostic> {
        match value.as_str().map(str::parse::<Secret>) {
            Some(Ok(_)) => Ok(Self),
            _ => Err(unsuitable_secret(path)),
        }
    }
}

/// Says what a secret looks like, and never what was given.
fn unsuitable_secret(path: &Path) -> Diagnostic {
    Diagnostic::error(
        "Unsuitable secret",
        "This is not the secret of a token, or has a slip of the pen, which its checksum finds. Make one with the ephemeral \
         resource ipam_token_secret or with \"ipam token secret\"; it is not shown here.",
    )
    .at(path)
}

/// Roles, at least one.
pub(super) struct Roles;

impl FromValue for Roles {
    fn from_value(value: &Value, path: &Path) -> Result<Self, Diagnostic> {
        let refuse = |why: String| Diagnostic::error("Unsuitable roles", why).at(path);
        let words = Vec::<String>::from_value(value, path)?;
        if words.is_empty() {
            return Err(refuse("A token has at least one role.".to_owned()));
        }
        for word in words {
            word.parse::<Role>()
                .map_err(|error| refuse(format!("In roles: {error}.")))?;
        }
        Ok(Self)
    }
}

/// Limits, as the server takes them.
pub(super) struct Bounds;

impl FromValue for Bounds {
    fn from_value(value: &Value, path: &Path) -> Result<Self, Diagnostic> {
        for (pool, quota) in value.get(QUOTAS).as_map().into_iter().flatten() {
            check_quota(quota, &path.then(QUOTAS).key(pool))?;
        }
        match serde_json::from_value::<Limits>(value.to_json()) {
            Ok(_) => Ok(Self),
            Err(error) => {
                Err(Diagnostic::error("Unsuitable limits", format!("In limits: {error}.")).at(path))
            }
        }
    }
}

/// Refuses what is no number of addresses, or not one that is kept to the last digit.
fn check_quota(quota: &Value, path: &Path) -> Result<(), Diagnostic> {
    let refuse = |why: String| Err(Diagnostic::error("Unsuitable quota", why).at(path));
    let number = Number::from_value(quota, path)?;
    let digits = number.to_string();
    if !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return refuse(format!(
            "A quota is a whole number of addresses, 0 or more, and not {digits}."
        ));
    }
    // A text is what a number of JSON can't say.
    if quota.to_json().is_string() {
        let nearest = number.as_f64();
        return refuse(format!(
            "Of a quota of 2^64 and more only the leading 53 binary digits are kept: write {nearest:.0} in place of {digits}."
        ));
    }
    Ok(())
}

/// Quotas as they are configured, if the server has these: it reads large numbers as floating point. Otherwise in digits.
pub(super) fn quotas(found: &Quotas, known: &Value) -> Value {
    if known.is_wholly_known()
        && serde_json::from_value::<Quotas>(known.to_json()).is_ok_and(|known| known == *found)
    {
        return known.clone();
    }
    let all = found.iter();
    Value::Map(
        all.map(|(pool, addresses)| (pool.to_owned(), number(addresses)))
            .collect(),
    )
}

/// How much of each quota is used.
pub(super) fn usage(usage: Option<&[QuotaUsage]>) -> Value {
    let Some(usage) = usage else {
        return Value::Null;
    };
    let of = |it: &QuotaUsage| {
        Value::object([
            ("quota", it.quota.to_value()),
            ("pool_id", it.pool_id.map(|id| id.to_string()).to_value()),
            ("addresses", number(it.addresses)),
            ("used_addresses", number(it.used_addresses)),
        ])
    };
    Value::List(usage.iter().map(of).collect())
}

fn number(addresses: u128) -> Value {
    Number::parse(&addresses.to_string()).to_value()
}

/// A time as in RFC 3339.
pub(super) struct Moment;

impl FromValue for Moment {
    fn from_value(value: &Value, path: &Path) -> Result<Self, Diagnostic> {
        let text = String::from_value(value, path)?;
        let refuse =
            |why: &str| Diagnostic::error("Unsuitable time", format!("{text:?} {why}.")).at(path);
        let at = OffsetDateTime::parse(&text, &Rfc3339)
            .map_err(|_| refuse("is not a time as in RFC 3339, such as 2027-01-31T00:00:00Z"))?;
        match in_utc(at) {
            Some(_) => Ok(Self),
            None => Err(refuse(&format!("can't be kept: {BEYOND}"))),
        }
    }
}

/// A time in microseconds, as PostgreSQL keeps them.
pub(super) fn moment(text: &str) -> Option<i128> {
    let at = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    Some(at.unix_timestamp_nanos() / 1000)
}

/// Whether it is a collection with something in it, or may be one.
pub(super) fn is_full(value: &Value) -> bool {
    match value {
        Value::List(elements) => !elements.is_empty(),
        Value::Map(elements) => !elements.is_empty(),
        other => other.is_unknown(),
    }
}

/// The secret that the configuration gives, for a body.
pub(super) fn secret(config: &Value) -> tfplugin::Result<serde_json::Value> {
    let path = Path::attribute(SECRET);
    let given = config.get(SECRET);
    if given.is_null() {
        return Err(Diagnostic::error(
            "The secret is missing",
            "It was there when this was planned, and secret_wo is null now. An ephemeral variable has to be given to the \
             apply too.",
        )
        .at(&path)
        .into());
    }
    SecretText::from_value(given, &path)?;
    Ok(given.as_str().unwrap_or_default().into())
}
