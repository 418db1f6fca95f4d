//! Things as files: the "remote" side of the toy provider.

use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;

use serde_json::Value as Json;
use tfplugin::{Diagnostic, Result};

pub(crate) struct Store {
    directory: PathBuf,
}

impl Store {
    pub(crate) fn new(directory: String) -> Self {
        Self {
            directory: directory.into(),
        }
    }

    fn path(&self, id: &str) -> PathBuf {
        self.directory.join(format!("{id}.json"))
    }

    pub(crate) fn put(&self, id: &str, thing: &Json) -> Result<()> {
        fs::write(self.path(id), thing.to_string()).map_err(|error| failed(&error))
    }

    pub(crate) fn get(&self, id: &str) -> Result<Option<Json>> {
        match fs::read(self.path(id)) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map(Some)
                .map_err(|error| failed(&error)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed(&error)),
        }
    }

    /// The ids of all things, in order.
    pub(crate) fn ids(&self) -> Result<Vec<String>> {
        let files = fs::read_dir(&self.directory).map_err(|error| failed(&error))?;
        let names = files.map(|file| Ok(file?.path()));
        let paths: Vec<PathBuf> = names
            .collect::<std::io::Result<_>>()
            .map_err(|error| failed(&error))?;
        let stem = |path: &PathBuf| Some(path.file_stem()?.to_str()?.to_owned());
        let mut ids: Vec<String> = paths.iter().filter_map(stem).collect();
        ids.sort();
        Ok(ids)
    }

    pub(crate) fn delete(&self, id: &str) -> Result<()> {
        match fs::remove_file(self.path(id)) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(failed(&error)),
            _ => Ok(()),
        }
    }
}

fn failed(error: &dyn std::error::Error) -> tfplugin::Diagnostics {
    Diagnostic::error("The store failed", error.to_string()).into()
}
