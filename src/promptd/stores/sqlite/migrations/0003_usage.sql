-- What was used, summed as rows are written; sides of traffic splits, scores, and which rows still hold text.

alter table prompt add column arm text not null default '';
alter table prompt add column scores blob;                        -- JSON list of core.model.Score
alter table prompt add column content integer not null default 0; -- 1: question or answer are here
update prompt set content = 1 where length(request) > 2;
alter table prompt add column cost integer default 0;             -- nano-units of all attempts; null: not known
update prompt set cost = coalesce(cast(attempt as text) ->> 'cost',
    (select sum(cost) from attempt where prompt_no = prompt.no), 0);
create index prompt_content on prompt (key_id, finished) where content = 1 and finished is not null;

-- `attempt.cost` is -1 where the price is not known; until now that was written as 0.

-- A caller's prompts are looked through by age.
drop index prompt_owner;
create index prompt_owner on prompt (user_id, created);

create table usage (
    day integer not null,               -- since 1970-01-01, UTC
    key_id text not null,
    user_id text not null,
    team text not null,
    model text not null,
    connection text not null,
    arm text not null,
    requests integer not null default 0,
    attempts integer not null default 0,
    completed integer not null default 0,
    errors integer not null default 0,
    input_tokens integer not null default 0,
    output_tokens integer not null default 0,
    cached_tokens integer not null default 0,
    cache_write_tokens integer not null default 0,
    reasoning_tokens integer not null default 0,
    cost integer not null default 0,        -- nano-units
    unpriced integer not null default 0,    -- attempts of unknown price
    latency integer not null default 0,     -- microseconds, of the completed ones
    first_tokens integer not null default 0,
    first_token integer not null default 0, -- microseconds
    primary key (day, key_id, user_id, team, model, connection, arm)
) without rowid;

create table rating (
    day integer not null,
    key_id text not null,
    user_id text not null,
    team text not null,
    model text not null,
    connection text not null,
    arm text not null,
    name text not null,
    count integer not null,
    total integer not null,             -- millionths
    primary key (day, key_id, user_id, team, model, connection, arm, name)
) without rowid;

-- What is in the ledger already: attempts of their own rows, and those that stand in their prompt's.
insert into usage
select cast(started as integer) / 86400, key_id, user_id, team, model, connection, '',
    sum(run = 1), count(*), sum(outcome = 'completed'), sum(outcome in ('errored', 'lost')),
    sum(coalesce(usage ->> 'input_tokens', 0)), sum(coalesce(usage ->> 'output_tokens', 0)),
    sum(coalesce(usage ->> 'cached_tokens', 0)), sum(coalesce(usage ->> 'cache_write_tokens', 0)),
    sum(coalesce(usage ->> 'reasoning_tokens', 0)), sum(cost), 0,
    sum(iif(outcome = 'completed' and finished > started, cast((finished - started) * 1000000 as integer), 0)),
    sum(first_token is not null),
    sum(iif(first_token > started, cast((first_token - started) * 1000000 as integer), 0))
from (
    select attempt.started, key_id, user_id, team, prompt.model, connection, run, outcome,
        cast(usage as text) as usage, attempt.cost, attempt.finished, first_token
    from attempt join prompt on prompt.no = attempt.prompt_no
    union all
    select data ->> 'started', key_id, user_id, team, model, data ->> 'connection', data ->> 'run', data ->> 'outcome',
        data -> 'usage', data ->> 'cost', data ->> 'finished', data ->> 'first_token'
    from (select key_id, user_id, team, model, cast(attempt as text) as data from prompt where attempt is not null)
)
group by 1, 2, 3, 4, 5, 6;
