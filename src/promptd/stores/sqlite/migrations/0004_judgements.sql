-- What the guards thought of question and answer.

alter table prompt add column judgements blob; -- JSON list of core.model.Judgement; null: nothing is worth a note
