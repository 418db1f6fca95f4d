//! What a file may say at all: its numbers and times have bounds, and a dry run knows them like the import.

use serde_json::{Value, json};

use crate::{
    support::{ALLOCATIONS, Api, RESERVATIONS, path},
    transfer::{check, conflicts, export, import, send},
};

#[tokio::test]
async fn numbers_and_times_have_bounds() {
    let api = Api::start().await;
    let file = "kind,vrf,pool,cidr,vpc,name,profile,role,reason,number,created_at,since,retired_at\n\
        ,,,10.0.0.0/24,a,n1,,,,9223372036854775806,,,\n\
        ,,,10.0.1.0/24,a,n2,,,,9223372036854775807,,,\n\
        ,,,10.0.2.0/24,a,n3,,,,9007199254740992,,,\n\
        ,,,10.0.3.0/24,a,n4,,,,0,,,\n\
        ,,,10.0.4.0/24,a,n5,,,,,2999-01-01T00:00:00Z,,\n\
        ,,,10.0.5.0/24,a,n6,,,,,,2999-01-01T00:00:00Z,\n\
        ,,,10.0.6.0/24,a,n7,,,,,1969-12-31T23:59:59Z,,\n\
        ,,,10.0.7.0/24,a,n8,,,,,0000-01-01T00:00:00+23:00,,\n\
        reservation,,,10.0.8.0/24,,,,,r,,2999-01-01T00:00:00Z,,\n\
        vpc,,,,late,,,,,,2999-01-01T00:00:00Z,,\n\
        vrf,late,,,,,,,,,2999-01-01T00:00:00Z,,\n\
        pool,,late,172.16.0.0/16,,,,,,,2999-01-01T00:00:00Z,,\n\
        profile_member,,primary,,,,late,main,,,2999-01-01T00:00:00Z,,\n\
        profile_member,,primary,,,,node-pod,old,,,,,2999-01-01T00:00:00Z\n";
    let number = "number must be 1 to 9007199254740991";
    let created = "created_at must be after 1970-01-01 and not in the future";
    let found = conflicts(&api, file).await;
    check(
        &found,
        &[
            (2, "bad_value", number),
            (3, "bad_value", number),
            (4, "bad_value", number),
            (5, "bad_value", number),
            (6, "bad_value", created),
            (
                7,
                "bad_value",
                "since must be after 1970-01-01 and not in the future",
            ),
            (8, "bad_value", created),
            (9, "bad_value", created),
            (10, "bad_value", created),
            (11, "bad_value", created),
            (12, "bad_value", created),
            (13, "bad_value", created),
            (14, "bad_value", created),
            (
                15,
                "bad_value",
                "retired_at must be after 1970-01-01 and not in the future",
            ),
        ],
    );
    // The largest number that is taken leaves room for all that come after it.
    import(
        &api,
        "cidr,vpc,number,created_at\n10.0.0.0/24,a,9007199254740991,1970-01-02T00:00:00Z\n",
    )
    .await;
    let page = api.get(&format!("{ALLOCATIONS}?vpc=a")).await.ok(200);
    let next = api.allocate(json!({"vpc": "a", "prefix_length": 24})).await;
    assert_eq!(next["number"], json!(9_007_199_254_740_992_u64));
    for one in [&page["items"][0], &next] {
        api.delete(&path(one)).await.ok(204);
    }
    api.verify().await;
}

/// An earlier release took such a time; what has it can be given back all the same.
#[tokio::test]
async fn what_was_made_in_the_future_can_be_released_and_resized() {
    let api = Api::start().await;
    let mut made = Vec::new();
    for name in ["released", "resized", "cascaded"] {
        let vpc = if name == "cascaded" { "gone" } else { "kept" };
        made.push(
            api.allocate(
                json!({"vpc": vpc, "name": name, "pools": ["primary"], "prefix_length": 24}),
            )
            .await,
        );
    }
    let reserved = api
        .post(
            RESERVATIONS,
            &json!({"cidr": "10.0.64.0/24", "reason": "r"}),
        )
        .await
        .ok(201);
    api.sql(
        "alter table block disable trigger block_immutable; update block set since = '2999-01-01'; \
        alter table block enable trigger block_immutable",
    )
    .await;
    api.delete(&path(&made[0])).await.ok(204);
    api.patch(&path(&made[1]), &json!({"prefix_length": 25}))
        .await
        .ok(200);
    api.delete("/api/v1/vpcs/gone?cascade=true").await.ok(200);
    let reserved = reserved["id"].as_str().expect("an id");
    api.delete(&format!("{RESERVATIONS}/{reserved}"))
        .await
        .ok(204);
    assert_eq!(
        api.count("select count(*) from past_block where until < now() + interval '1 minute'")
            .await,
        4
    );
    api.verify().await;
}

/// The record that a case changes in one column, with `{i}` for what makes it its own.
const BASES: [(&str, &str); 6] = [
    ("vrf", r#"{"kind":"vrf","vrf":"vrf-{i}"}"#),
    (
        "pool",
        r#"{"kind":"pool","pool":"pool-{i}","family":"ipv4"}"#,
    ),
    (
        "profile_member",
        r#"{"kind":"profile_member","profile":"profile-{i}","role":"main","pool":"primary"}"#,
    ),
    ("vpc", r#"{"kind":"vpc","vpc":"vpc-{i}"}"#),
    (
        "reservation",
        r#"{"kind":"reservation","cidr":"172.16.{i}.0/24","reason":"r"}"#,
    ),
    (
        "allocation",
        r#"{"cidr":"10.1.{i}.0/24","vpc":"a","pool":"wide","min_prefix_length":8,"max_prefix_length":30}"#,
    ),
];

/// Values that somebody may write into a column, sensible or not.
fn values(column: &str) -> Vec<Value> {
    let long = "x".repeat(2_000);
    match column {
        "min_prefix_length"
        | "max_prefix_length"
        | "default_prefix_length"
        | "requested_prefix_length" => [0, 24, 32, 33, 128, 129, 255].map(Value::from).to_vec(),
        "reserved_addresses" | "release_cooldown_seconds" => {
            [0_u32, 31_536_000, 31_536_001, i32::MAX as u32, u32::MAX]
                .map(Value::from)
                .to_vec()
        }
        "position" | "size_offset" => [i16::MIN, -128, -1, 0, 1, 128, i16::MAX]
            .map(Value::from)
            .to_vec(),
        "requested_hosts" => [0, 1, i64::MAX as u64, u64::MAX].map(Value::from).to_vec(),
        "number" => [i64::MIN, 0, 4_000_000_000, i64::MAX]
            .map(Value::from)
            .to_vec(),
        "created_at" | "since" | "retired_at" => [
            "0000-01-01T00:00:00+23:59",
            "1971-01-01T00:00:00.123456789Z",
            "9999-12-31T23:59:59-23:59",
        ]
        .map(Value::from)
        .to_vec(),
        "labels" | "requested_pool_selector" => {
            let many: serde_json::Map<_, _> =
                (0..200).map(|i| (format!("k{i}"), json!("v"))).collect();
            vec![json!({}), json!({"a": "b"}), Value::Object(many)]
        }
        "required_labels" => vec![json!({}), json!({"a": []}), json!({"a": ["b"], "": ["c"]})],
        "requested_pools" => vec![
            json!([]),
            json!(["wide"]),
            json!(["nowhere"]),
            json!([long]),
            json!(vec!["wide"; 500]),
        ],
        "exclude_cidrs" => vec![
            json!([]),
            json!(["10.0.0.0/8"]),
            json!(vec!["10.9.0.0/16"; 5_000]),
        ],
        "requested_cidr" => ["10.1.0.0/24", "0.0.0.0/0", "::/0"]
            .map(Value::from)
            .to_vec(),
        "role" => vec![json!("main"), json!("Main"), json!(""), json!(long)],
        "description" | "reason" | "created_by" | "allocation" => {
            vec![json!(""), json!("\u{202e}x"), json!(long)]
        }
        "family" => vec![json!("ipv6")],
        "strategy" => vec![json!("sparse")],
        "deletion_protection" | "confirmed" => vec![json!(true), json!(false)],
        _ => Vec::new(),
    }
}

#[tokio::test]
async fn a_dry_run_says_what_the_import_says_whatever_the_file_says() {
    let api = Api::start().await;
    import(&api, "kind,pool,cidr\npool,wide,10.1.0.0/16\n").await;
    let (mut taken, mut refused) = (0, 0);
    let mut i = 0;
    for (kind, base) in BASES {
        let columns = ipam_shared::api::transfer::COLUMNS.iter();
        for column in columns.filter(|column| column.kinds.iter().any(|of| of.as_str() == kind)) {
            for value in values(column.name) {
                i += 1;
                let mut record: Value =
                    serde_json::from_str(&base.replace("{i}", &i.to_string())).expect("JSON");
                record[column.name] = value;
                let file = record.to_string();
                let short: String = file.chars().take(300).collect();
                let dry = send(&api, "application/x-ndjson", "?dry_run=true", file.clone()).await;
                let real = send(&api, "application/x-ndjson", "", file).await;
                assert_eq!(dry.status, 200, "{short}: {}", dry.text);
                if dry.json["total_conflicts"] == 0 {
                    taken += 1;
                    assert_eq!(real.status, 200, "the dry run took {short}: {}", real.text);
                    assert_eq!(real.json["created"], dry.json["created"], "{short}");
                } else {
                    refused += 1;
                    let (_, details) = real.problem(409, "import_conflict");
                    assert_eq!(details["conflicts"], dry.json["conflicts"], "{short}");
                }
            }
        }
        i = 0;
    }
    assert!(
        taken > 60 && refused > 60,
        "{taken} taken, {refused} refused"
    );
    api.verify().await;

    // What was taken can be read, carried away, and given back.
    let file = export(&api, "json").await;
    let other = Api::start().await;
    send(&other, "application/x-ndjson", "", file.clone())
        .await
        .ok(200);
    assert_eq!(export(&other, "json").await, file);
    for (list, kind) in [(ALLOCATIONS, "allocations"), (RESERVATIONS, "reservations")] {
        let page = api.get(&format!("{list}?limit=1000")).await.ok(200);
        let items = page["items"].as_array().expect("items");
        assert!(!items.is_empty(), "{kind}");
        for item in items {
            let path = format!("{list}/{}", item["id"].as_str().expect("an id"));
            if item["deletion_protection"] == true {
                api.patch(&path, &json!({"deletion_protection": false}))
                    .await
                    .ok(200);
            }
            api.delete(&path).await.ok(204);
        }
    }
    api.verify().await;
}
