//! Completion, as a shell asks for it: from a server, and from one that is dead or says nothing.

use std::process::Command;
use std::time::{Duration, Instant};

use ipam_testing::TestServer;

use crate::{Cli, command, ended, proof::recorder, run};

/// What may follow these words, the last of which is being typed.
fn complete(words: &[&str], environment: &[(&str, String)]) -> Vec<String> {
    let mut line = vec!["--", "ipam"];
    line.extend(words);
    let mut command = command(&line, environment);
    command
        .env("IPAM_COMPLETE", "bash")
        .env("_CLAP_IFS", "\n")
        .env("_CLAP_COMPLETE_INDEX", words.len().to_string())
        .env("_CLAP_COMPLETE_COMP_TYPE", "9")
        .env("_CLAP_COMPLETE_SPACE", "true");
    let ran = ended(command.output().unwrap());
    assert!(!ran.stdout.contains(TestServer::API_KEY), "{ran:?}");
    ran.text().lines().map(|it| it.trim().to_owned()).collect()
}

fn environment(endpoint: &str) -> Vec<(&'static str, String)> {
    vec![
        ("IPAM_ENDPOINT", endpoint.to_owned()),
        ("IPAM_API_KEY", TestServer::API_KEY.to_owned()),
    ]
}

#[tokio::test]
async fn names_are_completed_with_what_the_server_has() {
    let cli = Cli::start().await;
    cli.run("vrf create dev").text();
    cli.run("pool create web --vrf dev --range 10.9.0.0/16")
        .text();
    cli.run("allocate prod --hosts 5 --name nodes").text();
    cli.run("reservation create 10.0.8.0/24 --reason r").text();
    for odd in ["$(reboot)", "`id`", "a b", "a;b", "-x"] {
        cli.call(&["vrf", "create", "--", odd]).text();
    }
    let environment = environment(&cli.server.url());
    let of = |words: &[&str]| complete(words, &environment);
    assert_eq!(
        of(&["pool", "show", ""])[..3],
        ["default/cgnat", "default/primary", "dev/web"].map(str::to_owned)
    );
    assert_eq!(of(&["pool", "delete", "dev/"]), ["dev/web"]);
    assert_eq!(of(&["vrf", "show", "d"]), ["default", "dev"]);
    let all = of(&["vrf", "show", ""]);
    let names: Vec<_> = all.iter().filter(|it| !it.starts_with("--")).collect();
    assert_eq!(names, ["default", "dev"], "nothing that a shell would run");
    assert_eq!(of(&["release", "prod/"]), ["prod/nodes"]);
    assert_eq!(of(&["allocation", "resize", "pr"]), ["prod/nodes"]);
    assert_eq!(of(&["allocate", "p"]), ["prod"]);
    assert_eq!(of(&["allocate", "prod", "--pool", "w"]), ["web"]);
    assert_eq!(of(&["allocate", "prod", "--profile", ""]), ["node-pod"]);
    assert_eq!(
        of(&["reservation", "delete", "default/"]),
        ["default/10.0.8.0/24"]
    );
    assert_eq!(of(&["pool", "list", "--vrf", "de"]), ["default", "dev"]);
    assert_eq!(of(&["poo"]), ["pool"]);
    assert_eq!(of(&["pool", "upd"]), ["update"]);
    assert!(of(&["pool", "list", "-o", ""]).contains(&"csv".to_owned()));
    // The server that the line names is the one that is asked.
    let other = Cli::start().await;
    let url = other.server.url();
    assert_eq!(
        complete(&["vrf", "show", "--url", &url, "d"], &environment),
        ["default"]
    );
}

#[test]
fn the_key_of_one_server_is_not_sent_to_another() {
    let (url, heard) = recorder(|_| r#"{"items": [], "next_cursor": null}"#.to_owned());
    let environment = environment("http://127.0.0.1:9");
    let of = |words: &[&str]| {
        let mut line = vec!["pool", "show", "--endpoint", &url];
        line.extend(words);
        line.push("d");
        assert!(complete(&line, &environment).is_empty());
        std::mem::take(&mut *heard.lock().unwrap())
    };
    let asked = of(&["--api-key", "the-key-of-this-server"]);
    assert!(
        asked.contains("the-key-of-this-server") && !asked.contains(TestServer::API_KEY),
        "{asked}"
    );
    assert_eq!(of(&["--api-key", "$KEY"]), "", "nobody knows which key");
}

#[test]
fn a_server_that_does_not_answer_does_not_hang_the_shell() {
    // Accepts and says nothing; and nobody.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let dead = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let dead_address = dead.local_addr().unwrap();
    drop(dead);
    for address in [silent.local_addr().unwrap(), dead_address] {
        let begin = Instant::now();
        let found = complete(
            &["vrf", "show", "d"],
            &environment(&format!("http://{address}")),
        );
        assert!(found.is_empty(), "{found:?}");
        assert!(
            begin.elapsed() < Duration::from_secs(3),
            "{:?}",
            begin.elapsed()
        );
    }
    // Without any key, and with an address that makes no sense.
    assert!(complete(&["vrf", "show", "d"], &[]).is_empty());
    assert!(complete(&["vrf", "show", "d"], &environment("nonsense")).is_empty());
}

#[tokio::test]
async fn bash_completes() {
    let cli = Cli::start().await;
    for shell in ["bash", "zsh", "fish"] {
        let text = run(&format!("completion {shell}"), &[]).text().to_owned();
        assert!(text.contains("IPAM_COMPLETE"), "{text}");
    }
    assert_eq!(run("completion tcsh", &[]).code, 2);
    let dir = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_ipam"), dir.path().join("ipam")).unwrap();
    let script = r#"source <(ipam completion bash)
        COMP_WORDS=(ipam pool show default/p) COMP_CWORD=3 COMP_TYPE=9
        _clap_complete_ipam ipam default/p show
        printf '%s\n' "${COMPREPLY[@]}""#;
    let path = format!(
        "{}:{}",
        dir.path().display(),
        std::env::var("PATH").unwrap()
    );
    let output = Command::new("bash")
        .args(["--norc", "-c", script])
        .env_clear()
        .env("PATH", path)
        .envs(environment(&cli.server.url()))
        .output()
        .unwrap();
    let ran = ended(output);
    assert!(ran.stdout.trim() == "default/primary", "{ran:?}");
}
