"""Settings at rest: files by their date, nothing left behind by a failure, and a key that can be changed at any moment."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta, timezone
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from pydantic import SecretStr

from promptd.core.configs import ConfigFile, SerializedConfig, StoredFile
from promptd.core.connections import StoredSettings
from promptd.core.errors import ConfigUnusable, Conflict, PromptSerializationError, StoreUnavailable
from promptd.core.template import Draft, TemplateVersion
from promptd.service.rotation import Rotation
from promptd.service.settings_vault import digests
from promptd.service.version_settings import VersionSettings
from promptd.vault import AesGcmVault, KeyFile, KeyText, fresh, written
from tests.service.connection_lab import KEY, Lab, Printer, PrinterConfig, Proxy, QueryConfig, opened, printer

pytestmark = pytest.mark.slow

NOON = datetime(2026, 11, 21, 12, 0, 0, 123_456, tzinfo=UTC)


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[Lab]:
    async with opened(tmp_path) as made:
        yield made


class Source:
    """A file that counts how often it was opened."""

    def __init__(self, content: bytes) -> None:
        self.content, self.opened = content, 0

    def open(self) -> BinaryIO:
        self.opened += 1
        return BytesIO(self.content)

    def file(self, modified: datetime = NOON, *, name: str = "a.pem", slot: str = "certificate") -> ConfigFile:
        return ConfigFile(name, "text/plain", modified, self.open, len(self.content), slot)


def config(file: ConfigFile | None, **more: Any) -> PrinterConfig:
    return PrinterConfig(api_key=SecretStr(KEY), certificate=file, **more)


async def save(lab: Lab, wanted: PrinterConfig, before: StoredSettings | None = None) -> StoredSettings:
    async def keep(stored: StoredSettings) -> StoredSettings:
        return stored

    return await lab.vault.store(lab.printer, wanted, keep, before=before)


async def content(lab: Lab, stored: StoredSettings) -> bytes:
    read = (await lab.vault.open(lab.printer, stored)).config
    assert isinstance(read, PrinterConfig)
    assert read.certificate is not None
    with read.certificate.open() as file:
        return file.read()


# ------------------------------------------------------------------ there and back


@given(
    key=st.text(st.characters(codec="utf-8"), min_size=1, max_size=50).filter(str.strip),
    password=st.text(st.characters(codec="utf-8"), max_size=50),
    pages=st.integers(1, 100),
    moment=st.datetimes(datetime(1990, 1, 1), datetime(2090, 1, 1), timezones=st.just(UTC)),
    body=st.binary(max_size=2000),
)
@settings(max_examples=25, deadline=None)
def test_what_is_sealed_comes_back(
    tmp_path_factory: pytest.TempPathFactory, key: str, password: str, pages: int, moment: datetime, body: bytes
) -> None:
    async def play() -> None:
        async with opened(tmp_path_factory.mktemp("vault")) as lab:
            wanted = PrinterConfig(
                api_key=SecretStr(key),
                pages=pages,
                proxy=Proxy(host="p", password=SecretStr(password)),
                certificate=Source(body).file(moment),
            )
            stored = await save(lab, wanted)
            found, report = await lab.vault.open(lab.printer, stored)
            assert (found, report.status) == (wanted, "clean")
            assert await content(lab, stored) == body
            assert await save(lab, wanted, stored) != stored, "each envelope is another one"

    asyncio.run(play())


async def test_what_was_opened_is_remembered(lab: Lab) -> None:
    stored = await save(lab, config(None))
    first = await lab.vault.open(lab.printer, stored)
    assert await lab.vault.open(lab.printer, stored) is first
    for _ in range(300):
        await lab.vault.open(lab.printer, await save(lab, config(None)))
    assert await lab.vault.open(lab.printer, stored) is not first, "not for ever"


# ------------------------------------------------------------------ files


@pytest.mark.formcycle(22)
async def test_an_unchanged_date_means_neither_opened_nor_written(lab: Lab) -> None:
    source = Source(b"first")
    stored = await save(lab, config(source.file()))
    assert source.opened == 1
    source.content = b"changed without a date"
    for same in (
        NOON,
        NOON + timedelta(microseconds=400),  # a store keeps whole milliseconds
        NOON.astimezone(timezone(timedelta(hours=5))),
    ):
        again = await save(lab, config(source.file(same), pages=3), stored)
        assert again.files == stored.files
    assert source.opened == 1
    assert await content(lab, again) == b"first"
    renamed = await save(lab, config(source.file(name="b.pem")), stored)
    assert source.opened == 1
    assert (renamed.files["certificate"].filename, renamed.files["certificate"].digest) == (
        "b.pem",
        stored.files["certificate"].digest,
    )


@pytest.mark.formcycle(9)
async def test_files_are_sealed_on_disk(lab: Lab) -> None:
    secret = b"-----BEGIN PRIVATE KEY-----" * 5000
    stored = await save(lab, config(Source(secret).file()))
    (digest,) = lab.kept()
    assert digest == stored.files["certificate"].digest
    assert b"PRIVATE" not in lab.contents.path(digest).read_bytes()
    assert stored.files["certificate"].size == len(secret)
    assert await content(lab, stored) == secret


async def test_a_file_that_was_stored_in_the_clear_is_read_and_sealed_with_the_next_save(lab: Lab) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"in the clear"

    async def kept(digest: str) -> str:
        return digest

    sealed = (await save(lab, config(Source(b"x").file()))).files["certificate"]
    digest = await lab.contents.keep(pieces(), kept)
    sealed_data = (await save(lab, config(Source(b"x").file()))).sealed
    plain = StoredSettings(sealed_data, files={"certificate": replace(sealed, digest=digest, size=12, key=b"")})
    assert await content(lab, plain) == b"in the clear"
    read = (await lab.vault.open(lab.printer, plain)).config
    assert isinstance(read, PrinterConfig)
    again = await save(lab, read, plain)
    assert again.files["certificate"].key
    assert await content(lab, again) == b"in the clear"


async def test_a_file_can_be_read_before_and_after_a_change_of_the_key(tmp_path: Path) -> None:
    async with opened(tmp_path) as lab:
        stored = await save(lab, config(Source(b"the certificate").file()))
        early = (await lab.vault.open(lab.printer, stored)).config
        lab.keys.rotate()
        renewed = lab.vault.renewed(stored, lab.keys.stale)
        assert renewed is not None
        assert lab.vault.renewed(renewed, lab.keys.stale) is None
        half = replace(renewed, files=stored.files)
        assert lab.vault.renewed(half, lab.keys.stale) is not None, "the files' keys count"
        lab.keys.forget()
        assert isinstance(early, PrinterConfig)
        assert early.certificate is not None
        with early.certificate.open() as file:
            assert file.read() == b"the certificate", "what is in use stays so"
        assert renewed.files["certificate"].digest == stored.files["certificate"].digest
    async with opened(tmp_path) as again:
        with pytest.raises(ConfigUnusable):
            await again.vault.open(again.printer, half)
        assert await content(again, renewed) == b"the certificate"


@pytest.mark.parametrize("change", [timedelta(milliseconds=1), timedelta(days=-30)])
@pytest.mark.formcycle(23)
async def test_a_changed_date_rewrites_that_file(lab: Lab, change: timedelta) -> None:
    source = Source(b"first")
    stored = await save(lab, config(source.file()))
    source.content = b"second"
    again = await save(lab, config(source.file(NOON + change)), stored)
    assert await content(lab, again) == b"second"
    assert await content(lab, stored) == b"first", "until it is let go"
    gone = await save(lab, config(None), again)
    assert gone.files == {}


class Several(Printer):
    """Writes files of its own, by slot."""

    type_id = "acme.several"

    def __init__(self) -> None:
        super().__init__()
        self.files: dict[str, StoredFile] = {}

    def serialize_connection_config(self, config: PrinterConfig) -> SerializedConfig:
        return SerializedConfig(b"{}", files=self.files)


@pytest.mark.formcycle(23)
async def test_only_what_changed_is_written_new_slots_too(lab: Lab) -> None:
    engine, sources = Several(), {slot: Source(slot.encode()) for slot in "abc"}

    async def keep(stored: StoredSettings) -> StoredSettings:
        return stored

    engine.files = {slot: sources[slot].file().stored() for slot in "ab"}
    stored = await lab.vault.store(engine, PrinterConfig(), keep)
    engine.files = {
        "a": sources["a"].file().stored(),
        "b": sources["b"].file(NOON + timedelta(seconds=1)).stored(),
        "c": sources["c"].file().stored(),
    }
    again = await lab.vault.store(engine, PrinterConfig(), keep, before=stored)
    assert [sources[slot].opened for slot in "abc"] == [1, 2, 1]
    engine.files = {"c": sources["c"].file().stored()}
    last = await lab.vault.store(engine, PrinterConfig(), keep, before=again)
    assert set(last.files) == {"c"}
    assert [sources[slot].opened for slot in "abc"] == [1, 2, 1]


@pytest.mark.formcycle(23)
async def test_a_naive_date_is_refused(lab: Lab) -> None:
    with pytest.raises(PromptSerializationError, match="time zone"):
        Source(b"x").file(datetime(2026, 1, 1))


@pytest.mark.parametrize("fault", ["open", "read", "record"])
@pytest.mark.formcycle(21)
async def test_a_save_that_fails_leaves_no_bytes(lab: Lab, fault: str) -> None:
    class Torn(BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            raise OSError("the disk is gone")

    def refuse() -> BinaryIO:
        if fault == "open":
            raise OSError("no such file")
        return Torn() if fault == "read" else BytesIO(b"second")

    engine = Several()
    engine.files = {
        "a": Source(b"first").file().stored(),
        "b": StoredFile("b", "text/plain", NOON, refuse),
    }

    async def record(stored: StoredSettings) -> None:
        if fault == "record":
            raise StoreUnavailable("the store can't be written")

    with pytest.raises(StoreUnavailable if fault == "record" else PromptSerializationError):
        await lab.vault.store(engine, PrinterConfig(), record)
    assert lab.kept() == set()


@pytest.mark.parametrize("written_", [None, "text", SerializedConfig("text"), SerializedConfig(b"x" * 5_000_000)])  # type: ignore[arg-type]
async def test_nonsense_in_place_of_settings_is_refused(lab: Lab, written_: Any) -> None:
    class Nonsense(Printer):
        def serialize_connection_config(self, config: PrinterConfig) -> SerializedConfig:
            found: SerializedConfig = written_
            return found

    async def record(stored: StoredSettings) -> None:
        raise AssertionError("nothing is stored")

    with pytest.raises(PromptSerializationError):
        await lab.vault.store(Nonsense(), PrinterConfig(), record)


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

        async def failing(*records: Any) -> None:
            nonlocal count
            count += 1
            if count > survivors:
                raise StoreUnavailable("the disk is full")
            await put(*records)

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

    async def held(*records: Any) -> None:
        if getattr(records[0], "name", "") == "late":
            reached.set()
            await go.wait()
        await put(*records)

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
