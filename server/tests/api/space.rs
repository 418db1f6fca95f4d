//! Why a pool has no room, and the smallest change that makes some.

use std::collections::BTreeSet;

use ipam_shared::cidr::Cidr;
use proptest::{
    prelude::*,
    strategy::ValueTree as _,
    test_runner::{Config, TestRunner},
};
use serde_json::{Value, json};

use crate::support::{ALLOCATIONS, Api, POOLS, VPCS};

/// A pool of its own ranges, which gives anything from /24 to /32, and a profile that takes one block of it.
const SMALL: &str = "
insert into pool (vrf_id, name, family, min_prefix_length, max_prefix_length, reserved_addresses)
    select vrf_id, 'small', 4, 24, 32, 0 from vrf;
insert into profile (name) values ('small');
insert into profile_member (profile_id, position, role, pool_name, size_offset, min_prefix_length, max_prefix_length)
    select profile_id, 1, 'main', 'small', 0, 0, 32 from profile where name = 'small';
";

const VPC: &str = "insert into vpc (vrf_id, name) select vrf_id, 'w' from vrf;";

const RANGE: &str = "
insert into pool_range (pool_id, vrf_id, family, cidr)
    select pool_id, vrf_id, 4, '{}'::cidr from pool where name = 'small';
";

fn cidr(value: &Value) -> Cidr {
    value.as_str().expect("a text").parse().expect("a CIDR")
}

/// One world: its ranges, and which requests are made in it, as (prefix length, whether it is released again).
type World = (Vec<&'static str>, Vec<(u8, bool)>, u8);

fn worlds() -> impl Strategy<Value = World> {
    let ranges = prop_oneof![
        3 => Just(vec!["10.9.0.0/24"]),
        2 => Just(vec!["10.9.0.0/25", "10.9.7.0/26"]),
        1 => Just(vec!["10.9.0.0/26", "10.9.1.0/25", "10.9.2.64/27"]),
    ];
    let asks = prop::collection::vec((25_u8..=30, prop::bool::weighted(0.4)), 5..50);
    (ranges, asks, 24_u8..=28)
}

/// All regions of a length that there are, address by address.
fn regions(ranges: &[String], length: u8) -> Vec<Cidr> {
    ranges
        .iter()
        .map(|range| range.parse::<Cidr>().expect("a CIDR"))
        .filter(|range| range.prefix_length() <= length)
        .flat_map(|range| {
            let size = 1_u128 << (32 - length);
            (range.number()..range.number() + range.addresses())
                .step_by(usize::try_from(size).expect("small"))
                .map(move |first| Cidr::from_number(range.family(), first, length))
        })
        .collect()
}

/// The addresses of a region that these blocks use.
fn used(live: &[(Cidr, String)], region: Cidr) -> u128 {
    live.iter()
        .filter(|(block, _)| block.overlaps(region))
        .map(|(block, _)| block.addresses().min(region.addresses()))
        .sum()
}

/// Allocates and releases what a world asks for; answers what is left, with its id.
async fn fill(api: &Api, number: usize, pool: &str, asks: &[(u8, bool)]) -> Vec<(Cidr, String)> {
    let mut live: Vec<(Cidr, String)> = Vec::new();
    for (index, (length, _)) in asks.iter().enumerate() {
        let ask = json!({"vpc": "w", "name": format!("n{number} {index}"), "profile": pool, "prefix_length": length});
        let reply = api.post(ALLOCATIONS, &ask).await;
        if reply.status == 201 {
            live.push((
                cidr(&reply.json["cidr"]),
                reply.json["id"].as_str().expect("an id").to_owned(),
            ));
        }
    }
    let (gone, live): (Vec<_>, Vec<_>) = live
        .into_iter()
        .zip(asks)
        .partition(|(_, (_, released))| *released);
    for ((_, id), _) in &gone {
        api.delete(&format!("{ALLOCATIONS}/{id}")).await.ok(204);
    }
    live.into_iter().map(|(one, _)| one).collect()
}

#[tokio::test]
async fn the_region_is_the_one_with_the_least_in_it_and_what_is_advised_works() {
    let mut runner = TestRunner::new(Config::default());
    let (mut fixed, mut too_large) = (0, 0);
    let api = Api::start().await;
    api.sql(VPC).await;
    for number in 0..48 {
        // Each in a pool of its own.
        let world = worlds().new_tree(&mut runner).expect("a world").current();
        let (ranges, asks, length) = &world;
        let own = |text: &str| {
            text.replace("small", &format!("small{number}"))
                .replace("10.9.", &format!("10.{}.", 100 + number))
        };
        let ranges: Vec<String> = ranges.iter().map(|range| own(range)).collect();
        let (pool, small) = (own("small"), own(SMALL));
        let strategy = ["best_fit", "first_fit", "last_fit", "sparse"][number % 4];
        api.sql(&small).await;
        for range in &ranges {
            api.sql(&own(RANGE).replace("{}", range)).await;
        }
        let patch = json!({"strategy": strategy});
        api.patch(&format!("{POOLS}/{pool}"), &patch).await.ok(200);
        let live = fill(&api, number, &pool, asks).await;
        let free = api
            .get(&format!("{POOLS}/{pool}/free?prefix_length={length}"))
            .await
            .ok(200);

        let regions = regions(&ranges, *length);
        let used = |region| used(&live, region);
        let empty = regions.iter().filter(|region| used(**region) == 0).count();
        assert_eq!(free["fits"], empty, "{world:?}: {free}");
        let ask = json!({"vpc": "w", "name": format!("wanted {number}"), "profile": pool, "prefix_length": length});
        if empty > 0 {
            assert_eq!(free["fix"], Value::Null, "{world:?}");
            let got = api.post(ALLOCATIONS, &ask).await.ok(201);
            assert_eq!(got["cidr"], free["next"], "{world:?}");
            continue;
        }
        let reply = api.post(ALLOCATIONS, &ask).await;
        let (detail, details) = reply.problem(409, "pool_exhausted");
        assert_eq!(details["pools"][0]["fix"], free["fix"], "{world:?}");
        assert!(
            detail.ends_with(free["advice"].as_str().expect("a text")),
            "{detail}"
        );
        let fix = &free["fix"];
        let Some(least) = regions.iter().map(|region| used(*region)).min() else {
            too_large += 1;
            assert_eq!(
                (&fix["region"], &fix["add_range_prefix_length"]),
                (&Value::Null, &json!(length)),
                "{world:?}"
            );
            api.sql(&own(&RANGE.replace("{}", "10.9.9.0/24"))).await;
            api.post(ALLOCATIONS, &ask).await.ok(201);
            continue;
        };
        fixed += 1;
        let region = cidr(&fix["region"]);
        assert!(regions.contains(&region), "{world:?}: {region}");
        assert_eq!(used(region), least, "{world:?}: {fix}");
        assert_eq!(fix["used_addresses"], u64::try_from(least).expect("small"));
        let inside: BTreeSet<Cidr> = live
            .iter()
            .map(|(block, _)| *block)
            .filter(|block| block.overlaps(region))
            .collect();
        let named: Vec<Cidr> = fix["blocks"]
            .as_array()
            .expect("blocks")
            .iter()
            .map(|block| cidr(&block["cidr"]))
            .collect();
        assert_eq!(fix["blocks_total"], inside.len());
        assert_eq!(named, inside.iter().copied().take(10).collect::<Vec<_>>());
        for (_, id) in live.iter().filter(|(block, _)| inside.contains(block)) {
            api.delete(&format!("{ALLOCATIONS}/{id}")).await.ok(204);
        }
        // Where in what became free, the strategy says: a block that had to go may be larger than the region.
        let got = cidr(&api.post(ALLOCATIONS, &ask).await.ok(201)["cidr"]);
        assert!(
            got == region || inside.iter().any(|block| block.contains(got)),
            "{world:?}: {got}"
        );
    }
    api.verify().await;
    assert!(
        fixed > 10 && too_large > 0,
        "that tests nothing: {fixed} and {too_large}"
    );
}

/// A reservation, a cooldown, and a block that somebody wrote by hand, in the pool `small`.
async fn stand_in_the_way(api: &Api) {
    for (place, owner) in [
        ("10.9.0.128/27", "reservation"),
        ("10.9.0.160/27", "cooldown"),
        ("10.9.0.192/27", "by hand"),
    ] {
        // As the server would write it: taken from the free list as an allocation, which then makes room for its heir.
        let ask = json!({"vpc": "w", "name": "tmp", "profile": "small", "cidr": place});
        let made = api.post(ALLOCATIONS, &ask).await.ok(201);
        let id = made["id"].as_str().expect("an id");
        api.sql(&format!(
            "delete from block where allocation_id = '{id}'; delete from allocation where allocation_id = '{id}'"
        ))
        .await;
        let block = |columns: &str, values: &str| {
            format!(
                "insert into block (range_id, cidr, range_cidr, {columns}) select range_id, '{place}', cidr, {values}
                from pool_range where cidr = '10.9.0.0/24';"
            )
        };
        let sql = match owner {
            "reservation" => {
                "insert into reservation (vrf_id, cidr, reason, created_by)
                    select vrf_id, '10.9.0.128/27', 'the old mainframe', 'x' from vrf;"
                    .to_owned()
                    + &block("reservation_id", "(select reservation_id from reservation)")
            }
            "cooldown" => {
                block("reason", "'cooldown'")
                    + &format!(
                        "insert into cooldown (range_id, cidr, allocation_id, vpc, name, role, free_at)
                        select range_id, '{place}', '{id}', 'w', 'late', 'main', '2100-01-01 00:00:00Z' from pool_range
                        where cidr = '10.9.0.0/24'"
                    )
            }
            _ => block("reason", "'do not touch'"),
        };
        api.sql(&sql).await;
    }
}

#[tokio::test]
async fn whoever_is_in_the_way_is_named_for_what_he_is() {
    let api = Api::start().await;
    api.sql(SMALL).await;
    api.sql(VPC).await;
    api.sql(&RANGE.replace("{}", "10.9.0.0/24")).await;
    let ask = json!({"vpc": "w", "name": "web", "profile": "small", "cidr": "10.9.0.0/26"});
    api.post(ALLOCATIONS, &ask).await.ok(201);
    let child = json!({"name": "kid", "parent": "small", "ranges": ["10.9.0.64/26"]});
    api.post(POOLS, &child).await.ok(201);
    stand_in_the_way(&api).await;
    let free = api
        .get(&format!("{POOLS}/small/free?prefix_length=24"))
        .await
        .ok(200);
    let blocks: Vec<_> = free["fix"]["blocks"]
        .as_array()
        .expect("blocks")
        .iter()
        .map(|block| {
            let text = |field: &str| block[field].as_str().unwrap_or("-").to_owned();
            [
                text("kind"),
                text("cidr"),
                text("vpc"),
                text("name"),
                text("reason"),
                text("until"),
            ]
            .join(" ")
        })
        .collect();
    assert_eq!(
        blocks,
        [
            "allocation 10.9.0.0/26 w web - -",
            "child_pool 10.9.0.64/26 - kid - -",
            "reservation 10.9.0.128/27 - - the old mainframe -",
            "cooldown 10.9.0.160/27 w late - 2100-01-01T00:00:00Z",
            "other 10.9.0.192/27 - - do not touch -",
        ]
    );
    assert_eq!(
        free["advice"],
        "release or move w/web (10.9.0.0/26); delete the reservation \"the old mainframe\" (10.9.0.128/27); take the range \
        from pool \"kid\" (10.9.0.64/26); put back into circulation do not touch (10.9.0.192/27); wait for w/late \
        (10.9.0.160/27, until 2100-01-01T00:00:00Z): then 10.9.0.0/24 is free; or add a range of /24 or larger to pool \
        \"small\""
    );
    assert_eq!(
        (&free["cooling_addresses"], &free["free_addresses"]),
        (&json!(32), &json!(32))
    );
    // What cools down is waited for, rather than something that somebody uses.
    let ask = json!({"vpc": "w", "name": "rest", "profile": "small", "cidr": "10.9.0.224/27"});
    api.post(ALLOCATIONS, &ask).await.ok(201);
    let free = api
        .get(&format!("{POOLS}/small/free?prefix_length=27"))
        .await
        .ok(200);
    assert_eq!(
        (
            &free["fix"]["region"],
            &free["fix"]["free_at"],
            &free["advice"]
        ),
        (
            &json!("10.9.0.160/27"),
            &json!("2100-01-01T00:00:00Z"),
            &json!("wait until 2100-01-01T00:00:00Z: then 10.9.0.160/27 is free")
        )
    );
    // The pool's cooldown is part of the way.
    api.sql("update pool set release_cooldown_seconds = 60 where name = 'small'")
        .await;
    let free = api
        .get(&format!("{POOLS}/small/free?prefix_length=24"))
        .await
        .ok(200);
    let advice = free["advice"].as_str().expect("a text");
    assert!(
        advice.contains("then, after the pool's cooldown of 60 seconds, 10.9.0.0/24 is free"),
        "{advice}"
    );
}

#[tokio::test]
async fn a_pool_is_asked_for_its_usual_size_and_for_no_other_than_it_gives() {
    let api = Api::start().await;
    api.post(VPCS, &json!({"name": "a"})).await.ok(201);
    let free = api.get(&format!("{POOLS}/primary/free")).await.ok(200);
    assert_eq!(
        (
            &free["prefix_length"],
            &free["fits"],
            &free["fix"],
            &free["advice"]
        ),
        (
            &json!(24),
            &json!(256),
            &Value::Null,
            &json!("256 blocks of /24 fit")
        )
    );
    assert_eq!(
        (
            &free["largest_free_prefix_length"],
            &free["fits_if_defragmented"]
        ),
        (&json!(16), &json!(256))
    );
    api.sql("update pool set default_prefix_length = null")
        .await;
    let free = api.get(&format!("{POOLS}/primary/free")).await.ok(200);
    assert_eq!(
        (&free["prefix_length"], &free["fits"]),
        (&json!(26), &json!(1024))
    );
    let reply = api
        .get(&format!("{POOLS}/primary/free?prefix_length=27"))
        .await;
    let (detail, _) = reply.problem(400, "invalid_request");
    assert!(detail.contains("from /20 to /26"), "{detail}");
    api.get(&format!("{POOLS}/none/free"))
        .await
        .problem(404, "not_found");
    // No range at all.
    api.sql("delete from pool_range").await;
    let free = api.get(&format!("{POOLS}/primary/free")).await.ok(200);
    assert_eq!(
        (&free["fix"]["add_range_prefix_length"], &free["advice"]),
        (
            &json!(26),
            &json!("no range of pool \"primary\" is that large: add a range of /26 or larger")
        )
    );
}

#[tokio::test]
async fn numbers_of_ipv6_addresses_are_no_obstacle() {
    let api = Api::start().await;
    api.sql(
        "insert into pool (vrf_id, name, family, min_prefix_length, max_prefix_length) select vrf_id, 'six', 6, 32, 64 from vrf;
        insert into pool_range (pool_id, vrf_id, family, cidr) select pool_id, vrf_id, 6, '2001:db8::/32' from pool where name = 'six';
        insert into profile (name) values ('six');
        insert into profile_member (profile_id, position, role, pool_name, size_offset, min_prefix_length, max_prefix_length)
            select profile_id, 1, 'main', 'six', 0, 0, 64 from profile where name = 'six'",
    )
    .await;
    let ask = |length: u8| json!({"vpc": "w", "profile": "six", "prefix_length": length});
    api.post(ALLOCATIONS, &ask(64)).await.ok(201);
    let reply = api.post(ALLOCATIONS, &ask(32)).await;
    let (detail, details) = reply.problem(409, "pool_exhausted");
    assert!(detail.contains("2001:db8::/64"), "{detail}");
    assert_eq!(details["pools"][0]["fix"]["region"], "2001:db8::/32");
    assert!(
        details["pools"][0]["free_addresses"]
            .as_f64()
            .expect("a number")
            > 2_f64.powi(95)
    );
    let free = api.get(&format!("{POOLS}/six/free?prefix_length=32")).await;
    assert!(
        free.text.contains(&format!(
            "\"free_addresses\":{},",
            (1_u128 << 96) - (1 << 64)
        )),
        "{}",
        free.text
    );
}
