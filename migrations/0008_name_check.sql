-- The same rule as in 0001, said so that it is cheap. A bounded repetition, as in `{1,128}`, makes an automaton with a state
-- for each length, which PostgreSQL builds anew for every value: 7 us a name, most of what the check of a row cost. Length
-- and characters apart take 0.5.
create or replace function ipam_is_name(name text) returns boolean
    language sql immutable parallel safe
    return length(name) between 1 and 128
        and name !~ '[/\u0001-\u001f\u007f-\u009f]|^[\u0020\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]|[\u0020\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]$';
