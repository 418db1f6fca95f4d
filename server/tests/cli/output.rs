//! What is printed, whatever people have named their things: for programs all of it, for terminals what fits and is safe.

use std::io::Read as _;
use std::process::Stdio;

use nix::pty::{Winsize, openpty};
use serde_json::{Value, json};

use crate::Cli;

/// Names and texts that have broken one program or another.
fn hostile() -> Vec<String> {
    let mut all: Vec<String> = [
        "=1+1",
        "=HYPERLINK(\"http://x\")",
        "+1",
        "-1",
        "-rf",
        "--help",
        "@SUM(A1)",
        "'quoted",
        "\"quoted\"",
        "a\"b",
        "a,b",
        "a;b",
        "a;b=c",
        "a|b",
        "a b",
        "a  b",
        "a\\b",
        "\\",
        "$(reboot)",
        "`reboot`",
        "$HOME",
        "~",
        "*",
        "?",
        "[a]",
        "{a,b}",
        "!1",
        "#a",
        "%s%n",
        "%00",
        "&amp;",
        "<b>",
        "</script>",
        "../..",
        ".",
        "..",
        "null",
        "true",
        "0",
        "1e9",
        "0x10",
        "NaN",
        "default2",
        "018f0000-0000-7000-8000-00000000000x",
        "10.0.0.0",
        "::1",
        "größe",
        "Ünïcödé",
        "東京東京東京",
        "한국어",
        "日本語のとても長い名前",
        "עברית",
        "العربية",
        "मानक",
        "🦀",
        "👨",
        "é",
        "e\u{301}",
        "ﬁ",
        "İ",
        "ß",
        "ＡＢＣ",
        "—",
        "…",
        "a\u{a0}b",
        "𝕏",
    ]
    .map(str::to_owned)
    .to_vec();
    all.push("x".repeat(128));
    all.push("東".repeat(128));
    all
}

#[tokio::test]
async fn odd_names_arrive_as_they_are_in_every_form() {
    let cli = Cli::start().await;
    let hostile: Vec<String> = hostile()
        .into_iter()
        // A path can't have it.
        .filter(|name| !name.contains('/'))
        .collect();
    assert!(hostile.len() >= 60, "{}", hostile.len());
    for name in &hostile {
        let label = format!("--label=k={name}");
        let description = format!("--description={name}");
        let made = cli.call(&["vrf", "create", &label, &description, "--json", "--", name]);
        assert_eq!(made.json()["name"], json!(name), "{made:?}");
    }
    let all = cli.call(&["vrf", "list", "--json"]).json();
    let list: Vec<_> = all
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["name"].as_str().unwrap().to_owned())
        .collect();
    let csv = cli.call(&["vrf", "list", "-o", "csv"]);
    let mut reader = csv::Reader::from_reader(csv.text().as_bytes());
    assert_eq!(&reader.headers().unwrap()[0], "name");
    let mut read = Vec::new();
    for row in reader.records() {
        let row = row.unwrap();
        for cell in &row {
            // Numbers of ours are never negative.
            assert!(
                !cell.starts_with(['=', '+', '-', '@', '\t', '\r']),
                "a formula: {cell}"
            );
        }
        let plain = |cell: &str| {
            let rest = cell.strip_prefix('\'');
            rest.filter(|rest| rest.starts_with(['=', '+', '-', '@', '\'']))
                .unwrap_or(cell)
                .to_owned()
        };
        if !row[5].is_empty() && &row[0] != "default" {
            assert_eq!(plain(&row[0]), plain(&row[5]), "name and description");
        }
        read.push(plain(&row[0]));
    }
    assert_eq!(read, list);
    let names = cli.call(&["vrf", "list", "-o", "name"]);
    assert_eq!(names.text().lines().collect::<Vec<_>>(), list);
    let table = cli.call(&["vrf", "list"]);
    assert_eq!(table.text().lines().count(), list.len() + 1);
    assert!(!table.text().contains('…') || hostile.contains(&"…".to_owned()));
    assert!(
        table.text().contains(&"x".repeat(128)),
        "nothing is cut outside of a terminal"
    );
    // What was listed is found by what was listed, and can be changed and deleted.
    for name in &hostile {
        let shown = cli.call(&["vrf", "show", "--json", "--", name]);
        assert_eq!(shown.json()["name"], json!(name), "{shown:?}");
        let deleted = cli.call(&["vrf", "delete", "--json", "--", name]);
        assert_eq!(deleted.json()["name"], json!(name), "{deleted:?}");
    }
    for bad in [
        "a\nb",
        "a\tb",
        "",
        " a",
        "a/b",
        "a\u{202e}b",
        "a\u{200b}b",
        "\u{1b}[2J",
    ] {
        let ran = cli.call(&["vrf", "create", "--", bad]);
        assert!(ran.code == 1 || ran.code == 2, "{bad:?}: {ran:?}");
        assert!(
            !ran.stderr.contains('\u{1b}') && !ran.stderr.contains('\u{202e}'),
            "{ran:?}"
        );
    }
}

/// Runs the command on a terminal with that many columns.
fn on_terminal(cli: &Cli, columns: u16, environment: &[(&str, &str)], words: &[&str]) -> String {
    let size = Winsize {
        ws_row: 24,
        ws_col: columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    let pty = openpty(&size, None).unwrap();
    let mut command = cli.command(words);
    command.envs(environment.iter().copied());
    let mut child = command
        .stdout(Stdio::from(pty.slave))
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    drop(command);
    let mut text = Vec::new();
    let mut terminal = std::fs::File::from(pty.master);
    let mut piece = [0; 4096];
    // A terminal that nobody writes to any more ends with an error.
    while let Ok(read @ 1..) = terminal.read(&mut piece) {
        text.extend_from_slice(&piece[..read]);
    }
    child.wait().unwrap();
    String::from_utf8(text).unwrap().replace("\r\n", "\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_gets_what_fits_and_colours_unless_it_wants_none() {
    let cli = Cli::start().await;
    let long = "a description that is far longer than any terminal of those days when they were made of glass".repeat(3);
    let description = format!("--description={long}");
    cli.call(&["vrf", "create", "東京東京東京東京東京東京", &description])
        .text();
    for columns in [20, 40, 80] {
        let text = on_terminal(&cli, columns, &[("NO_COLOR", "1")], &["vrf", "list"]);
        assert!(text.contains('…') && !text.contains('\u{1b}'), "{text}");
        for line in text.lines() {
            let wide = line.chars().filter(|c| !c.is_ascii() && *c != '…').count();
            assert!(
                line.chars().count() + wide <= columns.into(),
                "{columns}: {line}"
            );
        }
    }
    let text = on_terminal(&cli, 80, &[("TERM", "xterm")], &["vrf", "list"]);
    assert!(text.starts_with("\u{1b}[1mNAME"), "{text:?}");
    let text = on_terminal(&cli, 80, &[("TERM", "dumb")], &["vrf", "list"]);
    assert!(text.starts_with("NAME"), "{text:?}");
    for form in ["csv", "json"] {
        let text = on_terminal(&cli, 40, &[("TERM", "xterm")], &["vrf", "list", "-o", form]);
        assert!(text.contains(&long) && !text.contains('\u{1b}'), "{text}");
    }
    let shown = on_terminal(
        &cli,
        40,
        &[("NO_COLOR", "1")],
        &["vrf", "show", "東京東京東京東京東京東京"],
    );
    assert!(shown.contains(&long), "what is shown alone is shown whole");
}

#[tokio::test]
async fn a_reader_that_goes_away_is_no_failure() {
    let cli = Cli::start().await;
    for number in 0..40 {
        cli.call(&[
            "vrf",
            "create",
            &format!("vrf-{number}"),
            "--description",
            &"x".repeat(1000),
        ])
        .text();
    }
    for words in [
        &["vrf", "list"][..],
        &["vrf", "list", "-o", "csv"],
        &["vrf", "list", "--json"],
        &["events", "--after", "2020-01-01T00:00:00Z"],
        &["events", "--follow"],
    ] {
        let mut child = cli
            .command(words)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // Closed before anything is written.
        drop(child.stdout.take());
        if words.contains(&"--follow") {
            cli.call(&["vrf", "create", "one-more"]).text();
        }
        let output = child.wait_with_output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(
            (output.status.code(), stderr.as_ref()),
            (Some(0), ""),
            "{words:?}"
        );
    }
}

#[tokio::test]
async fn every_reading_command_has_every_form() {
    let cli = Cli::start().await;
    cli.run("allocate prod --hosts 500 --name nodes").text();
    cli.run("reservation create 10.0.8.0/24 --reason Printers")
        .text();
    for line in [
        "list",
        "lookup 10.0.0.7",
        "history 10.0.0.0/8",
        "orphans",
        "events",
        "free",
        "calculate --hosts 5",
        "vrf list",
        "pool list",
        "profile list",
        "vpc list",
        "reservation list",
        "allocation list",
        "vrf show default",
        "pool show primary",
        "profile show node-pod",
        "vpc show prod",
        "reservation show 10.0.8.0/24",
        "allocation show prod/nodes",
    ] {
        let json: Value = cli.run(&format!("{line} -o json")).json();
        assert_eq!(
            cli.run(&format!("{line} --json")).json().is_array(),
            json.is_array()
        );
        let csv = cli.run(&format!("{line} -o csv"));
        let mut reader = csv::Reader::from_reader(csv.text().as_bytes());
        assert!(reader.headers().unwrap().len() > 2, "{line}");
        let rows = reader.records().collect::<Result<Vec<_>, _>>().unwrap();
        assert!(!rows.is_empty(), "{line}");
        let names = cli.run(&format!("{line} -o name"));
        assert_eq!(names.text().lines().count(), rows.len(), "{line}");
        // The first line: an age that stands below it grows meanwhile.
        let first = |line: &str| cli.run(line).text().lines().next().unwrap().to_owned();
        assert_eq!(first(&format!("{line} -o table")), first(line));
        assert_eq!(cli.run(&format!("{line} -o yaml")).code, 2, "{line}");
        assert_eq!(cli.run(&format!("{line} -o csv --json")).code, 2, "{line}");
    }
    for line in [
        "lookup 10.0.0.7 --json --sort cidr",
        "lookup 10.0.0.7 --json --columns cidr",
        "vrf list --json --columns name",
        "history 10.0.0.0/8 -o name --columns cidr",
        "events --follow -o name --columns at",
    ] {
        let refused = cli.run(line);
        assert!(
            refused.code == 2 && refused.stderr.contains("no effect"),
            "{line}: {refused:?}"
        );
    }
    let refused = cli.run("pool list --sort colour");
    assert!(
        refused.code == 2 && refused.stderr.contains("there are name, vrf"),
        "{refused:?}"
    );
}
