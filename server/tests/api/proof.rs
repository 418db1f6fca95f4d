//! A server shows that it has the administrator's key to whoever asks, and nothing else about it.

use hmac::{Hmac, Mac as _};
use sha2::{Digest as _, Sha256};

use crate::support::{Api, KEY};

/// By what the document says of it, not by our code.
fn expected(key: &str, nonce: &str, listens_on: &str) -> String {
    let mut hmac = Hmac::<Sha256>::new_from_slice(&Sha256::digest(key)).expect("any key will do");
    hmac.update(format!("ipam proof 1\n{nonce}\n{listens_on}").as_bytes());
    let proof = hmac.finalize().into_bytes();
    proof.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test]
async fn a_proof_needs_no_key_and_shows_that_the_server_has_it() {
    let api = Api::start().await;
    let prove = async |nonce: &str| {
        let path = format!("/api/v1/proof?nonce={nonce}");
        api.send("GET", &path, &[], "").await
    };
    let nonce = "0123456789abcdef".repeat(4);
    let reply = prove(&nonce).await;
    let proof = reply.ok(200);
    let listens_on = proof["listens_on"].as_str().unwrap();
    assert_eq!(proof["proof"], expected(KEY, &nonce, listens_on));
    let other = prove(&"f".repeat(64)).await.ok(200);
    assert_ne!(proof["proof"], other["proof"]);
    for bad in [
        "",
        "00",
        &"0".repeat(63),
        &"0".repeat(65),
        &"F".repeat(64),
        &"g".repeat(64),
        &"0".repeat(10_000),
        &"%00".repeat(64),
    ] {
        let reply = prove(bad).await;
        reply.problem(400, "invalid_request");
    }
    let reply = api.send("GET", "/api/v1/proof", &[], "").await;
    reply.problem(400, "invalid_request");
    let path = format!("/api/v1/proof?nonce={nonce}&more=1");
    api.send("GET", &path, &[], "")
        .await
        .problem(400, "invalid_request");
    api.send("POST", "/api/v1/proof", &[], "")
        .await
        .problem(405, "method_not_allowed");
}
