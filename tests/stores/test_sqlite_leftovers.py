"""Databases of promptds that deleted a template row by row, and were killed in between."""

from __future__ import annotations

from pathlib import Path

import pytest

from promptd.core.filters import Query
from promptd.core.template import Draft, MessageSource, Template, TemplateVersion
from promptd.stores.sqlite import Database
from promptd.stores.sqlite import database as module

DRAFT = Draft(messages=(MessageSource("hi"),))


def version(name: str, number: int) -> TemplateVersion:
    return TemplateVersion(template=name, number=number, draft=DRAFT, created=1.0, user="ann")


async def test_versions_without_a_template_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "promptd.db"
    known = [one for one in module.migrations() if one[0] < 7]
    with monkeypatch.context() as patch:
        patch.setattr(module, "migrations", lambda: known)
        before = Database(path)
        await before.records.put(
            Template(name="kept", latest=2, created=1.0, changed=1.0, user="ann"),
            *(version(name, number) for name in ("kept", "gone", "kept@00000001", "kep") for number in (1, 2)),
        )
        await before.close()
    after = Database(path)
    found = (await after.records.find(TemplateVersion, Query())).items
    await after.close()
    assert [(one.template, one.number) for one in found] == [("kept", 1), ("kept", 2)]
