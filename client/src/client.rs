//! A client of one server: its settings as an HTTP client, and the requests that it makes.

use std::{fs, time::Duration};

use ipam_shared::api::ownership::{ADOPT_HEADER, NEVER, OWNER_HEADER, Owner, OwnerError};
use reqwest::{
    Method, Request, RequestBuilder, Url,
    header::{AUTHORIZATION, HeaderMap, HeaderValue},
    redirect::Policy,
};

use crate::{
    cause::reason,
    error::{Error, Unreachable},
    reply::{Reply, Stream},
    settings::{Settings, SettingsError, parse_endpoint},
    transport::Transport,
};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A client of one server. Cheap to clone; clones share connections.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    base: Url,
    transport: Transport,
    /// What creations send besides their body.
    of_creations: HeaderMap,
}

impl Client {
    /// Checks the settings; sends nothing.
    pub fn new(settings: &Settings) -> Result<Self, SettingsError> {
        // Of several mistakes the first is told, and a wrong address makes every key wrong.
        parse_endpoint(&settings.endpoint)?;
        let key = settings.api_key.expose();
        let mut authorization =
            HeaderValue::from_str(&format!("Bearer {key}")).map_err(|_| SettingsError::ApiKey)?;
        if key.is_empty() {
            return Err(SettingsError::ApiKey);
        }
        authorization.set_sensitive(true);
        let mut headers = settings.said.headers();
        headers.insert(AUTHORIZATION, authorization);
        Self::sending(headers, settings)
    }

    /// One that does not send the key of the settings.
    pub(crate) fn without_key(settings: &Settings) -> Result<Self, SettingsError> {
        Self::sending(HeaderMap::new(), settings)
    }

    fn sending(headers: HeaderMap, settings: &Settings) -> Result<Self, SettingsError> {
        let base = parse_endpoint(&settings.endpoint)?;
        let mut of_creations = HeaderMap::new();
        if let Some(owner) = &settings.owner {
            let refuse = |reason: String| SettingsError::Owner {
                owner: owner.clone(),
                reason,
            };
            let valid: Owner = owner
                .parse()
                .map_err(|error: OwnerError| refuse(error.to_string()))?;
            // Not only ASCII: the server reads it as UTF-8.
            let value = HeaderValue::from_bytes(valid.as_str().as_bytes())
                .map_err(|error| refuse(error.to_string()))?;
            of_creations.insert(OWNER_HEADER, value);
        }
        if !settings.adopts {
            of_creations.insert(ADOPT_HEADER, HeaderValue::from_static(NEVER));
        }

        // Fails if the program has already chosen a crypto provider, which is then used.
        _ = rustls::crypto::ring::default_provider().install_default();
        let mut builder = reqwest::Client::builder()
            .user_agent(&settings.user_agent)
            .default_headers(headers)
            .timeout(settings.request_timeout)
            .connect_timeout(CONNECT_TIMEOUT.min(settings.request_timeout))
            // The API never redirects. Following a redirect would send the key to a stranger, and a POST would become a
            // GET.
            .redirect(Policy::none());
        if let Some(path) = &settings.ca_file {
            let refuse = |reason: String| SettingsError::CaFile {
                path: path.clone(),
                reason,
            };
            let pem = fs::read(path).map_err(|error| refuse(error.to_string()))?;
            let certificates = reqwest::Certificate::from_pem_bundle(&pem)
                .map_err(|error| refuse(reason(&error)))?;
            if certificates.is_empty() {
                return Err(refuse("it contains no PEM certificate".to_owned()));
            }
            builder = builder.tls_certs_merge(certificates);
        }
        let http = builder
            .build()
            .map_err(|error| SettingsError::Client(reason(&error)))?;
        Ok(Self {
            transport: Transport::new(http.clone(), settings),
            http,
            base,
            of_creations,
        })
    }

    /// Address of the server, without the slash at its end.
    pub fn endpoint(&self) -> &str {
        self.base.as_str().trim_end_matches('/')
    }

    /// A request for a path below `/api/v1/`.
    pub(crate) fn api(&self, method: Method, path: &[&str]) -> RequestBuilder {
        let path: Vec<&str> = ["api", "v1"]
            .into_iter()
            .chain(path.iter().copied())
            .collect();
        self.request(method, &path)
    }

    /// A request that creates something, below `/api/v1/`.
    pub(crate) fn creation(&self, path: &[&str]) -> RequestBuilder {
        self.api(Method::POST, path)
            .headers(self.of_creations.clone())
    }

    /// A request for any path.
    pub(crate) fn request(&self, method: Method, path: &[&str]) -> RequestBuilder {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        self.http.request(method, url)
    }

    /// Sends a request, with retries, until it is answered or it is time to give up.
    pub(crate) async fn send(&self, builder: RequestBuilder) -> Result<Reply, Error> {
        self.send_or_rehearse(builder, false).await
    }

    /// The same for what may be a dry run: that changes nothing, so it is no more than a question.
    pub(crate) async fn send_or_rehearse(
        &self,
        builder: RequestBuilder,
        dry_run: bool,
    ) -> Result<Reply, Error> {
        let request = self.built(builder)?;
        self.transport.send(request, dry_run).await
    }

    /// The same for a streamed reply. Once it has begun, nothing is retried.
    pub(crate) async fn open(
        &self,
        builder: RequestBuilder,
        dry_run: bool,
    ) -> Result<Stream, Error> {
        let request = self.built(builder)?;
        self.transport.open(request, dry_run).await
    }

    fn built(&self, builder: RequestBuilder) -> Result<Request, Error> {
        builder.build().map_err(|error| {
            Error::Unreachable(Box::new(Unreachable {
                request: self.endpoint().to_owned(),
                attempts: 0,
                elapsed: Duration::ZERO,
                reason: reason(&error),
                hint: "This is a bug in the client.",
                may_have_happened: false,
            }))
        })
    }
}
