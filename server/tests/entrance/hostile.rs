//! Requests that nobody sends who means well, byte by byte, from a table with the answers, which were written by hand.

use std::{net::SocketAddr, time::Duration};

use ipam_testing::TestServer;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::{
    hostile_table::{bytes, lines, words},
    raw::{CUT, start},
    state::state,
};

const HEADS: &str = include_str!("hostile/heads.txt");

/// The request of a row.
fn request(row: &str) -> Vec<u8> {
    let body = |json: &str| {
        format!(
            "Content-Type: application/json~Content-Length: {}~~{json}",
            json.len()
        )
    };
    let row = row
        .replace("$HEAD", "Host: ipam~X-API-Key: $KEY")
        .replace("$BODY", &body("{\"name\":\"a\"}"))
        .replace("$ALLOCATION", &body("{\"vpc\":\"a\",\"hosts\":5}"))
        .replace("$KEY", TestServer::API_KEY)
        .replace('~', "\r\n");
    bytes(&row)
}

/// Sends bytes, and no more of them; all that comes back until the connection ends.
async fn exchange(address: SocketAddr, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // A server that has heard enough closes before it has read all.
    _ = stream.write_all(request).await;
    _ = stream.shutdown().await;
    let mut said = Vec::new();
    let read = async { while matches!(stream.read_buf(&mut said).await, Ok(1..)) {} };
    let read = tokio::time::timeout(CUT + Duration::from_secs(5), read).await;
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(read.is_ok(), "the connection does not end after {said}");
    said
}

/// The status of each answer.
fn statuses(said: &str) -> String {
    let all = said.split("HTTP/1.").skip(1);
    let status = |answer: &&str| answer.bytes().all(|byte| byte.is_ascii_digit());
    let all = all.filter_map(|answer| answer.get(2..5).filter(status));
    all.collect::<Vec<_>>().join(",")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_none_changes_nothing() {
    let (database, server) = start(&[]).await;
    let there = request(
        "POST /api/v1/vpcs HTTP/1.1~$HEAD~Content-Type: application/json~Content-Length: 16~~{\"name\":\"there\"}",
    );
    assert_eq!(statuses(&exchange(server.address(), &there).await), "201");
    let mut db = database.connect().await;
    // What the log has of wrong keys is written down later.
    let notes = ["event", "event_seal"];
    let before = state(&mut db, &notes).await;
    let mut wrong = Vec::new();
    for (line, row) in lines(HEADS) {
        let ([expected, code], rest) = words::<2>(row);
        let said = exchange(server.address(), &request(rest)).await;
        let found = statuses(&said);
        // Where the parser gives up before it knows what to answer, the end of the connection is an answer too.
        let ends = code == "*" && found.is_empty();
        let names = matches!(code, "-" | "*") || said.contains(&format!("\"code\":\"{code}\""));
        if !ends && (found != expected || !names) {
            wrong.push(format!("line {line}, {row:.150}: {found} {said:.600}"));
        }
    }
    assert!(wrong.is_empty(), "{}:\n{}", wrong.len(), wrong.join("\\n"));
    assert_eq!(state(&mut db, &notes).await, before);
    let log = server.log();
    assert!(!log.contains("panicked"), "{log}");
    assert!(!log.contains(TestServer::API_KEY), "a key is in the log");
    let well = request("GET /api/v1/vpcs/there HTTP/1.1~$HEAD~~");
    assert_eq!(statuses(&exchange(server.address(), &well).await), "200");
}
