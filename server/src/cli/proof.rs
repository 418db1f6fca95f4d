//! The key that is found on this machine's disk is sent only to the server that has it too: any program may listen at the
//! address where that server is expected.

use std::{net::IpAddr, net::SocketAddr, path::Path};

use http::Uri;
use ipam_client::{ProofError, Settings, ask_for_proof};
use ipam_shared::api::proof::{NONCE_BYTES, Proof};
use subtle::ConstantTimeEq as _;

use super::output::{Failure, printable};
use crate::{auth::Auth, text::hex};

/// Has the server of these settings prove that it has that key, which was found at `path`.
///
/// # Errors
/// When it does not. Then the key was not sent.
pub(super) async fn demand(settings: &Settings, key: &str, path: &Path) -> Result<(), Failure> {
    let mut nonce = [0; NONCE_BYTES];
    getrandom::fill(&mut nonce)
        .map_err(|error| Failure::Refused(format!("no random numbers: {error}")))?;
    let nonce = hex(&nonce);
    let refuse = |why: &str| {
        Failure::Refused(format!(
            "{} {why}, so the key in {} was not sent to it. Name the server with --endpoint; or, if this is the right \
             server and it needs another key or is older than this command, give that with --api-key or IPAM_API_KEY",
            settings.endpoint,
            path.display()
        ))
    };
    let answered = match ask_for_proof(settings, nonce.clone()).await {
        Ok(answered) => answered,
        Err(ProofError::Settings(error)) => return Err(Failure::Usage(error.to_string())),
        Err(ProofError::Client(error @ ipam_client::Error::Unreachable(_))) => {
            return Err(error.into());
        }
        Err(ProofError::Client(error)) => {
            let why = format!("gives no proof that it has the key ({error})");
            return Err(refuse(&printable(&why)));
        }
    };
    if !is_proven(&answered, key, &nonce) {
        return Err(refuse("does not have the key of this machine's server"));
    }
    if !listens_there(&settings.endpoint, &answered.listens_on) {
        return Err(refuse(&format!(
            "passes questions on to the server, which listens on {}",
            printable(&answered.listens_on)
        )));
    }
    Ok(())
}

/// Whether only somebody with the key can have given that answer. It takes the same time whatever the answer.
fn is_proven(answered: &Proof, key: &str, nonce: &str) -> bool {
    let expected = Auth::new(key).proof(nonce, &answered.listens_on);
    expected.is_some_and(|expected| {
        let expected = hex(&expected);
        expected.as_bytes().ct_eq(answered.proof.as_bytes()).into()
    })
}

/// Whether a server that listens there is the one that was asked at the endpoint, and not one behind it.
fn listens_there(endpoint: &str, listens_on: &str) -> bool {
    let (Ok(uri), Ok(address)) = (
        endpoint.trim().parse::<Uri>(),
        listens_on.parse::<SocketAddr>(),
    ) else {
        return false;
    };
    let port = match uri.scheme_str() {
        Some("https") => 443,
        _ => 80,
    };
    let host = uri.host().unwrap_or_default();
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let same_host = match host.parse::<IpAddr>() {
        Ok(asked) => address.ip().is_unspecified() || address.ip() == asked,
        // A name, which can only be that of this machine.
        Err(_) => address.ip().is_unspecified() || address.ip().is_loopback(),
    };
    same_host && address.port() == uri.port_u16().unwrap_or(port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proof_is_about_its_question_its_key_and_its_place() {
        let key = "a key of at least forty letters, as they are made";
        let (nonce, place) = ("00ff", "127.0.0.1:8000");
        let proof = |listens_on: &str| Proof {
            listens_on: listens_on.to_owned(),
            proof: hex(&Auth::new(key).proof(nonce, place).unwrap()),
        };
        assert!(is_proven(&proof(place), key, nonce));
        assert!(!is_proven(&proof("127.0.0.1:8001"), key, nonce));
        assert!(!is_proven(
            &proof(place),
            &key.replace("forty", "fifty"),
            nonce
        ));
        assert!(!is_proven(&proof(place), key, "00fe"));
        assert_eq!(Auth::new(&key[..39]).proof(nonce, place), None);
        let empty = Proof {
            proof: String::new(),
            ..proof(place)
        };
        assert!(!is_proven(&empty, key, nonce));
    }

    #[test]
    fn somebody_between_us_and_the_server_is_noticed() {
        for (endpoint, listens_on, is_there) in [
            ("http://127.0.0.1:8000", "127.0.0.1:8000", true),
            ("http://127.0.0.1:8000/", "0.0.0.0:8000", true),
            ("http://[::1]:8000", "[::]:8000", true),
            ("http://localhost:8000", "127.0.0.1:8000", true),
            ("http://127.0.0.1", "127.0.0.1:80", true),
            ("https://localhost", "127.0.0.1:443", true),
            ("http://127.0.0.1:8000", "127.0.0.1:8001", false),
            ("http://127.0.0.2:8000", "127.0.0.1:8000", false),
            ("http://localhost:8000", "192.0.2.1:8000", false),
            ("http://127.0.0.1:8000", "", false),
        ] {
            assert_eq!(
                listens_there(endpoint, listens_on),
                is_there,
                "{endpoint} {listens_on}"
            );
        }
    }
}
