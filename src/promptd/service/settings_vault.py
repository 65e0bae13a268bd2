"""Settings of connections and queries at rest: written and read by their engine, sealed by the vault, files beside.

What was opened is remembered, because a query's settings are needed for each of its runs.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, BinaryIO, Final, Literal, NamedTuple, TypeVar

from msgspec.structs import replace

from promptd.core.configs import LoadReport, SerializedConfig, StoredFile, plan_files
from promptd.core.connections import StoredSettings, StoredSlot, resealed
from promptd.core.engine import Config, Engine
from promptd.core.errors import ConfigUnusable, PromptSerializationError
from promptd.core.ports import Vault
from promptd.service.callbacks import Callbacks
from promptd.service.contents import Contents

R = TypeVar("R")

_log = logging.getLogger(__name__)

Kind = Literal["connection", "query"]
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)
_PIECE: Final = 256 * 1024
_MOST_BYTES: Final = 4 * 1024 * 1024  # of data; what is larger belongs into files
_MOST_FILES: Final = 100


class Opened(NamedTuple):
    """Settings as their engine reads them, and what did not fit. Nobody changes the report."""

    config: Config
    report: LoadReport


class SettingsVault:
    """`remembered`: how many opened settings are kept at hand."""

    def __init__(self, vault: Vault, contents: Contents, callbacks: Callbacks, *, remembered: int = 256) -> None:
        self._vault, self._contents, self._callbacks = vault, contents, callbacks
        self._remembered = remembered
        self._opened: OrderedDict[tuple[str, Kind, bytes], Opened] = OrderedDict()
        self._storing: set[asyncio.Future[None]] = set()
        self.of_queries: set[str] = set()  #: contents that settings of queries were stored with since the start

    async def open(self, engine: Engine[Any, Any], stored: StoredSettings, kind: Kind = "connection") -> Opened:
        """The settings and what is to be said about reading them. Raises `ConfigUnusable`."""
        key = (engine.type_id, kind, stored.sealed)
        known = self._opened.get(key)
        if known is not None:
            self._opened.move_to_end(key)
            return known
        report = LoadReport()
        config = await self._read(engine, self.exported(stored), report, kind)
        self._opened[key] = opened = Opened(config, report)
        if len(self._opened) > self._remembered:
            self._opened.popitem(last=False)
        return opened

    async def _read(self, engine: Engine[Any, Any], stored: SerializedConfig, report: LoadReport, kind: Kind) -> Config:
        queries = kind == "query"
        read = engine.deserialize_query_config if queries else engine.deserialize_connection_config
        try:
            config: Config = await self._callbacks.call(read, stored, report)
            expected: type[Config] = engine.query_config_class() if queries else engine.connection_config_class()
        except PromptSerializationError as error:
            raise ConfigUnusable(error.message, detail=error.detail) from None
        except Exception as error:  # a stranger's code; what it says may quote a secret
            raise ConfigUnusable(f"the engine could not read its settings ({type(error).__name__})") from None
        if not isinstance(config, expected):
            raise ConfigUnusable("the engine read its settings as something else")
        return config

    def exported(self, stored: StoredSettings) -> SerializedConfig:
        """What the engine once wrote, secrets in the clear. Raises `ConfigUnusable`."""
        return SerializedConfig(
            data=self._vault.open(stored.sealed),
            content_type=stored.content_type,
            version=stored.version,
            # their keys are in memory from now on, like the secrets: a change of the vault's key takes nothing away
            files={slot: _file(file, self._opener(file)) for slot, file in stored.files.items()},
        )

    def _opener(self, file: StoredSlot) -> Callable[[], BinaryIO]:
        if not file.key:
            return partial(self._contents.open, file.digest)
        key = self._vault.open(file.key)
        return lambda: self._vault.open_file(self._contents.open(file.digest), key)

    async def store(
        self,
        engine: Engine[Any, Any],
        config: Config,
        record: Callable[[StoredSettings], Awaitable[R]],
        *,
        kind: Kind = "connection",
        before: StoredSettings | None = None,
    ) -> R:
        """Write the settings and call `record` with them, which puts them into the store; where that fails, nothing stays.

        Files that have the date of those in `before` are neither opened nor written. Throw away what is no longer named
        with `Contents.release`. Raises `PromptSerializationError`, `StoreUnavailable` and what `record` raises.
        """
        with self.storing():
            written = await self._write(engine, config, kind)
            # what earlier versions left unsealed counts as new
            known = {slot: file for slot, file in before.files.items() if file.key} if before is not None else {}
            plan = plan_files({slot: _file(file, _never) for slot, file in known.items()}, written.files)
            fresh = {slot: _Fresh(written.files[slot], self._vault) for slot in (*plan.write, *plan.rewrite)}

            async def put(saved: Mapping[str, tuple[str, int]]) -> R:
                slots = {
                    slot: fresh[slot].slot(saved[slot][0]) if slot in fresh else _slot(file, known[slot])
                    for slot, file in written.files.items()
                }
                if kind == "query":
                    self.of_queries.update(slot.digest for slot in slots.values())
                sealed = self._vault.seal(written.data)
                settings = StoredSettings(sealed, written.content_type, written.version, slots, engine.type_id)
                return await record(settings)

            if not fresh:
                return await put({})
            return await self._contents.keep_all({slot: file.pieces for slot, file in fresh.items()}, put)

    @contextmanager
    def storing(self) -> Iterator[None]:
        """Sealed bytes go into the store only within: a change of the vault's key waits for the end."""
        done = asyncio.get_running_loop().create_future()
        self._storing.add(done)
        try:
            yield
        finally:
            self._storing.discard(done)
            done.set_result(None)

    async def _write(self, engine: Engine[Any, Any], config: Config, kind: Kind) -> SerializedConfig:
        write = engine.serialize_query_config if kind == "query" else engine.serialize_connection_config
        try:
            written = await self._callbacks.call(write, config)
        except PromptSerializationError:
            raise
        except Exception as error:  # as when reading
            raise PromptSerializationError(
                f"the engine could not write its settings ({type(error).__name__})"
            ) from None
        if not (
            isinstance(written, SerializedConfig)
            and isinstance(written.data, bytes)
            and all(isinstance(file, StoredFile) for file in written.files.values())
        ):
            raise PromptSerializationError("the engine wrote something else than settings")
        if len(written.data) > _MOST_BYTES or len(written.files) > _MOST_FILES:
            raise PromptSerializationError(f"the settings have more than {_MOST_BYTES} bytes or {_MOST_FILES} files")
        return written

    # ---------------------------------------------------------------- other keys

    def renewed(self, stored: StoredSettings | None, stale: Callable[[bytes], bool]) -> StoredSettings | None:
        """The same under the vault's current key; None where it is already, or where no key opens it any more."""
        if stored is None or not any(map(stale, _envelopes(stored))):
            return None
        try:
            sealed = self._vault.seal(self._vault.open(stored.sealed))
            files = {
                slot: replace(file, key=self._vault.seal(self._vault.open(file.key))) if file.key else file
                for slot, file in stored.files.items()
            }
        except ConfigUnusable as error:
            _log.warning("stored settings can't be sealed anew: %s", error.message, extra={"action": "reseal_failed"})
            return None
        return resealed(stored, sealed, files)

    async def settled(self) -> None:
        """Wait until what is being stored now is in the store, so that somebody who looks there sees it."""
        if self._storing:
            await asyncio.wait(set(self._storing))


def digests(*stored: StoredSettings | None) -> set[str]:
    """The contents that settings name."""
    return {file.digest for settings in stored if settings is not None for file in settings.files.values()}


class _Fresh:
    """A file on its way into the store: sealed, under a key of its own."""

    def __init__(self, file: StoredFile, vault: Vault) -> None:
        self._file, self._size = file, 0
        self._key, self.pieces = vault.seal_file(self._counted())

    async def _counted(self) -> AsyncIterator[bytes]:
        async for piece in _pieces(self._file):
            self._size += len(piece)
            yield piece

    def slot(self, digest: str) -> StoredSlot:
        """Once all of it is stored, under `digest`."""
        file = self._file
        return StoredSlot(file.filename, file.media_type, _modified(file), digest, self._size, self._key)


def _envelopes(stored: StoredSettings) -> list[bytes]:
    return [stored.sealed, *(file.key for file in stored.files.values() if file.key)]


def _file(file: StoredSlot, opener: Callable[[], BinaryIO]) -> StoredFile:
    modified = _EPOCH + round(file.modified * 1000) * _MILLISECOND
    return StoredFile(file.filename, file.media_type, modified, opener, file.size)


def _never() -> BinaryIO:
    raise ConfigUnusable("only its date was asked for")


def _slot(file: StoredFile, known: StoredSlot) -> StoredSlot:
    """The same content under what the file is called now."""
    return StoredSlot(file.filename, file.media_type, _modified(file), known.digest, known.size, known.key)


def _modified(file: StoredFile) -> float:
    return (file.last_modified - _EPOCH) // _MILLISECOND / 1000


async def _pieces(file: StoredFile) -> AsyncIterator[bytes]:
    """The bytes of a file; reading them is the engine's code too."""
    try:
        opened: BinaryIO = await asyncio.to_thread(file.open)
    except Exception as error:  # whatever an author's `open` raises
        raise PromptSerializationError(f"a file of the settings can't be read ({type(error).__name__})") from None
    with opened:
        while True:
            try:
                piece = await asyncio.to_thread(opened.read, _PIECE)
            except Exception as error:  # as above
                raise PromptSerializationError(
                    f"a file of the settings can't be read ({type(error).__name__})"
                ) from None
            if not piece:
                return
            yield piece
