-- Counts the changes of VRFs, pools, their ranges, and profiles. Servers keep the plan in memory, and learn by this number,
-- which they read in the statement that locks the pools, that they have to read it again. A row and not a sequence, for a
-- number that is handed out before its change commits would be learnt too early.
create table address_plan (
    -- There is one row.
    singleton boolean not null default true,
    revision bigint not null default 1,
    constraint address_plan_pkey primary key (singleton),
    constraint address_plan_singleton_check check (singleton)
);

insert into address_plan default values;

create function ipam_address_plan_changed() returns trigger language plpgsql as $$
begin
    update address_plan set revision = revision + 1;
    return null;
end
$$;

create trigger vrf_changed after insert or update or delete on vrf for each statement
    execute function ipam_address_plan_changed();
create trigger pool_changed after insert or update or delete on pool for each statement
    execute function ipam_address_plan_changed();
create trigger pool_range_changed after insert or delete on pool_range for each statement
    execute function ipam_address_plan_changed();
create trigger profile_changed after insert or update or delete on profile for each statement
    execute function ipam_address_plan_changed();
create trigger profile_member_changed after insert or update or delete on profile_member for each statement
    execute function ipam_address_plan_changed();
