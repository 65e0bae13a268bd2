-- Messages carry files, the model that wrote them and a writer's labels; threads carry topics.

alter table message add column updated real not null default 0;
alter table message add column details blob;  -- JSON: files, model, engine, labels of core.model.Message
alter table thread add column topics text;    -- JSON list
create index message_age on message (created, no);

-- Whose conversations: kept by the database itself, so that every way of writing a thread keeps it true.
create table member (
    user_id text not null,
    thread_id text not null,
    primary key (user_id, thread_id)
) without rowid;
create index member_thread on member (thread_id);
insert or ignore into member select value, thread.id from thread, json_each(thread.members);
create trigger thread_joined after insert on thread begin
    delete from member where thread_id = new.id;
    insert or ignore into member select value, new.id from json_each(new.members);
end;
create trigger thread_changed after update of members on thread begin
    delete from member where thread_id = new.id;
    insert or ignore into member select value, new.id from json_each(new.members);
end;
create trigger thread_gone after delete on thread begin
    delete from member where thread_id = old.id;
end;

-- A prompt that began a thread of its own stands in its caller's line, like one without a thread: else every single
-- question would be a line of its own, and a backlog of them would hold up whatever its caller asks next.
alter table prompt add column shared integer not null default 0;  -- 1: stands in the line of its caller
update prompt set shared = 1 where thread_id is null;
drop index prompt_line_head;
drop index prompt_line;
create index prompt_line_head on prompt (lane, user_id, priority) where head = 1 and shared = 1;
create index prompt_line on prompt (lane, user_id, priority, no)
    where head = 0 and shared = 1 and due is null and status = 'scheduled';
