"""Two servers for all contract tests of a run: one with the model that comes with promptd, one with a scripted engine."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.contract.stage import ADMIN, ADMIN_PASSWORD, PASSWORD, SELF_SERVICE, Person, Stage, free_port

KINDS = ("builtin", "scripted")
RETRY_SECONDS = 1.0


def configuration(kind: str, health_port: int) -> dict[str, Any]:
    common: dict[str, Any] = {
        "compat": {"onebackend": {"default_admin": True, "health_port": health_port}},
        "retry": {"base_seconds": RETRY_SECONDS},
        "server": {"port": 0, "drain_seconds": 0},
    }
    if kind == "builtin":
        return common
    return common | {
        "connections": {"script": {"engine": "scripted", "slots": 16}},
        "models": {"script": {"connection": "script"}},
    }


class Stages:
    """The servers, each started when a test first asks for it, with the people who work there."""

    def __init__(self, folder: Path, stack: contextlib.ExitStack) -> None:
        self._folder, self._stack = folder, stack
        self._stages: dict[str, Stage] = {}
        self._people: dict[tuple[str, str], Person] = {}
        self.health_ports: dict[str, int] = {}

    def stage(self, kind: str) -> Stage:
        if kind not in self._stages:
            self.health_ports[kind] = free_port()
            stage = Stage(self._folder / kind, configuration(kind, self.health_ports[kind]))
            self._stack.callback(stage.stop)
            stage.permit_everybody(*SELF_SERVICE)
            self._stages[kind] = stage
        return self._stages[kind]

    def admin(self, kind: str) -> Person:
        """The documented first user."""
        return self._person(kind, ADMIN, ADMIN_PASSWORD, new=False)

    def somebody(self, kind: str) -> Person:
        """A user who may prompt."""
        return self._person(kind, "alice", PASSWORD, new=True)

    def stranger(self, kind: str) -> Person:
        """Another one."""
        return self._person(kind, "bob", PASSWORD, new=True)

    def _person(self, kind: str, slug: str, password: str, *, new: bool) -> Person:
        if (kind, slug) not in self._people:
            stage = self.stage(kind)
            self._people[kind, slug] = Person(stage, self._folder / f"{kind}-{slug}", slug, password, new=new)
        return self._people[kind, slug]


@pytest.fixture(scope="session")
def stages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stages]:
    for tool in ("bash", "curl"):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed")
    with contextlib.ExitStack() as stack:
        yield Stages(tmp_path_factory.mktemp("contract"), stack)


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """A test that takes it runs once with each model."""
    name: str = request.param
    return name


@pytest.fixture
def admin(stages: Stages, kind: str) -> Person:
    return stages.admin(kind)


@pytest.fixture
def alice(stages: Stages, kind: str) -> Person:
    return stages.somebody(kind)


@pytest.fixture(scope="session")
def scripted_server(stages: Stages) -> Stage:
    return stages.stage("scripted")


@pytest.fixture
def script_admin(stages: Stages) -> Person:
    return stages.admin("scripted")


@pytest.fixture
def script_alice(stages: Stages) -> Person:
    return stages.somebody("scripted")


@pytest.fixture
def script_bob(stages: Stages) -> Person:
    return stages.stranger("scripted")


@pytest.fixture
def builtin_admin(stages: Stages) -> Person:
    return stages.admin("builtin")
