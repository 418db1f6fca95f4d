//! The attributes of a noun, each defined once: for the resource, and for data sources, which only show it.

use std::fmt::Display;

use ipam_shared::{cidr::Cidr, name::Name};
use tfplugin::{
    Attribute, AttributeType, Diagnostic, FromValue, Nesting, Number, Path, Result, Text, Value,
};

/// Longest description, in characters.
const MAX_DESCRIPTION: usize = 1000;

type Check = fn(&Value, &Path) -> std::result::Result<(), Diagnostic>;

/// One attribute.
pub(crate) struct AttributeSpec {
    pub(crate) name: &'static str,
    attribute: Attribute,
    what: &'static str,
    usage: &'static str,
    check: Option<Check>,
    inner: Vec<Self>,
    /// Chosen when the thing is created: no change of the thing changes it, though it may be renamed.
    pub(crate) is_place: bool,
    /// Only said, and known to nobody but the configuration: data sources have nothing to show.
    pub(crate) is_written: bool,
}

impl AttributeSpec {
    /// An attribute with the flags that it has in a resource. `what` it is holds everywhere, the `usage` only in a
    /// resource.
    pub(crate) fn new(
        name: &'static str,
        attribute: Attribute,
        what: &'static str,
        usage: &'static str,
    ) -> Self {
        Self {
            name,
            attribute,
            what,
            usage,
            check: None,
            inner: Vec::new(),
            is_place: false,
            is_written: false,
        }
    }

    /// A read-only one.
    pub(crate) fn shown(name: &'static str, attribute: Attribute, what: &'static str) -> Self {
        Self::new(name, attribute.computed(), what, "")
    }

    /// A list of objects. Set next whether it is required or computed.
    pub(crate) fn list(
        name: &'static str,
        inner: Vec<Self>,
        flags: fn(Attribute) -> Attribute,
        what: &'static str,
        usage: &'static str,
    ) -> Self {
        let attribute = flags(Attribute::nested_list(of_resources(&inner)));
        Self::new(name, attribute, what, usage).made_of(inner)
    }

    /// One object. Set next whether it is required or computed.
    pub(crate) fn object(
        name: &'static str,
        inner: Vec<Self>,
        flags: fn(Attribute) -> Attribute,
        what: &'static str,
        usage: &'static str,
    ) -> Self {
        let attribute = flags(Attribute::nested(of_resources(&inner)));
        Self::new(name, attribute, what, usage).made_of(inner)
    }

    fn made_of(self, inner: Vec<Self>) -> Self {
        Self { inner, ..self }
    }

    /// Refuses a known value that is not a `T`.
    #[must_use]
    pub(crate) fn is<T: FromValue>(mut self) -> Self {
        self.check = Some(|value, path| T::from_value(value, path).map(drop));
        self
    }

    /// Chosen when the thing is made.
    #[must_use]
    pub(crate) fn place(mut self) -> Self {
        self.is_place = true;
        self
    }

    /// Only said.
    #[must_use]
    pub(crate) fn written(mut self) -> Self {
        self.is_written = true;
        self
    }

    /// Whether a configuration may set it.
    pub(crate) fn is_asked(&self) -> bool {
        self.attribute.required || self.attribute.optional
    }

    /// The attribute of the resource.
    pub(crate) fn of_resource(&self) -> Attribute {
        let text = [self.what, self.usage].join(" ");
        self.attribute.clone().describe(text.trim_end())
    }

    /// The attribute of a data source.
    pub(crate) fn of_data_source(&self) -> Attribute {
        let attribute = match &self.attribute.ty {
            AttributeType::Plain(ty) => Attribute::of(ty.clone()),
            AttributeType::Nested(nesting, _) => {
                let inner = self
                    .inner
                    .iter()
                    .map(|spec| (spec.name, spec.of_data_source()));
                match nesting {
                    Nesting::Single => Attribute::nested(inner),
                    Nesting::List => Attribute::nested_list(inner),
                    Nesting::Set => Attribute::nested_set(inner),
                    Nesting::Map => Attribute::nested_map(inner),
                }
            }
        };
        attribute.computed().describe(self.what)
    }

    /// Refuses invalid values, as far as they are known.
    pub(crate) fn check(&self, value: &Value, path: &Path) -> Result<()> {
        if let Some(check) = self.check
            && !value.is_null()
            && value.is_wholly_known()
        {
            check(value, path)?;
        }
        for (index, element) in value.as_list().into_iter().flatten().enumerate() {
            for spec in &self.inner {
                spec.check(element.get(spec.name), &path.index(index).then(spec.name))?;
            }
        }
        Ok(())
    }
}

/// A network that is written as it is read back.
pub(crate) struct CanonicalCidr;

impl FromValue for CanonicalCidr {
    fn from_value(value: &Value, path: &Path) -> std::result::Result<Self, Diagnostic> {
        let refuse =
            |why: &dyn Display| Diagnostic::error("Invalid value", why.to_string()).at(path);
        let text = String::from_value(value, path)?;
        let cidr: Cidr = text
            .parse()
            .map_err(|error| refuse(&format!("{text:?}: {error}.")))?;
        if cidr.to_string() == text {
            Ok(Self)
        } else {
            Err(refuse(&format!(
                "Write {text} as {cidr}, so that it stays the same when it is read back."
            )))
        }
    }
}

/// A prefix length of either family.
pub(crate) struct PrefixLength;

impl FromValue for PrefixLength {
    fn from_value(value: &Value, path: &Path) -> std::result::Result<Self, Diagnostic> {
        let length = Number::from_value(value, path)?;
        if length.as_u64().is_some_and(|length| length <= 128) {
            return Ok(Self);
        }
        let detail = format!("/{length} is not a prefix length, which is from 0 to 128.");
        Err(Diagnostic::error("Unsuitable number", detail).at(path))
    }
}

/// The attributes of an object, as the resource has them.
fn of_resources(inner: &[AttributeSpec]) -> impl Iterator<Item = (&'static str, Attribute)> {
    inner.iter().map(|spec| (spec.name, spec.of_resource()))
}

/// The value as a whole number, if it is within the bounds.
pub(crate) fn whole(
    value: &Value,
    path: &Path,
    least: i64,
    most: i64,
) -> std::result::Result<i64, Diagnostic> {
    let number = Number::from_value(value, path)?;
    let within = number
        .as_i64()
        .filter(|number| (least..=most).contains(number));
    within.ok_or_else(|| {
        Diagnostic::error(
            "Unsuitable number",
            format!("This needs a whole number from {least} to {most}, but it is {number}."),
        )
        .at(path)
    })
}

/// Free text that is not too long.
pub(crate) struct Description;

impl FromValue for Description {
    fn from_value(value: &Value, path: &Path) -> std::result::Result<Self, Diagnostic> {
        let length = String::from_value(value, path)?.chars().count();
        if length <= MAX_DESCRIPTION {
            return Ok(Self);
        }
        Err(Diagnostic::error(
            "The text is too long",
            format!("It has {length} characters; the maximum is {MAX_DESCRIPTION}."),
        )
        .at(path))
    }
}

/// The free text that everything has.
pub(crate) fn description() -> AttributeSpec {
    AttributeSpec::new(
        "description",
        Attribute::string().default(""),
        "Free text, at most 1,000 characters.",
        "Default: empty. Changed in place.",
    )
    .is::<Description>()
}

/// When it was created.
pub(crate) fn created_at() -> AttributeSpec {
    AttributeSpec::shown(
        "created_at",
        Attribute::string(),
        "When it was created, as in RFC 3339, in UTC.",
    )
}

/// The name of a thing that has one.
pub(crate) fn name(what: &'static str) -> AttributeSpec {
    AttributeSpec::new(
        "name",
        Attribute::string().required(),
        what,
        "1 to 128 characters, no `/`. Changed in place.",
    )
    .is::<Text<Name>>()
}

/// The name of a thing that keeps it.
pub(crate) fn name_for_life(what: &'static str, usage: &'static str) -> AttributeSpec {
    let attribute = Attribute::string().required().requires_replace();
    AttributeSpec::new("name", attribute, what, usage).is::<Text<Name>>()
}

/// How many of something there are.
pub(crate) fn count(name: &'static str, what: &'static str) -> AttributeSpec {
    AttributeSpec::shown(name, Attribute::number(), what)
}
