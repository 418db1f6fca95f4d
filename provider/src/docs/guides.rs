//! The guides: texts below `templates/guides/` which include files of `examples/`, so that what a guide shows is what the
//! tests apply.
//!
//! The directives are those of the registry's own tool: `{{tffile "PATH"}}` and `{{codefile "LANGUAGE" "PATH"}}`, each in a
//! line of its own, with a path from the project's root.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};

use super::code;

const TEMPLATE: &str = ".md.tmpl";

/// All guides by their path below `docs/`.
pub(super) fn pages(root: &Path) -> anyhow::Result<BTreeMap<PathBuf, String>> {
    let folder = root.join("templates").join("guides");
    let mut pages = BTreeMap::new();
    if !folder.exists() {
        return Ok(pages);
    }
    for entry in fs::read_dir(&folder).with_context(|| format!("reading {}", folder.display()))? {
        let path = entry?.path();
        let file = path.file_name().unwrap_or_default().to_string_lossy();
        let Some(name) = file.strip_suffix(TEMPLATE) else {
            bail!("{}: templates end with {TEMPLATE}", path.display());
        };
        let text =
            fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
        let page = filled(&text, root).with_context(|| format!("in {}", path.display()))?;
        pages.insert(Path::new("guides").join(format!("{name}.md")), page);
    }
    Ok(pages)
}

fn filled(template: &str, root: &Path) -> anyhow::Result<String> {
    let mut page = String::new();
    for line in template.lines() {
        match mark(line) {
            Some(words) => match words.as_slice() {
                ["tffile", path] => page.push_str(&code("terraform", &root.join(path))?),
                ["codefile", language, path] => page.push_str(&code(language, &root.join(path))?),
                _ => bail!(
                    "{line}: there is tffile with a path, and codefile with a language and a path"
                ),
            },
            None => {
                page.push_str(line);
                page.push('\n');
            }
        }
    }
    Ok(page)
}

/// The words of a directive, without their quotes.
fn mark(line: &str) -> Option<Vec<&str>> {
    let inner = line.trim().strip_prefix("{{")?.strip_suffix("}}")?;
    Some(
        inner
            .split_whitespace()
            .map(|word| word.trim_matches('"'))
            .collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_replaced_by_files_and_unknown_ones_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("a.tf"), "a = 1\n\n").unwrap();
        let filled = |text| filled(text, dir.path());
        assert_eq!(
            filled(
                "One:\n\n{{tffile \"a.tf\"}}\n\n{{ codefile \"yaml\" \"a.tf\" }}\nEnd {{ .b }}.\n"
            )
            .unwrap(),
            "One:\n\n```terraform\na = 1\n```\n\n```yaml\na = 1\n```\nEnd {{ .b }}.\n"
        );
        for text in ["{{tffile \"b.tf\"}}", "{{tffile}}", "{{schema}}"] {
            assert!(filled(text).is_err(), "{text}");
        }
    }

    #[test]
    fn every_example_of_a_guide_is_in_one() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let all: String = fs::read_dir(root.join("templates/guides"))
            .unwrap()
            .map(|entry| fs::read_to_string(entry.unwrap().path()).unwrap())
            .collect();
        for example in fs::read_dir(root.join("examples/guides")).unwrap() {
            let name = example.unwrap().file_name().into_string().unwrap();
            assert!(
                all.contains(&format!("\"examples/guides/{name}/")),
                "{name}"
            );
        }
    }
}
