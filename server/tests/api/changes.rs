//! Changing and releasing allocations.

use serde_json::{Value, json};

use crate::support::{ALLOCATIONS, Api, cidrs, path};

#[tokio::test]
async fn a_change_touches_what_it_names_and_nothing_else() {
    let api = Api::start().await;
    let made = api
        .allocate(json!({"vpc": "a", "name": "n", "hosts": 300, "labels": {"k": "v", "l": "w"}, "description": "old"}))
        .await;
    let (mut expected, mut revision) = (made.clone(), 1);
    for patch in [
        json!({"labels": {"k": "v2"}}),
        json!({"description": "new"}),
        json!({"description": ""}),
        json!({"labels": {}}),
        json!({"deletion_protection": true}),
        json!({"name": "m"}),
        json!({"vpc": "b"}),
        json!({"vpc": "a", "name": "n", "deletion_protection": false, "labels": {"x": "y"}, "description": "all"}),
    ] {
        let reply = api.patch(&path(&made), &patch).await;
        revision += 1;
        for (field, value) in patch.as_object().unwrap() {
            expected[field] = value.clone();
        }
        for field in ["revision", "updated_at", "vpc_id", "claim"] {
            expected[field] = reply.json[field].clone();
        }
        assert_eq!(reply.header("etag"), format!("\"{revision}\""));
        let now = reply.ok(200);
        assert_eq!(now["revision"], revision);
        expected["claim"] = Value::Null;
        let mut shown = now.clone();
        shown["claim"] = Value::Null;
        assert_eq!(shown, expected, "{patch}");
        assert_eq!(api.get(&path(&made)).await.ok(200), now);
    }
    assert_eq!(api.events("allocation.update").await, 8);
    // Nothing asked, nothing done.
    let before = api.state().await;
    assert_eq!(
        api.patch(&path(&made), &json!({})).await.ok(200)["revision"],
        revision
    );
    assert_eq!(api.state().await, before);
    api.verify().await;
}

#[tokio::test]
async fn a_move_to_another_vpc_keeps_the_blocks() {
    let api = Api::start().await;
    let made = api
        .allocate(json!({"vpc": "a", "name": "n", "hosts": 300}))
        .await;
    let moved = api
        .patch(&path(&made), &json!({"vpc": "New One"}))
        .await
        .ok(200);
    assert_eq!(
        (&moved["vpc"], cidrs(&moved), &moved["id"]),
        (&json!("New One"), cidrs(&made), &made["id"])
    );
    assert_ne!(moved["vpc_id"], made["vpc_id"]);
    assert_eq!(api.events("vpc.create").await, 2);
    // A name that is taken there.
    let other = api
        .allocate(json!({"vpc": "a", "name": "n", "hosts": 300}))
        .await;
    let before = api.state().await;
    let reply = api.patch(&path(&other), &json!({"vpc": "new one"})).await;
    let (detail, _) = reply.problem(409, "name_taken");
    assert!(detail.contains("new one"), "{detail}");
    assert_eq!(api.state().await, before);
    let renamed = api
        .patch(&path(&other), &json!({"vpc": "new one", "name": "n2"}))
        .await
        .ok(200);
    assert_eq!(renamed["vpc_id"], moved["vpc_id"]);
    let reply = api.patch(&path(&other), &json!({"name": "n"})).await;
    reply.problem(409, "name_taken");
    // A refused change makes no VPC on the way.
    api.sql("insert into vrf (name) values ('lab'); insert into vpc (vrf_id, name) select vrf_id, 'lab' from vrf where name = 'lab'").await;
    let reply = api.patch(&path(&other), &json!({"vpc": "lab"})).await;
    let (detail, _) = reply.problem(400, "invalid_request");
    assert!(detail.contains("VRF"), "{detail}");
    let reply = api
        .patch(&path(&other), &json!({"vpc": "fresh", "hosts": 4000}))
        .await;
    reply.problem(409, "overlap");
    assert_eq!(
        api.count("select count(*) from vpc where name = 'fresh'")
            .await,
        0
    );
    api.verify().await;
}

#[tokio::test]
async fn another_way_to_ask_for_the_same_blocks_is_kept_and_nonsense_is_refused() {
    let api = Api::start().await;
    let made = api
        .allocate(json!({"vpc": "a", "name": "n", "hosts": 300}))
        .await;
    for (patch, hosts, length) in [
        (json!({"hosts": 252}), json!(252), Value::Null),
        (json!({"hosts": 507}), json!(507), Value::Null),
        (json!({"prefix_length": 23}), Value::Null, json!(23)),
    ] {
        let now = api.patch(&path(&made), &patch).await.ok(200);
        assert_eq!(
            (
                &now["requested_hosts"],
                &now["requested_prefix_length"],
                cidrs(&now)
            ),
            (&hosts, &length, cidrs(&made))
        );
        // And a retry of the creation has to ask that way from now on.
        let mut again = patch.clone();
        again["vpc"] = json!("a");
        again["name"] = json!("n");
        assert_eq!(
            api.post(ALLOCATIONS, &again).await.ok(200)["id"],
            made["id"]
        );
    }
    let before = api.state().await;
    for patch in [
        json!({"hosts": 0}),
        json!({"hosts": 4092}),
        json!({"prefix_length": 19}),
        json!({"prefix_length": 27}),
        json!({"prefix_length": 255}),
        json!({"hosts": u64::MAX}),
        json!({"hosts": 300, "prefix_length": 23}),
        json!({"cidr": "10.0.0.0/23"}),
        json!({"profile": "x"}),
        json!({"hosts": "300"}),
    ] {
        api.patch(&path(&made), &patch)
            .await
            .problem(400, "invalid_request");
    }
    assert_eq!(api.state().await, before);
    // The smallest block holds any smaller number of hosts.
    let small = api.allocate(json!({"vpc": "a", "hosts": 59})).await;
    api.patch(&path(&small), &json!({"hosts": 1})).await.ok(200);
}

#[tokio::test]
async fn if_match_lets_no_change_overwrite_another() {
    let api = Api::start().await;
    let made = api.allocate(json!({"vpc": "a", "hosts": 300})).await;
    let tag = [("if-match", "\"1\"")];
    let reply = api
        .with("PATCH", &path(&made), &tag, &json!({"description": "one"}))
        .await;
    assert_eq!((reply.status, reply.header("etag")), (200, "\"2\""));
    let before = api.state().await;
    let reply = api
        .with("PATCH", &path(&made), &tag, &json!({"description": "two"}))
        .await;
    let (detail, details) = reply.problem(412, "stale");
    assert_eq!(details["revision"], 2);
    assert!(detail.contains("revision 2"), "{detail}");
    api.with("DELETE", &path(&made), &tag, &Value::Null)
        .await
        .problem(412, "stale");
    for wrong in ["2", "W/\"2\"", "x", "\"x\"", "\"1\", \"2\""] {
        api.with(
            "PATCH",
            &path(&made),
            &[("if-match", wrong)],
            &json!({"description": "two"}),
        )
        .await
        .problem(400, "invalid_request");
    }
    assert_eq!(api.state().await, before);
    api.with(
        "PATCH",
        &path(&made),
        &[("if-match", "*")],
        &json!({"description": "two"}),
    )
    .await
    .ok(200);
    api.with(
        "DELETE",
        &path(&made),
        &[("if-match", "\"3\"")],
        &Value::Null,
    )
    .await
    .ok(204);

    // Of many who read the same revision, one wins.
    let made = api.allocate(json!({"vpc": "a", "hosts": 300})).await;
    let (path, patch) = (path(&made), json!({"description": "x"}));
    let replies =
        futures::future::join_all((0..16).map(|_| api.with("PATCH", &path, &tag, &patch))).await;
    let won = replies.iter().filter(|reply| reply.status == 200).count();
    replies
        .iter()
        .filter(|reply| reply.status != 200)
        .for_each(|reply| _ = reply.problem(412, "stale"));
    assert_eq!(won, 1);
}

#[tokio::test]
async fn a_released_allocation_is_gone_and_an_unknown_one_never_was() {
    let api = Api::start().await;
    let made = api
        .allocate(json!({"vpc": "a", "name": "n", "hosts": 300}))
        .await;
    let reply = api.delete(&path(&made)).await;
    assert_eq!((reply.status, reply.text.as_str()), (204, ""));
    for reply in [
        api.get(&path(&made)).await,
        api.delete(&path(&made)).await,
        api.patch(&path(&made), &json!({"description": "x"})).await,
        api.patch(&path(&made), &json!({"vpc": "elsewhere"})).await,
    ] {
        let (detail, details) = reply.problem(410, "gone");
        assert_eq!(details["deleted_by"], "admin");
        let at = details["deleted_at"].as_str().unwrap();
        time::OffsetDateTime::parse(at, &time::format_description::well_known::Rfc3339).expect(at);
        assert!(
            detail.contains(made["id"].as_str().unwrap()) && detail.contains("admin"),
            "{detail}"
        );
    }
    assert_eq!(
        api.count("select count(*) from vpc where name = 'elsewhere'")
            .await,
        0
    );
    let unknown = format!("{ALLOCATIONS}/018f0000-0000-7000-8000-000000000000");
    for reply in [
        api.get(&unknown).await,
        api.delete(&unknown).await,
        api.patch(&unknown, &json!({"name": "x"})).await,
    ] {
        reply.problem(404, "not_found");
    }
    assert_eq!(api.events("allocation.release").await, 1);
    // What was released is given again, whole.
    let again = api.allocate(json!({"vpc": "b", "hosts": 300})).await;
    assert_eq!(cidrs(&again), cidrs(&made));
    api.verify().await;
}

#[tokio::test]
async fn a_protected_allocation_needs_a_second_call() {
    let api = Api::start().await;
    let made = api
        .allocate(json!({"vpc": "a", "name": "n", "hosts": 300, "deletion_protection": true}))
        .await;
    let before = api.state().await;
    let reply = api.delete(&path(&made)).await;
    let (detail, _) = reply.problem(409, "deletion_protected");
    assert!(
        detail.contains("a/n") && detail.contains("deletion_protection"),
        "{detail}"
    );
    assert_eq!(api.state().await, before);
    api.patch(&path(&made), &json!({"deletion_protection": false}))
        .await
        .ok(200);
    api.delete(&path(&made)).await.ok(204);
    api.verify().await;
}

#[tokio::test]
async fn many_releases_of_one_allocation_free_it_once() {
    let api = Api::start().await;
    let made = api.allocate(json!({"vpc": "a", "hosts": 300})).await;
    let path = path(&made);
    let replies = futures::future::join_all((0..16).map(|_| api.delete(&path))).await;
    assert_eq!(
        replies.iter().filter(|reply| reply.status == 204).count(),
        1
    );
    replies
        .iter()
        .filter(|reply| reply.status != 204)
        .for_each(|reply| _ = reply.problem(410, "gone"));
    assert_eq!(api.events("allocation.release").await, 1);
    api.verify().await;
}

/// Neither does it wait for anybody: every table is locked against whoever would write, or lock a row.
#[tokio::test]
async fn a_dry_run_takes_no_lock_and_writes_nothing() {
    let api = Api::start().await;
    let web = api
        .allocate(json!({"vpc": "a", "name": "web", "prefix_length": 24}))
        .await;
    let other = api
        .allocate(json!({"vpc": "b", "name": "web", "prefix_length": 24}))
        .await;
    let before = api.state().await;
    let mut holder = api.database.connect().await;
    sqlx::raw_sql("begin; lock table vrf, pool, pool_range, profile, vpc, allocation, block, free_block, event in exclusive mode")
        .execute(&mut holder)
        .await
        .unwrap();
    for (patch, status) in [
        (json!({"prefix_length": 26}), 200),
        (json!({"hosts": 1000}), 409),
        (
            json!({"prefix_length": 25, "name": "db", "labels": {"a": "b"}}),
            200,
        ),
        (json!({"vpc": "b"}), 409),
        (json!({"vpc": "b", "name": "db"}), 200),
        (json!({"vpc": "yet to be made", "prefix_length": 25}), 200),
        (json!({}), 200),
    ] {
        let mut dry = patch.clone();
        dry["dry_run"] = json!(true);
        let reply = api.patch(&path(&web), &dry).await;
        assert_eq!(reply.status, status, "{patch}: {}", reply.text);
        if status == 200 {
            let is_changed = patch != json!({});
            assert_eq!(
                reply.json["revision"],
                if is_changed { 2 } else { 1 },
                "{patch}"
            );
            for field in ["name", "vpc", "prefix_length"] {
                let expected = patch.get(field).unwrap_or(&web[field]);
                assert_eq!(&reply.json[field], expected, "{patch}");
            }
        }
    }
    let new = json!({"vpc": "c", "name": "web", "hosts": 9, "dry_run": true});
    api.post(ALLOCATIONS, &new).await.ok(200);
    let batch =
        json!({"dry_run": true, "requests": [{"vpc": "c", "hosts": 9}, {"vpc": "d", "hosts": 9}]});
    api.post(&format!("{ALLOCATIONS}/batch"), &batch)
        .await
        .ok(200);
    drop(holder);
    assert_eq!(api.state().await, before);
    // And what it said is what comes of it.
    let dry = json!({"prefix_length": 26, "labels": {"x": "y"}, "dry_run": true});
    let mut said = api.patch(&path(&other), &dry).await.ok(200);
    let wet = json!({"prefix_length": 26, "labels": {"x": "y"}});
    let mut done = api.patch(&path(&other), &wet).await.ok(200);
    for reply in [&mut said, &mut done] {
        reply["updated_at"].take();
    }
    assert_eq!(said, done);
}
