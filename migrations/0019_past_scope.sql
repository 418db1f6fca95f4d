-- What a limited caller sees of what has ended. A past row keeps the name of the VPC at that time and knows one pool, so it
-- can't say by itself whether its allocation is, or was, covered: one that was moved out of the limits would be answered as
-- released, and one that needs a pool outside of them would show its names once it has ended.

create index past_block_reservation_idx on past_block (reservation_id) where reservation_id is not null;

-- Of what is still there, whoever sees it sees its past as far as that lies within the limits. Of what is no more, whoever
-- saw it at its end: blocks never change their pool, so all rows have to be within the limits to pools and VRFs, and the last
-- row has the name of the VPC at the end. Nothing is outside of a limit that there is not. Labels and the profile are not kept
-- in the past: the event of the release has those of the end.
create or replace view ipam_scoped.past_block as
select * from past_block
where ((select vrf_ids is null from ipam_scoped.scope) or vrf_id = any ((select vrf_ids from ipam_scoped.scope)::uuid[]))
    and ((select pool_ids is null from ipam_scoped.scope) or pool_id = any ((select pool_ids from ipam_scoped.scope)::uuid[]))
    and ((select vpc_patterns is null from ipam_scoped.scope)
        or lower(vpc collate "C") like any ((select vpc_patterns from ipam_scoped.scope)::text[]))
    and (exists (select from ipam_scoped.allocation where allocation.allocation_id = past_block.allocation_id offset 0)
        or exists (
            select from ipam_scoped.reservation where reservation.reservation_id = past_block.reservation_id offset 0
        )
        or ((select labels = '{}' and profile_ids is null from ipam_scoped.scope)
            or exists (
                select from event, ipam_scoped.scope
                where event.subject = past_block.allocation_id and event.action = 'allocation.release'
                    and event.detail -> 'before' -> 'labels' @> scope.labels
                    and (scope.profile_ids is null or exists (
                        select from profile
                        where profile.profile_id = any (scope.profile_ids)
                            and profile.name = event.detail -> 'before' ->> 'profile'
                    ))
                offset 0
            ))
        and not exists (select from allocation where allocation.allocation_id = past_block.allocation_id offset 0)
        and not exists (select from reservation where reservation.reservation_id = past_block.reservation_id offset 0)
        and not exists (
            select from past_block as other
            where other.allocation_id = past_block.allocation_id
                and (not other.vrf_id = any ((select vrf_ids from ipam_scoped.scope)::uuid[])
                    or not other.pool_id = any ((select pool_ids from ipam_scoped.scope)::uuid[])
                    or not lower(other.vpc collate "C") like any ((select vpc_patterns from ipam_scoped.scope)::text[])
                    and not exists (
                        select from past_block as later
                        where later.allocation_id = other.allocation_id and later.past_block_id > other.past_block_id
                        offset 0
                    ))
            offset 0
        )
        and not exists (
            select from past_block as other
            where other.reservation_id = past_block.reservation_id
                and (not other.vrf_id = any ((select vrf_ids from ipam_scoped.scope)::uuid[])
                    or not other.pool_id = any ((select pool_ids from ipam_scoped.scope)::uuid[]))
            offset 0
        ));

-- What cools down names who had it: to whoever sees that.
create or replace view ipam_scoped.cooldown as
select * from cooldown
where exists (select from ipam_scoped.pool_range where pool_range.range_id = cooldown.range_id offset 0)
    and ((select vpc_patterns is null from ipam_scoped.scope)
        or lower(vpc collate "C") like any ((select vpc_patterns from ipam_scoped.scope)::text[]))
    and exists (select from ipam_scoped.past_block where past_block.allocation_id = cooldown.allocation_id offset 0);

create or replace view ipam_scoped.scope as
select vrf_ids, pool_ids, profile_ids, vpc_patterns, labels, name, token_id, created_at
from token where token_id = nullif(current_setting('ipam.token', true), '')::uuid;

-- What the token did itself is known by its id, since a name may have belonged to another token before. Events of earlier
-- releases have no source: of those it is the name, as long as there is this token.
create or replace view ipam_scoped.event as
select * from event
where source ->> 'token' = (select token_id::text from ipam_scoped.scope)
    or source is null and actor = 'token/' || (select name from ipam_scoped.scope)
        and at >= (select created_at from ipam_scoped.scope)
    or exists (select from ipam_scoped.allocation where allocation.allocation_id = event.subject offset 0)
    or exists (select from ipam_scoped.past_block where past_block.allocation_id = event.subject offset 0)
    or exists (select from ipam_scoped.vpc where vpc.vpc_id = event.subject offset 0)
    or exists (select from ipam_scoped.pool where pool.pool_id = event.subject offset 0)
    or exists (select from ipam_scoped.vrf where vrf.vrf_id = event.subject offset 0)
    or exists (select from ipam_scoped.profile where profile.profile_id = event.subject offset 0)
    or exists (select from ipam_scoped.reservation where reservation.reservation_id = event.subject offset 0);
