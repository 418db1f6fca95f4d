//! Why a refusal of the server may not be final: this run is about to change what it depends on.

use ipam_client::Error;
use ipam_shared::{
    api::{allocation::NewAllocation, ownership::Noun},
    error::Code,
};

use crate::{
    framework::verdict::Verdict,
    nouns::vpc,
    run::{key::Key, notes::Run},
};

/// Whether this run creates or changes what the request names, so that the server can't tell yet what it would get.
pub(super) fn is_ahead_of_server(run: &Run, request: &NewAllocation) -> bool {
    let vpc = vpc::key(request.vpc.as_str());
    let is_named = |key: &Key| {
        let name = key.name();
        let pools = request.pools.iter().flatten();
        *key == vpc
            || key.noun() == Noun::Vrf && request.vrf.as_ref().is_some_and(|vrf| vrf.as_str() == name)
            || key.noun() == Noun::Profile
                && request.profile.as_ref().is_some_and(|profile| profile.as_str() == name)
            || key.noun() == Noun::Pool && pools.into_iter().any(|pool| pool == name)
            // Which pools a selector or a profile means is up to the server.
            || key.noun() == Noun::Pool && request.pools.is_none()
    };
    run.moves_any(is_named)
}

/// Why the refusal of a request for something with the name `key` may not be final, if so.
pub(super) fn excuse(
    run: &Run,
    request: &NewAllocation,
    key: Option<&Key>,
    error: &Error,
) -> Option<Verdict> {
    if run.is_applying() || is_ahead_of_server(run, request) {
        return Some(Verdict::None);
    }
    match error.code()? {
        // The state has one with this name, which is deleted, replaced, or renamed.
        Code::NameTaken | Code::Claimed if key.is_some_and(|key| run.is_present(key)) => {
            Some(Verdict::None)
        }
        // The predecessor makes room.
        Code::PoolExhausted | Code::Overlap | Code::QuotaExceeded if request.name.is_none() => {
            Some(Verdict::None)
        }
        Code::PoolExhausted | Code::Overlap if run.is_freeing() || moves_space(run) => {
            Some(Verdict::Possible)
        }
        // Who gives back has more of its quota left, and who sets quotas may give more.
        Code::QuotaExceeded if run.is_freeing() || moves_tokens(run) => Some(Verdict::Possible),
        _ => None,
    }
}

/// Whether tokens change.
fn moves_tokens(run: &Run) -> bool {
    run.moves_any(|key| key.noun() == Noun::Token)
}

/// Whether pools or reservations change.
fn moves_space(run: &Run) -> bool {
    run.moves_any(|key| matches!(key.noun(), Noun::Pool | Noun::Reservation | Noun::Profile))
}
