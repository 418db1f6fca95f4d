-- Webhooks: the audit log is sent to who wants to know, signed, in order, and again until it arrives. What is sent is what the
-- feed shows, so nothing is copied: a webhook has a position in the log, and what is behind it was delivered.

create table webhook (
    webhook_id uuid constraint webhook_pkey primary key,
    name text not null,
    description text not null default '',
    url text not null,
    -- Patterns of actions, as they were asked for; none for every action.
    actions text[] not null default '{}',
    -- Most events in one request.
    batch_size smallint not null default 100,
    enabled boolean not null default true,
    claim uuid not null,
    confirmed_at timestamptz,
    owner text,
    created_by text,
    revision bigint not null default 1,
    created_at timestamptz not null default now(),
    constraint webhook_name_check check (ipam_is_name(name)),
    constraint webhook_url_check check (url ~ '^https?://' and length(url) <= 2000),
    constraint webhook_actions_check check (cardinality(actions) <= 100),
    constraint webhook_batch_size_check check (batch_size between 1 and 1000),
    constraint webhook_owner_check check (length(owner) between 1 and 255)
);

-- A name is what metrics and the audit log call a webhook by, whatever its case.
create unique index webhook_name_key on webhook (lower(name collate "C"));
create index webhook_owner_idx on webhook (owner, webhook_id) where owner is not null;

-- What a secret is derived from, together with the pepper, which only servers know: nothing here signs anything, and a secret
-- that was replaced never comes again, not even after a restore. One is in use without an end; those before it also sign until
-- theirs, so that receivers can be told in time.
create table webhook_secret (
    secret_id uuid constraint webhook_secret_pkey primary key,
    webhook_id uuid not null,
    -- The version of the pepper.
    pepper smallint not null,
    ends_at timestamptz,
    created_at timestamptz not null default now(),
    constraint webhook_secret_webhook_fkey foreign key (webhook_id) references webhook (webhook_id) on delete cascade
);
create unique index webhook_secret_in_use_key on webhook_secret (webhook_id) where ends_at is null;
create index webhook_secret_webhook_idx on webhook_secret (webhook_id);

-- How far a webhook is, apart from what people set, so that deliveries neither change a revision nor wait for who edits. No
-- index is on what changes: these rows are few, and change often.
create table webhook_delivery (
    webhook_id uuid constraint webhook_delivery_pkey primary key,
    -- Everything up to this event was delivered, or was not wanted.
    delivered_up_to bigint not null,
    -- Up to where the request that is under way, or failed, goes: the next attempt has the same events.
    attempted_up_to bigint,
    -- The server that delivers, until when it is the only one. A server that dies or hangs gives nothing back.
    holder uuid,
    held_until timestamptz,
    -- Attempts since the last success.
    attempts integer not null default 0,
    failing_since timestamptz,
    next_try_at timestamptz,
    last_delivery_at timestamptz,
    last_status smallint,
    last_error text,
    -- When a server gave up, and why; nothing is delivered until somebody resumes.
    stopped_at timestamptz,
    constraint webhook_delivery_webhook_fkey foreign key (webhook_id) references webhook (webhook_id) on delete cascade,
    constraint webhook_delivery_position_check check (delivered_up_to >= 0 and attempted_up_to > delivered_up_to),
    constraint webhook_delivery_holder_check check (num_nulls(holder, held_until) <> 1),
    constraint webhook_delivery_attempts_check check (attempts >= 0),
    constraint webhook_delivery_error_check check (length(last_error) <= 500)
) with (fillfactor = 50);

-- They show all of the log to whoever has the secret, so they are the business of who sees all of it.
create view ipam_scoped.webhook as
select * from webhook where false;

create view ipam_scoped.webhook_secret as
select * from webhook_secret where false;

create view ipam_scoped.webhook_delivery as
select * from webhook_delivery where false;
