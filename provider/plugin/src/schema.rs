//! Schemas: what a configuration may say.
//!
//! Plain data that can be serialized (the documentation is generated from it). Descriptions are Markdown. Attributes
//! and how they behave in a plan are in `attribute`.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::attribute::Attribute;
use crate::types::{Nesting, Type};

/// The attributes of a resource, data source, ephemeral resource or of the provider itself.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Schema {
    /// Raised by one whenever stored state has to be converted; see [`crate::Resource::upgrade`].
    pub version: i64,
    /// Attributes and blocks.
    #[serde(flatten)]
    pub body: Body,
}

/// Attributes and nested blocks: the inside of a schema or of a block.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Body {
    /// What it is, in Markdown.
    pub description: String,
    /// Why it should no longer be used: a text for people. Terraform before 1.15 shows one of its own instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deprecated: Option<String>,
    /// Attributes by name.
    pub attributes: BTreeMap<String, Attribute>,
    /// Nested blocks by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub blocks: BTreeMap<String, Block>,
}

/// A nested block. New schemas should use nested attributes; blocks are for `timeouts` and the like.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Block {
    /// How many there may be and how they are addressed.
    pub nesting: Nesting,
    /// The least number of blocks, for lists and sets.
    pub min_items: u32,
    /// The greatest number of blocks, for lists and sets; 0 means any.
    pub max_items: u32,
    /// What a block holds.
    #[serde(flatten)]
    pub body: Body,
}

impl Schema {
    /// A schema of version 0 with this description (Markdown).
    pub fn new(description: impl Into<String>) -> Self {
        Self {
            version: 0,
            body: Body {
                description: description.into(),
                ..Body::default()
            },
        }
    }

    /// The same schema in version `version`.
    #[must_use]
    pub fn version(mut self, version: i64) -> Self {
        self.version = version;
        self
    }

    /// Adds an attribute.
    #[must_use]
    pub fn attribute(mut self, name: &str, attribute: Attribute) -> Self {
        self.body.attributes.insert(name.to_owned(), attribute);
        self
    }

    /// Adds a nested block.
    #[must_use]
    pub fn block(mut self, name: &str, block: Block) -> Self {
        self.body.blocks.insert(name.to_owned(), block);
        self
    }

    /// Marks the whole resource or data source as deprecated, with the reason.
    #[must_use]
    pub fn deprecated(mut self, reason: impl Into<String>) -> Self {
        self.body.deprecated = Some(reason.into());
        self
    }

    /// The type of a value of this schema.
    pub fn ty(&self) -> Type {
        self.body.ty()
    }
}

impl Body {
    /// The type of a value with these attributes and blocks.
    pub fn ty(&self) -> Type {
        let attributes = self
            .attributes
            .iter()
            .map(|(name, a)| (name.clone(), a.ty()));
        let blocks = self
            .blocks
            .iter()
            .map(|(name, b)| (name.clone(), b.nesting.of(b.body.ty())));
        Type::Object(attributes.chain(blocks).collect())
    }
}

impl Block {
    /// A block that may be given once, or left out.
    pub fn single(description: impl Into<String>) -> Self {
        Self::new(Nesting::Single, description)
    }

    /// A block that may be given any number of times, in order.
    pub fn list(description: impl Into<String>) -> Self {
        Self::new(Nesting::List, description)
    }

    fn new(nesting: Nesting, description: impl Into<String>) -> Self {
        Self {
            nesting,
            min_items: 0,
            max_items: 0,
            body: Body {
                description: description.into(),
                ..Body::default()
            },
        }
    }

    /// Adds an attribute.
    #[must_use]
    pub fn attribute(mut self, name: &str, attribute: Attribute) -> Self {
        self.body.attributes.insert(name.to_owned(), attribute);
        self
    }

    /// Adds a block inside the block.
    #[must_use]
    pub fn block(mut self, name: &str, block: Block) -> Self {
        self.body.blocks.insert(name.to_owned(), block);
        self
    }

    /// Limits how often the block may be given (lists and sets).
    #[must_use]
    pub fn items(mut self, min: u32, max: u32) -> Self {
        self.min_items = min;
        self.max_items = max;
        self
    }
}

/// What identifies a resource forever, apart from its state (Terraform 1.12 and later). The values are taken from
/// the state's attributes of the same names.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct IdentitySchema {
    /// Raised whenever stored identities have to be converted.
    pub version: i64,
    /// Attributes by name.
    pub attributes: BTreeMap<String, IdentityAttribute>,
}

/// One part of an identity.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct IdentityAttribute {
    /// The type of its value.
    pub ty: Type,
    /// What it is, in Markdown.
    pub description: String,
    /// Whether an import by identity must give it.
    pub required_for_import: bool,
}

impl IdentitySchema {
    /// Adds a part that an import by identity must give.
    #[must_use]
    pub fn required(self, name: &str, ty: Type, description: &str) -> Self {
        self.with(name, ty, description, true)
    }

    /// Adds a part that an import by identity may leave out.
    #[must_use]
    pub fn optional(self, name: &str, ty: Type, description: &str) -> Self {
        self.with(name, ty, description, false)
    }

    fn with(mut self, name: &str, ty: Type, description: &str, required_for_import: bool) -> Self {
        let attribute = IdentityAttribute {
            ty,
            description: description.to_owned(),
            required_for_import,
        };
        self.attributes.insert(name.to_owned(), attribute);
        self
    }

    /// The type of an identity.
    pub fn ty(&self) -> Type {
        Type::Object(
            self.attributes
                .iter()
                .map(|(name, a)| (name.clone(), a.ty.clone()))
                .collect(),
        )
    }
}
