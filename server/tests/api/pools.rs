//! Pools: what is used and what is left adds up, whatever happened before.

use ipam_shared::cidr::Cidr;
use serde_json::{Value, json};

use crate::support::{ALLOCATIONS, Api, POOLS, cidrs, path};

/// Compares a pool with what the blocks of all allocations leave of it, counted address by address where that is small.
fn check(pool: &Value, blocks: &[Cidr]) {
    let range: Cidr = pool["ranges"][0]
        .as_str()
        .expect("a text")
        .parse()
        .expect("a CIDR");
    let bits = 32 - range.prefix_length();
    let used: u128 = blocks.iter().map(|block| block.addresses()).sum();
    let total = range.addresses();
    assert_eq!(
        pool["total_addresses"],
        u64::try_from(total).expect("small")
    );
    assert_eq!(pool["used_addresses"], u64::try_from(used).expect("small"));
    let ratio = pool["utilisation"].as_f64().expect("a number");
    assert!((ratio - used as f64 / total as f64).abs() < 1e-9, "{ratio}");
    // The free list from the definition: aligned, as large as can be, disjoint.
    let mut left = Vec::new();
    let mut todo = vec![range];
    while let Some(net) = todo.pop() {
        if blocks.iter().all(|block| !block.overlaps(net)) {
            left.push(net.prefix_length());
        } else if !blocks.contains(&net)
            && let Some((low, high)) = net.halves()
        {
            todo.extend([low, high]);
        }
    }
    let expected: Vec<_> = (32 - bits..=32)
        .filter_map(|length| {
            let count = left.iter().filter(|found| **found == length).count();
            (count > 0).then(|| json!({"prefix_length": length, "count": count}))
        })
        .collect();
    assert_eq!(pool["free"], json!(expected));
    assert_eq!(
        pool["largest_free_prefix_length"],
        left.iter()
            .min()
            .map_or(Value::Null, |length| json!(length))
    );
}

#[tokio::test]
async fn used_and_free_add_up_after_whatever_happened() {
    let api = Api::start().await;
    let mut live: Vec<Value> = Vec::new();
    let mut state = 12_345_u32;
    for step in 0..60 {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        if !live.is_empty() && (state >> 16) % 5 < 2 {
            let gone = live.swap_remove((state >> 8) as usize % live.len());
            api.delete(&path(&gone)).await.ok(204);
        } else {
            let reply = api
                .post(
                    ALLOCATIONS,
                    &json!({"vpc": "a", "prefix_length": 20 + (state >> 10) % 7}),
                )
                .await;
            match reply.status {
                201 => live.push(reply.json),
                _ => _ = reply.problem(409, "pool_exhausted"),
            }
        }
        if step % 6 == 0 {
            for (index, name) in ["primary", "cgnat"].into_iter().enumerate() {
                let pool = api.get(&format!("{POOLS}/{name}")).await.ok(200);
                let blocks: Vec<Cidr> = live
                    .iter()
                    .map(|one| cidrs(one)[index].parse().unwrap())
                    .collect();
                check(&pool, &blocks);
            }
        }
    }
    assert!(live.len() > 5, "that tests nothing");
    api.verify().await;
}

#[tokio::test]
async fn pools_are_found_by_id_and_by_name() {
    let api = Api::start().await;
    let page = api.get(POOLS).await.ok(200);
    let names: Vec<_> = page["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|pool| pool["name"].clone())
        .collect();
    assert_eq!(names, ["cgnat", "primary"]);
    let primary = &page["items"][1];
    for (field, value) in [
        ("vrf", json!("default")),
        ("family", json!("ipv4")),
        ("ranges", json!(["10.0.0.0/16"])),
        ("min_prefix_length", json!(20)),
        ("max_prefix_length", json!(26)),
        ("default_prefix_length", json!(24)),
        ("reserved_addresses", json!(5)),
        ("strategy", json!("best_fit")),
        ("total_addresses", json!(65536)),
        ("used_addresses", json!(0)),
        ("free", json!([{"prefix_length": 16, "count": 1}])),
    ] {
        assert_eq!(primary[field], value, "{field}");
    }
    for key in ["primary", primary["id"].as_str().unwrap()] {
        assert_eq!(&api.get(&format!("{POOLS}/{key}")).await.ok(200), primary);
    }
    for key in ["none", "00000000-0000-0000-0000-000000000000"] {
        api.get(&format!("{POOLS}/{key}"))
            .await
            .problem(404, "not_found");
    }
    api.get(&format!("{POOLS}?nane=x"))
        .await
        .problem(400, "invalid_request");
    api.sql("insert into vrf (name) values ('lab');
        insert into pool (vrf_id, name, family, min_prefix_length, max_prefix_length)
            select vrf_id, 'primary', 6, 40, 64 from vrf where name = 'lab';
        insert into pool_range (pool_id, vrf_id, family, cidr)
            select pool_id, vrf_id, 6, '2001:db8::/32' from pool join vrf using (vrf_id) where vrf.name = 'lab'").await;
    let reply = api.get(&format!("{POOLS}/primary")).await;
    let (detail, _) = reply.problem(400, "invalid_request");
    assert!(
        detail.contains("lab") && detail.contains("default"),
        "{detail}"
    );
    let lab = api
        .get(&format!("{POOLS}?name=primary&vrf=lab"))
        .await
        .ok(200);
    assert_eq!(
        (
            lab["items"].as_array().unwrap().len(),
            &lab["items"][0]["family"]
        ),
        (1, &json!("ipv6"))
    );
    // 2^96 addresses, to the last digit.
    assert!(
        api.get(&format!("{POOLS}?vrf=lab"))
            .await
            .text
            .contains("\"total_addresses\":79228162514264337593543950336")
    );
}

/// A server may remember a VRF by a name that another server has given up.
#[tokio::test]
async fn a_pool_of_a_vrf_that_was_renamed_is_not_found_by_the_old_name() {
    let api = Api::start().await;
    api.post("/api/v1/vrfs", &json!({"name": "old"}))
        .await
        .ok(201);
    let pool = json!({"name": "p", "vrf": "old", "ranges": ["10.9.0.0/16"]});
    api.post(POOLS, &pool).await.ok(201);
    // Now the name is remembered.
    api.post(POOLS, &pool).await.ok(200);
    api.sql("update vrf set name = 'new' where name = 'old'")
        .await;
    api.post(POOLS, &pool).await.problem(404, "not_found");
}
