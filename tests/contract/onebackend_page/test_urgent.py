"""A thread of its own gets an urgent prompt past a backlog."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.contract.conftest import configuration
from tests.contract.stage import ADMIN, ADMIN_PASSWORD, Person, Stage, free_port

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(60)]

BACKLOG = 1000


def test_an_urgent_prompt_overtakes_its_own_caller_s_backlog(tmp_path: Path) -> None:
    """On a server of its own, which is stopped with the backlog still in it."""
    stage = Stage(tmp_path / "server", configuration("scripted", free_port()))
    try:
        admin = Person(stage, tmp_path / "admin", ADMIN, ADMIN_PASSWORD, new=False)
        hang = {"prompt": '[{"hang": true}]', "threadId": "backlog"}
        with ThreadPoolExecutor(16) as pool:
            list(pool.map(lambda _: admin.call("POST", "/prompt-svc/prompt", hang), range(BACKLOG)))
        said = admin.sh('oo post /prompt-svc/prompt --threadId="urgent" --prompt="The house is on fire" --sync=true')
        assert said.json["responseMessage"]["text"] == "The house is on fire"
        waiting = admin.sh("oo post /prompt-svc/prompts --query.count=true --query.limit=1").json["count"]
        assert waiting == BACKLOG
    finally:
        stage.stop()
