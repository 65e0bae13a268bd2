"""The official npm clients of both vendors, under node."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from promptd.testing.model_server.views import THOUGHT
from tests.contract.gateway.hosts import Hosts
from tests.contract.gateway.samples import unique
from tests.contract.npm import install
from tests.contract.stage import Stage, environment

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

PACKAGES = ("openai@6.49.0", "@anthropic-ai/sdk@1.12.0")
RUN_SECONDS = 90
CITIES = ["Zürich", "日本"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which node finds the clients."""
    return install(tmp_path_factory.mktemp("npm"), *PACKAGES)


def run(folder: Path, script: str, server: Stage, model: str, words: str) -> dict[str, Any]:
    """What a script saw."""
    shutil.copy(Path(__file__).with_name(script), folder)
    done = subprocess.run(
        ["node", script],
        cwd=folder,
        env=environment(folder) | {"URL": server.url, "KEY": server.native_key, "MODEL": model, "WORDS": words},
        capture_output=True,
        text=True,
        timeout=RUN_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    seen: dict[str, Any] = json.loads(done.stdout)
    return seen


def test_openai(folder: Path, server: Stage, hosts: Hosts, model: str) -> None:
    words = unique()
    seen = run(folder, "openai_client.mjs", server, model, words)
    said = f"You said: {words}"
    for name in ("whole", "stream", "response", "retrieved", "followed", "batch"):
        assert seen[name] == said, name
    told = hosts.asked(words)[0]
    assert (seen["usage"]["prompt_tokens"], seen["usage"]["completion_tokens"]) == (
        told.input_tokens,
        told.output_tokens,
    )
    assert [call["name"] for call in seen["tools"]] == ["weather", "clock"]
    assert [json.loads(call["arguments"])["city"] for call in seen["tools"]] == CITIES
    assert json.loads(seen["structured"]) == {"city": "words"}
    assert (seen["events"][0], seen["events"][-1]) == ("response.created", "response.completed")
    background = seen["background"]
    assert seen["receipt"] in ("queued", "in_progress")
    assert background["later"] == background["numbers"][3:]
    assert background["text"] == said
    assert seen["embedding"] == [2.0, ord("b") / 256, 0.5, -0.25]
    assert model in seen["models"]
    assert seen["moderation"] is False
    assert seen["errors"] == {
        "key": {"kind": "AuthenticationError", "status": 401, "code": "invalid_api_key"},
        "model": {"kind": "NotFoundError", "status": 404, "code": "model_not_found"},
        "field": {"kind": "BadRequestError", "status": 400, "code": seen["errors"]["field"]["code"]},
        "rate": {"kind": "RateLimitError", "status": 429, "code": "rate_limit_exceeded"},
    }


def test_anthropic(folder: Path, server: Stage, hosts: Hosts, model: str) -> None:
    words = unique()
    seen = run(folder, "anthropic_client.mjs", server, model, words)
    said = f"You said: {words}"
    assert seen["whole"] == seen["stream"] == said
    assert seen["id"].startswith("msg_")
    assert seen["usage"]["output_tokens"] == hosts.asked(words)[0].output_tokens
    events = [event for event in seen["events"] if event != "ping"]
    assert events[0] == "message_start"
    assert events[-1] == "message_stop"
    assert events.count("message_stop") == 1
    assert [(call["name"], call["input"]["city"]) for call in seen["tools"]] == [
        ("weather", CITIES[0]),
        ("clock", CITIES[1]),
    ]
    assert seen["answered"] == "The tools said: sunny | sunny"
    assert seen["thought"] == THOUGHT
    assert seen["count"] > 0
    assert model in seen["models"]
    assert {name: (error["kind"], error["type"]) for name, error in seen["errors"].items()} == {
        "key": ("AuthenticationError", "authentication_error"),
        "model": ("NotFoundError", "not_found_error"),
        "field": ("BadRequestError", "invalid_request_error"),
        "rate": ("RateLimitError", "rate_limit_error"),
    }
