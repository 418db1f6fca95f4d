//! One request and its reply: authentication, repeating, and telling an ipam server's answer from anybody else's.

use std::{error::Error as StdError, fs, io, sync::Arc, time::Duration};

use ipam_shared::{
    api::{
        allocation::AllocationFilter,
        ownership::{ADOPT_HEADER, NEVER, OWNER_HEADER, Owner, OwnerError},
    },
    error::{Code, Problem},
};
use reqwest::{
    Method, Request, RequestBuilder, Response, StatusCode, Url,
    header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, LOCATION, RETRY_AFTER},
    redirect::Policy,
};
use serde::de::DeserializeOwned;
use tokio::time::{Instant, sleep};

use crate::{
    error::{Error, NotIpam, Refusal, Unreachable},
    retry::{Outage, delay},
    settings::{Settings, SettingsError, parse_endpoint},
};

/// Every reply of the server carries it, whatever the route.
const REQUEST_ID: &str = "x-request-id";
/// Far beyond the largest page; a reply that is longer is not ours.
const LONGEST_REPLY: usize = 64 << 20;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A client of one server. Cheap to clone; the clones share connections.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    base: Url,
    retry_timeout: Duration,
    read_retry_timeout: Duration,
    outage: Arc<Outage>,
    /// What creations carry beside their body.
    of_creations: HeaderMap,
}

/// A reply with a 2xx status.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    /// Whether an earlier attempt may already have done what was asked.
    pub(crate) repeated: bool,
    request: String,
    body: Vec<u8>,
    attempts: u32,
    elapsed: Duration,
    changes: bool,
}

impl Client {
    /// Checks the settings; sends nothing.
    pub fn new(settings: &Settings) -> Result<Self, SettingsError> {
        let base = parse_endpoint(&settings.endpoint)?;
        let key = settings.api_key.expose();
        let mut authorization =
            HeaderValue::from_str(&format!("Bearer {key}")).map_err(|_| SettingsError::ApiKey)?;
        if key.is_empty() {
            return Err(SettingsError::ApiKey);
        }
        authorization.set_sensitive(true);
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

        // Fails when the program has chosen a provider before, which is then used.
        _ = rustls::crypto::ring::default_provider().install_default();
        let mut builder = reqwest::Client::builder()
            .user_agent(&settings.user_agent)
            .default_headers(HeaderMap::from_iter([(AUTHORIZATION, authorization)]))
            .timeout(settings.request_timeout)
            .connect_timeout(CONNECT_TIMEOUT.min(settings.request_timeout))
            // The API redirects nowhere. Following one would carry the key to a stranger, and a POST would become a GET.
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
        Ok(Self {
            http: builder
                .build()
                .map_err(|error| SettingsError::Client(reason(&error)))?,
            base,
            retry_timeout: settings.retry_timeout,
            read_retry_timeout: settings.read_retry_timeout,
            outage: Arc::default(),
            of_creations,
        })
    }

    /// Address of the server, without the slash at its end.
    pub fn endpoint(&self) -> &str {
        self.base.as_str().trim_end_matches('/')
    }

    /// Whether the server is there and can reach its database.
    pub async fn ready(&self) -> Result<(), Error> {
        let reply = self.send(self.request(Method::GET, &["readyz"])).await?;
        reply.json::<serde_json::Value>().map(drop)
    }

    /// Whether an ipam server is there and knows the key.
    pub async fn check(&self) -> Result<(), Error> {
        let filter = AllocationFilter {
            limit: Some(1),
            ..AllocationFilter::default()
        };
        match self.list_allocations(&filter).await {
            // The key is known, it just may not list.
            Err(error) if error.code() == Some(Code::Forbidden) => Ok(()),
            result => result.map(drop),
        }
    }

    /// A request for a path below `/api/v1/`.
    pub(crate) fn api(&self, method: Method, path: &[&str]) -> RequestBuilder {
        let path: Vec<&str> = ["api", "v1"]
            .into_iter()
            .chain(path.iter().copied())
            .collect();
        self.request(method, &path)
    }

    /// A request that makes something, below `/api/v1/`.
    pub(crate) fn creation(&self, path: &[&str]) -> RequestBuilder {
        self.api(Method::POST, path)
            .headers(self.of_creations.clone())
    }

    fn request(&self, method: Method, path: &[&str]) -> RequestBuilder {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        self.http.request(method, url)
    }

    /// Sends a request, again if need be, until it is answered or it is time to give up.
    pub(crate) async fn send(&self, builder: RequestBuilder) -> Result<Reply, Error> {
        let (answer, state) = self.exchange(builder, true).await?;
        match answer {
            Answer::Whole(reply) => Ok(reply),
            Answer::Begun(_) => Err(state.broken("only a part of the reply was read".to_owned())),
        }
    }

    /// The same for a reply that is read piece by piece. Once it has begun, nothing is repeated.
    pub(crate) async fn open(&self, builder: RequestBuilder) -> Result<Stream, Error> {
        let (answer, state) = self.exchange(builder, false).await?;
        match answer {
            Answer::Begun(response) => Ok(Stream { response, state }),
            Answer::Whole(_) => Err(state.broken("the reply was read as a whole".to_owned())),
        }
    }

    async fn exchange(
        &self,
        builder: RequestBuilder,
        whole: bool,
    ) -> Result<(Answer, Attempts), Error> {
        let request = builder.build().map_err(|error| {
            Error::Unreachable(Box::new(Unreachable {
                request: self.endpoint().to_owned(),
                attempts: 0,
                elapsed: Duration::ZERO,
                reason: reason(&error),
                hint: "This is a bug of the client.",
                may_have_happened: false,
            }))
        })?;
        let mut state = Attempts {
            request: format!("{} {}", request.method(), address(request.url())),
            changes: request.method() != Method::GET,
            began: Instant::now(),
            count: 0,
            may_have_happened: false,
        };
        let patience = if state.changes {
            self.retry_timeout
        } else {
            self.read_retry_timeout
        };
        loop {
            state.count += 1;
            let attempt_began = Instant::now();
            // Bodies are bytes in memory, so the clone always succeeds.
            let copy = request
                .try_clone()
                .unwrap_or_else(|| Request::new(request.method().clone(), request.url().clone()));
            let failure = match self.attempt(copy, &state, whole).await {
                Ok(answer) => {
                    self.outage.over();
                    tracing::debug!(
                        request = state.request,
                        attempt = state.count,
                        status = answer.status().as_u16(),
                        milliseconds = attempt_began.elapsed().as_millis(),
                        "request answered"
                    );
                    return Ok((answer, state));
                }
                Err(failure) => failure,
            };
            tracing::debug!(request = state.request, attempt = state.count, error = %failure.error, "request failed");
            let Some(again) = failure.again else {
                self.outage.over();
                return Err(failure.error);
            };
            state.may_have_happened |= again.may_have_happened;
            let give_up = self.outage.seen(attempt_began).min(state.began) + patience;
            let wait = delay(state.count, again.after);
            if Instant::now() + wait >= give_up {
                return Err(failure.error);
            }
            sleep(wait).await;
        }
    }

    async fn attempt(
        &self,
        request: Request,
        state: &Attempts,
        whole: bool,
    ) -> Result<Answer, Failure> {
        let response = self
            .http
            .execute(request)
            .await
            .map_err(|error| state.lost(&error))?;
        let status = response.status();
        let headers = response.headers().clone();
        if !whole && status.is_success() && headers.contains_key(REQUEST_ID) {
            return Ok(Answer::Begun(response));
        }
        let body = read_body(response)
            .await
            .map_err(|error| state.lost(&error))?;
        let Some(body) = body else {
            let again = again(status, &headers, None);
            return Err(state.not_ipam(status, "it is too long".to_owned(), again));
        };
        if status.is_success() {
            if !headers.contains_key(REQUEST_ID) {
                let reason = format!("it has no {REQUEST_ID} header{}", excerpt(&headers, &body));
                return Err(state.not_ipam(status, reason, None));
            }
            return Ok(Answer::Whole(Reply {
                status,
                repeated: state.may_have_happened,
                request: state.request.clone(),
                body,
                attempts: state.count,
                elapsed: state.began.elapsed(),
                changes: state.changes,
            }));
        }
        let problem = serde_json::from_slice::<Problem>(&body).ok();
        let problem = problem.filter(|problem| problem.status == status.as_u16());
        let again = again(
            status,
            &headers,
            problem.as_ref().map(|problem| problem.code),
        );
        match problem {
            Some(problem) => Err(Failure {
                error: Error::Refused(Box::new(Refusal {
                    problem,
                    attempts: state.count,
                    elapsed: state.began.elapsed(),
                    repeated: state.may_have_happened,
                })),
                again,
            }),
            None => {
                let reason = match headers.get(LOCATION).and_then(|to| to.to_str().ok()) {
                    Some(to) if status.is_redirection() => format!("it points to {to}"),
                    _ => format!(
                        "it is not a problem description{}",
                        excerpt(&headers, &body)
                    ),
                };
                Err(state.not_ipam(status, reason, again))
            }
        }
    }
}

impl Reply {
    /// The body as `T`, or the error that it is not one.
    pub(crate) fn json<T: DeserializeOwned>(&self) -> Result<T, Error> {
        serde_json::from_slice(&self.body).map_err(|error| self.unbelievable(error.to_string()))
    }

    /// The error that the body says what can't be.
    pub(crate) fn unbelievable(&self, reason: String) -> Error {
        Error::NotIpam(Box::new(NotIpam {
            request: self.request.clone(),
            status: self.status.as_u16(),
            reason,
            attempts: self.attempts,
            elapsed: self.elapsed,
            may_have_happened: self.changes,
        }))
    }
}

/// A 2xx reply, or the beginning of one.
enum Answer {
    Whole(Reply),
    Begun(Response),
}

impl Answer {
    fn status(&self) -> StatusCode {
        match self {
            Self::Whole(reply) => reply.status,
            Self::Begun(response) => response.status(),
        }
    }
}

/// A reply with a 2xx status that is read piece by piece.
#[derive(Debug)]
pub(crate) struct Stream {
    response: Response,
    state: Attempts,
}

impl Stream {
    /// The next piece; none at the end.
    pub(crate) async fn next(&mut self) -> Result<Option<impl AsRef<[u8]> + use<>>, Error> {
        self.response
            .chunk()
            .await
            .map_err(|error| self.state.lost(&error).error)
    }

    /// The error that the reply ended without saying what it had to.
    pub(crate) fn broken(&self, reason: String) -> Error {
        self.state.broken(reason)
    }

    /// The error that the server refused, after its reply had begun.
    pub(crate) fn refused(&self, problem: Problem) -> Error {
        Error::Refused(Box::new(Refusal {
            problem,
            attempts: self.state.count,
            elapsed: self.state.began.elapsed(),
            repeated: self.state.may_have_happened,
        }))
    }
}

/// A request on its way.
#[derive(Debug)]
struct Attempts {
    request: String,
    changes: bool,
    began: Instant,
    count: u32,
    may_have_happened: bool,
}

/// An attempt that failed, and whether another may succeed.
struct Failure {
    error: Error,
    again: Option<Again>,
}

struct Again {
    after: Option<Duration>,
    may_have_happened: bool,
}

impl Attempts {
    fn lost(&self, error: &reqwest::Error) -> Failure {
        let (hint, final_) = diagnose(error);
        let may_have_happened = !error.is_connect();
        Failure {
            error: Error::Unreachable(Box::new(Unreachable {
                request: self.request.clone(),
                attempts: self.count,
                elapsed: self.began.elapsed(),
                reason: reason(error),
                hint,
                may_have_happened: self.changes && (self.may_have_happened || may_have_happened),
            })),
            again: (!final_).then_some(Again {
                after: None,
                may_have_happened,
            }),
        }
    }

    fn broken(&self, reason: String) -> Error {
        Error::Unreachable(Box::new(Unreachable {
            request: self.request.clone(),
            attempts: self.count,
            elapsed: self.began.elapsed(),
            reason,
            hint: "Check that nothing between here and the server ends connections that take long.",
            may_have_happened: self.changes,
        }))
    }

    fn not_ipam(&self, status: StatusCode, reason: String, again: Option<Again>) -> Failure {
        Failure {
            error: Error::NotIpam(Box::new(NotIpam {
                request: self.request.clone(),
                status: status.as_u16(),
                reason,
                attempts: self.count,
                elapsed: self.began.elapsed(),
                may_have_happened: self.changes,
            })),
            again,
        }
    }
}

/// Whether a request that was answered so may succeed later.
fn again(status: StatusCode, headers: &HeaderMap, code: Option<Code>) -> Option<Again> {
    let again = Again {
        after: retry_after(headers),
        // Who asks for too much is told so before anything is begun.
        may_have_happened: status != StatusCode::TOO_MANY_REQUESTS,
    };
    match code {
        // Only an operator can end that.
        Some(Code::Restored) => None,
        // Nothing was begun. The header is in whole seconds, for those who know nothing better; an overloaded server
        // has a place again within milliseconds, and intervals that grow find it.
        Some(Code::Overloaded) => Some(Again {
            after: None,
            may_have_happened: false,
        }),
        _ => matches!(status.as_u16(), 429 | 502 | 503 | 504).then_some(again),
    }
}

/// The body, or nothing if it is longer than any of ours.
async fn read_body(mut response: Response) -> Result<Option<Vec<u8>>, reqwest::Error> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > LONGEST_REPLY {
            return Ok(None);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Some(body))
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers
        .get(RETRY_AFTER)?
        .to_str()
        .ok()?
        .trim()
        .parse()
        .ok()?;
    Some(Duration::from_secs(seconds))
}

/// Address without the query, which is long and says little.
fn address(url: &Url) -> &str {
    let text = url.as_str();
    text.split_once('?').map_or(text, |(address, _)| address)
}

/// The beginning of a foreign body, so that people recognise who answered.
fn excerpt(headers: &HeaderMap, body: &[u8]) -> String {
    let kind = headers
        .get(CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok())
        .unwrap_or("no content type");
    let text = String::from_utf8_lossy(&body[..body.len().min(400)]);
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let text: String = text.chars().filter(|c| !c.is_control()).take(120).collect();
    format!(" ({kind}: \"{text}\")")
}

/// The innermost cause says what happened; the outer ones say that something did.
fn reason(error: &reqwest::Error) -> String {
    if error.is_timeout() && !error.is_connect() {
        return "it took too long".to_owned();
    }
    causes(error)
        .last()
        .map_or_else(|| "unknown".to_owned(), ToString::to_string)
}

fn causes<'a>(
    error: &'a (dyn StdError + 'static),
) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |&error| {
        match error.downcast_ref::<io::Error>() {
            // What an io::Error wraps is its own message, not its source.
            Some(io) => io.get_ref().map(|inner| inner as &(dyn StdError + 'static)),
            None => error.source(),
        }
    })
}

/// What to check, and whether trying again is pointless.
fn diagnose(error: &reqwest::Error) -> (&'static str, bool) {
    let tls = causes(error).find_map(|cause| cause.downcast_ref::<rustls::Error>());
    match tls {
        Some(rustls::Error::InvalidCertificate(_)) => (
            "The server's certificate is not trusted: name the file of its certificate authority as the CA file.",
            true,
        ),
        Some(rustls::Error::InvalidMessage(_)) => (
            "The server does not seem to speak TLS there: check whether the endpoint should begin with http://.",
            true,
        ),
        _ => (
            "Check that the server is running, that the endpoint is its address and that nothing is blocking the way.",
            false,
        ),
    }
}
