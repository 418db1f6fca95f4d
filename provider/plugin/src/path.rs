//! Where in a value something is: the address that a diagnostic points at.
//!
//! Knows nothing about schemas; a path may lead nowhere.

use std::fmt;

/// One step from a value to a part of it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// An attribute or nested block of an object.
    Attribute(String),
    /// An element of a map.
    Key(String),
    /// An element of a list.
    Index(usize),
}

/// The path from a whole configuration or state to one part of it. Empty means the whole.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Path(Vec<Step>);

impl Path {
    /// The whole value.
    pub fn root() -> Self {
        Self::default()
    }

    /// The top-level attribute `name`.
    pub fn attribute(name: &str) -> Self {
        Self::root().then(name)
    }

    /// The steps from the outside in.
    pub fn steps(&self) -> &[Step] {
        &self.0
    }

    /// This path and one attribute further.
    #[must_use]
    pub fn then(&self, attribute: &str) -> Self {
        self.step(Step::Attribute(attribute.to_owned()))
    }

    /// This path and one map element further.
    #[must_use]
    pub fn key(&self, key: &str) -> Self {
        self.step(Step::Key(key.to_owned()))
    }

    /// This path and one list element further.
    #[must_use]
    pub fn index(&self, index: usize) -> Self {
        self.step(Step::Index(index))
    }

    fn step(&self, step: Step) -> Self {
        let mut steps = self.0.clone();
        steps.push(step);
        Self(steps)
    }
}

/// `"labels"` is the attribute of that name, so that `plan.replace("cidr", "…")` reads well.
impl From<&str> for Path {
    fn from(attribute: &str) -> Self {
        Self::attribute(attribute)
    }
}

impl From<&Path> for Path {
    fn from(path: &Path) -> Self {
        path.clone()
    }
}

impl FromIterator<Step> for Path {
    fn from_iter<I: IntoIterator<Item = Step>>(steps: I) -> Self {
        Self(steps.into_iter().collect())
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, step) in self.0.iter().enumerate() {
            match step {
                Step::Attribute(name) if i == 0 => write!(f, "{name}")?,
                Step::Attribute(name) => write!(f, ".{name}")?,
                Step::Key(key) => write!(f, "[{key:?}]")?,
                Step::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_like_a_terraform_address() {
        let path = Path::attribute("members")
            .index(0)
            .then("labels")
            .key("a.b");
        assert_eq!(path.to_string(), r#"members[0].labels["a.b"]"#);
    }
}
