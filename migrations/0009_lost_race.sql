-- What a statement calls when the pools, or what is free in them, are not what its writer read. So a decision that was made
-- without a lock can be written in one statement that locks the pools, looks whether it still holds, and else does nothing.
create function ipam_lost_race() returns boolean language plpgsql as $$
begin
    raise exception 'the pools or their free space changed since they were read' using errcode = 'serialization_failure';
end
$$;
