//! How a subcommand reaches the server: where it is, and with which key.

use std::{
    fs,
    net::IpAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use http::Uri;
use ipam_client::{Client, Error, Settings};
use ipam_shared::error::Code;

use super::output::Failure;
use crate::settings;

/// Options of every subcommand that talks to a server.
#[derive(Clone, clap::Args)]
#[command(next_help_heading = "Connection")]
pub struct Connection {
    /// Address of the server
    #[arg(
        long,
        visible_alias = "url",
        value_name = "URL",
        env = "IPAM_ENDPOINT",
        default_value = "http://127.0.0.1:8000"
    )]
    endpoint: String,
    /// API key; default: API_KEY or API_KEY_FILE, else the key of the server on this machine, if this user may read it
    #[arg(long, value_name = "KEY", env = "IPAM_API_KEY", hide_env_values = true)]
    api_key: Option<String>,
    /// Data directory of the server on this machine, where its key is [default: /var/lib/ipam for root, else
    /// ~/.local/share/ipam]
    #[arg(long, value_name = "DIR", env = "IPAM_DATA_DIR")]
    data_dir: Option<PathBuf>,
    /// How long to wait for a server that does not answer
    #[arg(
        long,
        value_name = "SECONDS",
        env = "IPAM_RETRY_TIMEOUT",
        default_value_t = 5
    )]
    retry_timeout: u16,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection")
            .field("endpoint", &self.endpoint)
            .finish_non_exhaustive()
    }
}

impl Connection {
    /// A client with these settings. Nothing is sent yet.
    ///
    /// # Errors
    /// When there is no key, or the settings are not valid.
    pub fn client(&self) -> Result<Client, Failure> {
        let variable = settings::secret(
            "API_KEY",
            std::env::var("API_KEY").ok().as_deref(),
            std::env::var_os("API_KEY_FILE").as_deref().map(Path::new),
        );
        // A file that this user may not read matters only when there is no other key.
        let key = self.key(variable.as_ref().ok().cloned().flatten());
        let key = match (key, variable) {
            (Err(_), Err(error)) => return Err(Failure::Usage(format!("no API key: {error:#}"))),
            (key, _) => key?,
        };
        let patience = Duration::from_secs(self.retry_timeout.into());
        let settings = Settings {
            user_agent: concat!("ipam/", env!("CARGO_PKG_VERSION")).to_owned(),
            ..Settings::new(&self.endpoint, key).with_retry_timeout(patience)
        };
        Client::new(&settings).map_err(|error| Failure::Usage(error.to_string()))
    }

    fn key(&self, variable: Option<String>) -> Result<String, Failure> {
        let set = |key: &String| !key.trim().is_empty();
        let given = self.api_key.clone().filter(set).or(variable.filter(set));
        given
            .map_or_else(|| self.key_of_this_machine(), Ok)
            .map_err(|why| {
                Failure::Usage(format!(
                    "no API key: give --api-key or set IPAM_API_KEY ({why})"
                ))
            })
    }

    /// The key that a managed server keeps in its data directory.
    fn key_of_this_machine(&self) -> Result<String, String> {
        if !is_local(&self.endpoint) {
            return Err(
                "the key of this machine's server is not sent to another machine".to_owned(),
            );
        }
        let dir = self.data_dir.clone().or_else(settings::default_data_dir);
        let path = settings::key_file(&dir.ok_or("this user has no data directory")?);
        match fs::read_to_string(&path) {
            Ok(key) if key.trim().is_empty() => Err(format!("{} is empty", path.display())),
            Ok(key) => Ok(key),
            Err(error) => Err(format!("{}: {error}", path.display())),
        }
    }
}

fn is_local(endpoint: &str) -> bool {
    let uri = endpoint.trim().parse::<Uri>().ok();
    uri.as_ref().and_then(Uri::host).is_some_and(|host| {
        let address = host.trim_start_matches('[').trim_end_matches(']').parse();
        host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|it: IpAddr| it.is_loopback())
    })
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::Refused(_) if error.code() == Some(Code::Unauthorized) => Self::Refused(
                format!("{error}; check --api-key, IPAM_API_KEY and API_KEY"),
            ),
            Error::Refused(_) => Self::Refused(error.to_string()),
            Error::Unreachable(_) | Error::NotIpam(_) => Self::Unreachable(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connection(endpoint: &str, api_key: Option<&str>, data_dir: &Path) -> Connection {
        Connection {
            endpoint: endpoint.to_owned(),
            api_key: api_key.map(str::to_owned),
            data_dir: Some(data_dir.to_owned()),
            retry_timeout: 0,
        }
    }

    #[test]
    fn the_key_comes_from_the_nearest_place() {
        let dir = tempfile::tempdir().unwrap();
        let of = |key, variable: Option<&str>| {
            connection("http://127.0.0.1:8000", key, dir.path()).key(variable.map(str::to_owned))
        };
        let failure = of(None, None).unwrap_err();
        assert_eq!(failure.exit_code(), 2);
        assert!(failure.to_string().contains("--api-key"), "{failure}");
        fs::write(settings::key_file(dir.path()), "from-file\n").unwrap();
        assert_eq!(of(None, None).unwrap(), "from-file\n");
        assert_eq!(of(None, Some("variable")).unwrap(), "variable");
        assert_eq!(of(Some("option"), Some("variable")).unwrap(), "option");
        assert_eq!(of(Some(""), Some("")).unwrap(), "from-file\n");
    }

    #[test]
    fn the_key_file_is_for_this_machine_only() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(settings::key_file(dir.path()), "from-file").unwrap();
        let of = |endpoint| connection(endpoint, None, dir.path()).key(None);
        for local in [
            "http://127.0.0.1:8000",
            "http://LOCALHOST",
            "http://[::1]:8000/",
            " http://127.0.0.2/ipam",
        ] {
            assert!(of(local).is_ok(), "{local}");
        }
        for remote in [
            "http://10.0.0.1:8000",
            "https://ipam.example.com",
            "http://localhost.example.com",
            "",
        ] {
            let failure = of(remote).unwrap_err();
            assert!(failure.to_string().contains("another machine"), "{failure}");
        }
    }

    #[test]
    fn the_key_is_not_shown() {
        let connection = connection("http://h", Some("hunter2"), Path::new("/"));
        assert!(!format!("{connection:?}").contains("hunter2"));
    }
}
