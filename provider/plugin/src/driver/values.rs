//! JSON in tests to values on the wire, and back.

use serde_json::Value as Json;

use super::UNKNOWN;
use crate::codec::msgpack;
use crate::diagnostic::Diagnostic;
use crate::proto::tf;
use crate::schema::Body;
use crate::types::{Nesting, Type};
use crate::value::Value;

/// The input of a test.
pub(super) fn from_json(json: Json) -> Value {
    match json {
        Json::String(text) if text == UNKNOWN => Value::Unknown,
        Json::Array(elements) => Value::List(elements.into_iter().map(from_json).collect()),
        Json::Object(elements) => Value::Map(
            elements
                .into_iter()
                .map(|(k, v)| (k, from_json(v)))
                .collect(),
        ),
        other => other.into(),
    }
}

/// The output for a test.
pub(super) fn to_json(value: &Value) -> Json {
    match value {
        Value::Unknown => UNKNOWN.into(),
        Value::List(elements) => elements.iter().map(to_json).collect(),
        Value::Map(elements) => elements
            .iter()
            .map(|(key, v)| (key.clone(), to_json(v)))
            .collect(),
        Value::Dynamic(_, value) => to_json(value),
        other => other.to_json(),
    }
}

/// The complete value of a type: missing attributes are null, as Terraform has them.
pub(super) fn complete(value: &Value, ty: &Type) -> Result<Value, Diagnostic> {
    msgpack::decode(&msgpack::encode(value, ty)?, ty)
}

/// A configuration as Terraform has it: complete, and with no blocks where blocks are left out.
pub(super) fn configuration(config: Json, body: &Body) -> Result<Value, Diagnostic> {
    let mut config = complete(&from_json(config), &body.ty())?;
    empty_blocks(body, &mut config);
    Ok(config)
}

fn empty_blocks(body: &Body, value: &mut Value) {
    let Value::Map(map) = value else { return };
    for (name, block) in &body.blocks {
        let slot = map.entry(name.clone()).or_default();
        match (block.nesting, &mut *slot) {
            (Nesting::List | Nesting::Set, Value::Null) => *slot = Value::List(Vec::new()),
            (_, Value::List(elements)) => elements
                .iter_mut()
                .for_each(|v| empty_blocks(&block.body, v)),
            (_, single) => empty_blocks(&block.body, single),
        }
    }
}

pub(super) fn encode(value: &Value, ty: &Type) -> Result<Option<tf::DynamicValue>, Diagnostic> {
    Ok(Some(tf::DynamicValue {
        msgpack: msgpack::encode(value, ty)?,
        json: Vec::new(),
    }))
}

pub(super) fn decode(value: Option<&tf::DynamicValue>, ty: &Type) -> Result<Value, Diagnostic> {
    value.map_or(Ok(Value::Null), |value| msgpack::decode(&value.msgpack, ty))
}

pub(super) fn raw_state(json: &Json) -> Option<tf::RawState> {
    Some(tf::RawState {
        json: json.to_string().into_bytes(),
        ..Default::default()
    })
}
