//! Random types with values that fit them.

use std::collections::BTreeMap;

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;

use crate::number::Number;
use crate::types::Type;
use crate::value::Value;

/// How to make a value of a primitive type.
pub(crate) type Leaf = fn(Type) -> BoxedStrategy<Value>;

/// Null and known values.
pub(crate) fn known() -> Leaf {
    |ty| {
        let value = match ty {
            Type::Bool => any::<bool>().prop_map(Value::Bool).boxed(),
            Type::String => any::<String>().prop_map(Value::String).boxed(),
            _ => number().prop_map(Value::Number).boxed(),
        };
        prop_oneof![1 => Just(Value::Null), 9 => value].boxed()
    }
}

/// The same and unknown ones.
pub(crate) fn with_unknowns() -> Leaf {
    |ty| prop_oneof![1 => Just(Value::Unknown), 9 => known()(ty)].boxed()
}

fn number() -> impl Strategy<Value = Number> {
    prop_oneof![
        any::<i64>().prop_map(Number::from),
        any::<u64>().prop_map(Number::from),
        (-1e300..1e300f64).prop_map(Number::from),
        "[1-9][0-9]{20,40}".prop_map(|digits| Number::parse(&digits).expect("digits are a number")),
    ]
}

fn any_type() -> impl Strategy<Value = Type> {
    let leaf = prop_oneof![Just(Type::Bool), Just(Type::Number), Just(Type::String)];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            inner.clone().prop_map(Type::list),
            inner.clone().prop_map(Type::set),
            inner.clone().prop_map(Type::map),
            btree_map("[a-z]{1,4}", inner.clone(), 0..4).prop_map(Type::Object),
            vec(inner, 0..4).prop_map(Type::Tuple),
        ]
    })
}

/// A type and a value of it.
pub(crate) fn typed(leaf: Leaf) -> impl Strategy<Value = (Type, Value)> {
    any_type().prop_flat_map(move |ty| (Just(ty.clone()), value(ty, leaf)))
}

fn value(ty: Type, leaf: Leaf) -> BoxedStrategy<Value> {
    match ty {
        Type::List(element) | Type::Set(element) => vec(value(*element, leaf), 0..4)
            .prop_map(Value::List)
            .boxed(),
        Type::Map(element) => btree_map(any::<String>(), value(*element, leaf), 0..4)
            .prop_map(Value::Map)
            .boxed(),
        Type::Object(types) => {
            let attributes = types
                .into_iter()
                .map(|(name, ty)| value(ty, leaf).prop_map(move |v| (name.clone(), v)));
            attributes
                .collect::<Vec<_>>()
                .prop_map(|pairs| Value::Map(pairs.into_iter().collect::<BTreeMap<_, _>>()))
                .boxed()
        }
        Type::Tuple(types) => {
            let elements = types.into_iter().map(|ty| value(ty, leaf));
            elements.collect::<Vec<_>>().prop_map(Value::List).boxed()
        }
        primitive => leaf(primitive),
    }
}
