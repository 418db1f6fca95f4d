//! Identities of resources: what import blocks refer to (Terraform 1.12 and later), and what queries return.
//!
//! An identity has the id, which never changes, and the names, which can change. Either is enough for an import. If both
//! are given they must refer to the same thing, so that an import never takes over something other than what the reader of
//! the configuration believes.

use ipam_shared::cidr::Cidr;
use ipam_shared::name::fold;
use tfplugin::{Diagnostic, IdentitySchema, Result, Type, Value};

/// Version 0 had only the id.
const VERSION: i64 = 1;

/// The identity of something that is called `word` in a sentence: its id, and these attributes with what they are.
pub(crate) fn schema(word: &str, known_by: &[(&str, String)]) -> IdentitySchema {
    let schema = IdentitySchema {
        version: VERSION,
        ..IdentitySchema::default()
    };
    let id = format!("Id of the {word}. It never changes.");
    known_by.iter().fold(
        schema.optional("id", Type::String, &id),
        |schema, (name, what)| schema.optional(name, Type::String, what),
    )
}

/// Refuses what was found by one part of an identity if another part refers to something else. The server ignores case in
/// the attributes `folded`.
pub(crate) fn check(word: &str, folded: &[&str], identity: &Value, found: &Value) -> Result<()> {
    let parts = identity.as_map().into_iter().flatten();
    let differing = parts
        .filter_map(|(name, wanted)| Some((name, wanted.as_str()?)))
        .find(|(name, wanted)| {
            let is = found.get(name.as_str()).as_str();
            let ignores_case = *name == "id" || folded.contains(&name.as_str());
            !is.is_some_and(|is| same(is, wanted, ignores_case))
        });
    let Some((name, wanted)) = differing else {
        return Ok(());
    };
    let is = found.get(name.as_str()).as_str().unwrap_or("not set");
    Err(Diagnostic::error(
        format!("The identity is of more than one {word}"),
        format!(
            "What it names has the id {}. Its {name} is {is}, and the identity says {wanted}. Name it by one of them, id or \
             name, or correct the other; nothing was imported.",
            found.get("id").as_str().unwrap_or_default(),
        ),
    )
    .into())
}

/// Names are compared as the server does when it looks them up. Networks may be written in several ways.
fn same(is: &str, wanted: &str, ignores_case: bool) -> bool {
    let network = |text: &str| text.parse::<Cidr>().ok();
    is == wanted
        || ignores_case && fold(is) == fold(wanted)
        || network(is).is_some_and(|is| network(wanted) == Some(is))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn thing(parts: &[(&'static str, &str)]) -> Value {
        Value::object(parts.iter().map(|(name, text)| (*name, (*text).into())))
    }

    #[test]
    fn all_parts_are_about_the_same_thing() {
        let found = thing(&[("id", "1"), ("vrf", "dev"), ("cidr", "2001:db8::/32")]);
        for good in [
            thing(&[("id", "1")]),
            thing(&[("vrf", "dev"), ("cidr", "2001:DB8::/32")]),
            thing(&[("vrf", "dev"), ("cidr", "2001:db8:0::/32"), ("id", "1")]),
        ] {
            assert!(check("reservation", &[], &good, &found).is_ok(), "{good:?}");
        }
        let mut with_null = thing(&[("id", "1")]);
        with_null.set("vrf", Value::Null);
        assert!(check("reservation", &[], &with_null, &found).is_ok());
        let other = thing(&[("id", "1"), ("vrf", "prod")]);
        let error = check("reservation", &[], &other, &found)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("Its vrf is dev, and the identity says prod"),
            "{error}"
        );
    }

    #[test]
    fn case_counts_where_it_does_for_the_server() {
        let found = thing(&[("id", "0a"), ("vpc", "prod"), ("name", "a")]);
        let asked = |vpc, name| thing(&[("id", "0A"), ("vpc", vpc), ("name", name)]);
        assert!(check("allocation", &["vpc"], &asked("Prod", "a"), &found).is_ok());
        assert!(check("allocation", &["vpc"], &asked("prod", "A"), &found).is_err());
    }
}
