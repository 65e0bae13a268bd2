"""Distributions in a folder, as pip leaves them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from textwrap import dedent

import pytest

from promptd import registry
from promptd.isolation import Isolation
from promptd.registry import Registry

ECHO = """
from promptd.plugins import Call, Config, Engine, NoConfig, Result

class Echo(Engine[NoConfig]):
    type_id = "acme.echo"

    async def execute(self, call):
        return Result(text=call.messages[-1].content)
"""


Install = Callable[..., None]


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


@pytest.fixture
def install(site: Path) -> Install:
    """Put a distribution with one module and its entry points into the site folder."""

    def put(name: str, source: str, *, group: str = registry.ENGINES, **entries: str) -> None:
        module = name.replace("-", "_") + "_plugin"
        (site / f"{module}.py").write_text(dedent(source))
        info = site / f"{name.replace('-', '_')}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        lines = "\n".join(f"{entry} = {module}:{thing}" for entry, thing in entries.items())
        (info / "entry_points.txt").write_text(f"[{group}]\n{lines}\n")

    return put


def load(site: Path, isolation: Isolation | None = None) -> Registry:
    entries = [entry for dist in metadata.distributions(path=[str(site)]) for entry in dist.entry_points]
    return registry.load(entries, isolation)


ENGINE = "from promptd.plugins import *\nclass E(Engine[NoConfig]):\n"


EXECUTE = "    async def execute(self, call): ...\n"
