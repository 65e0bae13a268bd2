"""`promptd call`: inputs by their types, the result on standard output, everything else on standard error."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from promptd.cli.exits import Exit
from tests.cli.support import Connection, FakeServer, command, frame, start
from tests.cli.test_server import CONFIG, Cli
from tests.e2e.harness import running

pytestmark = pytest.mark.e2e  # every command is a process

TEMPLATES: dict[str, Any] = {
    "say": {"messages": [{"source": '[{"say": "Hi {{ name }}", "pieces": 2}]'}], "description": "Says hi.\nKindly."},
    "kinds": {
        "messages": [
            {"source": '[{"say": {{ {"t": t, "n": n, "x": x, "b": b, "o": o, "l": l, "a": a} | tojson | tojson }}}]'}
        ],
        "inputs": [
            {"name": "t", "required": False, "default": "d"},
            {"name": "n", "kind": "integer", "minimum": 1, "description": "how many"},
            {"name": "x", "kind": "number", "required": False},
            {"name": "b", "kind": "boolean", "required": False},
            {"name": "o", "kind": "object", "additional": True, "required": False},
            {"name": "l", "kind": "array", "items": {"name": "", "kind": "string"}, "required": False},
            {"name": "a", "kind": "any", "required": False},
        ],
        "output": {"kind": "json"},
    },
    "broken": {"messages": [{"source": '[{"say": "no"}]'}], "output": {"kind": "json"}},
    "slow": {"messages": [{"source": '[{"say": "a"}, {"wait": 600}]'}]},
    "read": {
        "messages": [{"source": '[{"say": "read"}]'}],
        "inputs": [{"name": "paper", "kind": "file", "media_types": ["text/plain"]}],
    },
}


@pytest.fixture
async def cli(tmp_path: Path) -> AsyncIterator[Cli]:
    async with running(tmp_path / "home", CONFIG) as server:
        async with server.client() as client:
            for name, body in TEMPLATES.items():
                saved = await client.post(f"/templates/{name}/versions", json=body)
                assert saved.status_code == 201, saved.text
        yield Cli(server)


async def test_a_text_is_printed_as_it_is(cli: Cli, tmp_path: Path) -> None:
    assert await cli("call", "say", "--var", "name=Ada = é") == (0, "Hi Ada = é", "")
    assert await cli("call", "say", "--var", "name=Ada", "--stream") == (0, "Hi Ada", "")
    (tmp_path / "name.txt").write_text("Ada, of a file")
    assert await cli("call", "say", "--file", f"name={tmp_path / 'name.txt'}") == (0, "Hi Ada, of a file", "")
    assert await command("call", "say", "--file", "name=-", env=cli.env, given=b"Ada") == (0, "Hi Ada", "")
    prompt = await cli.json("call", "say", "--var", "name=Ada", "--version", "1")
    assert (prompt["status"], prompt["answer"]["text"]) == ("completed", "Hi Ada")
    assert prompt["template"] == {"name": "say", "version": 1, "label": ""}


async def test_values_are_read_as_their_inputs_say(cli: Cli) -> None:
    values = ["--var", "n=3", "--var", "x=-1.5", "--var", "b=yes", "--var", 'o={"k": [1]}', "--var-json", 'l=["a"]']
    done = await cli("call", "kinds", *values, "--var", "a=1", "--var", "t=5")
    assert (done.code, done.err) == (0, "")
    assert json.loads(done.out) == {"t": "5", "n": 3, "x": -1.5, "b": True, "o": {"k": [1]}, "l": ["a"], "a": "1"}


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["kinds"], Exit.USAGE, "missing: n (see --describe)"),
        (["kinds", "--var", "n=1", "--var", "q=1", "--file", "r=-"], Exit.USAGE, "unknown: q, r; the inputs are t, n,"),
        (["kinds", "--var", "n=one"], Exit.USAGE, "n: expected an integer, not 'one'"),
        (["kinds", "--var", "n=NaN"], Exit.USAGE, "n: expected an integer"),
        (["kinds", "--var", "n=0"], Exit.USAGE, "n"),
        (["kinds", "--var", "n=1", "--var-json", "n=1"], Exit.USAGE, "n: given twice"),
        (["kinds", "--var", "n=1", "--var-json", "o={"], Exit.USAGE, "o: expected JSON"),
        (["kinds", "--var", "n"], Exit.USAGE, "'n' is not of the form name=value"),
        (["nobody"], Exit.NOT_FOUND, "there is no template 'nobody'"),
        (["say", "--var", "name=x", "--label", "gone"], Exit.NOT_FOUND, "no label 'gone'"),
        (["say", "--var", "name=x", "--model", "gone"], Exit.NOT_FOUND, "gone"),
        (["say", "--file", "name=/nowhere"], Exit.USAGE, "/nowhere: No such file"),
        (["read", "--var", "paper=x"], Exit.USAGE, "paper: it is a file: use --file"),
        (["broken"], Exit.PROMPT_FAILED, "the answer is not JSON (invalid_output)"),
        (["broken", "--stream"], Exit.PROMPT_FAILED, "the answer is not JSON (invalid_output)"),
    ],
)
async def test_what_is_wrong_is_told(cli: Cli, arguments: list[str], code: Exit, said: str) -> None:
    result = await cli("call", *arguments)
    assert (result.code, result.out) == (code, ""), result
    assert said in result.err
    assert len(result.err.splitlines()) == 1


async def test_a_template_describes_itself(cli: Cli) -> None:
    shown = await cli("call", "kinds", "--describe")
    assert shown.out.splitlines()[0] == "name         kinds"
    assert "n\tinteger\tyes\t\thow many" in shown.out.splitlines()
    assert 't\tstring\t\t"d"\t' in shown.out.splitlines()
    function = await cli.json("call", "say", "--describe")
    assert function["input_schema"]["required"] == ["name"]
    assert (await cli.json("prompts", "list"))["items"] == [], "nothing ran"


async def test_files_go_up_and_are_taken_back_where_the_call_is_refused(cli: Cli, tmp_path: Path) -> None:
    text, image = tmp_path / "a.txt", tmp_path / "a.png"
    text.write_text("hello")
    image.write_bytes(b"\x89PNG\r\n\x1a\n")
    # the scripted model repeats what is no script, such as a document in front of one
    assert (await cli("call", "read", "--file", f"paper={text}")).out.startswith("[a.txt]\nhello\n")
    kept = (await cli.json("files", "list"))["items"]
    refused = await cli("call", "read", "--file", f"paper={image}")
    assert (refused.code, "paper" in refused.err) == (Exit.USAGE, True)
    assert (await cli.json("files", "list"))["items"] == kept
    assert (await cli("call", "read", "--file", f"paper={kept[0]['id']}")).out.startswith("[a.txt]\nhello\n")


async def test_ctrl_c_cancels_the_run(cli: Cli) -> None:
    process = await start("call", "slow", "--stream", "--json", env=cli.env)
    while not (found := (await cli.json("prompts", "list", "--status", "running"))["items"]):
        assert process.returncode is None
    process.send_signal(signal.SIGINT)
    _, err = await asyncio.wait_for(process.communicate(), 20)
    assert (process.returncode, err.decode()) == (Exit.INTERRUPTED, f"promptd: canceled {found[0]['id']}\n")


async def test_a_break_is_one_run(fake: FakeServer, env: dict[str, str]) -> None:
    async def forbids(connection: Connection) -> None:
        await connection.reply(403, {"title": "no", "detail": "no", "code": "forbidden"})

    async def breaks(connection: Connection) -> None:
        connection.reset()

    async def answers(connection: Connection) -> None:
        await connection.stream(frame("1.1.1", "done", finish_reason="stop"))

    async def shows(connection: Connection) -> None:
        await connection.reply(200, {"answer": {"text": "x", "value": [1], "warnings": ["odd"], "files": []}})

    fake.scripts = [forbids, breaks, answers, shows]
    result = await command("call", "t", "--var", "n=1", env=env)
    assert result == (0, "[1]\n", "promptd: warning: odd\n")
    first, again = fake.requests[1:3]
    assert first.path == again.path == "/promptd/v1/templates/t/run"
    assert first.body == again.body == {"inputs": {"n": "1"}}, "nobody knows its type, so it is a text"
    assert first.headers["idempotency-key"] == again.headers["idempotency-key"]
