//! `GET /metrics`, and the one place where requests are counted.

use std::{sync::Arc, time::Instant};

use axum::{
    extract::{MatchedPath, Request, State},
    http::{Method, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use ipam_shared::error::Code;

use super::{error::Refusal, key, rights};
use crate::{
    app::App,
    metrics::{InFlight, Metrics, TEXT_FORMAT, Watched, WatchedConnections},
};

/// `GET /metrics`: what Prometheus reads. Names of pools are private, so it requires the key unless the operator says
/// otherwise. It answers whatever the state of the database.
pub(super) async fn scrape(State(app): State<App>, request: Request) -> Response {
    if !app.is_metrics_open {
        let may = match key::shown(request.extensions()) {
            // They count what everybody has.
            Ok(who) if who.rights.scope().is_some() => Err(Refusal::new(
                Code::Forbidden,
                "the metrics are about all pools, so they need a token without limits",
            )),
            Ok(who) => rights::require(&request, &who),
            Err(denied) => Err(denied.into()),
        };
        if let Err(refusal) = may {
            return refusal.into_response();
        }
    }
    let watched = app.system().watched().await;
    let watched = watched.as_deref();
    let connections = app.system().connections().pools().map(|(purpose, pool)| {
        let (open, idle) = (pool.size(), pool.num_idle());
        WatchedConnections {
            purpose,
            open,
            idle,
            most: pool.options().get_max_connections(),
        }
    });
    let health = app.system().health().await;
    let text = app.system().metrics().text(&Watched {
        takes_changes: health.writes.is_none(),
        pools: watched.map(|watched| &watched.pools[..]),
        webhooks: watched.map_or(&[], |watched| &watched.webhooks),
        connections: &connections,
        is_restored: app.system().is_restored(),
    });
    let headers = [
        (header::CONTENT_TYPE, TEXT_FORMAT),
        (header::CACHE_CONTROL, "no-store"),
    ];
    (headers, text).into_response()
}

/// A request that is counted, with its outcome, when it ends.
pub(super) struct Counted {
    metrics: Arc<Metrics>,
    in_flight: InFlight,
    start: Instant,
    route: Option<MatchedPath>,
    method: Method,
}

impl Counted {
    pub(super) fn begin(app: &App, request: &Request) -> Self {
        let metrics = Arc::clone(app.system().metrics());
        Self {
            in_flight: metrics.begin_request(),
            metrics,
            start: Instant::now(),
            route: request.extensions().get::<MatchedPath>().cloned(),
            method: request.method().clone(),
        }
    }

    pub(super) fn end(self, response: &Response) {
        let route = self.route.as_ref().map_or("unmatched", MatchedPath::as_str);
        let (status, duration) = (response.status(), self.start.elapsed());
        self.metrics
            .answered(route, known(&self.method), status.as_str(), duration);
        if !self.method.is_safe()
            && let Some(code) = refused(response)
        {
            self.metrics.refused(code);
        }
        drop(self.in_flight);
    }
}

/// Clients can invent methods; a label is one of these.
fn known(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

/// The code of a refusal: the one that came with the reply, else what the status of the original API or of a page means.
fn refused(response: &Response) -> Option<Code> {
    if let Some(code) = response.extensions().get::<Code>() {
        return Some(*code);
    }
    let status = response.status();
    if !status.is_client_error() && !status.is_server_error() {
        return None;
    }
    Some(match status {
        StatusCode::UNAUTHORIZED => Code::Unauthorized,
        StatusCode::FORBIDDEN => Code::Forbidden,
        StatusCode::NOT_FOUND => Code::NotFound,
        StatusCode::METHOD_NOT_ALLOWED => Code::MethodNotAllowed,
        StatusCode::PAYLOAD_TOO_LARGE => Code::BodyTooLarge,
        StatusCode::UNSUPPORTED_MEDIA_TYPE => Code::UnsupportedMediaType,
        StatusCode::SERVICE_UNAVAILABLE => Code::Unavailable,
        status if status.is_server_error() => Code::Internal,
        _ => Code::InvalidRequest,
    })
}
