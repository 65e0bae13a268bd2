"""What the composition root makes of the settings of local models."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from msgspec.structs import replace

from promptd import registry
from promptd.app import machine
from promptd.app.parts import make
from promptd.core.engine import Call, Config
from promptd.core.errors import SettingsError
from promptd.core.model import Chunk
from promptd.egress import Egress
from promptd.plugins import Engine
from promptd.service.fleet import FleetRules, Share
from promptd.settings import load

MEGABYTE = 1_000_000


class OneConfig(Config):
    """Nothing to set."""


class One(Engine[OneConfig]):
    """A local engine that can only ever run one process of a model."""

    type_id = "one"

    def memory(self, connection: OneConfig) -> int | None:
        return 1

    async def run(self, call: Call[OneConfig]) -> AsyncGenerator[Chunk, None]:
        yield Chunk("done")


@pytest.fixture
async def http() -> AsyncIterator[Egress]:
    client = Egress()
    yield client
    await client.close()


def rules(folder: Path, http: Egress, connection: dict[str, Any], **more: Any) -> FleetRules:
    config = {"connections": {"c": connection}, "models": {"m": {"connection": "c"}}, **more}
    (folder / "promptd.yaml").write_text(yaml.safe_dump(config))
    known = registry.load()
    plugins = replace(known, engines={**known.engines, "one": One()})
    return make(load(environ={"PROMPTD_HOME": str(folder)}), plugins, http).fleet


def test_wishes_reach_the_fleet(tmp_path: Path, http: Egress) -> None:
    connection = {"engine": "llamacpp", "pinned": True, "replicas": {"min": 2, "max": 3}}
    found = rules(tmp_path, http, connection, fleet={"memory_mb": 900})
    assert found == FleetRules(budget=900 * MEGABYTE, shares={"c": Share(pinned=True, least=2, most=3)})


def test_remote_models_have_no_share(tmp_path: Path, http: Egress) -> None:
    found = rules(tmp_path, http, {"engine": "scripted"})
    assert found.shares == {}
    assert found.budget == int(machine.memory() * 0.8)


@pytest.mark.parametrize(
    ("connection", "message"),
    [
        ({"engine": "scripted", "pinned": True}, "connections.c.pinned: expected nothing"),
        ({"engine": "scripted", "replicas": {"max": 2}}, "connections.c.replicas: expected nothing"),
        ({"engine": "one", "replicas": {"max": 2}}, "connections.c.replicas: expected at most 1"),
        ({"engine": "llamacpp", "replicas": {"min": 3, "max": 2}}, "connections.c.replicas: expected max at least"),
        ({"engine": "llamacpp", "replicas": {"min": 0}}, "connections.c.replicas.min: expected"),
    ],
)
def test_wishes_that_can_not_be_granted_stop_the_start(
    tmp_path: Path, http: Egress, connection: dict[str, Any], message: str
) -> None:
    with pytest.raises(SettingsError) as caught:
        rules(tmp_path, http, connection)
    assert caught.value.message.startswith(message)


def test_a_container_has_what_its_limit_says(tmp_path: Path) -> None:
    whole = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    limit, none, missing = tmp_path / "limit", tmp_path / "none", tmp_path / "missing"
    limit.write_text("123456789\n")
    none.write_text("max\n")
    assert machine.memory((str(missing), str(limit))) == 123456789
    assert machine.memory((str(none), str(missing))) == whole
