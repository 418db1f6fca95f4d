-- A creation that finds what it would make says so by inserting no row: then the address plan is as it was, servers need not
-- read it again, and nobody waits for its row, which changes lock last. Before, whoever repeated a creation held that row while
-- it waited for what was there, and whoever had that locked waited for the row.
create function ipam_address_plan_grew() returns trigger language plpgsql as $$
begin
    if exists (select from added) then
        update address_plan set revision = revision + 1;
    end if;
    return null;
end
$$;

-- A trigger that sees the rows is for one kind of change, and for no list of columns.
drop trigger vrf_changed on vrf;
create trigger vrf_changed after delete or update of vrf_id, name, description, labels, revision, created_at
    on vrf for each statement execute function ipam_address_plan_changed();
create trigger vrf_is_new after insert on vrf referencing new table as added
    for each statement execute function ipam_address_plan_grew();
drop trigger pool_changed on pool;
create trigger pool_changed after delete
    or update of pool_id, vrf_id, name, family, min_prefix_length, max_prefix_length, default_prefix_length,
        reserved_addresses, strategy, description, labels, revision, created_at, release_cooldown_seconds, required_labels,
        parent_pool_id
    on pool for each statement execute function ipam_address_plan_changed();
create trigger pool_is_new after insert on pool referencing new table as added
    for each statement execute function ipam_address_plan_grew();
drop trigger pool_range_changed on pool_range;
create trigger pool_range_changed after delete on pool_range for each statement execute function ipam_address_plan_changed();
create trigger pool_range_is_new after insert on pool_range referencing new table as added
    for each statement execute function ipam_address_plan_grew();
drop trigger profile_changed on profile;
create trigger profile_changed after delete or update of profile_id, name, description, revision, created_at
    on profile for each statement execute function ipam_address_plan_changed();
create trigger profile_is_new after insert on profile referencing new table as added
    for each statement execute function ipam_address_plan_grew();
drop trigger profile_member_changed on profile_member;
create trigger profile_member_changed after update or delete on profile_member for each statement
    execute function ipam_address_plan_changed();
create trigger profile_member_is_new after insert on profile_member referencing new table as added
    for each statement execute function ipam_address_plan_grew();

-- Who held something at a time, without reading who ever held it: of what has ended, what was there then.
create index past_block_time_idx on past_block using spgist (tstzrange(since, until));
