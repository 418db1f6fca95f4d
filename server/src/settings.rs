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

/// Default address and port to listen on.
pub const LISTEN: &str = "127.0.0.1:8000";

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

/// The administrator's key of a managed server: the contents of its file, which is created at the first start and is
/// readable by its owner only.
pub fn read_or_make_key(data_dir: &Path) -> anyhow::Result<String> {
    read_or_make(&key_file(data_dir), "the administrator's key", |random| {
        format!("ipam_{random}")
    })
}

/// The pepper of a managed server, in a file of the same kind. Without it no token is valid: it belongs into a backup of its
/// own, apart from that of the database.
pub fn read_or_make_pepper(data_dir: &Path) -> anyhow::Result<String> {
    read_or_make(
        &data_dir.join("token-pepper"),
        "the pepper of tokens",
        |random| random,
    )
}

/// The secret in a file, which is made if it does not exist: `make` gets 256 random bits as text.
fn read_or_make(
    path: &Path,
    what: &str,
    make: impl FnOnce(String) -> String,
) -> anyhow::Result<String> {
    let mut secret = [0_u8; 32];
    getrandom::fill(&mut secret)
        .map_err(|error| anyhow::anyhow!("no random numbers for {what}: {error}"))?;
    let secret = make(BASE64_URL_SAFE_NO_PAD.encode(secret));
    match std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
    {
        Ok(mut file) => {
            file.write_all(format!("{secret}\n").as_bytes())
                .and_then(|()| file.sync_all())
                .with_context(|| format!("cannot write {what} to {}", path.display()))?;
            Ok(secret)
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let secret = std::fs::read_to_string(path)
                .with_context(|| format!("cannot read {what} in {}", path.display()))?;
            let secret = secret.trim();
            anyhow::ensure!(
                !secret.is_empty(),
                "{} is empty; delete it to have a new one made, or write {what} into it",
                path.display()
            );
            Ok(secret.to_owned())
        }
        Err(error) => {
            Err(error).with_context(|| format!("cannot write {what} to {}", path.display()))
        }
    }
}

/// Minimum length of the administrator's key, in characters.
const SHORTEST_KEY: usize = 16;

/// Refuses an administrator's key that can be guessed.
///
/// # Errors
/// When it is too short. The error does not show it.
pub fn check_key(key: &str) -> anyhow::Result<()> {
    let length = key.chars().count();
    anyhow::ensure!(
        length >= SHORTEST_KEY,
        "the administrator's API key has {length} characters, and needs at least {SHORTEST_KEY}, since it grants access to \
        everything; make one with: openssl rand -base64 32"
    );
    Ok(())
}

/// What a secret is set to: the value itself, or what is in a file, without the line feeds at its end, as containers get
/// their secrets. `name` is the variable of the value; that of the file is called the same with `_FILE` behind it. An empty
/// variable is not set.
///
/// # Errors
/// When both are set, or the file can't be read or is empty. No error shows the secret.
pub fn secret(
    name: &str,
    value: Option<&str>,
    file: Option<&Path>,
) -> anyhow::Result<Option<String>> {
    let value = value.filter(|value| !value.trim().is_empty());
    let Some(file) = file.filter(|file| !file.as_os_str().is_empty()) else {
        return Ok(value.map(str::to_owned));
    };
    anyhow::ensure!(
        value.is_none(),
        "{name} and {name}_FILE are both set; set one of them"
    );
    let text = std::fs::read_to_string(file)
        .with_context(|| format!("{name}_FILE: cannot read {}", file.display()))?;
    let text = text.trim_end_matches(['\n', '\r']);
    anyhow::ensure!(
        !text.trim().is_empty(),
        "{name}_FILE: {} is empty",
        file.display()
    );
    Ok(Some(text.to_owned()))
}

/// Where the database that is set may be: `DATABASE_URL` (or its file), else what the variables `POSTGRES_HOST`, `_PORT`,
/// `_DB`, `_USER` and `_PASSWORD` (or its file) say. Several hosts, separated by commas, are a primary and its standbys. None
/// if neither is set, and then the server manages one itself.
///
/// # Errors
/// When the settings are not valid. No error shows a password.
pub fn database(
    url: Option<&str>,
    url_file: Option<&Path>,
    variable: impl Fn(&str) -> Option<String>,
) -> anyhow::Result<Option<Vec<PgConnectOptions>>> {
    if let Some(url) = secret("DATABASE_URL", url, url_file)? {
        return hosts_of_url(url.trim()).map(Some);
    }
    let set = |name: &str| variable(name).filter(|value| !value.trim().is_empty());
    let Some(hosts) = set("POSTGRES_HOST") else {
        return Ok(None);
    };
    let mut options = PgConnectOptions::new();
    if let Some(database) = set("POSTGRES_DB") {
        options = options.database(&database);
    }
    if let Some(user) = set("POSTGRES_USER") {
        options = options.username(&user);
    }
    let password = set("POSTGRES_PASSWORD");
    let file = set("POSTGRES_PASSWORD_FILE").map(PathBuf::from);
    if let Some(password) = secret("POSTGRES_PASSWORD", password.as_deref(), file.as_deref())? {
        options = options.password(&password);
    }
    let hosts: Vec<_> = hosts.split(',').map(str::trim).collect();
    let ports = set("POSTGRES_PORT");
    let ports = ports
        .iter()
        .flat_map(|ports| ports.split(','))
        .map(|port| {
            port.trim()
                .parse::<u16>()
                .with_context(|| format!("POSTGRES_PORT is not a port: {port:?}"))
        })
        .collect::<anyhow::Result<Vec<_>>>()?;
    anyhow::ensure!(
        ports.len() <= 1 || ports.len() == hosts.len(),
        "POSTGRES_PORT has {} ports for the {} hosts of POSTGRES_HOST; give one for all, or one for each",
        ports.len(),
        hosts.len()
    );
    let place = |(index, host): (usize, &&str)| {
        let options = options.clone().host(host);
        match ports.get(index).or(ports.first()) {
            Some(port) => options.port(*port),
            None => options,
        }
    };
    Ok(Some(hosts.iter().enumerate().map(place).collect()))
}

/// A URL as libpq reads it: several hosts may stand where one does, and `target_session_attrs` may say that a primary is
/// wanted, which ipam looks for in any case.
fn hosts_of_url(url: &str) -> anyhow::Result<Vec<PgConnectOptions>> {
    let invalid = || {
        anyhow::anyhow!(
            "DATABASE_URL, or what is in DATABASE_URL_FILE, is not a valid PostgreSQL URL: \
            postgres://USER:PASSWORD@HOST:PORT/DB, or HOST:PORT,HOST:PORT for a primary and its standbys"
        )
    };
    let (scheme, rest) = url.split_once("://").ok_or_else(invalid)?;
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let (user, hosts) = match authority.rsplit_once('@') {
        Some((user, hosts)) => (format!("{user}@"), hosts),
        None => (String::new(), authority),
    };
    let path = without_target_session_attrs(path)?;
    hosts
        .split(',')
        // The driver's error may quote the URL, including the password.
        .map(|host| {
            PgConnectOptions::from_str(&format!("{scheme}://{user}{host}{path}"))
                .map_err(|_| invalid())
        })
        .collect()
}

fn without_target_session_attrs(path: &str) -> anyhow::Result<String> {
    let Some((path, query)) = path.split_once('?') else {
        return Ok(path.to_owned());
    };
    let mut kept = Vec::new();
    for parameter in query.split('&') {
        match parameter.strip_prefix("target_session_attrs=") {
            Some("any" | "read-write" | "primary") => {}
            Some(other) => anyhow::bail!(
                "target_session_attrs={other} in DATABASE_URL is not possible: ipam writes, so it needs the primary; \
                leave it out, or say read-write"
            ),
            None => kept.push(parameter),
        }
    }
    Ok(match kept.is_empty() {
        true => path.to_owned(),
        false => format!("{path}?{}", kept.join("&")),
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use sqlx::ConnectOptions as _;

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
    fn a_key_that_can_be_guessed_is_refused() {
        let error = check_key("hunter2-hunter2").unwrap_err().to_string();
        assert!(error.contains("openssl rand"), "{error}");
        assert!(!error.contains("hunter2"), "{error}");
        assert!(check_key("hunter2-hunter2-").is_ok());
    }

    #[test]
    fn a_bad_url_does_not_show_its_password() {
        let error = database(Some("postgres//user:hunter2@host"), None, |_| None).unwrap_err();
        assert!(!format!("{error:?}").contains("hunter2"));
    }

    #[test]
    fn a_secret_comes_from_its_value_or_its_file() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("key");
        let of = |value, file: Option<&Path>| secret("API_KEY", value, file);
        let of_file = |content: &[u8]| {
            std::fs::write(&file, content).unwrap();
            of(None, Some(&file))
        };
        assert_eq!(of(None, None).unwrap(), None);
        assert_eq!(of(Some(" "), Some(Path::new(""))).unwrap(), None);
        assert_eq!(of(Some("hunter2"), None).unwrap().unwrap(), "hunter2");
        for content in ["hunter2", "hunter2\n", "hunter2\r\n", "hunter2\n\n"] {
            let secret = of_file(content.as_bytes()).unwrap().unwrap();
            assert_eq!(secret, "hunter2", "{content:?}");
        }
        // Whitespace may be a part of a password.
        assert_eq!(of_file(b" a b \n").unwrap().unwrap(), " a b ");
        // An empty variable next to the file counts as not set.
        assert_eq!(of(Some(""), Some(&file)).unwrap().unwrap(), " a b ");

        for content in [&b""[..], b"\n", b"  \n"] {
            let error = format!("{:#}", of_file(content).unwrap_err());
            assert!(
                error.contains("API_KEY_FILE") && error.contains("is empty"),
                "{error}"
            );
        }
        let error = format!("{:?}", of_file(b"hunter2\xff").unwrap_err());
        assert!(!error.contains("hunter2"), "{error}");
        let error = format!(
            "{:#}",
            of(None, Some(&dir.path().join("none"))).unwrap_err()
        );
        assert!(
            error.contains("API_KEY_FILE: cannot read /") && error.contains("No such file"),
            "{error}"
        );
        let error = format!("{:?}", of(Some("hunter2"), Some(&file)).unwrap_err());
        assert!(error.contains("API_KEY and API_KEY_FILE"), "{error}");
        assert!(!error.contains("hunter2"), "{error}");
    }

    #[test]
    fn the_database_comes_from_files_too() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("secret");
        std::fs::write(&file, "postgres://ipam:hunter2@db.example:5433/net\n").unwrap();
        let options = database(None, Some(&file), |_| None).unwrap().unwrap();
        let [options] = &options[..] else {
            panic!("one host: {options:?}")
        };
        let where_to = (
            options.get_host(),
            options.get_port(),
            options.get_database(),
        );
        assert_eq!(where_to, ("db.example", 5433, Some("net")));
        assert!(database(Some("postgres://other"), Some(&file), |_| None).is_err());

        std::fs::write(&file, "hunter2\n").unwrap();
        let path = file.to_str().unwrap().to_owned();
        let parts = |more: Option<(&'static str, &'static str)>| {
            let path = path.clone();
            database(None, None, move |name| match name {
                "POSTGRES_HOST" => Some("db.example".to_owned()),
                "POSTGRES_PASSWORD_FILE" => Some(path.clone()),
                _ => more
                    .filter(|more| more.0 == name)
                    .map(|more| more.1.to_owned()),
            })
        };
        let url = parts(None).unwrap().unwrap()[0].to_url_lossy();
        assert_eq!(
            (url.host_str(), url.password()),
            (Some("db.example"), Some("hunter2"))
        );
        let error = parts(Some(("POSTGRES_PASSWORD", "other"))).unwrap_err();
        assert!(
            error.to_string().contains("POSTGRES_PASSWORD_FILE"),
            "{error}"
        );
        std::fs::remove_file(&file).unwrap();
        let error = format!("{:#}", parts(None).unwrap_err());
        assert!(
            error.contains("POSTGRES_PASSWORD_FILE: cannot read"),
            "{error}"
        );
    }

    #[test]
    fn a_primary_and_its_standbys_are_several_hosts() {
        let places = |url: &str| {
            let hosts = database(Some(url), None, |_| None)?.unwrap();
            anyhow::Ok(
                hosts
                    .iter()
                    .map(|host| {
                        let url = host.to_url_lossy();
                        assert_eq!(url.password(), Some("p%40w"), "{url}");
                        format!(
                            "{}:{}/{}",
                            host.get_host(),
                            host.get_port(),
                            host.get_database().unwrap()
                        )
                    })
                    .collect::<Vec<_>>(),
            )
        };
        assert_eq!(
            places("postgres://u:p%40w@a,b:5433,[::1]:5434/net?target_session_attrs=read-write&sslmode=prefer").unwrap(),
            ["a:5432/net", "b:5433/net", "[::1]:5434/net"]
        );
        assert_eq!(
            places("postgres://u:p%40w@a/net?target_session_attrs=any").unwrap(),
            ["a:5432/net"]
        );
        for attribute in ["standby", "read-only", "prefer-standby"] {
            let error = places(&format!(
                "postgres://u:p%40w@a,b/net?target_session_attrs={attribute}"
            ))
            .unwrap_err();
            assert!(error.to_string().contains("needs the primary"), "{error}");
        }
        assert!(places("postgres://u:p%40w@a:b,c/net").is_err());

        let parts = |ports: &'static str| {
            database(None, None, move |name| match name {
                "POSTGRES_HOST" => Some("a, b".to_owned()),
                "POSTGRES_PORT" => Some(ports.to_owned()),
                _ => None,
            })
        };
        let found = |ports| -> Vec<_> {
            let hosts = parts(ports).unwrap().unwrap();
            hosts
                .iter()
                .map(|host| format!("{}:{}", host.get_host(), host.get_port()))
                .collect()
        };
        assert_eq!(found("5433"), ["a:5433", "b:5433"]);
        assert_eq!(found("5433,5434"), ["a:5433", "b:5434"]);
        assert!(parts("1,2,3").is_err());
    }
}
