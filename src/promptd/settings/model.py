"""The settings as frozen pydantic models. Each field's description is its line in docs/configuration.md."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import (
    Field,
    PrivateAttr,
    model_validator,
)

from promptd.core.errors import SettingsError
from promptd.dialects.arch import ArchConfig
from promptd.settings.forms import AnyPath, ModelName, Name, Section, Text
from promptd.settings.guards import GuardSettings
from promptd.settings.mcp import McpSettings
from promptd.settings.plugins import PluginSettings
from promptd.settings.sections import (
    CompatSettings,
    DownloadsSettings,
    FilesSettings,
    HistorySettings,
    KeysSettings,
    LimitSettings,
    LogSettings,
    QueueSettings,
    RetentionSettings,
    RetrySettings,
    ServerSettings,
    StoreSettings,
    StreamsSettings,
    TokensSettings,
)
from promptd.settings.sources import ConnectionSettings, FleetSettings, ModelSettings
from promptd.settings.stored import StoredConnectionsSettings, VaultSettings
from promptd.settings.tracing import TracingSettings


def _default_models(data: dict[str, Any]) -> dict[str, ModelSettings]:
    return {"demo": ModelSettings(connection="builtin")} if "builtin" in data["connections"] else {}


class Settings(Section):
    """Everything an operator can say. `promptd.settings.load` makes it; nothing else reads file or environment."""

    home: AnyPath = Field(description="Folder of database, keys and configuration: `PROMPTD_HOME`, never in the file.")
    server: ServerSettings = Field(ServerSettings(), description="")
    store: StoreSettings = Field(StoreSettings(), description="")
    queue: QueueSettings = Field(QueueSettings(), description="")
    retry: RetrySettings = Field(RetrySettings(), description="")
    streams: StreamsSettings = Field(StreamsSettings(), description="")
    history: HistorySettings = Field(HistorySettings(), description="")
    connections: dict[Name, ConnectionSettings] = Field(
        default_factory=lambda: {"builtin": ConnectionSettings(engine="llamacpp")},
        description="Default: `builtin`, the model that comes with promptd.",
    )
    models: dict[ModelName, ModelSettings] = Field(
        default_factory=_default_models,
        description="Default: `demo`, served by `builtin`, where that is there. A server for queries alone needs none.",
    )
    plugins: dict[Text, PluginSettings] = Field(
        {}, description="Rules for installed plugins, by the name of their distribution."
    )
    default_model: str = Field(
        default_factory=lambda data: next((name for name in data["models"] if "*" not in name), ""),
        description="Model of a prompt that names none. Default: the first of `models` that is no pattern.",
    )
    fleet: FleetSettings = Field(FleetSettings(), description="")
    stored_connections: StoredConnectionsSettings = Field(StoredConnectionsSettings(), description="")
    vault: VaultSettings = Field(VaultSettings(), description="")
    limits: tuple[LimitSettings, ...] = Field((), description="")
    guard: GuardSettings = Field(GuardSettings(), description="")
    retention: RetentionSettings = Field(RetentionSettings(), description="")
    log: LogSettings = Field(LogSettings(), description="")
    keys: KeysSettings = Field(KeysSettings(), description="")
    tokens: TokensSettings = Field(TokensSettings(), description="")
    files: FilesSettings = Field(FilesSettings(), description="")
    downloads: DownloadsSettings = Field(DownloadsSettings(), description="")
    compat: CompatSettings = Field(CompatSettings(), description="")
    mcp: McpSettings = Field(McpSettings(), description="")
    tracing: TracingSettings = Field(TracingSettings(), description="")

    #: no key of promptd.yaml: the whole of an Arch file, where the settings were made from one
    _arch: ArchConfig | None = PrivateAttr(None)

    @property
    def arch(self) -> ArchConfig | None:
        """The Arch file that the settings were made from."""
        return self._arch

    def with_arch(self, config: ArchConfig) -> Settings:
        """The same settings, made from an Arch file."""
        made = self.model_copy()
        made._arch = config
        return made

    @property
    def store_path(self) -> Path:
        """The database file."""
        return self.home / (self.store.path or "promptd.db")

    @model_validator(mode="after")
    def _references(self) -> Settings:
        """What no single field can see. Raises `SettingsError` itself, because it knows the path."""
        if (self.server.tls_cert is None) != (self.server.tls_key is None):
            missing = "tls_key" if self.server.tls_key is None else "tls_cert"
            raise _wrong(f"server.{missing}", "a file, because its counterpart is given")
        if self.queue.beat_seconds > self.queue.lease_seconds / 2:
            raise _wrong("queue.beat_seconds", "at most half of queue.lease_seconds")
        if self.queue.quarantine_after > self.queue.rescue_limit:
            raise _wrong("queue.quarantine_after", "at most queue.rescue_limit")
        named = [name for name in self.models if "*" not in name]
        if self.default_model not in named and (self.default_model or named):
            raise _wrong(
                "default_model", f"one of {', '.join(named or self.models) or 'the models, and there are none'}"
            )
        _unique("limits", [limit.name for limit in self.limits])
        if self.guard.output and not self.guard.rules:
            raise _wrong("guard.output", "false, because no rule of the guard is set")
        _unique("guard.patterns", [pattern.name for pattern in self.guard.patterns])
        for index, limit in enumerate(self.limits):
            if limit.metric == "concurrency":
                for key in ("window", "burst"):
                    if key in limit.model_fields_set:
                        raise _wrong(f"limits[{index}].{key}", "nothing, because concurrency has no window")
        return self


def _wrong(key: str, expected: str) -> SettingsError:
    return SettingsError(f"{key}: expected {expected}", key=key)


def _unique(path: str, names: list[str]) -> None:
    for index, name in enumerate(names):
        if name in names[:index]:
            raise _wrong(f"{path}[{index}].name", "a name that no other entry has")
