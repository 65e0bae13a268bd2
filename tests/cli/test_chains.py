"""`promptd chains`: saved from files, run, looked at, cancelled."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from promptd.cli import chain_files
from promptd.cli.exits import Exit
from tests.cli.support import start
from tests.cli.test_server import CONFIG, Cli
from tests.e2e.harness import running

pytestmark = pytest.mark.e2e  # every command is a process

TEMPLATES: dict[str, Any] = {
    "say": {"messages": [{"source": '[{"say": "{{ text }}"}]'}]},
    "slow": {"messages": [{"source": '[{"wait": 600}]'}]},
    "fail": {"messages": [{"source": '[{"say": "no"}]'}], "output": {"kind": "json"}},
}
TWICE = """\
description: Says it twice
inputs:
- name: text
  description: what to say
- name: times
  kind: integer
  required: false
  default: 2
actions:
- name: first
  template: say
  bindings:
    text:
      reference: inputs.text
- name: second
  template: say
  bindings:
    text:
      template: '{{inputs.times}} times {{first.text}}'
  on_error: continue
  after:
  - first
outputs:
  said: second.text
"""


@pytest.fixture
async def cli(tmp_path: Path) -> AsyncIterator[Cli]:
    async with running(tmp_path / "home", CONFIG) as server:
        async with server.client() as client:
            for name, body in TEMPLATES.items():
                saved = await client.post(f"/templates/{name}/versions", json=body)
                assert saved.status_code == 201, saved.text
        yield Cli(server)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "chains"
    root.mkdir()
    (root / "twice.yaml").write_text(TWICE)
    for name in ("slow", "fail"):
        (root / f"{name}.yaml").write_text(f"actions:\n- {{name: only, template: {name}}}\n")
    return root


async def test_a_chain_is_saved_shown_and_run(cli: Cli, folder: Path) -> None:
    planned = await cli("chains", "push", str(folder), "--dry-run")
    assert [line.split("\t")[:2] for line in planned.out.splitlines()[1:]] == [
        ["fail", "new"],
        ["slow", "new"],
        ["twice", "new"],
    ]
    assert (await cli.json("chains", "list"))["items"] == []
    assert (await cli("chains", "push", str(folder))).code == 0
    assert (await cli("chains", "push", str(folder))).out.count("unchanged") == 3
    assert (await cli("chains", "show", "twice")).out == TWICE
    assert "twice\tfirst,second\t" in (await cli("chains", "list")).out
    assert "times\tinteger\t\t2\t" in (await cli("chains", "run", "twice", "--describe")).out

    done = await cli("chains", "run", "twice", "--var", "text=hello")
    assert done.code == 0, done
    assert json.loads(done.out) == {"said": "2 times hello"}
    assert done.err == "first completed\nsecond completed\n"
    run = await cli.json("chains", "run", "twice", "--var", "text=hi", "--var", "times=3", "--queue")
    over = await cli.json("chains", "status", run["id"], "--wait")
    assert (over["status"], over["outputs"]) == ("completed", {"said": "3 times hi"})
    shown = (await cli("chains", "status", run["id"])).out
    assert "status  completed" in shown
    assert f"second\tcompleted\t{over['steps'][1]['prompt']}\t" in shown
    assert (await cli("chains", "delete", "twice")).out == "twice  deleted\n"
    assert (await cli("chains", "show", "twice")).code == Exit.NOT_FOUND


async def test_what_fails_or_is_missing_is_told(cli: Cli, folder: Path) -> None:
    await cli("chains", "push", str(folder))
    failed = await cli("chains", "run", "fail")
    assert (failed.code, failed.out) == (Exit.PROMPT_FAILED, "")
    assert "only failed: the answer is not JSON\n" in failed.err
    assert "the run is failed: the answer is not JSON (invalid_output)" in failed.err
    missing = await cli("chains", "run", "twice")
    assert (missing.code, "missing: text" in missing.err) == (Exit.USAGE, True)
    assert (await cli("chains", "run", "nobody")).code == Exit.NOT_FOUND
    assert (await cli("chains", "status", "nobody")).code == Exit.NOT_FOUND


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("actions: {}\n", "bad.yaml, line 1: actions:"),
        ("actions:\n- name: a\n", "bad.yaml, line 2: actions[0]"),
        (
            "actions:\n- name: a\n  template: say\n  bindings: {text: {ref: x}}\n",
            "bad.yaml, line 4: actions[0].bindings",
        ),
        ("name: a b\nactions:\n- {name: a, template: say}\n", "bad.yaml, line 1: name"),
        ("actions:\n- {name: a, template: say}\n", "bad.yaml, line 2: actions[0].bindings.text: expected a binding"),
        (
            "actions:\n- name: a\n  template: say\n  bindings:\n    text: {reference: b.text}\n",
            "bad.yaml, line 5: actions[0].bindings.text",
        ),
        ("actions:\n- {name: a, template: gone}\n", "there is no template 'gone'"),
        ("\t", "bad.yaml, line 1"),
    ],
)
async def test_a_wrong_file_is_told_with_its_line(cli: Cli, tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    result = await cli("chains", "push", str(path))
    assert result.code in (Exit.USAGE, Exit.FAILED)
    assert said in result.err, result.err


async def test_a_run_is_cancelled(cli: Cli, folder: Path) -> None:
    await cli("chains", "push", str(folder))
    queued = (await cli("chains", "run", "slow", "--queue")).out.strip()
    assert (await cli("chains", "cancel", queued)).out == f"{queued}  canceled\n"
    assert (await cli("chains", "cancel", queued)).code == Exit.FAILED
    process = await start("chains", "run", "slow", env=cli.env)
    while not (await cli.json("prompts", "list", "--status", "running"))["items"]:
        assert process.returncode is None
    process.send_signal(signal.SIGINT)
    _, err = await asyncio.wait_for(process.communicate(), 20)
    assert process.returncode == Exit.INTERRUPTED
    assert err.decode().startswith("promptd: canceled ")


def test_a_file_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "twice.yaml"
    path.write_text(TWICE)
    name, body = chain_files.read(path)
    assert (name, body["actions"][1]["bindings"]["text"]["kind"]) == ("twice", "template")
    assert chain_files.write(body, name=name) == TWICE
    assert chain_files.same(body, body)
    assert not chain_files.same(body, {**body, "outputs": {}})
