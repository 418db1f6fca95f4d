//! The role that a server is to connect as: it reads and writes rows, and neither owns nor changes tables.

use ipam_server::db::privileges;
use ipam_testing::TestDatabase;
use sqlx::{Connection as _, postgres::PgConnectOptions};

/// Its name. Roles belong to the cluster, which all tests share.
pub(crate) const SERVER: &str = "ipam_test_server";

/// How that role connects to a database, after it was given what it needs.
pub(crate) async fn of(database: &TestDatabase) -> PgConnectOptions {
    let mut owner = database.connect().await;
    let role = loop {
        let found = privileges::find_role(&mut owner, SERVER).await;
        if let Some(role) = found.expect("roles can be read") {
            break role;
        }
        // Another test may create it at the same moment, and then it is there.
        if let Err(error) = privileges::create_role(&mut owner, SERVER, None).await {
            let code = error.as_database_error().and_then(|error| error.code());
            assert!(
                matches!(code.as_deref(), Some("23505" | "42710")),
                "{error}"
            );
        }
    };
    privileges::grant(&mut owner, &role)
        .await
        .expect("the owner may grant");
    owner.close().await.expect("closed");
    database.connect_options().username(SERVER)
}
