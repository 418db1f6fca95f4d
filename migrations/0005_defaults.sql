-- What a fresh database holds: VRF `default`, the pools `primary` and `cgnat`, and the profile `node-pod`.

insert into vrf (name, description) values ('default', 'The address space that every VPC is in unless it says otherwise');

insert into pool (vrf_id, name, family, min_prefix_length, max_prefix_length, default_prefix_length, description)
select vrf_id, pool.name, 4, pool.shortest, pool.longest, pool.usual, pool.description
from vrf, (values
    ('primary', 20, 26, 24, 'Node ranges'),
    -- Shared address space, RFC 6598.
    ('cgnat', 15, 21, 19, 'Pod ranges')
) as pool (name, shortest, longest, usual, description)
where vrf.name = 'default';

insert into pool_range (pool_id, vrf_id, family, cidr)
select pool_id, vrf_id, family, case name when 'primary' then '10.0.0.0/16' else '100.64.0.0/10' end::cidr
from pool;

insert into profile (name, description)
values ('node-pod', 'A node range, and a pod range 32 times as large, so that each node has 32 pod addresses');

insert into profile_member (profile_id, position, role, pool_name, size_offset, min_prefix_length, max_prefix_length)
select profile_id, member.position, member.role, member.role, member.size_offset, member.shortest, member.longest
from profile, (values (1, 'primary', 0, 20, 26), (2, 'cgnat', -5, 15, 21))
    as member (position, role, size_offset, shortest, longest);
