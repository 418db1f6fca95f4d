//! The registry's pages, generated from the provider's schema, the files below `examples/`, and the guides of `templates/`.
//!
//! Layout, headings and the names of example files are those that the Terraform registry and its tools expect. Knows
//! nothing about networks.

mod guides;
pub(crate) mod layout;

mod lists;

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use tfplugin::{Attribute, AttributeType, Description, Schema, Signature, Type};

use crate::{framework::failure::sentence, provider::ADDRESS};

/// All pages by their path below `docs/`.
pub(crate) fn pages(
    description: &Description,
    root: &Path,
) -> anyhow::Result<BTreeMap<PathBuf, String>> {
    let provider = &description.name;
    let prefix = format!("{provider}_");
    let examples = root.join("examples");
    let mut pages = guides::pages(root)?;
    pages.insert("index.md".into(), index(description, &examples)?);
    for (name, schema) in &description.resources {
        let page = body(&Page {
            title: &format!("{name} Resource - {provider}"),
            heading: &format!("{name} (Resource)"),
            schema,
            examples: &several(&examples.join("resources").join(name), "resource")?,
        })? + &import(&examples.join("resources").join(name))?;
        pages.insert(page_path("resources", name, &prefix), page);
    }
    for (name, schema) in &description.data_sources {
        let page = body(&Page {
            title: &format!("{name} Data Source - {provider}"),
            heading: &format!("{name} (Data Source)"),
            schema,
            examples: &several(&examples.join("data-sources").join(name), "data-source")?,
        })?;
        pages.insert(page_path("data-sources", name, &prefix), page);
    }
    for (name, schema) in &description.ephemeral_resources {
        let folder = examples.join("ephemeral-resources").join(name);
        let page = body(&Page {
            title: &format!("{name} Ephemeral Resource - {provider}"),
            heading: &format!("{name} (Ephemeral Resource)"),
            schema,
            examples: &several(&folder, "ephemeral-resource")?,
        })?;
        pages.insert(page_path("ephemeral-resources", name, &prefix), page);
    }
    for (name, schema) in &description.list_resources {
        let folder = examples.join("list-resources").join(name);
        let example = folder.join("list-resource.tfquery.hcl");
        pages.insert(
            page_path("list-resources", name, &prefix),
            lists::page(provider, name, schema, &example)?,
        );
    }
    for (name, signature) in &description.functions {
        let example = examples.join("functions").join(name).join("function.tf");
        pages.insert(
            page_path("functions", name, &prefix),
            function(provider, name, signature, &example)?,
        );
    }
    Ok(pages)
}

fn page_path(kind: &str, name: &str, prefix: &str) -> PathBuf {
    Path::new(kind).join(format!("{}.md", name.strip_prefix(prefix).unwrap_or(name)))
}

struct Page<'a> {
    title: &'a str,
    heading: &'a str,
    schema: &'a Schema,
    examples: &'a [PathBuf],
}

/// The examples in a folder whose names begin so, such as `resource.tf` and `resource-from-pools.tf`, the plain one first.
fn several(folder: &Path, beginning: &str) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = vec![folder.join(format!("{beginning}.tf"))];
    let entries = fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))?;
    let mut others = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with(&format!("{beginning}-")) && name.ends_with(".tf") {
            others.push(path);
        }
    }
    others.sort();
    found.append(&mut others);
    Ok(found)
}

fn index(description: &Description, examples: &Path) -> anyhow::Result<String> {
    let provider = &description.name;
    body(&Page {
        title: &format!("{provider} Provider"),
        heading: &format!("{provider} Provider"),
        schema: &description.provider,
        examples: &[examples.join("provider").join("provider.tf")],
    })
    .map(|page| {
        // The registry's tool refuses a subcategory on the first page, even an empty one.
        let page = page.replacen("subcategory: \"\"\n", "", 1);
        page.replacen(
            "## Example Usage",
            &format!("Source address: `{ADDRESS}`.\n\n## Example Usage"),
            1,
        )
    })
}

fn body(page: &Page<'_>) -> anyhow::Result<String> {
    let description = &page.schema.body.description;
    let mut text = front(page.title, description);
    write!(text, "# {}\n\n{description}\n\n", page.heading)?;
    if let Some(reason) = &page.schema.body.deprecated {
        write!(text, "~> **Deprecated.** {reason}\n\n")?;
    }
    text.push_str("## Example Usage\n");
    for example in page.examples {
        write!(text, "\n{}", code("terraform", example)?)?;
    }
    text.push_str("\n## Schema\n");
    attributes(&mut text, &page.schema.body.attributes, "###");
    nested(&mut text, &page.schema.body.attributes, "");
    Ok(text)
}

fn front(title: &str, description: &str) -> String {
    // The registry shows the description in lists, where only its first paragraph is of use.
    let first = description
        .split("\n\n")
        .next()
        .unwrap_or_default()
        .replace('\n', " ");
    format!("---\npage_title: \"{title}\"\nsubcategory: \"\"\ndescription: |-\n  {first}\n---\n\n")
}

fn code(language: &str, file: &Path) -> anyhow::Result<String> {
    let text = fs::read_to_string(file)
        .with_context(|| format!("reading the example {}", file.display()))?;
    Ok(format!("```{language}\n{}\n```\n", text.trim_end()))
}

/// How an attribute may be used; the heading it is listed under.
fn kind(attribute: &Attribute) -> &'static str {
    if attribute.required {
        "Required"
    } else if attribute.optional {
        "Optional"
    } else {
        "Read-Only"
    }
}

fn attributes(text: &mut String, attributes: &BTreeMap<String, Attribute>, level: &str) {
    for heading in ["Required", "Optional", "Read-Only"] {
        let mut of_kind = attributes
            .iter()
            .filter(|(_, attribute)| kind(attribute) == heading)
            .peekable();
        if of_kind.peek().is_none() {
            continue;
        }
        text.push_str(&format!("\n{level} {heading}\n\n"));
        for (name, attribute) in of_kind {
            text.push_str(&line(name, attribute));
        }
    }
}

fn line(name: &str, attribute: &Attribute) -> String {
    let mut notes = vec![type_name(attribute)];
    if attribute.sensitive {
        notes.push("Sensitive".to_owned());
    }
    if attribute.write_only {
        notes.push("Write-only".to_owned());
    }
    if attribute.deprecated.is_some() {
        notes.push("Deprecated".to_owned());
    }
    let mut text = format!(
        "- `{name}` ({}) {}",
        notes.join(", "),
        attribute.description
    );
    if let Some(reason) = &attribute.deprecated {
        text.push_str(&format!(" **Deprecated:** {reason}"));
    }
    if matches!(attribute.ty, AttributeType::Nested(..)) {
        text.push_str(&format!(" (see [below](#nested-schema-for-{name}))"));
    }
    text + "\n"
}

fn nested(text: &mut String, all: &BTreeMap<String, Attribute>, parent: &str) {
    for (name, attribute) in all {
        if let AttributeType::Nested(_, inner) = &attribute.ty {
            let path = format!("{parent}{name}");
            text.push_str(&format!("\n### Nested Schema for `{path}`\n"));
            attributes(text, inner, "####");
            nested(text, inner, &format!("{path}."));
        }
    }
}

fn type_name(attribute: &Attribute) -> String {
    match &attribute.ty {
        AttributeType::Plain(ty) => sentence(&ty.describe()),
        AttributeType::Nested(..) => match attribute.ty() {
            Type::Map(_) => "Attributes Map".to_owned(),
            Type::List(_) => "Attributes List".to_owned(),
            Type::Set(_) => "Attributes Set".to_owned(),
            _ => "Attributes".to_owned(),
        },
    }
}

/// The ways to import, by the files that say how.
const IMPORTS: [(&str, &str, &str); 3] = [
    (
        "import-by-identity.tf",
        "terraform",
        "With a block in the configuration, by what it is called (Terraform 1.12 or later):",
    ),
    (
        "import-by-string-id.tf",
        "terraform",
        "With a block in the configuration:",
    ),
    ("import.sh", "shell", "On the command line:"),
];

fn import(folder: &Path) -> anyhow::Result<String> {
    let mut text = String::new();
    for (file, language, what) in IMPORTS {
        let file = folder.join(file);
        if file.exists() {
            if text.is_empty() {
                text.push_str("\n## Import\n\nThe first plan after an import is empty.\n");
            }
            write!(text, "\n{what}\n\n{}", code(language, &file)?)?;
        }
    }
    Ok(text)
}

fn function(
    provider: &str,
    name: &str,
    signature: &Signature,
    example: &Path,
) -> anyhow::Result<String> {
    let mut text = front(&format!("{name} function - {provider}"), &signature.summary);
    write!(
        text,
        "# function: {name}\n\n{}.\n\n{}\n\n",
        signature.summary, signature.description
    )?;
    write!(text, "## Example Usage\n\n{}", code("terraform", example)?)?;
    let all = signature
        .parameters
        .iter()
        .map(|parameter| format!("{} {}", parameter.name, parameter.ty.describe()));
    let variadic = signature
        .variadic
        .iter()
        .map(|parameter| format!("{} {}...", parameter.name, parameter.ty.describe()));
    let parameters: Vec<String> = all.chain(variadic).collect();
    write!(
        text,
        "\n## Signature\n\n```text\nprovider::{provider}::{name}({}) {}\n```\n\n## Arguments\n\n",
        parameters.join(", "),
        signature.result.describe()
    )?;
    for (number, parameter) in signature
        .parameters
        .iter()
        .chain(&signature.variadic)
        .enumerate()
    {
        writeln!(
            text,
            "{}. `{}` ({}) {}",
            number + 1,
            parameter.name,
            sentence(&parameter.ty.describe()),
            parameter.description
        )?;
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use tfplugin::Replace;

    use super::*;
    use crate::provider::Ipam;

    fn every<'a>(all: &'a BTreeMap<String, Attribute>, found: &mut Vec<(&'a str, &'a Attribute)>) {
        for (name, attribute) in all {
            found.push((name, attribute));
            if let AttributeType::Nested(_, inner) = &attribute.ty {
                every(inner, found);
            }
        }
    }

    #[test]
    fn every_attribute_says_what_it_is_and_what_forces_replacement() {
        let description = tfplugin::describe(&Ipam);
        let schemas = [&description.provider]
            .into_iter()
            .chain(description.resources.values())
            .chain(description.data_sources.values())
            .chain(description.ephemeral_resources.values());
        for schema in schemas {
            let mut all = Vec::new();
            every(&schema.body.attributes, &mut all);
            for (name, attribute) in all {
                assert!(
                    attribute.description.ends_with('.'),
                    "{name} needs a description in sentences"
                );
                if attribute.replace != Replace::Never {
                    assert!(
                        attribute.description.contains("forces replacement"),
                        "{name}"
                    );
                }
                if attribute.default.is_some() {
                    assert!(attribute.description.contains("Default:"), "{name}");
                }
            }
        }
    }

    #[test]
    fn the_schemas_have_no_mistakes() {
        assert_eq!(tfplugin::describe(&Ipam).problems(), Vec::<String>::new());
    }

    #[test]
    fn the_committed_pages_are_up_to_date() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let pages = pages(&tfplugin::describe(&Ipam), &root).unwrap();
        for (path, text) in pages {
            let found = fs::read_to_string(root.join("docs").join(&path)).unwrap_or_default();
            assert_eq!(
                found,
                text,
                "{}: run \"terraform-provider-ipam docs\"",
                path.display()
            );
        }
    }
}
