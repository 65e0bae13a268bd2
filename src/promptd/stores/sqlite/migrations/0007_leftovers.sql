-- Versions of templates that are gone: older promptds deleted them row by row, and a crash in between left the rest. An
-- id is the template's name, and behind it a sign and eight digits.
delete from record where kind = 'TemplateVersion'
    and substr(id, 1, length(id) - 9) not in (select id from record where kind = 'Template');
