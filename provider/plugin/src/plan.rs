//! The plan of one resource, as its `plan` handler sees and refines it.

use std::collections::BTreeSet;

use crate::diagnostic::Diagnostic;
use crate::path::Path;
use crate::private::Private;
use crate::value::{FromValue, ToValue, Value};

/// The plan of a creation or an update.
#[derive(Debug, Clone)]
pub struct Plan {
    /// What the user wrote; the only place with write-only attributes.
    pub config: Value,
    /// The attributes before; `None` when the resource is to be created.
    pub prior: Option<Value>,
    /// The attributes after. Change computed ones only: Terraform refuses a plan that differs from the configuration.
    pub planned: Value,
    /// Private state: the prior one, and what `create` or `update` is to get.
    pub private: Private,
    /// The notes of the first plan of this change, when it is made again right before the apply and the host has kept them
    /// (Terraform 1.16 and later). So what was generated for the plan that people have read can be used again.
    pub earlier: Option<Private>,
    pub(crate) replace: BTreeSet<Path>,
    pub(crate) reasons: Vec<Diagnostic>,
}

impl Plan {
    /// Whether the resource is to be created (also as the second half of a replacement).
    pub fn is_create(&self) -> bool {
        self.prior.is_none()
    }

    /// Whether the attribute `name` differs from before. An unknown value does.
    pub fn changes(&self, name: &str) -> bool {
        self.prior.as_ref().unwrap_or(&Value::Null).get(name) != self.planned.get(name)
    }

    /// Whether an update changes anything at all.
    pub fn changes_anything(&self) -> bool {
        self.prior.as_ref() != Some(&self.planned)
    }

    /// The planned value of the attribute `name` as a `T`; use [`Field`](crate::Field) for what may be unknown.
    ///
    /// # Errors
    /// A diagnostic with the attribute path if it is not one.
    pub fn planned<T: FromValue>(&self, name: &str) -> Result<T, Diagnostic> {
        self.planned.attribute(name)
    }

    /// The value of the attribute `name` before; null when the resource is to be created.
    ///
    /// # Errors
    /// A diagnostic with the attribute path if it is not a `T`.
    pub fn prior<T: FromValue>(&self, name: &str) -> Result<T, Diagnostic> {
        self.prior.as_ref().unwrap_or(&Value::Null).attribute(name)
    }

    /// Plans `value` for the computed attribute `name`.
    pub fn set(&mut self, name: &str, value: &impl ToValue) {
        self.planned.set(name, value.to_value());
    }

    /// Plans "(known after apply)" for the computed attribute `name`.
    pub fn set_unknown(&mut self, name: &str) {
        self.planned.set(name, Value::Unknown);
    }

    /// Plans no change of the computed attribute `name`. Does nothing on create.
    pub fn keep(&mut self, name: &str) {
        if let Some(prior) = &self.prior {
            self.planned.set(name, prior.get(name).clone());
        }
    }

    /// Replaces the resource because of the attribute at `path`, and shows the user why in a warning.
    pub fn replace(&mut self, path: impl Into<Path>, reason: impl Into<String>) {
        let path = path.into();
        self.reasons.push(replacement(&path, reason.into()));
        self.replace.insert(path);
    }
}

pub(crate) fn replacement(path: &Path, reason: String) -> Diagnostic {
    Diagnostic::warning(format!("A new resource is needed to change {path}"), reason).at(path)
}
