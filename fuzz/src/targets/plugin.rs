//! What the provider reads of Terraform.

use tfplugin::{
    Number, Type, Value,
    fuzzing::{message, private, read_state, read_wire, write_wire},
};

use crate::bytes::{Bytes, text};

fn some_type(bytes: &mut Bytes<'_>, depth: u8) -> Type {
    let inner = |bytes: &mut Bytes<'_>| some_type(bytes, depth + 1);
    match bytes.byte() % if depth < 3 { 9 } else { 4 } {
        0 => Type::String,
        1 => Type::Number,
        2 => Type::Bool,
        3 => Type::Dynamic,
        4 => Type::list(inner(bytes)),
        5 => Type::set(inner(bytes)),
        6 => Type::map(inner(bytes)),
        7 => Type::object([("a", inner(bytes)), ("b", inner(bytes))]),
        _ => Type::Tuple(vec![inner(bytes), inner(bytes)]),
    }
}

/// What was read is of its type, so it can be written, and is read as the same.
fn written(value: &Value, ty: &Type) {
    let written = write_wire(value, ty).expect("what was read can be written");
    let again = read_wire(&written, ty).expect("what was written can be read");
    assert_eq!(&again, value, "{ty:?}");
}

/// Values on the wire, as MessagePack.
pub(super) fn wire(input: &[u8]) {
    let mut bytes = Bytes(input);
    let ty = some_type(&mut bytes, 0);
    if let Ok(value) = read_wire(bytes.0, &ty) {
        written(&value, &ty);
    }
}

/// Values in state files, as JSON, and what resources note for themselves.
pub(super) fn state(input: &[u8]) {
    let mut bytes = Bytes(input);
    let ty = some_type(&mut bytes, 0);
    assert_eq!(Type::from_json(&ty.to_json()), Some(ty.clone()));
    if let Ok(value) = read_state(bytes.0, &ty) {
        written(&value, &ty);
    }
    let noted = private(bytes.0);
    // Floats may move by the last digit.
    if !noted.iter().any(|byte| b".eE".contains(byte)) {
        assert_eq!(private(&noted), noted);
    }
}

/// Numbers: no digit of what was written is lost.
pub(super) fn number(input: &[u8]) {
    let given = text(input);
    let Some(number) = Number::parse(given) else {
        return;
    };
    let shown = number.to_string();
    assert_eq!(
        Number::parse(&shown),
        Some(number.clone()),
        "{given:?}, {shown}"
    );
    // The standard library reads each of these texts too, but rounds.
    let rounded: f64 = given.parse().expect("a number");
    assert_eq!(
        number.as_f64().to_bits() << 1,
        rounded.to_bits() << 1,
        "{given:?}, {shown}"
    );
    if let Ok(whole) = given.parse::<i64>() {
        assert_eq!(number.as_i64(), Some(whole));
    }
}

/// The messages of calls.
pub(super) fn messages(input: &[u8]) {
    let mut bytes = Bytes(input);
    let kind = bytes.byte();
    if let Some(written) = message(kind, bytes.0) {
        let again = message(kind, &written).expect("what was written can be read");
        // Entries of maps have no order.
        assert_eq!(again.len(), written.len());
    }
}
