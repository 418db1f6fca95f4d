//! Finds PostgreSQL binaries on the machine. Nothing is downloaded here: what is missing, the error says how to get.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::account::Account;
use crate::{Error, OLDEST_MAJOR};

/// One installation of PostgreSQL.
#[derive(Debug, Clone)]
pub(crate) struct Install {
    pub(crate) bin_dir: PathBuf,
    pub(crate) major: u32,
    /// As it calls itself, such as "postgres (PostgreSQL) 17.2".
    pub(crate) version: String,
}

impl Install {
    /// Finds the installation to run the cluster of `data_dir` with: that of the major version `wanted` if the cluster
    /// exists, else the newest.
    pub(crate) fn find(
        bin_dir: Option<&Path>,
        wanted: Option<u32>,
        account: &Account,
        data_dir: &Path,
    ) -> Result<Self, Error> {
        let searched = match bin_dir {
            // An explicitly configured directory is used exclusively.
            Some(dir) => vec![dir.to_path_buf()],
            None => usual_places(),
        };
        let installs: Vec<Self> = searched
            .iter()
            .filter_map(|dir| Self::probe(dir, account))
            .collect();
        let found = || {
            installs
                .iter()
                .map(|i| format!("{} in {}", i.version, i.bin_dir.display()))
                .collect()
        };
        let usable = installs.iter().filter(|install| match wanted {
            Some(major) => install.major == major,
            None => install.major >= OLDEST_MAJOR,
        });
        // The first of the newest, so that the order of places decides between equals.
        match (usable.rev().max_by_key(|install| install.major), wanted) {
            (Some(install), _) => Ok(install.clone()),
            (None, Some(wanted)) => Err(Error::WrongMajor {
                path: data_dir.to_path_buf(),
                wanted,
                found: found(),
            }),
            (None, None) => Err(Error::NotInstalled {
                found: found(),
                searched,
            }),
        }
    }

    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.bin_dir.join(name)
    }

    /// Asks the `postgres` in `dir` for its version, as the account that will run it, which may see less than we do.
    fn probe(dir: &Path, account: &Account) -> Option<Self> {
        let bin_dir = dir.canonicalize().ok()?;
        if !bin_dir.join("initdb").exists() {
            return None;
        }
        let output = account
            .command(&bin_dir.join("postgres"))
            .arg("--version")
            .output()
            .ok()?;
        let version = String::from_utf8(output.stdout).ok()?.trim().to_owned();
        let major = parse_major(&version)?;
        Some(Self {
            bin_dir,
            major,
            version,
        })
    }
}

/// The major version in "postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)" or "postgres (PostgreSQL) 18beta1".
fn parse_major(version: &str) -> Option<u32> {
    let number = version.strip_prefix("postgres (PostgreSQL) ")?;
    let end = number
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(number.len());
    number[..end].parse().ok()
}

/// Directories of binaries by the habits of packagers, then what `pg_config` and `PATH` say.
fn usual_places() -> Vec<PathBuf> {
    let mut places = Vec::new();
    // Each entry: a directory, the start of the names in it, and where the binaries are below those.
    for (parent, prefix, below) in [
        ("/usr/lib/postgresql", "", "bin"),          // Debian, Ubuntu
        ("/usr", "pgsql-", "bin"),                   // PGDG on Red Hat
        ("/opt/homebrew/opt", "postgresql@", "bin"), // Homebrew on Apple silicon
        ("/usr/local/opt", "postgresql@", "bin"),    // Homebrew on Intel
        ("/Applications/Postgres.app/Contents/Versions", "", "bin"), // Postgres.app
        ("/usr/libexec", "postgresql", ""),          // Alpine
    ] {
        let Ok(entries) = fs::read_dir(parent) else {
            continue;
        };
        let mut names: Vec<_> = entries
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .filter(|name| name.starts_with(prefix))
            .collect();
        names.sort_unstable();
        places.extend(
            names
                .into_iter()
                .map(|name| Path::new(parent).join(name).join(below)),
        );
    }
    if let Ok(output) = Command::new("pg_config").arg("--bindir").output()
        && output.status.success()
        && let Ok(dir) = String::from_utf8(output.stdout)
    {
        places.push(PathBuf::from(dir.trim()));
    }
    if let Some(path) = std::env::var_os("PATH") {
        places.extend(std::env::split_paths(&path).filter(|dir| dir.join("postgres").exists()));
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_as_postgres_prints_them() {
        assert_eq!(
            parse_major("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)"),
            Some(15)
        );
        assert_eq!(parse_major("postgres (PostgreSQL) 18beta1"), Some(18));
        assert_eq!(parse_major("postgres (EnterpriseDB) 15"), None);
    }
}
