"""`oo permit list|save`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.oo.support import Answer, Recorder, Shell

STORED = {
    "internalId": "app-1:perm-1",
    "appId": "app-1",
    "id": "perm-1",
    "createdAt": "2030-01-01T00:00:00Z",
    "updatedAt": "2030-01-01T00:00:00Z",
    "deletedAt": None,
    "permission": "prompt-svc:prompt:create",
    "slugs": ["alice", "bob"],
}


@pytest.mark.parametrize(
    ("words", "body"),
    [
        ([], {}),
        (["--permission", "prompt-svc:prompt:create"], {"permission": "prompt-svc:prompt:create"}),
        (["--slug=alice"], {"slug": "alice"}),
    ],
)
def test_list(alice: Shell, server: Recorder, words: list[str], body: dict[str, str]) -> None:
    server.will_say({"permits": [STORED]})
    done = alice("permit", "list", *words)
    assert done.code == 0, done.err
    (request,) = server.requests
    assert (request.method, request.target, request.json) == ("POST", "/user-svc/permits", body)
    assert request.headers["authorization"].startswith("Bearer ")
    head, row = done.out.splitlines()
    assert head.split("   ")[0] == "ID"
    assert row.split() == ["perm-1", "app-1", "prompt-svc:prompt:create", "alice,bob"]


@pytest.mark.parametrize("said", [{}, {"permits": None}, {"permits": []}])
def test_no_permits(alice: Shell, server: Recorder, said: dict[str, Any]) -> None:
    server.will_say(said)
    assert len(alice("permit", "list").out.splitlines()) == 1


ONE: dict[str, Any] = {"appHost": "*", "permission": "prompt-svc:prompt:view", "roles": ["user-svc:user"]}


@pytest.mark.parametrize(
    "text",
    [
        'permits:\n- appHost: "*"\n  permission: prompt-svc:prompt:view\n  roles: [user-svc:user]\n',
        json.dumps([ONE]),
        json.dumps(ONE),
    ],
    ids=["yaml", "list", "one"],
)
def test_save(alice: Shell, server: Recorder, tmp_path: Path, text: str) -> None:
    (tmp_path / "permits.yaml").write_text(text)
    done = alice("permit", "save", str(tmp_path / "permits.yaml"))
    assert (done.code, done.err) == (0, "saved 1 permits\n")
    (request,) = server.requests
    assert (request.method, request.target, request.json) == ("PUT", "/user-svc/permits", {"permits": [ONE]})


def test_save_reads_standard_input(alice: Shell, server: Recorder) -> None:
    assert alice("permit", "save", "-", given=json.dumps(ONE)).code == 0
    assert server.requests[0].json == {"permits": [ONE]}


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("{", "the file is not YAML: "),
        ("", "permits: expected a list"),
        ("permits: []", "permits: expected a list"),
        ("permits: x", "permits: expected a list"),
        ("[x]", "permits[0]: expected a mapping"),
        ("[{permission: a}, {}]", "permits[1].permission: expected a text that is not empty"),
        ("[{permission: 5}]", "permits[0].permission: expected a text"),
        ("[{permission: a, slugs: alice}]", "permits[0].slugs: expected a list of texts"),
        ("[{permission: a, roles: [1]}]", "permits[0].roles: expected a list of texts"),
        ("[{permission: a, role: x}]", "permits[0].role: unknown; expected one of id, appHost, permission, "),
    ],
)
def test_a_wrong_file_is_named_and_nothing_is_sent(alice: Shell, server: Recorder, text: str, named: str) -> None:
    done = alice("permit", "save", "-", given=text)
    assert done.code == 1
    assert done.err.startswith(f"Error: {named}")
    assert server.requests == []


def test_a_missing_file_is_named(alice: Shell) -> None:
    done = alice("permit", "save", "nowhere.yaml")
    assert done.code == 1
    assert "nowhere.yaml" in done.err


def test_a_refusal_says_why(alice: Shell, server: Recorder) -> None:
    server.answers.append(Answer(b'{"error": "Unauthorized"}', status=401))
    done = alice("permit", "list")
    assert (done.code, done.out) == (1, "")
    assert done.err == 'Error: HTTP request to /user-svc/permits failed with status 401: {"error": "Unauthorized"}\n'
