//! Tokens: who gets a secret, how it is changed, and that Terraform keeps it nowhere.

use std::{fs, path::Path, time::Duration};

use ipam_shared::secret::Secret;
use reqwest::{Method, StatusCode};
use serde_json::{Value as Json, json};

use crate::stack::{Stack, Workspace};

/// Time after which no server accepts what was revoked or changed.
const SECOND: Duration = Duration::from_secs(1);

const COUNT: &str = "select count(*) from token";

fn secret() -> String {
    Secret::generate().unwrap().reveal().to_owned()
}

/// A token whose secret comes from outside, as from a secret store that has it.
fn given(rest: &str) -> String {
    format!(
        "variable \"secret\" {{\n  type      = string\n  ephemeral = true\n}}\nresource \"ipam_token\" \"ci\" {{\n  name      = \
         \"ci\"\n  secret_wo = var.secret\n{rest}\n}}\n"
    )
}

impl Stack {
    /// What the server answers to somebody with that secret.
    async fn get(&self, path: &str, secret: &str) -> (StatusCode, Json) {
        _ = rustls::crypto::ring::default_provider().install_default();
        let url = format!("{}/api/v1/{path}", self.server.url());
        let request = reqwest::Client::new().get(url).bearer_auth(secret);
        let response = request.send().await.unwrap();
        let status = response.status();
        let text = response.text().await.unwrap();
        (status, serde_json::from_str(&text).unwrap())
    }

    async fn whoami(&self, secret: &str) -> (StatusCode, Json) {
        self.get("whoami", secret).await
    }

    /// Panics unless the server answers that secret so.
    async fn is(&self, status: StatusCode, secret: &str) {
        assert_eq!(self.whoami(secret).await.0, status);
    }
}

/// Panics if a file of the workspace has the secret, or the part of it that is one.
fn nowhere(dir: &Path, secret: &str, but: &str) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            nowhere(&path, secret, but);
        } else if !path.ends_with(but) {
            let bytes = fs::read(&path).unwrap();
            let text = String::from_utf8_lossy(&bytes);
            assert!(!text.contains(&secret[18..50]), "{}", path.display());
        }
    }
}

async fn planned(terraform: &Workspace) -> String {
    let run = terraform
        .terraform(&["plan", "-no-color", "-input=false", "-out=plan"])
        .await;
    run.succeeded();
    let shown = terraform.terraform(&["show", "-json", "plan"]).await;
    shown.succeeded().text
}

#[tokio::test]
async fn a_token_lives_and_its_secret_is_in_no_file() {
    let stack = Stack::start().await;
    let (first, second) = (secret(), secret());
    let log = |terraform: Workspace| {
        let path = terraform.path("trace.log").display().to_string();
        terraform
            .variable("TF_LOG", "TRACE")
            .variable("TF_LOG_PATH", &path)
    };
    let terraform = log(stack.workspace()).variable("TF_VAR_secret", &first);
    terraform.write(&given("roles = [\"allocator\"]"));
    let plan = planned(&terraform).await;
    assert!(!plan.contains(&first[18..50]));
    terraform
        .terraform(&["apply", "-no-color", "-input=false", "plan"])
        .await
        .succeeded()
        .does_not_say(&first[18..50]);
    let (status, who) = stack.whoami(&first).await;
    assert_eq!(
        (status, &who["actor"]),
        (StatusCode::OK, &json!("token/ci"))
    );
    terraform.plan_is_empty().await;
    let made = terraform.show("ipam_token.ci").await;
    assert_eq!(made["public_id"], first[5..17]);
    assert_eq!(made["secret_wo"], Json::Null);

    // In place, without touching the secret.
    let steps = [
        (
            "roles = [\"reader\", \"allocator\"]\ndescription = \"the pipeline\"\nexpires_at = \
             \"2099-01-01T02:00:00+02:00\"\nlimits = { vpcs = [\"ci-*\"], pools = [], labels = { env = \"ci\" } }",
            json!({"expires_at": "2099-01-01T02:00:00+02:00", "roles": ["allocator", "reader"]}),
        ),
        (
            "roles = [\"allocator\"]\nlimits = {}",
            json!({"expires_at": null, "description": ""}),
        ),
        ("roles = [\"allocator\"]", json!({"limits": null})),
    ];
    for (rest, shows) in steps {
        terraform.write(&given(rest));
        terraform
            .plan_changes()
            .await
            .says("Plan: 0 to add, 1 to change, 0 to destroy.")
            .does_not_say("public_id");
        terraform.apply().await.succeeded();
        terraform.plan_is_empty().await;
        let shown = terraform.show("ipam_token.ci").await;
        for (name, value) in shows.as_object().unwrap() {
            assert_eq!(&shown[name], value, "{name}");
        }
        assert_eq!(shown["id"], made["id"]);
    }
    stack.is(StatusCode::OK, &first).await;

    // The store has another one: the plan says so, and the token follows.
    let rotated = log(terraform.copy()).variable("TF_VAR_secret", &second);
    rotated
        .plan_changes()
        .await
        .says(&format!(
            "public_id = \"{}\" -> (known after apply)",
            &first[5..17]
        ))
        .does_not_say(&second[18..50]);
    rotated.apply().await.succeeded();
    rotated.plan_is_empty().await;
    tokio::time::sleep(SECOND).await;
    stack.is(StatusCode::UNAUTHORIZED, &first).await;
    stack.is(StatusCode::OK, &second).await;

    for by in ["ci", "CI", made["id"].as_str().unwrap()] {
        let rm = ["state", "rm", "ipam_token.ci"];
        rotated.terraform(&rm).await.succeeded();
        let import = ["import", "-no-color", "-input=false", "ipam_token.ci", by];
        rotated.terraform(&import).await.succeeded();
        rotated.plan_is_empty().await;
    }
    // Another name is another token.
    rotated
        .write(&given("roles = [\"allocator\"]").replace("\"ci\"\n  secret", "\"cd\"\n  secret"));
    rotated
        .plan_changes()
        .await
        .says("Plan: 1 to add, 0 to change, 1 to destroy.");
    rotated.apply().await.succeeded();
    assert_eq!(stack.whoami(&second).await.1["actor"], "token/cd");
    rotated.destroy().await.succeeded();
    tokio::time::sleep(SECOND).await;
    stack.is(StatusCode::UNAUTHORIZED, &second).await;
    assert_eq!(stack.count(COUNT).await, 0);
    for (workspace, secret) in [(&terraform, &first), (&rotated, &second)] {
        assert!(fs::metadata(workspace.path("trace.log")).unwrap().len() > 100_000);
        nowhere(&workspace.path("."), secret, "");
    }
    let events = stack
        .api(Method::GET, "events?limit=1000", Json::Null)
        .await;
    let events = events.to_string();
    assert!(events.contains(&second[5..17]) && !events.contains(&second[18..50]));
}

/// A secret that every run makes anew, and that goes to two places: only the version changes both.
fn made(version: u32) -> String {
    format!(
        r#"
ephemeral "ipam_token_secret" "ci" {{}}
resource "terraform_data" "store" {{
  triggers_replace = {version}
  provisioner "local-exec" {{
    command     = "printf %s \"$SECRET\" > stored"
    environment = {{ SECRET = ephemeral.ipam_token_secret.ci.secret }}
  }}
}}
resource "ipam_token" "ci" {{
  name              = "ci"
  roles             = ["reader"]
  secret_wo         = ephemeral.ipam_token_secret.ci.secret
  secret_wo_version = {version}
  depends_on        = [terraform_data.store]
}}
"#
    )
}

#[tokio::test]
async fn a_secret_that_is_made_goes_to_its_store_and_rotates_by_its_version() {
    let stack = Stack::start().await;
    let terraform = stack.workspace();
    let stored = || fs::read_to_string(terraform.path("stored")).unwrap();
    terraform.write(&made(1));
    terraform.apply().await.succeeded();
    terraform.plan_is_empty().await;
    let first = stored();
    stack.is(StatusCode::OK, &first).await;
    terraform.write(&made(2));
    terraform
        .plan_changes()
        .await
        .says("secret_wo_version = 1 -> 2")
        .says("public_id");
    terraform.apply().await.succeeded();
    terraform.plan_is_empty().await;
    let second = stored();
    tokio::time::sleep(SECOND).await;
    stack.is(StatusCode::UNAUTHORIZED, &first).await;
    stack.is(StatusCode::OK, &second).await;
    assert_eq!(
        terraform.show("ipam_token.ci").await["public_id"],
        second[5..17]
    );
    // Imported, the version is noted, and the secret stays.
    for arguments in [
        &["state", "rm", "ipam_token.ci"][..],
        &["import", "-no-color", "-input=false", "ipam_token.ci", "ci"],
    ] {
        terraform.terraform(arguments).await.succeeded();
    }
    terraform.plan_changes().await.does_not_say("public_id");
    terraform.apply().await.succeeded();
    terraform.plan_is_empty().await;
    stack.is(StatusCode::OK, &second).await;
    // Nor does it change for a new description.
    let config = made(2).replace("roles ", "description = \"CI\"\n  roles ");
    terraform.write(&config);
    terraform.apply().await.succeeded();
    stack.is(StatusCode::OK, &second).await;
    nowhere(&terraform.path("."), &first, "stored");
    nowhere(&terraform.path("."), &second, "stored");
    terraform.destroy().await.succeeded();
}

#[tokio::test]
async fn what_somebody_revokes_is_made_again() {
    let stack = Stack::start().await;
    let secret = secret();
    let terraform = stack.workspace().variable("TF_VAR_secret", &secret);
    terraform.write(&given("roles = [\"reader\"]"));
    terraform.apply().await.succeeded();
    let before = terraform.show("ipam_token.ci").await["id"].clone();
    terraform.write(&given("roles = [\"allocator\"]"));
    planned(&terraform).await;
    stack.api(Method::DELETE, "tokens/ci", Json::Null).await;
    terraform
        .terraform(&["apply", "-no-color", "-input=false", "plan"])
        .await
        .failed()
        .says("was deleted at");
    terraform
        .plan_changes()
        .await
        .says("Plan: 1 to add, 0 to change, 0 to destroy.")
        .says("The token ci was deleted");
    // The store still has the secret, so whoever uses it needs no other.
    terraform.apply().await.succeeded();
    terraform.plan_is_empty().await;
    assert_ne!(terraform.show("ipam_token.ci").await["id"], before);
    stack.is(StatusCode::OK, &secret).await;
}

#[tokio::test]
async fn a_second_state_is_refused_with_the_import_and_takes_nothing_over() {
    let stack = Stack::start().await;
    let (first, second) = (secret(), secret());
    let terraform = stack.workspace().variable("TF_VAR_secret", &first);
    terraform.write(&given("roles = [\"reader\"]"));
    terraform.apply().await.succeeded();
    terraform.plan_is_empty().await;
    let other = stack.workspace().variable("TF_VAR_secret", &second);
    other.write(&given("roles = [\"reader\"]"));
    other
        .apply()
        .await
        .failed()
        .says("terraform import ADDRESS 'ci'");
    stack.is(StatusCode::OK, &first).await;
    stack.is(StatusCode::UNAUTHORIZED, &second).await;
    // Nor do two tokens share a secret.
    let same = stack.workspace().variable("TF_VAR_secret", &first);
    same.write(&given("roles = [\"admin\"]").replace("\"ci\"\n  secret", "\"root\"\n  secret"));
    same.apply()
        .await
        .failed()
        .says("no two tokens may share one")
        .does_not_say(&first[18..50]);
    assert_eq!(stack.count(COUNT).await, 1);
}

#[tokio::test]
async fn a_pool_that_is_made_anew_is_covered_again_by_its_id() {
    let stack = Stack::start().await;
    let secret = secret();
    let terraform = stack.workspace().variable("TF_VAR_secret", &secret);
    let config = |vrf: &str, name: &str| {
        format!(
            "resource \"ipam_vrf\" \"dev\" {{\n  name = \"dev\"\n}}\nresource \"ipam_pool\" \"team\" {{\n  name = \
             \"{name}\"\n  vrf = {vrf}\n  ranges = [\"10.64.0.0/16\"]\n}}\n{}",
            given("roles = [\"reader\"]\nlimits = { pools = [ipam_pool.team.id] }")
        )
    };
    let covered = async || {
        tokio::time::sleep(SECOND).await;
        let (_, pools) = stack.get("pools", &secret).await;
        let pools = pools["items"].as_array().unwrap();
        let name = |pool: &Json| {
            format!(
                "{}/{}",
                pool["vrf"].as_str().unwrap(),
                pool["name"].as_str().unwrap()
            )
        };
        pools.iter().map(name).collect::<Vec<_>>()
    };
    terraform.write(&config("\"default\"", "team"));
    terraform.apply().await.succeeded();
    assert_eq!(covered().await, ["default/team"]);
    terraform.write(&config("\"default\"", "crew"));
    terraform.apply().await.succeeded();
    terraform.plan_is_empty().await;
    assert_eq!(covered().await, ["default/crew"]);
    // Another one of the same name.
    terraform.write(&config("ipam_vrf.dev.name", "crew"));
    terraform.apply().await.succeeded();
    terraform.plan_is_empty().await;
    assert_eq!(covered().await, ["dev/crew"]);
    terraform.destroy().await.succeeded();
}

#[tokio::test]
async fn a_quota_is_kept_and_an_apply_says_that_it_is_used_up() {
    let stack = Stack::start().await;
    let secret = secret();
    let terraform = stack.workspace().variable("TF_VAR_secret", &secret);
    let config = |quotas: &str| {
        format!(
            "resource \"ipam_pool\" \"six\" {{\n  name = \"six\"\n  ranges = [\"2001:db8::/40\"]\n}}\n{}\n\
             data \"ipam_token\" \"ci\" {{\n  id = ipam_token.ci.id\n}}\n",
            given(&format!(
                "roles = [\"allocator\"]\nlimits = {{ vpcs = [\"ci-*\"], quotas = {quotas} }}"
            ))
        )
    };
    // What the wire has as an integer, and as text.
    for six in [
        "4503599627370496",
        "9223372036854775807",
        "9223372036854775808",
        "18446744073709551614",
        "18446744073709551616",
        "3 * 1208925819614629174706176",
    ] {
        terraform.write(&config(&format!(
            "{{ \"default/primary\" = 64, (ipam_pool.six.id) = {six} }}"
        )));
        terraform.apply().await.succeeded();
        terraform.plan_is_empty().await;
    }
    terraform.write(&config("{ \"default/primary\" = 64 }"));
    terraform.apply().await.succeeded();
    terraform.plan_is_empty().await;
    let ask = |names: &str| {
        format!(
            "resource \"ipam_allocation\" \"one\" {{\n  for_each = toset({names})\n  vpc = \"ci-1\"\n  name = each.key\n  \
             prefix_length = 26\n}}\n"
        )
    };
    let user = stack.workspace().variable("IPAM_API_KEY", &secret);
    user.write(&ask("[\"a\"]"));
    user.apply().await.succeeded();
    user.plan_is_empty().await;
    user.write(&ask("[\"a\", \"b\"]"));
    user.apply().await.failed().says("(quota_exceeded");
    // What is given back makes room.
    user.write(&ask("[]"));
    user.apply().await.succeeded();
    user.write(&ask("[\"b\"]"));
    user.apply().await.succeeded();
    for (quotas, says) in [
        ("{ \"default/primary\" = 1.5 }", "whole number"),
        ("{ \"default/primary\" = -1 }", "whole number"),
        ("{ \"default/primary\" = 0.1 }", "whole number"),
        (
            "{ \"default/primary\" = 18446744073709551617 }",
            "write 18446744073709551616 in place of 18446744073709551617",
        ),
    ] {
        terraform.write(&config(quotas));
        terraform.plan().await.failed().says(says);
    }
    user.destroy().await.succeeded();
    terraform.write(&config("{}"));
    terraform.apply().await.succeeded();
    terraform.plan_is_empty().await;
    terraform.destroy().await.succeeded();
}

#[tokio::test]
async fn refusals_say_what_to_do_and_show_no_secret() {
    let stack = Stack::start().await;
    let good = secret();
    let slip = good.replacen(
        &good[20..21],
        if &good[20..21] == "0" { "1" } else { "0" },
        1,
    );
    let terraform = stack.workspace().variable("TF_VAR_secret", &slip);
    terraform.write(&given("roles = [\"reader\"]"));
    terraform
        .plan()
        .await
        .failed()
        .says("Unsuitable secret")
        .does_not_say(&slip[22..50]);
    let terraform = stack.workspace().variable("TF_VAR_secret", &good);
    for (rest, says) in [
        ("roles = [\"root\"]", "there is no role \"root\""),
        ("roles = []", "at least one role"),
        (
            "roles = [\"admin\"]\nlimits = { vpcs = [\"a\"] }",
            "The role admin can't be limited",
        ),
        (
            "roles = [\"reader\"]\nlimits = { vpcs = [\"a/b\"] }",
            "pattern of names",
        ),
        (
            "roles = [\"reader\"]\nexpires_at = \"tomorrow\"",
            "RFC 3339",
        ),
    ] {
        terraform.write(&given(rest));
        terraform.plan().await.failed().says(says);
    }
    terraform.write(&given(
        "roles = [\"reader\"]\nlimits = { pools = [\"nowhere\"] }",
    ));
    terraform.apply().await.failed().says("nowhere");
    terraform.write(&given("roles = [\"reader\"]").replace("secret_wo = var.secret", ""));
    terraform
        .plan()
        .await
        .failed()
        .says("A new token needs a secret");
    assert_eq!(stack.count(COUNT).await, 0);
}

#[tokio::test]
async fn what_was_made_by_hand_is_imported_with_a_configuration_that_terraform_writes() {
    let stack = Stack::start().await;
    let limits = json!({"pools": ["primary"], "vpcs": ["ci-*"], "labels": {"env": "ci"}});
    let new = json!({"name": "ci", "roles": ["reader", "allocator"], "limits": limits, "expires_at": "2099-01-01T00:00:00Z"});
    let made = stack.api(Method::POST, "tokens", new).await;
    let secret = made["secret"].as_str().unwrap();
    let terraform = stack.workspace();
    terraform.write("import {\n  to = ipam_token.ci\n  id = \"ci\"\n}\n");
    let out = "-generate-config-out=generated.tf";
    terraform
        .terraform(&["plan", "-no-color", "-input=false", out])
        .await
        .succeeded()
        .says("1 to import, 0 to add, 0 to change, 0 to destroy");
    terraform
        .apply()
        .await
        .succeeded()
        .says("1 imported, 0 added, 0 changed");
    terraform.plan_is_empty().await;
    stack.is(StatusCode::OK, secret).await;
    assert_eq!(
        terraform.show("ipam_token.ci").await["public_id"],
        made["public_id"]
    );
    nowhere(&terraform.path("."), secret, "");
}
