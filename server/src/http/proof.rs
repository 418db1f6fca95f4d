//! `/api/v1/proof`: a server shows that it has the administrator's key before a client sends it. Needs no key itself.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use axum::{Json, extract::State};
use ipam_shared::{
    api::proof::{NONCE_BYTES, Proof, ProofQuery},
    error::Code,
};

use super::{error::Refusal, extract::Params};
use crate::{app::App, auth::SHORTEST_PROVEN, text::hex};

/// How many proofs are given in each second; more than any number of people and scripts on one machine ask for.
const PER_SECOND: u32 = 200;

/// Ask the server to prove that it has the administrator's key
///
/// For clients that have the key and are about to send it to an address at which any program of the machine might listen.
/// It needs no key and reveals nothing about it.
#[utoipa::path(get, path = "/proof", tag = "server", operation_id = "get_proof", params(ProofQuery), security(()), responses(
    (status = 200, body = Proof),
    (status = 404, description = "The key is so short that it might be guessed from a proof"),
))]
pub(super) async fn prove(
    State(app): State<App>,
    Params(query): Params<ProofQuery>,
) -> Result<Json<Proof>, Refusal> {
    let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    if query.nonce.len() != 2 * NONCE_BYTES || !query.nonce.bytes().all(is_digit) {
        return Err(Refusal::new(
            Code::InvalidRequest,
            format!(
                "nonce takes {} lower-case hexadecimal digits, random ones for every request",
                2 * NONCE_BYTES
            ),
        ));
    }
    // Not as overload, which would call for an operator: nothing else waits for this.
    if !has_room() {
        return Err(Refusal::new(
            Code::RateLimited,
            format!(
                "more than {PER_SECOND} proofs were asked for within a second; try again in one"
            ),
        ));
    }
    let listens_on = app.listens_on.map(|it| it.to_string()).unwrap_or_default();
    let proof = app.auth.proof(&query.nonce, &listens_on).ok_or_else(|| {
        Refusal::new(
            Code::NotFound,
            format!(
                "this server gives no proof: its key has fewer than {SHORTEST_PROVEN} characters, and might be guessed \
                 from one; make a longer key with: openssl rand -base64 32"
            ),
        )
    })?;
    let proof = hex(&proof);
    Ok(Json(Proof { listens_on, proof }))
}

/// Whether another proof may be given in this second.
fn has_room() -> bool {
    static GIVEN: Mutex<Option<Given>> = Mutex::new(None);
    let mut given = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);
    take(&mut given, Instant::now())
}

/// Since when proofs are counted, and how many were asked for.
type Given = (Instant, u32);

fn take(given: &mut Option<Given>, now: Instant) -> bool {
    let (since, count) = match *given {
        Some((since, count)) if now - since < Duration::from_secs(1) => (since, count),
        _ => (now, 0),
    };
    *given = Some((since, count.saturating_add(1)));
    count < PER_SECOND
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_so_many_proofs_are_given_in_a_second() {
        let (mut given, now) = (None, Instant::now());
        for _ in 0..PER_SECOND {
            assert!(take(&mut given, now));
        }
        assert!(!take(&mut given, now + Duration::from_millis(999)));
        assert!(take(&mut given, now + Duration::from_secs(1)));
    }
}
