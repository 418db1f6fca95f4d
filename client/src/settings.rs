//! The settings of a client, and what can be wrong with them.

use std::{fmt, path::PathBuf, time::Duration};

use reqwest::Url;

use crate::said::Said;

/// An API key. Its `Debug` text does not show it, and it has no `Display`.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKey(String);

impl ApiKey {
    /// Takes a key as written in a file or a variable; surrounding whitespace is not part of it.
    pub fn new(key: impl AsRef<str>) -> Self {
        Self(key.as_ref().trim().to_owned())
    }

    /// For the only code that writes it into a header.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey(not shown)")
    }
}

/// How to reach a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Address of the server, such as `https://ipam.example.com`; a path in front of `/api/v1` is kept.
    pub endpoint: String,
    /// The key that identifies the caller to the server.
    pub api_key: ApiKey,
    /// PEM file with certificates to trust in addition to those of the system.
    pub ca_file: Option<PathBuf>,
    /// Timeout of one attempt, from connecting to the end of the reply. 30 s if not changed.
    pub request_timeout: Duration,
    /// How long a failing request is retried, counted from when the server was last seen healthy; an attempt that has begun
    /// by then is finished. 60 s if not changed; zero disables retries.
    pub retry_timeout: Duration,
    /// The same for read-only requests, where giving up costs nothing. 25 s if not changed.
    pub read_retry_timeout: Duration,
    /// The user agent, for the server's log: `name/version`.
    pub user_agent: String,
    /// For whom things are created, such as a workspace of a pipeline: 1 to 255 characters. Only the same owner gets the
    /// same thing when asking again. None if not changed.
    pub owner: Option<String>,
    /// Whether creations may adopt what the same owner created before and nobody has confirmed. True if not changed.
    pub adopts: bool,
    /// What the audit log is to say about where changes come from. Nothing if not changed.
    pub said: Said,
}

impl Settings {
    /// The default settings for that server and key.
    pub fn new(endpoint: impl Into<String>, api_key: impl AsRef<str>) -> Self {
        Self {
            endpoint: endpoint.into(),
            api_key: ApiKey::new(api_key),
            ca_file: None,
            request_timeout: Duration::from_secs(30),
            retry_timeout: Duration::from_secs(60),
            read_retry_timeout: Duration::from_secs(25),
            user_agent: concat!("ipam-client/", env!("CARGO_PKG_VERSION")).to_owned(),
            owner: None,
            adopts: true,
            said: Said::default(),
        }
    }

    /// Sets both retry timeouts; reading never waits longer than its default.
    #[must_use]
    pub fn with_retry_timeout(mut self, timeout: Duration) -> Self {
        self.read_retry_timeout = self.read_retry_timeout.min(timeout);
        self.retry_timeout = timeout;
        self
    }
}

/// Why settings are not valid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// Not an http or https address.
    #[error("the endpoint \"{endpoint}\" is not valid: {reason}")]
    Endpoint {
        /// The address as given.
        endpoint: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A key that can't be sent.
    #[error(
        "the API key is not valid: it is empty or contains characters that no key has, such as a line break"
    )]
    ApiKey,
    /// Not a valid owner.
    #[error("the owner \"{owner}\" is not valid: {reason}")]
    Owner {
        /// The owner as given.
        owner: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The certificates can't be used.
    #[error("the CA file {path} can't be used: {reason}")]
    CaFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// No HTTP client can be created on this system.
    #[error("no HTTP client can be set up: {0}")]
    Client(String),
}

/// Checks an endpoint; the result ends with a slash, so that paths can be appended.
pub(crate) fn parse_endpoint(endpoint: &str) -> Result<Url, SettingsError> {
    let refuse = |reason: &str| SettingsError::Endpoint {
        // A password in the address must not appear in the message.
        endpoint: match endpoint.rsplit_once('@') {
            Some((_, host)) => format!("…@{host}"),
            None => endpoint.to_owned(),
        },
        reason: reason.to_owned(),
    };
    let example = "it must be http:// or https://, a host and if need be a port, such as http://127.0.0.1:8000";
    let mut url = Url::parse(endpoint.trim()).map_err(|_| refuse(example))?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err(refuse(example));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(refuse(
            "it must not contain a user or password; the key is a setting of its own",
        ));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(refuse("it must not contain ? or #"));
    }
    let path = url.path().trim_end_matches('/');
    let path = path.strip_suffix("/api/v1").unwrap_or(path).to_owned();
    url.set_path(&format!("{path}/"));
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_addresses_of_a_server() {
        for (given, meant) in [
            ("http://127.0.0.1:8000", "http://127.0.0.1:8000/"),
            (" https://ipam.example.com/ ", "https://ipam.example.com/"),
            ("https://example.com/ipam", "https://example.com/ipam/"),
            ("http://[::1]:8000/api/v1/", "http://[::1]:8000/"),
        ] {
            assert_eq!(parse_endpoint(given).unwrap().as_str(), meant);
        }
        for bad in [
            "",
            "ipam.example.com",
            "localhost:8000",
            "ftp://example.com",
            "http://",
            "http://h/?a=b",
        ] {
            assert!(
                matches!(parse_endpoint(bad), Err(SettingsError::Endpoint { .. })),
                "{bad}"
            );
        }
    }

    #[test]
    fn secrets_do_not_come_back() {
        let error = parse_endpoint("https://me:hunter2@example.com").unwrap_err();
        assert!(!error.to_string().contains("hunter2"), "{error}");
        let settings = Settings::new("http://127.0.0.1", "hunter2\n");
        assert!(!format!("{settings:?}").contains("hunter2"));
        assert_eq!(settings.api_key.expose(), "hunter2");
    }
}
