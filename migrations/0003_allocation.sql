-- VPCs, allocations and their blocks: who owns which space.

-- Who the space is for.
create table vpc (
    vpc_id uuid not null default gen_random_uuid(),
    vrf_id uuid not null,
    name text not null,
    description text not null default '',
    labels jsonb not null default '{}',
    revision bigint not null default 1,
    created_at timestamptz not null default now(),
    constraint vpc_pkey primary key (vpc_id),
    constraint vpc_vrf_fkey foreign key (vrf_id) references vrf (vrf_id),
    constraint vpc_name_check check (ipam_is_name(name)),
    constraint vpc_labels_check check (jsonb_typeof(labels) = 'object')
);

-- "Prod" and "prod" are one VPC.
create unique index vpc_name_key on vpc (lower(name));

-- What a user asked for and owns.
create table allocation (
    allocation_id uuid not null,
    -- The integer id of the original API.
    number bigint generated always as identity,
    vpc_id uuid not null,
    name text,
    profile_id uuid not null,
    prefix_length smallint not null,
    -- How many blocks it owns: all members of its profile at the time, or none of it would exist.
    members smallint not null,
    -- The size as it was asked for, one of three.
    requested_hosts bigint,
    requested_prefix_length smallint,
    requested_cidr cidr,
    labels jsonb not null default '{}',
    description text not null default '',
    deletion_protection boolean not null default false,
    created_by text not null,
    -- The request that made it, for the original API and for the log.
    request_id uuid not null,
    -- Who shows this token when reading the allocation by id confirms to own it; nobody adopts it by name afterwards.
    claim uuid not null default gen_random_uuid(),
    confirmed_at timestamptz,
    revision bigint not null default 1,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint allocation_pkey primary key (allocation_id),
    constraint allocation_number_key unique (number),
    -- For blocks, whose size follows from this length.
    constraint allocation_prefix_length_key unique (allocation_id, prefix_length),
    constraint allocation_vpc_fkey foreign key (vpc_id) references vpc (vpc_id),
    constraint allocation_profile_fkey foreign key (profile_id) references profile (profile_id),
    -- What makes a creation exactly-once: a retry of the same request finds this row.
    constraint allocation_name_key unique (vpc_id, name),
    constraint allocation_name_check check (ipam_is_name(name)),
    constraint allocation_prefix_length_check check (prefix_length between 0 and 128),
    constraint allocation_members_check check (members > 0),
    constraint allocation_requested_check check (
        num_nonnulls(requested_hosts, requested_prefix_length, requested_cidr) = 1 and requested_hosts > 0
    ),
    constraint allocation_labels_check check (jsonb_typeof(labels) = 'object')
);

create index allocation_labels_idx on allocation using gin (labels jsonb_path_ops);

-- Folds a range and a network inside it into one IPv6 network, so that "in the same range and overlapping" becomes
-- plain "overlapping", which an SP-GiST index answers. Such an index costs the same at a hundred rows and at a million;
-- a GiST index over (range, cidr) degrades when addresses ascend, which is what an allocator hands out.
--
--   IPv4: 64 zero bits, 32 bits range, 32 bits address, length 96 + length
--   IPv6: 32 bits range, the low 96 bits of the address, same length (ranges are /32 or longer)
--
-- The two never meet: range ids begin at 1, so the first 32 bits are zero for IPv4 only.
create function ipam_tag(range_id integer, cidr cidr) returns inet
    language sql immutable parallel safe
    return case family(cidr)
        when 4 then set_masklen(
            '::'::inet + ((range_id::bigint << 32) + (cidr - '0.0.0.0'::inet)), 96 + masklen(cidr))
        else set_masklen(
            (to_hex(range_id >> 16) || ':' || to_hex(range_id & 65535) || '::')::inet
                | (cidr & '::ffff:ffff:ffff:ffff:ffff:ffff'::inet),
            masklen(cidr))
    end;

-- One network that is in use: a block of an allocation, or, without one, a network out of circulation for a reason
-- (a reservation, or the range of a child pool).
create table block (
    range_id integer not null,
    cidr cidr not null,
    range_cidr cidr not null,
    allocation_id uuid,
    -- The member of the profile that it was cut for, and the rules that applied.
    member_id integer,
    prefix_length smallint,
    size_offset smallint,
    min_prefix_length smallint,
    max_prefix_length smallint,
    reason text,
    constraint block_pkey primary key (range_id, cidr),
    constraint block_range_fkey foreign key (range_id, range_cidr) references pool_range (range_id, cidr),
    constraint block_in_range_check check (cidr <<= range_cidr),
    constraint block_no_overlap_excl exclude using spgist (ipam_tag(range_id, cidr) inet_ops with &&),
    constraint block_allocation_fkey foreign key (allocation_id, prefix_length)
        references allocation (allocation_id, prefix_length),
    constraint block_member_fkey foreign key (member_id, size_offset, min_prefix_length, max_prefix_length)
        references profile_member (member_id, size_offset, min_prefix_length, max_prefix_length),
    constraint block_member_key unique (allocation_id, member_id),
    constraint block_owner_check check (
        num_nonnulls(allocation_id, reason) = 1
        and num_nonnulls(allocation_id, member_id, prefix_length, size_offset, min_prefix_length, max_prefix_length)
            in (0, 6)
    ),
    constraint block_size_check check (
        allocation_id is null
        or (masklen(cidr) = prefix_length + size_offset and masklen(cidr) between min_prefix_length and max_prefix_length)
    )
);

create trigger block_immutable before update on block for each row
    execute function ipam_refuse('blocks are made and released, never changed');

-- The range of a child pool is a block of its parent range, and one that no allocation owns: nesting is the only way
-- for two ranges of a VRF to overlap. Deferred, so that both can be made in one transaction.
alter table pool_range add constraint pool_range_parent_block_fkey
    foreign key (parent_range_id, cidr) references block (range_id, cidr) deferrable initially deferred;

create function ipam_check_child_range() returns trigger language plpgsql as $$
begin
    if exists (
        select from block
        where range_id = new.parent_range_id and cidr = new.cidr and allocation_id is not null
    ) then
        raise exception 'the block % belongs to an allocation, no range can be cut from it', new.cidr
            using errcode = 'exclusion_violation', constraint = 'pool_range_parent_block_owner';
    end if;
    return null;
end
$$;

create constraint trigger pool_range_parent_block_owner after insert on pool_range
    deferrable initially deferred for each row when (new.parent_range_id is not null)
    execute function ipam_check_child_range();

-- Nor does an allocation take the place of such a block later: blocks are never changed, so the block without an owner
-- would have to be deleted first. Allocating and releasing do not come by here.
create function ipam_check_child_block() returns trigger language plpgsql as $$
begin
    if exists (
        select from pool_range join block on block.range_id = parent_range_id and block.cidr = pool_range.cidr
        where parent_range_id = old.range_id and pool_range.cidr = old.cidr and allocation_id is not null
    ) then
        raise exception 'a range is cut from the block %, no allocation can own it', old.cidr
            using errcode = 'exclusion_violation', constraint = 'block_child_range_owner';
    end if;
    return null;
end
$$;

create constraint trigger block_child_range_owner after delete on block
    deferrable initially deferred for each row when (old.allocation_id is null)
    execute function ipam_check_child_block();

-- What an Idempotency-Key was used for. Kept for a day or more after the answer, also when the allocation is gone.
create table idempotency_key (
    actor text not null,
    key text not null,
    -- SHA-256 of the request.
    fingerprint bytea not null,
    allocation_id uuid not null,
    created_at timestamptz not null default now(),
    constraint idempotency_key_pkey primary key (actor, key),
    constraint idempotency_key_length_check check (octet_length(key) between 1 and 255),
    constraint idempotency_key_fingerprint_check check (octet_length(fingerprint) = 32)
);

create index idempotency_key_created_at_idx on idempotency_key (created_at);
