//! The final check, when everything is over: of the tables directly, and of the API of each server.

use std::{collections::BTreeSet, net::SocketAddr, str::FromStr as _, time::Duration};

use ipam_testing::TestServer;
use sqlx::{ConnectOptions as _, Connection as _, PgConnection, postgres::PgConnectOptions};

use crate::{
    check::{Block, Ending, Row},
    client::{ALLOCATIONS, shown},
    history::Allocation,
    http::{Connection, Request},
    net::{Net, Size},
};

/// How long sessions of killed servers may take to notice it.
const PATIENCE: Duration = Duration::from_secs(30);

/// What is stored, and what the servers say is.
pub(crate) async fn look(database: &PgConnectOptions, servers: &[SocketAddr]) -> Ending {
    let mut connection = database.connect().await.expect("PostgreSQL is up");
    settle(&mut connection).await;
    let rows = rows(&mut connection).await;
    let blocks = blocks(&mut connection).await;
    let created = subjects(&mut connection, "allocation.create").await;
    let released = subjects(&mut connection, "allocation.release").await;
    let vpcs = sqlx::query_scalar("select name from vpc")
        .fetch_all(&mut connection)
        .await;
    let vpcs = vpcs.expect("VPCs can be read").into_iter().collect();
    let keys = sqlx::query_as("select key, allocation_id::text from idempotency_key")
        .fetch_all(&mut connection)
        .await;
    let keys = keys.expect("keys can be read").into_iter().collect();
    connection.close().await.expect("it closes");
    let mut listed = Vec::new();
    for server in servers {
        listed.push(list(*server).await);
    }
    Ending {
        rows,
        blocks,
        created,
        released,
        vpcs,
        keys,
        listed,
    }
}

/// Waits for the sessions that killed servers left behind: until they end, a commit may still be under way.
async fn settle(connection: &mut PgConnection) {
    let begin = std::time::Instant::now();
    loop {
        let busy: i64 = sqlx::query_scalar(
            "select count(*) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()
                and state <> 'idle' and backend_type = 'client backend'",
        )
        .fetch_one(&mut *connection)
        .await
        .expect("pg_stat_activity can be read");
        if busy == 0 {
            return;
        }
        assert!(
            begin.elapsed() < PATIENCE,
            "{busy} sessions are still at work"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn net(text: &str) -> Net {
    Net::from_str(text).unwrap_or_else(|error| panic!("stored: {error}"))
}

/// Networks travel as text, which nothing but our own code reads.
async fn rows(connection: &mut PgConnection) -> Vec<Row> {
    type Columns = (
        String,
        String,
        Option<String>,
        String,
        Option<i64>,
        Option<i16>,
        Option<String>,
        Vec<String>,
    );
    let rows: Vec<Columns> = sqlx::query_as(
        "select allocation_id::text, vpc.name, allocation.name, allocation.description, requested_hosts,
            requested_prefix_length, requested_cidr::text,
            array(select block.cidr::text from block join profile_member using (member_id)
                where block.allocation_id = allocation.allocation_id order by position)
        from allocation join vpc using (vpc_id) order by number",
    )
    .fetch_all(connection)
    .await
    .expect("allocations can be read");
    rows.into_iter()
        .map(
            |(id, vpc, name, description, hosts, length, cidr, blocks)| Row {
                allocation: Allocation {
                    id,
                    vpc,
                    name,
                    blocks: blocks.iter().map(|text| net(text)).collect(),
                },
                operation: description.parse().ok(),
                size: match (hosts, length, cidr) {
                    (Some(hosts), None, None) => u64::try_from(hosts).ok().map(Size::Hosts),
                    (None, Some(length), None) => u8::try_from(length).ok().map(Size::Length),
                    (None, None, Some(cidr)) => Some(Size::Net(net(&cidr))),
                    _ => None,
                },
            },
        )
        .collect()
}

async fn blocks(connection: &mut PgConnection) -> Vec<Block> {
    let rows: Vec<(String, String, String, Option<String>)> = sqlx::query_as(
        "select vrf_id::text, block.cidr::text, pool_range.cidr::text, allocation_id::text
        from block join pool_range using (range_id)",
    )
    .fetch_all(connection)
    .await
    .expect("blocks can be read");
    rows.into_iter()
        .map(|(vrf, cidr, range, owner)| Block {
            vrf,
            net: net(&cidr),
            range: net(&range),
            owner,
        })
        .collect()
}

async fn subjects(connection: &mut PgConnection, action: &str) -> BTreeSet<String> {
    let ids: Vec<String> = sqlx::query_scalar("select subject::text from event where action = $1")
        .bind(action)
        .fetch_all(connection)
        .await
        .expect("events can be read");
    ids.into_iter().collect()
}

async fn list(server: SocketAddr) -> Vec<Allocation> {
    let mut connection = Connection::open(server).await.expect("the server listens");
    let (mut all, mut cursor) = (Vec::new(), None::<String>);
    loop {
        let after = cursor
            .map(|cursor| format!("&cursor={cursor}"))
            .unwrap_or_default();
        let request = Request::new("GET", format!("{ALLOCATIONS}?limit=1000{after}"));
        let reply = connection
            .send(&request, TestServer::API_KEY)
            .await
            .expect("an answer");
        let items = reply.body["items"]
            .as_array()
            .unwrap_or_else(|| panic!("not a list: {}", reply.body));
        all.extend(
            items
                .iter()
                .map(|item| shown(item).unwrap_or_else(|| panic!("not an allocation: {item}"))),
        );
        cursor = reply.body["next_cursor"].as_str().map(ToOwned::to_owned);
        if cursor.is_none() {
            return all;
        }
    }
}
