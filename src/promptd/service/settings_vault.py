"""Settings of connections and queries at rest: written and read by their engine, sealed by the vault, files beside.

What was opened is remembered, because a query's settings are needed for each of its runs.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, BinaryIO, Final, Literal, NamedTuple, TypeVar

from promptd.core.configs import LoadReport, SerializedConfig, StoredFile, plan_files
from promptd.core.connections import StoredSettings, StoredSlot
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
            files=self._files(stored),
        )

    def _files(self, stored: StoredSettings) -> dict[str, StoredFile]:
        return {
            slot: StoredFile(
                file.filename,
                file.media_type,
                _EPOCH + round(file.modified * 1000) * _MILLISECOND,
                partial(self._contents.open, file.digest),
                file.size,
            )
            for slot, file in stored.files.items()
        }

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
        done = asyncio.get_running_loop().create_future()
        self._storing.add(done)
        try:
            written = await self._write(engine, config, kind)
            known = before.files if before is not None else {}
            plan = plan_files(self._files(before) if before is not None else {}, written.files)
            fresh = {slot: written.files[slot] for slot in (*plan.write, *plan.rewrite)}

            async def put(saved: Mapping[str, tuple[str, int]]) -> R:
                slots = {
                    slot: _slot(file, *(saved.get(slot) or (known[slot].digest, known[slot].size)))
                    for slot, file in written.files.items()
                }
                if kind == "query":
                    self.of_queries.update(slot.digest for slot in slots.values())
                sealed = self._vault.seal(written.data)
                return await record(StoredSettings(sealed, written.content_type, written.version, slots))

            if not fresh:
                return await put({})
            return await self._contents.keep_all({slot: _pieces(file) for slot, file in fresh.items()}, put)
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
        if stored is None or not stale(stored.sealed):
            return None
        try:
            sealed = self._vault.seal(self._vault.open(stored.sealed))
        except ConfigUnusable as error:
            _log.warning("stored settings can't be sealed anew: %s", error.message, extra={"action": "reseal_failed"})
            return None
        return StoredSettings(sealed, stored.content_type, stored.version, stored.files)

    async def settled(self) -> None:
        """Wait until what is being stored now is in the store, so that somebody who looks there sees it."""
        if self._storing:
            await asyncio.wait(set(self._storing))


def digests(*stored: StoredSettings | None) -> set[str]:
    """The contents that settings name."""
    return {file.digest for settings in stored if settings is not None for file in settings.files.values()}


def _slot(file: StoredFile, digest: str, size: int) -> StoredSlot:
    modified = (file.last_modified - _EPOCH) // _MILLISECOND / 1000
    return StoredSlot(file.filename, file.media_type, modified, digest, size)


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
