//! The life of every noun, through the command line alone.

use ipam_shared::error::{Code, Problem};
use serde_json::{Value, json};

use crate::{Cli, Ran, command, ended, proof::recorder};

/// The rows of a CSV file as a real reader reads them, without the heading.
fn rows(ran: &Ran) -> Vec<csv::StringRecord> {
    let mut reader = csv::Reader::from_reader(ran.text().as_bytes());
    reader.records().collect::<Result<_, _>>().unwrap()
}

fn names(ran: &Ran) -> Vec<&str> {
    ran.text().lines().collect()
}

#[track_caller]
fn refused(ran: &Ran, code: i32, says: &str) {
    assert_eq!((ran.code, ran.stdout.as_str()), (code, ""), "{ran:?}");
    assert!(ran.stderr.contains(says), "{says}: {}", ran.stderr);
}

#[tokio::test]
async fn a_vrf_lives_and_ends() {
    let cli = Cli::start().await;
    let made = cli.run("vrf create dev --label team=net --description Tests --owner ws-1");
    assert!(
        made.text()
            .starts_with("Created VRF \"dev\"\n  name          dev\n"),
        "{}",
        made.stdout
    );
    let again = cli.run("vrf create dev --label team=net --description Tests --owner ws-1");
    assert!(again.text().starts_with("There already: VRF \"dev\"\n"));
    refused(&cli.run("vrf create dev"), 1, "(claimed");
    refused(&cli.run("vrf create a/b"), 2, "can't contain");
    assert_eq!(
        names(&cli.run("vrf list -o name --sort name")),
        ["default", "dev"]
    );
    assert_eq!(names(&cli.run("vrf ls -o name --owner ws-1")), ["dev"]);
    assert_eq!(names(&cli.run("vrf list -o name --name dev")), ["dev"]);
    let shown = cli.run("vrf show dev --json").json();
    assert_eq!(
        (&shown["name"], &shown["labels"]),
        (&json!("dev"), &json!({"team": "net"}))
    );
    let changed = cli.run("vrf update dev --name test --label env=dev --remove-label team --json");
    assert_eq!(
        (&changed.json()["name"], &changed.json()["labels"]),
        (&json!("test"), &json!({"env": "dev"}))
    );
    refused(&cli.run("vrf update test"), 2, "nothing to change");
    refused(
        &cli.run("vrf update test --description x --revision 1"),
        1,
        "(stale",
    );
    let id = shown["id"].as_str().unwrap();
    assert_eq!(
        cli.run(&format!("vrf delete {id}")).text(),
        "Deleted VRF \"test\"\n"
    );
    refused(&cli.run("vrf show test"), 1, "(not_found");
    refused(&cli.run(&format!("vrf show {id}")), 1, "(gone");
}

#[tokio::test]
async fn a_pool_lives_and_ends() {
    let cli = Cli::start().await;
    cli.run("vrf create dev").text();
    let line = "pool create web --vrf dev --range 10.1.0.0/16 --range 10.3.0.0/16 --min-prefix-length 20 \
        --default-prefix-length 24 --strategy sparse --release-cooldown 60 --required-label team=a|b --label tier=gold";
    let made = cli.run(&format!("{line} --json")).json();
    assert_eq!(made["ranges"], json!(["10.1.0.0/16", "10.3.0.0/16"]));
    assert_eq!(made["required_labels"], json!({"team": ["a", "b"]}));
    assert_eq!(
        (&made["strategy"], &made["default_prefix_length"]),
        (&json!("sparse"), &json!(24))
    );
    let child = "pool create small --vrf dev --parent web --range-prefix-length 20 -o name";
    assert_eq!(names(&cli.run(child)), ["dev/small"]);
    let v6 = "pool create six --range 2001:db8::/40 -o csv";
    assert_eq!(&rows(&cli.run(v6))[0][3], "2001:db8::/40");
    assert_eq!(
        names(&cli.run("pool list -o name --sort vrf,-name")),
        [
            "default/six",
            "default/primary",
            "default/cgnat",
            "dev/web",
            "dev/small"
        ]
    );
    assert_eq!(
        names(&cli.run("pool list --parent web -o name")),
        ["dev/small"]
    );
    assert_eq!(
        names(&cli.run("pool list --label tier=gold -o name")),
        ["dev/web"]
    );
    assert_eq!(
        names(&cli.run("pool list --vrf dev -o name --sort -name --limit 1")),
        ["dev/web"]
    );
    let table = cli.run("pool list --vrf dev --columns name,ranges --sort name");
    assert_eq!(
        table.text(),
        "NAME   RANGES\nsmall  10.1.240.0/20\nweb    10.1.0.0/16, 10.3.0.0/16\n"
            .replace("10.1.240.0/20", &range_of(&cli, "dev/small"))
    );
    let free = cli.run("free dev/web --prefix-length 20");
    assert!(
        free.text().contains("fits") && free.text().contains("advice"),
        "{}",
        free.stdout
    );
    let free = cli.run("free -o csv --sort pool --prefix-length 24");
    assert_eq!(
        rows(&free)
            .iter()
            .map(|row| row[0].to_owned())
            .collect::<Vec<_>>(),
        ["primary", "six", "small", "web"]
    );
    assert_eq!(cli.run("free six --json").json()[0]["pool"], "six");

    let changed = cli.run("pool update dev/web --add-range 10.5.0.0/16 --remove-range 10.3.0.0/16 --no-required-labels \
        --no-default-prefix-length --release-cooldown 0 --strategy first_fit --json");
    let changed = changed.json();
    assert_eq!(changed["ranges"], json!(["10.1.0.0/16", "10.5.0.0/16"]));
    assert_eq!(
        (
            &changed["required_labels"],
            &changed["default_prefix_length"]
        ),
        (&json!({}), &Value::Null)
    );
    refused(
        &cli.run("pool update dev/web --remove-range 10.9.0.0/16"),
        2,
        "has no range 10.9.0.0/16",
    );
    refused(
        &cli.run("pool update dev/web --strategy worst"),
        2,
        "first_fit",
    );
    refused(&cli.run("pool delete dev/web"), 1, "(in_use");
    refused(
        &cli.run("pool show dev/none"),
        1,
        "there is no pool dev/none",
    );
    assert_eq!(
        cli.run("pool update dev/small --add-range-prefix-length 20 --json")
            .json()["ranges"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
    assert_eq!(
        cli.run("pool delete dev/small").text(),
        "Deleted pool \"small\" of VRF \"dev\"\n"
    );
    assert_eq!(cli.run("pool rm dev/web -o name").text(), "dev/web\n");
}

fn range_of(cli: &Cli, pool: &str) -> String {
    let pool = cli.run(&format!("pool show {pool} --json")).json();
    pool["ranges"][0].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_profile_lives_and_ends() {
    let cli = Cli::start().await;
    refused(&cli.run("profile create empty"), 2, "--member");
    let made = cli.run("profile create k8s --member nodes=primary,min=20,max=26 --member lb=primary,length=26 --json").json();
    assert_eq!(made["members"][1]["min_prefix_length"], 26);
    let got = cli
        .run("allocate prod --profile k8s --prefix 24 --name a -o json")
        .json();
    assert_eq!(got["blocks"].as_array().unwrap().len(), 2);
    let text = cli.run("profile show k8s");
    assert!(
        text.text()
            .contains("nodes=primary,min=20,max=26, lb=primary,length=26"),
        "{}",
        text.stdout
    );
    let changed = cli
        .run("profile update k8s --name kube --member nodes=primary --json")
        .json();
    assert_eq!(
        (
            &changed["name"],
            changed["members"].as_array().unwrap().len()
        ),
        (&json!("kube"), 1)
    );
    assert_eq!(
        names(&cli.run("profile list -o name --sort name")),
        ["kube", "node-pod"]
    );
    refused(&cli.run("profile delete kube"), 1, "(in_use");
    cli.run("release prod/a").text();
    assert_eq!(
        cli.run("profile delete kube").text(),
        "Deleted profile \"kube\"\n"
    );
}

#[tokio::test]
async fn a_token_lives_and_ends() {
    let cli = Cli::start().await;
    let made = cli.run("token create ci --role allocator --role planner --vpc team-* --pool default/primary --label a=b --expires 90d --json");
    let made = made.json();
    let secret = made["secret"].as_str().unwrap().to_owned();
    assert_eq!(made["roles"], json!(["allocator", "planner"]));
    for form in ["name", "csv"] {
        let lost = format!("token create lost --role reader -o {form}");
        refused(&cli.run(&lost), 2, "shown only once");
    }
    assert_eq!(
        made["limits"],
        json!({"vpcs": ["team-*"], "pools": ["default/primary"], "labels": {"a": "b"}})
    );
    // Whoever has it is told who that is, and what it may do.
    let own = |line: &str| {
        let words: Vec<_> = line.split(' ').collect();
        let mut command = cli.command(&words);
        command.env("IPAM_API_KEY", &secret);
        ended(command.output().unwrap())
    };
    let who = own("whoami").text().to_owned();
    assert!(
        who.starts_with("token/ci: allocator, planner\nlimited to ") && who.contains("team-*"),
        "{who}"
    );
    assert_eq!(own("whoami --json").json()["token"], made["id"]);
    refused(&own("token list"), 1, "needs the role admin");
    refused(
        &own("allocate other --hosts 5"),
        1,
        "does not cover VPCs named",
    );
    assert_eq!(cli.run("whoami").text(), "admin: admin\n");

    let shown = cli.run("token show CI --json").json();
    assert_eq!(
        (&shown["secret"], &shown["id"]),
        (&Value::Null, &made["id"])
    );
    let list = cli.run("token list").text().to_owned();
    assert!(
        list.contains("vpc=team-*") && !list.contains(&secret[18..]),
        "{list}"
    );
    let changed = cli
        .run("token update ci --role reader --vpc x-* --expires never --json")
        .json();
    assert_eq!(
        (&changed["roles"], &changed["expires_at"]),
        (&json!(["reader"]), &Value::Null)
    );
    assert_eq!(changed["limits"]["vpcs"], json!(["x-*"]));
    assert_eq!(
        changed["limits"]["pools"],
        json!(["default/primary"]),
        "what is not given stays"
    );
    let changed = cli
        .run("token update ci --quota default/primary=64 --quota default/cgnat=2^21 --json")
        .json();
    assert_eq!(
        changed["limits"]["quotas"],
        json!({"default/primary": 64, "default/cgnat": 2_097_152})
    );
    let shown = cli.run("token show ci").text().to_owned();
    assert!(
        shown.contains("quota:default/primary=64") && shown.contains("default/primary: 0 of 64"),
        "{shown}"
    );
    refused(&cli.run("token update ci --quota x"), 2, "POOL=ADDRESSES");
    refused(
        &cli.run("token update ci --quota a=1 --quota a=2"),
        2,
        "has two",
    );
    refused(&cli.run("token update ci --quota nowhere=1"), 1, "nowhere");
    let changed = cli.run("token update ci --clear-limits --json").json();
    assert_eq!(changed["limits"], json!({}));
    refused(&cli.run("token update ci"), 2, "nothing to change");
    refused(
        &cli.run("token create x --role root"),
        2,
        "there is no role",
    );
    refused(
        &cli.run("token create x --role reader --expires soon"),
        2,
        "90d",
    );
    let second = cli
        .run("token create second --role reader")
        .text()
        .to_owned();
    let line = second
        .lines()
        .find(|line| line.starts_with("ipam_"))
        .unwrap();
    assert!(
        second.contains("shown only now") && line.len() == 56,
        "{second}"
    );
    assert!(
        cli.run("token delete ci")
            .text()
            .starts_with("Revoked token \"ci\"")
    );
    refused(&cli.run("token show ci"), 1, "ci");
    assert_eq!(cli.run("token list -o name").text(), "second\n");

    // A secret that is somewhere before the server has it.
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("key");
    let path = file.display();
    let mut public_ids = Vec::new();
    for command in [
        format!("token create third --role reader --secret-file {path}"),
        format!("token update third --secret-file {path}"),
    ] {
        let secret = cli.run("token secret").text().to_owned();
        assert_eq!(secret.trim().len(), 56, "{secret}");
        std::fs::write(&file, &secret).unwrap();
        let said = cli.run(&format!("{command} -o name")).text().to_owned();
        assert_eq!(said, "third\n");
        let third = cli.run("token show third --json").json();
        assert_eq!(third["public_id"], secret[5..17]);
        public_ids.push(third["public_id"].clone());
    }
    assert_ne!(public_ids[0], public_ids[1]);
    std::fs::write(&file, "hunter2").unwrap();
    let refusal = cli.run(&format!("token update third --secret-file {path}"));
    refused(&refusal, 2, "not the secret of a token");
    refused(
        &cli.run("token update third --secret-file /nowhere"),
        2,
        "/nowhere",
    );
}

#[tokio::test]
async fn a_vpc_lives_and_ends() {
    let cli = Cli::start().await;
    cli.run("vrf create dev").text();
    let made = cli
        .run("vpc create Prod --vrf dev --label a=b --json")
        .json();
    assert_eq!(
        (&made["name"], &made["vrf"]),
        (&json!("Prod"), &json!("dev"))
    );
    let changed = cli
        .run("vpc update PROD --name live --clear-labels --description x --json")
        .json();
    assert_eq!(
        (&changed["name"], &changed["labels"]),
        (&json!("live"), &json!({}))
    );
    cli.run("allocate live --hosts 5 --name a").text();
    cli.run("allocate live --hosts 5 --name b").text();
    refused(&cli.run("vpc delete live"), 1, "(in_use");
    assert_eq!(
        cli.run("vpc delete live --cascade").text(),
        "Deleted VPC \"live\", and released its 2 allocations\n"
    );
    assert_eq!(cli.run("vpc list").text(), "No VPCs\n");
    assert_eq!(cli.run("vpc list -o name").text(), "");
    assert_eq!(rows(&cli.run("vpc list -o csv")).len(), 0);
}

#[tokio::test]
async fn a_reservation_lives_and_ends() {
    let cli = Cli::start().await;
    cli.run("vrf create dev").text();
    let made = cli
        .run("reservation create 10.0.8.0/24 --reason Printers --label site=berlin --json")
        .json();
    assert_eq!(made["pools"], json!(["primary"]));
    cli.run("reservation create 10.0.8.0/24 --vrf dev --reason Lab")
        .text();
    assert_eq!(
        names(&cli.run("reservation create 192.0.2.1 --reason One -o name")),
        ["default/192.0.2.1/32"]
    );
    refused(
        &cli.run("reservation create 10.0.8.0/25 --reason Twice"),
        1,
        "(overlap",
    );
    refused(&cli.run("reservation show 10.0.8.0/24"), 2, "several VRFs");
    refused(
        &cli.run("reservation show 10.0.9.0/24"),
        1,
        "there is no reservation",
    );
    refused(
        &cli.run("reservation show printers"),
        2,
        "neither a network",
    );
    assert_eq!(
        cli.run("reservation show dev/10.0.8.0/24 --json").json()["reason"],
        "Lab"
    );
    let list = |filter: &str| {
        cli.run(&format!(
            "reservation list -o name --sort cidr,vrf {filter}"
        ))
    };
    assert_eq!(list("").text().lines().count(), 3);
    assert_eq!(names(&list("--vrf dev")), ["dev/10.0.8.0/24"]);
    assert_eq!(
        names(&list("--contains 192.0.2.1")),
        ["default/192.0.2.1/32"]
    );
    assert_eq!(
        names(&list("--within 10.0.0.0/16 --pool primary")),
        ["default/10.0.8.0/24"]
    );
    assert_eq!(names(&list("--label site=berlin")), ["default/10.0.8.0/24"]);
    let changed = cli
        .run("reservation update default/10.0.8.0/24 --reason Scanners --label floor=2 --json")
        .json();
    assert_eq!(
        (&changed["reason"], &changed["labels"]),
        (&json!("Scanners"), &json!({"site": "berlin", "floor": "2"}))
    );
    assert_eq!(
        cli.run("reservation delete 192.0.2.1").text(),
        "Deleted reservation 192.0.2.1/32 of VRF \"default\"\n"
    );
}

#[tokio::test]
async fn an_allocation_lives_and_ends() {
    let cli = Cli::start().await;
    cli.run("vrf create dev").text();
    cli.run("pool create six --range 2001:db8::/40 --label tier=six")
        .text();
    cli.run("pool create tiny --range 172.16.0.0/30").text();
    let create = |rest: &str| cli.run(&format!("allocation create {rest}"));
    let dry = create("prod --hosts 500 --name a --dry-run");
    assert!(
        dry.text().starts_with("Would create allocation"),
        "{}",
        dry.stdout
    );
    let made = create("prod --hosts 500 --name a --label env=prod --description Nodes --deletion-protection --json").json();
    assert_eq!(
        (&made["cidr"], &made["deletion_protection"]),
        (&json!("10.0.0.0/23"), &json!(true))
    );
    let six = create("prod --pool tiny --pool six --prefix 64 --name six --json").json();
    assert_eq!(six["cidr"], "2001:db8::/64");
    let by_label =
        create("prod --pool-label tier=six --prefix 64 --exclude 2001:db8:0:1::/64 --json").json();
    assert_eq!(by_label["cidr"], "2001:db8:0:2::/64");
    let exact =
        create("other --vrf dev --pool primary --cidr 10.0.64.0/24 --name exact --json").json();
    assert_eq!(
        (&exact["cidr"], &exact["vrf"]),
        (&json!("10.0.64.0/24"), &json!("dev"))
    );
    let once = create("prod --pool primary --prefix 26 --idempotency-key k-1 --json").json();
    assert_eq!(
        create("prod --pool primary --prefix 26 --idempotency-key k-1 --json").json()["id"],
        once["id"]
    );
    refused(
        &create("prod --pool primary --prefix 25 --idempotency-key k-1"),
        1,
        "(idempotency_key_reused",
    );
    refused(
        &create("prod --pool tiny --prefix 29"),
        1,
        "(pool_exhausted",
    );

    let list = |filter: &str| cli.run(&format!("allocation list -o name --sort number {filter}"));
    assert_eq!(list("").text().lines().count(), 5);
    assert_eq!(names(&list("--vpc prod --name a")), ["prod/a"]);
    assert_eq!(names(&list("--label env=prod")), ["prod/a"]);
    assert_eq!(names(&list("--contains 10.0.64.9")), ["other/exact"]);
    assert_eq!(
        names(&list("--within 2001:db8::/63 --pool six")),
        ["prod/six"]
    );
    let number = made["number"].as_i64().unwrap();
    assert_eq!(names(&list(&format!("--number {number}"))), ["prod/a"]);

    let dry = cli.run("allocation resize prod/a --hosts 1000 --dry-run");
    assert!(
        dry.text()
            .starts_with("Would resize allocation \"prod/a\" from 10.0.0.0/23 to 10.0.0.0/22\n"),
        "{}",
        dry.stdout
    );
    let resized = cli.run("allocation resize prod/a --prefix 22");
    assert!(
        resized
            .text()
            .starts_with("Resized allocation \"prod/a\" from 10.0.0.0/23 to 10.0.0.0/22\n"),
        "{}",
        resized.stdout
    );
    refused(&cli.run("allocation resize prod/a"), 2, "--hosts");
    let would = cli.run("allocation update prod/a --vpc third --dry-run");
    assert!(
        would
            .text()
            .starts_with("Would change to allocation \"third/a\"\n"),
        "{}",
        would.stdout
    );
    let moved = cli
        .run(&format!(
            "allocation update {number} --vpc third --name b --description moved --label x=y --json"
        ))
        .json();
    assert_eq!(
        (&moved["vpc"], &moved["name"], &moved["labels"]),
        (
            &json!("third"),
            &json!("b"),
            &json!({"env": "prod", "x": "y"})
        )
    );
    refused(
        &cli.run("allocation delete third/b"),
        1,
        "(deletion_protected",
    );
    cli.run("allocation update third/b --deletion-protection false")
        .text();
    refused(
        &cli.run("allocation delete third/b --revision 1"),
        1,
        "(stale",
    );
    let ended = cli.run("allocation delete third/b");
    assert_eq!(
        ended.text(),
        "Released allocation \"third/b\": 10.0.0.0/22 and 100.64.0.0/17\n"
    );
    assert!(
        cli.run("allocation release other/exact")
            .text()
            .starts_with("Released 10.0.64.0/24")
    );
    refused(
        &cli.run("allocation show third/b"),
        1,
        "there is no allocation b in VPC third",
    );
    refused(&cli.run("allocation show nonsense"), 2, "VPC/NAME");
}

#[tokio::test]
async fn many_are_allocated_at_once() {
    let cli = Cli::start().await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("requests.json");
    let line = |more: &str| format!("allocation batch {} {more}", file.display());
    let write = |requests: Value| std::fs::write(&file, requests.to_string()).unwrap();
    write(json!([{"vpc": "a", "name": "x", "hosts": 5}, {"vpc": "b", "name": "y", "hosts": 5}]));
    assert_eq!(names(&cli.run(&line("-o name"))), ["a/x", "b/y"]);
    write(
        json!([{"vpc": "a", "name": "z", "hosts": 5}, {"vpc": "b", "name": "y", "hosts": 50_000}]),
    );
    let refused = cli.run(&line("--json"));
    assert_eq!(refused.code, 1, "{refused:?}");
    let partly = cli.run(&line("--each -o csv"));
    assert_eq!(
        (partly.code, partly.stderr.as_str()),
        (1, "ipam: 1 of them failed\n"),
        "{partly:?}"
    );
    assert!(
        partly.stdout.contains("a/z") && partly.stdout.contains("name_taken")
            || partly.stdout.contains("invalid_request"),
        "{}",
        partly.stdout
    );
    std::fs::write(&file, "{").unwrap();
    assert_eq!(cli.run(&line("")).code, 2);
}

#[tokio::test]
async fn events_are_listed_and_followed() {
    let cli = Cli::start().await;
    cli.run("vrf create one").text();
    cli.run("vrf create two").text();
    let actions = |line: &str| -> Vec<String> {
        rows(&cli.run(line))
            .iter()
            .map(|row| row[1].to_owned())
            .collect()
    };
    assert_eq!(
        actions("events -o csv --action vrf.create --limit 2"),
        ["vrf.create", "vrf.create"]
    );
    assert_eq!(
        actions("events -o csv --action vrf.create --actor nobody"),
        Vec::<String>::new()
    );
    let all = cli.run("events --json").json();
    let ids: Vec<_> = all
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["id"].as_i64().unwrap())
        .collect();
    assert!(
        ids.is_sorted_by(|one, other| one > other),
        "newest first: {ids:?}"
    );
    let one = cli.run("vrf show one --json").json();
    let line = format!("events --subject {} -o name", one["id"].as_str().unwrap());
    assert_eq!(cli.run(&line).text().lines().count(), 1);
    cli.run("allocate prod --name eks --hosts 100").text();
    cli.run("allocate prod --name other --hosts 100").text();
    assert_eq!(
        actions("events -o csv --subject prod/eks"),
        ["allocation.create"]
    );
    refused(
        &cli.run("events --subject prod/nobody"),
        1,
        "there is no allocation nobody in VPC prod",
    );
    refused(&cli.run("events --subject prod"), 2, "VPC/NAME");
    assert!(cli.run("events").text().starts_with("AT "));
    refused(
        &cli.run("events --after yesterday"),
        2,
        "2026-01-31T12:00:00Z",
    );

    let mut child = cli.spawn(&[
        "events",
        "--follow",
        "--json",
        "--action",
        "vrf.create",
        "--limit",
        "1",
    ]);
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().unwrap()));
    let mut next = || -> Value { serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap() };
    assert_eq!(
        next()["subject"],
        cli.run("vrf show two --json").json()["id"]
    );
    for name in ["three", "four", "five"] {
        let made = cli.run(&format!("vrf create {name} --json")).json();
        assert_eq!(next()["subject"], made["id"], "{name}");
    }
    child.kill().unwrap();
    child.wait().unwrap();

    let head = cli.run("audit head").text().to_owned();
    let as_json = cli.run("audit head --json").json();
    let seal = as_json["seal"].as_i64().unwrap();
    assert!(
        head.split(':').count() == 3
            && head.split(':').next().unwrap().parse::<i64>().unwrap() <= seal,
        "{head}"
    );
    let at = all[0]["at"].as_str().unwrap();
    let before = cli.run(&format!("events --json --before {at}")).json();
    assert!(
        before
            .as_array()
            .unwrap()
            .iter()
            .all(|it| it["id"].as_i64().unwrap() < ids[0]),
        "{before}"
    );
}

#[test]
fn a_server_that_wants_fewer_requests_is_followed_later() {
    let event = json!({"id": 8, "at": "2026-01-01T00:00:00Z", "actor": "admin", "action": "vrf.create",
        "subject": uuid::Uuid::nil(), "request_id": uuid::Uuid::nil(), "detail": {}});
    let asked = std::sync::atomic::AtomicUsize::new(0);
    let (url, _) = recorder(move |target| {
        if !target.contains("/feed") {
            return json!({"items": [], "next_cursor": null}).to_string();
        }
        match asked.fetch_add(1, std::sync::atomic::Ordering::SeqCst) {
            0 => json!({"items": [], "next": 7}).to_string(),
            1 => serde_json::to_string(&Problem::new(Code::RateLimited, "Too many.")).unwrap(),
            _ => json!({"items": [event], "next": 8}).to_string(),
        }
    });
    let environment = [
        ("IPAM_ENDPOINT", url),
        ("IPAM_API_KEY", "a-key-of-nobody-0123".to_owned()),
        ("IPAM_RETRY_TIMEOUT", "0".to_owned()),
    ];
    let mut child = command(&["events", "--follow", "-o", "name"], &environment)
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let stdout = child.stdout.take().unwrap();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(stdout), &mut line).unwrap();
    assert_eq!(line, "8\n");
    child.kill().unwrap();
    child.wait().unwrap();
}

#[tokio::test]
async fn a_webhook_lives_and_ends() {
    let cli = Cli::start().await;
    let made = cli.run("webhook create siem --to https://siem.example/ipam --action token.* --batch-size 9 --owner ws-1");
    let text = made.text();
    assert!(
        text.starts_with("Created webhook \"siem\"; its secret, which is shown only now:\nwhsec_"),
        "{text}"
    );
    let again = cli.run("webhook create siem --to https://siem.example/ipam --action token.* --batch-size 9 --owner ws-1 --json");
    let secret = again.json()["secret"].as_str().unwrap().to_owned();
    assert!(
        text.contains(&secret),
        "the same request has the same secret"
    );
    let shown = cli.run("webhook show SIEM --json").json();
    assert_eq!(
        (&shown["batch_size"], &shown["actions"]),
        (&json!(9), &json!(["token.*"]))
    );
    assert!(shown["secret"].is_null());
    refused(
        &cli.run("webhook create x --to https://10.0.0.1/"),
        1,
        "not a public address",
    );
    refused(
        &cli.run("webhook create x --to http://siem.example/"),
        1,
        "use https://",
    );
    refused(&cli.run("webhook update siem"), 2, "nothing to change");
    let changed = cli
        .run("webhook update siem --disable --all-actions --name soc --json")
        .json();
    assert_eq!(
        (&changed["enabled"], &changed["actions"]),
        (&json!(false), &json!([]))
    );
    assert_eq!(
        rows(&cli.run("webhook list -o csv"))[0].get(3),
        Some("disabled")
    );
    for lost in [
        "webhook create lost --to https://siem.example/ -o csv",
        "webhook rotate soc -o name",
    ] {
        refused(&cli.run(lost), 2, "shown only once");
    }
    assert_eq!(names(&cli.run("webhook list -o name")), ["soc"]);
    let rotated = cli.run("webhook rotate soc --overlap 0 --json").json();
    assert_ne!(rotated["secret"], json!(secret));
    let test = cli.run("webhook test soc");
    refused(&test, 1, "webhook \"soc\": ");
    assert!(
        cli.run("webhook resume soc --after 0")
            .text()
            .starts_with("Resumed webhook \"soc\"\n")
    );
    assert_eq!(names(&cli.run("webhook list -o name")), ["soc"]);
    assert_eq!(
        cli.run("webhook delete soc").text(),
        "Deleted webhook \"soc\"\n"
    );
    refused(
        &cli.run("webhook show soc"),
        1,
        "there is no webhook \"soc\"",
    );
}
