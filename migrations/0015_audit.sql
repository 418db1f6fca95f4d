-- Where a change came from: which token, for whom, from which address, and what a pipeline says about its run. Null for what
-- the server does by itself. Seals cover it where it is set, so those over earlier events stay what they are.
alter table event add column source jsonb;
alter table event add constraint event_source_check check (jsonb_typeof(source) = 'object');

-- Its columns are all those of the table.
create or replace view ipam_scoped.event as
select * from event
where actor = 'token/' || (select name from ipam_scoped.scope)
    or exists (select from ipam_scoped.allocation where allocation.allocation_id = event.subject offset 0)
    or exists (select from ipam_scoped.past_block where past_block.allocation_id = event.subject offset 0)
    or exists (select from ipam_scoped.vpc where vpc.vpc_id = event.subject offset 0)
    or exists (select from ipam_scoped.pool where pool.pool_id = event.subject offset 0)
    or exists (select from ipam_scoped.vrf where vrf.vrf_id = event.subject offset 0)
    or exists (select from ipam_scoped.profile where profile.profile_id = event.subject offset 0)
    or exists (select from ipam_scoped.reservation where reservation.reservation_id = event.subject offset 0);
