"""The vault's key is changed, at any moment."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from promptd.core.configs import SerializedConfig
from promptd.core.connections import StoredSettings
from promptd.core.errors import ConfigUnusable, Conflict, StoreUnavailable
from promptd.core.template import Draft, TemplateVersion
from promptd.service.rotation import Rotation
from promptd.service.settings_vault import digests
from promptd.service.version_settings import VersionSettings
from promptd.vault import AesGcmVault, KeyFile, KeyText, fresh, written
from tests.service.connection_lab import KEY, Lab, QueryConfig, opened, printer
from tests.service.stored_connections.sealing import Several, Source, config, save

pytestmark = pytest.mark.slow


# ------------------------------------------------------------------ another key


async def test_every_sealed_setting_gets_the_new_key_and_the_old_is_forgotten(tmp_path: Path) -> None:
    async with opened(tmp_path) as lab:
        made = [await lab.make(f"office-{number}", pages=number + 1) for number in range(3)]
        saved = await lab.save(made[0], pages=50)
        old = AesGcmVault(KeyText((tmp_path / "vault.key").read_text()))
        done = await lab.rotation()
        assert (done.sealed, done.forgotten) == (3, True)
        for known in lab.stored.list():
            for stored in (known.record.settings, known.record.backup):
                assert stored is None or not lab.keys.stale(stored.sealed)
                with pytest.raises(ConfigUnusable):
                    old.open((stored or known.record.settings).sealed)
        assert (await lab.save(await lab.stored.get("office-1"), pages=7)).state == "clean"
        after = await lab.stored.get("office-0")
        assert after.record.changed == saved.record.changed, "nobody's form is stale because of it"
        assert after.record.backup is not None
    async with opened(tmp_path) as again:
        assert [printer(known).pages for known in again.stored.list()] == [50, 7, 3]
        assert printer(await again.stored.get("office-0")).api_key.get_secret_value() == KEY
        restored = await again.stored.restore("office-0", changed=saved.record.changed)
        assert printer(restored).pages == 1


@pytest.mark.parametrize("survivors", [0, 1, 2])
async def test_a_change_of_the_key_that_breaks_off_loses_nothing(tmp_path: Path, survivors: int) -> None:
    async with opened(tmp_path) as lab:
        for number in range(3):
            await lab.make(f"office-{number}", pages=number + 1)
        put, count = lab.database.records.put, 0

        async def failing(*records: Any, gone: Any = ()) -> None:
            nonlocal count
            count += 1
            if count > survivors:
                raise StoreUnavailable("the disk is full")
            await put(*records, gone=gone)

        lab.database.records.put = failing  # type: ignore[method-assign]
        with pytest.raises(StoreUnavailable):
            await lab.rotation()
        assert lab.keys.changing, "the old key stays until all is done"
        keys = (tmp_path / "vault.key").read_text()
    # the process is gone; another one finds two keys, and everything opens
    async with opened(tmp_path) as again:
        assert [printer(known).pages for known in again.stored.list()] == [1, 2, 3]
        done = await again.rotation()
        assert (done.sealed, done.forgotten) == (3 - survivors, True)
        assert (tmp_path / "vault.key").read_text() == keys.splitlines(keepends=True)[0], (
            "with the key that it began with"
        )
    async with opened(tmp_path) as last:
        assert {known.state for known in last.stored.list()} == {"clean"}


async def test_a_save_under_way_is_not_left_under_the_forgotten_key(lab: Lab) -> None:
    """The seal is the old key's, the row comes after the search: without waiting it would be lost for good."""
    made = await lab.make()
    reached, go = asyncio.Event(), asyncio.Event()
    put: Callable[..., Any] = lab.database.records.put

    async def held(*records: Any, gone: Any = ()) -> None:
        if getattr(records[0], "name", "") == "late":
            reached.set()
            await go.wait()
        await put(*records, gone=gone)

    lab.database.records.put = held  # type: ignore[method-assign]
    saving = asyncio.create_task(lab.make("late"))
    await reached.wait()
    rotating = asyncio.create_task(lab.rotation())
    while not lab.keys.changing:
        await asyncio.sleep(0)
    go.set()
    known, done = await asyncio.gather(saving, rotating)
    assert done == type(done)(2, True)
    assert {one.state for one in lab.stored.list()} == {"clean"}
    assert not lab.keys.stale((await lab.row(known)).settings.sealed)
    assert not lab.keys.stale((await lab.row(made)).settings.sealed)
    async with opened(lab.home) as again:
        assert {one.state for one in again.stored.list()} == {"clean"}


async def test_what_no_key_opens_does_not_hold_the_change_up(tmp_path: Path) -> None:
    async with opened(tmp_path) as lab:
        lost = await lab.make("lost")
    (tmp_path / "vault.key").unlink()
    async with opened(tmp_path) as lab:
        await lab.make("fine")
        assert (await lab.rotation()).sealed == 1
        assert await lab.row(lost) == lost.record
        assert (await lab.stored.get("fine")).state == "clean"


async def test_without_another_key_there_is_nothing_to_change_to(lab: Lab) -> None:
    keys = AesGcmVault(KeyText(written(fresh())))
    rotation = Rotation(vault=keys, settings=lab.vault, places=[lab.stored.renew_seals])
    with pytest.raises(Conflict, match="put a fresh one in front"):
        await rotation()


async def version(lab: Lab, number: int, wanted: QueryConfig, engine: Several | None = None) -> TemplateVersion:
    """A version of a template that is a query."""

    async def record(stored: StoredSettings) -> TemplateVersion:
        made = TemplateVersion(
            template="letters",
            number=number,
            draft=Draft(connection="office", settings=stored),
            created=1.0,
            user="root",
        )
        await lab.database.records.put(made)
        return made

    return await lab.vault.store(engine or lab.printer, wanted, record, kind="query")


async def test_settings_of_queries_are_sealed_anew_too(lab: Lab) -> None:
    versions = VersionSettings(records=lab.database.records, settings=lab.vault)
    rotation = Rotation(vault=lab.keys, settings=lab.vault, places=[lab.stored.renew_seals, versions.renew_seals])
    made = [await version(lab, number, QueryConfig(token=SecretStr(f"t{number}"))) for number in (1, 2, 3)]
    await lab.make()
    assert (await rotation()).sealed == 4
    for one in made:
        found = await lab.database.records.get(TemplateVersion, one.id)
        assert found is not None
        assert found.draft.settings is not None
        assert not lab.keys.stale(found.draft.settings.sealed)
        read = await lab.vault.open(lab.printer, found.draft.settings, "query")
        assert read.config == QueryConfig(token=SecretStr(f"t{one.number}"))
    assert (await rotation()).sealed == 4


class Filing(Several):
    """Its queries have files."""

    def serialize_query_config(self, config: QueryConfig) -> SerializedConfig:
        return SerializedConfig(b"{}", files=self.files)


async def test_files_of_queries_are_spared_by_whoever_throws_away(lab: Lab) -> None:
    engine = Filing()
    engine.files = {"a": Source(b"kept").file().stored()}
    lab.contents.named_besides.append(VersionSettings(records=lab.database.records, settings=lab.vault).named)
    first = await version(lab, 1, QueryConfig(), engine)
    (digest,) = digests(first.draft.settings)
    await lab.contents.release(digest)
    assert await lab.contents.sweep() == 0
    assert lab.kept() == {digest}
    engine.files = {"a": Source(b"later").file().stored()}
    later = await version(lab, 2, QueryConfig(), engine)
    for one in digests(later.draft.settings):
        await lab.contents.release(one)
    assert len(lab.kept()) == 2
    lab.contents.named_besides.clear()
    assert await lab.contents.sweep() == 2, "nobody else names them"


async def test_digests_are_those_of_all_that_is_given(lab: Lab) -> None:
    one, two = await save(lab, config(Source(b"1").file())), await save(lab, config(Source(b"2").file()))
    assert digests(one, None, two, one) == {file.digest for stored in (one, two) for file in stored.files.values()}
    assert KeyFile(lab.home / "vault.key").load() != {}
