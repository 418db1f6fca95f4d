//! What each route needs: one table, from which requests are refused and the document is completed. A route that is not in
//! it is refused to everybody.

use std::{collections::HashMap, sync::LazyLock};

use axum::{
    extract::{MatchedPath, Request},
    http::Method,
};
use ipam_shared::error::Code;
use serde_json::{Value, json};

use super::error::Refusal;
use crate::{
    domain::token::Principal,
    rights::Right::{self, Administer, Allocate, Any, Audit, Metrics, Operate, Plan, Read},
};

/// Method, path, and what a request needs. What is a dry run needs only [`Plan`]: the domain refuses others that have no
/// more.
pub const ROUTES: &[(&str, &str, Right)] = &[
    ("GET", "/api/v1/whoami", Any),
    ("POST", "/api/v1/allocations", Plan),
    ("GET", "/api/v1/allocations", Read),
    ("POST", "/api/v1/allocations/batch", Plan),
    ("GET", "/api/v1/allocations/{id}", Read),
    ("PATCH", "/api/v1/allocations/{id}", Plan),
    ("DELETE", "/api/v1/allocations/{id}", Allocate),
    ("POST", "/api/v1/vpcs", Allocate),
    ("GET", "/api/v1/vpcs", Read),
    ("GET", "/api/v1/vpcs/{vpc}", Read),
    ("PATCH", "/api/v1/vpcs/{vpc}", Allocate),
    ("DELETE", "/api/v1/vpcs/{vpc}", Allocate),
    ("POST", "/api/v1/vrfs", Operate),
    ("GET", "/api/v1/vrfs", Read),
    ("GET", "/api/v1/vrfs/{vrf}", Read),
    ("PATCH", "/api/v1/vrfs/{vrf}", Operate),
    ("DELETE", "/api/v1/vrfs/{vrf}", Operate),
    ("POST", "/api/v1/pools", Operate),
    ("GET", "/api/v1/pools", Read),
    ("GET", "/api/v1/pools/{pool}", Read),
    ("PATCH", "/api/v1/pools/{pool}", Operate),
    ("DELETE", "/api/v1/pools/{pool}", Operate),
    ("GET", "/api/v1/pools/{pool}/free", Read),
    ("GET", "/api/v1/pools/{pool}/map.svg", Read),
    ("GET", "/api/v1/pools/{pool}/map.png", Read),
    ("POST", "/api/v1/profiles", Operate),
    ("GET", "/api/v1/profiles", Read),
    ("GET", "/api/v1/profiles/{profile}", Read),
    ("PATCH", "/api/v1/profiles/{profile}", Operate),
    ("DELETE", "/api/v1/profiles/{profile}", Operate),
    ("POST", "/api/v1/reservations", Operate),
    ("GET", "/api/v1/reservations", Read),
    ("GET", "/api/v1/reservations/{id}", Read),
    ("PATCH", "/api/v1/reservations/{id}", Operate),
    ("DELETE", "/api/v1/reservations/{id}", Operate),
    ("POST", "/api/v1/tokens", Administer),
    ("GET", "/api/v1/tokens", Administer),
    ("GET", "/api/v1/tokens/{token}", Administer),
    ("PATCH", "/api/v1/tokens/{token}", Administer),
    ("DELETE", "/api/v1/tokens/{token}", Administer),
    ("POST", "/api/v1/webhooks", Administer),
    ("GET", "/api/v1/webhooks", Audit),
    ("GET", "/api/v1/webhooks/{webhook}", Audit),
    ("PATCH", "/api/v1/webhooks/{webhook}", Administer),
    ("DELETE", "/api/v1/webhooks/{webhook}", Administer),
    ("POST", "/api/v1/webhooks/{webhook}/rotate", Administer),
    ("POST", "/api/v1/webhooks/{webhook}/resume", Administer),
    ("POST", "/api/v1/webhooks/{webhook}/test", Administer),
    // The domain asks for the right to change each thing.
    ("POST", "/api/v1/confirmations", Read),
    ("POST", "/api/v1/claims", Read),
    ("GET", "/api/v1/lookup", Read),
    ("GET", "/api/v1/history", Read),
    ("GET", "/api/v1/events", Audit),
    ("GET", "/api/v1/events/feed", Audit),
    ("GET", "/api/v1/events/head", Audit),
    ("POST", "/api/v1/import", Administer),
    ("GET", "/api/v1/export", Read),
    ("GET", "/metrics", Metrics),
    // The original API.
    ("POST", "/allocate", Plan),
    ("GET", "/allocations", Read),
    ("PUT", "/allocations/{id}", Allocate),
    ("DELETE", "/allocations/{id}", Allocate),
    ("DELETE", "/vpcs/{name}", Allocate),
    ("GET", "/calculate", Any),
    // Pages.
    ("GET", "/", Read),
    ("GET", "/ui", Any),
    ("GET", "/ui/", Any),
    ("GET", "/ui/live", Read),
    ("GET", "/ui/map", Read),
    ("GET", "/ui/search", Read),
    ("GET", "/ui/pools/{id}", Read),
    ("GET", "/ui/pools/{id}/map.svg", Read),
    ("GET", "/ui/allocations", Read),
    ("GET", "/ui/allocations/new", Plan),
    ("POST", "/ui/allocations/new", Plan),
    ("GET", "/ui/allocations/{id}", Read),
    ("GET", "/ui/allocations/{id}/edit", Allocate),
    ("POST", "/ui/allocations/{id}/edit", Allocate),
    ("GET", "/ui/allocations/{id}/release", Allocate),
    ("POST", "/ui/allocations/{id}/release", Allocate),
    ("GET", "/ui/vpcs", Read),
    ("GET", "/ui/vpcs/new", Allocate),
    ("POST", "/ui/vpcs/new", Allocate),
    ("GET", "/ui/vpcs/{id}", Read),
    ("GET", "/ui/vpcs/{id}/edit", Allocate),
    ("POST", "/ui/vpcs/{id}/edit", Allocate),
    ("GET", "/ui/vpcs/{id}/delete", Allocate),
    ("POST", "/ui/vpcs/{id}/delete", Allocate),
    ("GET", "/ui/reservations", Read),
    ("GET", "/ui/reservations/new", Operate),
    ("POST", "/ui/reservations/new", Operate),
    ("GET", "/ui/reservations/{id}", Read),
    ("GET", "/ui/reservations/{id}/edit", Operate),
    ("POST", "/ui/reservations/{id}/edit", Operate),
    ("GET", "/ui/reservations/{id}/delete", Operate),
    ("POST", "/ui/reservations/{id}/delete", Operate),
    ("GET", "/ui/pools", Read),
    ("GET", "/ui/pools/new", Operate),
    ("POST", "/ui/pools/new", Operate),
    ("GET", "/ui/pools/{id}/edit", Operate),
    ("POST", "/ui/pools/{id}/edit", Operate),
    ("GET", "/ui/pools/{id}/delete", Operate),
    ("POST", "/ui/pools/{id}/delete", Operate),
    ("GET", "/ui/profiles", Read),
    ("GET", "/ui/profiles/new", Operate),
    ("POST", "/ui/profiles/new", Operate),
    ("GET", "/ui/profiles/{id}", Read),
    ("GET", "/ui/profiles/{id}/edit", Operate),
    ("POST", "/ui/profiles/{id}/edit", Operate),
    ("GET", "/ui/profiles/{id}/delete", Operate),
    ("POST", "/ui/profiles/{id}/delete", Operate),
    ("GET", "/ui/vrfs", Read),
    ("GET", "/ui/vrfs/new", Operate),
    ("POST", "/ui/vrfs/new", Operate),
    ("GET", "/ui/vrfs/{id}", Read),
    ("GET", "/ui/vrfs/{id}/edit", Operate),
    ("POST", "/ui/vrfs/{id}/edit", Operate),
    ("GET", "/ui/vrfs/{id}/delete", Operate),
    ("POST", "/ui/vrfs/{id}/delete", Operate),
    ("GET", "/ui/tokens", Administer),
    ("GET", "/ui/tokens/new", Administer),
    ("POST", "/ui/tokens/new", Administer),
    ("GET", "/ui/tokens/{id}", Administer),
    ("GET", "/ui/tokens/{id}/edit", Administer),
    ("POST", "/ui/tokens/{id}/edit", Administer),
    ("GET", "/ui/tokens/{id}/delete", Administer),
    ("POST", "/ui/tokens/{id}/delete", Administer),
    ("GET", "/ui/webhooks", Audit),
    ("GET", "/ui/webhooks/new", Administer),
    ("POST", "/ui/webhooks/new", Administer),
    ("GET", "/ui/webhooks/{id}", Audit),
    ("GET", "/ui/webhooks/{id}/edit", Administer),
    ("POST", "/ui/webhooks/{id}/edit", Administer),
    ("GET", "/ui/webhooks/{id}/delete", Administer),
    ("POST", "/ui/webhooks/{id}/delete", Administer),
    ("GET", "/ui/webhooks/{id}/rotate", Administer),
    ("POST", "/ui/webhooks/{id}/rotate", Administer),
    ("GET", "/ui/webhooks/{id}/resume", Administer),
    ("POST", "/ui/webhooks/{id}/resume", Administer),
    ("GET", "/ui/webhooks/{id}/test", Administer),
    ("POST", "/ui/webhooks/{id}/test", Administer),
    ("GET", "/ui/events", Audit),
    ("GET", "/ui/import", Administer),
    ("POST", "/ui/import", Administer),
    ("GET", "/ui/export", Read),
    ("GET", "/ui/export/file", Read),
    ("GET", "/ui/sessions", Any),
    ("POST", "/ui/sessions", Any),
    ("GET", "/ui/sign-in", Any),
    ("POST", "/ui/sign-in", Any),
    ("POST", "/ui/sign-out", Any),
    ("GET", "/ui/{*rest}", Any),
];

/// What a request of that method for that route needs; none if the table does not have it.
fn needed(method: &Method, path: &str) -> Option<Right> {
    static TABLE: LazyLock<HashMap<(&str, &str), Right>> = LazyLock::new(|| {
        let rows = ROUTES.iter();
        rows.map(|(method, path, right)| ((*method, *path), *right))
            .collect()
    });
    let method = if *method == Method::HEAD {
        "GET"
    } else {
        method.as_str()
    };
    TABLE.get(&(method, path)).copied()
}

/// Whether there is something behind a request, and not only the refusal that says that there is not.
pub(super) fn is_operation(request: &Request) -> bool {
    let path = request.extensions().get::<MatchedPath>();
    path.is_some_and(|path| needed(request.method(), path.as_str()).is_some())
}

/// Whether somebody may make a request.
///
/// # Errors
/// With what is missing. What is not in the table is for nobody; a method that the route does not have goes on, since there
/// is nothing behind it but the refusal that says so.
pub(crate) fn check(request: &Request, who: &Principal) -> Result<(), String> {
    let path = request.extensions().get::<MatchedPath>();
    let path = path.map_or("", MatchedPath::as_str);
    let right = match needed(request.method(), path) {
        Some(right) => right,
        None if ROUTES.iter().any(|(_, known, _)| *known == path) => return Ok(()),
        None => return Err("nobody may do this: the route has no right".to_owned()),
    };
    if who.rights.may(right) {
        return Ok(());
    }
    Err(format!(
        "this needs {}, and {} has {}; ask an administrator for a token that has it",
        right.needed(),
        who.actor,
        roles(who)
    ))
}

fn roles(who: &Principal) -> String {
    let roles: Vec<_> = who
        .rights
        .roles()
        .iter()
        .map(|role| role.as_str())
        .collect();
    roles.join(" and ")
}

/// The same, as a problem.
pub(super) fn require(request: &Request, who: &Principal) -> Result<(), Refusal> {
    check(request, who).map_err(|detail| Refusal::new(Code::Forbidden, detail))
}

/// Says in the document which roles an operation needs.
pub(super) fn describe(method: &str, path: &str, operation: &mut Value) {
    let Some(right) = method
        .to_uppercase()
        .parse()
        .ok()
        .and_then(|method| needed(&method, path))
    else {
        return;
    };
    let needs = match right {
        Any => "Any valid key will do.".to_owned(),
        Plan => "Needs the role allocator or admin; a dry run needs only planner.".to_owned(),
        right => format!("Needs {}.", right.needed()),
    };
    let text = match operation["description"].as_str() {
        Some(text) if !text.is_empty() => format!("{text}\n\n{needs}"),
        _ => needs,
    };
    operation["description"] = text.into();
    operation["x-ipam-roles"] = json!(right.roles());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_each_route_once() {
        let mut seen = std::collections::HashSet::new();
        for (method, path, _) in ROUTES {
            assert!(seen.insert((method, path)), "{method} {path}");
        }
    }

    #[test]
    fn every_operation_of_the_document_has_a_row() {
        let document = super::super::openapi::document();
        let paths = document["paths"].as_object().unwrap();
        for (path, item) in paths {
            for method in item.as_object().unwrap().keys() {
                if path == "/api/v1/proof" {
                    continue;
                }
                let method: Method = method.to_uppercase().parse().unwrap();
                assert!(needed(&method, path).is_some(), "{method} {path}");
            }
        }
        for (method, path, _) in ROUTES.iter().filter(|row| row.1.starts_with("/api/")) {
            let item = &paths.get(*path).unwrap_or_else(|| panic!("{path} is gone"));
            assert!(
                !item[method.to_lowercase()].is_null(),
                "{method} {path} is gone"
            );
        }
    }
}
