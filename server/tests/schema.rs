//! Tries to break every guarantee of the schema with plain SQL, as anybody with psql could, alone and against others at
//! the same moment. Knows nothing of the server but the table that gives broken constraints a meaning.

use std::{
    cell::Cell,
    collections::BTreeSet,
    time::{Duration, Instant},
};

use ipam_server::{
    db::error::{CONSTRAINTS, INTERNAL},
    domain::space::free_space::buddies,
    network::Place,
};
use ipam_shared::{
    cidr::{Cidr, Family},
    name::Name,
};
use ipam_testing::TestDatabase;
use proptest::{prelude::*, test_runner::TestRunner};
use sqlx::{
    AssertSqlSafe, Error, PgConnection, PgPool, postgres::PgDatabaseError, types::ipnet::IpNet,
};

/// One allocation, reservations, a block that cools down, child pools, one pool of each family and a second VRF, and a few words to write
/// short attacks with.
const SEED: &str = r"
create schema t;
create function t.vrf(text) returns uuid stable return (select vrf_id from vrf where name = $1);
create function t.pool(text) returns uuid stable return (select pool_id from pool where name = $1);
create function t.range(text) returns integer stable
    return (select min(range_id) from pool_range join pool using (pool_id) where pool.name = $1);
create function t.vpc(text) returns uuid stable return (select vpc_id from vpc where name = $1);
create function t.profile() returns uuid stable return (select profile_id from profile);
create function t.member(text) returns integer stable return (select member_id from profile_member where role = $1);
create function t.id(integer) returns uuid immutable return ('00000000-0000-0000-0000-' || lpad($1::text, 12, '0'))::uuid;
create function t.new_range(text, cidr, text default null) returns void language sql as $$
    insert into pool_range (pool_id, vrf_id, family, cidr, parent_range_id, parent_pool_id)
    select pool_id, vrf_id, family, $2, t.range($3), t.pool($3) from pool where name = $1 $$;
create function t.allocate(integer, integer, text default null) returns void language sql as $$
    insert into allocation (allocation_id, vpc_id, name, profile_id, prefix_length, members, requested_prefix_length,
        created_by, request_id)
    values (t.id($1), t.vpc('prod'), $3, t.profile(), $2, 2, $2, 'psql', gen_random_uuid()) $$;
create function t.block(text, cidr, integer) returns void language sql as $$
    insert into block (range_id, cidr, range_cidr, allocation_id, member_id, prefix_length, size_offset,
        min_prefix_length, max_prefix_length)
    select range_id, $2, pool_range.cidr, allocation_id, member_id, prefix_length, size_offset,
        member.min_prefix_length, member.max_prefix_length
    from pool_range, allocation, profile_member as member
    where range_id = t.range($1) and allocation_id = t.id($3) and role = $1 $$;
create function t.ask(integer, jsonb, integer default 1) returns void language sql as $$
    insert into allocation (allocation_id, vpc_id, prefix_length, members, requested_prefix_length, request, created_by,
        request_id)
    values (t.id($1), t.vpc('prod'), 24, $3, 24, $2, 'psql', gen_random_uuid()) $$;
create function t.plain_block(cidr, integer, integer default 0) returns void language sql as $$
    insert into block (range_id, cidr, range_cidr, allocation_id, prefix_length, size_offset, min_prefix_length,
        max_prefix_length)
    select range_id, $1, cidr, t.id($2), 24, $3, 20, 26 from pool_range where range_id = t.range('primary') $$;
create function t.reserve(text, cidr) returns void language sql as $$
    insert into block (range_id, cidr, range_cidr, reason)
    select range_id, $2, cidr, 'reserved' from pool_range where range_id = t.range($1) $$;

insert into vrf (name) values ('lab'), ('bare');
insert into pool (vrf_id, name, family, min_prefix_length, max_prefix_length, parent_pool_id) values
    (t.vrf('lab'), 'lab', 4, 16, 28, null),
    (t.vrf('lab'), 'empty', 4, 16, 28, null),
    (t.vrf('default'), 'child', 4, 20, 28, t.pool('primary')),
    (t.vrf('default'), 'nephew', 4, 20, 28, t.pool('cgnat')),
    (t.vrf('default'), 'six', 6, 40, 64, null);
select t.new_range('lab', '10.0.0.0/16'), t.new_range('six', '2001:db8::/32');
insert into vpc (vrf_id, name) values (t.vrf('default'), 'prod');
select t.allocate(1, 24, 'cluster');
select t.block('primary', '10.0.0.0/24', 1), t.block('cgnat', '100.64.0.0/19', 1);
select t.reserve('primary', '10.0.128.0/20'), t.reserve('six', '2001:db8:1::/48');
select t.reserve('primary', '10.0.240.0/20'), t.new_range('child', '10.0.240.0/20', 'primary');
insert into reservation (reservation_id, vrf_id, cidr, reason, created_by)
    values (t.id(5), t.vrf('default'), '10.0.160.0/20', 'office', 'psql');
insert into block (range_id, cidr, range_cidr, reservation_id)
    select range_id, '10.0.160.0/20', cidr, t.id(5) from pool_range where range_id = t.range('primary');
insert into block (range_id, cidr, range_cidr, reason)
    select range_id, '10.0.176.0/24', cidr, 'cooldown' from pool_range where range_id = t.range('primary');
insert into cooldown (range_id, cidr, allocation_id, vpc, name, role, free_at)
    values (t.range('primary'), '10.0.176.0/24', t.id(8), 'prod', 'old', 'primary', now() + interval '1 hour');
insert into past_block (vrf_id, pool_id, pool, cidr, allocation_id, vpc, role, since)
    values (t.vrf('default'), t.pool('primary'), 'primary', '10.0.176.0/24', t.id(8), 'prod', 'primary', now());
insert into event (actor, action, subject, request_id) values ('psql', 'vpc.create', t.vpc('prod'), t.id(9));
insert into event_seal (last_event_id, events, digest) select max(event_id), 1, sha256('x') from event;
insert into idempotency_key (actor, key, fingerprint, allocation_id) values ('psql', 'k', sha256('x'), t.id(1));
create function t.token(text, text) returns void language sql as $$
    insert into token (token_id, public_id, name, roles, pepper, mac, claim)
    values (gen_random_uuid(), $1, $2, '{reader}', 1, sha256('x'), t.id(9)) $$;
select t.token('000000000001', 'ci');
insert into webhook (webhook_id, name, url, claim) values (t.id(20), 'siem', 'https://siem.example/', t.id(20));
insert into webhook_secret (secret_id, webhook_id, pepper) values (t.id(21), t.id(20), 1);
insert into webhook_delivery (webhook_id, delivered_up_to) values (t.id(20), 1);
insert into session (session_id, mac, key_check) values (t.id(6), sha256('s'), 1);
";

/// The constraint that has to stand in the way, its SQLSTATE, and what is tried.
const ATTACKS: &[(&str, &str, &str)] = &[
    // VRFs and pools.
    ("vrf_pkey", "23505", "insert into vrf (vrf_id, name) values (t.vrf('lab'), 'x')"),
    ("vrf_name_key", "23505", "insert into vrf (name) values ('default')"),
    ("vrf_name_check", "23514", "insert into vrf (name) values ('a/b')"),
    ("vrf_labels_check", "23514", "insert into vrf (name, labels) values ('x', '[]')"),
    ("vrf_owner_check", "23514", "update vrf set owner = ''"),
    ("vrf_owner_check", "23514", "update vrf set owner = repeat('x', 256)"),
    ("pool_pkey", "23505", "insert into pool (pool_id, vrf_id, name, family, min_prefix_length, max_prefix_length)
        values (t.pool('primary'), t.vrf('lab'), 'x', 4, 20, 26)"),
    ("pool_vrf_fkey", "23503", "insert into pool (vrf_id, name, family, min_prefix_length, max_prefix_length)
        values (t.id(0), 'x', 4, 20, 26)"),
    ("pool_vrf_fkey", "23503", "delete from vrf where name = 'lab'"),
    ("pool_name_key", "23505", "update pool set name = 'primary' where name = 'cgnat'"),
    ("pool_name_check", "23514", "update pool set name = ' primary' where name = 'primary'"),
    ("pool_family_check", "23514", "insert into pool (vrf_id, name, family, min_prefix_length, max_prefix_length)
        values (t.vrf('lab'), 'x', 5, 20, 26)"),
    ("pool_bounds_check", "23514", "update pool set min_prefix_length = 27 where name = 'primary'"),
    ("pool_bounds_check", "23514", "update pool set min_prefix_length = -1 where name = 'primary'"),
    ("pool_bounds_check", "23514", "update pool set max_prefix_length = 33 where name = 'primary'"),
    ("pool_bounds_check", "23514", "update pool set max_prefix_length = 129 where name = 'six'"),
    ("pool_bounds_check", "23514", "update pool set default_prefix_length = 19 where name = 'primary'"),
    ("pool_reserved_addresses_check", "23514", "update pool set reserved_addresses = -1"),
    ("pool_strategy_check", "23514", "update pool set strategy = 'worst_fit'"),
    ("pool_labels_check", "23514", "update pool set labels = 'null'"),
    ("pool_owner_check", "23514", "update pool set owner = ''"),
    ("pool_owner_check", "23514", "update pool set owner = repeat('x', 256)"),
    ("pool_release_cooldown_check", "23514", "update pool set release_cooldown_seconds = -1"),
    ("pool_release_cooldown_check", "23514", "update pool set release_cooldown_seconds = 31536001"),
    ("pool_required_labels_check", "23514", "update pool set required_labels = '[\"team\"]'"),
    // A parent is another pool, of the same VRF and family.
    ("pool_parent_fkey", "23503", "insert into pool (vrf_id, name, family, min_prefix_length, max_prefix_length, parent_pool_id)
        values (t.vrf('lab'), 'x', 4, 20, 26, t.pool('primary'))"),
    ("pool_parent_fkey", "23503", "insert into pool (vrf_id, name, family, min_prefix_length, max_prefix_length, parent_pool_id)
        values (t.vrf('default'), 'x', 6, 40, 64, t.pool('primary'))"),
    ("pool_parent_fkey", "23503", "insert into pool (vrf_id, name, family, min_prefix_length, max_prefix_length, parent_pool_id)
        values (t.vrf('default'), 'x', 4, 20, 26, t.id(0))"),
    ("pool_parent_fkey", "23503", "insert into pool (vrf_id, name, family, min_prefix_length, max_prefix_length, parent_pool_id)
        values (t.vrf('lab'), 'x', 4, 20, 26, t.pool('empty')); delete from pool where name = 'empty'"),
    ("pool_parent_check", "23514", "insert into pool (pool_id, vrf_id, name, family, min_prefix_length, max_prefix_length,
        parent_pool_id) values (t.id(7), t.vrf('default'), 'x', 4, 20, 26, t.id(7))"),
    ("address_plan_pkey", "23505", "insert into address_plan default values"),
    ("address_plan_singleton_check", "23514", "insert into address_plan (singleton) values (false)"),
    ("origin_pkey", "23505", "insert into origin (database_id, relation_id) values (1, 1), (1, 1)"),
    ("origin_singleton_check", "23514", "insert into origin (singleton, database_id, relation_id) values (false, 1, 1)"),
    // Ranges of one VRF: no overlap but by nesting.
    ("pool_range_pkey", "23505", "insert into pool_range (range_id, pool_id, vrf_id, family, cidr) overriding system value
        values (t.range('primary'), t.pool('primary'), t.vrf('default'), 4, '172.16.0.0/16')"),
    ("pool_range_pool_fkey", "23503", "insert into pool_range (pool_id, vrf_id, family, cidr)
        values (t.pool('primary'), t.vrf('lab'), 4, '172.16.0.0/16')"),
    ("pool_range_pool_fkey", "23503", "insert into pool_range (pool_id, vrf_id, family, cidr)
        values (t.pool('primary'), t.vrf('default'), 6, '2001:db9::/32')"),
    ("pool_range_pool_fkey", "23503", "delete from pool where name = 'six'"),
    ("pool_range_no_overlap_excl", "23P01", "select t.new_range('cgnat', '10.0.0.0/16')"),
    ("pool_range_no_overlap_excl", "23P01", "select t.new_range('primary', '10.0.0.0/8')"),
    ("pool_range_no_overlap_excl", "23P01", "select t.new_range('cgnat', '10.0.255.255/32')"),
    ("pool_range_no_overlap_excl", "23P01", "select t.new_range('primary', '0.0.0.0/0')"),
    ("pool_range_no_overlap_excl", "23P01", "select t.new_range('six', '2001:db8:ffff::/48')"),
    ("pool_range_parent_fkey", "23503", "insert into pool_range (pool_id, vrf_id, family, cidr, parent_range_id,
        parent_pool_id) values (t.pool('lab'), t.vrf('lab'), 4, '10.0.128.0/20', t.range('primary'), t.pool('primary'))"),
    ("pool_range_parent_check", "23514", "insert into pool_range (range_id, pool_id, vrf_id, family, cidr, parent_range_id,
        parent_pool_id) overriding system value
        values (99, t.pool('child'), t.vrf('default'), 4, '10.0.0.0/15', 99, t.pool('primary'))"),
    // Two ranges, each cut from the other.
    ("pool_range_parent_check", "23514", "insert into pool_range (range_id, pool_id, vrf_id, family, cidr, parent_range_id,
        parent_pool_id) overriding system value
        values (98, t.pool('child'), t.vrf('default'), 4, '10.0.0.0/15', 99, t.pool('primary')),
        (99, t.pool('child'), t.vrf('default'), 4, '10.0.0.0/15', 98, t.pool('primary'))"),
    ("pool_range_parent_block_key", "23505", "select t.new_range('child', '10.0.240.0/20', 'primary')"),
    // A range of a parent pool is one of a parent range, and the other way round: neither escapes the constraint on overlaps.
    ("pool_range_parents_check", "23514", "insert into pool_range (pool_id, vrf_id, family, cidr, parent_range_id)
        values (t.pool('child'), t.vrf('default'), 4, '10.0.128.0/20', t.range('primary'))"),
    ("pool_range_parents_check", "23514", "insert into pool_range (pool_id, vrf_id, family, cidr, parent_pool_id)
        values (t.pool('child'), t.vrf('default'), 4, '172.16.0.0/16', t.pool('primary'))"),
    // The parent range is one of the parent of the pool, and not of the pool itself, a sibling or the grandparent.
    ("pool_range_child_pool_fkey", "23503", "select t.new_range('cgnat', '10.0.128.0/20', 'primary')"),
    ("pool_range_child_pool_fkey", "23503", "select t.new_range('primary', '10.0.128.0/20', 'primary')"),
    ("pool_range_child_pool_fkey", "23503", "select t.new_range('nephew', '10.0.128.0/20', 'primary')"),
    ("pool_range_parent_pool_fkey", "23503", "insert into pool_range (pool_id, vrf_id, family, cidr, parent_range_id,
        parent_pool_id) values (t.pool('nephew'), t.vrf('default'), 4, '10.0.128.0/20', t.range('primary'), t.pool('cgnat'))"),
    ("pool_range_parent_block_fkey", "23503", "select t.new_range('child', '10.0.64.0/20', 'primary')"),
    ("pool_range_parent_block_fkey", "23503", "select t.new_range('child', '10.1.0.0/20', 'primary')"),
    ("pool_range_parent_block_fkey", "23503", "delete from block where cidr = '10.0.240.0/20'"),
    ("pool_range_parent_block_owner", "23P01", "select t.new_range('child', '10.0.0.0/24', 'primary')"),
    // At the commit the child's range finds a block again, but one that somebody owns, and whose addresses the child
    // pool would give away a second time.
    ("block_child_range_owner", "23P01", "delete from block where cidr = '10.0.240.0/20'; select t.allocate(2, 20);
        select t.block('primary', '10.0.240.0/20', 2)"),
    ("pool_range_family_check", "23514", "insert into pool_range (pool_id, vrf_id, family, cidr)
        values (t.pool('primary'), t.vrf('default'), 4, '2001:db9::/32')"),
    ("pool_range_ipv6_length_check", "23514", "select t.new_range('six', '2001::/31')"),
    // Free space.
    ("free_block_pkey", "23505", "insert into free_block select * from free_block"),
    ("free_block_range_fkey", "23503", "insert into free_block values (99, 8, '10.0.0.0/24')"),
    ("free_block_host_bits_check", "23514", "insert into free_block values (t.range('primary'), 9, '10.0.0.0/24')"),
    ("free_block_host_bits_check", "23514", "insert into free_block values (t.range('six'), 8, '2001:db8::/64')"),
    ("free_count_pkey", "23505", "insert into free_count select * from free_count"),
    ("free_count_range_fkey", "23503", "insert into free_count values (99, 8, 1)"),
    ("free_count_blocks_check", "23514", "update free_count set blocks = -1"),
    // Profiles.
    ("profile_pkey", "23505", "insert into profile (profile_id, name) values (t.profile(), 'x')"),
    ("profile_name_key", "23505", "insert into profile (name) values ('node-pod')"),
    ("profile_name_check", "23514", "insert into profile (name) values ('')"),
    ("profile_owner_check", "23514", "update profile set owner = ''"),
    ("profile_owner_check", "23514", "update profile set owner = repeat('x', 256)"),
    ("profile_member_pkey", "23505", "insert into profile_member (member_id, profile_id, position, role, pool_name,
        size_offset, min_prefix_length, max_prefix_length) overriding system value
        values (t.member('primary'), t.profile(), 3, 'x', 'x', 0, 20, 26)"),
    ("profile_member_profile_fkey", "23503", "insert into profile_member (profile_id, position, role, pool_name,
        size_offset, min_prefix_length, max_prefix_length) values (t.id(0), 3, 'x', 'x', 0, 20, 26)"),
    ("profile_member_position_check", "23514", "insert into profile_member (profile_id, position, role, pool_name,
        size_offset, min_prefix_length, max_prefix_length) values (t.profile(), 0, 'x', 'x', 0, 20, 26)"),
    ("profile_member_role_check", "23514", "insert into profile_member (profile_id, position, role, pool_name,
        size_offset, min_prefix_length, max_prefix_length) values (t.profile(), 3, 'X', 'x', 0, 20, 26)"),
    ("profile_member_pool_name_check", "23514", "insert into profile_member (profile_id, position, role, pool_name,
        size_offset, min_prefix_length, max_prefix_length) values (t.profile(), 3, 'x', 'a/b', 0, 20, 26)"),
    ("profile_member_bounds_check", "23514", "insert into profile_member (profile_id, position, role, pool_name,
        size_offset, min_prefix_length, max_prefix_length) values (t.profile(), 3, 'x', 'x', 0, 26, 20)"),
    ("profile_member_role_key", "23505", "insert into profile_member (profile_id, position, role, pool_name,
        size_offset, min_prefix_length, max_prefix_length) values (t.profile(), 3, 'primary', 'x', 0, 20, 26)"),
    ("profile_member_position_key", "23505", "insert into profile_member (profile_id, position, role, pool_name,
        size_offset, min_prefix_length, max_prefix_length) values (t.profile(), 1, 'x', 'x', 0, 20, 26)"),
    // VPCs and allocations.
    ("vpc_pkey", "23505", "insert into vpc (vpc_id, vrf_id, name) values (t.vpc('prod'), t.vrf('lab'), 'x')"),
    ("vpc_vrf_fkey", "23503", "insert into vpc (vrf_id, name) values (t.id(0), 'x')"),
    ("vpc_name_key", "23505", "insert into vpc (vrf_id, name) values (t.vrf('lab'), 'PROD')"),
    ("vpc_name_check", "23514", "insert into vpc (vrf_id, name) values (t.vrf('lab'), E'a\\nb')"),
    ("vpc_labels_check", "23514", "update vpc set labels = '1'"),
    ("token_pkey", "23505", "insert into token (token_id, public_id, name, roles, pepper, mac, claim)
        select token_id, '000000000002', 'other', roles, pepper, mac, claim from token"),
    ("token_public_id_key", "23505", "select t.token('000000000001', 'other')"),
    ("token_public_id_check", "23514", "select t.token('00000000000', 'other')"),
    ("token_name_key", "23505", "select t.token('000000000002', 'CI')"),
    ("token_name_check", "23514", "select t.token('000000000002', 'a/b')"),
    ("token_roles_check", "23514", "update token set roles = '{}'"),
    ("token_roles_check", "23514", "update token set roles = '{reader,root}'"),
    ("token_admin_check", "23514", "update token set roles = '{reader,admin}', pool_ids = '{}'"),
    ("token_admin_check", "23514", r#"update token set roles = '{admin}', labels = '{"a": "b"}'"#),
    ("token_admin_check", "23514", r#"update token set roles = '{admin}', quotas = '[{"quota": "p"}]'"#),
    ("token_quotas_check", "23514", "update token set quotas = '{}'"),
    ("token_limits_check", "23514", "update token set limits = '[]'"),
    ("token_limits_check", "23514", "update token set labels = '1'"),
    ("token_mac_check", "23514", "update token set mac = 'x'"),
    ("token_owner_check", "23514", "update token set owner = ''"),
    ("webhook_pkey", "23505", "insert into webhook (webhook_id, name, url, claim) values (t.id(20), 'x', 'https://x/', t.id(0))"),
    ("webhook_name_key", "23505", "insert into webhook (webhook_id, name, url, claim)
        values (t.id(22), 'SIEM', 'https://x/', t.id(0))"),
    ("webhook_name_check", "23514", "update webhook set name = 'a/b'"),
    ("webhook_url_check", "23514", "update webhook set url = 'ftp://x/'"),
    ("webhook_url_check", "23514", "update webhook set url = 'https://' || repeat('x', 2000)"),
    ("webhook_actions_check", "23514", "update webhook set actions = array_fill('x'::text, array[101])"),
    ("webhook_batch_size_check", "23514", "update webhook set batch_size = 0"),
    ("webhook_batch_size_check", "23514", "update webhook set batch_size = 1001"),
    ("webhook_owner_check", "23514", "update webhook set owner = ''"),
    ("webhook_secret_pkey", "23505", "insert into webhook_secret (secret_id, webhook_id, pepper, ends_at)
        values (t.id(21), t.id(20), 1, now())"),
    ("webhook_secret_webhook_fkey", "23503", "insert into webhook_secret (secret_id, webhook_id, pepper)
        values (t.id(23), t.id(0), 1)"),
    ("webhook_secret_in_use_key", "23505", "insert into webhook_secret (secret_id, webhook_id, pepper)
        values (t.id(23), t.id(20), 1)"),
    ("webhook_delivery_pkey", "23505", "insert into webhook_delivery (webhook_id, delivered_up_to) values (t.id(20), 1)"),
    ("webhook_delivery_webhook_fkey", "23503", "insert into webhook_delivery (webhook_id, delivered_up_to)
        values (t.id(0), 1)"),
    ("webhook_delivery_position_check", "23514", "update webhook_delivery set delivered_up_to = -1"),
    ("webhook_delivery_position_check", "23514", "update webhook_delivery set attempted_up_to = 1"),
    ("webhook_delivery_holder_check", "23514", "update webhook_delivery set holder = t.id(0)"),
    ("webhook_delivery_attempts_check", "23514", "update webhook_delivery set attempts = -1"),
    ("webhook_delivery_error_check", "23514", "update webhook_delivery set last_error = repeat('x', 501)"),
    ("session_pkey", "23505", "insert into session (session_id, mac, key_check) values (t.id(6), sha256('t'), 1)"),
    ("session_mac_key", "23505", "insert into session (session_id, mac, key_check) values (t.id(7), sha256('s'), 1)"),
    ("session_mac_check", "23514", "update session set mac = 'x'"),
    ("session_token_fkey", "23503", "update session set token_id = t.id(0), key_check = null"),
    ("session_holder_check", "23514", "update session set key_check = null"),
    ("session_user_agent_check", "23514", "update session set user_agent = repeat('x', 256)"),
    ("vpc_owner_check", "23514", "update vpc set owner = ''"),
    ("vpc_owner_check", "23514", "update vpc set owner = repeat('x', 256)"),
    ("allocation_pkey", "23505", "select t.allocate(1, 25)"),
    ("allocation_number_key", "23505", "insert into allocation (allocation_id, number, vpc_id, profile_id, prefix_length,
        members, requested_hosts, created_by, request_id) overriding system value
        select t.id(2), number, vpc_id, profile_id, 24, 2, 9, 'psql', t.id(9) from allocation"),
    ("allocation_vpc_fkey", "23503", "update allocation set vpc_id = t.id(0)"),
    ("allocation_vpc_fkey", "23503", "delete from vpc"),
    ("allocation_profile_fkey", "23503", "update allocation set profile_id = t.id(0)"),
    ("allocation_name_key", "23505", "select t.allocate(2, 24, 'cluster')"),
    ("allocation_name_check", "23514", "select t.allocate(2, 24, 'cluster ')"),
    ("allocation_prefix_length_check", "23514", "select t.allocate(2, 129)"),
    ("allocation_prefix_length_check", "23514", "select t.allocate(2, -1)"),
    ("allocation_members_check", "23514", "update allocation set members = 0"),
    ("allocation_requested_check", "23514", "update allocation set requested_prefix_length = null"),
    ("allocation_requested_check", "23514", "select t.ask(2, '{\"pools\": []}'); update allocation set requested_hosts = 5
        where allocation_id = t.id(2)"),
    ("allocation_requested_check", "23514", "update allocation set requested_hosts = 5"),
    ("allocation_requested_check", "23514", "update allocation set requested_hosts = 0, requested_prefix_length = null"),
    ("allocation_labels_check", "23514", "update allocation set labels = '\"x\"'"),
    ("allocation_owner_check", "23514", "update allocation set owner = ''"),
    ("allocation_owner_check", "23514", "update allocation set owner = repeat('x', 256)"),
    // Either from a profile, or from pools and with one block.
    ("allocation_request_check", "23514", "update allocation set request = '[]'"),
    ("allocation_request_check", "23514", "update allocation set request = '{\"pools\": [\"primary\"]}'"),
    ("allocation_request_check", "23514", "update allocation set profile_id = null"),
    ("allocation_request_check", "23514", "select t.ask(2, '{}')"),
    ("allocation_request_check", "23514", "select t.ask(2, '{\"exclude_cidrs\": []}')"),
    ("allocation_request_check", "23514", "select t.ask(2, '{\"pools\": [\"primary\"]}', 2)"),
    // Reservations.
    ("reservation_pkey", "23505", "insert into reservation (reservation_id, vrf_id, cidr, reason, created_by)
        values (t.id(5), t.vrf('lab'), '10.0.0.0/8', 'x', 'psql')"),
    ("reservation_vrf_fkey", "23503", "insert into reservation (vrf_id, cidr, reason, created_by)
        values (t.id(0), '10.0.0.0/8', 'x', 'psql')"),
    ("reservation_vrf_fkey", "23503", "insert into reservation (vrf_id, cidr, reason, created_by)
        values (t.vrf('bare'), '10.0.0.0/8', 'x', 'psql'); delete from vrf where name = 'bare'"),
    ("reservation_no_overlap_excl", "23P01", "insert into reservation (vrf_id, cidr, reason, created_by)
        values (t.vrf('default'), '10.0.160.0/20', 'x', 'psql')"),
    ("reservation_no_overlap_excl", "23P01", "insert into reservation (vrf_id, cidr, reason, created_by)
        values (t.vrf('default'), '10.0.161.0/24', 'x', 'psql')"),
    ("reservation_no_overlap_excl", "23P01", "insert into reservation (vrf_id, cidr, reason, created_by)
        values (t.vrf('default'), '0.0.0.0/0', 'x', 'psql')"),
    ("reservation_reason_check", "23514", "update reservation set reason = ''"),
    ("reservation_reason_check", "23514", "update reservation set reason = repeat('x', 1001)"),
    ("reservation_labels_check", "23514", "update reservation set labels = '[]'"),
    ("reservation_owner_check", "23514", "update reservation set owner = ''"),
    ("reservation_owner_check", "23514", "update reservation set owner = repeat('x', 256)"),
    // Cooldown: of a block that is there.
    ("cooldown_pkey", "23505", "insert into cooldown select * from cooldown"),
    ("cooldown_block_fkey", "23503", "delete from block where reason = 'cooldown'"),
    ("cooldown_block_fkey", "23503", "insert into cooldown (range_id, cidr, allocation_id, vpc, role, free_at)
        values (t.range('primary'), '10.0.177.0/24', t.id(8), 'prod', 'primary', now())"),
    // History.
    ("past_block_pkey", "23505", "insert into past_block overriding system value select * from past_block"),
    ("past_block_owner_check", "23514", "insert into past_block (vrf_id, pool_id, pool, cidr, since)
        values (t.vrf('default'), t.pool('primary'), 'primary', '10.0.0.0/24', now())"),
    ("past_block_owner_check", "23514", "insert into past_block (vrf_id, pool_id, pool, cidr, allocation_id, reservation_id,
        since) values (t.vrf('default'), t.pool('primary'), 'primary', '10.0.0.0/24', t.id(1), t.id(5), now())"),
    ("past_block_time_check", "23514", "insert into past_block (vrf_id, pool_id, pool, cidr, allocation_id, since)
        values (t.vrf('default'), t.pool('primary'), 'primary', '10.0.0.0/24', t.id(1), now() + interval '1 second')"),
    // Blocks: inside of their range, never overlapping, as large as they must be, owned by one.
    ("block_pkey", "23505", "select t.reserve('primary', '10.0.0.0/24')"),
    ("block_no_overlap_excl", "23P01", "select t.reserve('primary', '10.0.0.128/25')"),
    ("block_no_overlap_excl", "23P01", "select t.reserve('primary', '10.0.0.255/32')"),
    ("block_no_overlap_excl", "23P01", "select t.reserve('primary', '10.0.0.0/16')"),
    ("block_no_overlap_excl", "23P01", "select t.allocate(2, 24), t.block('primary', '10.0.131.0/24', 2)"),
    ("block_no_overlap_excl", "23P01", "select t.allocate(2, 23), t.block('primary', '10.0.0.0/23', 2)"),
    ("block_no_overlap_excl", "23P01", "select t.reserve('six', '2001:db8:1:2::/64')"),
    ("block_no_overlap_excl", "23P01", "select t.reserve('six', '2001:db8::/47')"),
    ("block_no_overlap_excl", "23P01", "select t.reserve('child', '10.0.240.0/25'), t.reserve('child', '10.0.240.64/26')"),
    ("block_in_range_check", "23514", "select t.reserve('primary', '10.1.0.0/24')"),
    ("block_in_range_check", "23514", "select t.reserve('primary', '10.0.0.0/15')"),
    ("block_in_range_check", "23514", "select t.reserve('primary', '2001:db8::/64')"),
    ("block_range_fkey", "23503", "insert into block (range_id, cidr, range_cidr, reason)
        values (t.range('primary'), '10.1.0.0/24', '10.0.0.0/8', 'x')"),
    ("block_range_fkey", "23503", "delete from pool_range where cidr = '100.64.0.0/10'"),
    ("block_allocation_fkey", "23503", "select t.allocate(2, 24); insert into block select range_id, '10.0.4.0/23', range_cidr,
        t.id(2), member_id, 23, size_offset, min_prefix_length, max_prefix_length from block
        where cidr = '10.0.0.0/24' and allocation_id is not null"),
    ("block_allocation_fkey", "23503", "delete from allocation"),
    ("block_allocation_fkey", "23503", "update allocation set prefix_length = 25"),
    ("block_member_fkey", "23503", "select t.allocate(2, 28); insert into block select range_id, '10.0.4.0/28', range_cidr,
        t.id(2), member_id, 28, size_offset, min_prefix_length, 28 from block
        where cidr = '10.0.0.0/24' and allocation_id is not null"),
    ("block_member_fkey", "23503", "delete from profile_member"),
    ("block_member_key", "23505", "select t.block('cgnat', '100.64.32.0/19', 1)"),
    ("block_owner_check", "23514", "insert into block (range_id, cidr, range_cidr)
        values (t.range('primary'), '10.0.4.0/24', '10.0.0.0/16')"),
    ("block_owner_check", "23514", "select t.allocate(2, 24); insert into block (range_id, cidr, range_cidr,
        allocation_id, member_id, prefix_length, size_offset, min_prefix_length, max_prefix_length, reason)
        select range_id, '10.0.4.0/24', range_cidr, t.id(2), member_id, prefix_length, size_offset, min_prefix_length,
        max_prefix_length, 'both' from block
        where cidr = '10.0.0.0/24' and allocation_id is not null"),
    ("block_owner_check", "23514", "insert into block (range_id, cidr, range_cidr, allocation_id)
        values (t.range('primary'), '10.0.4.0/24', '10.0.0.0/16', t.id(1))"),
    ("block_owner_check", "23514", "select t.allocate(2, 24); insert into block select range_id, '10.0.4.0/23', range_cidr,
        t.id(2), member_id, prefix_length, null, min_prefix_length, max_prefix_length from block
        where cidr = '10.0.0.0/24' and allocation_id is not null"),
    // One owner of three.
    ("block_owner_check", "23514", "insert into block (range_id, cidr, range_cidr, reservation_id, reason)
        values (t.range('primary'), '10.0.4.0/24', '10.0.0.0/16', t.id(5), 'x')"),
    ("block_owner_check", "23514", "select t.allocate(2, 24); insert into block (range_id, cidr, range_cidr, allocation_id,
        reservation_id, member_id, prefix_length, size_offset, min_prefix_length, max_prefix_length)
        select range_id, '10.0.4.0/24', range_cidr, t.id(2), t.id(5), member_id, prefix_length, size_offset,
        min_prefix_length, max_prefix_length from block where cidr = '10.0.0.0/24' and allocation_id is not null"),
    // What nobody was allocated has no member, and what has no member has the length that was asked for.
    ("block_owner_check", "23514", "insert into block (range_id, cidr, range_cidr, reservation_id, member_id)
        values (t.range('primary'), '10.0.4.0/24', '10.0.0.0/16', t.id(5), t.member('primary'))"),
    ("block_owner_check", "23514", "select t.ask(2, '{\"pools\": []}'), t.plain_block('10.0.4.0/25', 2, 1)"),
    ("block_reservation_fkey", "23503", "insert into block (range_id, cidr, range_cidr, reservation_id)
        values (t.range('primary'), '10.0.4.0/24', '10.0.0.0/16', t.id(6))"),
    ("block_reservation_fkey", "23503", "delete from reservation"),
    ("block_size_check", "23514", "select t.ask(2, '{\"pools\": []}'), t.plain_block('10.0.4.0/25', 2)"),
    ("block_size_check", "23514", "select t.allocate(2, 24), t.block('primary', '10.0.4.0/25', 2)"),
    ("block_size_check", "23514", "select t.allocate(2, 24), t.block('cgnat', '100.64.32.0/20', 2)"),
    ("block_size_check", "23514", "select t.allocate(2, 27), t.block('primary', '10.0.4.0/27', 2)"),
    ("block_size_check", "23514", "select t.allocate(2, 19), t.block('primary', '10.0.32.0/19', 2)"),
    // Retries.
    ("idempotency_key_pkey", "23505", "insert into idempotency_key select * from idempotency_key"),
    ("idempotency_key_length_check", "23514", "update idempotency_key set key = ''"),
    ("idempotency_key_length_check", "23514", "update idempotency_key set key = repeat('x', 256)"),
    ("idempotency_key_fingerprint_check", "23514", "update idempotency_key set fingerprint = 'x'"),
    // The audit log.
    ("event_pkey", "23505", "insert into event (event_id, actor, action, subject, request_id) overriding system value
        select event_id, 'x', 'vpc.create', subject, request_id from event"),
    ("event_action_check", "23514", "insert into event (actor, action, subject, request_id)
        values ('x', 'Create', t.id(1), t.id(1))"),
    ("event_detail_check", "23514", "insert into event (actor, action, subject, request_id, detail)
        values ('x', 'vpc.create', t.id(1), t.id(1), '[]')"),
    ("event_source_check", "23514", "insert into event (actor, action, subject, request_id, source)
        values ('x', 'vpc.create', t.id(1), t.id(1), '[]')"),
    ("event_seal_pkey", "23505", "insert into event_seal (seal_id, last_event_id, events, digest) overriding system value
        select seal_id, 99, 1, digest from event_seal"),
    ("event_seal_last_event_key", "23505", "insert into event_seal (last_event_id, events, digest)
        select last_event_id, 1, digest from event_seal"),
    ("event_seal_events_check", "23514", "insert into event_seal (last_event_id, events, digest) values (99, 0, sha256('x'))"),
    ("event_seal_digest_check", "23514", "insert into event_seal (last_event_id, events, digest) values (99, 1, 'x')"),
];

/// What no constraint can say: changes that are refused as such.
const REFUSED: &[&str] = &[
    "update pool_range set cidr = '10.0.0.0/17' where cidr = '10.0.0.0/16'",
    "update pool_range set pool_id = t.pool('cgnat') where cidr = '10.0.0.0/16'",
    "update block set cidr = '10.0.1.0/24' where cidr = '10.0.0.0/24'",
    "update block set allocation_id = t.id(2) where allocation_id is not null",
    "update block set reason = 'x' where reason is not null",
    "update block set reservation_id = null, reason = 'x' where reservation_id is not null",
    "update pool set parent_pool_id = null where name = 'child'",
    "update pool set parent_pool_id = t.pool('cgnat') where name = 'child'",
    "update pool set parent_pool_id = t.pool('child') where name = 'primary'",
    "update pool set vrf_id = t.vrf('lab') where name = 'primary'",
    "update pool set family = 6 where name = 'nephew'",
    "update past_block set vpc = 'somebody else'",
    "delete from past_block",
    "truncate past_block",
    "update profile_member set size_offset = -4 where role = 'cgnat'",
    "update profile_member set role = 'pods' where role = 'cgnat'",
    "update profile_member set pool_name = 'primary' where role = 'cgnat'",
    "update profile_member set position = 3 where role = 'cgnat'",
    "update profile_member set max_prefix_length = 32 where role = 'primary'",
    "update event set actor = 'somebody else'",
    "delete from event",
    "truncate event",
    "truncate event cascade",
    "update event_seal set digest = sha256('y')",
    "delete from event_seal",
    "truncate event_seal",
];

async fn seeded() -> (TestDatabase, PgConnection) {
    let database = TestDatabase::new().await;
    let mut connection = database.connect().await;
    run(&mut connection, SEED).await.expect("the seed is valid");
    (database, connection)
}

/// Runs SQL as psql would, several statements at a time.
async fn run(db: &mut PgConnection, sql: &str) -> Result<(), Error> {
    sqlx::raw_sql(AssertSqlSafe(sql))
        .execute(db)
        .await
        .map(drop)
}

/// Runs it in a transaction up to where it would commit, and takes it back.
async fn attempt(db: &mut PgConnection, sql: &str) -> Result<(), Error> {
    run(db, "begin").await.expect("begin");
    let mut outcome = run(db, sql).await;
    if outcome.is_ok() {
        outcome = run(db, "set constraints all immediate").await;
    }
    run(db, "rollback").await.expect("rollback");
    outcome
}

/// SQLSTATE and constraint of a refusal.
fn refusal(outcome: Result<(), Error>, sql: &str) -> (String, String) {
    let error = outcome.expect_err(sql);
    let error = error
        .as_database_error()
        .unwrap_or_else(|| panic!("{sql}: {error}"));
    let error = error.downcast_ref::<PgDatabaseError>();
    (
        error.code().to_owned(),
        error.constraint().unwrap_or_default().to_owned(),
    )
}

/// Constraints, constraint triggers and unique indexes of the schema.
async fn catalogue(db: &mut PgConnection) -> BTreeSet<String> {
    let names: Vec<String> = sqlx::query_scalar(
        "select conname::text from pg_constraint join pg_class on pg_class.oid = conrelid
        where pg_class.relnamespace = 'public'::regnamespace and relname not like '\\_sqlx%' and contype <> 'n'
        union
        select relname::text from pg_index join pg_class on pg_class.oid = indexrelid
        where relnamespace = 'public'::regnamespace and indisunique and relname not like '\\_sqlx%'",
    )
    .fetch_all(db)
    .await
    .expect("the catalogue can be read");
    names.into_iter().collect()
}

/// Unique keys that contain the primary key: nothing can break them that does not break that one. They are there as
/// targets of foreign keys.
async fn implied(db: &mut PgConnection) -> BTreeSet<String> {
    let names: Vec<String> = sqlx::query_scalar(
        "select wide.conname::text from pg_constraint wide join pg_constraint key using (conrelid)
        where wide.contype = 'u' and wide.connamespace = 'public'::regnamespace and key.contype = 'p' and wide.conkey @> key.conkey",
    )
    .fetch_all(db)
    .await
    .expect("the catalogue can be read");
    names.into_iter().collect()
}

#[tokio::test]
async fn every_constraint_stands_in_the_way_of_what_it_forbids() {
    let (_database, mut db) = seeded().await;
    for (constraint, state, sql) in ATTACKS {
        let outcome = attempt(&mut db, sql).await;
        assert_eq!(
            refusal(outcome, sql),
            ((*state).to_owned(), (*constraint).to_owned()),
            "{sql}"
        );
    }
    let mut attacked: BTreeSet<_> = ATTACKS
        .iter()
        .map(|(name, ..)| (*name).to_owned())
        .collect();
    attacked.extend(implied(&mut db).await);
    let catalogue = catalogue(&mut db).await;
    let different: Vec<_> = attacked.symmetric_difference(&catalogue).collect();
    assert!(
        different.is_empty(),
        "not attacked, or not there: {different:?}"
    );
}

#[tokio::test]
async fn what_must_never_change_can_not_be_changed() {
    let (_database, mut db) = seeded().await;
    for sql in REFUSED {
        let (state, _) = refusal(attempt(&mut db, sql).await, sql);
        assert_eq!(state, "23001", "{sql}");
    }
    attempt(&mut db, "update profile_member set retired_at = now()")
        .await
        .expect("retiring is no change of the rules");
}

#[tokio::test]
async fn the_table_of_meanings_is_the_catalogue() {
    let (_database, mut db) = seeded().await;
    let listed: Vec<_> = CONSTRAINTS
        .iter()
        .map(|(name, _)| *name)
        .chain(INTERNAL.iter().copied())
        .collect();
    let unique: BTreeSet<_> = listed.iter().map(|name| (*name).to_owned()).collect();
    assert_eq!(unique.len(), listed.len(), "a constraint is listed twice");
    assert_eq!(unique, catalogue(&mut db).await);
}

#[tokio::test]
async fn what_is_allowed_works() {
    let (_database, mut db) = seeded().await;
    for sql in [
        // The same CIDR once per VRF, as range and as block.
        "select t.reserve('lab', '10.0.0.0/24'), t.reserve('lab', '10.0.128.0/17')",
        // Neighbours, down to single addresses.
        "select t.reserve('primary', '10.0.1.0/24'), t.reserve('primary', '10.0.2.0/32'), t.reserve('primary', '10.0.2.1/32')",
        "select t.reserve('six', '2001:db8:0:ffff::/64'), t.reserve('six', '2001:db8:2::/48')",
        "select t.new_range('primary', '10.1.0.0/16'), t.new_range('six', '2001:db9::/32')",
        // A block of the parent and blocks of its child at once.
        "select t.reserve('child', '10.0.240.0/24'), t.reserve('primary', '10.0.239.0/24')",
        // The child's range before the block that it is, since that is checked at the commit.
        "select t.new_range('child', '10.0.64.0/20', 'primary'); select t.reserve('primary', '10.0.64.0/20')",
        // A change of anything else of a pool, and of its VRF to what it is.
        "update pool set name = 'x', strategy = 'sparse', revision = revision + 1, vrf_id = vrf_id where name = 'primary'",
        "update pool set strategy = s from unnest(array['best_fit', 'first_fit', 'last_fit', 'sparse']) as s",
        // From a pool without a profile, by list or by selector.
        "select t.ask(2, '{\"pools\": [\"primary\"]}'), t.plain_block('10.0.4.0/24', 2)",
        "select t.ask(2, '{\"pool_selector\": {}}'), t.plain_block('10.0.4.0/24', 2)",
        "update allocation set request = '{\"exclude_cidrs\": []}'",
        // Then without a size, for that of the pool.
        "select t.ask(2, '{\"pools\": []}'); update allocation set requested_prefix_length = null where allocation_id = t.id(2)",
        // A member of one length only always has that length.
        "insert into profile_member (profile_id, position, role, pool_name, size_offset, min_prefix_length, max_prefix_length)
            values (t.profile(), 3, 'fixed', 'primary', 0, 28, 28); select t.allocate(2, 24);
            insert into block (range_id, cidr, range_cidr, allocation_id, member_id, prefix_length, size_offset,
                min_prefix_length, max_prefix_length)
            select range_id, '10.0.4.0/28', cidr, t.id(2), t.member('fixed'), 24, 0, 28, 28 from pool_range
            where range_id = t.range('primary')",
        // Reservations in and outside of ranges, and the same network once per VRF.
        "insert into reservation (vrf_id, cidr, reason, created_by) values
            (t.vrf('default'), '10.0.144.0/20', 'x', 'psql'), (t.vrf('lab'), '10.0.160.0/20', repeat('é', 1000), 'psql')",
        // A block that cools down goes with its cooldown.
        "with ended as (delete from cooldown) delete from block where reason = 'cooldown'",
        // A range goes with its free list, once nothing is in it.
        "delete from pool_range where cidr = '10.0.240.0/20'; delete from block where cidr = '10.0.240.0/20'",
        // A reservation with a child may be replaced by another one, and without the child by anything.
        "delete from block where cidr = '10.0.240.0/20'; select t.reserve('primary', '10.0.240.0/20')",
        "delete from pool_range where cidr = '10.0.240.0/20'; delete from block where cidr = '10.0.240.0/20';
            select t.allocate(2, 20); select t.block('primary', '10.0.240.0/20', 2)",
        // Allocations without a name do not clash, nor do equal names in two VPCs.
        "select t.allocate(2, 24), t.allocate(3, 24)",
        "insert into vpc (vrf_id, name) values (t.vrf('default'), 'test'); select t.allocate(2, 24);
            update allocation set vpc_id = t.vpc('test'), name = 'cluster' where allocation_id = t.id(2)",
    ] {
        attempt(&mut db, sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    }
}

#[tokio::test]
async fn a_child_range_without_its_block_fails_at_the_commit() {
    let (_database, mut db) = seeded().await;
    run(
        &mut db,
        "begin; select t.new_range('child', '10.0.64.0/20', 'primary')",
    )
    .await
    .unwrap();
    let (state, constraint) = refusal(run(&mut db, "commit").await, "commit");
    assert_eq!(
        (state.as_str(), constraint.as_str()),
        ("23503", "pool_range_parent_block_fkey")
    );
    let children: i64 =
        sqlx::query_scalar("select count(*) from pool_range where parent_range_id is not null")
            .fetch_one(&mut db)
            .await
            .unwrap();
    assert_eq!(children, 1);
}

#[tokio::test]
async fn a_fresh_database_holds_the_defaults() {
    let database = TestDatabase::new().await;
    let mut db = database.connect().await;
    let rows: Vec<String> = sqlx::query_scalar(
        "select concat_ws(' ', vrf.name, pool.name, pool_range.cidr, min_prefix_length, max_prefix_length, reserved_addresses)
        from pool_range join pool using (pool_id) join vrf on vrf.vrf_id = pool.vrf_id order by 1
        ",
    )
    .fetch_all(&mut db)
    .await
    .unwrap();
    assert_eq!(
        rows,
        [
            "default cgnat 100.64.0.0/10 15 21 5",
            "default primary 10.0.0.0/16 20 26 5"
        ]
    );
    let rows: Vec<String> = sqlx::query_scalar(
        "select concat_ws(' ', name, position, role, pool_name, size_offset, min_prefix_length, max_prefix_length)
        from profile join profile_member using (profile_id) order by position",
    )
    .fetch_all(&mut db)
    .await
    .unwrap();
    assert_eq!(
        rows,
        [
            "node-pod 1 primary primary 0 20 26",
            "node-pod 2 cgnat cgnat -5 15 21"
        ]
    );
    let free: Vec<String> =
        sqlx::query_scalar("select concat_ws(' ', cidr, host_bits) from free_block order by cidr")
            .fetch_all(&mut db)
            .await
            .unwrap();
    assert_eq!(free, ["10.0.0.0/16 16", "100.64.0.0/10 22"]);
}

/// Waits until the session waits for a lock of another one.
async fn until_it_waits(observer: &mut PgConnection, pid: i32) {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let waits: bool = sqlx::query_scalar(
            "select coalesce(bool_or(wait_event_type = 'Lock'), false) from pg_stat_activity where pid = $1",
        )
        .bind(pid)
        .fetch_one(&mut *observer)
        .await
        .expect("pg_stat_activity can be read");
        if waits {
            return;
        }
        assert!(
            Instant::now() < deadline,
            "the second session waits for nobody"
        );
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// What becomes of `second`, begun while `first` is not committed, when `first` ends with `end`.
async fn race(
    database: &TestDatabase,
    first: &str,
    second: &'static str,
    end: &str,
) -> Result<(), Error> {
    let (mut one, mut two, mut observer) = (
        database.connect().await,
        database.connect().await,
        database.connect().await,
    );
    let pid: i32 = sqlx::query_scalar("select pg_backend_pid()")
        .fetch_one(&mut two)
        .await
        .expect("pid");
    run(&mut one, "begin").await.expect("begin");
    run(&mut one, first).await.expect(first);
    let waiting = tokio::spawn(async move { attempt(&mut two, second).await });
    until_it_waits(&mut observer, pid).await;
    run(&mut one, end).await.expect(end);
    waiting.await.expect("no panic")
}

#[tokio::test]
async fn of_two_sessions_at_once_one_loses() {
    let races: &[(&str, &'static str, &str)] = &[
        // Nested in both directions, and equal.
        (
            "select t.new_range('primary', '10.8.0.0/16')",
            "select t.new_range('cgnat', '10.8.3.0/24')",
            "pool_range_no_overlap_excl",
        ),
        (
            "select t.new_range('primary', '10.10.3.0/24')",
            "select t.new_range('cgnat', '10.10.0.0/16')",
            "pool_range_no_overlap_excl",
        ),
        (
            "select t.new_range('primary', '10.11.0.0/16')",
            "select t.new_range('cgnat', '10.11.0.0/16')",
            "pool_range_no_overlap_excl",
        ),
        (
            "select t.reserve('primary', '10.0.64.0/22')",
            "select t.reserve('primary', '10.0.66.0/26')",
            "block_no_overlap_excl",
        ),
        (
            "select t.reserve('primary', '10.0.70.0/26')",
            "select t.reserve('primary', '10.0.68.0/22')",
            "block_no_overlap_excl",
        ),
        (
            "select t.reserve('primary', '10.0.72.0/22')",
            "select t.reserve('primary', '10.0.72.0/22')",
            "block_pkey",
        ),
        (
            "select t.reserve('primary', '10.0.76.0/22')",
            "select t.allocate(2, 24), t.block('primary', '10.0.77.0/24', 2)",
            "block_no_overlap_excl",
        ),
        (
            "select t.allocate(2, 24), t.block('primary', '10.0.81.0/24', 2)",
            "select t.reserve('primary', '10.0.80.0/22')",
            "block_no_overlap_excl",
        ),
        (
            "select t.reserve('six', '2001:db8:9::/48')",
            "select t.reserve('six', '2001:db8:9:1::/64')",
            "block_no_overlap_excl",
        ),
        (
            "select t.allocate(3, 24, 'a')",
            "select t.allocate(4, 24, 'a')",
            "allocation_name_key",
        ),
        (
            "insert into vpc (vrf_id, name) values (t.vrf('default'), 'Dev')",
            "insert into vpc (vrf_id, name) values (t.vrf('lab'), 'dEV')",
            "vpc_name_key",
        ),
        (
            "insert into idempotency_key select actor, 'new', fingerprint, allocation_id from idempotency_key",
            "insert into idempotency_key select actor, 'new', fingerprint, allocation_id from idempotency_key",
            "idempotency_key_pkey",
        ),
        // Nothing is orphaned by a delete that comes at the same moment.
        (
            "select t.reserve('lab', '10.0.0.0/24')",
            "delete from pool_range where range_id = t.range('lab')",
            "block_range_fkey",
        ),
        (
            "select t.new_range('empty', '10.9.0.0/16')",
            "delete from pool where name = 'empty'",
            "pool_range_pool_fkey",
        ),
        (
            "insert into vpc (vrf_id, name) values (t.vrf('bare'), 'x')",
            "delete from vrf where name = 'bare'",
            "vpc_vrf_fkey",
        ),
    ];
    let (database, _db) = seeded().await;
    for (first, second, constraint) in races {
        let won = race(&database, first, second, "rollback").await;
        won.unwrap_or_else(|error| panic!("{first}, rolled back | {second}: {error}"));
        let lost = race(&database, first, second, "commit").await;
        assert_eq!(refusal(lost, second).1, *constraint, "{first} | {second}");
    }
}

#[tokio::test]
async fn a_storm_of_reservations_leaves_no_overlap() {
    const SESSIONS: u32 = 8;
    const TRIES: u32 = 50;
    let (database, mut db) = seeded().await;
    let mut sessions = Vec::new();
    for session in 0..SESSIONS {
        let mut db = database.connect().await;
        sessions.push(tokio::spawn(async move {
            let mut won = 0;
            // A generator of its own, the same in each run: places in 10.0.64.0/18 of 2^0 to 2^10 addresses.
            let mut state = session.wrapping_mul(2_654_435_761).wrapping_add(1);
            for _ in 0..TRIES {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let bits = (state >> 8) % 11;
                let length = u8::try_from(32 - bits).expect("small");
                let cidr = Cidr::from_number(
                    Family::Ipv4,
                    (0x0a00_4000 | (state >> 16) & 0x3fff).into(),
                    length,
                );
                match run(&mut db, &format!("select t.reserve('primary', '{cidr}')")).await {
                    Ok(()) => won += 1,
                    // 40P01: two inserts that waited for each other; the constraint holds, one of them is told to go.
                    Err(Error::Database(error))
                        if matches!(error.code().as_deref(), Some("23P01" | "23505" | "40P01")) => {
                    }
                    Err(error) => panic!("{cidr}: {error}"),
                }
            }
            won
        }));
    }
    let mut won = 0;
    for session in sessions {
        won += session.await.unwrap();
    }
    let nets: Vec<IpNet> =
        sqlx::query_scalar("select cidr from block where cidr << '10.0.64.0/18'")
            .fetch_all(&mut db)
            .await
            .unwrap();
    let mut blocks: Vec<Cidr> = nets.into_iter().map(Cidr::from).collect();
    blocks.sort_unstable_by_key(|cidr| cidr.number());
    assert_eq!(blocks.len(), won);
    assert!(
        won > 20 && won < (SESSIONS * TRIES) as usize,
        "{won} of {} won, which tests nothing",
        SESSIONS * TRIES
    );
    for pair in blocks.windows(2) {
        assert!(!pair[0].overlaps(pair[1]), "{} and {}", pair[0], pair[1]);
    }
}

fn runner() -> TestRunner {
    TestRunner::new(ProptestConfig {
        cases: 48,
        failure_persistence: None,
        ..ProptestConfig::default()
    })
}

/// Runs async code inside of a property, which is not async.
struct Blocking {
    runtime: tokio::runtime::Runtime,
    _database: TestDatabase,
    db: PgPool,
}

impl Blocking {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        let database = runtime.block_on(TestDatabase::new());
        let db = runtime.block_on(async { database.pool(1) });
        Self {
            runtime,
            _database: database,
            db,
        }
    }
}

/// A network in a range.
type Placed = (i32, Cidr);

/// A network in one of a few ranges, often near others.
fn placed() -> impl Strategy<Value = Placed> {
    // Among the ids those that differ in one half only, and the largest.
    let range = prop::sample::select(vec![
        1,
        2,
        255,
        65_535,
        65_536,
        65_537,
        131_072,
        i32::MAX - 1,
        i32::MAX,
    ]);
    (
        range,
        any::<bool>(),
        any::<u128>(),
        0_u8..=32,
        0_u8..=128,
        any::<bool>(),
    )
        .prop_map(|(range, four, bits, short, long, near)| {
            if four {
                // Ranges of IPv4 can be anything, even 0.0.0.0/0.
                let number = if near {
                    0xffff_ff00 | bits & 0xff
                } else {
                    bits & 0xffff_ffff
                };
                return (range, Cidr::from_number(Family::Ipv4, number, short));
            }
            // The first 32 bits of an IPv6 address are those of its range.
            let top = (u128::from(range.unsigned_abs()) * 0x9e37) & 0xffff_ffff;
            let low = if near { bits & 0xff } else { bits >> 32 };
            (
                range,
                Cidr::from_number(Family::Ipv6, top << 96 | low, long.max(32)),
            )
        })
}

#[test]
fn tags_overlap_exactly_when_the_networks_of_a_range_do() {
    let blocking = Blocking::new();
    let pair = (placed(), placed()).prop_flat_map(|(one, two)| {
        // Unrelated, in the same range, and one inside the other.
        prop_oneof![
            Just((one, two)),
            Just((one, (one.0, two.1))),
            (0..=one.1.prefix_length())
                .prop_map(move |length| (one, (one.0, one.1.ancestor(length).unwrap_or(one.1)))),
        ]
    });
    let pairs = prop::collection::vec(pair, 200);
    // A range has one family, and the networks of an IPv6 range share its first 32 bits.
    let is_possible = |(one, two): &(Placed, Placed)| {
        [one, two]
            .iter()
            .all(|(_, cidr)| cidr.family() == Family::Ipv4 || cidr.prefix_length() >= 32)
            && (one.0 != two.0
                || one.1.family() == two.1.family()
                    && (one.1.family() == Family::Ipv4 || one.1.ancestor(32) == two.1.ancestor(32)))
    };
    let (overlapping, apart) = (Cell::new(0), Cell::new(0));
    let mut runner = runner();
    let outcome = runner.run(&pairs, |mut pairs| {
        pairs.retain(is_possible);
        let column = |side: fn(&(Placed, Placed)) -> Placed| -> (Vec<i32>, Vec<String>) {
            pairs.iter().map(side).map(|(range, cidr)| (range, cidr.to_string())).unzip()
        };
        let ((ranges, nets), (other_ranges, other_nets)) = (column(|pair| pair.0), column(|pair| pair.1));
        let rows: Vec<(bool, bool)> = blocking.runtime.block_on(
            sqlx::query_as(
                "select ipam_tag(a, b::cidr) && ipam_tag(c, d::cidr), ipam_tag(a, b::cidr) = ipam_tag(c, d::cidr)
                from unnest($1::integer[], $2::text[], $3::integer[], $4::text[]) with ordinality as pair (a, b, c, d, place)
                order by place",
            )
            .bind(ranges)
            .bind(nets)
            .bind(other_ranges)
            .bind(other_nets)
            .fetch_all(&blocking.db),
        ).expect("ipam_tag takes them all");
        for (((range, one), (other, two)), (overlap, equal)) in pairs.into_iter().zip(rows) {
            let same = range == other && one.family() == two.family();
            prop_assert_eq!(overlap, same && one.overlaps(two), "{} {} and {} {}", range, one, other, two);
            prop_assert_eq!(equal, same && one == two, "{} {} and {} {}", range, one, other, two);
            let counter = if overlap { &overlapping } else { &apart };
            counter.set(counter.get() + 1);
        }
        Ok(())
    });
    outcome.unwrap_or_else(|error| panic!("{error}"));
    let (overlapping, apart) = (overlapping.get(), apart.get());
    assert!(
        overlapping > 1000 && apart > 1000,
        "{overlapping} overlapped, {apart} did not: that tests nothing"
    );
}

#[test]
fn a_name_is_one_to_the_database_exactly_when_it_is_one_to_us() {
    let blocking = Blocking::new();
    let odd = prop::sample::select(vec![
        'a', '/', ' ', '\t', '\n', '\u{1}', '\u{1f}', '\u{7f}', '\u{80}', '\u{85}', '\u{9f}',
        '\u{a0}', '\u{ad}', '\u{1680}', '\u{180e}', '\u{2000}', '\u{200a}', '\u{200b}', '\u{2028}',
        '\u{2029}', '\u{202f}', '\u{205f}', '\u{3000}', '\u{feff}', 'ü', '🦀',
    ]);
    let name = prop_oneof![
        prop::collection::vec(odd, 0..4).prop_map(|chars| chars.into_iter().collect::<String>()),
        "[^\\x00]{0,6}",
        (126_usize..131).prop_map(|length| "é".repeat(length)),
    ];
    let mut runner = runner();
    let outcome = runner.run(&prop::collection::vec(name, 100), |names| {
        let valid: Vec<bool> = blocking
            .runtime
            .block_on(
                sqlx::query_scalar("select ipam_is_name(name) from unnest($1::text[]) with ordinality as given (name, place) order by place")
                    .bind(&names)
                    .fetch_all(&blocking.db),
            )
            .expect("ipam_is_name takes them all");
        for (name, valid) in names.iter().zip(valid) {
            prop_assert_eq!(valid, name.parse::<Name>().is_ok(), "{:?}", name);
        }
        Ok(())
    });
    outcome.unwrap_or_else(|error| panic!("{error}"));
}

/// What SQL calls the buddies of a network is what the free list in memory does: otherwise giving it back would not merge.
#[tokio::test]
async fn buddies_are_the_same_in_sql_and_in_memory() {
    let database = TestDatabase::new().await;
    let mut db = database.connect().await;
    for (net, range) in [
        ("10.0.0.0/16", "10.0.0.0/16"),
        ("10.0.0.0/17", "10.0.0.0/16"),
        ("10.0.255.255/32", "10.0.0.0/16"),
        ("10.0.37.64/26", "10.0.0.0/16"),
        ("0.0.0.0/1", "0.0.0.0/0"),
        ("128.0.0.0/32", "0.0.0.0/0"),
        ("255.255.255.255/32", "0.0.0.0/0"),
        ("2001:db8::/128", "2001:db8::/32"),
        (
            "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff/128",
            "2001:db8::/32",
        ),
        ("2001:db8:0:8000::/49", "2001:db8::/32"),
    ] {
        let sql: Vec<String> = sqlx::query_scalar(
            "select buddy::text from ipam_buddies($1::text::cidr, $2::text::cidr) as buddy",
        )
        .bind(net)
        .bind(range)
        .fetch_all(&mut db)
        .await
        .expect("networks");
        let mut sql: Vec<Cidr> = sql
            .iter()
            .map(|text| text.parse().expect("a network"))
            .collect();
        let place = Place {
            range: 1,
            cidr: net.parse().expect("a network"),
        };
        let range = range.parse().expect("a network");
        let mut memory: Vec<_> = buddies(place, range).map(|place| place.cidr).collect();
        sql.sort_unstable();
        memory.sort_unstable();
        assert_eq!(sql, memory, "{net} in {range}");
    }
}
