"""Databases of promptds that counted secret headers under the secrets themselves."""

from __future__ import annotations

from pathlib import Path

import pytest

from promptd.core.filters import Query
from promptd.core.model import Arrival
from promptd.stores.sqlite import Database
from promptd.stores.sqlite import database as module

KEPT = ["tenant-1", "sha256:1f", "", "skating", "bearers"]
SECRETS = ["Bearer pk-01-x", "bearer eyJ0", "Basic YTpi", "pk-01-x", "sk-ant-1"]


async def test_secrets_leave_the_names_of_counters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "promptd.db"
    known = module.migrations()[:4]
    with monkeypatch.context() as patch:
        patch.setattr(module, "migrations", lambda: known)
        before = Database(path)
        arrivals = [Arrival(id=f"p\x1f{one}", policy="p", subject=one, tat=1.0) for one in (*KEPT, *SECRETS)]
        await before.records.put(*arrivals)
        await before.close()
    after = Database(path)
    found = (await after.records.find(Arrival, Query())).items
    await after.close()
    assert {one.subject for one in found} == set(KEPT)
