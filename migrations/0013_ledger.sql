-- Changes that move blocks read what they need in one statement, and write it in one.

-- The other halves on the way up: for a network in a range, at each size from its own to the half of the range the network
-- that it could be merged with. What is free among them is all that giving the network back, or growing it, can touch.
create function ipam_buddies(net cidr, range cidr) returns setof cidr
    language sql immutable parallel safe
as $$
    select case when set_masklen(net, length) = set_masklen(around, length)
        then network(set_masklen(broadcast(around), length)) else set_masklen(around, length) end
    from generate_series(masklen(range) + 1, masklen(net)) as length
        cross join lateral (select set_masklen(net, length - 1) as around) as up
$$;

-- A block that is released into its cooldown ends and begins in one statement. A cascade would take the new cooldown for the
-- old one; so whoever ends a block that cools down deletes both.
alter table cooldown drop constraint cooldown_block_fkey;
alter table cooldown add constraint cooldown_block_fkey foreign key (range_id, cidr) references block (range_id, cidr);

-- Case counts for no name of a VPC. Which letters are the same was up to the locale of the database, and its server knew another
-- rule than it. Now it is A to Z and a to z everywhere: what else looks alike are two names.
drop index vpc_name_key;
create unique index vpc_name_key on vpc (lower(name collate "C"));
