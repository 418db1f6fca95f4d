//! What an allocation's page offers to copy, read by those that it is for.

use std::process::Command;

use super::{
    nouns::unescaped,
    visitor::{Reply, Visitor},
};

/// What can be copied.
fn copy(page: &Reply, id: &str) -> String {
    let start = format!("<pre id=\"{id}\" tabindex=\"0\">");
    let at = page.text.find(&start).expect(&page.text) + start.len();
    unescaped(page.text[at..].split("</pre>").next().unwrap())
}

/// The value of an expression, as Terraform understands it.
fn of_terraform(expressions: &[&str]) -> Vec<serde_json::Value> {
    let place = tempfile::tempdir().unwrap();
    let outputs: String = expressions
        .iter()
        .enumerate()
        .map(|(number, it)| format!("output \"o{number}\" {{\n  value = {it}\n}}\n"))
        .collect();
    std::fs::write(place.path().join("main.tf"), outputs).unwrap();
    let run = |arguments: &[&str]| {
        let done = Command::new("terraform")
            .args(arguments)
            .current_dir(place.path())
            .env("CHECKPOINT_DISABLE", "1")
            .output()
            .expect("terraform");
        assert!(done.status.success(), "{done:?}");
        done.stdout
    };
    run(&["apply", "-auto-approve", "-no-color"]);
    let outputs: serde_json::Value = serde_json::from_slice(&run(&["output", "-json"])).unwrap();
    (0..expressions.len())
        .map(|number| outputs[format!("o{number}")]["value"].clone())
        .collect()
}

/// The right side of an argument of a configuration.
fn argument<'a>(hcl: &'a str, name: &str) -> &'a str {
    let line = hcl.lines().find(|line| {
        let line = line.trim_start();
        line.strip_prefix(name)
            .is_some_and(|rest| rest.trim_start().starts_with('='))
    });
    line.expect(hcl).split_once('=').unwrap().1.trim()
}

#[tokio::test]
async fn terraform_reads_what_people_typed_and_nothing_else() {
    const EVIL: &str = "a \"b\" ${file(\"x\")} $${c} %{if true} %%{d} \\ \\n 'e' \u{202e}f ü";
    let visitor = Visitor::signed_in().await;
    let text = format!("{EVIL}\n\ttwo");
    let path = visitor
        .allocate(&[
            ("vpc", "a"),
            ("name", "b"),
            ("hosts", "500"),
            ("description", &text),
        ])
        .await;
    // Old releases took names that turn the direction of what follows.
    for table in ["vpc", "allocation"] {
        let sql = format!("update {table} set name = $1");
        sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(EVIL)
            .execute(&visitor.pool)
            .await
            .unwrap();
    }
    let page = visitor.get(&path).await;
    let (hcl, block) = (copy(&page, "hcl"), copy(&page, "import-block"));
    assert!(
        !hcl.contains('\u{202e}') && !block.contains('\u{202e}'),
        "{hcl}"
    );
    let list = copy(&page, "hcl-list");
    let read = of_terraform(&[
        argument(&hcl, "vpc"),
        argument(&hcl, "name"),
        argument(&hcl, "description"),
        argument(&block, "vpc"),
        argument(&block, "name"),
        list.trim(),
    ]);
    let networks = serde_json::json!(["10.0.0.0/23", "100.64.0.0/18"]);
    assert_eq!(
        read,
        [
            EVIL.into(),
            EVIL.into(),
            text.into(),
            EVIL.into(),
            EVIL.into(),
            networks
        ]
    );
    // A shell gets the id, since the name would not look like what it is.
    let id = path.rsplit('/').next().unwrap();
    assert!(copy(&page, "import").ends_with(&format!(" '{id}'")));
    assert_eq!(copy(&page, "list"), "10.0.0.0/23\n100.64.0.0/18");
    copy(&page, "nft");
}

#[tokio::test]
async fn a_pasted_shell_line_is_one_word_and_releases_nothing() {
    let visitor = Visitor::signed_in().await;
    let path = visitor
        .allocate(&[
            ("vpc", "it's $(touch x) `y`; z"),
            ("name", "a\\b"),
            ("hosts", "5"),
        ])
        .await;
    let page = visitor.get(&path).await;
    let lines = copy(&page, "cli");
    let script = format!("ipam() {{ printf '%s\\n' \"$@\"; }}\n{lines}");
    let done = Command::new("bash").args(["-c", &script]).output().unwrap();
    let said = String::from_utf8(done.stdout).unwrap();
    let words: Vec<_> = said.lines().collect();
    assert_eq!(
        words[..3],
        ["allocation", "show", "it's $(touch x) `y`; z/a\\b"]
    );
    assert!(
        words.contains(&"--dry-run") && !words.contains(&"release"),
        "{said}"
    );
}
