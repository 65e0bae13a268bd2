"""Command lines of those who watch a queue: a monitor, analytics, a health check, the search for what went wrong."""

from __future__ import annotations

from typing import Any

import pytest

from tests.contract.conftest import Stages
from tests.contract.stage import Person, unique

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(60)]

FAILS_ONCE = '[[{"fail": "service_unavailable", "message": "the kettle is cold"}], [{"say": "Tea"}]]'
FAILS_ALWAYS = '[{"fail": "service_unavailable", "message": "the kettle is cold"}]'
ALL_STATUSES = ("scheduled", "running", "completed", "errored", "abandoned", "canceled")


@pytest.fixture
def backlog(script_alice: Person) -> dict[str, Any]:
    """A thread with one running prompt and two behind it."""
    thread = unique("backlog")
    gate = script_alice.home / unique("gate")
    ids = [f"{thread}-{number}" for number in range(3)]
    script = f'[{{"wait_file": "{gate}"}}, {{"say": "done"}}]'
    for identifier in ids:
        script_alice.call("POST", "/prompt-svc/prompt", {"id": identifier, "prompt": script, "threadId": thread})
    return {"thread": thread, "ids": ids, "gate": gate}


def test_the_monitor_sees_a_queue_grow_and_drain(script_alice: Person, backlog: dict[str, Any]) -> None:
    """Polled with filters and orderBy as JSON in strings, as the command line sends them."""
    line = """
        oo post /prompt-svc/prompts --query.count=true --query.limit=10 \\
            --query.filters='[{"field": "status", "operator": "in", "value": ["scheduled", "running"]},
                              {"field": "threadId", "operator": "equals", "value": "'$T'"}]' \\
            --query.orderBy='[{"field": "createdAt", "desc": true}]'
    """
    listed = script_alice.sh(line, T=backlog["thread"]).json
    assert listed["count"] == 3
    assert [prompt["id"] for prompt in listed["prompts"]] == backlog["ids"][::-1]
    assert [prompt["status"] for prompt in listed["prompts"]] == ["scheduled", "scheduled", "running"]
    backlog["gate"].touch()
    poll = f'until [ "$({line.strip()} | grep -c \'"status"\')" = 0 ]; do :; done'
    script_alice.sh(poll, T=backlog["thread"])
    listed = script_alice.sh(line, T=backlog["thread"]).json
    assert listed == {"prompts": [], "count": 0}


def test_the_bare_list_shows_what_is_active(script_alice: Person, backlog: dict[str, Any]) -> None:
    try:
        listed = script_alice.sh("oo post /prompt-svc/prompts").json
        assert listed["count"] == 0
        assert {prompt["status"] for prompt in listed["prompts"]} <= {"scheduled", "running"}
        assert [prompt["id"] for prompt in listed["prompts"] if prompt["threadId"] == backlog["thread"]] == backlog[
            "ids"
        ]
    finally:
        backlog["gate"].touch()


def test_a_prompt_is_found_by_its_thread_and_by_its_id_when_it_is_over(alice: Person) -> None:
    identifier = unique("over")
    alice.sh('oo post /prompt-svc/prompt --id="$ID" --prompt="Gone in a moment" --sync=true', ID=identifier)
    for field in ("id", "threadId"):
        line = (
            "oo post /prompt-svc/prompts "
            f"""--query.filters='[{{"field": "{field}", "operator": "equals", "value": "'$ID'"}}]'"""
        )
        (found,) = alice.sh(line, ID=identifier).json["prompts"]
        assert (found["id"], found["status"]) == (identifier, "completed")


def test_both_dialects_of_the_query_find_the_same(alice: Person) -> None:
    thread = unique("dialects")
    for number in range(3):
        body = {"id": f"{thread}-{number}", "prompt": "x", "threadId": thread, "sync": True}
        alice.call("POST", "/prompt-svc/prompt", body)
    documented = """
        oo post /prompt-svc/prompts --query.limit=2 --query.count=true \\
            --query.filters='[{"field":"threadId","operator":"equals","value":"'$T'"},
                              {"field":"status","operator":"equals","value":"completed"}]' \\
            --query.orderBy='[{"field":"createdAt","desc":true}]'
    """
    original = """
        curl -sSf -X POST "$URL/prompt-svc/prompts" -H "Authorization: Bearer $TOKEN" -d '{"query": {
            "filters": [{"fields": ["threadId"], "op": "equals", "valuesJson": "[\\"'$T'\\"]"},
                        {"fields": ["status"], "op": "isInList", "valuesJson": "[\\"completed\\", \\"errored\\"]"}],
            "orderBys": [{"field": "createdAt", "desc": true, "sortingType": ""}], "limit": 2, "count": true}}'
    """
    found = alice.sh(documented, T=thread).json
    assert found == alice.sh(original, T=thread).json
    assert ([prompt["id"] for prompt in found["prompts"]], found["count"]) == ([f"{thread}-2", f"{thread}-1"], 3)


def test_pages_follow_each_other(script_alice: Person) -> None:
    """`after` comes with 20 and more, and goes back in as JSON."""
    thread = unique("pages")
    for number in range(25):
        body = {"id": f"{thread}-{number:02}", "prompt": "x", "threadId": thread}
        script_alice.call("POST", "/prompt-svc/prompt", body)
    line = """
        oo post /prompt-svc/prompts $AFTER \\
            --query.filters='[{"field":"threadId","operator":"equals","value":"'$T'"}]' --query.orderBy='{"field":"createdAt"}'
    """
    first = script_alice.sh(line, T=thread, AFTER="").json
    assert len(first["prompts"]) == 20
    second = script_alice.sh(line, T=thread, AFTER=f'--query.afterJson=["{first["after"]}"]').json
    ids = [prompt["id"] for prompt in first["prompts"] + second["prompts"]]
    assert ids == [f"{thread}-{number:02}" for number in range(25)]
    assert "after" not in second


def test_analytics_count_by_status(script_alice: Person, backlog: dict[str, Any]) -> None:
    thread = backlog["thread"]
    script_alice.sh('oo delete "/prompt-svc/prompt/$ID"', ID=backlog["ids"][2])
    line = """
        for STATUS in scheduled running completed errored abandoned canceled; do
            oo post /prompt-svc/prompts --query.count=true --query.limit=1 \\
                --query.filters='[{"field":"status","operator":"equals","value":"'$STATUS'"},
                                  {"field":"threadId","operator":"equals","value":"'$T'"}]' | grep '"count"'
        done
    """
    try:
        counts = [
            int(row.strip().removeprefix('"count": ').rstrip(","))
            for row in script_alice.sh(line, T=thread).out.splitlines()
        ]
        assert dict(zip(ALL_STATUSES, counts, strict=True)) == {
            "scheduled": 1,
            "running": 1,
            "completed": 0,
            "errored": 0,
            "abandoned": 0,
            "canceled": 1,
        }
    finally:
        backlog["gate"].touch()


def test_a_health_check_of_server_and_model(stages: Stages, admin: Person, kind: str) -> None:
    """The port of the original's model engine answers as soon as a model runs."""
    admin.sh("oo put /model-svc/default-model/start")
    line = """
        set -euo pipefail
        until oo get /model-svc/default-model/status | grep -q '"running": true'; do :; done
        curl -sSf "$URL/readyz" > /dev/null
        curl -sSf -o /dev/null -w '%{http_code} ' "http://127.0.0.1:$HEALTH/health"
        oo get /model-svc/default-model/status
    """
    port = stages.health_ports[kind]
    code, _, status = admin.sh(line, HEALTH=str(port)).out.partition(" ")
    assert code == "200"
    assert '"assetsReady": true' in status
    assert f'"address": "127.0.0.1:{port}"' in status


def test_an_errored_prompt_shows_its_error_and_recovers(script_alice: Person) -> None:
    identifier = unique("kettle")
    said = script_alice.sh(
        'oo post /prompt-svc/prompt --id="$ID" --prompt="$P" --sync=true', ID=identifier, P=FAILS_ONCE
    )
    assert said.json["prompt"]["status"] == "completed"
    assert said.json["prompt"]["runCount"] == 2
    assert "error" not in said.json["prompt"]
    assert said.json["responseMessage"]["text"] == "Tea"
    line = """
        oo post /prompt-svc/prompts \\
            --query.filters='[{"field":"runCount","operator":"gt","value":1},{"field":"id","operator":"equals","value":"'$ID'"}]'
    """
    assert [prompt["id"] for prompt in script_alice.sh(line, ID=identifier).json["prompts"]] == [identifier]
    assert script_alice.sh(line.replace('"value":1', '"value":"2"'), ID=identifier).json["prompts"] == []


def test_a_prompt_out_of_retries_is_abandoned_with_its_error(script_alice: Person) -> None:
    """A sync caller is told, instead of waiting for ever."""
    line = 'oo post /prompt-svc/prompt --id="$ID" --prompt="$P" --maxRetries=1 --sync=true'
    identifier = unique("cold")
    said = script_alice.sh(line, ID=identifier, P=FAILS_ALWAYS)
    assert said.json.keys() == {"prompt"}
    assert (said.json["prompt"]["status"], said.json["prompt"]["runCount"]) == ("abandoned", 1)
    assert "the kettle is cold" in said.json["prompt"]["error"]


def test_errored_prompts_are_listed_with_their_error(script_alice: Person) -> None:
    identifier = unique("errored")
    script_alice.call("POST", "/prompt-svc/prompt", {"id": identifier, "prompt": FAILS_ALWAYS, "maxRetries": 50})
    line = """
        until oo post /prompt-svc/prompts --query.limit=10 --query.orderBy='[{"field":"updatedAt","desc":true}]' \\
            --query.filters='[{"field":"status","operator":"equals","value":"errored"},
                              {"field":"id","operator":"equals","value":"'$ID'"}]' | grep '"error"'
        do :; done
        oo delete "/prompt-svc/prompt/$ID" > /dev/null
    """
    assert "the kettle is cold" in script_alice.sh(line, ID=identifier).out
