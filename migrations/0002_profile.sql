-- Profiles: recipes that take one block per member, all or none.

create table profile (
    profile_id uuid not null default gen_random_uuid(),
    name text not null,
    description text not null default '',
    revision bigint not null default 1,
    created_at timestamptz not null default now(),
    constraint profile_pkey primary key (profile_id),
    constraint profile_name_key unique (name),
    constraint profile_name_check check (ipam_is_name(name))
);

-- A member is never changed, for blocks refer to it and keep the rules that applied when they were cut: changing a
-- profile retires its members and adds new ones.
create table profile_member (
    member_id integer generated always as identity,
    profile_id uuid not null,
    -- The order of the blocks; the size is asked for the first.
    position smallint not null,
    role text not null,
    -- Looked up in the VPC's VRF first, then in `default`.
    pool_name text not null,
    -- Bits added to the prefix length that was asked for: -5 makes a block 32 times as large.
    size_offset smallint not null,
    -- Bounds of this member's own block.
    min_prefix_length smallint not null,
    max_prefix_length smallint not null,
    retired_at timestamptz,
    constraint profile_member_pkey primary key (member_id),
    constraint profile_member_profile_fkey foreign key (profile_id) references profile (profile_id),
    -- For blocks, which carry the rules of their member.
    constraint profile_member_rules_key unique (member_id, size_offset, min_prefix_length, max_prefix_length),
    constraint profile_member_position_check check (position >= 1),
    constraint profile_member_role_check check (role ~ '^[a-z][a-z0-9_-]{0,62}$'),
    constraint profile_member_pool_name_check check (ipam_is_name(pool_name)),
    constraint profile_member_bounds_check check (
        0 <= min_prefix_length and min_prefix_length <= max_prefix_length and max_prefix_length <= 128
    )
);

create unique index profile_member_role_key on profile_member (profile_id, role) where retired_at is null;
create unique index profile_member_position_key on profile_member (profile_id, position) where retired_at is null;

create trigger profile_member_immutable
    before update of profile_id, position, role, pool_name, size_offset, min_prefix_length, max_prefix_length
    on profile_member for each row
    execute function ipam_refuse('members of profiles are added and retired, never changed');
