-- Who owns what. Allocations have had this since 0003: a creation answers a claim, whoever asks for the same again is given
-- the same thing and a new claim, and that ends when an owner shows the claim. Now it holds for everything that is made.

-- `owner` is for whom something is made, such as a workspace of a pipeline, as its creation said; null if it said nothing.
-- `created_by` is whose key made it; null where nobody knows, as for all that was made before this and did not keep it. What
-- nobody knows the maker of is given to nobody for asking.
alter table vrf
    add column claim uuid not null default gen_random_uuid(),
    add column confirmed_at timestamptz,
    add column owner text,
    add column created_by text,
    add constraint vrf_owner_check check (length(owner) between 1 and 255);

alter table pool
    add column claim uuid not null default gen_random_uuid(),
    add column confirmed_at timestamptz,
    add column owner text,
    add column created_by text,
    add constraint pool_owner_check check (length(owner) between 1 and 255);

alter table profile
    add column claim uuid not null default gen_random_uuid(),
    add column confirmed_at timestamptz,
    add column owner text,
    add column created_by text,
    add constraint profile_owner_check check (length(owner) between 1 and 255);

alter table vpc
    add column claim uuid not null default gen_random_uuid(),
    add column confirmed_at timestamptz,
    add column owner text,
    add column created_by text,
    -- Made on first use, and managed by nobody since: it goes with its VRF once it is empty, and whoever makes it is given it.
    add column implicit boolean not null default false,
    add constraint vpc_owner_check check (length(owner) between 1 and 255);

alter table reservation
    add column claim uuid not null default gen_random_uuid(),
    add column confirmed_at timestamptz,
    add column owner text,
    add constraint reservation_owner_check check (length(owner) between 1 and 255);

alter table allocation
    add column owner text,
    add constraint allocation_owner_check check (length(owner) between 1 and 255);

-- VPCs that an allocation made on first use, as the audit log says, and that nobody has changed since.
update vpc set implicit = true
where revision = 1 and description = '' and labels = '{}' and exists (
    select from event where subject = vpc_id and action = 'vpc.create' and detail ? 'vrf'
);

-- All of one owner, a page after the other. Allocations that were made for nobody have no entry, and cost no more than before.
create index allocation_owner_idx on allocation (owner, allocation_id) where owner is not null;
create index vpc_owner_idx on vpc (owner, vpc_id) where owner is not null;
create index reservation_owner_idx on reservation (owner, reservation_id) where owner is not null;

-- What is in a VRF, for its deletion.
create index vpc_vrf_idx on vpc (vrf_id);

-- Who owns something is no part of the address plan: servers need not read it again for that.
drop trigger vrf_changed on vrf;
create trigger vrf_changed after insert or delete
    or update of vrf_id, name, description, labels, revision, created_at
    on vrf for each statement execute function ipam_address_plan_changed();
drop trigger pool_changed on pool;
create trigger pool_changed after insert or delete
    or update of pool_id, vrf_id, name, family, min_prefix_length, max_prefix_length, default_prefix_length,
        reserved_addresses, strategy, description, labels, revision, created_at, release_cooldown_seconds, required_labels,
        parent_pool_id
    on pool for each statement execute function ipam_address_plan_changed();
drop trigger profile_changed on profile;
create trigger profile_changed after insert or delete
    or update of profile_id, name, description, revision, created_at
    on profile for each statement execute function ipam_address_plan_changed();
