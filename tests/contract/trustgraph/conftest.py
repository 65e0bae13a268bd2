"""A real server, and TrustGraph's published clients in front of it, one version of each era."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.contract.stage import Stage, environment, free_port
from tests.contract.trustgraph.packages import VERSIONS, Unavailable, environment_of

RUN_SECONDS = 60
TOKEN = "chosen-by-the-operator"  # old clients put it into the URL as it is

SECOND_PORT = free_port()  # as 8088 and 8888 are, which clients have built in


def era_of(version: str) -> str:
    """Eras of the contract, as far as clients differ in them."""
    return "A" if version.startswith("0.") else "C" if version.startswith("1.") else "E"


class Client:
    """The package of one version: its Python API, and its command-line tools."""

    def __init__(self, version: str, folder: Path, stage: Stage, home: Path) -> None:
        self.version, self.url = version, f"{stage.url}/"
        self.era = era_of(version)
        self._folder, self._home = folder, home
        self.token = "" if self.era == "A" else TOKEN  # the first era knows no tokens

    def calls(self, *calls: dict[str, Any], token: str | None = None, url: str = "") -> list[Any]:
        """What each call gave: `{"gave": …}` or `{"raised": …, "message": …}`."""
        driver = Path(__file__).with_name("driver.py")
        given = {"url": url or self.url, "token": self.token if token is None else token, "calls": calls}
        done = self._run([self._folder / "bin" / "python", str(driver)], json.dumps(given))
        assert done.returncode == 0, done.stderr
        told: list[Any] = json.loads(done.stdout)
        return told

    def call(self, via: str, do: str, *arguments: Any, stream: bool | None = None) -> Any:
        """What one call gave; it must not raise."""
        streaming = {} if stream is None else {"stream": stream}
        (told,) = self.calls({"via": via, "do": do, "with": arguments, **streaming})
        assert "gave" in told, told
        return told["gave"]

    def tool(self, name: str, *arguments: str) -> str:
        """What a tool of the command line prints."""
        token = ["-t", self.token] if self.token else []
        url = "--api-url" if name in ("tg-show-prompts", "tg-set-prompt") else "--url"
        done = self._run([self._folder / "bin" / name, url, self.url, *token, *arguments])
        assert done.returncode == 0, done.stderr
        return done.stdout

    def _run(self, command: list[Any], given: str | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            input=given,
            env=environment(self._home),
            capture_output=True,
            text=True,
            timeout=RUN_SECONDS,
            check=False,
        )


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    configuration = {
        "connections": {"lab": {"engine": "scripted", "slots": 64}},
        "models": {"demo": {"connection": "lab"}},
        "compat": {"trustgraph": {"open": True, "open_config": True, "tokens": [TOKEN], "ports": [SECOND_PORT]}},
    }
    stage = Stage(tmp_path_factory.mktemp("trustgraph") / "home", configuration)
    try:
        yield stage
    finally:
        stage.stop()


def made(version: str, server: Stage, folders: pytest.TempPathFactory) -> Client:
    try:
        folder = environment_of(version)
    except Unavailable as error:
        pytest.skip(str(error))
    return Client(version, folder, server, folders.mktemp("person"))


@pytest.fixture(scope="session", params=VERSIONS)
def client(request: pytest.FixtureRequest, server: Stage, tmp_path_factory: pytest.TempPathFactory) -> Client:
    return made(request.param, server, tmp_path_factory)


@pytest.fixture(scope="session", params=[version for version in VERSIONS if era_of(version) != "A"])
def socketed(request: pytest.FixtureRequest, server: Stage, tmp_path_factory: pytest.TempPathFactory) -> Client:
    """Of the versions that know sockets."""
    return made(request.param, server, tmp_path_factory)


@pytest.fixture(scope="session", params=[version for version in VERSIONS if era_of(version) == "E"])
def lister(request: pytest.FixtureRequest, server: Stage, tmp_path_factory: pytest.TempPathFactory) -> Client:
    """Of the versions that list models."""
    return made(request.param, server, tmp_path_factory)
