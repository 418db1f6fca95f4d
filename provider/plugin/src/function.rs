//! Functions: `provider::ipam::prefix_for_hosts(250)`. Pure: no client, no state, the same answer every time.

use serde::Serialize;

use crate::diagnostic::Diagnostic;
use crate::path::Path;
use crate::types::Type;
use crate::value::{FromValue, Value};

/// A function.
pub trait Function: Send + Sync {
    /// Its name, without `provider::…::`.
    fn name(&self) -> &str;

    /// Parameters and result.
    fn signature(&self) -> Signature;

    /// The result for these arguments.
    fn call(&self, arguments: &Arguments) -> Result<Value, FunctionError>;
}

/// Parameters and result of a function.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Signature {
    /// One line.
    pub summary: String,
    /// In Markdown.
    pub description: String,
    /// The positional parameters.
    pub parameters: Vec<Parameter>,
    /// The type of any further arguments.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub variadic: Option<Parameter>,
    /// The type of the result.
    pub result: Type,
    /// Why it should no longer be used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deprecated: Option<String>,
}

/// One parameter.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Parameter {
    /// Its name, for documentation and errors.
    pub name: String,
    /// The type of its argument.
    pub ty: Type,
    /// In Markdown.
    pub description: String,
    /// Whether the argument may be null. Otherwise Terraform refuses it.
    pub allow_null: bool,
    /// Whether the function wants to see unknown arguments. Otherwise the result is unknown without a call.
    pub allow_unknown: bool,
}

impl Signature {
    /// A function without parameters.
    pub fn new(summary: impl Into<String>, result: Type) -> Self {
        Self {
            summary: summary.into(),
            description: String::new(),
            parameters: Vec::new(),
            variadic: None,
            result,
            deprecated: None,
        }
    }

    /// What it does, in Markdown.
    #[must_use]
    pub fn describe(mut self, description: impl Into<String>) -> Self {
        self.description = description.into();
        self
    }

    /// Adds a parameter.
    #[must_use]
    pub fn parameter(mut self, parameter: Parameter) -> Self {
        self.parameters.push(parameter);
        self
    }

    /// Any number of further arguments, including none.
    #[must_use]
    pub fn variadic(mut self, parameter: Parameter) -> Self {
        self.variadic = Some(parameter);
        self
    }

    /// Deprecated, with the reason.
    #[must_use]
    pub fn deprecated(mut self, reason: impl Into<String>) -> Self {
        self.deprecated = Some(reason.into());
        self
    }

    /// The parameter that the argument at `index` is for.
    pub(crate) fn parameter_at(&self, index: usize) -> Option<&Parameter> {
        self.parameters.get(index).or(self.variadic.as_ref())
    }
}

impl Parameter {
    /// A parameter that accepts neither null nor unknown.
    pub fn new(name: &str, ty: Type, description: impl Into<String>) -> Self {
        Self {
            name: name.to_owned(),
            ty,
            description: description.into(),
            allow_null: false,
            allow_unknown: false,
        }
    }

    /// Lets the argument be null.
    #[must_use]
    pub fn allow_null(mut self) -> Self {
        self.allow_null = true;
        self
    }

    /// Lets the argument be unknown.
    #[must_use]
    pub fn allow_unknown(mut self) -> Self {
        self.allow_unknown = true;
        self
    }
}

/// The arguments of a call, the variadic ones last.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Arguments(Vec<Value>);

impl Arguments {
    /// These arguments.
    pub fn new(arguments: Vec<Value>) -> Self {
        Self(arguments)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The argument at `index` as a `T`.
    ///
    /// # Errors
    /// A [`FunctionError`] about this argument if it is not one.
    pub fn get<T: FromValue>(&self, index: usize) -> Result<T, FunctionError> {
        let value = self.0.get(index).unwrap_or(&Value::Null);
        T::from_value(value, &Path::root())
            .map_err(|error| FunctionError::argument(index, describe(&error)))
    }

    /// The arguments from `index` on, as the variadic parameter takes them.
    ///
    /// # Errors
    /// A [`FunctionError`] about the first argument that is not a `T`.
    pub fn rest<T: FromValue>(&self, index: usize) -> Result<Vec<T>, FunctionError> {
        (index..self.0.len()).map(|i| self.get(i)).collect()
    }
}

fn describe(error: &Diagnostic) -> String {
    if error.path.steps().is_empty() {
        return error.detail.clone();
    }
    format!("{}: {}", error.path, error.detail)
}

/// Why a function has no result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FunctionError {
    /// A sentence for the user.
    pub text: String,
    /// Which argument is at fault, counted from 0.
    pub argument: Option<usize>,
}

impl FunctionError {
    /// An error about the call as a whole.
    pub fn new(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            argument: None,
        }
    }

    /// An error about the argument at `index`.
    pub fn argument(index: usize, text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            argument: Some(index),
        }
    }
}
