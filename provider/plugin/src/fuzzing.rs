//! Doors to what reads the wire and state files, for the crate that fuzzes it. No part of the interface.

use prost::Message as _;

use crate::{
    codec::{json, msgpack},
    diagnostic::Diagnostic,
    private::Private,
    proto::tf,
    types::Type,
    value::Value,
};

/// A value as it comes over the wire.
///
/// # Errors
/// When the bytes are no value of that type.
pub fn read_wire(bytes: &[u8], ty: &Type) -> Result<Value, Diagnostic> {
    msgpack::decode(bytes, ty)
}

/// A value as it goes over the wire.
///
/// # Errors
/// When the value is not of that type.
pub fn write_wire(value: &Value, ty: &Type) -> Result<Vec<u8>, Diagnostic> {
    msgpack::encode(value, ty)
}

/// A value as it stands in a state file.
///
/// # Errors
/// When the text is no value of that type.
pub fn read_state(text: &[u8], ty: &Type) -> Result<Value, Diagnostic> {
    json::decode(text, ty)
}

/// What a resource has noted for itself, read and written again.
pub fn private(bytes: &[u8]) -> Vec<u8> {
    Private::decode(bytes).encode()
}

/// Reads bytes as the message of a call, and writes it again; none if they are no such message.
pub fn message(kind: u8, bytes: &[u8]) -> Option<Vec<u8>> {
    macro_rules! of {
        ($($call:ident),+ $(,)?) => {{
            let all: &[fn(&[u8]) -> Option<Vec<u8>>] = &[
                $(|bytes| Some(tf::$call::Request::decode(bytes).ok()?.encode_to_vec())),+
            ];
            all[usize::from(kind) % all.len()](bytes)
        }};
    }
    of![
        validate_provider_config,
        validate_resource_config,
        validate_data_resource_config,
        upgrade_resource_state,
        upgrade_resource_identity,
        move_resource_state,
        configure_provider,
        read_resource,
        plan_resource_change,
        apply_resource_change,
        import_resource_state,
        generate_resource_config,
        list_resource,
        read_data_source,
        open_ephemeral_resource,
        call_function,
    ]
}
