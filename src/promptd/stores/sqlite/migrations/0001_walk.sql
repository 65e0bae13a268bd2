-- Prompts, their attempts, threads and messages; everything else is a record.
-- Partial indexes only on what lives: the claim costs the same however many prompts are finished.

create table prompt (
    no integer primary key autoincrement,  -- never reused: event ids are made of it
    id text not null unique,
    status text not null,
    lane text not null,
    model text not null,
    user_id text not null,
    key_id text not null,
    team text not null,
    mode text not null,
    capability text not null,
    thread_id text,
    parent_id text,
    priority integer not null,
    not_before real,
    deadline real,
    max_attempts integer not null,
    created real not null,
    updated real not null,
    runs integer not null,      -- attempts started; the lease token of a running prompt
    failures integer not null,
    rescues integer not null,
    head integer not null,      -- 1: may be claimed now (first of its line, and due); 2: only to run alone
    alone integer not null default 0,  -- 1: runs, or ran when its worker died, with nothing beside it
    tag integer not null,       -- virtual start time of its caller's turn
    due real,                   -- not before this time, while it waits
    lease real,
    started real,
    finished real,
    error_code text,
    error_message text,
    request blob not null,      -- JSON of core.model.Request
    answer blob,                -- JSON of core.model.Answer
    trace blob,                 -- how the answer was cut (core/chunks.py)
    attempt blob                -- JSON of the only attempt, where the row was written once, at the end
);

create index prompt_ready on prompt (lane, priority desc, tag, no) where head = 1;
create index prompt_fair on prompt (lane, tag, no) where head = 1;
create index prompt_alone on prompt (lane, no) where head = 2;
create index prompt_line_head on prompt (lane, user_id, priority) where head = 1 and thread_id is null;
create index prompt_turn on prompt (lane, user_id, tag) where head = 1;
create index prompt_line on prompt (lane, user_id, priority, no)
    where head = 0 and thread_id is null and due is null and status = 'scheduled';
create index prompt_due on prompt (lane, due)
    where due is not null and head = 0 and status in ('scheduled', 'errored');
create index prompt_deadline on prompt (lane, deadline)
    where deadline is not null and status in ('scheduled', 'errored');
create index prompt_running on prompt (lane) where status = 'running';
create index prompt_live_lane on prompt (lane) where status in ('scheduled', 'running', 'errored');
create index prompt_thread_live on prompt (thread_id, no)
    where thread_id is not null and status in ('scheduled', 'running', 'errored');
create index prompt_thread_running on prompt (thread_id) where thread_id is not null and status = 'running';
create index prompt_thread on prompt (thread_id, no) where thread_id is not null;
create index prompt_owner on prompt (user_id, no);
create index prompt_finished on prompt (status, finished) where finished is not null;

create table attempt (
    prompt_no integer not null,
    run integer not null,
    engine text not null,
    connection text not null,
    model text not null,
    started real not null,
    first_token real,
    finished real,
    outcome text not null,
    code text,
    message text,
    usage blob not null,        -- JSON of core.model.Usage
    cost integer not null,      -- nano-units
    primary key (prompt_no, run)
) without rowid;

create table thread (
    id text primary key,
    user_id text not null,
    members text not null,      -- JSON list of user ids
    title text not null,
    created real not null,
    updated real not null,
    version integer not null
) without rowid;

create index thread_owner on thread (user_id, updated);

create table message (
    no integer primary key autoincrement,
    id text not null unique,
    thread_id text not null,
    prompt_id text not null,
    prompt_no integer not null,
    role text not null,
    text text not null,
    tool_calls blob,            -- JSON list of core.model.ToolCall
    tool_call_id text,
    user_id text,
    created real not null
);

create index message_thread on message (thread_id, prompt_no, no);

create table idempotency (
    user_id text not null,
    key text not null,
    fingerprint blob not null,
    prompt_id text not null,
    expires real not null,
    primary key (user_id, key)
) without rowid;

create index idempotency_expires on idempotency (expires);

create table record (
    kind text not null,
    id text not null,
    version integer not null,
    data blob not null,         -- MessagePack of the struct
    primary key (kind, id)
) without rowid;
