-- Tokens: who may do what. A secret is shown once and never stored: the database has its HMAC under a pepper that only the
-- servers know, so that neither a dump nor the tables' owner can use or forge one.

create table token (
    token_id uuid constraint token_pkey primary key,
    -- The part of the secret that is no secret, by which a token is found.
    public_id text not null,
    name text not null,
    description text not null default '',
    -- What it may do, and where, as it was asked for.
    roles text[] not null,
    limits jsonb not null default '{}',
    -- The same limits with the names resolved, as the views below use them; null means no limit. What is deleted stays in
    -- these lists, which is harmless, since ids never come again; a token whose only pool was deleted then covers none.
    vrf_ids uuid[],
    pool_ids uuid[],
    profile_ids uuid[],
    -- Patterns of VPC names for `like`, folded.
    vpc_patterns text[],
    labels jsonb not null default '{}',
    -- HMAC-SHA256 of the secret, and the version of the pepper.
    pepper smallint not null,
    mac bytea not null,
    expires_at timestamptz,
    last_used_at timestamptz,
    last_used_from inet,
    claim uuid not null,
    confirmed_at timestamptz,
    owner text,
    created_by text,
    revision bigint not null default 1,
    created_at timestamptz not null default now(),
    constraint token_public_id_key unique (public_id),
    constraint token_public_id_check check (public_id ~ '^[0-9a-z]{12}$'),
    constraint token_name_check check (ipam_is_name(name)),
    constraint token_roles_check check (
        cardinality(roles) > 0
        and roles <@ array['admin', 'operator', 'allocator', 'planner', 'reader', 'auditor', 'metrics']
    ),
    -- Who may do everything is limited by nothing.
    constraint token_admin_check check (
        not 'admin' = any (roles)
        or num_nonnulls(vrf_ids, pool_ids, profile_ids, vpc_patterns) = 0 and labels = '{}'
    ),
    constraint token_limits_check check (jsonb_typeof(limits) = 'object' and jsonb_typeof(labels) = 'object'),
    constraint token_mac_check check (length(mac) = 32),
    constraint token_owner_check check (length(owner) between 1 and 255)
);

-- A name is what the audit log calls a token by, whatever its case.
create unique index token_name_key on token (lower(name collate "C"));
create index token_owner_idx on token (owner, token_id) where owner is not null;

-- What a limited caller sees. A server that reads for one puts this schema before `public` in the search path of that
-- transaction, and the token's id into `ipam.token`: every statement that reads then finds only what the token covers, and
-- nothing else has to think of it. Whatever can't be seen is left out by joins, counts and searches alike. A token that was
-- deleted sees nothing.
-- Names of tables mean here, as everywhere, those in the schema that this migrates.
create schema ipam_scoped;

create view ipam_scoped.scope as
select vrf_ids, pool_ids, profile_ids, vpc_patterns, labels, name
from token where token_id = nullif(current_setting('ipam.token', true), '')::uuid;

-- Each limit is read once a statement, by a subquery of its own, which the planner can neither turn into a join nor has to
-- guess the size of; without a token it is null, and nothing is seen. What decides about one row is looked up for that row:
-- `offset 0` keeps it from being looked up for all of them first.

-- Tokens are the administrators' business.
create view ipam_scoped.token as
select * from token where false;

create view ipam_scoped.vrf as
select * from vrf
where (select vrf_ids is null from ipam_scoped.scope) or vrf_id = any ((select vrf_ids from ipam_scoped.scope)::uuid[]);

create view ipam_scoped.pool as
select * from pool
where ((select vrf_ids is null from ipam_scoped.scope) or vrf_id = any ((select vrf_ids from ipam_scoped.scope)::uuid[]))
    and ((select pool_ids is null from ipam_scoped.scope) or pool_id = any ((select pool_ids from ipam_scoped.scope)::uuid[]));

create view ipam_scoped.pool_range as
select * from pool_range
where ((select vrf_ids is null from ipam_scoped.scope) or vrf_id = any ((select vrf_ids from ipam_scoped.scope)::uuid[]))
    and ((select pool_ids is null from ipam_scoped.scope) or pool_id = any ((select pool_ids from ipam_scoped.scope)::uuid[]));

create view ipam_scoped.free_block as
select * from free_block
where exists (select from ipam_scoped.pool_range where pool_range.range_id = free_block.range_id offset 0);

create view ipam_scoped.free_count as
select * from free_count
where exists (select from ipam_scoped.pool_range where pool_range.range_id = free_count.range_id offset 0);

create view ipam_scoped.profile as
select * from profile
where (select profile_ids is null from ipam_scoped.scope)
    or profile_id = any ((select profile_ids from ipam_scoped.scope)::uuid[]);

create view ipam_scoped.profile_member as
select * from profile_member
where (select profile_ids is null from ipam_scoped.scope)
    or profile_id = any ((select profile_ids from ipam_scoped.scope)::uuid[]);

create view ipam_scoped.vpc as
select * from vpc
where ((select vrf_ids is null from ipam_scoped.scope) or vrf_id = any ((select vrf_ids from ipam_scoped.scope)::uuid[]))
    and ((select vpc_patterns is null from ipam_scoped.scope)
        or lower(name collate "C") like any ((select vpc_patterns from ipam_scoped.scope)::text[]));

-- An allocation is seen with all of its blocks, or not at all.
create view ipam_scoped.allocation as
select * from allocation
where ((select labels = '{}' from ipam_scoped.scope) or labels @> (select labels from ipam_scoped.scope))
    and ((select vrf_ids is null and vpc_patterns is null from ipam_scoped.scope)
        or exists (select from ipam_scoped.vpc where vpc.vpc_id = allocation.vpc_id offset 0))
    and ((select profile_ids is null from ipam_scoped.scope)
        or profile_id = any ((select profile_ids from ipam_scoped.scope)::uuid[]))
    and ((select vrf_ids is null and pool_ids is null from ipam_scoped.scope) or not exists (
        select from block
        where block.allocation_id = allocation.allocation_id
            and not exists (select from ipam_scoped.pool_range where pool_range.range_id = block.range_id offset 0)
        offset 0
    ));

-- Every block of a pool that is seen, since its addresses are taken, whoever has them. One whose allocation is not seen looks
-- like a network that is out of circulation.
create view ipam_scoped.block as
select block.range_id, block.cidr, block.range_cidr, seen.allocation_id, block.member_id, block.prefix_length,
    block.size_offset, block.min_prefix_length, block.max_prefix_length,
    case when block.allocation_id is not null and seen.allocation_id is null then 'in use' else block.reason end as reason,
    block.reservation_id, block.since
from block left join ipam_scoped.allocation as seen on seen.allocation_id = block.allocation_id
where exists (select from ipam_scoped.pool_range where pool_range.range_id = block.range_id offset 0);

create view ipam_scoped.cooldown as
select * from cooldown
where exists (select from ipam_scoped.pool_range where pool_range.range_id = cooldown.range_id offset 0)
    and ((select vpc_patterns is null from ipam_scoped.scope)
        or lower(vpc collate "C") like any ((select vpc_patterns from ipam_scoped.scope)::text[]));

-- A reservation takes space of several pools at most; that of pools which are not seen is not shown to anybody limited.
create view ipam_scoped.reservation as
select * from reservation
where ((select vrf_ids is null from ipam_scoped.scope) or vrf_id = any ((select vrf_ids from ipam_scoped.scope)::uuid[]))
    and ((select pool_ids is null from ipam_scoped.scope)
        or exists (select from block where block.reservation_id = reservation.reservation_id)
        and not exists (
            select from block
            where block.reservation_id = reservation.reservation_id
                and not exists (select from ipam_scoped.pool_range where pool_range.range_id = block.range_id offset 0)
        ));

-- Labels are not kept in the past: whoever is limited to some sees the past of what exists.
create view ipam_scoped.past_block as
select * from past_block
where ((select vrf_ids is null from ipam_scoped.scope) or vrf_id = any ((select vrf_ids from ipam_scoped.scope)::uuid[]))
    and ((select pool_ids is null from ipam_scoped.scope) or pool_id = any ((select pool_ids from ipam_scoped.scope)::uuid[]))
    and ((select vpc_patterns is null from ipam_scoped.scope)
        or lower(vpc collate "C") like any ((select vpc_patterns from ipam_scoped.scope)::text[]))
    and ((select labels = '{}' and profile_ids is null from ipam_scoped.scope)
        or exists (
            select from ipam_scoped.allocation where allocation.allocation_id = past_block.allocation_id offset 0
        ));

-- What was done to something that is seen, or was when it existed, and what the token did itself.
create view ipam_scoped.event as
select * from event
where actor = 'token/' || (select name from ipam_scoped.scope)
    or exists (select from ipam_scoped.allocation where allocation.allocation_id = event.subject offset 0)
    or exists (select from ipam_scoped.past_block where past_block.allocation_id = event.subject offset 0)
    or exists (select from ipam_scoped.vpc where vpc.vpc_id = event.subject offset 0)
    or exists (select from ipam_scoped.pool where pool.pool_id = event.subject offset 0)
    or exists (select from ipam_scoped.vrf where vrf.vrf_id = event.subject offset 0)
    or exists (select from ipam_scoped.profile where profile.profile_id = event.subject offset 0)
    or exists (select from ipam_scoped.reservation where reservation.reservation_id = event.subject offset 0);

-- Sessions of the dashboard. The cookie is a secret of which only a hash is stored.
create table session (
    session_id uuid constraint session_pkey primary key,
    mac bytea not null,
    -- The token that signed in; null for the administrator's key.
    token_id uuid,
    -- For the administrator: changes when the key does. 32 bits of a hash are far too few to try keys with.
    key_check integer,
    created_at timestamptz not null default now(),
    last_used_at timestamptz not null default now(),
    last_used_from inet,
    user_agent text not null default '',
    constraint session_mac_key unique (mac),
    constraint session_mac_check check (length(mac) = 32),
    -- A session ends with its token.
    constraint session_token_fkey foreign key (token_id) references token (token_id) on delete cascade,
    constraint session_holder_check check (num_nonnulls(token_id, key_check) = 1),
    constraint session_user_agent_check check (length(user_agent) <= 255)
);
create index session_token_idx on session (token_id);

create view ipam_scoped.session as
select * from session where false;
