//! How a subcommand reaches the server: where it is, and with which key.

use std::{
    env, fs,
    net::IpAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use clap_complete::engine::ArgValueCompleter;
use http::Uri;
use ipam_client::{Client, Error, Said, Settings};
use ipam_shared::error::Code;

use super::{config::Config, context, output::Failure, proof};
use crate::settings;

/// Options of every subcommand that talks to a server.
#[derive(Clone, clap::Args)]
#[command(next_help_heading = "Connection")]
pub struct Connection {
    /// Address of the server; default: IPAM_ENDPOINT, else that of the context in use, else http://127.0.0.1:8000
    #[arg(long, visible_alias = "url", value_name = "URL")]
    pub(super) endpoint: Option<String>,
    /// API key; default: IPAM_API_KEY, else that of the context; for a server on this machine else API_KEY or API_KEY_FILE,
    /// else the key in its data directory, if this user may read it
    #[arg(long, value_name = "KEY")]
    pub(super) api_key: Option<String>,
    /// File with certificates of authorities to trust in addition to those of the system; default: IPAM_CA_FILE, else that
    /// of the context
    #[arg(long, value_name = "FILE")]
    pub(super) ca_file: Option<PathBuf>,
    /// Use this context, whatever the environment says; default: IPAM_CONTEXT, else the one in use
    #[arg(long, value_name = "NAME", add = ArgValueCompleter::new(context::names))]
    pub(super) context: Option<String>,
    /// Data directory of the server on this machine, where its key is [default: /var/lib/ipam for root, else
    /// ~/.local/share/ipam]
    #[arg(long, value_name = "DIR", env = "IPAM_DATA_DIR")]
    pub(super) data_dir: Option<PathBuf>,
    /// How long to try again while the server does not answer; one attempt may take up to 30 seconds
    #[arg(
        long,
        value_name = "SECONDS",
        env = "IPAM_RETRY_TIMEOUT",
        default_value_t = 5
    )]
    pub(super) retry_timeout: u16,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection")
            .field("endpoint", &self.endpoint)
            .finish_non_exhaustive()
    }
}

/// What the environment says.
#[derive(Clone, Default)]
struct Environment {
    endpoint: Option<String>,
    api_key: Option<String>,
    ca_file: Option<PathBuf>,
    context: Option<String>,
    /// The administrator's key of the server itself, for commands that run beside it: it goes to this machine only.
    server_key: Option<String>,
    /// Why that can't be read; it matters only when there is no other key.
    server_key_error: Option<String>,
}

impl Environment {
    fn read() -> Self {
        let text = |name| env::var(name).ok().filter(|text| !text.trim().is_empty());
        let server_key = settings::secret(
            "API_KEY",
            text("API_KEY").as_deref(),
            env::var_os("API_KEY_FILE").as_deref().map(Path::new),
        );
        let (server_key, server_key_error) = match server_key {
            Ok(key) => (key, None),
            Err(error) => (None, Some(format!("{error:#}"))),
        };
        Self {
            endpoint: text("IPAM_ENDPOINT"),
            // One that is set and empty is a secret that is missing, and no choice of another key.
            api_key: env::var("IPAM_API_KEY").ok(),
            ca_file: text("IPAM_CA_FILE").map(PathBuf::from),
            context: text("IPAM_CONTEXT"),
            server_key,
            server_key_error,
        }
    }
}

/// Where a key comes from decides to whom it may be sent.
#[derive(Debug, PartialEq)]
enum Key {
    /// Somebody chose it for this server.
    Given(String),
    /// It is that of the server on this machine, found where that keeps it.
    OfThisMachine(String, PathBuf),
}

/// Everything that is needed to talk to a server.
#[derive(Debug, PartialEq)]
struct Chosen {
    endpoint: String,
    ca_file: Option<PathBuf>,
    key: Key,
}

impl Connection {
    /// One without options, for questions that are answered quickly or not at all.
    pub(super) fn quick() -> Self {
        Self {
            endpoint: None,
            api_key: None,
            ca_file: None,
            context: None,
            data_dir: env::var_os("IPAM_DATA_DIR").map(PathBuf::from),
            retry_timeout: 0,
        }
    }

    /// A client with these settings. Nothing is sent yet, except to a server that must first prove that the key found on
    /// this machine is its own.
    ///
    /// # Errors
    /// When there is no key, the settings are not valid, or the proof fails.
    pub async fn client(&self) -> Result<Client, Failure> {
        self.client_of(None).await
    }

    /// The same for one that creates things for that owner.
    ///
    /// # Errors
    /// As [`Self::client`].
    pub async fn client_of(&self, owner: Option<String>) -> Result<Client, Failure> {
        let chosen = self.choose(&Environment::read(), Config::load_if_any)?;
        let patience = Duration::from_secs(self.retry_timeout.into());
        let key = match &chosen.key {
            Key::Given(key) | Key::OfThisMachine(key, _) => key,
        };
        let settings = Settings {
            user_agent: concat!("ipam/", env!("CARGO_PKG_VERSION")).to_owned(),
            ca_file: chosen.ca_file.clone(),
            owner,
            said: Said::by(|name| env::var(name).ok()),
            ..Settings::new(&chosen.endpoint, key).with_retry_timeout(patience)
        };
        if let Key::OfThisMachine(key, path) = &chosen.key {
            proof::demand(&settings, key, path).await?;
        }
        Client::new(&settings).map_err(|error| Failure::Usage(error.to_string()))
    }

    /// Options go before the environment, and that before the context in use. A context that is named by an option goes
    /// before the environment. The key of a context is for its server only.
    fn choose(
        &self,
        environment: &Environment,
        config: impl FnOnce() -> Result<Option<Config>, Failure>,
    ) -> Result<Chosen, Failure> {
        // Somebody who names the server and the key needs no file, whatever is in it.
        let is_complete = self.context.is_none()
            && (self.endpoint.is_some() || environment.endpoint.is_some())
            && (self.api_key.is_some() || environment.api_key.is_some());
        let config = if is_complete { None } else { config()? };
        let named = self.context.as_ref().or(environment.context.as_ref());
        let context = match (named, &config) {
            (None, None) => None,
            (None, Some(config)) => config.in_use()?.map(|(_, context)| context.clone()),
            (Some(_), None) if is_complete => None,
            (Some(name), None) => {
                return Err(Failure::Usage(format!(
                    "there is no context {name:?}: there is no place for a configuration file"
                )));
            }
            (Some(name), Some(config)) => Some(config.context(name)?.clone()),
        };
        let by_option = self.context.is_some();
        let variable = |value: &Option<String>| value.clone().filter(|_| !by_option);

        let given = self.endpoint.clone().or(variable(&environment.endpoint));
        let context = context.filter(|context| {
            given
                .as_ref()
                .is_none_or(|given| same_server(given, &context.endpoint))
        });
        let endpoint = given
            .or(context.as_ref().map(|context| context.endpoint.clone()))
            .unwrap_or_else(|| format!("http://{}", settings::LISTEN));
        let ca_file = self
            .ca_file
            .clone()
            .or(environment.ca_file.clone().filter(|_| !by_option))
            .or(context.as_ref().and_then(|context| context.ca_file.clone()));
        let key = self.api_key.clone().or(variable(&environment.api_key));
        if key.as_ref().is_some_and(|key| key.trim().is_empty()) {
            let place = match self.api_key {
                Some(_) => "--api-key",
                None => "IPAM_API_KEY",
            };
            return Err(Failure::Usage(format!(
                "{place} is empty, as when the secret of a pipeline is missing; give a key, or leave {place} out for the key of \
                 the context or of the server on this machine"
            )));
        }
        let key = match (key, &context) {
            (Some(key), _) => Key::Given(key),
            (None, Some(context)) if context.has_key() => Key::Given(context.read_key()?),
            (None, None) if is_local(&endpoint) => match &environment.server_key {
                Some(key) => Key::Given(key.clone()),
                None => self.found(&endpoint, environment.server_key_error.as_deref())?,
            },
            (None, _) => self.found(&endpoint, None)?,
        };
        Ok(Chosen {
            endpoint,
            ca_file,
            key,
        })
    }

    /// The key that a managed server keeps in its data directory. `error` says what is wrong with another one.
    fn found(&self, endpoint: &str, error: Option<&str>) -> Result<Key, Failure> {
        self.key_of_this_machine(endpoint).map_err(|why| {
            Failure::Usage(match error {
                Some(error) => format!("no API key: {error}"),
                None => format!(
                    "no API key: give --api-key, set IPAM_API_KEY or add a context with ipam context add ({why})"
                ),
            })
        })
    }

    fn key_of_this_machine(&self, endpoint: &str) -> Result<Key, String> {
        if !is_local(endpoint) {
            return Err(
                "the key of this machine's server is not sent to another machine".to_owned(),
            );
        }
        let dir = self.data_dir.clone().or_else(settings::default_data_dir);
        let path = settings::key_file(&dir.ok_or("this user has no data directory")?);
        match fs::read_to_string(&path) {
            Ok(key) if key.trim().is_empty() => Err(format!("{} is empty", path.display())),
            Ok(key) => Ok(Key::OfThisMachine(key.trim().to_owned(), path)),
            Err(error) => Err(format!("{}: {error}", path.display())),
        }
    }
}

/// Whether two addresses are written for the same server.
fn same_server(one: &str, other: &str) -> bool {
    let plain = |text: &str| text.trim().trim_end_matches('/').to_ascii_lowercase();
    plain(one) == plain(other)
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
            Error::Refused(_) if error.code() == Some(Code::Unauthorized) => {
                Self::Refused(format!(
                    "{error}; check --api-key, IPAM_API_KEY, API_KEY and the context (ipam context show)"
                ))
            }
            Error::Refused(_) => Self::Refused(error.to_string()),
            Error::Unreachable(_) | Error::NotIpam(_) => Self::Unreachable(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connection(endpoint: Option<&str>, api_key: Option<&str>, data_dir: &Path) -> Connection {
        Connection {
            endpoint: endpoint.map(str::to_owned),
            api_key: api_key.map(str::to_owned),
            ca_file: None,
            context: None,
            data_dir: Some(data_dir.to_owned()),
            retry_timeout: 0,
        }
    }

    fn choose(connection: &Connection, environment: &Environment) -> Result<Chosen, Failure> {
        connection.choose(environment, || Ok(None))
    }

    #[test]
    fn the_key_comes_from_the_nearest_place() {
        let dir = tempfile::tempdir().unwrap();
        let of = |key, variable: Option<&str>, server: Option<&str>| {
            let environment = Environment {
                api_key: variable.map(str::to_owned),
                server_key: server.map(str::to_owned),
                ..Environment::default()
            };
            choose(&connection(None, key, dir.path()), &environment).map(|chosen| chosen.key)
        };
        let given = |key: &str| Key::Given(key.to_owned());
        let failure = of(None, None, None).unwrap_err();
        assert_eq!(failure.exit_code(), 2);
        assert!(failure.to_string().contains("--api-key"), "{failure}");
        let path = settings::key_file(dir.path());
        fs::write(&path, "from-file\n").unwrap();
        let found = Key::OfThisMachine("from-file".to_owned(), path);
        assert_eq!(of(None, None, None).unwrap(), found);
        assert_eq!(of(None, None, Some("server")).unwrap(), given("server"));
        assert_eq!(
            of(None, Some("variable"), Some("server")).unwrap(),
            given("variable")
        );
        assert_eq!(
            of(Some("option"), Some("variable"), None).unwrap(),
            given("option")
        );
        // Nobody becomes the administrator because his own key is missing.
        for (key, variable, place) in [
            (Some(""), Some("variable"), "--api-key is empty"),
            (None, Some(" "), "IPAM_API_KEY is empty"),
        ] {
            let failure = of(key, variable, Some("server")).unwrap_err();
            assert!(failure.to_string().starts_with(place), "{failure}");
            assert_eq!(failure.exit_code(), 2);
        }
    }

    #[test]
    fn the_keys_of_this_machine_are_for_this_machine_only() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(settings::key_file(dir.path()), "from-file").unwrap();
        let of = |endpoint, environment: &Environment| {
            choose(&connection(Some(endpoint), None, dir.path()), environment)
        };
        let none = Environment::default();
        let key = Environment {
            server_key: Some("server".to_owned()),
            ..Environment::default()
        };
        let broken = Environment {
            server_key_error: Some("API_KEY_FILE can't be read".to_owned()),
            ..Environment::default()
        };
        for local in [
            "http://127.0.0.1:8000",
            "http://LOCALHOST",
            "http://[::1]:8000/",
            " http://127.0.0.2/ipam",
        ] {
            assert!(of(local, &none).is_ok(), "{local}");
            let chosen = of(local, &key).unwrap();
            assert_eq!(chosen.key, Key::Given("server".to_owned()), "{local}");
        }
        for remote in [
            "http://10.0.0.1:8000",
            "https://ipam.example.com",
            "http://localhost.example.com",
            "",
        ] {
            for environment in [&none, &key, &broken] {
                let failure = of(remote, environment).unwrap_err();
                assert!(failure.to_string().contains("another machine"), "{failure}");
                assert_eq!(failure.exit_code(), 2);
            }
        }
    }

    #[test]
    fn the_key_is_not_shown() {
        let connection = connection(Some("http://h"), Some("hunter2"), Path::new("/"));
        assert!(!format!("{connection:?}").contains("hunter2"));
    }
}
