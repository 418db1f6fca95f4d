//! `ipam context`: the servers that a person works with.

use std::{
    io::{self, Read as _},
    path::PathBuf,
};

use clap_complete::engine::{ArgValueCompleter, CompletionCandidate};
use serde::Serialize;

use super::{
    config::{Config, Context as Entry},
    listing::{Column, ListOutput, Output, Things, facts},
    output::{Failure, printable},
    value::Value,
};

/// Choose between several servers: their addresses and keys are kept in a file
///
/// The file is config.toml in ~/.config/ipam, or where XDG_CONFIG_HOME or IPAM_CONFIG say. An option goes before a variable
/// of the environment, and that before the context in use.
#[derive(Debug, clap::Args)]
pub struct Context {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// List the contexts
    #[command(visible_alias = "ls")]
    List {
        #[command(flatten)]
        output: ListOutput,
    },
    /// Show a context, without its key
    Show {
        /// Its name; default: the one in use
        #[arg(add = ArgValueCompleter::new(names))]
        name: Option<String>,
        #[command(flatten)]
        output: Output,
    },
    /// Use a context from now on
    Use {
        /// Its name
        #[arg(add = ArgValueCompleter::new(names))]
        name: String,
    },
    /// Add a context, or replace the one of that name
    Add(Add),
    /// Remove a context
    #[command(visible_alias = "rm")]
    Remove {
        /// Its name
        #[arg(add = ArgValueCompleter::new(names))]
        name: String,
    },
}

#[derive(Debug, clap::Args)]
struct Add {
    /// Its name
    name: String,
    /// Address of the server, such as https://ipam.example.com
    #[arg(long, visible_alias = "url", value_name = "URL")]
    endpoint: String,
    /// Keep the key in this file, which is read for each command
    #[arg(long, value_name = "FILE", conflicts_with = "key_stdin")]
    key_file: Option<PathBuf>,
    /// Read the key from the standard input, and keep it in the file of contexts
    #[arg(long)]
    key_stdin: bool,
    /// File with certificates of authorities to trust in addition to those of the system
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// Use it from now on; the first context is used in any case
    #[arg(long = "use")]
    used: bool,
}

/// A context as it is shown.
#[derive(Serialize)]
struct Shown {
    name: String,
    current: bool,
    endpoint: String,
    /// Where its key is; the key itself is never shown.
    key: &'static str,
    key_file: Option<PathBuf>,
    ca_file: Option<PathBuf>,
}

const COLUMNS: &[Column<Shown>] = &[
    Column::new(
        "current",
        |it| {
            if it.current { "*".into() } else { Value::None }
        },
    ),
    Column::new("name", |it| it.name.as_str().into()),
    Column::new("endpoint", |it| it.endpoint.as_str().into()),
    Column::new("key", |it| it.key.into()),
    Column::new("key_file", |it| path(it.key_file.as_ref())),
    Column::new("ca_file", |it| path(it.ca_file.as_ref())),
];

fn path(path: Option<&PathBuf>) -> Value {
    Value::of(path.map(|path| path.display().to_string()))
}

impl Shown {
    fn of(name: &str, entry: &Entry, config: &Config) -> Self {
        let key = match (&entry.key, &entry.key_file) {
            (Some(_), _) => "kept here (not shown)",
            (None, Some(_)) => "in a file",
            (None, None) => "none",
        };
        Self {
            name: name.to_owned(),
            current: config.current() == Some(name),
            endpoint: entry.endpoint.clone(),
            key,
            key_file: entry.key_file.clone(),
            ca_file: entry.ca_file.clone(),
        }
    }
}

impl Context {
    /// What to print.
    ///
    /// # Errors
    /// When the file can't be read or written, or has no such context.
    pub fn run(self) -> Result<String, Failure> {
        let mut config = Config::load()?;
        match self.verb {
            Verb::List { output } => {
                let all = config.contexts().iter();
                let all: Vec<_> = all
                    .map(|(name, entry)| Shown::of(name, entry, &config))
                    .collect();
                let things = Things {
                    columns: COLUMNS,
                    name: |it: &Shown| it.name.clone(),
                    nothing: "contexts",
                };
                output.many(all, &things, usize::MAX, false)
            }
            Verb::Show { name, output } => {
                let name = match (&name, config.current()) {
                    (Some(name), _) => name.as_str(),
                    (None, Some(current)) => current,
                    (None, None) => {
                        return Err(Failure::Usage(format!(
                            "no context of {} is in use; name one, or use one with ipam context use",
                            config.location().display()
                        )));
                    }
                };
                let shown = Shown::of(name, config.context(name)?, &config);
                let name = |it: &Shown| it.name.clone();
                output.one(&shown, COLUMNS, name, || facts(&shown, COLUMNS))
            }
            Verb::Use { name } => {
                config.use_context(&name)?;
                config.save()?;
                let endpoint = &config.context(&name)?.endpoint;
                let (name, endpoint) = (printable(&name), printable(endpoint));
                Ok(format!("Using {name}: {endpoint}\n"))
            }
            Verb::Add(add) => add.run(config),
            Verb::Remove { name } => {
                config.remove(&name)?;
                config.save()?;
                Ok(format!("Removed {}\n", printable(&name)))
            }
        }
    }
}

impl Add {
    fn run(self, mut config: Config) -> Result<String, Failure> {
        if self.name.is_empty() || self.name.chars().any(char::is_control) {
            let why = "a context needs a name, without control characters";
            return Err(Failure::Usage(why.to_owned()));
        }
        let whole = |path: PathBuf| std::path::absolute(&path).unwrap_or(path);
        let key = if self.key_stdin {
            Some(read_key()?)
        } else {
            None
        };
        let entry = Entry {
            endpoint: self.endpoint,
            key,
            key_file: self.key_file.map(whole),
            ca_file: self.ca_file.map(whole),
        };
        check(&entry)?;
        if entry.key_file.is_some() {
            entry.read_key()?;
        }
        let is_first = config.contexts().is_empty();
        config.put(&self.name, entry);
        if self.used || is_first {
            config.use_context(&self.name)?;
        }
        config.save()?;
        let used = if config.current() == Some(&self.name) {
            ", and it is in use"
        } else {
            ""
        };
        Ok(format!(
            "Added {} to {}{used}\n",
            printable(&self.name),
            config.location().display()
        ))
    }
}

/// Refuses what no client can be made of, before it is written.
fn check(entry: &Entry) -> Result<(), Failure> {
    let settings = ipam_client::Settings {
        ca_file: entry.ca_file.clone(),
        ..ipam_client::Settings::new(&entry.endpoint, entry.key.as_deref().unwrap_or("none"))
    };
    ipam_client::Client::new(&settings)
        .map(drop)
        .map_err(|error| Failure::Usage(error.to_string()))
}

/// The longest key that is read, in bytes.
const LONGEST_KEY: u64 = 4096;

fn read_key() -> Result<String, Failure> {
    let mut key = String::new();
    io::stdin()
        .take(LONGEST_KEY)
        .read_to_string(&mut key)
        .map_err(|error| Failure::Usage(format!("the key can't be read: {error}")))?;
    match key.trim() {
        "" => Err(Failure::Usage("the standard input has no key".to_owned())),
        key => Ok(key.to_owned()),
    }
}

/// Completes the name of a context.
pub(super) fn names(current: &std::ffi::OsStr) -> Vec<CompletionCandidate> {
    let begun = current.to_string_lossy();
    let config = Config::load_if_any().ok().flatten();
    let contexts = config.iter().flat_map(Config::contexts);
    contexts
        .filter(|(name, _)| name.starts_with(&*begun))
        .map(|(name, entry)| {
            CompletionCandidate::new(name).help(Some(printable(&entry.endpoint).into()))
        })
        .collect()
}
