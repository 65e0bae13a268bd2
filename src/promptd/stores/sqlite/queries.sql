-- Named queries of the queue. `:name` parameters; `{columns}` is the prompt's column list in rows.py.

-- name: insert_prompt
-- A new prompt, waiting, running or already final.
insert into prompt (id, status, lane, model, user_id, key_id, team, mode, capability, thread_id, parent_id, priority,
    not_before, deadline, max_attempts, created, updated, runs, failures, rescues, head, tag, due, lease, started,
    finished, error_code, error_message, request, answer, trace, attempt, shared, arm, content, cost, judgements,
    counted)
values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: insert_ended
-- An attached prompt with nothing special about it, its only attempt inside.
insert into prompt (mode, priority, rescues, head, tag, shared, status, lane, model, user_id, key_id, team, arm,
    capability, max_attempts, runs, failures, id, created, updated, started, finished, request, answer, attempt, content,
    cost, error_code, error_message)
values ('attached', 0, 0, 0, 0, 1, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: insert_ended_well
-- The same without an error: most end so, and each null that is handed over costs as much as ten numbers.
insert into prompt (mode, priority, rescues, head, tag, shared, status, lane, model, user_id, key_id, team, arm,
    capability, max_attempts, runs, failures, id, created, updated, started, finished, request, answer, attempt, content,
    cost)
values ('attached', 0, 0, 0, 0, 1, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: recorded
-- Whose row has the id, and when it came in.
select user_id, created from prompt where id = ?;

-- name: add_usage
insert into usage (day, key_id, user_id, team, model, connection, arm, requests, attempts, completed, errors,
    input_tokens, output_tokens, cached_tokens, cache_write_tokens, reasoning_tokens, cost, unpriced, latency,
    first_tokens, first_token)
values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
on conflict do update set
    requests = requests + excluded.requests, attempts = attempts + excluded.attempts,
    completed = completed + excluded.completed, errors = errors + excluded.errors,
    input_tokens = input_tokens + excluded.input_tokens, output_tokens = output_tokens + excluded.output_tokens,
    cached_tokens = cached_tokens + excluded.cached_tokens,
    cache_write_tokens = cache_write_tokens + excluded.cache_write_tokens,
    reasoning_tokens = reasoning_tokens + excluded.reasoning_tokens, cost = cost + excluded.cost,
    unpriced = unpriced + excluded.unpriced, latency = latency + excluded.latency,
    first_tokens = first_tokens + excluded.first_tokens, first_token = first_token + excluded.first_token;

-- name: add_counted
insert into counted (header, subject, day, model, requests, input_tokens, output_tokens, cost)
values (?, ?, ?, ?, ?, ?, ?, ?)
on conflict do update set
    requests = requests + excluded.requests, input_tokens = input_tokens + excluded.input_tokens,
    output_tokens = output_tokens + excluded.output_tokens, cost = cost + excluded.cost;

-- name: counted
select model, requests, input_tokens, output_tokens, cost from counted
where header = ? and subject = ? and day between ? and ?;

-- name: prune_counted
delete from counted where rowid in (select rowid from counted where day < ? limit ?);

-- name: add_rating
insert into rating (day, key_id, user_id, team, model, connection, arm, name, count, total)
values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
on conflict do update set count = count + excluded.count, total = total + excluded.total;

-- name: set_scores
update prompt set scores = ? where no = ?;

-- name: add_cost
update prompt set cost = cost + ? where no = ?;

-- name: oldest_content
-- Every key with final prompts that still hold text, and when the oldest of those finished: two steps per key.
with recursive held (key) as (
    select min(key_id) from prompt indexed by prompt_content where content = 1 and finished is not null
    union all
    select (select min(key_id) from prompt indexed by prompt_content
            where content = 1 and finished is not null and key_id > held.key)
    from held where held.key is not null
)
select key, (select min(finished) from prompt indexed by prompt_content
             where content = 1 and finished is not null and key_id = held.key)
from held where key is not null;

-- name: old_content
select no, request, answer from prompt indexed by prompt_content
where content = 1 and finished is not null and key_id = ? and finished < ? order by finished limit ?;

-- name: forget_content
update prompt set request = ?, answer = ?, trace = null, content = 0 where no = ?;

-- name: holds_content
select content from prompt where no = ?;

-- name: prompt_by_id
select {columns} from prompt where id = ?;

-- name: prompt_by_no
select {columns} from prompt where no = ?;

-- name: thread_is_busy
-- Whether an unfinished prompt of the thread is in front.
select 1 from prompt indexed by prompt_thread_live
where thread_id = ? and {live} limit 1;

-- name: line_has_head
-- Whether the caller's line (same lane and priority) already has its claimable prompt.
select 1 from prompt indexed by prompt_line_head
where lane = ? and user_id = ? and priority = ? and shared = 1 and head = 1 limit 1;

-- name: last_turn
-- The latest turn that the caller already has in this lane.
select max(tag) from prompt where lane = ? and user_id = ? and head = 1;

-- name: first_turn
-- Where a lane's virtual time stands after a start.
select min(tag) from prompt where lane = ? and head = 1;

-- name: next_by_priority
select no, user_id, priority, shared, tag, deadline from prompt indexed by prompt_ready
where lane = ? and head = 1 order by priority desc, tag, no limit 1;

-- name: next_by_turn
-- One claim in ten looks at turns only, so that low priority is slow but never starved.
select no, user_id, priority, shared, tag, deadline from prompt indexed by prompt_fair
where lane = ? and head = 1 order by tag, no limit 1;

-- name: claim
update prompt set status = 'running', head = 0, due = null, runs = runs + 1, started = :now, updated = :now,
    lease = :lease, alone = 0, error_code = null, error_message = null
where no = :no and head = 1 returning {columns};

-- name: claim_alone
-- The oldest prompt that may only run alone, because its worker died with it too often.
update prompt set status = 'running', head = 0, due = null, runs = runs + 1, started = :now, updated = :now,
    lease = :lease, alone = 1, error_code = null, error_message = null
where no = (select no from prompt indexed by prompt_alone where lane = :lane and head = 2 order by no limit 1)
returning {columns};

-- name: behind_in_line
-- The next of the caller's line.
select no from prompt indexed by prompt_line
where lane = ? and user_id = ? and priority = ? and head = 0 and shared = 1 and due is null
    and status = 'scheduled' order by no limit 1;

-- name: first_of_thread
-- The first unfinished prompt of a thread.
select no, lane, user_id, due, head, shared, priority, status from prompt indexed by prompt_thread_live
where thread_id = ? and {live} order by no limit 1;

-- name: thread_is_running
select 1 from prompt indexed by prompt_thread_running
where thread_id = ? and thread_id is not null and status = 'running' limit 1;

-- name: now_due
-- Its time has come; whether it is claimable is the next question.
update prompt set due = null where no = ?;

-- name: make_head
-- A suspect (it lost its worker too often) is never claimable beside others, whatever brought it to the front.
update prompt set head = case when rescues >= :quarantine then 2 else 1 end, tag = :tag, due = null where no = :no;

-- name: step_back
-- No prompt of the thread is claimable, alone or not, until the first one is found again; the one that began the thread
-- is not its first any more, so it leaves its caller's line.
update prompt indexed by prompt_thread_live set head = 0, shared = 0
where thread_id = ? and {live} and status <> 'running'
    and (head > 0 or shared = 1)
returning lane, user_id, priority;

-- name: due_prompts
-- Waiting prompts whose time has come.
select no, user_id, priority, thread_id, status, shared from prompt indexed by prompt_due
where lane = ? and due is not null and head = 0 and status in ('scheduled', 'errored') and due <= ?
order by due limit ?;

-- name: next_due
select min(due) from prompt indexed by prompt_due
where lane = ? and due is not null and head = 0 and status in ('scheduled', 'errored');

-- name: expired_prompts
-- Waiting prompts whose deadline has passed.
select {columns} from prompt indexed by prompt_deadline
where lane = ? and deadline is not null and status in ('scheduled', 'errored') and deadline <= ?
order by deadline limit ?;

-- name: next_deadline
select min(deadline) from prompt indexed by prompt_deadline
where lane = ? and deadline is not null and status in ('scheduled', 'errored');

-- name: expire
update prompt set status = 'abandoned', head = 0, due = null, updated = :now, finished = :now,
    error_code = coalesce(error_code, 'timeout'),
    error_message = coalesce(error_message, 'the deadline passed while the prompt waited')
where no = :no and status in ('scheduled', 'errored') returning {columns};

-- name: abandon_unreadable
-- Its columns are left as they are: somebody may want to see what they hold.
update prompt set status = 'abandoned', head = 0, due = null, lease = null, alone = 0, updated = :now, finished = :now,
    error_code = 'execution_failed', error_message = 'the stored prompt can not be read'
where no = :no returning {columns};

-- name: beat
update prompt set lease = ? where status = 'running';

-- name: settle_final
update prompt set status = :status, failures = :failures, updated = :now, finished = :now, lease = null, due = :due,
    error_code = :error_code, error_message = :error_message, answer = :answer, trace = :trace,
    cost = cost + :cost, judgements = coalesce(:judgements, judgements)
where no = :no and runs = :runs and status = 'running' returning cost;

-- name: settle_waiting
-- The attempt failed and another follows at `due`, maybe in another lane.
update prompt set status = 'errored', failures = :failures, updated = :now, lease = null, head = 0, due = :due,
    lane = coalesce(:lane, lane),
    error_code = :error_code, error_message = :error_message, cost = cost + :cost,
    judgements = coalesce(:judgements, judgements)
where no = :no and runs = :runs and status = 'running' returning cost;

-- name: settle_back
-- The worker is leaving; the prompt goes back to the front of its line.
update prompt set status = 'scheduled', updated = :now, lease = null, due = null,
    head = case when rescues >= :quarantine then 2 else 1 end, cost = cost + :cost
where no = :no and runs = :runs and status = 'running' returning cost;

-- name: insert_attempt
insert or ignore into attempt (prompt_no, run, engine, connection, model, started, first_token, finished, outcome,
    code, message, usage, cost, estimated)
values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: insert_message
-- The same id again is the same message written anew, unless it is another thread's or another writer's.
insert into message (id, thread_id, prompt_id, prompt_no, role, text, tool_calls, tool_call_id, user_id, created,
    updated, details)
values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
on conflict (id) do update set
    prompt_id = iif(excluded.prompt_no, excluded.prompt_id, message.prompt_id),
    prompt_no = iif(excluded.prompt_no, excluded.prompt_no, message.prompt_no),
    text = excluded.text, tool_calls = excluded.tool_calls, updated = excluded.updated, details = excluded.details
where message.thread_id = excluded.thread_id and message.user_id is excluded.user_id
    and message.role = excluded.role;

-- name: insert_thread
insert or ignore into thread (id, user_id, members, title, created, updated, version, topics)
values (?, ?, ?, ?, ?, ?, ?, ?);

-- name: thread_by_id
select id, user_id, members, title, created, updated, version, topics from thread where id = ?;

-- name: leave_thread
-- Of a thread that is deleted; like all prompts without a thread, they stand in their caller's line if they run again.
update prompt set thread_id = null, shared = 1 where thread_id = ?;

-- name: delete_thread_messages
delete from message where thread_id = ?;

-- name: touch_thread
update thread set updated = max(updated, ?) where id = ?;

-- name: cancel
update prompt set status = 'canceled', head = 0, due = null, lease = null, updated = :now, finished = :now,
    error_code = 'cancelled', error_message = 'canceled by a caller'
where no = :no returning {columns};

-- name: lost_prompts
-- Running prompts whose lease ran out (`everything`: all of them).
select {columns}, alone from prompt indexed by prompt_running
where status = 'running' and (:everything or lease <= :now) order by no;

-- name: rescue
-- A crash counts as a failed attempt only where the prompt ran alone; often rescued ones go into quarantine (head 2).
update prompt set status = 'scheduled', rescues = rescues + 1, failures = failures + alone, updated = :now,
    lease = null, due = null, alone = 0, head = case when rescues + 1 >= :quarantine then 2 else 1 end
where no = :no returning {columns};

-- name: give_up_lost
update prompt set status = 'abandoned', rescues = rescues + 1, updated = :now, finished = :now, lease = null, head = 0,
    error_code = 'execution_failed', error_message = :message
where no = :no returning {columns};

-- name: retry
-- Afresh, but never before its time; a deadline that has passed is forgotten.
update prompt set status = 'scheduled', failures = 0, rescues = 0, updated = :now, finished = null, answer = null,
    trace = null, attempt = null, error_code = null, error_message = null, head = 0,
    due = iif(not_before > :now, not_before, null), deadline = iif(deadline <= :now, null, deadline)
where no = :no;

-- name: is_shared
-- Whether the prompt stands in the line of its caller.
select shared from prompt where no = ?;

-- name: only_attempt
-- The attempt of a row that was written once.
select attempt from prompt where no = ?;

-- name: delete_messages
delete from message where thread_id = ? and prompt_no = ?;

-- name: delete_prompt
delete from prompt where no = ?;

-- name: delete_attempts
delete from attempt where prompt_no = ?;

-- name: prunable
-- Oldest first, behind the pair (finished, no) of the batch before.
select finished, no from prompt indexed by prompt_finished
where status = :status and finished is not null and finished < :before and (finished, no) > (:finished, :after)
order by finished, no limit :count;

-- name: prune_idempotency
delete from idempotency where (user_id, key) in (
    select user_id, key from idempotency indexed by idempotency_expires where expires <= ? order by expires limit ?);

-- name: live_lanes
-- The lanes of unfinished prompts: one step in the index per lane, however many prompts there are.
with recursive live (lane) as (
    select min(lane) from prompt indexed by prompt_live_lane where {live}
    union all
    select (select min(lane) from prompt indexed by prompt_live_lane
            where {live} and lane > live.lane)
    from live where live.lane is not null
)
select lane from live where lane is not null;

-- name: idempotent
select fingerprint, prompt_id, expires from idempotency where user_id = ? and key = ?;

-- name: insert_idempotency
insert or replace into idempotency (user_id, key, fingerprint, prompt_id, expires) values (?, ?, ?, ?, ?);
