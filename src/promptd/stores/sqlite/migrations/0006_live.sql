-- Which prompts live, said without a list: SQLite makes a table of a list of three, for every row that is written.

drop index prompt_live_lane;
drop index prompt_thread_live;
create index prompt_live_lane on prompt (lane)
    where status <> 'completed' and status <> 'abandoned' and status <> 'canceled';
create index prompt_thread_live on prompt (thread_id, no)
    where thread_id is not null and status <> 'completed' and status <> 'abandoned' and status <> 'canceled';
