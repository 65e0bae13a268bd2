"""Plugins as strangers install them: a module and a dist-info folder on the path, found by real entry points."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from importlib import metadata
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
import pytest_asyncio

from promptd import registry
from promptd.core.calls import Call
from promptd.core.content import Turn
from promptd.core.engine import Engine
from promptd.egress import Egress
from promptd.isolation import Isolation, Rules
from tests.isolation.origin import Origin

Install = Callable[..., Engine[Any, Any]]
MakeCall = Callable[..., Call[Any, Any]]

HEAD = """
    import asyncio, ctypes, os, sys, threading, time
    from pydantic import Field, SecretStr
    from promptd.plugins import *
    from promptd.core.model import Chunk, Usage
"""


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    before = set(sys.modules)
    yield folder
    for name in set(sys.modules) - before:
        del sys.modules[name]


@pytest.fixture
def write(site: Path) -> Callable[..., None]:
    """Install a distribution whose module is `source` and whose entries are classes in it."""

    def put(name: str, source: str, **entries: str) -> None:
        module = name.replace("-", "_") + "_plugin"
        (site / f"{module}.py").write_text(dedent(HEAD) + dedent(source))
        info = site / f"{name.replace('-', '_')}-1.2.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2\n")
        lines = "\n".join(f"{entry} = {module}:{thing}" for entry, thing in entries.items())
        (info / "entry_points.txt").write_text(f"[{registry.ENGINES}]\n{lines}\n")

    return put


@pytest_asyncio.fixture
async def plugin(site: Path, write: Callable[..., None]) -> AsyncIterator[Install]:
    """Install a plugin whose engine is the class `E`, and load it as a server does."""
    loaded: list[Engine[Any, Any]] = []

    def put(source: str, *, name: str = "acme", **rules: Any) -> Engine[Any, Any]:
        write(name, source, e="E")
        entries = [entry for dist in metadata.distributions(path=[str(site)]) for entry in dist.entry_points]
        found = registry.load(
            [entry for entry in entries if entry.dist is not None and entry.dist.name == name],
            Isolation({name: Rules(**rules)}),
        )
        assert [problem for problem in found.problems if problem.severity == "error"] == []
        (engine,) = found.engines.values()
        loaded.append(engine)
        return engine

    yield put
    for engine in loaded:
        await engine.close()


@pytest.fixture
def egress() -> Egress:
    return Egress()


@pytest.fixture
def make_call(egress: Egress) -> MakeCall:
    def make(engine: Engine[Any, Any], text: str = "", **changes: Any) -> Call[Any, Any]:
        fields: dict[str, Any] = {
            "connection": engine.connection_config_class()(),
            "query": engine.query_config_class()(),
            "connection_name": "main",
            "model": "m",
            "http": egress,
            "run_id": "prm_1",
            "messages": (Turn("user", text),),
        }
        return Call(**(fields | changes))

    return make


@asynccontextmanager
async def serving(egress: Egress) -> AsyncIterator[Origin]:
    async with Origin() as origin:
        egress.allow(origin.url)
        yield origin


@pytest_asyncio.fixture
async def origin(egress: Egress) -> AsyncIterator[Origin]:
    """A web server on loopback that the egress policy lets pass."""
    async with serving(egress) as one:
        yield one
