//! How a verb reaches the server: where it is, and with which key.

use std::{path::Path, time::Duration};

use ipam_client::{Client, Error, Settings};

use super::output::Failure;

/// How long a failing request is repeated before a person is told.
const PATIENCE: Duration = Duration::from_secs(5);

/// Options of every verb that asks a server.
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
    /// API key; if not given: API_KEY, else the key of the server that runs on this machine, if this user may read it
    #[arg(long, value_name = "KEY", env = "IPAM_API_KEY", hide_env_values = true)]
    api_key: Option<String>,
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
        let key_file =
            crate::settings::default_data_dir().map(|dir| crate::settings::key_file(&dir));
        let api_key = std::env::var("API_KEY").ok();
        let key = self.key(api_key, key_file.as_deref())?;
        let settings = Settings {
            user_agent: concat!("ipam/", env!("CARGO_PKG_VERSION")).to_owned(),
            ..Settings::new(&self.endpoint, key).with_retry_timeout(PATIENCE)
        };
        Client::new(&settings).map_err(|error| Failure::Usage(error.to_string()))
    }

    fn key(&self, variable: Option<String>, file: Option<&Path>) -> Result<String, Failure> {
        let given = self.api_key.clone().filter(|key| !key.trim().is_empty());
        if let Some(key) = given.or(variable.filter(|key| !key.trim().is_empty())) {
            return Ok(key);
        }
        let read = file.map(|path| (path, std::fs::read_to_string(path)));
        let why = match read {
            Some((_, Ok(key))) if !key.trim().is_empty() => return Ok(key),
            Some((path, Ok(_))) => format!("{} is empty", path.display()),
            Some((path, Err(error))) => format!("{}: {error}", path.display()),
            None => "this user has no data directory".to_owned(),
        };
        Err(Failure::Usage(format!(
            "no API key: give --api-key or set IPAM_API_KEY (the key file of a local server can't be used: {why})"
        )))
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::Refused(_) => Self::Refused(error.to_string()),
            Error::Unreachable(_) | Error::NotIpam(_) => Self::Unreachable(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_comes_from_the_nearest_place() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("key");
        let connection = |key: Option<&str>| Connection {
            endpoint: String::new(),
            api_key: key.map(str::to_owned),
        };
        let of = |key, variable: Option<&str>| {
            connection(key).key(variable.map(str::to_owned), Some(&file))
        };
        let failure = of(None, None).unwrap_err();
        assert_eq!(failure.exit_code(), 2);
        assert!(failure.to_string().contains("--api-key"), "{failure}");
        std::fs::write(&file, "from-file\n").unwrap();
        assert_eq!(of(None, None).unwrap(), "from-file\n");
        assert_eq!(of(None, Some("variable")).unwrap(), "variable");
        assert_eq!(of(Some("option"), Some("variable")).unwrap(), "option");
        assert_eq!(of(Some(""), Some("")).unwrap(), "from-file\n");
    }

    #[test]
    fn the_key_is_not_shown() {
        let connection = Connection {
            endpoint: "http://h".to_owned(),
            api_key: Some("hunter2".to_owned()),
        };
        assert!(!format!("{connection:?}").contains("hunter2"));
    }
}
