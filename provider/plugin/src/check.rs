//! Mistakes in schemas that the compiler can't see. Terraform refuses some of them with a cryptic error and accepts others.

use std::collections::BTreeMap;

use crate::attribute::{Attribute, AttributeType, OnUpdate};
use crate::describe::Description;
use crate::schema::{Block, Body};
use crate::types::Nesting;

/// Reserved names in the block of a resource or data source.
const RESERVED: [&str; 7] = [
    "connection",
    "count",
    "depends_on",
    "for_each",
    "lifecycle",
    "provider",
    "provisioner",
];

impl Description {
    /// What is wrong with the schemas, one sentence each. Terraform gets these errors instead of such a schema; a
    /// provider's tests should assert that there are none.
    pub fn problems(&self) -> Vec<String> {
        let mut found = Problems::default();
        found.body(&self.provider.body, "provider");
        for (kind, schemas) in [
            ("resource", &self.resources),
            ("data source", &self.data_sources),
            ("ephemeral resource", &self.ephemeral_resources),
            ("list resource", &self.list_resources),
        ] {
            for (name, schema) in schemas {
                let place = format!("{kind} {name}");
                if !name.starts_with(&format!("{}_", self.name)) {
                    found.add(&place, &format!("the name must start with {}_", self.name));
                }
                for reserved in RESERVED {
                    if schema.body.attributes.contains_key(reserved)
                        || schema.body.blocks.contains_key(reserved)
                    {
                        found.add(&place, &format!("{reserved} is reserved by Terraform"));
                    }
                }
                found.body(&schema.body, &place);
                found.triggers(&schema.body, &place);
                if kind != "resource" {
                    found.no_write_only(&schema.body.attributes, &place);
                }
            }
        }
        for name in self.list_resources.keys() {
            if !self.identities.contains_key(name) {
                found.add(
                    &format!("list resource {name}"),
                    "there is no resource type of that name with an identity",
                );
            }
        }
        for (name, identity) in &self.identities {
            let attributes = &self.resources[name].body.attributes;
            for part in identity
                .attributes
                .keys()
                .filter(|part| !attributes.contains_key(*part))
            {
                found.add(
                    &format!("resource {name}"),
                    &format!("the identity's {part} is not an attribute"),
                );
            }
        }
        found.0
    }
}

#[derive(Default)]
struct Problems(Vec<String>);

impl Problems {
    fn add(&mut self, place: &str, what: &str) {
        self.0.push(format!("{place}: {what}"));
    }

    fn name(&mut self, name: &str, place: &str) {
        let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        if !name.starts_with(|c: char| c.is_ascii_lowercase()) || !name.chars().all(good) {
            self.add(
                place,
                "a name has lower-case letters, digits and underscores, and starts with a letter",
            );
        }
    }

    fn body(&mut self, body: &Body, place: &str) {
        self.attributes(&body.attributes, place);
        for (name, block) in &body.blocks {
            let place = format!("{place}.{name}");
            self.name(name, &place);
            self.block(block, &place);
            if body.attributes.contains_key(name) {
                self.add(&place, "there is an attribute of that name too");
            }
        }
    }

    fn block(&mut self, block: &Block, place: &str) {
        if block.nesting == Nesting::Single && (block.min_items, block.max_items) != (0, 0) {
            self.add(place, "a single block has no number of items");
        }
        if block.max_items != 0 && block.min_items > block.max_items {
            self.add(
                place,
                "the least number of items is greater than the maximum",
            );
        }
        if block.nesting == Nesting::Set {
            self.no_write_only(&block.body.attributes, place);
        }
        self.body(&block.body, place);
    }

    fn attributes(&mut self, attributes: &BTreeMap<String, Attribute>, place: &str) {
        for (name, attribute) in attributes {
            let place = format!("{place}.{name}");
            self.name(name, &place);
            self.attribute(attribute, &place);
        }
    }

    fn attribute(&mut self, attribute: &Attribute, place: &str) {
        let Attribute {
            required,
            optional,
            computed,
            write_only,
            ..
        } = *attribute;
        if !(required || optional || computed) {
            self.add(place, "it is neither required nor optional nor computed");
        }
        if required && (optional || computed) {
            self.add(place, "what is required is neither optional nor computed");
        }
        if write_only && computed {
            self.add(place, "what is write-only can't be computed");
        }
        if attribute.on_update != OnUpdate::default() && !computed {
            self.add(place, "only computed attributes have a rule for updates");
        }
        if let AttributeType::Nested(nesting, inner) = &attribute.ty {
            if *nesting == Nesting::Set {
                self.no_write_only(inner, place);
            }
            self.attributes(inner, place);
        }
    }

    fn no_write_only(&mut self, attributes: &BTreeMap<String, Attribute>, place: &str) {
        for (name, _) in attributes
            .iter()
            .filter(|(_, attribute)| attribute.write_only)
        {
            self.add(&format!("{place}.{name}"), "it can't be write-only here");
        }
    }

    /// `unknown_when_changed` of a misspelt attribute would never fire.
    fn triggers(&mut self, body: &Body, place: &str) {
        for (name, attribute) in &body.attributes {
            let OnUpdate::UnknownWhenChanged(triggers) = &attribute.on_update else {
                continue;
            };
            for trigger in triggers
                .iter()
                .filter(|trigger| !body.attributes.contains_key(*trigger))
            {
                self.add(
                    &format!("{place}.{name}"),
                    &format!("it waits for {trigger}, which is not an attribute"),
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::{IdentitySchema, Schema};
    use crate::types::Type;

    #[test]
    fn mistakes_are_found_where_they_are() {
        let bad = Schema::new("")
            .attribute("Name", Attribute::string().required())
            .attribute("nothing", Attribute::string())
            .attribute("both", Attribute::string().required().computed())
            .attribute("secret", Attribute::string().computed().write_only())
            .attribute(
                "kept",
                Attribute::string().optional().use_state_for_unknown(),
            )
            .attribute(
                "late",
                Attribute::string()
                    .computed()
                    .unknown_when_changed(&["siez"]),
            )
            .attribute("count", Attribute::number().optional())
            .attribute(
                "parts",
                Attribute::nested_set([("key", Attribute::string().optional().write_only())])
                    .optional(),
            )
            .block("rule", Block::list("").items(3, 2));
        let mut description = Description {
            name: "toy".into(),
            ..Description::default()
        };
        description.resources.insert("box".into(), bad);
        let identity = IdentitySchema::default().required("uuid", Type::String, "");
        description.identities.insert("box".into(), identity);
        let list = Schema::new("").attribute("prefix", Attribute::string().optional());
        description.list_resources.insert("toy_bag".into(), list);
        let problems = description.problems();
        let expected = [
            "resource box: the name must start with toy_",
            "resource box: count is reserved by Terraform",
            "resource box.Name: a name has lower-case letters",
            "resource box.both: what is required",
            "resource box.kept: only computed",
            "resource box.nothing: it is neither",
            "resource box.parts.key: it can't be write-only here",
            "resource box.secret: what is write-only",
            "resource box.rule: the least number",
            "resource box.late: it waits for siez",
            "list resource toy_bag: there is no resource type",
            "resource box: the identity's uuid",
        ];
        for (i, start) in expected.iter().enumerate() {
            assert!(problems[i].starts_with(start), "{problems:#?}");
        }
        assert_eq!(problems.len(), expected.len(), "{problems:#?}");
    }

    #[test]
    fn a_good_schema_has_none() {
        let good = Schema::new("")
            .attribute("id", Attribute::string().computed().use_state_for_unknown())
            .attribute("size", Attribute::number().default(1i64))
            .attribute(
                "at",
                Attribute::string()
                    .computed()
                    .unknown_when_changed(&["size"]),
            );
        let mut description = Description {
            name: "toy".into(),
            ..Description::default()
        };
        description.resources.insert("toy_box".into(), good);
        assert_eq!(description.problems(), Vec::<String>::new());
        // The documentation is generated from this.
        let json = serde_json::to_value(&description).unwrap();
        let size = &json["resources"]["toy_box"]["attributes"]["size"];
        assert_eq!(
            (&size["default"], &size["ty"]["plain"]),
            (&1.into(), &"number".into())
        );
    }
}
