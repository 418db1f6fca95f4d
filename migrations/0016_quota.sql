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

-- The quotas of a token for these pools, or all of them, with what is held of each by what the token covers; one row with
-- nulls if there are none, and no row if there is no such token. Called under the locks of the pools, it says what is held
-- until they are given back: each of its statements sees all that was committed before.
-- VPCs come first, since most tokens with a quota cover a few of them: so it takes as long as they have allocations,
-- however many the pool has.
create function ipam_quotas(token uuid, pools uuid[])
    returns table (quota text, pool_id uuid, vrf text, pool text, addresses numeric, held numeric)
    language plpgsql volatile
as $$
#variable_conflict use_column
begin
    -- What the views of limited callers show, in this transaction.
    perform set_config('ipam.token', ipam_quotas.token::text, true);
    return query
    select quota.quota, quota.pool_id, quota.vrf, quota.pool, quota.addresses, case when quota.pool_id is not null then (
        select coalesce(sum(2::numeric ^ (case family(block.cidr) when 4 then 32 else 128 end - masklen(block.cidr))), 0)
        from ipam_scoped.vpc
            join ipam_scoped.allocation using (vpc_id)
            join block using (allocation_id)
            join pool_range using (range_id)
        where pool_range.pool_id = quota.pool_id
    ) end
    from token left join lateral (
        select entry.quota, found.pool_id, found.vrf, found.pool, entry.addresses
        from jsonb_to_recordset(token.quotas) as entry (quota text, pool_id uuid, vrf text, pool text, addresses numeric)
            left join lateral (
                select pool.pool_id, vrf.name as vrf, pool.name as pool from pool join vrf using (vrf_id)
                where pool.pool_id = entry.pool_id
                    or vrf.name = entry.vrf and pool.name = entry.pool
                    and not exists (select from pool as first where first.pool_id = entry.pool_id)
            ) as found on true
        where ipam_quotas.pools is null or found.pool_id = any (ipam_quotas.pools)
    ) as quota on true
    where token.token_id = ipam_quotas.token;
end
$$;
