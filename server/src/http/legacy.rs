//! The original API, at the root, for the scripts and clients that exist.
//!
//! It translates to the same domain calls as `/api/v1` and has no rules of its own but the original's bounds. What it
//! accepts and answers was recorded from the original: do not tidy it up. Not everything can be told in it; whatever
//! the original did not know, such as profiles, is simply not shown.

mod ask;
mod lenient;
mod reply;

use std::ops::RangeInclusive;

use axum::{
    Extension, Json, Router,
    body::Bytes,
    extract::{
        FromRequestParts, Path, Query, Request, State,
        rejection::{BytesRejection, PathRejection},
    },
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{delete, get, post, put},
};
use http::{HeaderMap, StatusCode, Uri, header::LOCATION, request::Parts};
use ipam_shared::{
    api::{
        IDEMPOTENCY_HEADER,
        allocation::{Allocation, AllocationPatch, Block},
        profile::{CGNAT, CGNAT_OFFSET, MAX_PREFIX_LENGTH, MIN_PREFIX_LENGTH, PRIMARY},
    },
    cidr::{Family, RESERVED_ADDRESSES, prefix_length_for_hosts},
    name::Name,
};
use serde_json::{Map, Value};

use self::{
    ask::{Ask, check_hosts, name},
    lenient::Faults,
    reply::{Allocated, Deleted, Item, List, Moved, Refusal, Sizes, size, timestamp},
};
use super::{admission, key, request_id::RequestId};
use crate::{
    app::App,
    auth::Denied,
    db,
    domain::{Caller, allocation::Outcome},
    error::Error,
};

const ANY: RangeInclusive<i128> = i128::MIN..=i128::MAX;

/// Every route of the original but its page, its documentation and its probes.
pub fn routes(app: &App) -> Router<App> {
    Router::new()
        .route("/allocate", post(allocate))
        .route("/allocations", get(list))
        .route("/allocations/{id}", put(move_to_vpc).delete(release))
        .route("/vpcs/{name}", delete(delete_vpc))
        .route("/calculate", get(calculate))
        .layer(middleware::from_fn_with_state(app.clone(), admit))
}

/// A place for each request of somebody who is known.
async fn admit(State(app): State<App>, request: Request, next: Next) -> Response {
    let _place = match key::shown(request.extensions()) {
        Ok(_) => match admission::admit(&app, &request).await {
            Ok(place) => place,
            Err(error) => return refuse(error),
        },
        Err(_) => None,
    };
    next.run(request).await
}

/// What is not there, for everything outside of `/api`. A slash too many is redirected, as it was.
pub async fn not_found(uri: Uri) -> Response {
    let fixed = [
        "/allocate",
        "/allocations",
        "/calculate",
        "/healthz",
        "/readyz",
    ];
    let route = uri.path().strip_suffix('/').filter(|route| {
        fixed.contains(route) || route.starts_with("/allocations/") || route.starts_with("/vpcs/")
    });
    match (route, uri.query()) {
        (Some(route), None) => (
            StatusCode::TEMPORARY_REDIRECT,
            [(LOCATION, route.to_owned())],
        )
            .into_response(),
        (Some(route), Some(query)) => (
            StatusCode::TEMPORARY_REDIRECT,
            [(LOCATION, format!("{route}?{query}"))],
        )
            .into_response(),
        (None, _) => Refusal::Detail(StatusCode::NOT_FOUND, "Not Found").into_response(),
    }
}

/// A refusal before a request is looked at.
pub(super) fn refuse(error: Error) -> Response {
    Refusal::from(error).into_response()
}

/// A known path with a method that it does not have.
pub async fn method_not_allowed() -> Response {
    Refusal::Detail(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed").into_response()
}

/// Whoever showed a valid key. The key is looked at before anything else of the request is.
struct Keyed(Caller);

impl FromRequestParts<App> for Keyed {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Refusal> {
        let Extension(RequestId(request_id)) = Extension::from_request_parts(parts, app)
            .await
            .map_err(|_| Error::bug("a request without an id"))?;
        match key::shown(&parts.extensions) {
            Ok(actor) => Ok(Self(Caller {
                actor: actor.to_owned(),
                request_id,
            })),
            Err(Denied::Missing) => {
                let mut faults = Faults::default();
                faults.add(&["header", "X-API-Key"], Value::Null, lenient::missing());
                Err(Refusal::Faults(faults.0))
            }
            Err(Denied::Wrong) => Err(Refusal::coded(
                StatusCode::UNAUTHORIZED,
                "UNAUTHORIZED",
                "Invalid API Key",
            )),
        }
    }
}

type Pairs = Query<Vec<(String, String)>>;
type Body = Result<Bytes, BytesRejection>;

/// The last of equal keys counts.
fn last<'a>(query: &'a Pairs, key: &str) -> Option<&'a str> {
    query
        .0
        .iter()
        .rev()
        .find(|(name, _)| name == key)
        .map(|(_, value)| value.as_str())
}

fn read_body(
    faults: &mut Faults,
    headers: &HeaderMap,
    body: Body,
) -> Result<Option<Map<String, Value>>, Refusal> {
    let bytes = body.map_err(|error| Refusal::Detail(error.status(), "The body can't be read"))?;
    faults.body(headers, &bytes)
}

/// A number in the path. One that no allocation has is simply not found, whatever its size.
fn read_id(
    faults: &mut Faults,
    path: Result<Path<String>, PathRejection>,
) -> Result<Option<i128>, Refusal> {
    let Path(text) = path.map_err(|_| Refusal::Detail(StatusCode::NOT_FOUND, "Not Found"))?;
    Ok(faults.integer_text(&["path", "allocation_id"], &text, &ANY))
}

async fn allocate(
    State(app): State<App>,
    Keyed(caller): Keyed,
    query: Pairs,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Allocated>, Refusal> {
    let mut faults = Faults::default();
    let dry_run =
        last(&query, "dry_run").and_then(|text| faults.boolean_text(&["query", "dry_run"], text));
    let body = read_body(&mut faults, &headers, body)?;
    let ask = body.as_ref().and_then(|body| Ask::read(&mut faults, body));
    faults.refuse()?;
    let ask = ask.ok_or_else(|| Error::bug("a body without faults"))?;

    let new = ask.request(dry_run.unwrap_or_default())?;
    let vpc = new.vpc.to_string();
    let key = headers
        .get(IDEMPOTENCY_HEADER)
        .map(|key| String::from_utf8_lossy(key.as_bytes()).into_owned());
    let dry_run = new.dry_run;
    let Outcome {
        allocation,
        request_id,
        ..
    } = app.ipam.allocate(caller, new, key).await?;

    let (primary, cgnat) = pair(&allocation)?;
    Ok(Json(Allocated {
        ok: true,
        dry_run: dry_run.then_some(true),
        allocation_id: (!dry_run).then_some(allocation.number),
        vpc,
        primary_cidr: primary.cidr,
        cgnat_cidr: cgnat.cidr,
        primary_subnet_size: size_of(primary),
        cgnat_subnet_size: size_of(cgnat),
        usable_primary: usable(primary),
        usable_cgnat: usable(cgnat),
        requested_hosts: allocation.requested_hosts,
        requested_prefix: allocation.requested_prefix_length,
        request_id: (!dry_run).then(|| request_id.simple().to_string()),
        labels: allocation.labels,
    }))
}

fn pair(allocation: &Allocation) -> Result<(&Block, &Block), Error> {
    let block = |role| {
        allocation
            .block(role)
            .ok_or_else(|| Error::bug(format!("{} has no {role} block", allocation.id)))
    };
    Ok((block(PRIMARY)?, block(CGNAT)?))
}

fn size_of(block: &Block) -> String {
    size(block.cidr.prefix_length())
}

fn usable(block: &Block) -> u64 {
    u64::try_from(block.usable).unwrap_or(u64::MAX)
}

async fn list(State(app): State<App>, _: Keyed, query: Pairs) -> Result<Json<List>, Refusal> {
    let mut faults = Faults::default();
    let mut number = |key, default, bounds: RangeInclusive<i128>| match last(&query, key) {
        Some(text) => faults.integer_text(&["query", key], text, &bounds),
        None => Some(default),
    };
    let limit = number("limit", 50, 1..=100);
    let offset = number("offset", 0, 0..=i128::MAX);
    faults.refuse()?;
    let (limit, offset) = (limit.unwrap_or_default(), offset.unwrap_or_default());
    let at_most = |number| i64::try_from(number).unwrap_or(i64::MAX);

    let vpc = last(&query, "vpc")
        .filter(|vpc| !vpc.is_empty())
        .map(str::trim);
    // What is no name has no VPC.
    let (total_count, found) = match vpc.map(str::parse::<Name>).transpose() {
        Err(_) => (0, Vec::new()),
        Ok(vpc) => {
            let mut db = app.ipam.read().await?;
            let vpc = vpc.as_ref().map(Name::as_str);
            let roles = (PRIMARY, CGNAT);
            let (total, ids) =
                db::legacy::page(&mut db, roles, vpc, at_most(limit), at_most(offset)).await?;
            (total, db::allocation::load(&mut db, &ids).await?)
        }
    };
    let items = found.into_iter().map(|(allocation, request_id)| {
        let (primary, cgnat) = pair(&allocation)?;
        Ok(Item {
            vpc: allocation.vpc.to_string(),
            allocation_id: allocation.number,
            primary_cidr: primary.cidr,
            usable_primary: usable(primary),
            cgnat_cidr: cgnat.cidr,
            usable_cgnat: usable(cgnat),
            requested_hosts: allocation.requested_hosts,
            requested_prefix: allocation.requested_prefix_length,
            request_id,
            created_at: timestamp(allocation.created_at)?,
            labels: allocation.labels,
        })
    });
    let items = items.collect::<Result<_, Error>>()?;
    Ok(Json(List {
        total_count,
        limit: at_most(limit),
        offset,
        items,
    }))
}

async fn move_to_vpc(
    State(app): State<App>,
    Keyed(caller): Keyed,
    path: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Moved>, Refusal> {
    let mut faults = Faults::default();
    let number = read_id(&mut faults, path)?;
    let body = read_body(&mut faults, &headers, body)?;
    let text = body
        .as_ref()
        .and_then(|body| faults.required_text(body, "new_vpc_name"));
    if text.as_ref().is_some_and(String::is_empty) {
        faults.add(
            &["body", "new_vpc_name"],
            Value::String(String::new()),
            lenient::too_short(),
        );
    }
    faults.refuse()?;
    let (Some(number), Some(text)) = (number, text) else {
        return Err(Error::bug("a body without faults").into());
    };
    if text.trim().is_empty() {
        return Err(Refusal::bad_request("new_vpc_name is required"));
    }
    let vpc = name(&text)?;
    let new_vpc_name = vpc.to_string();
    let key = i64::try_from(number).map_err(|_| Refusal::no_allocation(number))?;
    let id = app
        .ipam
        .id_of_number(key)
        .await
        .map_err(|error| gone(number, error))?;
    let patch = AllocationPatch {
        vpc: Some(vpc),
        ..AllocationPatch::default()
    };
    app.ipam
        .update(caller, id, patch, None)
        .await
        .map_err(|error| gone(number, error))?;
    Ok(Json(Moved {
        ok: true,
        allocation_id: key,
        new_vpc_name,
    }))
}

async fn release(
    State(app): State<App>,
    Keyed(caller): Keyed,
    path: Result<Path<String>, PathRejection>,
) -> Result<Json<Deleted>, Refusal> {
    let mut faults = Faults::default();
    let number = read_id(&mut faults, path)?;
    faults.refuse()?;
    let number = number.ok_or_else(|| Error::bug("a path without faults"))?;
    let key = i64::try_from(number).map_err(|_| Refusal::no_allocation(number))?;
    let id = app
        .ipam
        .id_of_number(key)
        .await
        .map_err(|error| gone(number, error))?;
    app.ipam
        .release(caller, id, None)
        .await
        .map_err(|error| gone(number, error))?;
    Ok(Json(Deleted {
        ok: true,
        deleted: true,
    }))
}

/// The original did not tell what was deleted from what never was.
fn gone(number: i128, error: Error) -> Refusal {
    match error {
        Error::NotFound(_) | Error::Gone { .. } => Refusal::no_allocation(number),
        other => other.into(),
    }
}

async fn delete_vpc(
    State(app): State<App>,
    Keyed(caller): Keyed,
    path: Result<Path<Name>, PathRejection>,
) -> Result<Json<Deleted>, Refusal> {
    let deleted = |deleted| Ok(Json(Deleted { ok: true, deleted }));
    // What is no name has no VPC. White space is not cut off: what was not named exactly is not deleted.
    let Ok(Path(name)) = path else {
        return deleted(false);
    };
    let found = db::vpc::find_id(&mut app.ipam.read().await?, None, name.as_str()).await?;
    let Some(id) = found else {
        return deleted(false);
    };
    match app.ipam.delete_vpc(caller, id, true, None).await {
        Ok(_) => deleted(true),
        // Somebody else was faster.
        Err(Error::NotFound(_)) => deleted(false),
        Err(error) => Err(error.into()),
    }
}

async fn calculate(_: Keyed, query: Pairs) -> Result<Json<Sizes>, Refusal> {
    let mut faults = Faults::default();
    let mut number =
        |key| last(&query, key).and_then(|text| faults.integer_text(&["query", key], text, &ANY));
    let (hosts, prefix_length) = (number("hosts"), number("prefix_length"));
    faults.refuse()?;
    let shortest = CGNAT_OFFSET.unsigned_abs();
    let longest = Family::Ipv4.bits();
    match (hosts, prefix_length) {
        (Some(_), Some(_)) => Err(Refusal::bad_request(
            "Specify either hosts or prefix_length, not both",
        )),
        (None, None) => Err(Refusal::bad_request(
            "Must specify either hosts or prefix_length",
        )),
        (Some(hosts), None) => {
            let hosts = check_hosts(hosts)?;
            let length = prefix_length_for_hosts(Family::Ipv4, hosts, RESERVED_ADDRESSES)
                .unwrap_or(MIN_PREFIX_LENGTH);
            Ok(Json(Sizes::new(
                Some(hosts),
                length.clamp(MIN_PREFIX_LENGTH, MAX_PREFIX_LENGTH),
            )))
        }
        (None, Some(length)) if length < shortest.into() => Err(Refusal::coded(
            StatusCode::BAD_REQUEST,
            "BAD_POLICY",
            "Computed CGNAT prefix invalid",
        )),
        (None, Some(length)) => match u8::try_from(length) {
            Ok(length) if length <= longest => Ok(Json(Sizes::new(None, length))),
            _ => Err(Refusal::bad_request(format!(
                "prefix_length must be between {shortest} and {longest}"
            ))),
        },
    }
}
