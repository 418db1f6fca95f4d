-- Quotas: how many addresses of a pool the allocations may hold that a token's limits cover. What counts is what is stored,
-- whoever made it; so a token that takes the place of another one, or a second one with the same limits, begins where the
-- first one is.

-- Each with the pool as it was named, the pool that had that name, and the names of both it and its VRF at that time: a pool
-- that was deleted and made again under the same name has the quota too, or else deleting a pool would end a quota silently.
-- Numbers are texts, since most readers of JSON round large ones.
alter table token add column quotas jsonb not null default '[]';
alter table token add constraint token_quotas_check check (jsonb_typeof(quotas) = 'array');
-- Who may do everything has no quota either.
alter table token drop constraint token_admin_check;
alter table token add constraint token_admin_check check (
    not 'admin' = any (roles)
    or num_nonnulls(vrf_ids, pool_ids, profile_ids, vpc_patterns) = 0 and labels = '{}' and quotas = '[]'
);

-- Its columns are all those of the table.
create or replace view ipam_scoped.token as
select * from token where false;

-- How many addresses a network has.
create function ipam_addresses(net cidr) returns numeric
    language sql immutable parallel safe
as $$
    select 2::numeric ^ (case family(net) when 4 then 32 else 128 end - masklen(net))
$$;

-- The quotas of a token, each with what is held of its pool by what the token covers, if it is one of these pools, or in any
-- case without pools. A row with nulls stands for one of another pool, or for none, and no row for no such token. Called
-- under the locks of the pools, it says what is held until they are given back: each of its statements sees all that was
-- committed before.
-- Most tokens with a quota cover a few VPCs: then these come first, and it takes as long as they have allocations, however
-- many the pool has. For others every block of the pool is looked at. Each `offset 0` keeps that order.
create function ipam_quotas(token uuid, pools uuid[])
    returns table (quota text, pool_id uuid, vrf text, pool text, addresses numeric, held numeric)
    language plpgsql volatile
as $$
#variable_conflict use_column
begin
    -- What the views of limited callers show, in this transaction.
    perform set_config('ipam.token', ipam_quotas.token::text, true);
    for quota, pool_id, vrf, pool, addresses in
        select entry.quota, found.pool_id, found.vrf, found.pool, entry.addresses
        from token
            left join lateral jsonb_to_recordset(token.quotas)
                as entry (quota text, pool_id uuid, vrf text, pool text, addresses numeric) on true
            left join lateral (
                select pool.pool_id, vrf.name as vrf, pool.name as pool from pool join vrf using (vrf_id)
                where pool.pool_id = entry.pool_id
                    or vrf.name = entry.vrf and pool.name = entry.pool
                    and not exists (select from pool as first where first.pool_id = entry.pool_id)
            ) as found on true
        where token.token_id = ipam_quotas.token
    loop
        held := 0;
        if pools is not null and (pool_id is null or pool_id <> all (pools)) then
            quota := null;
        elsif exists (select from ipam_scoped.scope where vpc_patterns is not null) then
            select coalesce(sum(ipam_addresses(block.cidr)), 0) into held
            from (select vpc_id from ipam_scoped.vpc offset 0) as vpc
                cross join lateral (
                    select allocation_id from ipam_scoped.allocation where allocation.vpc_id = vpc.vpc_id offset 0
                ) as covered
                cross join lateral (
                    select range_id, cidr from block where block.allocation_id = covered.allocation_id offset 0
                ) as block
            where block.range_id = any (array(
                select range_id from pool_range where pool_range.pool_id = ipam_quotas.pool_id
            ));
        else
            select coalesce(sum(ipam_addresses(block.cidr)), 0) into held
            from pool_range join block using (range_id)
            where pool_range.pool_id = ipam_quotas.pool_id and block.allocation_id is not null
                and ((
                    select num_nonnulls(vrf_ids, pool_ids, profile_ids) = 0 and labels = '{}' from ipam_scoped.scope
                ) or exists (
                    select from ipam_scoped.allocation where allocation.allocation_id = block.allocation_id offset 0
                ));
        end if;
        return next;
    end loop;
end
$$;
