"""Settings at rest: sealed, read again, files by their date, nothing left behind by a failure."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta, timezone
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from pydantic import SecretStr

from promptd.core.configs import SerializedConfig, StoredFile
from promptd.core.connections import StoredSettings
from promptd.core.errors import ConfigUnusable, PromptSerializationError, StoreUnavailable
from tests.service.connection_lab import Lab, Printer, PrinterConfig, Proxy, opened
from tests.service.stored_connections.sealing import NOON, Several, Source, config, content, save

pytestmark = pytest.mark.slow


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
