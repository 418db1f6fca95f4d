//! Where things are: the data directory, the administrator's key, the database.

use std::{
    env,
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    str::FromStr as _,
};

use anyhow::Context as _;
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use sqlx::postgres::PgConnectOptions;

/// Where a managed server keeps its database and its key: `/var/lib/ipam` for root, whose home the database's user can't
/// reach, else `$XDG_DATA_HOME/ipam` or `~/.local/share/ipam`.
pub fn default_data_dir() -> Option<PathBuf> {
    if nix::unistd::Uid::effective().is_root() {
        return Some(PathBuf::from("/var/lib/ipam"));
    }
    let set = |name: &str| {
        env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    set("XDG_DATA_HOME")
        .or_else(|| set("HOME").map(|home| home.join(".local/share")))
        .map(|dir| dir.join("ipam"))
}

/// Where a managed server keeps the administrator's key, under its data directory.
pub fn key_file(data_dir: &Path) -> PathBuf {
    data_dir.join("admin-key")
}

/// The administrator's key of a managed server: what is in its file, which is made at the first start and which only
/// its owner can read.
pub fn read_or_make_key(data_dir: &Path) -> anyhow::Result<String> {
    let path = key_file(data_dir);
    let mut secret = [0_u8; 32];
    getrandom::fill(&mut secret)
        .map_err(|error| anyhow::anyhow!("no random numbers for a key: {error}"))?;
    let key = format!("ipam_{}", BASE64_URL_SAFE_NO_PAD.encode(secret));
    match std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&path)
    {
        Ok(mut file) => {
            file.write_all(format!("{key}\n").as_bytes())
                .and_then(|()| file.sync_all())
                .with_context(|| {
                    format!("cannot write the administrator's key to {}", path.display())
                })?;
            Ok(key)
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let key = std::fs::read_to_string(&path).with_context(|| {
                format!("cannot read the administrator's key in {}", path.display())
            })?;
            let key = key.trim();
            anyhow::ensure!(
                !key.is_empty(),
                "{} is empty; delete it to get a new administrator's key, or write one into it",
                path.display()
            );
            Ok(key.to_owned())
        }
        Err(error) => Err(error)
            .with_context(|| format!("cannot write the administrator's key to {}", path.display())),
    }
}

/// The database that the environment names: `DATABASE_URL`, else `POSTGRES_HOST`, `_PORT`, `_DB`, `_USER` and
/// `_PASSWORD`. None if neither is set, and then the server manages one itself.
pub fn database(url: Option<&str>) -> anyhow::Result<Option<PgConnectOptions>> {
    if let Some(url) = url.map(str::trim).filter(|url| !url.is_empty()) {
        // The error of the driver may quote the URL, password included.
        let options = PgConnectOptions::from_str(url).map_err(|_| {
            anyhow::anyhow!(
                "DATABASE_URL is not a valid PostgreSQL URL: postgres://USER:PASSWORD@HOST:PORT/DB"
            )
        })?;
        return Ok(Some(options));
    }
    let set = |name: &str| env::var(name).ok().filter(|value| !value.trim().is_empty());
    let Some(host) = set("POSTGRES_HOST") else {
        return Ok(None);
    };
    let mut options = PgConnectOptions::new().host(&host);
    if let Some(port) = set("POSTGRES_PORT") {
        options = options.port(
            port.parse()
                .with_context(|| format!("POSTGRES_PORT is not a port: {port:?}"))?,
        );
    }
    if let Some(database) = set("POSTGRES_DB") {
        options = options.database(&database);
    }
    if let Some(user) = set("POSTGRES_USER") {
        options = options.username(&user);
    }
    if let Some(password) = set("POSTGRES_PASSWORD") {
        options = options.password(&password);
    }
    Ok(Some(options))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_key_is_made_once_and_only_its_owner_reads_it() {
        let dir = tempfile::tempdir().unwrap();
        let key = read_or_make_key(dir.path()).unwrap();
        assert!(
            key.starts_with("ipam_") && key.len() > 40,
            "{} characters",
            key.len()
        );
        assert_eq!(read_or_make_key(dir.path()).unwrap(), key);
        let mode = std::fs::metadata(key_file(dir.path()))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
        std::fs::write(key_file(dir.path()), "\n").unwrap();
        assert!(read_or_make_key(dir.path()).is_err());
    }

    #[test]
    fn a_bad_url_does_not_show_its_password() {
        let error = database(Some("postgres//user:hunter2@host")).unwrap_err();
        assert!(!format!("{error:?}").contains("hunter2"));
    }
}
