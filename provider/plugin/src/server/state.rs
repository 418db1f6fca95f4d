//! State of one resource type between the wire and the handlers.

use std::collections::BTreeMap;

use crate::codec::msgpack;
use crate::diagnostic::{Diagnostic, Diagnostics, Result};
use crate::path::{Path, Step};
use crate::planning::settle;
use crate::private::Private;
use crate::proto::tf;
use crate::resource::Instance;
use crate::schema::{IdentitySchema, Schema};
use crate::value::Value;

use super::{decode, decode_as, encode};

/// One resource type as the calls need it.
pub(super) struct States<'a> {
    pub(super) schema: &'a Schema,
    pub(super) identity: Option<&'a IdentitySchema>,
}

/// A state ready to be sent.
pub(super) struct Sent {
    pub(super) state: tf::DynamicValue,
    pub(super) private: Vec<u8>,
    pub(super) identity: Option<tf::ResourceIdentityData>,
}

impl States<'_> {
    /// Reads an instance.
    pub(super) fn read(
        &self,
        state: Option<&tf::DynamicValue>,
        private: &[u8],
    ) -> Result<Instance, Diagnostic> {
        Ok(Instance {
            state: decode(state, self.schema)?,
            private: Private::decode(private),
        })
    }

    /// Writes an instance, in the shape that `reference` (the plan or the state before) asks for.
    pub(super) fn write(
        &self,
        mut instance: Instance,
        reference: &Value,
    ) -> Result<Sent, Diagnostic> {
        settle(&self.schema.body, reference, &mut instance.state);
        Ok(Sent {
            state: encode(&instance.state, &self.schema.ty())?,
            private: instance.private.encode(),
            identity: self.identity_of(&instance.state)?,
        })
    }

    /// Writes what was created or changed in any case: the thing exists now, so a value that does not fit its schema is
    /// left out and reported rather than losing everything.
    pub(super) fn write_applied(
        &self,
        mut instance: Instance,
        planned: &Value,
    ) -> Result<(Sent, Diagnostics)> {
        let ty = self.schema.ty();
        let mut errors = Diagnostics::new();
        if !matches!(instance.state, Value::Map(_)) {
            errors.push(bug(Diagnostic::error(
                "No state",
                "The provider returned no attributes.",
            )));
            instance.state = planned.clone();
        }
        for path in unknown_attributes(&instance.state) {
            let error = Diagnostic::error(
                "Unknown value",
                "The provider left this attribute unknown after apply.",
            );
            errors.push(bug(error.at(&path)));
            forget(&mut instance.state, &path);
        }
        // Each round removes one attribute, so this ends.
        while let Err(error) = msgpack::encode(&instance.state, &ty) {
            let path = error.path.clone();
            errors.push(bug(error));
            if !forget(&mut instance.state, &path) {
                return Err(errors);
            }
        }
        Ok((self.write(instance, planned)?, errors))
    }

    /// The identity of a resource in this state: its attributes of the same names. None while one of them is not known, or
    /// one is missing that every resource has.
    pub(super) fn identity_of(
        &self,
        state: &Value,
    ) -> Result<Option<tf::ResourceIdentityData>, Diagnostic> {
        let Some(schema) = self.identity else {
            return Ok(None);
        };
        let parts = schema
            .attributes
            .keys()
            .map(|name| (name.clone(), state.get(name).clone()));
        let identity: BTreeMap<_, _> = parts.collect();
        let is_missing = |(name, part): (&String, &Value)| {
            part.is_null() && schema.attributes[name].required_for_import
        };
        if identity.values().any(|part| !part.is_wholly_known())
            || identity.values().all(Value::is_null)
            || identity.iter().any(is_missing)
        {
            return Ok(None);
        }
        Ok(Some(tf::ResourceIdentityData {
            identity_data: Some(encode(&identity.into(), &schema.ty())?),
        }))
    }

    /// Reads an identity; null if there is none.
    pub(super) fn read_identity(
        &self,
        data: Option<&tf::ResourceIdentityData>,
    ) -> Result<Value, Diagnostic> {
        match (self.identity, data) {
            (Some(schema), Some(data)) => decode_as(data.identity_data.as_ref(), &schema.ty()),
            _ => Ok(Value::Null),
        }
    }
}

fn bug(mut error: Diagnostic) -> Diagnostic {
    error
        .detail
        .push_str(" The resource exists and is kept in the state. This is a bug in the provider.");
    error
}

/// The top-level attributes that are not wholly known.
fn unknown_attributes(state: &Value) -> Vec<Path> {
    let attributes = state.as_map().into_iter().flatten();
    attributes
        .filter(|(_, value)| !value.is_wholly_known())
        .map(|(name, _)| Path::attribute(name))
        .collect()
}

/// Removes the top-level attribute that `path` leads through; false if there is none.
fn forget(state: &mut Value, path: &Path) -> bool {
    match (state, path.steps().first()) {
        (Value::Map(attributes), Some(Step::Attribute(name))) => attributes.remove(name).is_some(),
        _ => false,
    }
}
