//! The key that is found on this machine is sent only to the server that has it.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use serde_json::json;
use tempfile::TempDir;

use crate::{Cli, Ran, run};

/// As long as those that servers make.
const KEY: &str = "ipam_a-key-of-a-test-0123456789-0123456789-0123456";

/// A data directory in which a server on this machine left its key.
fn data_dir(key: &str) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("admin-key"), format!("{key}\n")).unwrap();
    dir
}

fn with_dir(line: &str, endpoint: &str, dir: &TempDir) -> Ran {
    let environment = [
        ("IPAM_ENDPOINT", endpoint.to_owned()),
        ("IPAM_DATA_DIR", dir.path().to_str().unwrap().to_owned()),
        ("IPAM_RETRY_TIMEOUT", "0".to_owned()),
    ];
    run(line, &environment)
}

/// What a program answers to a request for a path.
type Answer = Box<dyn Fn(&str) -> String + Send>;

/// A program that writes down all that it gets, and answers what it is told to.
pub(crate) fn recorder(
    answer: impl Fn(&str) -> String + Send + 'static,
) -> (String, Arc<Mutex<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let heard = Arc::new(Mutex::new(String::new()));
    let all = Arc::clone(&heard);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut reader = BufReader::new(stream.unwrap());
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") && reader.read_line(&mut head).unwrap_or(0) > 0 {}
            all.lock().unwrap().push_str(&head);
            let target = head.split_whitespace().nth(1).unwrap_or_default();
            let body = answer(target);
            // A problem says its status.
            let status = serde_json::from_str::<serde_json::Value>(&body);
            let status = status.ok().and_then(|body| body["status"].as_u64());
            let reply = format!(
                "HTTP/1.1 {} X\r\ncontent-type: application/json\r\nx-request-id: 1\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
                status.unwrap_or(200),
                body.len()
            );
            _ = reader.get_mut().write_all(reply.as_bytes());
        }
    });
    (url, heard)
}

#[tokio::test]
async fn the_server_that_has_the_key_gets_it() {
    let cli = Cli::start_with_key(KEY).await;
    let url = cli.server.url();
    let dir = data_dir(KEY);
    assert_eq!(with_dir("vrf list -o name", &url, &dir).text(), "default\n");
    let by_name = url.replace("127.0.0.1", "localhost");
    assert_eq!(
        with_dir("vrf list -o name", &by_name, &dir).text(),
        "default\n"
    );
    // Another key than that of the server stays here.
    let ran = with_dir("vrf list", &url, &data_dir(&KEY.replace('3', "4")));
    assert_eq!((ran.code, ran.stdout.as_str()), (1, ""), "{ran:?}");
    assert!(
        ran.stderr
            .contains("does not have the key of this machine's server"),
        "{ran:?}"
    );
    assert!(
        ran.stderr.contains("was not sent") && ran.stderr.contains("--api-key"),
        "{ran:?}"
    );
    assert!(
        !cli.server.log().contains("wrong API key"),
        "it was not even tried"
    );
}

#[tokio::test]
async fn whoever_else_listens_there_never_sees_it() {
    let cli = Cli::start_with_key(KEY).await;
    let dir = data_dir(KEY);
    let zeros = json!({"listens_on": "127.0.0.1:1", "proof": "0".repeat(64)}).to_string();
    let server = cli.server.address();
    // Passes the question on to the real server, as a program between the two would.
    let relay = move |target: &str| {
        let mut stream = TcpStream::connect(server).unwrap();
        write!(
            stream,
            "GET {target} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"
        )
        .unwrap();
        let reply = std::io::read_to_string(stream).unwrap();
        reply.split_once("\r\n\r\n").unwrap().1.to_owned()
    };
    let answers: [Answer; 6] = [
        Box::new(|_| "{}".to_owned()),
        Box::new(|_| String::new()),
        Box::new(|_| "<html>a page</html>".to_owned()),
        Box::new(|_| json!({"items": [], "next_cursor": null}).to_string()),
        Box::new(move |_| zeros.clone()),
        Box::new(relay),
    ];
    for (number, answer) in answers.into_iter().enumerate() {
        let (url, heard) = recorder(answer);
        for line in ["list", "vrf create a", "export", "orphans"] {
            let ran = with_dir(line, &url, &dir);
            assert_eq!(
                (ran.code, ran.stdout.as_str()),
                (1, ""),
                "{number} {line}: {ran:?}"
            );
            assert!(
                ran.stderr.contains("was not sent"),
                "{number} {line}: {ran:?}"
            );
        }
        let heard = heard.lock().unwrap().clone();
        assert_eq!(
            heard.matches("GET /api/v1/proof?nonce=").count(),
            4,
            "{number}: {heard}"
        );
        assert_eq!(
            heard.matches("HTTP/1.1").count(),
            4,
            "nothing else is asked: {heard}"
        );
        assert!(!heard.contains(KEY), "{number}: {heard}");
        assert!(
            !heard.to_lowercase().contains("authorization"),
            "{number}: {heard}"
        );
        let nonces: std::collections::BTreeSet<_> =
            heard.split("nonce=").skip(1).map(|it| &it[..64]).collect();
        assert_eq!(nonces.len(), 4, "each question is a new one");
    }
    // A key that somebody gave is theirs to give, and no proof is asked for.
    let (url, heard) = recorder(|_| json!({"items": [], "next_cursor": null}).to_string());
    let ran = with_dir("list --api-key a-key-of-their-own", &url, &dir);
    assert_eq!(ran.text(), "No allocations\n");
    let heard = heard.lock().unwrap().clone();
    assert!(
        !heard.contains("proof") && heard.contains("a-key-of-their-own"),
        "{heard}"
    );
}
