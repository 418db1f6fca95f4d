//! Our types as messages of the protocol.

use crate::attribute::{Attribute, AttributeType};
use crate::diagnostic::{Diagnostic, Diagnostics, Severity};
use crate::function::{FunctionError, Parameter, Signature};
use crate::path::{Path, Step};
use crate::proto::tf;
use crate::schema::{Block, Body, IdentitySchema, Schema};
use crate::types::{Nesting, Type};

pub(super) fn diagnostics(diagnostics: Diagnostics) -> Vec<tf::Diagnostic> {
    let convert = |diagnostic: Diagnostic| tf::Diagnostic {
        severity: match diagnostic.severity {
            Severity::Error => tf::diagnostic::Severity::Error.into(),
            Severity::Warning => tf::diagnostic::Severity::Warning.into(),
        },
        summary: diagnostic.summary,
        detail: diagnostic.detail,
        attribute: (!diagnostic.path.steps().is_empty()).then(|| path(&diagnostic.path)),
    };
    diagnostics.into_iter().map(convert).collect()
}

pub(super) fn path(path: &Path) -> tf::AttributePath {
    use tf::attribute_path::step::Selector;
    let step = |step: &Step| tf::attribute_path::Step {
        selector: Some(match step {
            Step::Attribute(name) => Selector::AttributeName(name.clone()),
            Step::Key(key) => Selector::ElementKeyString(key.clone()),
            Step::Index(index) => {
                Selector::ElementKeyInt(i64::try_from(*index).unwrap_or(i64::MAX))
            }
        }),
    };
    tf::AttributePath {
        steps: path.steps().iter().map(step).collect(),
    }
}

fn ty(ty: &Type) -> Vec<u8> {
    ty.to_json().to_string().into_bytes()
}

pub(super) fn schema(schema: &Schema) -> tf::Schema {
    tf::Schema {
        version: schema.version,
        block: Some(body(&schema.body, schema.version)),
    }
}

fn body(body: &Body, version: i64) -> tf::schema::Block {
    tf::schema::Block {
        version,
        attributes: attributes(&body.attributes),
        block_types: body.blocks.iter().map(|(name, b)| block(name, b)).collect(),
        description: body.description.clone(),
        description_kind: tf::StringKind::Markdown.into(),
        deprecated: body.deprecated.is_some(),
        deprecation_message: body.deprecated.clone().unwrap_or_default(),
    }
}

fn attributes<'a>(
    attributes: impl IntoIterator<Item = (&'a String, &'a Attribute)>,
) -> Vec<tf::schema::Attribute> {
    attributes
        .into_iter()
        .map(|(name, a)| attribute(name, a))
        .collect()
}

fn attribute(name: &str, attribute: &Attribute) -> tf::schema::Attribute {
    // Terraform refuses a schema in which an attribute has both kinds of type.
    let (plain, nested) = match &attribute.ty {
        AttributeType::Plain(plain) => (ty(plain), None),
        AttributeType::Nested(nesting, inner) => {
            use tf::schema::object::NestingMode;
            let nesting = match nesting {
                Nesting::Single => NestingMode::Single,
                Nesting::List => NestingMode::List,
                Nesting::Set => NestingMode::Set,
                Nesting::Map => NestingMode::Map,
            };
            let nested = tf::schema::Object {
                attributes: attributes(inner),
                nesting: nesting.into(),
            };
            (Vec::new(), Some(nested))
        }
    };
    tf::schema::Attribute {
        name: name.to_owned(),
        r#type: plain,
        nested_type: nested,
        description: attribute.description.clone(),
        description_kind: tf::StringKind::Markdown.into(),
        required: attribute.required,
        optional: attribute.optional,
        computed: attribute.computed,
        sensitive: attribute.sensitive,
        deprecated: attribute.deprecated.is_some(),
        deprecation_message: attribute.deprecated.clone().unwrap_or_default(),
        write_only: attribute.write_only,
    }
}

fn block(name: &str, block: &Block) -> tf::schema::NestedBlock {
    use tf::schema::nested_block::NestingMode;
    let nesting = match block.nesting {
        Nesting::Single => NestingMode::Single,
        Nesting::List => NestingMode::List,
        Nesting::Set => NestingMode::Set,
        Nesting::Map => NestingMode::Map,
    };
    tf::schema::NestedBlock {
        type_name: name.to_owned(),
        block: Some(body(&block.body, 0)),
        nesting: nesting.into(),
        min_items: block.min_items.into(),
        max_items: block.max_items.into(),
    }
}

pub(super) fn identity_schema(schema: &IdentitySchema) -> tf::ResourceIdentitySchema {
    let attributes = schema.attributes.iter();
    let attributes = attributes.map(
        |(name, a)| tf::resource_identity_schema::IdentityAttribute {
            name: name.clone(),
            r#type: ty(&a.ty),
            required_for_import: a.required_for_import,
            optional_for_import: !a.required_for_import,
            description: a.description.clone(),
        },
    );
    tf::ResourceIdentitySchema {
        version: schema.version,
        identity_attributes: attributes.collect(),
    }
}

pub(super) fn signature(signature: &Signature) -> tf::Function {
    tf::Function {
        parameters: signature.parameters.iter().map(parameter).collect(),
        variadic_parameter: signature.variadic.as_ref().map(parameter),
        r#return: Some(tf::function::Return {
            r#type: ty(&signature.result),
        }),
        summary: signature.summary.clone(),
        description: signature.description.clone(),
        description_kind: tf::StringKind::Markdown.into(),
        deprecation_message: signature.deprecated.clone().unwrap_or_default(),
    }
}

fn parameter(parameter: &Parameter) -> tf::function::Parameter {
    tf::function::Parameter {
        name: parameter.name.clone(),
        r#type: ty(&parameter.ty),
        allow_null_value: parameter.allow_null,
        allow_unknown_values: parameter.allow_unknown,
        description: parameter.description.clone(),
        description_kind: tf::StringKind::Markdown.into(),
    }
}

pub(super) fn function_error(error: FunctionError) -> tf::FunctionError {
    tf::FunctionError {
        text: error.text,
        function_argument: error.argument.and_then(|index| i64::try_from(index).ok()),
    }
}
