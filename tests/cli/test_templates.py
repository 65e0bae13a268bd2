"""`promptd templates`: what is pushed is pulled as the same again, and what is wrong is told with its line."""

from __future__ import annotations

import json
import shutil
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from promptd.cli.exits import Exit
from tests.cli.support import Result, command
from tests.cli.test_server import CONFIG, Cli
from tests.e2e.harness import running

pytestmark = pytest.mark.e2e  # every command meets a real server process

FILES = {
    "greet.yaml": """\
# greets people
description: Says hello
messages:
- system: '[{"say": "{{ word }} {{ name }}"}]'
  partial: manner
- user: '[{"say": "{{ word }} {{ name }}"}]'
inputs:
- name: name
  description: whom to greet
- name: word
  enum: [Hello, Hi]
  required: false
  default: Hello
terms: {tone: 1.5}
cases:
- name: a friend
  inputs: {name: Ada}
  assertions:
  - {kind: contains, value: Ada}
metadata: {owner: docs}
""",
    "numbers/count.yaml": """\
messages:
- user: '[{"say": "{\\"n\\": {{ n }}}"}]'
inputs:
- {name: n, kind: integer}
output:
  kind: json
  schema: {type: object, required: [n], properties: {n: {type: integer}}}
cases:
- name: seven
  inputs: {n: 7}
  assertions:
  - {kind: equals, path: n, value: 7}
""",
    "shout.loud.prompt": """\
---
model: demo
input:
  schema:
    text: string, what to say
ext:
  team: docs
---
[{"say": "{{text}}!"}]
""",
    "_manner.prompt": "Be kind.\r\nAlways.",
    "shared.yaml": "partials:\n  a.b.c: |\n    one\n    two\n",
}


@pytest.fixture
async def cli(tmp_path: Path) -> AsyncIterator[Cli]:
    async with running(tmp_path / "home", CONFIG) as server:
        yield Cli(server)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "prompts"
    for name, text in FILES.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode())
    return root


def actions(result: Result) -> dict[str, str]:
    rows = [line.split("\t") for line in result.out.splitlines()[1:]]
    return {row[0]: row[2] for row in rows}


async def test_a_folder_goes_to_the_server_and_comes_back(cli: Cli, folder: Path, tmp_path: Path) -> None:
    names = {"greet", "count", "shout.loud", "manner", "a.b.c"}
    planned = await cli("templates", "push", str(folder), "--dry-run")
    assert (planned.code, actions(planned)) == (0, dict.fromkeys(names, "new"))
    assert "shout.loud.prompt: ext: it is kept and has no effect" in planned.err
    assert (await cli.json("templates", "list"))["items"] == []

    pushed = await cli("templates", "push", str(folder), "--label", "production", "--note", "the first")
    assert (pushed.code, actions(pushed)) == (0, dict.fromkeys(names, "new"))
    again = await cli("templates", "push", str(folder), "--label", "production")
    assert (again.code, actions(again), again.err) == (0, dict.fromkeys(names, "unchanged"), "")
    assert (await cli("templates", "diff", str(folder))) == (0, "", "")

    for kind in ("yaml", "prompt"):
        copy = tmp_path / kind
        pulled = await cli("templates", "pull", str(copy), "--format", kind)
        assert (pulled.code, actions(pulled)) == (0, dict.fromkeys(names, "new")), pulled
        assert ("written as YAML" in pulled.err) is (kind == "prompt")
        assert {path.suffix for path in copy.iterdir()} == {".yaml", ".prompt"}
        assert (copy / f"shout.loud.{kind}").exists()
        assert (copy / "_manner.prompt").read_bytes() == FILES["_manner.prompt"].encode()
        back = await cli("templates", "push", str(copy))
        assert (back.code, actions(back), back.err) == (0, dict.fromkeys(names, "unchanged"), "")
        written = {path: path.read_bytes() for path in copy.iterdir()}
        assert actions(await cli("templates", "pull", str(copy), "--format", "yaml")) == dict.fromkeys(
            names, "unchanged"
        )
        assert {path: path.read_bytes() for path in copy.iterdir()} == written

    shutil.copytree(folder, tmp_path / "same")
    await cli("templates", "pull", str(tmp_path / "same"))
    for name, text in FILES.items():
        assert (tmp_path / "same" / name).read_bytes() == text.encode(), "comments and folders stay"
    shown = await cli("templates", "show", "greet")
    assert "note     the first" in shown.out
    assert "labels   production=1" in shown.out


async def test_changes_are_shown_saved_and_fetched(cli: Cli, folder: Path) -> None:
    await cli("templates", "push", str(folder), "--label", "production")
    greet, shared = folder / "greet.yaml", folder / "shared.yaml"
    greet.write_text(greet.read_text().replace("Says hello", "Says hi"))
    shared.write_text(shared.read_text().replace("two", "three"))
    changed = await cli("templates", "diff", str(folder))
    assert changed.code == Exit.FAILED
    assert "--- server: greet (version 1)\n" in changed.out
    assert "-description: Says hello\n+description: Says hi\n" in changed.out
    assert "-two\n+three\n" in changed.out
    pushed = actions(await cli("templates", "push", str(folder)))
    assert {name for name, action in pushed.items() if action == "changed"} == {"greet", "a.b.c"}
    versions = await cli("templates", "diff", "greet", "1", "2")
    assert (versions.code, '+description: "Says hi"' in versions.out) == (1, True)
    assert (await cli("templates", "diff", "greet", "2", "2")).code == 0

    greet.write_text(FILES["greet.yaml"])
    (folder / "_manner.prompt").unlink()
    pulled = await cli("templates", "pull", str(folder), "greet")
    assert actions(pulled) == {"greet": "changed", "a.b.c": "unchanged", "manner": "new"}
    assert "description: Says hi\n" in greet.read_text()
    shutil.rmtree(folder / "numbers")
    everything = await cli("templates", "diff", str(folder), "--all")
    assert everything == (1, "Only on the server: count\n", "")
    assert (await cli("templates", "diff", str(folder))).code == 0

    moved = await cli("templates", "label", "greet", "production", "1:1", "2:3")
    assert moved.out == "greet  production=1:1+2:3\n"
    assert (await cli("templates", "rollback", "greet", "production")).out == "greet  production=1\n"
    later = actions(await cli("templates", "push", str(folder), "--label", "production"))
    assert later["greet"] == "label production"
    listed = (await cli.json("templates", "list"))["items"]
    assert next(item for item in listed if item["name"] == "greet")["labels"]["production"][0]["version"] == 2
    history = (await cli("templates", "versions", "greet")).out.splitlines()
    assert [line.split("\t")[:2] for line in history] == [["VERSION", "LABELS"], ["2", "production"], ["1", ""]]
    assert (await cli("templates", "label", "greet", "production", "--remove")).out == "greet  (no labels)\n"
    assert (await cli("templates", "delete", "greet", "nobody")).code == Exit.NOT_FOUND
    assert (await cli("templates", "show", "greet")).code == Exit.NOT_FOUND


async def test_one_bad_file_keeps_all_others_back(cli: Cli, folder: Path) -> None:
    bad = {
        "text.yaml": "messages:\n- user: 5\n",
        "word.yaml": "messages:\n- user: hi\n- system: '{{ oops'\n",
        "input.yaml": "messages:\n- user: hi\ninputs:\n- name: 1x\n",
        "case.yaml": "messages:\n- user: hi\ncases:\n- name: a\n  assertions:\n  - {kind: matches, value: '('}\n",
        "half.yaml": "connection: stage\n",
        "numbers/greet.yaml": "messages:\n- user: another\n",
        "what ever.yaml": "messages:\n- user: hi\n",
        "open.prompt": "---\nmodel: [\n---\nhi\n",
        "bytes.yaml": None,
    }
    for name, text in bad.items():
        (folder / name).write_bytes(b"\xff" if text is None else text.encode())
    result = await cli("templates", "push", str(folder))
    assert (result.code, result.out) == (Exit.USAGE, "")
    told = {
        "text.yaml, line 2: messages[0]",
        "word.yaml, line 3: messages[1].source",
        "input.yaml, line 4: inputs[0].name",
        "case.yaml, line 6: cases[0].assertions[0].value",
        "half.yaml: a query has",
        "greet.yaml: the template greet is in",
        "what ever.yaml: 'what ever' can't be a name",
        "open.prompt, line",
        "bytes.yaml: not UTF-8",
    }
    for line in told:
        assert f"{line}" in result.err, (line, result.err)
    assert len(result.err.splitlines()) == len(bad) + 1, "and the note on shout.loud.prompt"
    assert (await cli.json("templates", "list"))["items"] == []

    going = await cli("templates", "push", str(folder), "--keep-going", "--json")
    assert going.code == Exit.FAILED
    assert len(json.loads(going.out)["problems"]) == len(bad)
    assert {item["name"] for item in (await cli.json("templates", "list"))["items"]} == {"count", "greet", "shout.loud"}


async def test_cases_run_of_the_server_and_of_files(cli: Cli, folder: Path) -> None:
    await cli("templates", "push", str(folder))
    tested = await cli("templates", "test")
    assert tested.code == 0
    assert sorted(tested.out.splitlines()) == ["count version 1 ok seven", "greet version 1 ok a friend"]
    count = folder / "numbers" / "count.yaml"
    count.write_text(count.read_text().replace("value: 7", "value: 8"))
    local = await cli("templates", "test", str(folder / "numbers"))
    assert local.code == Exit.FAILED
    assert local.out == "count failed seven\n    n: expected equals 8, found 7\n"
    assert (await cli("templates", "show", "count")).out.splitlines()[1] == "version  1 of 1", "nothing was saved"
    assert (await cli("templates", "test", "count", "--version", "1")).code == 0
    assert (await cli("templates", "test", "shout.loud")).err == "promptd: warning: there are no cases\n"
    await cli("templates", "guard", "count", "production")
    kept = await cli("templates", "push", str(count), "--label", "production")
    assert kept.code == Exit.FAILED
    assert "the label is guarded, and 1 cases of version 2" in kept.err
    assert (await cli("templates", "guard", "count", "--none")).out == "count  guarded  (nothing)\n"
    assert (await cli("templates", "label", "count", "production", "2")).code == 0
    wrong = folder / "wrong.yaml"
    wrong.write_text("messages:\n- user: '{{'\ncases:\n- name: a\n")
    refused = await cli("templates", "test", str(wrong))
    assert (refused.code, "wrong.yaml, line 2: messages[0].source" in refused.err) == (Exit.USAGE, True)


QUERY = """\
dialect: minijinja
description: Asks
connection: stored
settings:
  model: m
  system: ''
  prompt: Say {{word}}.
  output: text
  json_schema: {}
  repair: 1
  temperature: null
  top_p: null
  max_tokens: null
"""


async def test_a_query_of_a_connection_goes_both_ways(cli: Cli, tmp_path: Path) -> None:
    made = await cli("connections", "add", "stored", "--engine", "anthropic", "--set", "base_url=https://example.com")
    assert made.code == 0, made
    root = tmp_path / "queries"
    root.mkdir()
    (root / "ask.yaml").write_text(
        "connection: stored\ndescription: Asks\nsettings: {model: m, prompt: 'Say {{word}}.'}\n"
    )
    assert actions(await cli("templates", "push", str(root))) == {"ask": "new"}
    pulled = await cli("templates", "pull", str(tmp_path / "copy"))
    assert (pulled.code, (tmp_path / "copy" / "ask.yaml").read_text()) == (0, QUERY), pulled
    assert actions(await cli("templates", "push", str(tmp_path / "copy"))) == {"ask": "unchanged"}
    (tmp_path / "copy" / "ask.yaml").write_text(QUERY.replace("top_p: null", "top_p: 7"))
    wrong = await cli("templates", "push", str(tmp_path / "copy"))
    assert (wrong.code, "ask.yaml, line 12: config.top_p" in wrong.err) == (Exit.USAGE, True), wrong


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["push", "nowhere"], "does not exist"),
        (["label", "a", "production"], "give versions, or --remove"),
        (["label", "a", "production", "0"], "'0' is not a version"),
        (["label", "a", "production", "1:0"], "'1:0' is not a version"),
        (["guard", "a"], "give labels, or --none"),
        (["diff", "a", "b"], "expected a folder, or the name of a template and two numbers"),
        (["test", "--version", "1"], "are for one template"),
        (["test", "a.yaml", "--version", "1"], "are for templates of the server"),
        (["install", "nothing"], "trustgraph-defaults"),
    ],
)
async def test_a_wrong_command_line_is_told(env: dict[str, str], arguments: list[str], said: str) -> None:
    result = await command("templates", *arguments, env=env)
    assert result.code == Exit.USAGE
    assert said in result.err


async def test_settings_that_can_not_be_read_are_written_as_they_lie(
    env: dict[str, str], fake: Any, tmp_path: Path
) -> None:
    query = {"version": 3, "fault": "", "connection": "gone", "settings": {"$sealed": "AAEC"}}
    for code in (0, 0):  # the second time nothing changes
        replies = [{"items": [{"name": "ask", "labels": {}}], "after": None}, query, {"items": []}]
        fake.scripts = [partial(_replies, reply) for reply in replies]
        pulled = await command("templates", "pull", str(tmp_path / "x"), env=env)
        assert pulled.code == code, pulled
    assert "its type is not installed" not in pulled.err
    assert "$sealed: AAEC" in (tmp_path / "x" / "ask.yaml").read_text()


async def _replies(reply: Any, connection: Any) -> None:
    await connection.reply(200, reply)


async def test_a_server_names_no_files_elsewhere(cli: Cli, env: dict[str, str], fake: Any, tmp_path: Path) -> None:
    async def says(connection: Any) -> None:
        await connection.reply(200, {"items": [{"name": "../evil", "labels": {}}], "after": None})

    fake.scripts = [says]
    result = await command("templates", "pull", str(tmp_path / "x"), env=env)
    assert (result.code, "name: expected" in result.err) == (Exit.FAILED, True), result
    assert not (tmp_path / "x").exists()
