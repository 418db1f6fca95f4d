//! Reads requests as generously as the original API did, and names every fault in the shape its clients know.
//!
//! Scripts send `"hosts": "500"` or `?limit=10.0`, and read `detail[0].msg` when they are refused. Nothing here knows
//! what the values mean; bounds come from the caller.

use std::ops::RangeInclusive;

use http::{HeaderMap, StatusCode, header::CONTENT_TYPE};
use serde_json::{Map, Value, json};

use super::reply::{Fault, Refusal};

const UNREADABLE: &str = "There was an error parsing the body";

/// What is wrong with a value, before its location is known.
type Wrong = (&'static str, String, Option<Value>);

/// Every fault of one request, so that a single reply names them all.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Faults(pub(super) Vec<Fault>);

impl Faults {
    /// The request goes on only if nothing was wrong.
    pub(super) fn refuse(self) -> Result<(), Refusal> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(Refusal::Faults(self.0))
        }
    }

    pub(super) fn add(&mut self, loc: &[&str], input: Value, (kind, msg, ctx): Wrong) {
        let loc = loc.iter().map(|part| json!(part)).collect();
        self.0.push(Fault {
            kind,
            loc,
            msg,
            input,
            ctx,
        });
    }

    fn keep<T>(&mut self, loc: &[&str], input: &Value, read: Result<T, Wrong>) -> Option<T> {
        read.map_err(|wrong| self.add(loc, input.clone(), wrong))
            .ok()
    }

    /// A number from the query or the path.
    pub(super) fn integer_text(
        &mut self,
        loc: &[&str],
        text: &str,
        bounds: &RangeInclusive<i128>,
    ) -> Option<i128> {
        let read = integer_from_text(text).and_then(|number| within(number, bounds));
        self.keep(loc, &json!(text), read)
    }

    /// A boolean from the query.
    pub(super) fn boolean_text(&mut self, loc: &[&str], text: &str) -> Option<bool> {
        self.keep(loc, &json!(text), boolean_from_text(text))
    }

    /// A number from a body; null and absent are the same.
    pub(super) fn integer(
        &mut self,
        body: &Map<String, Value>,
        key: &str,
        bounds: &RangeInclusive<i128>,
    ) -> Option<i128> {
        let value = body.get(key).filter(|value| !value.is_null())?;
        let read = integer_from_json(value).and_then(|number| within(number, bounds));
        self.keep(&["body", key], value, read)
    }

    /// A required string of a body.
    pub(super) fn required_text(&mut self, body: &Map<String, Value>, key: &str) -> Option<String> {
        let Some(value) = body.get(key) else {
            self.add(&["body", key], Value::Object(body.clone()), missing());
            return None;
        };
        self.keep(&["body", key], value, text_from_json(value))
    }

    /// An optional object of a body.
    pub(super) fn object<'a>(
        &mut self,
        body: &'a Map<String, Value>,
        key: &str,
    ) -> Option<&'a Map<String, Value>> {
        let value = body.get(key).filter(|value| !value.is_null())?;
        self.keep(
            &["body", key],
            value,
            value.as_object().ok_or_else(not_an_object),
        )
    }

    /// An optional string of the object `parent` of a body.
    pub(super) fn text_in(
        &mut self,
        parent: &str,
        object: &Map<String, Value>,
        key: &str,
    ) -> Option<String> {
        let value = object.get(key).filter(|value| !value.is_null())?;
        self.keep(&["body", parent, key], value, text_from_json(value))
    }

    /// One of a few values that the object `parent` of a body may have.
    pub(super) fn word_in(
        &mut self,
        parent: &str,
        object: &Map<String, Value>,
        key: &str,
        words: &[&str],
    ) -> Option<String> {
        let value = object.get(key).filter(|value| !value.is_null())?;
        let read = match value.as_str().filter(|text| words.contains(text)) {
            Some(text) => Ok(text.to_owned()),
            None => Err(not_one_of(words)),
        };
        self.keep(&["body", parent, key], value, read)
    }

    /// The object that a body must be. Like the original, treats a body without a content type as JSON, and a body of
    /// another type as a string.
    pub(super) fn body(
        &mut self,
        headers: &HeaderMap,
        bytes: &[u8],
    ) -> Result<Option<Map<String, Value>>, Refusal> {
        let text = std::str::from_utf8(bytes)
            .map_err(|_| Refusal::Detail(StatusCode::BAD_REQUEST, UNREADABLE))?;
        let value = if text.is_empty() {
            Value::Null
        } else if is_json(headers) {
            match serde_json::from_str(text) {
                Ok(value) => value,
                Err(error) => {
                    self.add_json_error(text, &error);
                    return Ok(None);
                }
            }
        } else {
            json!(text)
        };
        match value {
            Value::Object(map) => return Ok(Some(map)),
            Value::Null => self.add(&["body"], Value::Null, missing()),
            other => self.add(&["body"], other, not_an_object()),
        }
        Ok(None)
    }

    fn add_json_error(&mut self, text: &str, error: &serde_json::Error) {
        // The original counts characters from the start of the body.
        let before = text
            .split_inclusive('\n')
            .take(error.line().saturating_sub(1))
            .map(str::len)
            .sum::<usize>();
        let offset = text.get(..before).map_or(0, |lines| lines.chars().count())
            + error.column().saturating_sub(1);
        let words = error.to_string();
        let words = words.split(" at line").next().unwrap_or_default();
        self.0.push(Fault {
            kind: "json_invalid",
            loc: vec![json!("body"), json!(offset)],
            msg: "JSON decode error".to_owned(),
            input: json!({}),
            ctx: Some(json!({ "error": words })),
        });
    }
}

pub(super) fn missing() -> Wrong {
    ("missing", "Field required".to_owned(), None)
}

/// A text shorter than one character.
pub(super) fn too_short() -> Wrong {
    let ctx = json!({ "min_length": 1 });
    (
        "string_too_short",
        "String should have at least 1 character".to_owned(),
        Some(ctx),
    )
}

fn not_an_object() -> Wrong {
    let msg = "Input should be a valid dictionary or object to extract fields from";
    ("model_attributes_type", msg.to_owned(), None)
}

fn not_one_of(words: &[&str]) -> Wrong {
    let quoted: Vec<String> = words.iter().map(|word| format!("'{word}'")).collect();
    let expected = match quoted.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        _ => quoted.join(""),
    };
    (
        "literal_error",
        format!("Input should be {expected}"),
        Some(json!({ "expected": expected })),
    )
}

fn within(number: i128, bounds: &RangeInclusive<i128>) -> Result<i128, Wrong> {
    let (low, high) = (*bounds.start(), *bounds.end());
    if number < low {
        let msg = format!("Input should be greater than or equal to {low}");
        return Err(("greater_than_equal", msg, Some(json!({ "ge": shown(low) }))));
    }
    if number > high {
        let msg = format!("Input should be less than or equal to {high}");
        return Err(("less_than_equal", msg, Some(json!({ "le": shown(high) }))));
    }
    Ok(number)
}

/// A bound as a JSON number; bounds are small.
fn shown(bound: i128) -> i64 {
    i64::try_from(bound).unwrap_or(if bound < 0 { i64::MIN } else { i64::MAX })
}

/// Digits with an optional sign, whitespace around them, single underscores between them and zeros behind a point.
/// Numbers beyond 128 bits are clamped: they are out of every bound anyway.
fn integer_from_text(text: &str) -> Result<i128, Wrong> {
    let wrong = || {
        let msg = "Input should be a valid integer, unable to parse string as an integer";
        ("int_parsing", msg.to_owned(), None)
    };
    let trimmed = text.trim();
    let whole = match trimmed.split_once('.') {
        Some((whole, zeros)) if !zeros.is_empty() && zeros.bytes().all(|b| b == b'0') => whole,
        Some(_) => return Err(wrong()),
        None => trimmed,
    };
    let digits = whole.strip_prefix(['+', '-']).unwrap_or(whole);
    let separated = digits
        .split('_')
        .all(|group| !group.is_empty() && group.bytes().all(|b| b.is_ascii_digit()));
    if !separated {
        return Err(wrong());
    }
    let magnitude: String = digits.split('_').collect();
    let magnitude: i128 = magnitude.parse().unwrap_or(i128::MAX);
    Ok(if whole.starts_with('-') {
        -magnitude
    } else {
        magnitude
    })
}

fn integer_from_json(value: &Value) -> Result<i128, Wrong> {
    match value {
        Value::Bool(flag) => Ok(i128::from(*flag)),
        Value::String(text) => integer_from_text(text),
        Value::Number(number) => match (number.as_i128(), number.as_f64()) {
            (Some(integer), _) => Ok(integer),
            #[expect(
                clippy::cast_possible_truncation,
                reason = "the cast saturates, and such a number is out of every bound"
            )]
            (None, Some(float)) if float.fract() == 0.0 => Ok(float as i128),
            _ => {
                let msg = "Input should be a valid integer, got a number with a fractional part";
                Err(("int_from_float", msg.to_owned(), None))
            }
        },
        _ => Err((
            "int_type",
            "Input should be a valid integer".to_owned(),
            None,
        )),
    }
}

fn text_from_json(value: &Value) -> Result<String, Wrong> {
    let wrong = || {
        (
            "string_type",
            "Input should be a valid string".to_owned(),
            None,
        )
    };
    value.as_str().map(str::to_owned).ok_or_else(wrong)
}

fn boolean_from_text(text: &str) -> Result<bool, Wrong> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" | "t" | "y" => Ok(true),
        "false" | "0" | "no" | "off" | "f" | "n" => Ok(false),
        _ => {
            let msg = "Input should be a valid boolean, unable to interpret input";
            Err(("bool_parsing", msg.to_owned(), None))
        }
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(CONTENT_TYPE) else {
        return true;
    };
    let essence = value
        .to_str()
        .unwrap_or_default()
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase();
    essence == "application/json"
        || (essence.starts_with("application/") && essence.ends_with("+json"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_read_as_the_original_read_them() {
        // Each of these was tried with the original's validation library.
        for (text, number) in [
            ("50", 50),
            ("50.0", 50),
            ("0.0", 0),
            ("-0", 0),
            ("+0", 0),
            ("-1", -1),
            ("1_000", 1000),
            ("00012", 12),
            ("\t5\n", 5),
            ("\u{a0}5", 5),
            ("-1.0", -1),
            ("+1.00", 1),
            ("0_0", 0),
            ("-0.0", 0),
            ("1_0.0", 10),
            ("0_1", 1),
            (" 50 ", 50),
        ] {
            assert_eq!(integer_from_text(text), Ok(number), "{text:?}");
        }
        for text in [
            "", "50.", ".0", "+-1", "--1", "-", "- 1", "+ 1", "1__0", "_1", "1_", "٣", "５",
            "1,000", "1e2", "1.0e0", "1.0_0", "0x10", "1 0", "50.5", "abc",
        ] {
            assert_eq!(
                integer_from_text(text).unwrap_err().0,
                "int_parsing",
                "{text:?}"
            );
        }
        assert_eq!(integer_from_text(&"9".repeat(80)), Ok(i128::MAX));
    }

    #[test]
    fn integers_in_a_body_may_be_texts_and_whole_floats() {
        for (json, number) in [
            ("50", 50),
            ("50.0", 50),
            ("1e1", 10),
            ("\"50\"", 50),
            ("true", 1),
            ("-0.0", 0),
        ] {
            let value: Value = serde_json::from_str(json).unwrap();
            assert_eq!(integer_from_json(&value), Ok(number), "{json}");
        }
        for (json, kind) in [
            ("50.5", "int_from_float"),
            ("[1]", "int_type"),
            ("{}", "int_type"),
            ("\"\"", "int_parsing"),
        ] {
            let value: Value = serde_json::from_str(json).unwrap();
            assert_eq!(integer_from_json(&value).unwrap_err().0, kind, "{json}");
        }
        let huge: Value = serde_json::from_str("99999999999999999999").unwrap();
        assert!(integer_from_json(&huge).unwrap() > 4000);
    }

    #[test]
    fn content_types() {
        let of = |text: &str| HeaderMap::from_iter([(CONTENT_TYPE, text.parse().unwrap())]);
        assert!(is_json(&HeaderMap::new()));
        assert!(is_json(&of("Application/JSON; charset=utf-8")));
        assert!(is_json(&of("application/vnd.x+json")));
        assert!(!is_json(&of("text/plain")));
        assert!(!is_json(&of("application/x-www-form-urlencoded")));
    }

    #[test]
    fn a_broken_body_says_where() {
        let mut faults = Faults::default();
        assert_eq!(
            faults
                .body(&HeaderMap::new(), b"{\"vpc\":\"a\",\n\"hosts\":05}")
                .unwrap(),
            None
        );
        let shown = serde_json::to_value(&faults.0).unwrap();
        assert_eq!(shown[0]["type"], "json_invalid");
        assert_eq!(shown[0]["loc"], json!(["body", 21]));
        assert_eq!(shown[0]["input"], json!({}));
    }
}
