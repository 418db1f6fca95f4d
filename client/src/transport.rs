//! One request and its reply: retries, and distinguishing an ipam server's answer from anything else.

use std::{sync::Arc, time::Duration};

use ipam_shared::error::Problem;
use reqwest::{
    Method, Request, Response, Url,
    header::{CONTENT_TYPE, HeaderMap, LOCATION},
};
use tokio::time::{Instant, sleep};

use crate::{
    attempts::{Attempts, Failure, again},
    error::{Error, Refusal},
    reply::{Answer, Reply, Stream},
    retry::{Outage, delay},
    settings::Settings,
};

/// Every reply of the server carries it, whatever the route.
const REQUEST_ID: &str = "x-request-id";

/// Far beyond the largest page; a longer reply does not come from an ipam server.
const LONGEST_REPLY: usize = 64 << 20;

/// The transport to one server. Clones share connections, and what they know of an outage.
#[derive(Clone, Debug)]
pub(crate) struct Transport {
    http: reqwest::Client,
    retry_timeout: Duration,
    read_retry_timeout: Duration,
    outage: Arc<Outage>,
}

impl Transport {
    /// With the connections of `http`, and the timeouts of the settings.
    pub(crate) fn new(http: reqwest::Client, settings: &Settings) -> Self {
        Self {
            http,
            retry_timeout: settings.retry_timeout,
            read_retry_timeout: settings.read_retry_timeout,
            outage: Arc::default(),
        }
    }

    /// Sends a request, with retries, until it is answered or it is time to give up.
    pub(crate) async fn send(&self, request: Request, dry_run: bool) -> Result<Reply, Error> {
        let (answer, state) = self.exchange(request, dry_run, true).await?;
        match answer {
            Answer::Whole(reply) => Ok(reply),
            Answer::Begun(_) => Err(state.broken("only a part of the reply was read".to_owned())),
        }
    }

    /// The same for a streamed reply. Once it has begun, nothing is retried.
    pub(crate) async fn open(&self, request: Request, dry_run: bool) -> Result<Stream, Error> {
        let (answer, state) = self.exchange(request, dry_run, false).await?;
        match answer {
            Answer::Begun(response) => Ok(Stream { response, state }),
            Answer::Whole(_) => Err(state.broken("the reply was read as a whole".to_owned())),
        }
    }

    async fn exchange(
        &self,
        request: Request,
        dry_run: bool,
        whole: bool,
    ) -> Result<(Answer, Attempts), Error> {
        let mut state = Attempts {
            request: format!("{} {}", request.method(), address(request.url())),
            changes: !dry_run && request.method() != Method::GET,
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
            // A server that limits its callers is well, and each request waits for itself.
            let failing_since = if again.is_limit {
                self.outage.over();
                state.began
            } else {
                self.outage.seen(attempt_began).min(state.began)
            };
            let give_up = failing_since + patience;
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

/// The body, or nothing if it is longer than any that an ipam server sends.
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

/// Address without the query, which is long and of little use.
fn address(url: &Url) -> &str {
    let text = url.as_str();
    text.split_once('?').map_or(text, |(address, _)| address)
}

/// The beginning of a foreign body, so that people recognise what answered.
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
