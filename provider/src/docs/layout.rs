//! What the registry and its tool (`tfplugindocs validate`) require of the pages: their paths, their front matter, that
//! there is one for everything that the provider offers and none for anything else, and that none is too large.
//!
//! Other documents may lie beside them: below `docs/`, only `index.md` and the folders of the registry are its own.

use std::{collections::BTreeSet, ffi::OsStr, fs, path::Path};

use anyhow::Context as _;
use tfplugin::Description;

/// Pages must be smaller than this, in bytes.
const MAX_BYTES: usize = 500_000;
/// Most pages.
const MAX_PAGES: usize = 2_000;
/// Folders whose pages are named after what they describe, without the provider's name.
const OF_SCHEMA: [&str; 5] = [
    "resources",
    "data-sources",
    "functions",
    "ephemeral-resources",
    "list-resources",
];
/// Folders whose pages may have any name.
const OTHERS: [&str; 3] = ["guides", "actions", "state-stores"];

/// All that is wrong with the pages below `docs`.
pub(crate) fn problems(docs: &Path, description: &Description) -> anyhow::Result<Vec<String>> {
    let mut problems = Vec::new();
    let mut pages = 0;
    check_page(&docs.join("index.md"), Kind::Index, &mut problems)?;
    for folder in OF_SCHEMA.into_iter().chain(OTHERS) {
        let path = docs.join(folder);
        let mut found = BTreeSet::new();
        if path.exists() {
            for entry in
                fs::read_dir(&path).with_context(|| format!("reading {}", path.display()))?
            {
                let page = entry?.path();
                pages += 1;
                if page.is_dir() {
                    problems.push(format!(
                        "{}: there are no folders below {folder}",
                        page.display()
                    ));
                    continue;
                }
                if page.extension() != Some(OsStr::new("md")) {
                    problems.push(format!("{}: pages end with .md", page.display()));
                    continue;
                }
                let kind = if folder == "guides" {
                    Kind::Guide
                } else {
                    Kind::Other
                };
                check_page(&page, kind, &mut problems)?;
                found.insert(
                    page.file_stem()
                        .unwrap_or_default()
                        .to_string_lossy()
                        .into_owned(),
                );
            }
        }
        if OF_SCHEMA.contains(&folder) {
            let wanted = names(folder, description);
            problems.extend(found.difference(&wanted).map(|name| {
                format!(
                    "{}: the provider has nothing of that name",
                    path.join(name).display()
                )
            }));
            problems.extend(
                wanted
                    .difference(&found)
                    .map(|name| format!("{}.md is missing", path.join(name).display())),
            );
        }
    }
    if pages > MAX_PAGES {
        problems.push(format!("{pages} pages are more than {MAX_PAGES}"));
    }
    Ok(problems)
}

/// What the pages of a folder must be called.
fn names(folder: &str, description: &Description) -> BTreeSet<String> {
    let prefix = format!("{}_", description.name);
    let names: Vec<&String> = match folder {
        "resources" => description.resources.keys().collect(),
        "data-sources" => description.data_sources.keys().collect(),
        "list-resources" => description.list_resources.keys().collect(),
        "functions" => return description.functions.keys().cloned().collect(),
        _ => description.ephemeral_resources.keys().collect(),
    };
    names
        .into_iter()
        .map(|name| name.strip_prefix(&prefix).unwrap_or(name).to_owned())
        .collect()
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Index,
    Guide,
    Other,
}

fn check_page(page: &Path, kind: Kind, problems: &mut Vec<String>) -> anyhow::Result<()> {
    let mut say = |what: &str| problems.push(format!("{}: {what}", page.display()));
    if !page.exists() {
        say("is missing");
        return Ok(());
    }
    let text = fs::read_to_string(page).with_context(|| format!("reading {}", page.display()))?;
    if text.len() >= MAX_BYTES {
        say(&format!(
            "{} bytes are too many: {MAX_BYTES} are the limit",
            text.len()
        ));
    }
    let Some(head) = head(&text) else {
        say("there is no front matter between two lines of ---");
        return Ok(());
    };
    for key in ["layout", "sidebar_current"] {
        if head.contains(key) {
            say(&format!("the front matter must not have {key}"));
        }
    }
    if kind == Kind::Index && head.contains("subcategory") {
        say("the front matter must not have a subcategory");
    }
    if kind == Kind::Guide && !head.contains("page_title") {
        say("the front matter must have a page_title");
    }
    for link in links(&text) {
        if !page.with_file_name(link).exists() {
            say(&format!("it links to {link}, which does not exist"));
        }
    }
    Ok(())
}

/// The keys of the front matter; none if there is none. A value over several lines is indented.
fn head(text: &str) -> Option<BTreeSet<&str>> {
    let (head, _) = text.strip_prefix("---\n")?.split_once("\n---\n")?;
    let keys = head.lines().filter(|line| !line.starts_with(' '));
    keys.map(|line| line.split_once(':').map(|(key, _)| key))
        .collect()
}

/// Links to other pages.
fn links(text: &str) -> impl Iterator<Item = &str> {
    text.split("](").skip(1).filter_map(|rest| {
        let (link, _) = rest.split_once(')')?;
        let file = link.split('#').next()?;
        (file.ends_with(".md") && !file.contains(':')).then_some(file)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::Ipam;

    #[test]
    fn the_committed_pages_are_as_the_registry_wants_them() {
        let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
        let problems = problems(&docs, &tfplugin::describe(&Ipam)).unwrap();
        assert!(problems.is_empty(), "{problems:#?}");
    }

    #[test]
    fn each_rule_is_kept() {
        let description = tfplugin::describe(&Ipam);
        let dir = tempfile::tempdir().unwrap();
        let good = "---\npage_title: \"A\"\ndescription: |-\n  A: b\n---\n\n# A\n";
        let write = |path: &str, text: &str| {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("index.md", good);
        for folder in OF_SCHEMA {
            for name in names(folder, &description) {
                write(&format!("{folder}/{name}.md"), good);
            }
        }
        write("guides/start.md", good);
        write("NOTES.md", "nobody's business");
        write("screenshots/a.png", "nor this");
        let said = || problems(dir.path(), &description).unwrap();
        assert_eq!(said(), Vec::<String>::new());
        for (path, text, says) in [
            (
                "index.md",
                "---\nsubcategory: \"\"\n---\n",
                "must not have a subcategory",
            ),
            ("index.md", "# A\n", "there is no front matter"),
            (
                "index.md",
                "---\nno yaml\n---\n",
                "there is no front matter",
            ),
            (
                "guides/start.md",
                "---\nsubcategory: \"\"\n---\n",
                "must have a page_title",
            ),
            (
                "resources/pool.md",
                "---\nlayout: \"a\"\n---\n",
                "must not have layout",
            ),
            (
                "resources/pool.md",
                "---\nsidebar_current: \"a\"\n---\n",
                "must not have sidebar_current",
            ),
            (
                "guides/start.md",
                &format!(
                    "{good}[A](../resources/pool.md#schema), [b](https://example.com/c.md), [d](none.md)"
                ),
                "links to none.md, which does not exist",
            ),
            (
                "functions/split.md",
                &format!("{good}{}", "a".repeat(MAX_BYTES)),
                "bytes are too many",
            ),
        ] {
            write(path, text);
            let problems = said();
            assert!(
                problems.len() == 1 && problems[0].contains(says),
                "{problems:#?}"
            );
            write(path, good);
        }
        for (path, says) in [
            ("resources/other.md", "has nothing of that name"),
            ("functions/ipam_split.md", "has nothing of that name"),
            ("list-resources/pools.md", "has nothing of that name"),
            ("data-sources/pool.markdown", "end with .md"),
            ("guides/more/start.md", "no folders below guides"),
        ] {
            write(path, good);
            let problems = said();
            assert!(
                problems.len() == 1 && problems[0].contains(says),
                "{problems:#?}"
            );
            let written = dir.path().join(path);
            fs::remove_file(&written).unwrap();
            // Only the folder that was made for it is empty now.
            _ = fs::remove_dir(written.parent().unwrap());
        }
        fs::remove_file(dir.path().join("data-sources/pools.md")).unwrap();
        assert!(said()[0].ends_with("pools.md is missing"));
    }
}
