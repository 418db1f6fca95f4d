-- A reservation may take space of several pools, and whoever sees only some of these does not see the reservation. Its blocks
-- in the pools that are seen are taken all the same: they look like networks that are out of circulation, as those of an
-- allocation that is not seen do, and don't name what is not there.
create or replace view ipam_scoped.block as
select block.range_id, block.cidr, block.range_cidr, seen.allocation_id, block.member_id, block.prefix_length,
    block.size_offset, block.min_prefix_length, block.max_prefix_length,
    case
        when block.allocation_id is not null and seen.allocation_id is null
            or block.reservation_id is not null and kept.reservation_id is null then 'in use'
        else block.reason
    end as reason,
    kept.reservation_id, block.since
from block
    left join ipam_scoped.allocation as seen on seen.allocation_id = block.allocation_id
    left join ipam_scoped.reservation as kept on kept.reservation_id = block.reservation_id
where exists (select from ipam_scoped.pool_range where pool_range.range_id = block.range_id offset 0);
