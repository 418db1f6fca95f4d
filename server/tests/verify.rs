//! `verify` finds what is wrong: every invariant is broken by hand, as a superuser who switches the guards off, and must
//! be named. And the seals of the audit log cover what was committed, whenever that was.

use std::{
    process::Command,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
};

use futures::{StreamExt as _, stream};
use ipam_server::{
    db::verify::definitions::definitions,
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
        let world = Self::bare().await;
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

    /// Nothing yet.
    async fn bare() -> Self {
        let database = TestDatabase::new().await;
        let ipam = Ipam::new(database.pool(4));
        let db = database.connect().await;
        Self { ipam, db, database }
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
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
        while std::time::Instant::now() < deadline {
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
    Caller::trusted("test", Uuid::new_v4())
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
    // Guards that are there, and are others.
    ("create or replace function ipam_refuse() returns trigger language plpgsql as $$ begin return coalesce(new, old); end $$",
        "definitions", "function ipam_refuse() is not what"),
    ("create or replace function ipam_lost_race() returns boolean language sql as $$ select true $$", "definitions", "function ipam_lost_race()"),
    ("alter function ipam_refuse() set session_replication_role = replica", "definitions", "function ipam_refuse()"),
    ("create function pass() returns trigger language plpgsql as $$ begin return coalesce(new, old); end $$;
        drop trigger event_append_only on event;
        create trigger event_append_only before update or delete on event for each row execute function pass()",
        "definitions", "trigger event_append_only on event is not what"),
    ("drop trigger event_append_only on event; create trigger event_append_only before update or delete on event for each row
        when (false) execute function ipam_refuse('x')", "definitions", "trigger event_append_only on event is not what"),
    ("create function lost() returns trigger language plpgsql as $$ begin return null; end $$;
        create trigger a_first before insert on event for each row execute function lost()", "definitions", "trigger a_first on event is not of"),
    ("create rule forget as on insert to event do instead nothing", "definitions", "rule forget on event is not of"),
    ("alter table event enable row level security", "definitions", "row security of event"),
    ("alter table block drop constraint block_size_check; alter table block add constraint block_size_check check (true)",
        "definitions", "constraint block_size_check on block is not what"),
    ("drop index token_name_key; create unique index token_name_key on token (name)", "definitions", "index token_name_key is not what"),
    ("create or replace view ipam_scoped.token as select * from token", "definitions", "view token is not what"),
    ("create schema other; create table other.scope as select * from ipam_scoped.scope; create or replace view ipam_scoped.vrf as
        select * from vrf where (select vrf_ids is null from other.scope)
            or vrf_id = any ((select vrf_ids from ipam_scoped.scope)::uuid[])", "definitions", "view vrf is not what"),
    ("drop view ipam_scoped.session", "definitions", "view session is missing"),
    // The audit log, behind its seals.
    ("alter table event disable trigger user; update event set source = '{\"address\": \"192.0.2.1\"}' where event_id = 3;
        alter table event enable trigger user", "audit", "seal 1"),
    ("alter table event disable trigger user; alter table event alter event_id drop identity;
        update event set event_id = 1000000 where event_id = 3; update event set event_id = 3 where event_id = 2;
        update event set event_id = 2 where event_id = 1000000; alter table event enable trigger user", "audit", "seal 1"),
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
    ("insert into event (event_id, actor, action, subject, request_id) overriding system value
        values (0, 'admin', 'allocation.release', gen_random_uuid(), gen_random_uuid())", "audit", "seal 1"),
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

/// A child pool, reservations inside, around and outside of ranges, a block that cools down, and some past.
const SPACE: &str = "
insert into vrf (name) values ('lab');
insert into pool (vrf_id, name, family, min_prefix_length, max_prefix_length)
    select vrf_id, pool.name, 4, 8, 30 from vrf, (values ('inner'), ('whole')) as pool (name) where vrf.name = 'default';
create function fill(pool_name text, range_cidr cidr, variadic cidrs cidr[]) returns void language sql as $$
    insert into pool_range (pool_id, vrf_id, family, cidr) select pool_id, vrf_id, 4, range_cidr from pool where name = pool_name;
    delete from free_block using pool_range where free_block.range_id = pool_range.range_id and pool_range.cidr = range_cidr;
    insert into free_block select range_id, 32 - masklen(free), free from pool_range, unnest(cidrs) as free where cidr = range_cidr;
    update free_count set blocks = (select count(*) from free_block
            where free_block.range_id = free_count.range_id and free_block.host_bits = free_count.host_bits)
        from pool_range where pool_range.range_id = free_count.range_id and pool_range.cidr = range_cidr;
$$;
select fill('inner', '10.98.0.0/24', '10.98.0.192/26');
select fill('whole', '10.99.0.0/24', variadic array[]::cidr[]);
insert into reservation (vrf_id, cidr, reason, created_by)
    select vrf_id, cidr::cidr, 'old', 'x' from vrf, (values ('10.98.0.0/25'), ('10.99.0.0/16'), ('192.168.0.0/16')) as r (cidr)
    where vrf.name = 'default';
insert into block (range_id, cidr, range_cidr, reservation_id)
    select range_id, place::cidr, pool_range.cidr, reservation_id
    from (values ('10.98.0.0/25', '10.98.0.0/25', '10.98.0.0/24'), ('10.99.0.0/16', '10.99.0.0/24', '10.99.0.0/24'))
        as r (reserved, place, range) join reservation on reservation.cidr = reserved::cidr
        join pool_range on pool_range.cidr = range::cidr;
insert into block (range_id, cidr, range_cidr, reason) select range_id, '10.98.0.128/26', cidr, 'cooldown' from pool_range
    where cidr = '10.98.0.0/24';
insert into cooldown (range_id, cidr, allocation_id, vpc, name, role, free_at)
    select range_id, '10.98.0.128/26', gen_random_uuid(), 'a', 'b', 'main', now() + interval '1 day' from pool_range
    where cidr = '10.98.0.0/24';
insert into past_block (vrf_id, pool_id, pool, cidr, allocation_id, vpc, since, until)
    select vrf_id, pool_id, name, '10.98.0.0/25', gen_random_uuid(), 'a', now() - n * interval '2 day', now() - n * interval '1 day'
    from pool, generate_series(1, 4) as n where name = 'inner' and n in (1, 4);
";

/// Switches all guards off: constraints, triggers, and what is checked when a row is written.
const UNGUARDED: &str = "
do $$
declare guard record;
begin
    for guard in select conrelid::regclass as relation, conname from pg_constraint
        where connamespace = current_schema::regnamespace and contype in ('c', 'f', 'x') and conrelid <> 0
    loop
        execute format('alter table %s drop constraint %I', guard.relation, guard.conname);
    end loop;
end
$$;
-- It has no place for what ends before it begins.
drop index past_block_time_idx;
set session_replication_role = replica;
";

/// What is done to that by hand without guards, the check that has to notice, and a word of what it says.
const SPACE_SABOTAGE: &[(&str, &str, &str)] = &[
    // Nesting.
    ("delete from block where reason = 'child_range'", "nesting", "10.0.64.0/20 of pool kid has no block of its own"),
    ("update block set reason = 'other' where reason = 'child_range'", "nesting", "has no block of its own"),
    ("delete from pool_range where cidr = '10.0.64.0/20'", "nesting", "is kept for the range of another pool"),
    ("update pool_range set parent_range_id = null, parent_pool_id = null where cidr = '10.0.64.0/20'", "nesting",
        "is cut from pool none, and the parent of its pool is primary"),
    ("update pool_range set parent_pool_id = (select pool_id from pool where name = 'cgnat') where cidr = '10.0.64.0/20'",
        "nesting", "is cut from pool primary"),
    ("update pool set parent_pool_id = (select pool_id from pool where name = 'cgnat') where name = 'kid'", "nesting",
        "is cut from pool primary, and the parent of its pool is cgnat"),
    ("update pool_range set cidr = '10.1.0.0/20' where cidr = '10.0.64.0/20'", "nesting", "does not lie in range 10.0.0.0/16"),
    ("update pool set vrf_id = (select vrf_id from vrf where name = 'lab') where name = 'kid'", "nesting",
        "pool kid is of another VRF or family than its parent primary"),
    ("update pool_range set family = 6 where cidr = '10.98.0.0/24'", "nesting", "than its pool inner"),
    ("update pool set parent_pool_id = (select pool_id from pool where name = 'kid') where name = 'primary'", "nesting",
        "the parents of pool primary go round"),
    // Reservations.
    ("delete from block where cidr = '10.98.0.0/25'", "reservations", "10.98.0.0/25 takes no space from range 10.98.0.0/24"),
    ("delete from block where cidr = '10.99.0.0/24'", "reservations", "10.99.0.0/16 takes no space from range 10.99.0.0/24 of pool whole"),
    ("update reservation set cidr = '10.98.0.0/26' where cidr = '10.98.0.0/25'", "reservations", "is not what reservation 10.98.0.0/26 takes"),
    ("update reservation set cidr = '10.98.0.0/16' where cidr = '10.98.0.0/25'", "reservations", "is not what reservation 10.98.0.0/16 takes"),
    ("update reservation set cidr = '10.0.0.0/24' where cidr = '192.168.0.0/16'", "reservations", "takes no space from range 10.0.0.0/16"),
    ("update reservation set cidr = '10.99.7.0/24' where cidr = '192.168.0.0/16'", "reservations",
        "reservations 10.99.0.0/16 and 10.99.7.0/24 of VRF default overlap"),
    ("update reservation set vrf_id = (select vrf_id from vrf where name = 'lab')", "reservations", "is not what reservation"),
    ("insert into block (range_id, cidr, range_cidr, reservation_id) select range_id, '10.98.0.192/26', '10.98.0.0/24', reservation_id
        from block where cidr = '10.98.0.0/25'", "reservations", "is not what reservation 10.98.0.0/25 takes"),
    ("insert into block (range_id, cidr, range_cidr, reservation_id) select pool_range.range_id, '10.98.0.0/25', '10.98.0.0/24', reservation_id
        from block, pool_range where block.cidr = '10.98.0.0/25' and pool_range.cidr = '10.99.0.0/24'", "reservations", "is not what reservation"),
    ("delete from reservation where cidr = '10.98.0.0/25'", "orphans", "belongs to reservation"),
    // Cooldowns.
    ("delete from cooldown", "cooldowns", "10.98.0.128/26 of pool inner cools down, and nothing says until when"),
    ("update block set reason = 'other' where reason = 'cooldown'", "cooldowns", "and is no block that does"),
    ("delete from block where reason = 'cooldown'", "cooldowns", "10.98.0.128/26 cools down until"),
    ("update cooldown set free_at = released_at - interval '1 day'", "cooldowns", "before it was released"),
    // Owners.
    ("update allocation set profile_id = null", "owners", "was cut for a member of another profile"),
    ("insert into profile (name) values ('x'); update allocation set profile_id = (select profile_id from profile where name = 'x')",
        "owners", "was cut for a member of another profile"),
    ("update block set member_id = null where ctid = (select ctid from block where member_id is not null limit 1)", "owners", "was cut for a member"),
    ("update allocation set prefix_length = prefix_length - 1", "owners", "has not the length that was asked for"),
    ("update block set size_offset = size_offset + 1 where size_offset < 0", "owners", "has not the length"),
    ("update block set max_prefix_length = 21 where max_prefix_length = 26", "owners", "has not the length"),
    ("update vpc set vrf_id = gen_random_uuid()", "orphans", "VPC a lies in VRF"),
    ("insert into vrf (name) values ('third'); update vpc set vrf_id = (select vrf_id from vrf where name = 'lab');
        update pool_range set vrf_id = (select vrf_id from vrf where name = 'third') where cidr = '10.0.0.0/16'", "owners",
        "lies in VRF third, and VPC a in VRF lab"),
    ("update block set reason = 'twice' where cidr = '10.98.0.0/25'", "owners", "10.98.0.0/25 of pool inner has several owners"),
    ("update block set reservation_id = null where cidr = '10.98.0.0/25'", "owners", "has no owner"),
    ("update pool_range set family = 6 where cidr = '10.98.0.0/24'", "owners", "is of another family than its range"),
    ("delete from pool where name = 'inner'", "orphans", "range 10.98.0.0/24 belongs to pool"),
    ("delete from vrf where name = 'default'", "orphans", "pool primary lies in VRF"),
    // The past.
    ("update past_block set since = until + interval '1 second' where ctid = (select ctid from past_block limit 1)", "past", "was held from"),
    ("update past_block set until = now() + interval '1 day' where ctid = (select ctid from past_block limit 1)", "past", "was held from"),
    ("update past_block set allocation_id = null", "past", "belonged to nobody"),
    ("update past_block set reservation_id = gen_random_uuid()", "past", "belonged to two at once"),
    ("update past_block set since = since - interval '7 days'", "past", "10.98.0.0/25 was held by two at once"),
    ("update block set since = now() - interval '30 hours' where cidr = '10.98.0.0/25'", "past", "10.98.0.0/25 was held by two at once"),
];

#[tokio::test]
async fn what_is_wrong_with_ranges_reservations_and_the_past_is_named() {
    stream::iter(SPACE_SABOTAGE)
        .for_each_concurrent(4, |(sql, check, word)| async move {
            let mut world = World::bare().await;
            world.allocate(1).await;
            let kid =
                serde_json::json!({"name": "kid", "parent": "primary", "ranges": ["10.0.64.0/20"]});
            let kid = serde_json::from_value(kid).expect("a pool");
            world
                .ipam
                .create_pool(caller(), kid)
                .await
                .expect("a child pool");
            world.sql(SPACE).await;
            let findings = world.verify().await.findings;
            assert!(findings.is_empty(), "before {sql}: {findings:?}");
            world.sql(UNGUARDED).await;
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

/// `definitions.txt` is what the migrations make. `.ci/generate` writes it.
#[tokio::test]
async fn the_definitions_are_what_the_migrations_make() {
    let world = World::bare().await;
    let mut connection = world.ipam.read().await.unwrap();
    let found = definitions(&mut connection).await.unwrap();
    let text: String = (found.iter())
        .map(|(name, hash)| format!("{hash} {name}\n"))
        .collect();
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/db/verify/definitions.txt");
    if std::env::var_os("IPAM_WRITE_DEFINITIONS").is_some() {
        std::fs::write(path, &text).unwrap();
    }
    assert_eq!(
        std::fs::read_to_string(path).unwrap(),
        text,
        "run .ci/generate"
    );
}

/// What nobody can find in the database alone: the end of the log is gone, with its seals, or all of it was written anew.
#[tokio::test]
async fn heads_that_were_handed_out_are_missed() {
    let mut world = World::new().await;
    let first = world.verify().await.head.expect("it is sealed");
    world.allocate(1).await;
    assert!(world.seal().await > 0);
    let second = world.verify().await.head.expect("it is sealed");
    assert!(second.seal > first.seal && second.event > first.event);
    let both = [second.clone(), first.clone()];
    let findings = world.ipam.verify_with(&both).await.unwrap().findings;
    assert!(findings.is_empty(), "{findings:?}");
    let mut other = first.clone();
    other.digest.replace_range(
        ..2,
        if other.digest.starts_with("00") {
            "01"
        } else {
            "00"
        },
    );
    let findings = world.ipam.verify_with(&[other]).await.unwrap().findings;
    assert!(
        findings
            .iter()
            .any(|it| it.finding.contains("is not the one that was handed out")),
        "{findings:?}"
    );

    let cut = format!(
        "alter table event disable trigger user; alter table event_seal disable trigger user;
        delete from event where event_id > {}; delete from event_seal where seal_id > {};
        alter table event enable trigger user; alter table event_seal enable trigger user",
        first.event, first.seal
    );
    world.sql(&cut).await;
    let findings = world.verify().await.findings;
    assert!(
        findings.is_empty(),
        "the database alone does not tell: {findings:?}"
    );
    let findings = world.ipam.verify_with(&both).await.unwrap().findings;
    let [finding] = &findings[..] else {
        panic!("{findings:?}");
    };
    let place = format!(
        "seal {}, over the events up to {}",
        second.seal, second.event
    );
    assert!(
        finding.check == "audit" && finding.finding.contains(&place),
        "{finding:?}"
    );
    assert!(
        finding
            .finding
            .contains(&format!("the last seal is {}", first.seal)),
        "{finding:?}"
    );
}

/// The servers' file of heads, and the command that checks it.
#[tokio::test]
async fn heads_are_handed_out_in_a_file_that_the_command_checks() {
    let mut world = World::bare().await;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("heads");
    let sealer = Sealer::default().with_heads(Some(path.clone()));
    let sealing = tokio::spawn(sealer.run(world.ipam.clone(), std::time::Duration::from_millis(5)));
    for number in 0..3 {
        world.allocate(number).await;
        let wanted = usize::try_from(number).unwrap() + 1;
        let lines = || {
            std::fs::read_to_string(&path)
                .unwrap_or_default()
                .lines()
                .count()
        };
        for _ in 0..6000 {
            if lines() >= wanted {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        assert!(lines() >= wanted, "no head {wanted}");
    }
    sealing.abort();
    let verify = |world: &World, more: [&str; 2]| {
        let output = Command::new(env!("CARGO_BIN_EXE_ipam"))
            .args(["verify", "--database-url", &world.database.url()])
            .args(more)
            .output()
            .unwrap();
        let text =
            String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
        (output.status.code(), text)
    };
    let file = path.to_str().unwrap();
    let (status, text) = verify(&world, ["--expect-heads", file]);
    assert!(
        status == Some(0) && text.contains("the head of the audit log: "),
        "{status:?}: {text}"
    );
    let heads = std::fs::read_to_string(&path).unwrap();
    let head = heads.lines().last().unwrap().rsplit(' ').next().unwrap();
    assert!(text.contains(head), "{text}");
    world
        .sql(
            "alter table event_seal disable trigger user; delete from event_seal where seal_id = (select max(seal_id) from event_seal);
            alter table event_seal enable trigger user",
        )
        .await;
    let (status, text) = verify(&world, ["--expect-heads", file]);
    assert!(
        status == Some(1) && text.contains("was cut off"),
        "{status:?}: {text}"
    );
    assert_eq!(verify(&world, ["--expect-head", head]).0, Some(1));
    assert_eq!(verify(&world, ["--expect-head", "7:1"]).0, Some(2));
    std::fs::write(&path, "\n").unwrap();
    let (status, text) = verify(&world, ["--expect-heads", file]);
    assert!(
        status == Some(1) && text.contains("has no heads"),
        "{status:?}: {text}"
    );
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
        let [text, said] = [output.stdout, output.stderr].map(|it| String::from_utf8(it).unwrap());
        (output.status.code(), text, said)
    };
    let (status, text, _) = verify(&world, false);
    assert!(
        status == Some(0) && text.contains("4 allocations") && text.contains("all is well"),
        "{status:?}: {text}"
    );
    world
        .sql("delete from block where cidr <<= '100.64.0.0/10'")
        .await;
    for json in [false, true] {
        let (status, text, said) = verify(&world, json);
        assert!(
            status == Some(1) && text.contains("has 1 of its 2 blocks"),
            "{status:?}: {text}"
        );
        assert!(said.ends_with("wrong\n"), "{said}");
        if json {
            let report: serde_json::Value = serde_json::from_str(&text).unwrap();
            assert!(report["findings"][0]["finding"].is_string(), "{report}");
        }
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

/// The newest transaction of all is waited for like any other, also while no newer one has ended.
#[tokio::test]
async fn the_newest_transaction_is_waited_for() {
    let mut world = World::new().await;
    let insert = "insert into event (actor, action, subject, request_id)
        values ('x', 'vrf.x', gen_random_uuid(), gen_random_uuid()) returning event_id";
    for round in 0..20 {
        let mut quick = world.database.connect().await;
        let mut slow = world.database.connect().await;
        for db in [&mut quick, &mut slow] {
            let begin = "begin; select pg_current_xact_id()";
            sqlx::raw_sql(begin).execute(db).await.unwrap();
        }
        // The older transaction gets the later event, and ends first.
        let missing: i64 = sqlx::query_scalar(insert)
            .fetch_one(&mut slow)
            .await
            .unwrap();
        sqlx::raw_sql(AssertSqlSafe(insert))
            .execute(&mut quick)
            .await
            .unwrap();
        sqlx::raw_sql("commit").execute(&mut quick).await.unwrap();
        let mut sealer = Sealer::default();
        for _ in 0..3 {
            sealer.look(&world.ipam).await.unwrap();
        }
        let sealed = world
            .number("select max(last_event_id) from event_seal")
            .await;
        assert!(sealed < missing, "round {round}: {missing} was sealed over");
        sqlx::raw_sql("commit").execute(&mut slow).await.unwrap();
        world.seal().await;
    }
    let report = world.verify().await;
    assert!(report.findings.is_empty(), "{:?}", report.findings);
}

#[tokio::test]
async fn many_sealers_at_once_make_one_chain() {
    let mut world = World::new().await;
    let counts: [AtomicUsize; 4] = Default::default();
    let over = AtomicBool::new(false);
    // Goes on until two of them have sealed something: one that did it all would test nothing.
    let busy = async {
        for number in 0.. {
            let id = world.allocate(number % 4).await;
            world.ipam.release(caller(), id, None).await.unwrap();
            let sealed: Vec<usize> = counts.iter().map(|count| count.load(Relaxed)).collect();
            if number >= 30 && sealed.iter().filter(|count| **count > 0).count() >= 2 {
                break;
            }
            assert!(number < 1_000, "one does it all: {sealed:?}");
        }
        over.store(true, Relaxed);
    };
    let sealers = counts.iter().map(|count| async {
        let mut sealer = Sealer::default();
        while !over.load(Relaxed) {
            let sealed = sealer.look(&world.ipam).await.unwrap();
            count.fetch_add(sealed, Relaxed);
            tokio::task::yield_now().await;
        }
    });
    tokio::join!(futures::future::join_all(sealers), busy);
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
    // A million every night.
    let events = std::env::var("IPAM_EVENTS")
        .map_or(21_000, |text| text.parse().expect("a number of events"));
    world
        .sql(&format!("insert into event (actor, action, subject, request_id, detail)
            select 'bulk', 'vpc.update', gen_random_uuid(), gen_random_uuid(), jsonb_build_object('n', n) from generate_series(1, {events}) as n"))
        .await;
    assert_eq!(world.seal().await, events);
    let seals = 1 + i64::try_from(events.div_ceil(10_000)).unwrap();
    assert_eq!(world.number("select count(*) from event_seal").await, seals);
    let begin = std::time::Instant::now();
    let report = world.verify().await;
    let took = begin.elapsed();
    assert!(report.findings.is_empty(), "{:?}", report.findings);
    assert!(
        took < std::time::Duration::from_secs(60),
        "{events} events took {took:?}"
    );
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
