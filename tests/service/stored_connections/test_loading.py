"""Stored connections that can't be written, read or used, and so are in nobody's way."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from promptd.core.configs import LoadReport, SerializedConfig
from promptd.core.connections import StoredConnection
from promptd.core.errors import (
    ConfigUnusable,
    HandlerUnavailable,
    PromptSerializationError,
)
from tests.service.connection_lab import KEY, Lab, Printer, opened, printer
from tests.service.house import ADMIN

pytestmark = pytest.mark.slow


# ------------------------------------------------------------------ what can't be written or read


@pytest.mark.parametrize("error", [PromptSerializationError("no ink"), RuntimeError(f"cannot write {KEY}")])
@pytest.mark.formcycle(21)
async def test_a_failing_save_stores_neither_data_nor_files(lab: Lab, error: Exception) -> None:
    made = await lab.make(engine="acme.brittle")
    before, kept = await lab.row(made), lab.kept()
    upload = await lab.upload(b"certificate")
    lab.brittle.broken = error
    with pytest.raises(PromptSerializationError) as caught:
        await lab.save(made, certificate={"$upload": upload}, pages=5)
    assert KEY not in caught.value.message
    lab.brittle.broken = None
    assert await lab.row(made) == before
    assert printer(await lab.stored.get("office")).pages == 10
    await lab.uploads.delete(ADMIN, upload)
    assert lab.kept() == kept


@pytest.mark.formcycle(21)
async def test_a_file_that_can_not_be_read_stores_nothing(lab: Lab) -> None:
    made = await lab.make()
    before = await lab.row(made)
    upload = await lab.upload(b"gone in a moment")
    digest = (await lab.uploads.get(upload)).digest
    next((lab.home / "files").rglob(digest)).unlink()
    with pytest.raises(PromptSerializationError, match="can't be read"):
        await lab.save(made, certificate={"$upload": upload})
    assert await lab.row(made) == before
    assert lab.kept() == set()


@pytest.mark.parametrize("error", [PromptSerializationError("unknown ink"), RuntimeError(KEY), ValueError()])
@pytest.mark.formcycle(20)
async def test_one_that_can_not_be_read_disturbs_nobody(tmp_path: Path, error: Exception) -> None:
    async with opened(tmp_path) as lab:
        bad = await lab.make("bad", engine="acme.brittle")
        await lab.make("good")
    made = Lab(tmp_path)
    made.brittle.broken = error
    try:
        await made.stored.load()
        assert [known.record.name for known in made.stored.list()] == ["bad", "good"]
        known = await made.stored.get("bad")
        assert (known.state, known.config, known.lane) == ("unusable", None, None)
        assert KEY not in known.problem
        assert set(made.stored.served({})) == {"good"}
        with pytest.raises(ConfigUnusable):
            await made.stored.require("bad")
        assert await made.row(bad) == bad.record, "bytes stay as they are"
        made.brittle.broken = None
        assert (await made.stored.get("bad")).state == "clean", "it is read again when somebody asks"
        assert set(made.stored.served({})) == {"bad", "good"}
        await made.stored.delete("bad")
        assert set(made.stored.served({})) == {"good"}
    finally:
        await made.close()


@pytest.mark.formcycle(20)
async def test_bytes_of_another_key_are_unusable_not_fatal(tmp_path: Path) -> None:
    async with opened(tmp_path) as lab:
        made = await lab.make()
    (tmp_path / "vault.key").unlink()
    async with opened(tmp_path) as again:
        known = await again.stored.get("office")
        assert known.state == "unusable"
        assert "another key" in known.problem
        assert await again.row(made) == made.record
        await again.make("fresh")
        await again.stored.delete("office")


@pytest.mark.formcycle(24)
async def test_a_type_that_is_not_installed_is_kept_byte_for_byte(tmp_path: Path) -> None:
    async with opened(tmp_path) as lab:
        made = await lab.make()
    gone = Lab(tmp_path)
    del gone.engines["acme.printer"]
    try:
        await gone.stored.load()
        known = await gone.stored.get("office")
        assert (known.state, known.engine) == ("unavailable", None)
        with pytest.raises(HandlerUnavailable):
            await gone.stored.require("office")
        with pytest.raises(HandlerUnavailable):
            await gone.save(known, pages=3)
        described = await gone.stored.update(
            "office", changed=known.record.changed, written=None, locale="en", description="wait for it"
        )
        assert described.record.settings == made.record.settings
    finally:
        await gone.close()
    async with opened(tmp_path) as back:
        again = await back.stored.get("office")
        assert (again.state, again.config) == ("clean", made.config)
        assert again.record.settings.sealed == made.record.settings.sealed


async def planted(lab: Lab, data: bytes, *, version: int | None = 1, name: str = "old") -> StoredConnection:
    """A connection whose settings somebody else wrote, found at the next start."""
    sample = await lab.make(name)
    sealed = replace(sample.record.settings, sealed=lab.keys.seal(data), version=version)
    record = replace(sample.record, settings=sealed, version=sample.record.version + 1)
    await lab.database.records.put(record)
    return record


@pytest.mark.formcycle(17)
async def test_settings_of_a_newer_version_stay_as_they_are_until_a_save(tmp_path: Path) -> None:
    newer = {"base_url": "https://print.example", "api_key": KEY, "duplex": True, "pages": "many"}
    async with opened(tmp_path) as lab:
        record = await planted(lab, json.dumps(newer).encode(), version=9)
    async with opened(tmp_path) as again:
        known = await again.stored.get("old")
        assert known.state == "adjusted"
        assert known.report is not None
        assert [(issue.kind, issue.path) for issue in known.report.issues] == [
            ("newer_version", ""),
            ("unknown_field", "duplex"),
            ("invalid_value", "pages"),
        ]
        assert (printer(known).base_url, printer(known).pages) == ("https://print.example", 10)
        again.stored.list()
        assert await again.row(known) == record
        saved = await again.save(known, pages=3)
        assert saved.state == "clean"
        assert saved.record.backup == record.settings, "the loss is final, but for one backup"


@pytest.mark.parametrize(
    ("data", "state", "field"),
    [
        (b"\x00\xff no json", "unreadable", None),
        (b"[1, 2]", "unreadable", None),
        (b'{"recipe": "soup"}', "incomplete", "api_key"),
        (b"{}", "incomplete", "api_key"),
    ],
)
@pytest.mark.formcycle(19)
async def test_foreign_bytes_give_defaults_and_a_report(
    tmp_path: Path, data: bytes, state: str, field: str | None
) -> None:
    async with opened(tmp_path) as lab:
        record = await planted(lab, data)
    async with opened(tmp_path) as again:
        known = await again.stored.get("old")
        assert known.state == state
        assert printer(known).pages == 10
        assert known.lane is None, "what lacks a required setting is not served"
        assert await again.row(known) == record
        if field is not None:
            assert known.report is not None
            assert field in [issue.path for issue in known.report.issues if issue.kind == "required"]


class Moved(Printer):
    """A newer printer whose settings have other names."""

    connection_version = 3

    def __init__(self) -> None:
        super().__init__()
        self.steps: list[int] = []

    def migrate_connection(self, data: dict[str, Any], from_version: int) -> dict[str, Any]:
        self.steps.append(from_version)
        return {"pages": data["sheets"], "api_key": data["api_key"]} if from_version == 2 else data


@pytest.mark.formcycle(16)
async def test_older_settings_are_migrated_step_by_step(tmp_path: Path) -> None:
    async with opened(tmp_path) as lab:
        await planted(lab, json.dumps({"sheets": 4, "api_key": KEY}).encode(), version=1)
    again, moved = Lab(tmp_path), Moved()
    again.engines["acme.printer"] = moved
    try:
        await again.stored.load()
        known = await again.stored.get("old")
        assert (known.state, printer(known).pages, moved.steps) == ("clean", 4, [1, 2])
        assert known.record.settings.version == 1
        assert (await again.save(known, pages=5)).record.settings.version == 3
    finally:
        await again.close()


class Liar(Printer):
    """Reads its settings as something that they are not."""

    def deserialize_connection_config(self, stored: SerializedConfig, report: LoadReport) -> Any:
        return {"base_url": "x"}


async def test_an_engine_that_reads_something_else_costs_its_own_connections(tmp_path: Path) -> None:
    async with opened(tmp_path) as lab:
        await lab.make()
    again = Lab(tmp_path)
    again.engines["acme.printer"] = Liar()
    try:
        await again.stored.load()
        assert (await again.stored.get("office")).state == "unusable"
    finally:
        await again.close()
