"""The published client for browsers, under node."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.contract.npm import install
from tests.contract.stage import Stage, environment
from tests.contract.trustgraph.conftest import TOKEN

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(200)]

PACKAGE = "@trustgraph/client@1.7.2"
RUN_SECONDS = 60


@pytest.fixture(scope="module")
def gave(server: Stage, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What each call of the script gave."""
    folder = install(tmp_path_factory.mktemp("browser"), PACKAGE)
    shutil.copy(Path(__file__).with_name("browser.mjs"), folder)
    variables = {"SOCKET": f"ws://127.0.0.1:{server.port}/api/v1/socket", "TOKEN": TOKEN}
    done = subprocess.run(
        ["node", "--experimental-websocket", "browser.mjs"],  # what browsers have; newer versions of node have it, too
        cwd=folder,
        env=environment(folder) | variables,
        capture_output=True,
        text=True,
        timeout=RUN_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def test_prompts_are_managed(gave: dict[str, Any]) -> None:
    assert {"browser", "passing"} <= set(gave["index"])
    assert gave["template"] == {"id": "browser", "prompt": "{{ script }}"}
    assert isinstance(gave["system"], str)
    assert "browser" in gave["deleted"]
    assert "passing" not in gave["deleted"]


def test_completion(gave: dict[str, Any]) -> None:
    assert gave["completion"] == "hello there"


def test_a_streamed_completion(gave: dict[str, Any]) -> None:
    assert "".join(gave["streamed"]["pieces"]) == "one two three"
    assert gave["streamed"]["usage"]["model"] == "demo"


def test_a_streamed_prompt(gave: dict[str, Any]) -> None:
    assert "".join(gave["prompt"]["pieces"]) == "one two three"
    assert gave["prompt"]["usage"]["out_token"] == 3


def test_errors(gave: dict[str, Any]) -> None:
    assert gave["failing"] == {"raised": "no luck"}
    assert gave["unknown"]["error"] == {"type": "llm-error", "message": "Unknown prompt template: nobody"}


def test_flows(gave: dict[str, Any]) -> None:
    assert gave["flows"] == ["default"]
    assert gave["flow"]["interfaces"] == {}
