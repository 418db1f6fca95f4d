//! Secrets are where they belong: what a server was given, and what it handed out, is looked for in everything that it
//! leaves behind. It logs all that it can.

use std::{fs, path::Path, process::Command};

use ipam_shared::secret::Secret;
use ipam_testing::{TestDatabase, TestServer};
use serde_json::{Value, json};

#[path = "support/client.rs"]
mod client;

use client::Client;

const PEPPER: &str = "canary-pepper-5bd1b62a4c0f4a0e9d1e";
const WRONG: &str = "canary-wrong-key-77c0a1f3e5d2";

/// What curl prints: the head of the reply, and its body.
#[expect(clippy::unwrap_used, reason = "a helper that fails is a failed test")]
fn curl(arguments: &[&str]) -> String {
    let output = Command::new("curl")
        .args(["--silent", "--include"])
        .args(arguments)
        .output()
        .unwrap();
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Everything in a directory, as bytes.
#[expect(clippy::unwrap_used, reason = "a helper that fails is a failed test")]
fn all_of(dir: &Path) -> Vec<u8> {
    let mut all = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        // Segments come and go.
        if let Ok(bytes) = fs::read(entry.unwrap().path()) {
            all.extend(bytes);
        }
    }
    all
}

/// What is a secret of a token: all behind the public id.
fn random(secret: &str) -> String {
    secret[18..48].to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_left_anywhere() {
    let database = TestDatabase::new().await;
    let environment = [
        ("IPAM_LOG", "trace"),
        ("IPAM_TOKEN_PEPPER", PEPPER),
        ("IPAM_WEBHOOK_NETWORKS", "127.0.0.1"),
    ];
    let mut server = TestServer::start_with(&database.url(), &environment).await;
    let url = server.url();
    let mut admin = Client::connect(server.address()).await.unwrap();
    let mut canaries = vec![
        ("the administrator's key", TestServer::API_KEY.to_owned()),
        ("a pepper", PEPPER.to_owned()),
        ("a wrong key", WRONG.to_owned()),
    ];

    // Tokens: made, asked for again, used in either header, revoked, and used then.
    let new = json!({"name": "ci", "roles": ["admin"]});
    let made = admin.post("/api/v1/tokens", &new).await.unwrap().json;
    let again = admin.post("/api/v1/tokens", &new).await.unwrap().json;
    for made in [&made, &again] {
        canaries.push(("a token", random(made["secret"].as_str().unwrap())));
    }
    // One that its user has made; changed to another; and one with a typo, which may be one character from a valid one.
    let [own, other] = [(); 2].map(|()| Secret::generate().unwrap().reveal().to_owned());
    let typo = format!(
        "{}{}",
        &own[..55],
        if own.ends_with('0') { "1" } else { "0" }
    );
    for secret in [&own, &other] {
        canaries.push(("a token of its user", random(secret)));
    }
    let new = json!({"name": "own", "roles": ["reader"], "secret": own});
    assert_eq!(
        admin.post("/api/v1/tokens", &new).await.unwrap().status,
        201
    );
    for (body, status) in [
        (json!({ "secret": other }), 200),
        (json!({ "secret": typo }), 400),
        (json!({ "secret": [own] }), 400),
        (json!({"secret": own, "none": other}), 400),
    ] {
        let reply = admin
            .send("PATCH", "/api/v1/tokens/own", &[], &body)
            .await
            .unwrap();
        assert_eq!(reply.status, status, "{}", reply.json);
        let text = reply.json.to_string();
        assert!(
            !text.contains(&random(&own)) && !text.contains(&random(&other)),
            "{text}"
        );
    }
    let secret = again["secret"].as_str().unwrap();
    let (header, bearer) = (
        format!("X-API-Key: {secret}"),
        format!("Authorization: Bearer {secret}"),
    );
    for header in [
        &header,
        &bearer,
        &format!("X-API-Key: {}", made["secret"].as_str().unwrap()),
        &format!("X-API-Key: {WRONG}"),
    ] {
        for path in [
            "/api/v1/vrfs",
            "/allocations",
            "/metrics",
            "/api/v1/none",
            "/",
        ] {
            curl(&["--header", header, &format!("{url}{path}")]);
        }
    }
    // Where they do not belong: an address, a body, another header, a name of a file. What is stored on purpose is not a
    // secret any more, so nothing of this is valid.
    let body = json!({"name": "x", "secret_of": secret, "roles": ["reader"]}).to_string();
    for arguments in [
        vec![format!("{url}/api/v1/vrfs?api_key={secret}")],
        vec![format!("{url}/api/v1/vrfs/{secret}")],
        vec![format!("{url}/{secret}")],
        vec![format!("{url}/api/v1/pools/{}", TestServer::API_KEY)],
        vec![format!("{url}/ui/pools/{}", TestServer::API_KEY)],
        vec![
            "--request".to_owned(),
            "DELETE".to_owned(),
            format!("{url}/vpcs/{}", TestServer::API_KEY),
        ],
        vec!["--data".to_owned(), body, format!("{url}/api/v1/tokens")],
        vec![
            "--header".to_owned(),
            format!("Ipam-Claim: {secret}"),
            format!("{url}/api/v1/vrfs/default"),
        ],
        vec![
            "--header".to_owned(),
            format!("If-Match: {secret}"),
            "--request".to_owned(),
            "DELETE".to_owned(),
            format!("{url}/api/v1/vrfs/none"),
        ],
        vec![
            "--header".to_owned(),
            format!("Cookie: ipam_session={secret}"),
            format!("{url}/"),
        ],
        vec![
            "--user".to_owned(),
            format!("admin:{secret}"),
            format!("{url}/api/v1/vrfs"),
        ],
    ] {
        let mut all = vec![
            "--header",
            header.as_str(),
            "--header",
            "Content-Type: application/json",
        ];
        all.extend(arguments.iter().map(String::as_str));
        curl(&all);
    }
    // A webhook: its secrets, which sign for a receiver that is not there.
    let new = json!({"name": "siem", "url": "http://127.0.0.1:9/", "after": 0});
    let webhook = admin.post("/api/v1/webhooks", &new).await.unwrap().json;
    let rotate = "/api/v1/webhooks/siem/rotate";
    let rotated = admin.post(rotate, &json!({})).await.unwrap().json;
    for shown in [&webhook, &rotated] {
        let secret = shown["secret"].as_str().unwrap();
        canaries.push(("a secret of a webhook", secret["whsec_".len()..].to_owned()));
    }
    let test = "/api/v1/webhooks/siem/test";
    let tested = admin.post(test, &Value::Null).await.unwrap().json;
    assert_eq!(tested["delivered"], false);
    // A session: signed in, used, with a wrong cookie, signed out everywhere.
    let form = format!("key={secret}");
    let sign_in = [
        "--header",
        "Sec-Fetch-Site: same-origin",
        "--data",
        form.as_str(),
        &format!("{url}/ui/sign-in"),
    ];
    let reply = curl(&sign_in);
    let cookie = reply
        .lines()
        .find_map(|line| line.strip_prefix("set-cookie: "))
        .unwrap();
    let cookie = cookie.split(';').next().unwrap().to_owned();
    canaries.push(("a cookie", cookie.split_once('=').unwrap().1.to_owned()));
    for path in ["/", "/ui/sessions", "/ui/none"] {
        curl(&[
            "--header",
            &format!("Cookie: {cookie}"),
            &format!("{url}{path}"),
        ]);
    }
    let form = format!("key={WRONG}");
    curl(&[
        "--header",
        "Sec-Fetch-Site: same-origin",
        "--data",
        &form,
        &format!("{url}/ui/sign-in"),
    ]);
    // The database goes away and comes back: what fails is logged with its cause.
    let mut db = database.connect().await;
    sqlx::raw_sql("alter table token rename to gone")
        .execute(&mut db)
        .await
        .unwrap();
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    curl(&["--header", &header, &format!("{url}/api/v1/vrfs")]);
    sqlx::raw_sql("alter table gone rename to token")
        .execute(&mut db)
        .await
        .unwrap();
    let path = format!("/api/v1/tokens/{}", again["id"].as_str().unwrap());
    assert_eq!(
        admin
            .send("DELETE", &path, &[], &Value::Null)
            .await
            .unwrap()
            .status,
        204
    );
    curl(&["--header", &header, &format!("{url}/api/v1/vrfs")]);

    let shown = admin.get("/api/v1/whoami").await.unwrap();
    assert!(
        !shown
            .headers
            .iter()
            .any(|(_, value)| value.as_bytes().ends_with(TestServer::API_KEY.as_bytes()))
    );

    // It leaves no core, in which there would be all of them.
    let limits = fs::read_to_string(format!("/proc/{}/limits", server.pid())).unwrap();
    let core = limits
        .lines()
        .find(|line| line.starts_with("Max core file size"))
        .unwrap();
    assert_eq!(
        core.split_whitespace().skip(4).take(2).collect::<Vec<_>>(),
        ["0", "0"],
        "{core}"
    );

    assert!(server.stop().await.success());
    let mut places = vec![("the log", server.log().into_bytes())];
    assert!(
        places[0].1.len() > 30_000 && server.log().contains("TRACE"),
        "it logs all that it can"
    );
    let dump = ipam_testing::dump(&database.connect_options()).await;
    places.push(("a dump", dump.into_bytes()));
    let dir: String =
        sqlx::query_scalar("select setting from pg_settings where name = 'data_directory'")
            .fetch_one(&mut db)
            .await
            .unwrap();
    sqlx::raw_sql("checkpoint").execute(&mut db).await.unwrap();
    places.push(("the WAL", all_of(&Path::new(&dir).join("pg_wal"))));
    let oid: String =
        sqlx::query_scalar("select oid::text from pg_database where datname = current_database()")
            .fetch_one(&mut db)
            .await
            .unwrap();
    places.push(("the files", all_of(&Path::new(&dir).join("base").join(oid))));
    for (place, bytes) in &places {
        let text = String::from_utf8_lossy(bytes);
        for (what, canary) in &canaries {
            let line = text.lines().find(|line| line.contains(canary));
            let line = line.map(|line| {
                line.replace(canary, "CANARY")
                    .chars()
                    .take(500)
                    .collect::<String>()
            });
            assert_eq!(line, None, "{what} is in {place}");
        }
    }
    // What is no secret is found there, so the search works: the public id.
    for (place, bytes) in &places[1..] {
        let text = String::from_utf8_lossy(bytes);
        let ids = [&made, &again].map(|token| token["public_id"].as_str().unwrap());
        assert!(ids.iter().any(|id| text.contains(id)), "{place}");
    }
}
