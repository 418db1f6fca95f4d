//! The file in which a person keeps the servers that they work with: `config.toml` in `ipam` below the directory for
//! settings. Each server is a context with an address and a key, or the file that holds one.

use std::{
    fs,
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use toml_edit::{DocumentMut, Item, Table, value};

use super::output::{Failure, printable};

/// The field that names the context in use.
const CURRENT: &str = "current";
/// The table of contexts.
const CONTEXTS: &str = "contexts";

/// A server that somebody works with.
#[derive(Clone, Default, PartialEq, Eq)]
pub(super) struct Context {
    /// Address of the server.
    pub endpoint: String,
    /// The key itself.
    pub key: Option<String>,
    /// The file that holds the key.
    pub key_file: Option<PathBuf>,
    /// A file with certificates to trust.
    pub ca_file: Option<PathBuf>,
}

impl Context {
    pub(super) fn has_key(&self) -> bool {
        self.key.is_some() || self.key_file.is_some()
    }

    /// The key that it has, or that is in its file.
    ///
    /// # Errors
    /// When the file can't be read, or the key is empty.
    pub(super) fn read_key(&self) -> Result<String, Failure> {
        let key = match (&self.key, &self.key_file) {
            (Some(key), _) => key.clone(),
            (None, Some(path)) => fs::read_to_string(path).map_err(|error| {
                Failure::Usage(format!("the key file {}: {error}", path.display()))
            })?,
            (None, None) => String::new(),
        };
        match key.trim() {
            "" => Err(Failure::Usage("the key of the context is empty".to_owned())),
            key => Ok(key.to_owned()),
        }
    }
}

impl std::fmt::Debug for Context {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Context")
            .field("endpoint", &self.endpoint)
            .finish_non_exhaustive()
    }
}

/// The file, as it is and as it is to be.
#[derive(Debug)]
pub(super) struct Config {
    path: PathBuf,
    document: DocumentMut,
    contexts: Vec<(String, Context)>,
    current: Option<String>,
}

impl Config {
    /// Where the file is: `IPAM_CONFIG`, else below `XDG_CONFIG_HOME` or `~/.config`.
    fn path() -> Option<PathBuf> {
        let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        if let Some(path) = set("IPAM_CONFIG") {
            return Some(path.into());
        }
        let absolute = |path: &PathBuf| path.is_absolute();
        let home = || set("HOME").map(|home| PathBuf::from(home).join(".config"));
        let base = set("XDG_CONFIG_HOME").map(PathBuf::from).filter(absolute);
        Some(base.or_else(home)?.join("ipam/config.toml"))
    }

    /// The file of this user; empty if there is none.
    ///
    /// # Errors
    /// When it can't be read, holds a key that others may read, or something that is not known.
    pub(super) fn load() -> Result<Self, Failure> {
        let path = Self::path().ok_or_else(|| {
            Failure::Usage(
                "there is no place for a configuration file: set IPAM_CONFIG or HOME".to_owned(),
            )
        })?;
        Self::load_from(path)
    }

    /// The file of this user, if there can be one.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub(super) fn load_if_any() -> Result<Option<Self>, Failure> {
        Self::path().map(Self::load_from).transpose()
    }

    fn load_from(path: PathBuf) -> Result<Self, Failure> {
        let refuse = |why: String| Failure::Usage(format!("{}: {why}", path.display()));
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(refuse(error.to_string())),
        };
        // No error quotes the file: it may hold a key.
        let document: DocumentMut = text.parse().map_err(|error: toml_edit::TomlError| {
            let before = error.span().map_or(0, |span| span.start);
            let line = text.bytes().take(before).filter(|it| *it == b'\n').count() + 1;
            refuse(format!("line {line} is not TOML"))
        })?;
        let (current, contexts) = read(&document).map_err(refuse)?;
        if contexts.iter().any(|(_, context)| context.key.is_some()) {
            let mode = fs::metadata(&path).map_err(|error| refuse(error.to_string()))?;
            if mode.mode() & 0o077 != 0 {
                return Err(refuse(format!(
                    "it holds a key, and others may read or write it (mode {:04o}); run: chmod 600 {}",
                    mode.mode() & 0o7777,
                    path.display()
                )));
            }
        }
        Ok(Self {
            path,
            document,
            contexts,
            current,
        })
    }

    /// Where it is.
    pub(super) fn location(&self) -> &Path {
        &self.path
    }

    /// Every context by its name, in the order of the file.
    pub(super) fn contexts(&self) -> &[(String, Context)] {
        &self.contexts
    }

    /// The name of the context in use.
    pub(super) fn current(&self) -> Option<&str> {
        self.current.as_deref()
    }

    /// The context of that name.
    ///
    /// # Errors
    /// When there is none.
    pub(super) fn context(&self, name: &str) -> Result<&Context, Failure> {
        let found = self.contexts.iter().find(|(it, _)| it == name);
        found.map(|(_, context)| context).ok_or_else(|| {
            let names: Vec<_> = self.contexts.iter().map(|(it, _)| printable(it)).collect();
            let names = match names.is_empty() {
                true => "none; add one with ipam context add".to_owned(),
                false => names.join(", "),
            };
            Failure::Usage(format!(
                "there is no context {name:?} in {}; there is {names}",
                self.path.display()
            ))
        })
    }

    /// The name and the context in use.
    ///
    /// # Errors
    /// When the file names one that it does not have.
    pub(super) fn in_use(&self) -> Result<Option<(&str, &Context)>, Failure> {
        let Some(name) = self.current() else {
            return Ok(None);
        };
        Ok(Some((name, self.context(name)?)))
    }

    /// Adds a context, or replaces the one of that name.
    pub(super) fn put(&mut self, name: &str, context: Context) {
        let mut table = Table::new();
        table["endpoint"] = value(&context.endpoint);
        let path = |path: &Path| value(path.to_string_lossy().into_owned());
        if let Some(key) = &context.key {
            table["key"] = value(key);
        }
        if let Some(file) = &context.key_file {
            table["key_file"] = path(file);
        }
        if let Some(file) = &context.ca_file {
            table["ca_file"] = path(file);
        }
        let contexts = self.document.entry(CONTEXTS).or_insert_with(|| {
            let mut contexts = Table::new();
            contexts.set_implicit(true);
            Item::Table(contexts)
        });
        contexts[name] = Item::Table(table);
        match self.contexts.iter_mut().find(|(it, _)| it == name) {
            Some((_, found)) => *found = context,
            None => self.contexts.push((name.to_owned(), context)),
        }
    }

    /// Removes the context of that name; then it is no longer in use either.
    ///
    /// # Errors
    /// When there is none.
    pub(super) fn remove(&mut self, name: &str) -> Result<(), Failure> {
        self.context(name)?;
        if let Some(contexts) = self.document[CONTEXTS].as_table_like_mut() {
            contexts.remove(name);
        }
        self.contexts.retain(|(it, _)| it != name);
        if self.current() == Some(name) {
            self.document.remove(CURRENT);
            self.current = None;
        }
        Ok(())
    }

    /// Makes the context of that name the one in use.
    ///
    /// # Errors
    /// When there is none.
    pub(super) fn use_context(&mut self, name: &str) -> Result<(), Failure> {
        self.context(name)?;
        self.document[CURRENT] = value(name);
        self.current = Some(name.to_owned());
        Ok(())
    }

    /// Writes the file, which only its owner may read, in one step.
    ///
    /// # Errors
    /// When it can't be written.
    pub(super) fn save(&self) -> Result<(), Failure> {
        let written = || -> io::Result<()> {
            if let Some(dir) = self.path.parent() {
                fs::DirBuilder::new()
                    .recursive(true)
                    .mode(0o700)
                    .create(dir)?;
            }
            // A link to the file stays one.
            let path = fs::canonicalize(&self.path).unwrap_or_else(|_| self.path.clone());
            let part = path.with_extension(format!("{}.part", std::process::id()));
            let mut file = fs::OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(&part)?;
            let done = file
                .write_all(self.document.to_string().as_bytes())
                .and_then(|()| file.sync_all())
                .and_then(|()| fs::rename(&part, &path));
            if done.is_err() {
                _ = fs::remove_file(&part);
            }
            done
        };
        written().map_err(|error| Failure::Refused(format!("{}: {error}", self.path.display())))
    }
}

/// Name and endpoint of each context that a text describes, see [`super::fuzzing`].
pub(super) fn contexts_of(text: &str) -> Result<Vec<(String, String)>, String> {
    let document: DocumentMut = text.parse().map_err(|_| String::new())?;
    let (_, contexts) = read(&document)?;
    let places = contexts.into_iter();
    Ok(places
        .map(|(name, context)| (name, context.endpoint))
        .collect())
}

type Contents = (Option<String>, Vec<(String, Context)>);

/// What the file says. By hand, since errors of a parser quote what they do not understand, which may be a key.
fn read(document: &DocumentMut) -> Result<Contents, String> {
    let (mut current, mut contexts) = (None, Vec::new());
    for (field, item) in document.iter() {
        match field {
            CURRENT => current = Some(text(item).ok_or("current takes the name of a context")?),
            CONTEXTS => {
                let table = item
                    .as_table_like()
                    .ok_or("contexts takes a table for each context: [contexts.NAME]")?;
                for (name, item) in table.iter() {
                    let context = context(item)
                        .map_err(|why| format!("[contexts.{}]: {why}", printable(name)))?;
                    contexts.push((name.to_owned(), context));
                }
            }
            other => {
                return Err(format!(
                    "unknown field {:?}; there are {CURRENT} and [{CONTEXTS}.NAME]",
                    printable(other)
                ));
            }
        }
    }
    Ok((current, contexts))
}

fn context(item: &Item) -> Result<Context, String> {
    let table = item
        .as_table_like()
        .ok_or("it takes fields, such as endpoint")?;
    let mut context = Context::default();
    for (field, item) in table.iter() {
        let text = text(item);
        let is = |what: &str| format!("{field} takes {what} in quotation marks");
        match field {
            "endpoint" => context.endpoint = text.ok_or_else(|| is("an address"))?,
            "key" => context.key = Some(text.ok_or_else(|| is("a key"))?),
            "key_file" => context.key_file = Some(path(&text.ok_or_else(|| is("a path"))?)),
            "ca_file" => context.ca_file = Some(path(&text.ok_or_else(|| is("a path"))?)),
            other => {
                return Err(format!(
                    "unknown field {:?}; there are endpoint, key, key_file and ca_file",
                    printable(other)
                ));
            }
        }
    }
    if context.endpoint.is_empty() {
        return Err("endpoint is missing: the address of the server".to_owned());
    }
    if context.key.is_some() && context.key_file.is_some() {
        return Err("it has key and key_file; keep one of them".to_owned());
    }
    Ok(context)
}

fn text(item: &Item) -> Option<String> {
    item.as_str().map(str::to_owned)
}

/// A path, in which ~/ is the user's home.
fn path(text: &str) -> PathBuf {
    match (text.strip_prefix("~/"), std::env::var_os("HOME")) {
        (Some(rest), Some(home)) => PathBuf::from(home).join(rest),
        _ => PathBuf::from(text),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn load(text: &str, mode: u32) -> Result<Config, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.toml");
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        Config::load_from(path).map_err(|failure| {
            assert_eq!(failure.exit_code(), 2);
            failure.to_string()
        })
    }

    #[test]
    fn contexts_are_read_and_comments_are_kept() {
        let text = "# mine\ncurrent = \"a\"\n\n[contexts.a]\nendpoint = \"http://a\" # the first\nkey_file = \"/k\"\n";
        let mut config = load(text, 0o644).unwrap();
        assert_eq!(config.in_use().unwrap().unwrap().0, "a");
        let other = Context {
            endpoint: "http://b".to_owned(),
            key: Some("hunter2".to_owned()),
            ..Context::default()
        };
        assert!(!format!("{other:?}").contains("hunter2"));
        config.put("b c", other);
        config.use_context("b c").unwrap();
        let written = config.document.to_string();
        assert!(written.starts_with("# mine\n") && written.contains("# the first"));
        let again = load(&written, 0o600).unwrap();
        assert_eq!(
            (again.contexts(), again.current()),
            (config.contexts(), Some("b c"))
        );
        config.remove("b c").unwrap();
        assert_eq!(config.current(), None);
        assert!(!config.document.to_string().contains("hunter2"));
        assert!(config.use_context("b c").is_err());
    }

    #[test]
    fn what_is_not_known_is_refused_and_no_secret_comes_back() {
        let key = "[contexts.a]\nendpoint = \"http://a\"\nkey = \"hunter2\"\n";
        for mode in [0o604, 0o640, 0o660, 0o644, 0o602] {
            let refused = load(key, mode).unwrap_err();
            assert!(refused.contains("chmod 600"), "{refused}");
        }
        assert!(load(key, 0o600).is_ok() && load(key, 0o400).is_ok());
        for (text, says) in [
            ("colour = \"hunter2\"", "unknown field \"colour\""),
            ("current = 3", "current takes"),
            ("contexts = \"hunter2\"", "[contexts.NAME]"),
            ("[contexts]\na = \"hunter2\"", "[contexts.a]"),
            (
                "[contexts.a]\nendpoint = \"h\"\nkay = \"hunter2\"",
                "unknown field \"kay\"",
            ),
            ("[contexts.a]\nkey = \"hunter2\"", "endpoint is missing"),
            (
                "[contexts.a]\nendpoint = \"h\"\nkey = 42424242",
                "key takes a key",
            ),
            (
                "[contexts.a]\nendpoint = \"h\"\nkey = hunter2",
                "line 3 is not TOML",
            ),
            (
                "[contexts.a]\nendpoint = \"h\"\nkey = \"hunter2\nb",
                "is not TOML",
            ),
            (
                "[contexts.a]\nendpoint = \"h\"\nkey = \"hunter2\"\nkey_file = \"f\"",
                "keep one of them",
            ),
        ] {
            let refused = load(text, 0o600).unwrap_err();
            assert!(refused.contains(says), "{text}: {refused}");
            assert!(
                !refused.contains("hunter2") && !refused.contains("4242"),
                "{refused}"
            );
        }
    }
}
