//! What each request of the original API does.

use std::ops::RangeInclusive;

use axum::{
    Json,
    extract::{Path, State, rejection::PathRejection},
};
use http::{HeaderMap, StatusCode};
use ipam_shared::{
    api::{
        IDEMPOTENCY_HEADER,
        allocation::{Allocation, AllocationPatch, Block},
        profile::{CGNAT, CGNAT_OFFSET, MAX_PREFIX_LENGTH, MIN_PREFIX_LENGTH, PRIMARY},
    },
    cidr::{Family, RESERVED_ADDRESSES, prefix_length_for_hosts},
    name::Name,
};
use serde_json::Value;

use super::{
    ANY, Body, Keyed, Pairs,
    ask::{Ask, check_hosts, name},
    last,
    lenient::{self, Faults},
    read_body, read_id,
    reply::{Allocated, Deleted, Item, List, Moved, Refusal, Sizes, size, timestamp},
};
use crate::{app::App, db, domain::allocation::Outcome, error::Error};

pub(super) async fn allocate(
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
    } = app.ipam(&caller).allocate(caller, new, key).await?;

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

pub(super) async fn list(
    State(app): State<App>,
    Keyed(caller): Keyed,
    query: Pairs,
) -> Result<Json<List>, Refusal> {
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
    // An invalid name has no VPC.
    let (total_count, found) = match vpc.map(str::parse::<Name>).transpose() {
        Err(_) => (0, Vec::new()),
        Ok(vpc) => {
            let mut db = app.ipam(&caller).read().await?;
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

pub(super) async fn move_to_vpc(
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
        .ipam(&caller)
        .id_of_number(key)
        .await
        .map_err(|error| gone(number, error))?;
    let patch = AllocationPatch {
        vpc: Some(vpc),
        ..AllocationPatch::default()
    };
    app.ipam(&caller)
        .update(caller, id, patch, None)
        .await
        .map_err(|error| gone(number, error))?;
    Ok(Json(Moved {
        ok: true,
        allocation_id: key,
        new_vpc_name,
    }))
}

pub(super) async fn release(
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
        .ipam(&caller)
        .id_of_number(key)
        .await
        .map_err(|error| gone(number, error))?;
    app.ipam(&caller)
        .release(caller, id, None)
        .await
        .map_err(|error| gone(number, error))?;
    Ok(Json(Deleted {
        ok: true,
        deleted: true,
    }))
}

/// The original did not distinguish deleted from unknown.
fn gone(number: i128, error: Error) -> Refusal {
    match error {
        Error::NotFound(_) | Error::Gone { .. } => Refusal::no_allocation(number),
        other => other.into(),
    }
}

pub(super) async fn delete_vpc(
    State(app): State<App>,
    Keyed(caller): Keyed,
    path: Result<Path<Name>, PathRejection>,
) -> Result<Json<Deleted>, Refusal> {
    let deleted = |deleted| Ok(Json(Deleted { ok: true, deleted }));
    // An invalid name has no VPC. Whitespace is not trimmed: what was not named exactly is not deleted.
    let Ok(Path(name)) = path else {
        return deleted(false);
    };
    let found = db::vpc::find_id(&mut app.ipam(&caller).read().await?, None, name.as_str()).await?;
    let Some(id) = found else {
        return deleted(false);
    };
    match app.ipam(&caller).delete_vpc(caller, id, true, None).await {
        Ok(_) => deleted(true),
        // Another request was faster.
        Err(Error::NotFound(_)) => deleted(false),
        Err(error) => Err(error.into()),
    }
}

pub(super) async fn calculate(_: Keyed, query: Pairs) -> Result<Json<Sizes>, Refusal> {
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
