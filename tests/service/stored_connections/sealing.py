"""Settings with a file, sealed and read again."""

from __future__ import annotations

from datetime import UTC, datetime
from io import BytesIO
from typing import Any, BinaryIO

from pydantic import SecretStr

from promptd.core.configs import ConfigFile, SerializedConfig, StoredFile
from promptd.core.connections import StoredSettings
from tests.service.connection_lab import KEY, Lab, Printer, PrinterConfig

NOON = datetime(2026, 11, 21, 12, 0, 0, 123_456, tzinfo=UTC)


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


class Several(Printer):
    """Writes files of its own, by slot."""

    type_id = "acme.several"

    def __init__(self) -> None:
        super().__init__()
        self.files: dict[str, StoredFile] = {}

    def serialize_connection_config(self, config: PrinterConfig) -> SerializedConfig:
        return SerializedConfig(b"{}", files=self.files)
