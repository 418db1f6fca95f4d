//! The command line as people and scripts use it: the real binary against a real server.

#![expect(clippy::unwrap_used, reason = "a helper that fails is a failed test")]

mod completion;
mod contexts;
mod help;
mod nouns;
mod output;
mod proof;

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, Output, Stdio};

use ipam_testing::{TestDatabase, TestServer};
use serde_json::{Value, json};

/// A server, and the binary that talks to it.
pub(crate) struct Cli {
    pub(crate) server: TestServer,
    _database: TestDatabase,
}

impl Cli {
    pub(crate) async fn start() -> Self {
        let database = TestDatabase::new().await;
        // Every call has to work where the operator demands a condition of each change.
        let strict = [("IPAM_REQUIRE_IF_MATCH", "true")];
        let server = TestServer::start_with(&database.url(), &strict).await;
        Self {
            server,
            _database: database,
        }
    }

    /// With another key of the administrator.
    pub(crate) async fn start_with_key(key: &str) -> Self {
        let database = TestDatabase::new().await;
        let server = TestServer::start_with(&database.url(), &[("API_KEY", key)]).await;
        Self {
            server,
            _database: database,
        }
    }

    pub(crate) fn run(&self, line: &str) -> Ran {
        run(line, &self.environment())
    }

    /// The same with words that may have spaces.
    pub(crate) fn call(&self, words: &[&str]) -> Ran {
        ended(self.command(words).output().unwrap())
    }

    /// A command that goes on.
    pub(crate) fn spawn(&self, words: &[&str]) -> Child {
        let mut command = self.command(words);
        command.stdout(Stdio::piped()).spawn().unwrap()
    }

    pub(crate) fn command(&self, words: &[&str]) -> Command {
        command(words, &self.environment())
    }

    fn environment(&self) -> [(&'static str, String); 2] {
        [
            ("IPAM_ENDPOINT", self.server.url()),
            ("IPAM_API_KEY", TestServer::API_KEY.to_owned()),
        ]
    }
}

/// What no owner has confirmed, with the lines that take it over and end it, which do what they say.
#[tokio::test(flavor = "multi_thread")]
async fn orphans_are_listed_with_the_lines_that_import_and_release_them() {
    let cli = Cli::start().await;
    assert_eq!(
        cli.run("orphans").text(),
        "Nothing that no owner has confirmed\n"
    );
    let client = |owner: Option<&str>| {
        let settings = ipam_client::Settings {
            owner: owner.map(ToOwned::to_owned),
            ..ipam_client::Settings::new(cli.server.url(), TestServer::API_KEY)
        };
        ipam_client::Client::new(&settings).unwrap()
    };
    fn parse<T: serde::de::DeserializeOwned>(json: Value) -> T {
        serde_json::from_value(json).unwrap()
    }
    let (one, none) = (client(Some("ws-1")), client(None));
    let vrf = one
        .create_vrf(&parse(json!({"name": "it's"})))
        .await
        .unwrap();
    let web = one
        .create_allocation(&parse(json!({"vpc": "prod", "name": "web", "hosts": 100})))
        .await
        .unwrap();
    let script = none
        .create_allocation(&parse(
            json!({"vpc": "prod", "name": "script", "hosts": 100}),
        ))
        .await
        .unwrap();
    let token = parse(json!({"name": "ci", "roles": ["allocator"]}));
    let token = one.create_token(&token).await.unwrap();
    let webhook = parse(json!({"name": "siem", "url": "https://siem.example/"}));
    one.create_webhook(&webhook).await.unwrap();
    // Another one that its owner has confirmed is no orphan; nor is the VPC, which came by itself.
    let ours = one
        .create_allocation(&parse(json!({"vpc": "prod", "name": "ours", "hosts": 100})))
        .await
        .unwrap();
    one.get_allocation(ours.made.id, ours.made.claim)
        .await
        .unwrap();

    let found = cli.run("orphans --json").json();
    let titles: Vec<_> = found
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["title"].as_str().unwrap())
        .collect();
    assert_eq!(
        titles,
        [
            "allocation \"prod/web\"",
            "allocation \"prod/script\"",
            "token \"ci\"",
            "webhook \"siem\"",
            "VRF \"it's\""
        ]
    );
    assert_eq!(
        (
            &found[0]["owner"],
            &found[1]["owner"],
            &found[0]["holds"][0]
        ),
        (
            &json!("ws-1"),
            &Value::Null,
            &json!(web.made.cidr.to_string())
        )
    );
    assert_eq!(found[2]["holds"], json!(["allocator"]));
    assert_eq!(found[3]["import"], Value::Null);
    assert_eq!(found[4]["id"], json!(vrf.made.id));
    let text = cli.run("orphans --owner ws-1").text().to_owned();
    for line in [
        "terraform import ADDRESS 'prod/web'",
        "ipam release 'prod/web'",
        r"terraform import ADDRESS 'it'\''s'",
        r"ipam vrf delete 'it'\''s'",
        "terraform import ADDRESS 'ci'",
        "ipam token delete 'ci'",
        "ipam webhook delete 'siem'",
        "4 things that no owner has confirmed",
    ] {
        assert!(text.contains(line), "{line}: {text}");
    }
    assert!(!text.contains("script"), "{text}");
    assert_eq!(
        cli.run("orphans --older-than 1h").text(),
        "Nothing that no owner has confirmed\n"
    );
    assert_eq!(cli.run("orphans --older-than soon").code, 2);
    cli.run("release prod/script").text();
    let left = cli.run("orphans --json --older-than 0s").json();
    assert_eq!(left.as_array().unwrap().len(), 4, "{left}");
    assert!(!left.to_string().contains(&script.made.id.to_string()));
    // Who may not see tokens sees the rest.
    let mut command = cli.command(&["orphans", "-o", "name"]);
    command.env("IPAM_API_KEY", token.made.secret.unwrap());
    let seen = ended(command.output().unwrap());
    assert_eq!((seen.code, seen.stdout.lines().count()), (0, 2), "{seen:?}");
    for left_out in ["without tokens: ", "without webhooks: "] {
        assert!(seen.stderr.contains(left_out), "{seen:?}");
    }
}

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).expect(&self.stderr)
    }

    /// What it printed, when all went well.
    #[track_caller]
    pub(crate) fn text(&self) -> &str {
        assert_eq!(
            (self.code, self.stderr.as_str()),
            (0, ""),
            "{}",
            self.stdout
        );
        &self.stdout
    }
}

/// Runs `ipam` with these words and nothing of the developer's environment.
pub(crate) fn run(line: &str, environment: &[(&str, String)]) -> Ran {
    let words: Vec<_> = line.split_whitespace().collect();
    ended(command(&words, environment).output().unwrap())
}

pub(crate) fn command(words: &[&str], environment: &[(&str, String)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ipam"));
    command
        .args(words)
        .env_clear()
        .env("IPAM_DATA_DIR", "/nonexistent")
        .envs(environment.iter().map(|(name, value)| (*name, value)))
        .stdin(Stdio::null());
    command
}

pub(crate) fn ended(output: Output) -> Ran {
    Ran {
        code: output.status.code().unwrap(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

#[tokio::test]
async fn space_is_allocated_listed_and_released() {
    let cli = Cli::start().await;
    let line = "allocate prod --hosts 500 --name nodes --env prod --label team=net";
    let made = cli.run(line);
    let lines: Vec<&str> = made.text().lines().collect();
    assert_eq!(
        &lines[..3],
        [
            "Allocated 10.0.0.0/23 for prod",
            "  primary  10.0.0.0/23       507 usable  pool primary",
            "  cgnat    100.64.0.0/18  16,379 usable  pool cgnat",
        ]
    );
    assert!(
        lines.contains(&"  labels  environment=prod, team=net"),
        "{lines:?}"
    );
    let again = cli.run(line);
    assert!(
        again
            .text()
            .starts_with("Already allocated: 10.0.0.0/23 for prod\n")
    );

    let second = cli.run("allocate PROD --prefix-length 26 --json").json();
    assert_eq!(
        (&second["vpc"], &second["cidr"]),
        (&json!("prod"), &json!("10.0.2.0/26"))
    );
    let dry = cli.run("allocate new --hosts 4091 --dry-run");
    assert!(
        dry.text()
            .starts_with("Would allocate 10.0.16.0/20 for new\n"),
        "{}",
        dry.stdout
    );

    let list = cli.run("list");
    let lines: Vec<&str> = list.text().lines().collect();
    assert_eq!(lines.len(), 4, "{lines:?}");
    assert!(
        lines[0].starts_with("ID  VPC   NAME   PRIMARY"),
        "{}",
        lines[0]
    );
    assert!(lines[1].contains("10.0.0.0/23"), "{}", lines[1]);
    assert_eq!(lines[3], "2 allocations in 1 VPC");
    assert_eq!(cli.run("list --label team=none").text(), "No allocations\n");
    let nobody = cli.run("list --vpc nobody");
    assert_eq!((nobody.code, nobody.stdout.as_str()), (1, ""));
    assert!(
        nobody.stderr.contains("there is no VPC \"nobody\""),
        "{}",
        nobody.stderr
    );
    assert!(
        cli.run("list --limit 1")
            .text()
            .ends_with("1 allocation, and perhaps more\n")
    );
    assert!(
        cli.run("list --limit 2000")
            .text()
            .ends_with("2 allocations in 1 VPC\n")
    );
    for line in ["list --limit 0", "history 10.0.0.0/8 --limit 0"] {
        let ran = cli.run(line);
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{line}: {ran:?}");
    }
    let labelled = cli.run("list --label team=net --json").json();
    assert_eq!(labelled.as_array().unwrap().len(), 1);

    assert_eq!(
        cli.run("release prod/nodes").text(),
        "Released 10.0.0.0/23 and 100.64.0.0/18 of prod\n"
    );
    let number = second["number"].as_i64().unwrap();
    assert_eq!(
        cli.run(&format!("delete {number} --json")).json()["number"],
        number
    );
    assert_eq!(cli.run("list --json").json(), json!([]));
    let gone = cli.run(&format!("release {}", second["id"].as_str().unwrap()));
    assert_eq!(gone.code, 1);
    assert!(gone.stderr.contains("was deleted at"), "{}", gone.stderr);
}

#[tokio::test]
async fn lists_go_on_behind_the_first_page() {
    let cli = Cli::start().await;
    // The longest page of the server is 1000; a /16 holds 1024 blocks of the smallest size.
    let client = ipam_client::Client::new(&ipam_client::Settings::new(
        cli.server.url(),
        TestServer::API_KEY,
    ))
    .unwrap();
    let size = ipam_shared::api::allocation::Size::Hosts(1);
    let ask = ipam_shared::api::allocation::NewAllocation::new("many".parse().unwrap(), size);
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..16 {
        let (client, ask) = (client.clone(), ask.clone());
        tasks.spawn(async move {
            for _ in 0..64 {
                client.create_allocation(&ask).await.unwrap();
            }
        });
    }
    tasks.join_all().await;
    let all = cli.run("list --vpc MANY --json").json();
    assert_eq!(all.as_array().unwrap().len(), 1024);
    let list = cli.run("list");
    assert!(list.text().ends_with("\n1,024 allocations in 1 VPC\n"));

    let full = cli.run("allocate many --hosts 1");
    assert_eq!(full.code, 1);
    assert!(
        full.stderr.contains("no /26 is left in pool \"primary\""),
        "{}",
        full.stderr
    );
}

#[tokio::test]
async fn exit_codes_tell_refused_from_misused() {
    let cli = Cli::start().await;
    for (line, code, says) in [
        ("release 77", 1, "there is no allocation 77"),
        (
            "release prod/nodes",
            1,
            "there is no allocation nodes in VPC prod",
        ),
        (
            "release 0190d6a5-8f0e-7cc0-a7a0-000000000001",
            1,
            "no allocation has ever had the id",
        ),
        ("release prod", 2, "VPC/NAME"),
        ("allocate prod --hosts 5000", 1, "too many"),
        ("allocate prod --prefix-length 27", 1, "/20 to /26"),
        ("allocate prod", 2, "--hosts"),
        ("list --label broken", 1, "key=value"),
        ("list --api-key wrong", 1, "check --api-key"),
        ("list --endpoint nowhere", 2, "endpoint"),
        ("nonsense", 2, "nonsense"),
    ] {
        let ran = cli.run(line);
        assert_eq!(
            (ran.code, ran.stdout.as_str()),
            (code, ""),
            "{line}: {}",
            ran.stderr
        );
        assert!(ran.stderr.contains(says), "{line}: {}", ran.stderr);
        assert!(!ran.stderr.contains(TestServer::API_KEY));
    }
}

#[test]
fn a_server_that_is_away_is_exit_code_3() {
    // Bound and not listening: nobody else gets the port, and nobody answers.
    let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    drop(socket);
    let ran = run(
        &format!("list --endpoint http://{address} --api-key key --retry-timeout 0"),
        &[],
    );
    assert_eq!((ran.code, ran.stdout.as_str()), (3, ""), "{}", ran.stderr);
    assert!(ran.stderr.contains(&address.to_string()), "{}", ran.stderr);
}

#[test]
fn calculations_need_no_server_and_no_key() {
    let sizes = run("calculate --hosts 500 --json", &[]).json();
    assert_eq!(
        sizes,
        json!({
            "requested_hosts": 500,
            "prefix_length": 23,
            "blocks": [
                {"role": "primary", "prefix_length": 23, "addresses": 512, "usable": 507},
                {"role": "cgnat", "prefix_length": 18, "addresses": 16384, "usable": 16379},
            ],
        })
    );
    assert!(
        run("calculate --prefix 24", &[])
            .text()
            .starts_with("A /24\n")
    );
    let ran = run("calculate --hosts 4092", &[]);
    assert_eq!((ran.code, ran.stdout.as_str()), (2, ""));
    assert!(ran.stderr.contains("holds 4,091"), "{}", ran.stderr);
}

#[test]
fn without_a_key_the_command_says_where_to_put_one() {
    let ran = run("list", &[]);
    assert_eq!(ran.code, 2);
    assert!(
        ran.stderr.contains("IPAM_API_KEY") && ran.stderr.contains("/nonexistent/admin-key"),
        "{}",
        ran.stderr
    );
}

#[tokio::test]
async fn whoever_has_or_had_an_address_is_named() {
    let cli = Cli::start().await;
    cli.run("allocate prod --hosts 500 --name nodes").text();
    let now = time::OffsetDateTime::now_utc()
        .format(&time::format_description::well_known::Rfc3339)
        .unwrap();
    let found = cli.run("lookup 10.0.1.7");
    let lines: Vec<Vec<&str>> = found
        .text()
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(
        lines[0],
        ["CIDR", "POOL", "KIND", "OWNER", "SINCE", "UNTIL"]
    );
    assert_eq!(
        lines[1][..4],
        ["10.0.0.0/23", "primary", "allocation", "prod/nodes"]
    );
    assert_eq!(
        lines[2].join(" "),
        "10.0.1.7/32: in pool primary (10.0.0.0/16, VRF default)"
    );
    assert_eq!(
        cli.run("lookup 10.0.2.0/24").text(),
        "10.0.2.0/24: free, in pool primary (10.0.0.0/16, VRF default)\n"
    );
    assert_eq!(
        cli.run("lookup 192.0.2.1").text(),
        "192.0.2.1/32: nobody holds it, in no pool\n"
    );
    assert_eq!(
        cli.run("lookup 10.0.1.7 --at 2020-01-01T00:00:00Z").text(),
        "10.0.1.7/32 at 2020-01-01T00:00:00Z: nobody held it, in pool primary (10.0.0.0/16, VRF default)\n"
    );
    let then = cli
        .run(&format!("lookup 10.0.1.7 --at {now} --json"))
        .json();
    assert_eq!(then["holders"][0]["name"], "nodes");
    let history = cli.run("history 10.0.0.0/8");
    assert_eq!(
        history
            .text()
            .lines()
            .nth(1)
            .unwrap()
            .split_whitespace()
            .nth(3),
        Some("prod/nodes")
    );
    assert_eq!(history.text().lines().count(), 2);
    let all = cli.run("history 0.0.0.0/0 --json").json();
    assert_eq!(all.as_array().unwrap().len(), 2);
    let one = cli.run("history 0.0.0.0/0 --limit 1 --json").json();
    assert_eq!(one, json!([all[0]]));
    let one = cli.run("history 0.0.0.0/0 --limit 1");
    assert!(one.text().ends_with("\nand perhaps more\n"), "{one:?}");
    assert_eq!(
        cli.run("history 192.0.2.0/24").text(),
        "Nobody ever held it\n"
    );
    for (line, word) in [
        ("lookup ten", "neither an address"),
        ("lookup 10.0.0.1/8", "host bits"),
        ("lookup 10.0.0.1 --at today", "2026-01-31T12:00:00Z"),
    ] {
        let ran = cli.run(line);
        assert!(
            ran.code == 2 && ran.stderr.contains(word),
            "{line}: {ran:?}"
        );
    }
    let ran = cli.run("lookup 10.0.0.1 --vrf nope");
    assert!(ran.code == 1 && ran.stderr.contains("nope"), "{ran:?}");
}

/// Answers pages that always have a next one, and says what was asked for.
fn endless(item: &'static str) -> (String, std::sync::mpsc::Receiver<String>) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (asked, requests) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut reader = BufReader::new(stream.unwrap());
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") && reader.read_line(&mut head).unwrap() > 0 {}
            let target = head.split_whitespace().nth(1).unwrap_or_default();
            let limit = target.split_once("limit=").map_or("100", |(_, rest)| rest);
            let limit: usize = limit.split('&').next().unwrap().parse().unwrap();
            let body = json!({"items": vec![serde_json::from_str::<Value>(item).unwrap(); limit], "next_cursor": "more"});
            let body = body.to_string();
            let reply = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nx-request-id: 1\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            );
            // Before the answer: whoever has it asks for what was noted.
            if asked.send(target.to_owned()).is_err() {
                return;
            }
            reader.get_mut().write_all(reply.as_bytes()).unwrap();
        }
    });
    (url, requests)
}

#[test]
fn no_more_is_read_than_is_shown() {
    let holder = r#"{"kind": "reservation", "cidr": "10.0.0.0/24", "vrf": "default", "pool": null, "role": null,
        "allocation_id": null, "reservation_id": null, "vpc": null, "name": null, "reason": "r",
        "since": "2026-01-01T00:00:00Z", "until": null}"#;
    let allocation = r#"{"id": "00000000-0000-0000-0000-000000000000", "number": 1, "vpc": "prod",
        "vpc_id": "00000000-0000-0000-0000-000000000000", "vrf": "default", "name": null, "profile": "node-pod",
        "cidr": "10.0.0.0/26", "prefix_length": 26, "requested_hosts": null, "requested_prefix_length": 26,
        "requested_cidr": null, "blocks": [], "labels": {}, "description": "", "deletion_protection": false, "revision": 1,
        "created_by": "t", "created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00Z"}"#;
    for (line, item) in [("list", allocation), ("history 10.0.0.0/24", holder)] {
        let (url, requests) = endless(item);
        let environment = [
            ("IPAM_ENDPOINT", url),
            ("IPAM_API_KEY", "a-key-of-nobody-0123".to_owned()),
        ];
        for (limit, pages) in [(3, vec![3]), (1000, vec![1000]), (1003, vec![1000, 3])] {
            let ran = run(&format!("{line} --limit {limit} --json"), &environment);
            assert_eq!(ran.json().as_array().unwrap().len(), limit, "{line}");
            let asked: Vec<String> = requests.try_iter().collect();
            assert_eq!(
                asked.len(),
                pages.len(),
                "{line} --limit {limit}: {asked:?}"
            );
            for (request, rows) in asked.iter().zip(pages) {
                let limit = format!("limit={rows}");
                let is_asked = request.split(['?', '&']).any(|it| it == limit);
                assert!(is_asked, "{request} asks for other than {limit}");
            }
        }
    }
}

#[tokio::test]
async fn a_plan_is_exported_and_imported() {
    let cli = Cli::start().await;
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let write = |name: &str, text: &str| {
        std::fs::write(path(name), text).unwrap();
        path(name)
    };
    let plan = write(
        "plan.csv",
        "cidr,vpc,name\n10.0.0.0/24,prod,web\n10.0.1.0/24,prod,db\n",
    );
    let ran = cli.run(&format!("import {plan} --dry-run"));
    assert_eq!(ran.text(), "Would import 1 VPC, 2 allocations\n");
    let ran = cli.run(&format!("import {plan}"));
    assert_eq!(ran.text(), "Imported 1 VPC, 2 allocations\n");
    let ran = cli.run(&format!("import {plan} --json"));
    assert_eq!(ran.json()["unchanged"], 2);

    let wrong = write(
        "wrong.txt",
        "cidr,vpc,name\n10.0.0.128/25,prod,\n192.168.0.0/24,prod,\n",
    );
    let ran = cli.run(&format!("import {wrong}"));
    assert_eq!(ran.code, 2, "{ran:?}");
    for more in ["--format csv", "--format csv --dry-run"] {
        let ran = cli.run(&format!("import {wrong} {more}"));
        assert_eq!(
            (ran.code, ran.stderr.as_str()),
            (1, "ipam: 2 conflicts; nothing was imported\n")
        );
        let lines: Vec<_> = ran.stdout.lines().collect();
        assert!(lines[0].starts_with("LINE  CONFLICT"), "{}", ran.stdout);
        assert!(
            lines[1].contains("prod/web") && lines[1].starts_with("   2  overlap"),
            "{}",
            ran.stdout
        );
        assert!(
            lines[2].starts_with("   3  outside_pool  192.168.0.0/24"),
            "{}",
            ran.stdout
        );
    }
    let bad = write("bad.csv", "cidr,colour\n");
    let ran = cli.run(&format!("import {bad}"));
    assert!(
        ran.code == 1 && ran.stderr.contains("no column \"colour\""),
        "{ran:?}"
    );
    let ran = cli.run("import /nonexistent.csv");
    assert!(
        ran.code == 1 && ran.stderr.contains("/nonexistent.csv"),
        "{ran:?}"
    );

    let ran = cli.run("export");
    let json = ran.text().to_owned();
    let file = path("out.ndjson");
    assert_eq!(cli.run(&format!("export -o {file}")).text(), "");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), json);
    assert!(!std::path::Path::new(&format!("{file}.part")).exists());
    // A format where others take one, and an extension that is none.
    for wrong in ["csv", &path("out.yaml")] {
        let ran = cli.run(&format!("export -o {wrong}"));
        assert!(ran.code == 2 && ran.stderr.contains("--format"), "{ran:?}");
        assert!(!std::path::Path::new(wrong).exists());
    }
    let csv = cli.run("export --format csv").text().to_owned();
    assert_eq!(csv.lines().count(), json.lines().count() + 1);

    let other = Cli::start().await;
    let ran = other.run(&format!("import {file}"));
    assert_eq!(
        ran.text(),
        "Imported 1 VRF, 2 pools, 2 ranges, 1 profile, 1 VPC, 2 allocations\n"
    );
    assert_eq!(other.run("export").text(), json);
    let ran = other.run("export -o /nonexistent/out.csv");
    assert!(
        ran.code == 1 && ran.stderr.contains("can't be written"),
        "{ran:?}"
    );
}
