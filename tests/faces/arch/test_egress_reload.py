"""A reload of an Arch file: its providers, aliases, limits and preferences change while its listeners stay open."""

from __future__ import annotations

from pathlib import Path

import pytest

from promptd.testing.model_server import ModelServer
from tests.faces.arch.conftest import KEYS, file_for, run_gate

pytestmark = pytest.mark.slow

NONE_LEFT = "ratelimits: [{{model: gpt-4o, selector: {{key: user-id, value: '*'}}, limit: {{tokens: 1, unit: hour}}}}]"


async def test_all_but_the_listeners_changes_at_once(upstream: ModelServer, tmp_path: Path) -> None:
    text = file_for(upstream)
    async with run_gate(tmp_path, text, environ=KEYS) as gate:
        ada = {"user-id": "ada"}
        assert (await gate.chat("some words", model="swift")).status == 400
        assert (await gate.chat("some words", model="gpt-4o", headers=ada)).status == 200
        changed = text.replace("fast:", "swift:").replace("port: 0", "port: 1") + NONE_LEFT.format()
        (tmp_path / "arch_config.yaml").write_text(changed)
        reloaded = await gate.house.reload()
        assert reloaded.restart_required == ("arch.listeners",)
        assert {"arch.aliases", "arch.ratelimits"} <= set(reloaded.changed)
        assert (await gate.chat("some words", model="swift")).status == 200
        assert (await gate.chat("some words", model="fast")).status == 400
        assert (await gate.chat("some words", model="gpt-4o", headers=ada)).status == 429
