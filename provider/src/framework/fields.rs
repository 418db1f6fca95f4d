//! Conversion between bodies of the API and attributes, through JSON.

use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value as Json};
use tfplugin::{Diagnostic, Result, Value};

use super::attribute_spec::AttributeSpec;

/// Of a body of the API.
pub(crate) type Fields = Map<String, Json>;

/// The fields of a reply as attributes; what is missing is null.
pub(crate) fn fields(found: &impl Serialize, specs: &[AttributeSpec]) -> Result<Value> {
    // By way of text, because a JSON value can't hold numbers of addresses of more than 64 bits.
    let json: Json = serde_json::to_string(found)
        .and_then(|text| serde_json::from_str(&text))
        .map_err(|error| bug(&error))?;
    let mut state = Value::object([]);
    for spec in specs {
        state.set(spec.name, json.get(spec.name).cloned().unwrap_or_default());
    }
    Ok(state)
}

/// A body from its fields. They have been checked one by one, so this succeeds.
pub(crate) fn body<T: DeserializeOwned>(fields: Fields) -> Result<T> {
    serde_json::from_value(Json::Object(fields)).map_err(|error| bug(&error).into())
}

fn bug(error: &serde_json::Error) -> Diagnostic {
    Diagnostic::error(
        "The provider and the server's API don't fit",
        format!("This is a bug in the provider: {error}."),
    )
}
