//! `verify` finds what is wrong: every invariant is broken by hand, as a superuser who switches the guards off, and must
//! be named. And the seals of the audit log cover what was committed, whenever that was.

use std::process::Command;

use futures::{StreamExt as _, stream};
use ipam_server::{
    db::verify::TRIGGERS,
    domain::{Caller, Ipam, seal::Sealer, verify::Report},
};
use ipam_shared::api::allocation::{NewAllocation, Size};
use ipam_testing::TestDatabase;
use sqlx::{AssertSqlSafe, PgConnection};
use uuid::Uuid;

struct World {
    ipam: Ipam,
    db: PgConnection,
    database: TestDatabase,
}

impl World {
    /// Some allocations, releases between them, and seals over what they left in the log.
    async fn new() -> Self {
        let database = TestDatabase::new().await;
        let ipam = Ipam::new(database.pool(4));
        let db = database.connect().await;
        let world = Self { ipam, db, database };
        for number in 0..6 {
            let id = world.allocate(number).await;
            if number % 3 == 1 {
                world
                    .ipam
                    .release(caller(), id, None)
                    .await
                    .expect("released");
            }
        }
        world.seal().await;
        world
    }

    async fn allocate(&self, number: u64) -> ipam_shared::ids::AllocationId {
        let new = NewAllocation::new("a".parse().expect("a name"), Size::Hosts(40 + number * 30));
        self.ipam
            .allocate(caller(), new, None)
            .await
            .expect("allocated")
            .allocation
            .id
    }

    /// Two looks: what the first notes, the second seals, as nothing else is under way.
    async fn seal(&self) -> usize {
        let mut sealer = Sealer::default();
        sealer.look(&self.ipam).await.expect("a look");
        // Other databases of the cluster have transactions too, and those count.
        for _ in 0..1000 {
            let sealed = sealer.look(&self.ipam).await.expect("a look");
            if sealed > 0 {
                return sealed;
            }
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
        0
    }

    async fn sql(&mut self, sql: &str) {
        sqlx::raw_sql(AssertSqlSafe(sql))
            .execute(&mut self.db)
            .await
            .unwrap_or_else(|error| panic!("{sql}: {error}"));
    }

    async fn number(&mut self, sql: &'static str) -> i64 {
        sqlx::query_scalar(sql)
            .fetch_one(&mut self.db)
            .await
            .expect(sql)
    }

    async fn verify(&self) -> Report {
        self.ipam.verify().await.expect("it can be verified")
    }
}

fn caller() -> Caller {
    Caller {
        actor: "test".to_owned(),
        request_id: Uuid::new_v4(),
    }
}

/// What is done by hand, the check that has to notice, and a word of what it says.
const SABOTAGE: &[(&str, &str, &str)] = &[
    // The free list.
    ("delete from free_block where ctid = (select ctid from free_block limit 1)", "cover", "addresses are in blocks"),
    ("delete from free_block where ctid = (select ctid from free_block limit 1)", "counts", "free blocks of"),
    ("insert into free_block select range_id, 6, '10.0.0.0/26' from pool_range where cidr = '10.0.0.0/16'", "overlap", "10.0.0.0/26"),
    ("update free_block set cidr = set_masklen('172.16.0.0/12'::cidr, masklen(cidr))
        where ctid = (select ctid from free_block where family(cidr) = 4 and masklen(cidr) >= 12 limit 1)", "cover", "outside"),
    ("with gone as (delete from free_block where host_bits = (select max(host_bits) from free_block) returning *)
        insert into free_block select range_id, host_bits - 1, half from gone,
        lateral (values (set_masklen(cidr, masklen(cidr) + 1)), (set_masklen(broadcast(cidr), masklen(cidr) + 1)::cidr)) as halves (half)",
        "merged", "not merged"),
    ("update free_count set blocks = blocks + 1 where host_bits = 7", "counts", "7 host bits"),
    ("delete from free_count where blocks > 0", "counts", "are counted, there are"),
    // Blocks and their owners.
    ("delete from block where ctid = (select ctid from block limit 1)", "pairs", "has 1 of its 2 blocks"),
    ("delete from block where allocation_id = (select allocation_id from allocation limit 1)", "pairs", "has 0 of its 2 blocks"),
    ("alter table allocation disable trigger all; delete from allocation where ctid = (select ctid from allocation limit 1);
        alter table allocation enable trigger all", "orphans", "belongs to allocation"),
    ("alter table vpc disable trigger all; delete from vpc; alter table vpc enable trigger all", "orphans", "belongs to VPC"),
    ("alter table pool_range disable trigger all; alter table free_block disable trigger all; delete from pool_range;
        alter table pool_range enable trigger all; alter table free_block enable trigger all", "orphans", "lies in range"),
    ("alter table block drop constraint block_no_overlap_excl; insert into block (range_id, cidr, range_cidr, reason)
        select range_id, set_masklen(cidr, masklen(cidr) + 1), range_cidr, 'twice' from block limit 1", "overlap", "overlaps"),
    ("alter table pool_range drop constraint pool_range_no_overlap_excl; insert into pool_range (pool_id, vrf_id, family, cidr)
        select pool_id, vrf_id, 4, '10.0.0.0/20' from pool where name = 'cgnat'", "overlap", "10.0.0.0/"),
    // The guards.
    ("alter table block drop constraint block_no_overlap_excl", "constraints", "block_no_overlap_excl"),
    ("alter table block drop constraint block_size_check", "constraints", "block_size_check"),
    ("alter table block drop constraint block_size_check; alter table block add constraint block_size_check check (true) not valid",
        "constraints", "block_size_check"),
    ("alter table block drop constraint block_allocation_fkey", "constraints", "block_allocation_fkey"),
    ("alter table allocation drop constraint allocation_name_key", "constraints", "allocation_name_key"),
    ("drop index vpc_name_key", "constraints", "vpc_name_key"),
    ("drop index vpc_name_key; create index vpc_name_key on vpc (lower(name))", "constraints", "vpc_name_key"),
    ("alter table block disable trigger block_immutable", "triggers", "block_immutable"),
    ("alter table block enable replica trigger block_immutable", "triggers", "block_immutable"),
    ("alter table event disable trigger user", "triggers", "event_append_only"),
    ("alter table vpc disable trigger all", "triggers", "vpc"),
    ("alter table profile_member disable trigger all", "triggers", "profile_member"),
    ("drop trigger pool_range_added on pool_range", "triggers", "pool_range_added"),
    ("drop trigger event_no_truncate on event", "triggers", "event_no_truncate"),
    ("drop trigger block_child_range_owner on block", "constraints", "block_child_range_owner"),
    // The audit log, behind its seals.
    ("alter table event disable trigger user; update event set actor = 'nobody' where event_id = 3;
        alter table event enable trigger user", "audit", "seal 1"),
    ("alter table event disable trigger user; update event set at = at + interval '1 second' where event_id = 3;
        alter table event enable trigger user", "audit", "seal 1"),
    ("alter table event disable trigger user; update event set detail = '{}' where event_id = 2;
        alter table event enable trigger user", "audit", "seal 1"),
    ("alter table event disable trigger user; delete from event where event_id = 3; alter table event enable trigger user",
        "audit", "seal 1"),
    ("alter table event disable trigger user; update event set event_id = default where event_id = 3;
        alter table event enable trigger user", "audit", "seal 1"),
    ("alter table event disable trigger user; delete from event where event_id = 3; alter table event enable trigger user;
        insert into event overriding system value select 3, at, 'nobody', action, subject, request_id, detail from event where event_id = 2",
        "audit", "seal 1"),
    ("alter table event_seal disable trigger user; update event_seal set digest = sha256('x'); alter table event_seal enable trigger user",
        "audit", "seal 1"),
    ("alter table event_seal disable trigger user; update event_seal set events = events - 1; alter table event_seal enable trigger user",
        "audit", "seal 1"),
    ("alter table event disable trigger user; truncate event; alter table event enable trigger user", "audit", "seal 1"),
];

#[tokio::test]
async fn what_is_broken_by_hand_is_named() {
    stream::iter(SABOTAGE)
        .for_each_concurrent(4, |(sql, check, word)| async move {
            let mut world = World::new().await;
            let report = world.verify().await;
            assert!(
                report.findings.is_empty(),
                "before {sql}: {:?}",
                report.findings
            );
            let extent = report.extent;
            assert!(
                (extent.allocations, extent.blocks) == (4, 8) && report.sealed_events > 5,
                "{report:?}"
            );
            world.sql(sql).await;
            let found = world.verify().await.findings;
            assert!(
                found
                    .iter()
                    .any(|finding| finding.check == *check && finding.finding.contains(word)),
                "{sql}: {found:?}"
            );
        })
        .await;
}

#[tokio::test]
async fn the_list_of_triggers_is_the_catalogue() {
    let mut world = World::new().await;
    let there: Vec<(String, String)> = sqlx::query_as(
        "select relname::text, tgname::text from pg_trigger join pg_class on pg_class.oid = tgrelid
        where not tgisinternal and tgconstraint = 0 order by 1, 2",
    )
    .fetch_all(&mut world.db)
    .await
    .unwrap();
    let there: Vec<_> = there
        .iter()
        .map(|(table, name)| (table.as_str(), name.as_str()))
        .collect();
    let mut listed = TRIGGERS.to_vec();
    listed.sort_unstable();
    assert_eq!(there, listed);
}

#[tokio::test]
async fn the_command_says_what_is_wrong_and_fails() {
    let mut world = World::new().await;
    let verify = |world: &World, json: bool| {
        let output = Command::new(env!("CARGO_BIN_EXE_ipam"))
            .args(["verify", "--database-url", &world.database.url()])
            .args(json.then_some("--json"))
            .output()
            .unwrap();
        (
            output.status.code(),
            String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap(),
        )
    };
    let (status, text) = verify(&world, false);
    assert!(
        status == Some(0) && text.contains("4 allocations") && text.contains("all is well"),
        "{status:?}: {text}"
    );
    world
        .sql("delete from block where cidr <<= '100.64.0.0/10'")
        .await;
    for json in [false, true] {
        let (status, text) = verify(&world, json);
        assert!(
            status == Some(1) && text.contains("has 1 of its 2 blocks"),
            "{status:?}: {text}"
        );
    }
}

#[tokio::test]
async fn a_transaction_that_stays_open_is_waited_for_and_sealed() {
    for end in ["commit", "rollback"] {
        let mut world = World::new().await;
        let mut slow = world.database.connect().await;
        let insert = "insert into event (actor, action, subject, request_id)
            select 'slow', 'vpc.update', gen_random_uuid(), gen_random_uuid()";
        // The number of the transaction first, as every change of the server locks a row before it writes its event.
        for sql in ["begin", "select pg_current_xact_id()", insert] {
            sqlx::query(sql).execute(&mut slow).await.unwrap();
        }
        // Others come later and are done earlier.
        let sealed = world
            .number("select max(last_event_id) from event_seal")
            .await;
        let mut sealer = Sealer::default();
        for number in 0..4 {
            world.allocate(number).await;
            sealer.look(&world.ipam).await.unwrap();
        }
        let now = world
            .number("select max(last_event_id) from event_seal")
            .await;
        assert_eq!(now, sealed, "a seal over an event that may still come");
        sqlx::query(end).execute(&mut slow).await.unwrap();
        while sealer.look(&world.ipam).await.unwrap() == 0 {}
        world.allocate(5).await;
        assert!(world.seal().await > 0);
        let (events, slow_events) = (
            world.number("select count(*) from event").await,
            world
                .number("select count(*) from event where actor = 'slow'")
                .await,
        );
        let report = world.verify().await;
        assert!(report.findings.is_empty(), "{end}: {:?}", report.findings);
        assert_eq!(
            (report.sealed_events, slow_events),
            (events, i64::from(end == "commit"))
        );
    }
}

#[tokio::test]
async fn many_sealers_at_once_make_one_chain() {
    let mut world = World::new().await;
    let busy = async {
        for number in 0..30 {
            world.allocate(number % 4).await;
        }
    };
    let sealers = (0..4).map(|_| async {
        let mut sealer = Sealer::default();
        let mut sealed = 0;
        for _ in 0..60 {
            sealed += sealer.look(&world.ipam).await.unwrap();
            tokio::task::yield_now().await;
        }
        sealed
    });
    let (sealed, ()) = tokio::join!(futures::future::join_all(sealers), busy);
    assert!(
        sealed.iter().filter(|sealed| **sealed > 0).count() >= 2,
        "one did it all, which tests nothing: {sealed:?}"
    );
    world.seal().await;
    let report = world.verify().await;
    assert!(report.findings.is_empty(), "{:?}", report.findings);
    assert_eq!(
        report.sealed_events,
        world.number("select count(*) from event").await
    );
    let twisted = "select count(*) from (select last_event_id, lag(last_event_id) over (order by seal_id) as before from event_seal) as seals
        where before >= last_event_id";
    assert_eq!(world.number(twisted).await, 0);
}

#[tokio::test]
async fn a_long_log_is_sealed_in_pieces() {
    let mut world = World::new().await;
    world
        .sql("insert into event (actor, action, subject, request_id, detail)
            select 'bulk', 'vpc.update', gen_random_uuid(), gen_random_uuid(), jsonb_build_object('n', n) from generate_series(1, 21000) as n")
        .await;
    assert_eq!(world.seal().await, 21_000);
    assert_eq!(world.number("select count(*) from event_seal").await, 4);
    let report = world.verify().await;
    assert!(report.findings.is_empty(), "{:?}", report.findings);
    assert_eq!(
        report.sealed_events,
        world.number("select count(*) from event").await
    );
    // One event in the middle.
    world
        .sql("alter table event disable trigger user; update event set detail = '{\"n\": 0}' where detail = '{\"n\": 15000}';
            alter table event enable trigger user")
        .await;
    let found = world.verify().await.findings;
    assert!(
        found.len() == 1 && found[0].finding.contains("seal 3"),
        "{found:?}"
    );
}
