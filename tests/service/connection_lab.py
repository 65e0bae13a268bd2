"""Stored connections on a real database and folder, with engines that do what each test says."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal

from pydantic import SecretStr

from promptd.core.calls import ConnectionTestParams, ConnectionTestResult
from promptd.core.configs import ConfigFile, LoadReport, SerializedConfig, setting
from promptd.core.connections import StoredConnection
from promptd.core.engine import Call, Config, Engine, NoConfig, Result
from promptd.core.forms import Draft, FieldMessage, Form, FormContext, FormLogic, FormPatch, Option
from promptd.core.forms import generate as generated
from promptd.egress.own import own_client
from promptd.service.callbacks import Callbacks
from promptd.service.clock import Ids
from promptd.service.connection_tests import ConnectionTests, OwnClient
from promptd.service.contents import Contents
from promptd.service.forms import Forms, Written
from promptd.service.known_connections import Known
from promptd.service.rotation import Rotation
from promptd.service.settings_vault import SettingsVault
from promptd.service.stored_connections import StoredConnections
from promptd.service.uploads import Uploads
from promptd.stores.files import FolderFiles
from promptd.stores.sqlite import Database
from promptd.testing.files import stream
from promptd.vault import AesGcmVault, KeyFile
from tests.service.house import Clock

KEY = "sk-correct-horse-battery"
LONGER = KEY + "-staple"


class Proxy(Config):
    """A group inside the settings, with a secret of its own."""

    host: str = ""
    password: SecretStr = SecretStr("")


class PrinterConfig(Config):
    base_url: str = setting("https://printer.example", required=True, widget="url")
    api_key: SecretStr = setting(SecretStr(""), required=True, widget="api_key")
    mode: Literal["plain", "colour"] = "plain"
    pages: int = setting(10, ge=1, le=100)
    proxy: Proxy = Proxy()
    certificate: ConfigFile | None = None


class QueryConfig(Config):
    task: str = setting("copy", options="tasks")
    token: SecretStr = SecretStr("")


class Printer(Engine[PrinterConfig, QueryConfig]):
    """A handler as a stranger would write it; tests replace single methods by what goes wrong."""

    type_id = "acme.printer"

    def __init__(self) -> None:
        self.tested: list[ConnectionTestParams[PrinterConfig]] = []
        self.test: Callable[[ConnectionTestParams[PrinterConfig]], Any] = lambda params: ConnectionTestResult(ok=True)
        self.logic: FormLogic[Any, Any] | None = None
        self.form: Callable[[FormContext], Form] = lambda context: generated(PrinterConfig)

    async def execute(self, call: Call[PrinterConfig, QueryConfig]) -> Result:
        return Result(text="printed")

    async def test_connection(self, params: ConnectionTestParams[PrinterConfig]) -> ConnectionTestResult:
        self.tested.append(params)
        found = self.test(params)
        result: ConnectionTestResult = await found if hasattr(found, "__await__") else found
        return result

    def connection_form(self, context: FormContext) -> Form:
        return self.form(context)

    def connection_form_logic(self) -> FormLogic[PrinterConfig, Any] | None:
        return self.logic

    def query_form_logic(self) -> FormLogic[PrinterConfig, QueryConfig] | None:
        return self.logic


class ScannerQuery(Config):
    """Has a setting in common with the printer's query, and others."""

    task: Literal["scan", "copy"] = "scan"
    resolution: int | None = setting(None, required=True)


class Scanner(Engine[PrinterConfig, ScannerQuery]):
    type_id = "acme.scanner"

    async def execute(self, call: Call[PrinterConfig, ScannerQuery]) -> Result:
        return Result()


class Brittle(Engine[PrinterConfig]):
    """Its settings can be neither written nor read while `broken` says so."""

    type_id = "acme.brittle"
    broken: Exception | None = None

    async def execute(self, call: Call[PrinterConfig]) -> Result:
        return Result()

    def serialize_connection_config(self, config: PrinterConfig) -> SerializedConfig:
        if self.broken is not None:
            raise self.broken
        return super().serialize_connection_config(config)

    def deserialize_connection_config(self, stored: SerializedConfig, report: LoadReport) -> PrinterConfig:
        if self.broken is not None:
            raise self.broken
        return super().deserialize_connection_config(stored, report)


class Logic(FormLogic[Any, Any]):
    """Says who asked for what."""

    def __init__(self) -> None:
        self.drafts: list[Draft[Any, Any]] = []
        self.messages: list[FieldMessage] = []
        self.patch: Callable[[Draft[Any, Any]], Any] = lambda draft: FormPatch(values={"pages": 7})

    async def options(self, source: str, draft: Draft[Any, Any], search: str) -> list[Option]:
        self.drafts.append(draft)
        key = draft.connection.api_key.get_secret_value()
        return [Option(f"{source}-{search}"), Option(draft.connection.base_url, label=f"at {key}")]

    async def on_change(self, path: str, draft: Draft[Any, Any]) -> FormPatch | None:
        self.drafts.append(draft)
        patch: FormPatch | None = self.patch(draft)
        return patch

    async def validate(self, draft: Draft[Any, Any]) -> list[FieldMessage]:
        self.drafts.append(draft)
        return self.messages

    async def action(self, name: str, draft: Draft[Any, Any]) -> FormPatch | None:
        self.drafts.append(draft)
        patch: FormPatch | None = self.patch(draft)
        return patch


class Bare(Engine[NoConfig]):
    type_id = "acme.bare"

    async def execute(self, call: Call[NoConfig]) -> Result:
        return Result()


class Lab:
    """One start of the house's part; `opened` is another one on the same folder."""

    def __init__(self, home: Path, *, seconds: float = 5.0) -> None:
        self.home, self.clock = home, Clock()
        self.database = Database(home / "promptd.db")
        self.contents = Contents(FolderFiles(home / "files"), self.database.records)
        ids = Ids(self.clock, os.urandom)
        self.uploads = Uploads(contents=self.contents, records=self.database.records, clock=self.clock, ids=ids)
        self.keys = AesGcmVault(KeyFile(home / "vault.key"))
        self.callbacks = Callbacks(seconds)
        self.vault = SettingsVault(self.keys, self.contents, self.callbacks)
        self.printer, self.brittle = Printer(), Brittle()
        self.engines: dict[str, Engine[Any, Any]] = {
            engine.type_id: engine for engine in (self.printer, self.brittle, Bare())
        }
        self.named: list[str] = []  #: private addresses that the operator named
        self.forms = Forms(callbacks=self.callbacks, client=self.client, uploads=self.uploads, contents=self.contents)
        self.stored = StoredConnections(
            records=self.database.records,
            vault=self.vault,
            contents=self.contents,
            engines=self.engines,
            forms=self.forms,
            tests=ConnectionTests(callbacks=self.callbacks, client=self.client, seconds=seconds),
            client=self.client,
            taken=lambda name: name == "builtin",
            clock=self.clock,
            ids=ids,
        )
        self.rotation = Rotation(vault=self.keys, settings=self.vault, places=[self.stored.renew_seals])
        self.changes = 0
        self.stored.changed = self._count

    def _count(self) -> None:
        self.changes += 1

    def client(self, urls: Sequence[str]) -> OwnClient:
        return own_client(urls, named=self.named)

    async def close(self) -> None:
        await self.stored.close()
        await self.database.close()

    async def make(self, name: str = "office", engine: str = "acme.printer", **values: Any) -> Known:
        written = Written(values={"api_key": KEY, **values})
        return await self.stored.create("root", name=name, engine=engine, written=written, locale="en")

    async def save(self, known: Known, *, clear: tuple[str, ...] = (), **values: Any) -> Known:
        return await self.stored.update(
            known.record.id,
            changed=known.record.changed,
            written=Written(values=values, clear=clear),
            locale="en",
        )

    async def row(self, known: Known) -> StoredConnection:
        """What the database has."""
        found = await self.database.records.get(StoredConnection, known.record.id)
        assert found is not None
        return found

    async def upload(self, content: bytes, name: str = "cert.pem") -> str:
        return (await self.uploads.save("root", name, None, stream([content]), 10**6)).id

    def kept(self) -> set[str]:
        return {path.name for path in (self.home / "files").rglob("*") if path.is_file()}


@asynccontextmanager
async def opened(home: Path, *, seconds: float = 5.0) -> AsyncIterator[Lab]:
    lab = Lab(home, seconds=seconds)
    try:
        await lab.stored.load()
        yield lab
    finally:
        await lab.close()


def printer(known: Known) -> PrinterConfig:
    """Its settings, which it must have."""
    assert isinstance(known.config, PrinterConfig)
    return known.config
