//! The database hesitates, hangs or is cut off: what is answered meanwhile, and that nothing is left poisoned or stuck.
//! Real servers, and a proxy that swallows what goes through it.

#[path = "../support/client.rs"]
#[expect(dead_code, reason = "not every test reads")]
mod client;
mod commits;
mod hesitation;
mod proxy;
mod restart;
mod stalled;
mod standby;
mod stuck;

use ipam_testing::TestServer;
use serde_json::Value;

use self::client::{Client, Reply};

/// Sends a request on a connection of its own.
async fn send(server: &TestServer, method: &str, path: &str, body: &Value) -> Reply {
    let mut client = Client::connect(server.address())
        .await
        .expect("the server listens");
    client
        .send(method, path, &[], body)
        .await
        .expect("each request is answered")
}
