-- The audit log: one row per change, written in the transaction that makes the change, never changed afterwards.

create table event (
    event_id bigint generated always as identity,
    at timestamptz not null default clock_timestamp(),
    -- Who did it.
    actor text not null,
    -- What was done, such as `allocation.create`.
    action text not null,
    -- The id of what it was done to. It may be gone by now.
    subject uuid not null,
    request_id uuid not null,
    detail jsonb not null default '{}',
    constraint event_pkey primary key (event_id),
    constraint event_action_check check (action ~ '^[a-z]+\.[a-z_]+$'),
    constraint event_detail_check check (jsonb_typeof(detail) = 'object')
);

create index event_subject_idx on event (subject, event_id);

create trigger event_append_only before update or delete on event for each row
    execute function ipam_refuse('the audit log is append-only');
create trigger event_no_truncate before truncate on event for each statement
    execute function ipam_refuse('the audit log is append-only');

-- Seals chain the committed events in the order of their ids: each digest covers the one before and the events since.
-- They are written in the background, for a chain written by the changes themselves would make every pool wait for
-- every other. An event behind the last seal that is missing or altered no longer fits the digest.
create table event_seal (
    seal_id bigint generated always as identity,
    -- Covers the events after the seal before, up to and including this id.
    last_event_id bigint not null,
    events integer not null,
    digest bytea not null,
    at timestamptz not null default clock_timestamp(),
    constraint event_seal_pkey primary key (seal_id),
    constraint event_seal_last_event_key unique (last_event_id),
    constraint event_seal_events_check check (events > 0),
    constraint event_seal_digest_check check (octet_length(digest) = 32)
);

create trigger event_seal_append_only before update or delete on event_seal for each row
    execute function ipam_refuse('seals are append-only');
create trigger event_seal_no_truncate before truncate on event_seal for each statement
    execute function ipam_refuse('seals are append-only');
