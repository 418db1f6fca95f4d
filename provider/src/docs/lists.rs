//! The pages of lists: what `terraform query` finds, and by what.

use std::{fmt::Write as _, path::Path};

use tfplugin::Schema;

use super::{attributes, code, front};

/// The page of the list of the resource type `name`, with this example.
pub(super) fn page(
    provider: &str,
    name: &str,
    schema: &Schema,
    example: &Path,
) -> anyhow::Result<String> {
    let description = &schema.body.description;
    let mut text = front(&format!("{name} List Resource - {provider}"), description);
    write!(
        text,
        "# {name} (List Resource)\n\n{description}\n\n\
         Queries stand in files that end with `.tfquery.hcl` and are run by `terraform query`, which needs Terraform 1.14 or \
         later. `terraform query -generate-config-out=generated.tf` also writes the configuration and the import blocks of \
         what it finds; the plan of these changes nothing.\n\n\
         ## Example Usage\n\n{}",
        code("terraform", example)?
    )?;
    text.push_str("\n## Schema\n\nOf the block `config`:\n");
    attributes(&mut text, &schema.body.attributes, "###");
    Ok(text)
}
