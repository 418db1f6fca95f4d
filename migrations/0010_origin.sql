-- Where this database was made, so that one that was restored from a dump knows that it is one: what was allocated after
-- the dump is not in it, and would be handed out again.

-- One row, written by the first server that starts and finds none, and by `ipam reconcile`. A dump carries it along, and
-- what it says then differs from where the dump was restored:
--   in another cluster     the system identifier, which a standby shares with its primary, so that a fail-over changes nothing
--   in another database    the database's id, also when it was copied as a template
--   in the same database   the id of this very table, which a restore makes anew
create table origin (
    singleton boolean not null default true,
    -- None if the role may not read it.
    system_identifier bigint,
    database_id oid not null,
    relation_id oid not null,
    noted_at timestamptz not null default clock_timestamp(),
    constraint origin_pkey primary key (singleton),
    constraint origin_singleton_check check (singleton)
);

-- The same of the database that is asked. Everybody may call pg_control_system() by default, and some forbid it.
create function ipam_present_origin(out system_identifier bigint, out database_id oid, out relation_id oid)
language plpgsql stable as $$
begin
    database_id := (select oid from pg_database where datname = current_database());
    relation_id := 'origin'::regclass::oid;
    begin
        system_identifier := (select control.system_identifier from pg_control_system() as control);
    exception when insufficient_privilege then
        -- The two ids above still tell most restores.
        system_identifier := null;
    end;
end
$$;
