-- Limits count by headers too: what each prompt was counted for, and what that comes to for each day. A budget that counts
-- by a header is counted again from these sums after a crash; rows from before this migration are in none of them.

alter table prompt add column counted blob; -- JSON list of [header, subject]; null: no limit looks at headers

create table counted (
    header text not null,
    subject text not null,
    day integer not null,               -- since 1970-01-01, UTC
    model text not null,
    requests integer not null default 0,
    input_tokens integer not null default 0,
    output_tokens integer not null default 0,
    cost integer not null default 0     -- nano-units
);
create unique index counted_place on counted (header, subject, day, model);
create index counted_day on counted (day);

-- Which attempts have the usage that sizes say, because the engine counted nothing, or what is not possible.
alter table attempt add column estimated integer not null default 0;

-- Counters of secret headers go by digests from now on; those of before had the secrets in their names.
delete from record where kind = 'Arrival' and (
    id like '%' || char(31) || 'bearer %' or id like '%' || char(31) || 'basic %'
    or id like '%' || char(31) || 'pk-%' or id like '%' || char(31) || 'sk-%'
);
