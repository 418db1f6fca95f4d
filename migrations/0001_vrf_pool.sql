-- VRFs and pools: which address space exists, and what is left of it.
--
-- The rules that make an overlap impossible are declared here and in 0003, for every writer, whatever a program
-- believes:
--
--   1. Ranges of one VRF never overlap (pool_range_no_overlap_excl), unless one is cut from the other as a child.
--   2. Blocks of one range never overlap and lie inside it (0003).
--
-- Together: no two blocks of a VRF overlap, in any pool. So the hot constraint, that on blocks, needs the range only and
-- no VRF, and a range may move to a shard of its own.

-- "=" on uuid inside a GiST constraint.
create extension if not exists btree_gist;

-- The same rule as `Name` in shared/src/name.rs, spelt out in code points: what counts as a control character or as white
-- space must not depend on the locale of the database.
create function ipam_is_name(name text) returns boolean
    language sql immutable parallel safe
    return name ~ '^[^/\u0001-\u001f\u007f-\u009f]{1,128}$'
        and name !~ '^[\u0020\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]'
        and name !~ '[\u0020\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]$';

-- An isolated address space: the same CIDR may exist once in each.
create table vrf (
    vrf_id uuid not null default gen_random_uuid(),
    name text not null,
    description text not null default '',
    labels jsonb not null default '{}',
    revision bigint not null default 1,
    created_at timestamptz not null default now(),
    constraint vrf_pkey primary key (vrf_id),
    constraint vrf_name_key unique (name),
    constraint vrf_name_check check (ipam_is_name(name)),
    constraint vrf_labels_check check (jsonb_typeof(labels) = 'object')
);

-- Named ranges of one family in one VRF, from which blocks are cut. Its row is what allocations lock, in the order of
-- pool_id, so that two of them never choose the same free block and pools never wait for each other.
create table pool (
    pool_id uuid not null default gen_random_uuid(),
    vrf_id uuid not null,
    name text not null,
    family smallint not null,
    -- Shortest prefix, that is the largest block.
    min_prefix_length smallint not null,
    -- Longest prefix, that is the smallest block.
    max_prefix_length smallint not null,
    default_prefix_length smallint,
    -- Addresses of a block that are not for hosts: network, broadcast, gateway, DNS, spare.
    reserved_addresses integer not null default 5,
    strategy text not null default 'best_fit',
    description text not null default '',
    labels jsonb not null default '{}',
    revision bigint not null default 1,
    created_at timestamptz not null default now(),
    constraint pool_pkey primary key (pool_id),
    constraint pool_vrf_fkey foreign key (vrf_id) references vrf (vrf_id),
    constraint pool_name_key unique (vrf_id, name),
    -- For pool_range, whose VRF and family must be its pool's.
    constraint pool_identity_key unique (pool_id, vrf_id, family),
    constraint pool_name_check check (ipam_is_name(name)),
    constraint pool_family_check check (family in (4, 6)),
    constraint pool_bounds_check check (
        0 <= min_prefix_length
        and min_prefix_length <= max_prefix_length
        and max_prefix_length <= case family when 4 then 32 else 128 end
        and default_prefix_length between min_prefix_length and max_prefix_length
    ),
    constraint pool_reserved_addresses_check check (reserved_addresses >= 0),
    constraint pool_strategy_check check (strategy in ('best_fit')),
    constraint pool_labels_check check (jsonb_typeof(labels) = 'object')
);

-- One network of a pool.
create table pool_range (
    -- 32 bits, since it is folded into the key of the constraint on blocks (ipam_tag in 0003).
    range_id integer generated always as identity,
    pool_id uuid not null,
    vrf_id uuid not null,
    family smallint not null,
    cidr cidr not null,
    -- The range that this one is cut from, when the pool is a child of another. 0003 ties it to a block of that range.
    parent_range_id integer,
    constraint pool_range_pkey primary key (range_id),
    constraint pool_range_pool_fkey foreign key (pool_id, vrf_id, family) references pool (pool_id, vrf_id, family),
    -- For blocks, which carry the CIDR of their range.
    constraint pool_range_cidr_key unique (range_id, cidr),
    -- For child ranges, which stay in the VRF of their parent.
    constraint pool_range_vrf_key unique (range_id, vrf_id),
    constraint pool_range_parent_fkey foreign key (parent_range_id, vrf_id) references pool_range (range_id, vrf_id),
    -- A parent is there before its children, so that no circle of ranges escapes the constraint on overlaps.
    constraint pool_range_parent_check check (parent_range_id < range_id),
    constraint pool_range_parent_block_key unique (parent_range_id, cidr),
    constraint pool_range_family_check check (family = family(cidr)),
    -- The tag of an IPv6 block keeps the low 96 bits of its address.
    constraint pool_range_ipv6_length_check check (family(cidr) = 4 or masklen(cidr) >= 32),
    constraint pool_range_no_overlap_excl exclude using gist (vrf_id with =, cidr inet_ops with &&)
        where (parent_range_id is null)
);

create index pool_range_pool_idx on pool_range (pool_id, cidr);

-- Free space of each range as a buddy list: aligned blocks as large as can be, disjoint, none beside its free twin.
-- Best fit is the first row with enough host bits, so a search costs the same at a hundred blocks and at a million.
-- It is derived: range minus blocks. `ipam verify` proves that the two agree.
create table free_block (
    range_id integer not null,
    host_bits smallint not null,
    cidr cidr not null,
    constraint free_block_pkey primary key (range_id, host_bits, cidr),
    constraint free_block_range_fkey foreign key (range_id) references pool_range (range_id) on delete cascade,
    constraint free_block_host_bits_check check (
        host_bits = case family(cidr) when 4 then 32 else 128 end - masklen(cidr)
    )
) with (
    -- Every allocation kills rows at the front of the list, where the next search begins.
    autovacuum_vacuum_scale_factor = 0.01,
    autovacuum_vacuum_threshold = 500,
    autovacuum_vacuum_cost_delay = 0
);

-- How many rows free_block has, by size: utilisation and the largest free block without counting.
create table free_count (
    range_id integer not null,
    host_bits smallint not null,
    blocks bigint not null default 0,
    constraint free_count_pkey primary key (range_id, host_bits),
    constraint free_count_range_fkey foreign key (range_id) references pool_range (range_id) on delete cascade,
    constraint free_count_blocks_check check (blocks >= 0)
) with (fillfactor = 50);

-- A new range is one free block.
create function ipam_pool_range_added() returns trigger language plpgsql as $$
declare
    bits constant smallint := case family(new.cidr) when 4 then 32 else 128 end - masklen(new.cidr);
begin
    insert into free_block (range_id, host_bits, cidr) values (new.range_id, bits, new.cidr);
    insert into free_count (range_id, host_bits, blocks)
    select new.range_id, size, (size = bits)::integer from generate_series(0, bits) as size;
    return null;
end
$$;

create trigger pool_range_added after insert on pool_range for each row execute function ipam_pool_range_added();

-- Free space hangs on a range's CIDR, so a range is added and removed, never changed.
create function ipam_refuse() returns trigger language plpgsql as $$
begin
    raise exception '%', tg_argv[0] using errcode = 'restrict_violation';
end
$$;

create trigger pool_range_immutable before update on pool_range for each row
    execute function ipam_refuse('ranges are added and removed, never changed');
