//! The file of contexts: several servers, and no secret that is ever shown.

use std::fs::{self, Permissions};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Stdio;

use ipam_testing::TestServer;
use tempfile::TempDir;

use crate::{Cli, Ran, command, ended};

/// A home of its own.
struct Home(TempDir);

impl Home {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn file(&self) -> PathBuf {
        self.0.path().join(".config/ipam/config.toml")
    }

    fn write(&self, text: &str, mode: u32) {
        fs::create_dir_all(self.file().parent().unwrap()).unwrap();
        fs::write(self.file(), text).unwrap();
        fs::set_permissions(self.file(), Permissions::from_mode(mode)).unwrap();
    }

    fn run(&self, line: &str, more: &[(&str, &str)]) -> Ran {
        self.fed(line, more, "")
    }

    /// With something on the standard input.
    fn fed(&self, line: &str, more: &[(&str, &str)], input: &str) -> Ran {
        let mut environment = vec![("HOME", self.0.path().to_str().unwrap().to_owned())];
        environment.extend(
            more.iter()
                .map(|(name, value)| (*name, (*value).to_owned())),
        );
        let words: Vec<_> = line.split_whitespace().collect();
        let mut child = command(&words, &environment)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // It may not want any.
        _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        let ran = ended(child.wait_with_output().unwrap());
        for text in [&ran.stdout, &ran.stderr] {
            assert!(!text.contains(TestServer::API_KEY), "{line}: {text}");
            assert!(!text.contains("hunter2"), "{line}: {text}");
        }
        ran
    }
}

#[tokio::test]
async fn several_servers_are_used_by_their_names() {
    let (one, two) = (Cli::start().await, Cli::start().await);
    one.run("vrf create in-one").text();
    two.run("vrf create in-two").text();
    let home = Home::new();
    assert_eq!(home.run("context list", &[]).text(), "No contexts\n");
    let add = format!(
        "context add one --endpoint {} --key-stdin",
        one.server.url()
    );
    let added = home.fed(&add, &[], &format!("{}\n", TestServer::API_KEY));
    assert!(
        added.text().ends_with("config.toml, and it is in use\n"),
        "{}",
        added.stdout
    );
    let mode = fs::metadata(home.file()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let key_file = home.0.path().join("two.key");
    fs::write(&key_file, format!("{}\n", TestServer::API_KEY)).unwrap();
    let add = format!(
        "context add two --endpoint {} --key-file {}",
        two.server.url(),
        key_file.display()
    );
    home.run(&add, &[]).text();
    let wrong = home.run(
        &add.replace("two.key", "no.key")
            .replace("add two", "add three"),
        &[],
    );
    assert!(
        wrong.code == 2 && wrong.stderr.contains("no.key"),
        "{wrong:?}"
    );

    let vrf = |more: &str, environment: &[(&str, &str)]| {
        let line = format!("vrf list -o name --sort -name --limit 1 {more}");
        home.run(&line, environment).text().trim().to_owned()
    };
    assert_eq!(vrf("", &[]), "in-one");
    assert_eq!(vrf("--context two", &[]), "in-two");
    assert_eq!(vrf("", &[("IPAM_CONTEXT", "two")]), "in-two");
    let url = two.server.url();
    // The environment goes before the context in use, and an option before the environment.
    let environment = [
        ("IPAM_ENDPOINT", url.as_str()),
        ("IPAM_API_KEY", TestServer::API_KEY),
    ];
    assert_eq!(vrf("", &environment), "in-two");
    assert_eq!(vrf("--context one", &environment), "in-one");
    assert_eq!(
        vrf(&format!("--url {}", one.server.url()), &environment),
        "in-one"
    );
    // The key of the server on this machine is not for another one.
    assert_eq!(vrf("", &[("API_KEY", "the-key-of-this-machine")]), "in-one");
    let ran = home.run(
        "list --endpoint http://192.0.2.1:9 --retry-timeout 0",
        &[("API_KEY", "the-key-of-this-machine")],
    );
    assert!(
        ran.code == 2 && ran.stderr.contains("another machine"),
        "{ran:?}"
    );
    // The key of one server is not for another one.
    let ran = home.run(&format!("list --endpoint {url}"), &[]);
    assert_eq!(ran.code, 2, "{ran:?}");
    let ran = home.run("list", &[("IPAM_API_KEY", "another-key-0123")]);
    assert!(
        ran.code == 1 && ran.stderr.contains("(unauthorized"),
        "{ran:?}"
    );

    home.run("context use two", &[]).text();
    assert_eq!(vrf("", &[]), "in-two");
    let list = home.run("context list --json", &[]).json();
    assert_eq!(
        (&list[0]["key"], &list[1]["current"]),
        (&"kept here (not shown)".into(), &true.into())
    );
    assert_eq!(home.run("context list -o name", &[]).text(), "one\ntwo\n");
    assert!(home.run("context show", &[]).text().contains("two.key"));
    assert!(
        home.run("context show one", &[])
            .text()
            .contains(&one.server.url())
    );
    let ran = home.run("context use three", &[]);
    assert!(
        ran.code == 2 && ran.stderr.contains("there is one, two"),
        "{ran:?}"
    );
    home.run("context remove two", &[]).text();
    assert_eq!(home.run("context show", &[]).code, 2, "none is in use");
    assert!(!fs::read_to_string(home.file()).unwrap().contains("two"));
}

#[test]
fn a_file_that_is_wrong_is_refused_with_what_to_do() {
    let home = Home::new();
    let key = "current = \"a\"\n[contexts.a]\nendpoint = \"http://127.0.0.1:1\"\nkey = \"hunter2hunter2\"\n";
    for mode in [0o644, 0o640, 0o604, 0o666, 0o620] {
        home.write(key, mode);
        for line in ["list --retry-timeout 0", "context list", "context show a"] {
            let ran = home.run(line, &[]);
            assert!(
                ran.code == 2 && ran.stderr.contains("chmod 600"),
                "{mode:o} {line}: {ran:?}"
            );
        }
    }
    for mode in [0o600, 0o400] {
        home.write(key, mode);
        assert_eq!(
            home.run("list --retry-timeout 0", &[]).code,
            3,
            "nobody is there"
        );
        assert!(home.run("context show", &[]).text().contains("not shown"));
    }
    for (text, says) in [
        (
            "[contexts.a]\nendpoint = \"http://h\"\nkeey = \"hunter2\"\n",
            "unknown field \"keey\"",
        ),
        (
            "[context.a]\nendpoint = \"http://h\"\n",
            "unknown field \"context\"",
        ),
        (
            "[contexts.a]\nendpoint = \"http://h\"\nkey = hunter2\n",
            "line 3 is not TOML",
        ),
        (
            "current = \"b\"\n[contexts.a]\nendpoint = \"http://h\"\n",
            "there is no context \"b\"",
        ),
        ("[contexts.a]\nkey = \"hunter2\"\n", "endpoint is missing"),
    ] {
        home.write(text, 0o600);
        let ran = home.run("list", &[]);
        assert!(
            ran.code == 2 && ran.stderr.contains(says),
            "{text}: {ran:?}"
        );
        assert!(ran.stderr.contains("config.toml"), "{ran:?}");
        // What needs no server needs no file either.
        assert_eq!(home.run("calculate --hosts 5", &[]).code, 0);
    }
    home.write("", 0o600);
    let elsewhere = home.0.path().join("xdg");
    let xdg = [("XDG_CONFIG_HOME", elsewhere.to_str().unwrap())];
    let added = home.run("context add x --endpoint http://h", &xdg);
    assert!(
        added.text().contains("xdg/ipam/config.toml"),
        "{}",
        added.stdout
    );
    for (line, says) in [
        ("context add x --endpoint nowhere", "endpoint"),
        (
            "context add x --endpoint http://h --ca-file /nonexistent",
            "CA file",
        ),
        (
            "context add x --endpoint http://me:hunter2@h",
            "user or password",
        ),
        ("context add x --endpoint http://h --key-stdin", "no key"),
        ("context remove x", "there is no context"),
        ("list --context x", "there is no context"),
    ] {
        let ran = home.run(line, &[]);
        assert!(
            ran.code == 2 && ran.stderr.contains(says),
            "{line}: {ran:?}"
        );
    }
    assert_eq!(fs::read_to_string(home.file()).unwrap(), "");
}
