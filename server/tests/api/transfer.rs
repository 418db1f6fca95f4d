//! Import and export of whole address plans.

use std::collections::BTreeSet;

use http_body_util::BodyExt as _;
use ipam_shared::{
    api::transfer::{COLUMNS, ConflictCode},
    cidr::Cidr,
};
use serde_json::{Value, json};
use tower::ServiceExt as _;

use crate::support::{ALLOCATIONS, Api, KEY, Reply, VPCS, cidrs, path};

const IMPORT: &str = "/api/v1/import";
const EXPORT: &str = "/api/v1/export";

pub(crate) async fn send(api: &Api, kind: &str, query: &str, file: impl Into<String>) -> Reply {
    let headers = [("x-api-key", KEY), ("content-type", kind)];
    api.send("POST", &format!("{IMPORT}{query}"), &headers, file.into())
        .await
}

pub(crate) async fn import(api: &Api, file: impl Into<String>) -> Value {
    send(api, "text/csv", "", file).await.ok(200)
}

/// The conflicts of a file: line, code, and the words.
pub(crate) async fn conflicts(api: &Api, file: &str) -> Vec<(u64, String, String)> {
    let before = api.state().await;
    let dry = send(api, "text/csv", "?dry_run=true", file).await.ok(200);
    let refused = send(api, "text/csv", "", file).await;
    let (_, details) = refused.problem(409, "import_conflict");
    assert_eq!(
        details["conflicts"], dry["conflicts"],
        "a dry run says the same"
    );
    assert_eq!(api.state().await, before, "nothing was written");
    let found = dry["conflicts"].as_array().expect("conflicts");
    assert_eq!(dry["total_conflicts"], found.len());
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    found
        .iter()
        .map(|one| {
            (
                one["line"].as_u64().expect("a line"),
                text(&one["code"]),
                text(&one["detail"]),
            )
        })
        .collect()
}

#[track_caller]
pub(crate) fn check(found: &[(u64, String, String)], expected: &[(u64, &str, &str)]) {
    let short: Vec<_> = found
        .iter()
        .map(|(line, code, _)| (*line, code.as_str()))
        .collect();
    let wanted: Vec<_> = expected
        .iter()
        .map(|(line, code, _)| (*line, *code))
        .collect();
    assert_eq!(short, wanted, "{found:#?}");
    for ((line, _, detail), (_, _, words)) in found.iter().zip(expected) {
        assert!(
            detail.contains(words),
            "line {line}: {detail:?} does not say {words:?}"
        );
    }
}

pub(crate) async fn export(api: &Api, format: &str) -> String {
    let reply = api.get(&format!("{EXPORT}?format={format}")).await;
    assert_eq!(reply.status, 200, "{}", reply.text);
    reply.text
}

/// The same plan in another database, and nothing is lost on the way.
pub(crate) async fn carry_over(api: &Api, format: &str, kind: &str) -> Api {
    let file = export(api, format).await;
    let other = Api::start().await;
    let result = send(&other, kind, "", file.clone()).await.ok(200);
    assert_eq!(result["total_conflicts"], 0);
    assert_eq!(export(&other, format).await, file);
    other.verify().await;
    let again = send(&other, kind, "", file).await.ok(200);
    assert_eq!(again["unchanged"], again["records"], "{again}");
    other
}

#[tokio::test]
async fn a_spreadsheet_with_three_columns_is_enough() {
    let api = Api::start().await;
    let file = "\u{feff}CIDR,VPC,Name\r\n10.0.0.0/24,prod,web\r\n10.0.4.0/22,prod,db\r\n100.64.0.0/18,Staging,\r\n";
    let dry = send(&api, "text/csv", "?dry_run=true", file).await.ok(200);
    assert_eq!(dry["created"]["allocations"], 3);
    assert_eq!(api.count("select count(*) from allocation").await, 0);
    let result = import(&api, file).await;
    assert_eq!(
        result["created"],
        json!({"vrfs": 0, "pools": 0, "ranges": 0, "profiles": 0, "vpcs": 2, "allocations": 3, "blocks": 3, "reservations": 0, "cooldowns": 0, "past_blocks": 0})
    );
    let page = api
        .get(&format!("{ALLOCATIONS}?vpc=prod&name=web"))
        .await
        .ok(200);
    let web = &page["items"][0];
    assert_eq!(web["profile"], Value::Null);
    assert_eq!(web["requested_pools"], json!(["primary"]));
    assert_eq!(web["requested_cidr"], "10.0.0.0/24");
    assert_eq!(web["blocks"][0]["role"], "main");
    assert_eq!(web["created_by"], "admin");
    assert_eq!(api.events("allocation.import").await, 3);
    assert_eq!(api.events("vpc.import").await, 2);
    assert_eq!(
        api.count("select count(*) from event where action = 'allocation.import' and detail->'cidrs' @> '[\"10.0.0.0/24\"]'").await,
        1
    );
    api.verify().await;

    // What is next comes from what the import left.
    let next = api
        .allocate(json!({"vpc": "prod", "prefix_length": 24}))
        .await;
    assert_eq!(cidrs(&next)[0], "10.0.1.0/24");
    api.delete(&path(web)).await.ok(204);
    api.verify().await;
    let contains = api
        .get(&format!("{ALLOCATIONS}?contains=10.0.5.9"))
        .await
        .ok(200);
    assert_eq!(contains["items"][0]["name"], "db");
}

#[tokio::test]
async fn a_file_can_be_imported_again() {
    let api = Api::start().await;
    let file = "kind,cidr,vpc,name,profile,reason,labels,description\n\
        ,10.0.0.0/24,prod,web,node-pod,,env=prod;team=a\\;b,\"says \"\"hi\"\"\nand more\"\n\
        ,100.64.0.0/19,prod,web,node-pod,,,\n\
        ,10.0.1.0/24,prod,,,,,\n\
        reservation,10.0.2.0/24,,,,legacy,,\n\
        vpc,,prod,,,,,the product\n";
    let first = import(&api, file).await;
    assert_eq!(
        (first["records"].clone(), first["unchanged"].clone()),
        (json!(5), json!(0))
    );
    let state = api.state().await;
    let second = import(&api, file).await;
    assert_eq!(second["unchanged"], 5);
    assert_eq!(second["created"]["allocations"], 0);
    assert_eq!(api.state().await, state, "a repeated import writes nothing");

    let web = &api.get(&format!("{ALLOCATIONS}?name=web")).await.ok(200)["items"][0];
    assert_eq!(web["labels"], json!({"env": "prod", "team": "a;b"}));
    assert_eq!(web["description"], "says \"hi\"\nand more");
    assert_eq!(cidrs(web), ["10.0.0.0/24", "100.64.0.0/19"]);
    assert_eq!(web["profile"], "node-pod");

    // More of the same file is added to what is there; what differs is refused.
    let more = format!("{file},10.0.3.0/24,prod,new,,,,\n");
    let third = import(&api, more).await;
    assert_eq!(
        (
            third["unchanged"].clone(),
            third["created"]["allocations"].clone()
        ),
        (json!(5), json!(1))
    );
    let found = conflicts(
        &api,
        "cidr,vpc,name,description\n10.0.3.0/24,prod,new,other\n10.0.9.0/24,prod,web,\n",
    )
    .await;
    check(
        &found,
        &[
            (2, "name_taken", "differs in description"),
            (3, "name_taken", "differs in blocks"),
        ],
    );
}

#[tokio::test]
async fn every_conflict_is_named_at_once_with_its_line() {
    let api = Api::start().await;
    import(
        &api,
        "kind,vrf,pool,parent,cidr,vpc,name,reason,description\n\
         pool,,corp,,172.16.0.0/12,,,,\npool,,branch,corp,172.20.0.0/16,,,,\n\
         ,,,,172.16.0.0/24,prod,web,,\n,,,,10.0.0.0/24,prod,,,\nreservation,,,,172.17.0.0/16,,,on-premises,\nvpc,,,,,there,,,one\n",
    )
    .await;
    let file = "kind,vrf,pool,parent,cidr,vpc,name,profile,role,reason,labels,strategy,description,family\n\
        ,,,,172.16.0.128/25,a,,,,,,,,\n\
        ,,,,172.17.9.0/24,a,,,,,,,,\n\
        ,,corp,,172.20.0.0/24,a,,,,,,,,\n\
        ,,,,10.0.0.0/23,a,,,,,,,,\n\
        ,,,,192.168.0.0/24,a,,,,,,,,\n\
        ,,,,10.0.16.0/28,a,,,,,,,,\n\
        ,,,,10.0.32.0/24,a,,,,,,,,\n\
        ,,,,10.0.32.0/25,a,,,,,,,,\n\
        ,,,,172.18.0.0/24,prod,web,,,,,,,\n\
        ,,nopool,,10.0.1.0/24,a,,,,,,,,\n\
        ,novrf,,,10.0.2.0/24,b,,,,,,,,\n\
        ,,,,10.0.3.0/24,a,,noprofile,,,,,,\n\
        ,,,,10.0.4.0,a,,,,,,,,\n\
        ,,,,10.0.5.0/24,a,,,,,broken,,,\n\
        pool,,p2,,192.168.1.0/24,,,,,,,worst_fit,,\n\
        ,,,,10.0.6.0/24,a,half,node-pod,,,,,,\n\
        ,,,,10.0.7.0/24,a,odd,node-pod,primary,,,,,\n\
        ,,,,100.64.64.0/20,a,odd,node-pod,cgnat,,,,,\n\
        reservation,,,,172.16.0.0/23,,,,,new,,,,\n\
        reservation,,,,172.17.0.0/17,,,,,new,,,,\n\
        pool,,big,,10.0.0.0/8,,,,,,,,,\n\
        pool,,primary,,,,,,,,,,other,\n\
        vpc,,,,,There,,,,,,,two,\n\
        ,,,,10.0.8.0/24,a,twice,,,,,,,\n\
        ,,,,10.0.9.0/24,a,twice,,,,,,,\n\
        pool,,child,corp,10.1.0.0/16,,,,,,,,,\n\
        pool,,six,,2001:db8::/31,,,,,,,,,\n\
        ,,,,10.0.10.0/24,,,,,,,,,\n\
        ,,six,,2001:db8::/64,a,,,,,,,,\n";
    let found = conflicts(&api, file).await;
    check(
        &found,
        &[
            (
                2,
                "overlap",
                "172.16.0.0/24 of pool \"corp\" belongs to allocation \"prod/web\"",
            ),
            (
                3,
                "overlap",
                "172.17.0.0/16 of pool \"corp\" is reserved: on-premises",
            ),
            (
                4,
                "overlap",
                "172.20.0.0/16 of pool \"corp\" is a range of pool \"branch\"",
            ),
            (
                5,
                "overlap",
                "10.0.0.0/24 of pool \"primary\" belongs to an allocation of VPC",
            ),
            (6, "outside_pool", "lies in no pool"),
            (7, "out_of_bounds", "/20 to /26"),
            (9, "overlap_in_file", "10.0.32.0/24 on line 8"),
            (10, "name_taken", "172.16.0.0/24 and differs in blocks"),
            (11, "unknown_pool", "no pool \"nopool\""),
            (12, "unknown_vrf", "no VRF \"novrf\""),
            (13, "unknown_profile", "no profile \"noprofile\""),
            (14, "bad_value", "cidr: "),
            (15, "bad_value", "labels: "),
            (16, "bad_value", "strategy: "),
            (17, "incomplete", "none for \"cgnat\""),
            (19, "incomplete", "gets a /19"),
            (20, "overlap_in_file", "172.16.0.128/25 on line 2"),
            (20, "overlap", "belongs to allocation \"prod/web\""),
            (21, "overlap", "reservation of 172.17.0.0/16 (on-premises)"),
            (22, "overlap", "10.0.0.0/16 of pool \"primary\""),
            (23, "different", "differs in description"),
            (24, "different", "differs in description"),
            (25, "incomplete", "2 records"),
            (27, "outside_pool", "no range of pool \"corp\""),
            (28, "out_of_bounds", "/32 or smaller"),
            (29, "bad_value", "needs vpc"),
            (30, "outside_pool", "pool \"six\""),
        ],
    );
    api.verify().await;
}

#[tokio::test]
async fn a_plan_survives_the_way_into_another_database() {
    let api = Api::start().await;
    api.sql("insert into vrf (name, description, labels) values ('dev', 'Ümläute, \"quotes\"', '{\"a\": \"b\"}')").await;
    let file = "kind,vrf,pool,parent,cidr,vpc,name,profile,role,position,size_offset,min_prefix_length,max_prefix_length,\
        default_prefix_length,strategy,release_cooldown_seconds,required_labels,labels,reason,description,deletion_protection,\
        requested_hosts\n\
        pool,,corp,,172.16.0.0/12,,,,,,,8,30,24,sparse,600,,owner=net,,Corporate,,\n\
        pool,,corp,,192.168.0.0/16,,,,,,,,,,,,,,,,,\n\
        pool,,branch,corp,172.20.0.0/16,,,,,,,,,,,,env=dev|stage;team,,,,,\n\
        pool,,leaf,branch,172.20.128.0/17,,,,,,,,,,,,,,,,,\n\
        pool,dev,six,,2001:db8::/32,,,,,,,48,64,,,,,,,,,\n\
        pool,dev,cgnat,,100.64.0.0/10,,,,,,,,,,,,,,,,,\n\
        profile_member,,primary,,,,,dual,main,1,0,20,26,,,,,,,Both families,,\n\
        profile_member,,six,,,,,dual,v6,2,,64,64,,,,,,,,,\n\
        vpc,dev,,,,lab,,,,,,,,,,,,x=\\=1+1,,\"=cmd|'/c calc'\",,\n\
        ,,,,10.0.0.0/23,lab,dual-stack,dual,main,,,,,,,,,k=v,,\"line one\nline \"\"two\"\"; end\",true,500\n\
        ,,,,2001:db8:0:7::/64,lab,dual-stack,dual,v6,,,,,,,,,,,,,\n\
        ,,,,172.20.1.0/24,prod,with labels,,,,,,,,,,,env=dev;team=x,,-minus,,\n\
        ,,,,172.20.128.0/24,prod,leaf,,,,,,,,,,,,,@at,,\n\
        ,,,,172.31.0.0/16,prod,,,,,,,,,,,,,,+plus,,\n\
        ,,cgnat,,100.64.0.0/24,lab,own,,,,,,,,,,,,,,,\n\
        ,,default/cgnat,,100.64.0.0/19,lab,shared,,,,,,,,,,,,,,,\n\
        reservation,,,,172.16.0.0/24,,,,,,,,,,,,,why=legacy,\"'quoted, reason\",,,\n\
        reservation,,,,203.0.113.0/24,,,,,,,,,,,,,,outside of all pools,,,\n\
        reservation,,,,172.20.64.0/20,,,,,,,,,,,,,,in the child,,,\n\
        reservation,dev,,,2001:db8:ff::/48,,,,,,,,,,,,,,v6,,,\n";
    import(&api, file).await;
    let pair = api
        .allocate(json!({"vpc": "prod", "name": "pair", "hosts": 400, "labels": {"t": "ü=;\\|"}, "description": "tab\tin"}))
        .await;
    api.allocate(json!({"vpc": "unnamed", "prefix_length": 26}))
        .await;
    // A number that is beyond what the other database would give next.
    let gone = api
        .allocate(json!({"vpc": "unnamed", "prefix_length": 26}))
        .await;
    api.delete(&path(&gone)).await.ok(204);
    api.allocate(json!({"vpc": "unnamed", "prefix_length": 26}))
        .await;
    // Blocks keep the rules they were cut by, also of a profile that was changed since, and of a pool with other bounds.
    api.sql(
        "update profile_member set retired_at = now() where pool_name = 'cgnat';
         insert into profile_member (profile_id, position, role, pool_name, size_offset, min_prefix_length, max_prefix_length)
            select profile_id, 2, 'cgnat', 'cgnat', -4, 15, 22 from profile where name = 'node-pod';
         update pool set min_prefix_length = 25, default_prefix_length = 26 where name = 'primary'",
    )
    .await;
    api.verify().await;

    for (format, kind) in [("csv", "text/csv"), ("json", "application/x-ndjson")] {
        let other = carry_over(&api, format, kind).await;
        // Ids survive, and with them what Terraform knows; so does the claim, which it shows when it reads.
        let headers = [
            ("x-api-key", KEY),
            ("ipam-claim", pair["claim"].as_str().unwrap()),
        ];
        let found = other.send("GET", &path(&pair), &headers, "").await.ok(200);
        for field in [
            "id",
            "number",
            "vpc_id",
            "name",
            "cidr",
            "labels",
            "description",
            "created_at",
            "created_by",
            "requested_hosts",
            "profile",
            "blocks",
        ] {
            assert_eq!(found[field], pair[field], "{field}");
        }
        let next = other
            .allocate(json!({"vpc": "unnamed", "prefix_length": 25}))
            .await;
        let most = api.count("select max(number) from allocation").await;
        assert_eq!(next["number"], most + 1, "no number is given twice");
        other.verify().await;
    }

    // In CSV no text is a formula.
    let csv = export(&api, "csv").await;
    for cell in [
        "\"'=cmd|'/c calc'\"",
        "'-minus",
        "'@at",
        "'+plus",
        "''quoted",
    ] {
        let bare = cell.trim_matches('"');
        assert!(csv.contains(bare), "{bare} is not in {csv}");
    }
    let header = csv.lines().next().unwrap();
    assert_eq!(header.split(',').count(), COLUMNS.len());
}

#[tokio::test]
async fn a_whole_plan_takes_the_place_of_what_a_fresh_database_holds_and_of_nothing_else() {
    let api = Api::start().await;
    api.sql(
        "delete from profile_member; delete from profile; delete from pool_range; delete from pool;
         update vrf set description = 'mine'",
    )
    .await;
    import(
        &api,
        "kind,pool,cidr,vpc,name\npool,all,10.0.0.0/8,,\n,,10.0.0.0/24,prod,web\n",
    )
    .await;
    let file = export(&api, "json").await;
    let other = carry_over(&api, "json", "application/x-ndjson").await;
    assert_eq!(other.count("select count(*) from pool").await, 1);

    // Where something was done, nothing gives way.
    let used = Api::start().await;
    used.post(VPCS, &json!({"name": "first"})).await.ok(201);
    let refused = send(&used, "application/x-ndjson", "", file).await;
    let (_, details) = refused.problem(409, "import_conflict");
    let codes: BTreeSet<_> = details["conflicts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["code"].as_str().unwrap())
        .collect();
    assert_eq!(codes, BTreeSet::from(["different", "overlap"]), "{details}");
}

#[tokio::test]
async fn json_is_taken_as_lines_and_as_an_array() {
    let api = Api::start().await;
    let records = json!([
        {"kind": "reservation", "cidr": "10.0.0.0/24", "reason": "r", "labels": {"a": "b"}},
        {"cidr": "10.0.1.0/24", "vpc": "a", "exclude_cidrs": ["10.0.2.0/24"], "requested_pool_selector": {"x": "y"}},
    ]);
    let result = send(&api, "application/json", "", records.to_string())
        .await
        .ok(200);
    assert_eq!(result["created"]["reservations"], 1);
    let lines: Vec<_> = records
        .as_array()
        .unwrap()
        .iter()
        .map(ToString::to_string)
        .collect();
    let result = send(
        &api,
        "application/x-ndjson; charset=utf-8",
        "",
        lines.join("\n"),
    )
    .await
    .ok(200);
    assert_eq!(result["unchanged"], 2);
    let page = api.get(&format!("{ALLOCATIONS}?vpc=a")).await.ok(200);
    assert_eq!(
        page["items"][0]["requested_pool_selector"],
        json!({"x": "y"})
    );
    assert_eq!(page["items"][0]["exclude_cidrs"], json!(["10.0.2.0/24"]));

    let reply = send(&api, "application/pdf", "", "x").await;
    assert!(
        reply
            .problem(415, "unsupported_media_type")
            .0
            .contains("text/csv")
    );
    let reply = send(&api, "text/csv", "", "cidr,colour\n10.0.0.0/24,red\n").await;
    assert!(
        reply
            .problem(400, "invalid_request")
            .0
            .contains("\"colour\"")
    );
    let reply = send(&api, "text/csv", "?dryrun=true", "cidr,vpc\n").await;
    reply.problem(400, "invalid_request");
    let reply = api
        .send(
            "POST",
            IMPORT,
            &[("content-type", "text/csv")],
            "cidr,vpc\n",
        )
        .await;
    reply.problem(401, "unauthorized");
    let large = format!("cidr,vpc\n{}", " \n".repeat(33 << 20));
    let reply = send(&api, "text/csv", "", large).await;
    assert!(reply.problem(413, "body_too_large").0.contains("67108864"));
    let large = format!(
        "cidr,vpc,description\n10.0.0.0/24,a,{}\n",
        "x".repeat(2 << 20)
    );
    let reply = send(&api, "text/csv", "?dry_run=true", large).await.ok(200);
    assert!(
        reply["conflicts"][0]["detail"]
            .as_str()
            .unwrap()
            .contains("at most 1000")
    );
}

#[tokio::test]
async fn the_reply_says_how_far_it_is_if_asked() {
    let api = Api::start().await;
    let ask = async |file: &str| {
        let headers = [
            ("x-api-key", KEY),
            ("content-type", "text/csv"),
            ("accept", "application/x-ndjson"),
        ];
        let reply = api.send("POST", IMPORT, &headers, file.to_owned()).await;
        assert_eq!(
            (reply.status, reply.header("content-type")),
            (200, "application/x-ndjson")
        );
        let lines: Vec<Value> = reply
            .text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        let (last, before) = lines.split_last().unwrap();
        assert!(
            before
                .iter()
                .all(|line| line["progress"]["phase"].is_string()),
            "{}",
            reply.text
        );
        last.clone()
    };
    let last = ask("cidr,vpc\n10.0.0.0/24,a\n").await;
    assert_eq!(last["result"]["created"]["allocations"], 1, "{last}");
    let last = ask("cidr,vpc\n10.0.0.0/23,a\n").await;
    assert_eq!(last["problem"]["code"], "import_conflict");
    assert_eq!(last["problem"]["details"]["conflicts"][0]["line"], 2);
    assert!(last["problem"]["request_id"].is_string());
}

#[tokio::test]
async fn who_leaves_does_not_stop_an_import() {
    let api = Api::start().await;
    let mut file = "cidr,vpc,name\n".to_owned();
    for block in 0..1024 {
        file += &format!("10.0.{}.{}/26,v,n{block}\n", block / 4, block % 4 * 64);
    }
    let asked = send(&api, "text/csv", "", file.clone());
    // The transaction has begun; the one who asked is gone.
    assert!(
        tokio::time::timeout(std::time::Duration::from_millis(30), asked)
            .await
            .is_err()
    );
    let result = import(&api, file).await;
    assert_eq!(
        result["unchanged"], 1024,
        "the first import ran to its end before the second"
    );
    assert_eq!(api.events("allocation.import").await, 1024);
    api.verify().await;
}

#[tokio::test]
async fn what_fails_halfway_leaves_nothing_behind() {
    let api = Api::start().await;
    let mut file = "kind,pool,parent,cidr,vpc,name,reason\npool,corp,,172.16.0.0/12,,,\npool,child,corp,172.17.0.0/16,,,\n\
        reservation,,,172.18.0.0/16,,,x\n"
        .to_owned();
    for block in 0..2000 {
        file += &format!(
            ",,,172.16.{}.{}/28,v{},n{block},\n",
            block / 16,
            block % 16 * 16,
            block % 7
        );
    }
    let before = (
        api.state().await,
        api.count("select count(*) from pool").await,
    );
    // The last block that is written is refused by the database.
    api.sql(
        "create function fail() returns trigger language plpgsql as $$ begin raise exception 'no'; end $$;
         create trigger fail before insert on block for each row when (new.cidr = '172.16.124.240/28') execute function fail()",
    )
    .await;
    let reply = send(&api, "text/csv", "", file.clone()).await;
    reply.problem(500, "internal");
    assert_eq!(
        (
            api.state().await,
            api.count("select count(*) from pool").await
        ),
        before
    );
    api.sql("drop trigger fail on block").await;
    api.verify().await;
    assert_eq!(import(&api, file).await["created"]["allocations"], 2000);
    api.verify().await;
}

#[tokio::test]
async fn imports_and_allocations_at_the_same_time_share_nothing() {
    let api = Api::with_connections(8).await;
    // Each wants what the others may get first: the whole file, or nothing of it.
    let file = |name: &str, third: usize| {
        let mut file = "cidr,vpc,name\n".to_owned();
        for block in 0..32 {
            file += &format!("10.0.{}.0/24,{name},n{block}\n", 128 + third + block);
        }
        file
    };
    let (one, two) = (file("one", 0), file("two", 16));
    let allocate = async {
        for _ in 0..20 {
            api.allocate(json!({"vpc": "allocated", "prefix_length": 24}))
                .await;
        }
    };
    let (one, two, ()) = tokio::join!(
        send(&api, "text/csv", "", one),
        send(&api, "text/csv", "", two),
        allocate
    );
    let statuses = BTreeSet::from([one.status, two.status]);
    assert_eq!(
        statuses,
        BTreeSet::from([200, 409]),
        "{} {}",
        one.text,
        two.text
    );
    assert_eq!(api.count("select count(*) from allocation").await, 32 + 20);
    api.verify().await;
}

#[tokio::test]
async fn what_changes_between_looking_and_writing_is_looked_at_again() {
    let api = Api::with_connections(8).await;
    // Somebody has the pool, and in the end takes a network beside the one that the import wants: from the same free block.
    let takes = "begin;
        select from pool where name = 'primary' for update;
        select pg_sleep(2);
        insert into reservation (vrf_id, cidr, reason, created_by)
            select vrf_id, '10.0.1.0/24', 'meanwhile', 'somebody' from vrf where name = 'default';
        insert into block (range_id, cidr, range_cidr, reservation_id)
            select range_id, '10.0.1.0/24', pool_range.cidr, reservation_id
            from pool_range, reservation where pool_range.cidr = '10.0.0.0/16';
        delete from free_block using pool_range
            where free_block.range_id = pool_range.range_id and pool_range.cidr = '10.0.0.0/16';
        insert into free_block (range_id, host_bits, cidr)
            select range_id, bits, set_masklen('10.0.0.0'::inet + case bits when 8 then 0 else 1 << bits end, 32 - bits)::cidr
            from pool_range, generate_series(8, 15) as bits where pool_range.cidr = '10.0.0.0/16';
        update free_count set blocks = (host_bits between 8 and 15)::integer from pool_range
            where free_count.range_id = pool_range.range_id and pool_range.cidr = '10.0.0.0/16';
        commit";
    let importing = async {
        tokio::time::sleep(std::time::Duration::from_millis(700)).await;
        import(&api, "cidr,vpc,name\n10.0.0.0/24,prod,web\n").await
    };
    let began = std::time::Instant::now();
    let ((), result) = tokio::join!(api.sql(takes), importing);
    assert!(
        began.elapsed() >= std::time::Duration::from_secs(2),
        "it waits for the pool"
    );
    assert_eq!(result["created"]["allocations"], 1);
    api.verify().await;
    // Or changes what the pool gives.
    let takes = "begin;
        select from pool where name = 'cgnat' for update;
        select pg_sleep(2);
        update pool set min_prefix_length = 19 where name = 'cgnat';
        commit";
    let importing = async {
        tokio::time::sleep(std::time::Duration::from_millis(700)).await;
        send(
            &api,
            "text/csv",
            "",
            "cidr,vpc,name\n100.64.0.0/18,prod,pods\n",
        )
        .await
    };
    let ((), reply) = tokio::join!(api.sql(takes), importing);
    let (_, details) = reply.problem(409, "import_conflict");
    assert_eq!(
        details["conflicts"][0]["code"], "out_of_bounds",
        "{details}"
    );
    assert_eq!(
        api.count("select count(*) from allocation where name = 'pods'")
            .await,
        0
    );
    api.verify().await;
}

#[tokio::test]
async fn who_is_in_the_way_is_told_also_while_it_cools_down() {
    let api = Api::start().await;
    api.sql("update pool set release_cooldown_seconds = 600 where name = 'primary'")
        .await;
    let gone = api
        .allocate(json!({"vpc": "prod", "name": "old", "cidr": "10.0.0.0/24"}))
        .await;
    api.delete(&path(&gone)).await.ok(204);
    let found = conflicts(&api, "cidr,vpc\n10.0.0.0/25,prod\n").await;
    check(
        &found,
        &[(
            2,
            "overlap",
            "belonged to allocation \"prod/old\" and cools down until",
        )],
    );
    // An id that was released may come back with a plan.
    let file = format!(
        "cidr,vpc,id\n10.0.1.0/24,prod,{}\n",
        gone["id"].as_str().unwrap()
    );
    import(&api, file).await;
    assert_eq!(api.get(&path(&gone)).await.ok(200)["cidr"], "10.0.1.0/24");
}

#[tokio::test]
async fn the_manual_names_every_column_kind_and_conflict() {
    let manual = include_str!("../../../docs/IMPORT.md");
    let (_, columns) = manual
        .split_once("## Columns")
        .expect("a chapter on columns");
    for column in COLUMNS {
        let row = columns
            .lines()
            .find(|line| line.starts_with(&format!("| `{}` |", column.name)));
        let row = row.unwrap_or_else(|| panic!("{} is not in the manual", column.name));
        for kind in column.kinds.iter().filter(|_| column.name != "kind") {
            assert!(
                row.contains(kind.as_str()),
                "{row} does not name {}",
                kind.as_str()
            );
        }
    }
    for code in ConflictCode::ALL {
        assert!(
            manual.contains(&format!("| `{}` |", code.as_str())),
            "{} is not in the manual",
            code.as_str()
        );
    }
}

#[tokio::test]
async fn reservations_take_the_place_that_is_theirs() {
    let api = Api::start().await;
    // One that waits for its range, one over whole ranges, one inside a child.
    import(
        &api,
        "kind,cidr,reason\nreservation,172.16.1.0/24,waits\nreservation,100.0.0.0/8,all of cgnat\nreservation,10.0.0.0/24,inside\n",
    )
    .await;
    assert_eq!(
        api.count(
            "select count(*) from block where cidr = '100.64.0.0/10' and reservation_id is not null"
        )
        .await,
        1
    );
    import(
        &api,
        "kind,pool,parent,cidr\npool,late,,172.16.0.0/16\npool,child,late,172.16.128.0/17\n",
    )
    .await;
    assert_eq!(
        api.count("select count(*) from block where cidr = '172.16.1.0/24'")
            .await,
        1
    );
    let found = conflicts(
        &api,
        "kind,pool,parent,cidr,reason\npool,no,,100.1.0.0/16,\npool,over,late,172.16.0.0/23,\nreservation,,,100.0.0.0/9,x\n",
    )
    .await;
    check(
        &found,
        &[
            (2, "overlap", "lies in the reservation of 100.0.0.0/8"),
            (3, "overlap", "is reserved: waits"),
            (4, "overlap", "overlaps the reservation of 100.0.0.0/8"),
        ],
    );
    api.verify().await;
    carry_over(&api, "csv", "text/csv").await;
}

/// A file of a realistic mix: of ten ranges six are pairs of a profile, the others singles in several pools and both
/// families, and some reservations.
fn realistic(ranges: usize) -> String {
    let mut file = "kind,pool,parent,cidr,vpc,name,profile,role,min_prefix_length,max_prefix_length,size_offset,labels,reason\n\
        pool,nodes,,10.0.0.0/8,,,,,20,28,,,\npool,pods,,100.64.0.0/10,,,,,15,26,,,\n\
        pool,corp,,172.16.0.0/12,,,,,16,30,,,\npool,six,,2001:db8::/32,,,,,48,64,,,\n\
        pool,edge,corp,172.24.0.0/14,,,,,24,30,,,\n\
        profile_member,nodes,,,,,cluster,nodes,20,28,,,\nprofile_member,pods,,,,,cluster,pods,15,26,-3,,\n"
        .to_owned();
    let net = |base: u32, index: usize, length: u8| {
        let first = base + ((index as u32) << (32 - length));
        Cidr::new(std::net::Ipv4Addr::from(first).into(), length).expect("aligned")
    };
    let (mut pairs, mut others) = (0, 0);
    for range in 0..ranges / 10 {
        for _ in 0..3 {
            let vpc = pairs / 50;
            // A /28 for nodes, with a /25 for pods.
            let (nodes, pods) = (net(0x0a00_0000, pairs, 28), net(0x6440_0000, pairs, 25));
            file += &format!(
                ",,,{nodes},vpc-{vpc},c{pairs},cluster,nodes,,,,env=prod;app=a{pairs},\n\
                 ,,,{pods},vpc-{vpc},c{pairs},cluster,pods,,,,,\n"
            );
            pairs += 1;
        }
        for kind in 0..4 {
            let vpc = others / 50;
            file += &match (kind, range % 5) {
                (0, 0) => format!(
                    "reservation,,,{},,,,,,,,,legacy {range}\n",
                    net(0xac10_0000, range, 28)
                ),
                (0 | 1, _) => {
                    let cidr = net(0xac10_0000, range + if kind == 0 { 0 } else { 16_384 }, 28);
                    format!(",,,{cidr},corp-{vpc},s{others},,,,,,,\n")
                }
                (2, _) => format!(",,,{},edge-{vpc},,,,,,,,\n", net(0xac18_0000, range, 28)),
                _ => {
                    let (high, low) = (range >> 16, range & 0xffff);
                    format!(",,,2001:db8:{high:x}:{low:x}::/64,six-{vpc},s{others},,,,,,,\n")
                }
            };
            others += 1;
        }
    }
    file
}

mod scale {
    use std::time::Instant;

    use super::*;

    /// How many ranges: as many as CI has time for, or as many as one wants to know about.
    fn ranges() -> usize {
        std::env::var("IPAM_TEST_RANGES")
            .ok()
            .and_then(|count| count.parse().ok())
            .unwrap_or(100_000)
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_large_plan_is_imported_used_and_exported_without_loss() {
        // The pools of a fresh database lie where this plan's do.
        let clear = "delete from profile_member; delete from profile; delete from pool_range; delete from pool";
        let api = Api::start().await;
        api.sql(clear).await;
        let ranges = ranges();
        let file = realistic(ranges);
        let mut begin = Instant::now();
        let mut lap = |what: &str| {
            eprintln!("{what}: {:.1} s", begin.elapsed().as_secs_f64());
            begin = Instant::now();
        };
        let dry = send(&api, "text/csv", "?dry_run=true", file.clone())
            .await
            .ok(200);
        assert_eq!(dry["total_conflicts"], 0, "{}", dry["conflicts"][0]);
        lap("dry run");
        let result = import(&api, file.clone()).await;
        lap(&format!("import of {ranges} ranges"));
        let (blocks, reservations) = (
            result["created"]["blocks"].as_u64(),
            result["created"]["reservations"].as_u64(),
        );
        assert_eq!(blocks.unwrap() + reservations.unwrap(), ranges as u64);
        api.verify().await;
        lap("verify");
        let again = import(&api, file).await;
        assert_eq!(again["unchanged"], again["records"]);
        lap("import again");

        // It is a plan like any other: space is found around it, and owners of addresses are.
        let body = json!({"vpc": "later", "profile": "cluster", "prefix_length": 26});
        let fresh = api.post(ALLOCATIONS, &body).await.ok(201);
        let found = api
            .get(&format!("{ALLOCATIONS}?contains=2001:db8:0:7::1"))
            .await
            .ok(200);
        assert_eq!(found["items"][0]["cidr"], "2001:db8:0:7::/64");
        let found = api
            .get(&format!("{ALLOCATIONS}?contains=10.0.0.33"))
            .await
            .ok(200);
        assert_eq!(found["items"][0]["name"], "c2");
        api.delete(&path(&fresh)).await.ok(204);
        lap("allocation, lookups, release");

        let json = export(&api, "json").await;
        lap("export");
        let other = Api::start().await;
        let result = send(&other, "application/x-ndjson", "", json.clone())
            .await
            .ok(200);
        assert_eq!(result["total_conflicts"], 0);
        lap("import of the export");
        assert_eq!(export(&other, "json").await, json);
        other.verify().await;
        lap("export and verify");
    }
}

/// An export that nobody reads on with yet, of several pieces.
async fn begun(api: &Api) -> axum::response::Response {
    let request = http::Request::builder()
        .uri(EXPORT)
        .header("x-api-key", KEY)
        .body(axum::body::Body::empty())
        .expect("a valid request");
    let router = api.router.clone();
    router.oneshot(request).await.expect("infallible")
}

const MANY: &str = "insert into vpc (vrf_id, name) select vrf_id, 'vpc-' || n from vrf, generate_series(1, 20000) as n";

#[tokio::test]
async fn exports_that_nobody_reads_leave_connections_for_others() {
    let api = Api::start().await;
    api.sql(MANY).await;
    let token = api
        .token(json!({"name": "reader", "roles": ["reader"]}))
        .await;
    let (first, second) = (begun(&api).await, begun(&api).await);
    assert!(first.status().is_success() && second.status().is_success());
    for _ in 0..4 {
        api.get(EXPORT).await.problem(503, "overloaded");
    }
    api.as_who(&token, "GET", "/api/v1/whoami", &Value::Null)
        .await
        .ok(200);
    // Whoever leaves makes room.
    drop(first);
    let text = api.get(EXPORT).await;
    assert_eq!(text.status, 200);
    let whole = second
        .into_body()
        .collect()
        .await
        .expect("whole")
        .to_bytes();
    assert_eq!(whole, text.text.as_bytes());
}

#[tokio::test]
async fn a_client_may_take_its_time_for_a_piece_of_an_export() {
    let world = Api::start().await;
    world.sql(MANY).await;
    let limit = "do $$ begin execute format('alter database %I set idle_in_transaction_session_timeout = ''1s''',
        current_database()); end $$";
    world.sql(limit).await;
    let api = world.another().await;
    let slow = begun(&api).await;
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    let whole = slow.into_body().collect().await.expect("whole").to_bytes();
    assert_eq!(whole, api.get(EXPORT).await.text.as_bytes());
}
