"""Frameworks and coding agents, as they are published, each over a model of its own dialect and one of another vendor's."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from promptd.testing.model_server.views import View
from tests.contract.gateway.hosts import Hosts
from tests.contract.gateway.samples import unique
from tests.contract.npm import install
from tests.contract.stage import Stage, environment

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

AI_SDK = (
    "ai@6.0.326",
    "@ai-sdk/openai@3.0.141",
    "@ai-sdk/anthropic@3.0.138",
    "@ai-sdk/openai-compatible@2.0.87",
    "zod@4.6.7",
)
AGENTS = ("@anthropic-ai/claude-code@2.1.197", "@openai/codex@0.169.0")
#: `make .venv/frameworks/.stamp` brings them
PYTHON = Path(__file__).parents[3] / ".venv" / "frameworks" / "bin" / "python"
RUN_SECONDS = 120
TOOLS_SAID = "The tools said: sunny in Zürich | sunny in Oslo"
CITY = {"city": "words", "degrees": 7}
#: how often a service is busy before it answers: more often than promptd asks it in one call
BUSY = 3


@pytest.fixture(params=("gpt", "claude"))
def model(request: pytest.FixtureRequest) -> str:
    """By vendor; what is native to one kind of client is translated for the other."""
    name: str = request.param
    return name


def run(command: list[str], folder: Path, **variables: str) -> str:
    """What a command printed."""
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment(folder) | variables,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=RUN_SECONDS,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
    return done.stdout


@contextmanager
def busy(hosts: Hosts, words: str) -> Iterator[None]:
    """The service refuses those words a few times, and again whenever it has answered them."""
    refused = 0

    def trouble(view: View) -> str:
        nonlocal refused
        if words not in view.last:
            return ""
        refused = (refused + 1) % (BUSY + 1)
        return "rate" if refused else ""

    hosts.whole.trouble = trouble
    try:
        yield
    finally:
        hosts.whole.trouble = None


# ------------------------------------------------------------------ frameworks


def test_langchain_and_pydantic_ai(server: Stage, hosts: Hosts, model: str, tmp_path: Path) -> None:
    if not PYTHON.exists():
        pytest.skip("no .venv/frameworks: `make .venv/frameworks/.stamp` brings LangChain and pydantic-ai")
    words = unique()
    variables = {"URL": server.url, "KEY": server.native_key, "MODEL": model, "WORDS": words}
    script = Path(__file__).with_name("frameworks_client.py")
    with busy(hosts, f"busy {words}"):
        seen = json.loads(run([str(PYTHON), "-W", "ignore", str(script)], tmp_path, **variables))
    said = f"You said: {words}"
    for name, made in seen["langchain"].items():
        thinks = name == "thinking" or name == "responses"
        assert made == {
            "whole": said,
            "usage": hosts.asked(words)[0].output_tokens + 3 * thinks,
            "stream": said,
            "batch": ["You said: one", "You said: two"],
            "tools": TOOLS_SAID,
            "parsed": CITY,
        }, name
    for name, made in seen["pydantic_ai"].items():
        assert (made["tools"], made["stream"], made["later"]) == (TOOLS_SAID, TOOLS_SAID, said), name
        assert made.get("parsed", CITY) == CITY, name
    assert seen["count"] > 0
    assert seen["vectors"] == [4, 4]
    # a client that is told when to come back comes back
    assert seen["again"] == [f"You said: busy {words}"] * 2


def test_the_ai_sdk(server: Stage, hosts: Hosts, model: str, tmp_path: Path) -> None:
    folder = install(tmp_path, *AI_SDK)
    script = shutil.copy(Path(__file__).with_name("ai_client.mjs"), folder)
    words = unique()
    variables = {"URL": server.url, "KEY": server.native_key, "MODEL": model, "WORDS": words}
    told = json.loads(run(["node", str(script)], folder, **variables))
    said = f"You said: {words}"
    for name, made in told["seen"].items():
        tokens = hosts.asked(words)[0].output_tokens + 3 * (name in ("sealed", "thinking"))
        assert made == {
            "whole": said,
            "tokens": tokens,
            "stream": {"text": said, "tokens": tokens},
            "tools": TOOLS_SAID,
            "agent": TOOLS_SAID,
            "refused": 429,
        }, name
    assert told["object"] == {"city": "words", "degrees": 7.5}
    assert told["embedding"] == 4


# ------------------------------------------------------------------ coding agents


@pytest.fixture(scope="module")
def agents(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Both agents bring a program for each kind of machine inside their npm packages, some hundred megabytes."""
    folder = tmp_path_factory.mktemp("agents")
    try:
        yield install(folder, *AGENTS)
    finally:
        shutil.rmtree(folder)


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    """Where an agent works; its own files stand beside."""
    desk = tmp_path / "desk"
    desk.mkdir()
    return desk


@pytest.mark.parametrize("model", ["gpt", "gpt-responses", "claude"])
def test_claude_code(agents: Path, server: Stage, hosts: Hosts, model: str, desk: Path) -> None:
    program = next(agents.glob("node_modules/@anthropic-ai/claude-code-*/claude"), None)
    if program is None:
        pytest.skip("npm has no claude-code for this kind of machine")
    mark = unique("")[:12]
    command = {"command": f"echo {mark} | tee made.txt", "description": "make a file"}
    question = f"Make a file, {mark}\n/call Bash {json.dumps(command)}"
    variables = {
        "HOME": str(desk.parent),
        "ANTHROPIC_BASE_URL": server.url,
        "ANTHROPIC_AUTH_TOKEN": server.native_key,
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        "DISABLE_AUTOUPDATER": "1",
    }
    line = [str(program), "-p", question, "--model", model, "--output-format", "json", "--allowedTools", "Bash"]
    told = json.loads(run(line, desk, **variables))
    assert (desk / "made.txt").read_text().strip() == mark
    assert (told["is_error"], told["result"]) == (False, f"The tools said: {mark}")
    asked = hosts.asked(mark)
    assert len(asked) == 2
    assert told["usage"]["output_tokens"] == sum(exchange.output_tokens for exchange in asked)


@pytest.mark.parametrize("model", ["gpt-native", "gpt", "claude"])
def test_codex(agents: Path, server: Stage, hosts: Hosts, model: str, desk: Path) -> None:
    mark = unique("")[:12]
    command = {"cmd": f"echo {mark} | tee made.txt"}
    # the second tool stands in a namespace: that it knows no such helper shows that it was found
    calls = f'/call exec_command {json.dumps(command)}\n/call multi_agent_v1__close_agent {{"target": "nobody"}}'
    settings = {
        "model": model,
        "model_provider": "promptd",
        "model_providers.promptd.name": "promptd",
        "model_providers.promptd.base_url": f"{server.url}/v1",
        "model_providers.promptd.env_key": "PROMPTD_KEY",
        "model_providers.promptd.wire_api": "responses",
        "check_for_update_on_startup": False,
    }
    chosen = [word for name, value in settings.items() for word in ("-c", f"{name}={json.dumps(value)}")]
    home = desk.parent / "codex"
    home.mkdir()
    line = [str(agents / "node_modules" / ".bin" / "codex"), "exec", "--json", "--skip-git-repo-check", *chosen]
    line += ["--dangerously-bypass-approvals-and-sandbox", f"Make a file, {mark}\n{calls}"]
    out = run(line, desk, CODEX_HOME=str(home), PROMPTD_KEY=server.native_key)
    events = [json.loads(event) for event in out.splitlines()]
    assert (desk / "made.txt").read_text().strip() == mark
    said = [event["item"]["text"] for event in events if event.get("item", {}).get("type") == "agent_message"]
    assert said[0].startswith("The tools said: ")
    assert mark in said[0]
    assert "invalid agent id nobody" in said[0]
    usage = next(event["usage"] for event in events if event["type"] == "turn.completed")
    assert usage["output_tokens"] == sum(exchange.output_tokens for exchange in hosts.asked(mark))
