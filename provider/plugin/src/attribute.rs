//! Attributes: the type of a value, who sets it, and how it behaves in a plan.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::types::{Nesting, Type};
use crate::value::Value;

/// What kind of value an attribute holds.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AttributeType {
    /// A value of this type.
    Plain(Type),
    /// Objects whose attributes have flags of their own.
    Nested(Nesting, BTreeMap<String, Attribute>),
}

/// What a plan does with a computed attribute that the configuration leaves out.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum OnUpdate {
    /// Any update may change it: "(known after apply)".
    #[default]
    Unknown,
    /// No update changes it: the value in the state is the planned one.
    Keep,
    /// It changes only along with one of these top-level attributes.
    UnknownWhenChanged(Vec<String>),
}

/// Whether a change of an attribute means a new resource.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Replace {
    /// It can be changed in place, or the resource's `plan` decides.
    #[default]
    Never,
    /// A changed value replaces the resource. With a reason, the plan also shows it as a warning.
    Always(Option<String>),
}

/// One attribute.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Attribute {
    /// The type of its value.
    pub ty: AttributeType,
    /// What it is, in Markdown.
    pub description: String,
    /// Must be configured.
    pub required: bool,
    /// May be configured.
    pub optional: bool,
    /// The provider may set it.
    pub computed: bool,
    /// Not shown in plans and logs.
    pub sensitive: bool,
    /// Configured but never stored (Terraform 1.11 and later).
    pub write_only: bool,
    /// Why it should no longer be used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deprecated: Option<String>,
    /// The value when the configuration leaves it out.
    #[serde(
        skip_serializing_if = "Option::is_none",
        serialize_with = "serialize_default"
    )]
    pub default: Option<Value>,
    /// What an update does with it, if it is computed.
    pub on_update: OnUpdate,
    /// Whether changing it replaces the resource.
    pub replace: Replace,
}

impl Attribute {
    /// An attribute of any type. Set next whether it is required, optional or computed.
    pub fn of(ty: Type) -> Self {
        Self::new(AttributeType::Plain(ty))
    }

    /// Text.
    pub fn string() -> Self {
        Self::of(Type::String)
    }

    /// A number, whole or not.
    pub fn number() -> Self {
        Self::of(Type::Number)
    }

    /// true or false.
    pub fn bool() -> Self {
        Self::of(Type::Bool)
    }

    /// A list of plain values.
    pub fn list(element: Type) -> Self {
        Self::of(Type::list(element))
    }

    /// A set of plain values.
    pub fn set(element: Type) -> Self {
        Self::of(Type::set(element))
    }

    /// A map of plain values.
    pub fn map(element: Type) -> Self {
        Self::of(Type::map(element))
    }

    /// A value of whatever type the configuration gives.
    pub fn dynamic() -> Self {
        Self::of(Type::Dynamic)
    }

    /// One object whose attributes have flags of their own.
    pub fn nested<'a>(attributes: impl IntoIterator<Item = (&'a str, Attribute)>) -> Self {
        Self::new_nested(Nesting::Single, attributes)
    }

    /// A list of such objects.
    pub fn nested_list<'a>(attributes: impl IntoIterator<Item = (&'a str, Attribute)>) -> Self {
        Self::new_nested(Nesting::List, attributes)
    }

    /// A set of such objects.
    pub fn nested_set<'a>(attributes: impl IntoIterator<Item = (&'a str, Attribute)>) -> Self {
        Self::new_nested(Nesting::Set, attributes)
    }

    /// A map to such objects.
    pub fn nested_map<'a>(attributes: impl IntoIterator<Item = (&'a str, Attribute)>) -> Self {
        Self::new_nested(Nesting::Map, attributes)
    }

    fn new_nested<'a>(
        nesting: Nesting,
        attributes: impl IntoIterator<Item = (&'a str, Attribute)>,
    ) -> Self {
        let attributes = attributes
            .into_iter()
            .map(|(name, a)| (name.to_owned(), a))
            .collect();
        Self::new(AttributeType::Nested(nesting, attributes))
    }

    fn new(ty: AttributeType) -> Self {
        Self {
            ty,
            description: String::new(),
            required: false,
            optional: false,
            computed: false,
            sensitive: false,
            write_only: false,
            deprecated: None,
            default: None,
            on_update: OnUpdate::default(),
            replace: Replace::default(),
        }
    }

    /// What it is, in Markdown.
    #[must_use]
    pub fn describe(mut self, description: impl Into<String>) -> Self {
        self.description = description.into();
        self
    }

    /// Must be configured.
    #[must_use]
    pub fn required(mut self) -> Self {
        self.required = true;
        self
    }

    /// May be configured. Together with [`Attribute::computed`]: the provider fills it in otherwise.
    #[must_use]
    pub fn optional(mut self) -> Self {
        self.optional = true;
        self
    }

    /// Set by the provider.
    #[must_use]
    pub fn computed(mut self) -> Self {
        self.computed = true;
        self
    }

    /// May be configured, and is `value` otherwise.
    #[must_use]
    pub fn default(mut self, value: impl Into<Value>) -> Self {
        self.optional = true;
        self.computed = true;
        self.default = Some(value.into());
        self
    }

    /// Not shown in plans and logs.
    #[must_use]
    pub fn sensitive(mut self) -> Self {
        self.sensitive = true;
        self
    }

    /// Configured but never stored: read it from the configuration in `create` and `update`.
    #[must_use]
    pub fn write_only(mut self) -> Self {
        self.write_only = true;
        self
    }

    /// Deprecated, with the reason.
    #[must_use]
    pub fn deprecated(mut self, reason: impl Into<String>) -> Self {
        self.deprecated = Some(reason.into());
        self
    }

    /// No update changes it, so a plan shows the value in the state instead of "(known after apply)".
    #[must_use]
    pub fn use_state_for_unknown(mut self) -> Self {
        self.on_update = OnUpdate::Keep;
        self
    }

    /// It changes only along with one of these top-level attributes; other updates keep the value in the state.
    #[must_use]
    pub fn unknown_when_changed(mut self, attributes: &[&str]) -> Self {
        self.on_update =
            OnUpdate::UnknownWhenChanged(attributes.iter().map(|&name| name.to_owned()).collect());
        self
    }

    /// A changed value replaces the resource.
    #[must_use]
    pub fn requires_replace(mut self) -> Self {
        self.replace = Replace::Always(None);
        self
    }

    /// A changed value replaces the resource, and the plan shows `reason` in a warning.
    #[must_use]
    pub fn requires_replace_because(mut self, reason: impl Into<String>) -> Self {
        self.replace = Replace::Always(Some(reason.into()));
        self
    }

    /// The type of its value.
    pub fn ty(&self) -> Type {
        match &self.ty {
            AttributeType::Plain(ty) => ty.clone(),
            AttributeType::Nested(nesting, attributes) => nesting.of(Type::Object(
                attributes
                    .iter()
                    .map(|(name, a)| (name.clone(), a.ty()))
                    .collect(),
            )),
        }
    }
}

fn serialize_default<S: serde::Serializer>(
    value: &Option<Value>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    value.as_ref().map(Value::to_json).serialize(serializer)
}
