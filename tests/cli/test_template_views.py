"""What a file says, what is sent, and what the server shows are one and the same draft."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from promptd.cli import template_folder
from promptd.cli.client import encode
from promptd.cli.template_views import Held, body_of, held_of, plain, text_of
from promptd.core.errors import InvalidRequest
from promptd.core.rendering import Dialect
from promptd.core.template import Draft, MessageSource, TemplateVersion
from promptd.dialects.template_files import read_template_file
from promptd.faces.native.template_forms import NewVersion, version_view
from tests.dialects.dotprompt.drafts import drafts

SETTINGS = st.none() | st.just({"task": "copy", "pin": {"$secret": "pin"}})


@settings(max_examples=60)
@given(drafts(), SETTINGS)
def test_a_draft_survives_the_way_there_and_back(draft: Draft, query: dict[str, Any] | None) -> None:
    draft = replace(draft, connection=None if query is None else "office", messages=() if query else draft.messages)
    sent = encode(body_of(Held(draft, query), note="why"))
    taken = msgspec.json.decode(sent, type=NewVersion)
    assert (taken.draft(), taken.settings, taken.note) == (plain(draft), query, "why")
    version = TemplateVersion(template="t", number=1, draft=taken.draft(), created=0.0, user="ann")
    shown = json.loads(msgspec.json.encode(version_view(version, query)))
    assert held_of(shown).same(Held(draft, query))
    read = read_template_file(text_of("t", held_of(shown)), name="t.yaml")
    assert read.draft is not None
    assert Held(read.draft, read.settings).same(Held(draft, query))


def test_a_file_in_settings_is_told_by_its_slot() -> None:
    mark = {"$file": "logo", "filename": "a.png", "media_type": "image/png", "size": 3, "last_modified": "2026"}
    version = TemplateVersion(template="t", number=1, draft=Draft(connection="c"), created=0.0, user="ann")
    shown = json.loads(msgspec.json.encode(version_view(version, {"logos": [mark], "n": 1})))
    assert held_of(shown).settings == {"logos": [{"$file": "logo"}], "n": 1}


HELLO = Draft(messages=(MessageSource("hi"),), dialect=Dialect.HANDLEBARS)


def folder_with(root: Path, **files: str) -> template_folder.Folder:
    for name, text in files.items():
        (root / name.replace("__", ".")).write_text(text)
    found = template_folder.read([root])
    assert found.problems == []
    return found


def test_a_prompt_file_that_is_called_otherwise_keeps_its_name(tmp_path: Path) -> None:
    found = folder_with(tmp_path, other__prompt="---\nname: greet\nvariant: formal\n---\nhi\n")
    changed = replace(HELLO, description="New")
    template_folder.save(template_folder.write(found, tmp_path, "greet.formal", Held(changed), prompt=False), found)
    assert [path.name for path in tmp_path.iterdir()] == ["other.prompt"]
    assert found.templates["greet.formal"].held.same(Held(changed))


def test_what_a_prompt_file_can_t_say_is_told_and_the_file_stays(tmp_path: Path) -> None:
    found = folder_with(tmp_path, greet__prompt="hi\n")
    with pytest.raises(InvalidRequest, match="handlebars"):
        template_folder.write(found, tmp_path, "greet", Held(replace(HELLO, dialect=Dialect.IBIS)), prompt=False)
    assert (tmp_path / "greet.prompt").read_text() == "hi\n"


def test_what_shares_a_file_stays_in_it(tmp_path: Path) -> None:
    text = "messages:\n- user: hi\npartials:\n  one: a\n  two: b\n"
    found = folder_with(tmp_path, both__yaml=text)
    template_folder.save(template_folder.write(found, tmp_path, "both", Held(HELLO), prompt=True), found)
    template_folder.save(template_folder.write_partial(found, tmp_path, "two", "c"), found)
    read = read_template_file((tmp_path / "both.yaml").read_text(), name="both.yaml")
    assert read.partials == {"one": "a", "two": "c"}
    assert read.draft == HELLO
    again = template_folder.read([tmp_path])
    assert again.partials["two"].source == "c"


def test_hidden_files_and_folders_are_not_looked_at(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "bad.yaml").write_text("[")
    (tmp_path / ".half.yaml.new").write_text("[")
    (tmp_path / "notes.txt").write_text("[")
    assert template_folder.read([tmp_path]) == template_folder.Folder({}, {}, [])
    assert len(template_folder.read([tmp_path / "notes.txt", tmp_path / "gone.yaml"]).problems) == 2
