-- The whole address space: parent pools, placement and policies of pools, requests from pools without a profile,
-- reservations, cooldown after a release, and who had what when.

-- Pools ---------------------------------------------------------------------------------------------------------------

alter table pool
    -- Seconds for which released blocks stay out of circulation.
    add column release_cooldown_seconds integer not null default 0,
    -- Key to allowed values: labels that an allocation must have. No values means any.
    add column required_labels jsonb not null default '{}',
    -- The pool that this one's ranges are cut from.
    add column parent_pool_id uuid,
    drop constraint pool_strategy_check,
    add constraint pool_strategy_check check (strategy in ('best_fit', 'first_fit', 'last_fit', 'sparse')),
    add constraint pool_release_cooldown_check check (release_cooldown_seconds between 0 and 31536000),
    add constraint pool_required_labels_check check (jsonb_typeof(required_labels) = 'object'),
    -- In the same VRF and of the same family as its parent.
    add constraint pool_parent_fkey foreign key (parent_pool_id, vrf_id, family)
        references pool (pool_id, vrf_id, family),
    add constraint pool_parent_check check (parent_pool_id <> pool_id),
    -- For pool_range, whose parent lies in the parent of its pool.
    add constraint pool_parent_key unique (pool_id, parent_pool_id);

create index pool_parent_idx on pool (parent_pool_id) where parent_pool_id is not null;

-- A parent is there before its children and never changes, so no circle of pools can be made.
create trigger pool_immutable before update of vrf_id, family, parent_pool_id on pool for each row
    when ((new.vrf_id, new.family, new.parent_pool_id) is distinct from (old.vrf_id, old.family, old.parent_pool_id))
    execute function ipam_refuse('VRF, family and parent of a pool are chosen when it is made');

alter table pool_range
    add column parent_pool_id uuid,
    add constraint pool_range_pool_key unique (range_id, pool_id),
    add constraint pool_range_parents_check check ((parent_range_id is null) = (parent_pool_id is null)),
    -- Both ways: the parent is that of the pool, and the parent range is one of that parent's.
    add constraint pool_range_child_pool_fkey foreign key (pool_id, parent_pool_id) references pool (pool_id, parent_pool_id),
    add constraint pool_range_parent_pool_fkey foreign key (parent_range_id, parent_pool_id)
        references pool_range (range_id, pool_id);

-- Requests from pools -------------------------------------------------------------------------------------------------

alter table allocation
    -- None: it was asked for from pools, as `request` says, and has one block.
    alter column profile_id drop not null,
    -- What else was asked: `pools` (a list of names or ids), `pool_selector` (labels), `exclude_cidrs`.
    add column request jsonb,
    -- From pools the size may be left out, for the pool's default.
    drop constraint allocation_requested_check,
    add constraint allocation_requested_check check (
        num_nonnulls(requested_hosts, requested_prefix_length, requested_cidr)
            between (profile_id is not null)::integer and 1
        and requested_hosts > 0
    ),
    add constraint allocation_request_check check (
        (request is null or jsonb_typeof(request) = 'object')
        and (profile_id is null) = (request is not null and (request ? 'pools' or request ? 'pool_selector'))
        and (profile_id is not null or members = 1)
    );

-- Reservations --------------------------------------------------------------------------------------------------------

-- A network out of circulation, in pools or outside of them. Where it lies in a range, a block of that range takes its
-- place; where no range is, it waits for one.
create table reservation (
    reservation_id uuid not null default gen_random_uuid(),
    vrf_id uuid not null,
    cidr cidr not null,
    reason text not null,
    labels jsonb not null default '{}',
    created_by text not null,
    revision bigint not null default 1,
    created_at timestamptz not null default now(),
    constraint reservation_pkey primary key (reservation_id),
    constraint reservation_vrf_fkey foreign key (vrf_id) references vrf (vrf_id),
    constraint reservation_no_overlap_excl exclude using gist (vrf_id with =, cidr inet_ops with &&),
    constraint reservation_reason_check check (length(reason) between 1 and 1000),
    constraint reservation_labels_check check (jsonb_typeof(labels) = 'object')
);

create index reservation_vrf_idx on reservation (vrf_id, reservation_id);
create index reservation_labels_idx on reservation using gin (labels jsonb_path_ops);

-- Blocks --------------------------------------------------------------------------------------------------------------

-- A block belongs to an allocation or to a reservation, or is out of circulation for a reason of the house:
-- 'child_range' (a child pool's range) or 'cooldown' (released a short while ago). Other reasons are from a hand with psql.
alter table block
    add column reservation_id uuid,
    -- Since when it is what it is: the time of the statement, not of the transaction, so that it lies after the end of
    -- what was there before. What existed before this column has it from its allocation, below.
    add column since timestamptz not null default clock_timestamp(),
    drop constraint block_owner_check,
    drop constraint block_size_check,
    add constraint block_reservation_fkey foreign key (reservation_id) references reservation (reservation_id),
    add constraint block_owner_check check (
        num_nonnulls(allocation_id, reservation_id, reason) = 1
        and num_nonnulls(allocation_id, prefix_length, size_offset, min_prefix_length, max_prefix_length) in (0, 5)
        -- Without a member it was cut from a pool that was asked for by itself, at the size that was asked for.
        and (allocation_id is not null or member_id is null)
        and (member_id is not null or size_offset = 0)
    ),
    -- The offset counts from the length that was asked for. A member with one length only always has that length.
    add constraint block_size_check check (
        allocation_id is null
        or (masklen(cidr) between min_prefix_length and max_prefix_length
            and (masklen(cidr) = prefix_length + size_offset or min_prefix_length = max_prefix_length))
    );

create index block_reservation_idx on block (reservation_id) where reservation_id is not null;
-- The reservations of a pool, in their order. Allocations write neither of the two.
create index block_reserved_idx on block (range_id, reservation_id) where reservation_id is not null;

alter table block disable trigger block_immutable;
update block set since = created_at from allocation where allocation.allocation_id = block.allocation_id;
alter table block enable trigger block_immutable;

-- Cooldown ------------------------------------------------------------------------------------------------------------

-- Released blocks that nobody gets before `free_at`, but who had them: the same name in the same VPC.
create table cooldown (
    range_id integer not null,
    cidr cidr not null,
    allocation_id uuid not null,
    -- As they were at the release; the VPC may be gone by now. Lower case, since case does not count.
    vpc text not null,
    name text,
    role text not null,
    released_at timestamptz not null default now(),
    free_at timestamptz not null,
    constraint cooldown_pkey primary key (range_id, cidr),
    constraint cooldown_block_fkey foreign key (range_id, cidr) references block (range_id, cidr) on delete cascade
);

create index cooldown_name_idx on cooldown (vpc, name) where name is not null;
create index cooldown_allocation_idx on cooldown (allocation_id);
create index cooldown_free_at_idx on cooldown (free_at);

-- History -------------------------------------------------------------------------------------------------------------

-- Blocks that are no more: who had which network from when to when. Written when a block ends, so that allocating does
-- not pay for it; together with `block` it answers who had an address at any time. Ranges and pools may be gone too.
create table past_block (
    past_block_id bigint generated always as identity,
    vrf_id uuid not null,
    pool_id uuid not null,
    pool text not null,
    cidr cidr not null,
    -- Whose it was: one of the two.
    allocation_id uuid,
    reservation_id uuid,
    -- As they were at the end.
    vpc text,
    name text,
    role text,
    reason text,
    since timestamptz not null,
    until timestamptz not null default clock_timestamp(),
    constraint past_block_pkey primary key (past_block_id),
    constraint past_block_owner_check check (num_nonnulls(allocation_id, reservation_id) = 1),
    constraint past_block_time_check check (since <= until)
);

create index past_block_cidr_idx on past_block using spgist (cidr inet_ops);
create index past_block_allocation_idx on past_block (allocation_id) where allocation_id is not null;

create trigger past_block_append_only before update or delete on past_block for each row
    execute function ipam_refuse('history is append-only');
create trigger past_block_no_truncate before truncate on past_block for each statement
    execute function ipam_refuse('history is append-only');
