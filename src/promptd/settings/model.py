"""The settings as frozen pydantic models. Each field's description is its line in docs/configuration.md."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    IPvAnyNetwork,
    SecretStr,
    StringConstraints,
    model_validator,
)

from promptd.core.errors import SettingsError
from promptd.core.lifecycle import Status
from promptd.core.policy import Metric, Policy, Scope
from promptd.core.ports import Retention

MIB: Final = 1024 * 1024


def _path(path: Path) -> Path:
    if path == Path():
        raise ValueError("a path that is not empty")
    return path.expanduser()


def _file(path: Path) -> Path:
    if not (expanded := path.expanduser()).is_file():
        raise ValueError("the path of an existing file")
    return expanded


Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}$")]
Text = Annotated[str, StringConstraints(min_length=1)]
ExistingFile = Annotated[Path, AfterValidator(_file)]
AnyPath = Annotated[Path, AfterValidator(_path)]
Seconds = Annotated[float, Field(gt=0, le=31_536_000, allow_inf_nan=False)]
Bytes = Annotated[int, Field(ge=1024, le=16 * 1024 * MIB)]


class Section(BaseModel):
    """Base of all sections: frozen, and a key it does not know is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class ServerSettings(Section):
    """The listening socket and what may come through it."""

    host: Text = Field("127.0.0.1", description="Address to listen on. Anything but loopback is reachable by others.")
    port: int = Field(11337, ge=0, le=65535, description="TCP port; 0 lets the system choose one.")
    max_body_bytes: Bytes = Field(16 * MIB, description="Largest request body; a larger one is refused with 413.")
    max_connections: int = Field(
        4096, ge=1, le=1_000_000, description="Open client connections at once; more are refused with 503."
    )
    trusted_proxies: tuple[IPvAnyNetwork, ...] = Field(
        (), description="Addresses or networks whose `X-Forwarded-For` is believed."
    )
    tls_cert: ExistingFile | None = Field(None, description="PEM certificate chain; only together with `tls_key`.")
    tls_key: ExistingFile | None = Field(None, description="PEM private key; only together with `tls_cert`.")
    drain_seconds: Annotated[float, Field(ge=0, le=3600, allow_inf_nan=False)] = Field(
        20.0, description="How long running attempts may finish after SIGTERM before they are handed back."
    )
    open_metrics: bool = Field(False, description="Serve `/metrics` to everyone, without a key.")


class StoreSettings(Section):
    """The database."""

    path: AnyPath | None = Field(
        None, description="SQLite file; a relative path starts at the home folder. Default: `promptd.db` there."
    )
    backup_before_migration: bool = Field(True, description="Copy the database beside itself before a migration.")
    batch_ms: float = Field(
        2.0, ge=0, le=1000, allow_inf_nan=False, description="Milliseconds that writes are gathered for one commit."
    )


class QueueSettings(Section):
    """Leases, rescues and the bound of the backlog."""

    lease_seconds: Seconds = Field(
        30.0, description="A running prompt without a sign of life for this long is rescued."
    )
    beat_seconds: Seconds = Field(5.0, description="Time between two signs of life; at most half of the lease.")
    max_waiting: int = Field(
        1_000_000, ge=1, description="Prompts that may wait; beyond, new ones are refused with 503 (`overloaded`)."
    )
    rescue_limit: int = Field(20, ge=1, le=1000, description="Rescues after which a prompt is abandoned.")
    quarantine_after: int = Field(
        3, ge=1, le=1000, description="Rescues after which a prompt runs alone, to see whether it kills its worker."
    )


class RetrySettings(Section):
    """Attempt n + 1 starts `base_seconds ** min(n, max_exponent)` seconds after the start of attempt n."""

    max_attempts: int = Field(
        5, ge=1, le=1000, description="Attempts of a prompt in all, unless its caller asks for fewer."
    )
    base_seconds: float = Field(
        2.0, ge=1.0, le=60.0, allow_inf_nan=False, description="Base of the delay, in seconds. 1 is a constant delay."
    )
    max_exponent: int = Field(9, ge=0, le=16, description="The exponent of the delay stops growing here.")


class StreamsSettings(Section):
    """Live answers and their readers."""

    heartbeat_seconds: Seconds = Field(15.0, description="A silent stream sends a comment this often.")
    stuck_reader_seconds: Seconds = Field(60.0, description="A reader that takes nothing for this long is closed.")
    retry_hint_ms: int = Field(
        2000, ge=0, le=3_600_000, description="Milliseconds after which a closed reader should return."
    )
    max_answer_bytes: Bytes = Field(16 * MIB, description="Largest answer; an attempt that says more fails.")


class HistorySettings(Section):
    """How much of a thread an engine sees."""

    tokens: int = Field(3000, ge=1, description="Budget for messages where the context of the model is not known.")


class ConnectionSettings(Section):
    """An engine with its settings. Keys beyond these belong to the engine and are checked by it."""

    # extra keys can only be checked against the engine's config class, once the registry is loaded
    model_config = ConfigDict(extra="allow", frozen=True, hide_input_in_errors=True)

    engine: Text = Field(description="Type of the engine, such as `llamacpp` or `openai`.")
    slots: int = Field(4, ge=1, le=10_000, description="Prompts that run at once on this connection.")

    @property
    def config(self) -> dict[str, Any]:
        """The engine's own keys, not yet checked; they may hold secrets."""
        return dict(self.__pydantic_extra__ or {})

    def __repr_args__(self) -> list[tuple[str | None, Any]]:
        shown: list[tuple[str | None, Any]] = [(name, getattr(self, name)) for name in type(self).model_fields]
        return [*shown, *((name, "…") for name in self.config)]


class PriceSettings(Section):
    """What a model costs, in units of one currency per million tokens."""

    input_per_million: float = Field(
        ge=0, le=1_000_000, allow_inf_nan=False, description="Price of a million input tokens."
    )
    output_per_million: float = Field(
        ge=0, le=1_000_000, allow_inf_nan=False, description="Price of a million output tokens."
    )


class ModelSettings(Section):
    """A name that callers use, served by one connection."""

    connection: Text = Field(description="Name of the connection that serves it.")
    upstream: Text | None = Field(None, description="Name the connection is asked for. Default: the model's own name.")
    context: int | None = Field(None, ge=1, description="Tokens that fit. Default: what the engine says, if it does.")
    price: PriceSettings | None = Field(None, description="What it costs. Default: nothing.")


class LimitSettings(Section):
    """A limit on requests, tokens, cost or concurrency, counted for each user, key, team, model or for all together."""

    name: Name = Field(description="Unique name, shown to callers that reach the limit.")
    metric: Metric = Field(description="What is counted. `cost` counts billionths (10⁻⁹) of the price's currency.")
    limit: int = Field(ge=1, description="Units per window; for `concurrency`, prompts at once.")
    window: Seconds = Field(60.0, description="Length of the window. Not for `concurrency`.")
    scope: Scope = Field("user", description="Who shares one counter.")
    burst: int | None = Field(
        None,
        ge=1,
        description="Units an idle subject may take at once. Default: the whole limit. Not for `concurrency`.",
    )

    @property
    def policy(self) -> Policy:
        """The same as the policy that counts it."""
        return Policy(
            name=self.name, metric=self.metric, limit=self.limit, window=self.window, scope=self.scope, burst=self.burst
        )


class PatternSettings(Section):
    """A text that matches is refused."""

    name: Name = Field(description="Unique name, shown as the reason of the refusal.")
    pattern: Text = Field(description="Regular expression in RE2 syntax.")


class GuardSettings(Section):
    """What the built-in guard refuses. By default, nothing."""

    max_chars: int | None = Field(None, ge=1, description="Longest text of a prompt, in characters over all messages.")
    blocklist: tuple[Text, ...] = Field((), description="Words and phrases that are refused, in any case.")
    whole_words: bool = Field(
        True, description="A word of the blocklist counts only between non-letters. Turn it off for Chinese or Thai."
    )
    patterns: tuple[PatternSettings, ...] = Field((), description="Named regular expressions that are refused.")
    output: bool = Field(
        False, description="Judge answers too. Their text is then held back until the whole answer is judged."
    )

    @property
    def rules(self) -> dict[str, Any]:
        """What the guard is built from; empty where nothing is refused."""
        rules = {name: value for name, value in self.model_dump(exclude={"output", "whole_words"}).items() if value}
        return rules | {"whole_words": self.whole_words} if rules else {}


class RetentionSettings(Section):
    """How long final prompts are kept. By default, for ever."""

    completed: Seconds | None = Field(None, description="Seconds after which a completed prompt is deleted.")
    abandoned: Seconds | None = Field(None, description="Seconds after which an abandoned prompt is deleted.")
    canceled: Seconds | None = Field(None, description="Seconds after which a canceled prompt is deleted.")
    prune_every_seconds: Seconds = Field(3600.0, description="Time between two rounds of deleting.")

    @property
    def rules(self) -> tuple[Retention, ...]:
        """The rules for `Queue.prune`; empty where everything is kept."""
        ages = {
            Status.COMPLETED: self.completed,
            Status.ABANDONED: self.abandoned,
            Status.CANCELED: self.canceled,
        }
        return tuple(Retention(status, age) for status, age in ages.items() if age is not None)


class LogSettings(Section):
    """The log, on standard error."""

    level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Least severe level that is written."
    )
    json_lines: bool = Field(False, alias="json", description="Write one JSON object per line.")


def _long(secret: SecretStr) -> SecretStr:
    if len(secret.get_secret_value()) < 16:
        raise ValueError("at least 16 characters")
    return secret


class KeysSettings(Section):
    """API keys."""

    admin_key: Annotated[SecretStr, AfterValidator(_long)] | None = Field(
        None,
        description="The admin key. Default: the first start makes one and prints the path of its file. "
        "Best given as `PROMPTD_ADMIN_KEY`.",
    )


def _default_models(data: dict[str, Any]) -> dict[str, ModelSettings]:
    if "builtin" not in data["connections"]:
        raise _wrong("models", "at least one model, because connections are configured")
    return {"demo": ModelSettings(connection="builtin")}


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
    models: dict[Name, ModelSettings] = Field(
        default_factory=_default_models,
        description="Default: `demo`, served by `builtin`.",
    )
    default_model: str = Field(
        default_factory=lambda data: next(iter(data["models"]), ""),
        description="Model of a prompt that names none. Default: the first of `models`.",
    )
    limits: tuple[LimitSettings, ...] = Field((), description="")
    guard: GuardSettings = Field(GuardSettings(), description="")
    retention: RetentionSettings = Field(RetentionSettings(), description="")
    log: LogSettings = Field(LogSettings(), description="")
    keys: KeysSettings = Field(KeysSettings(), description="")

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
        for name, model in self.models.items():
            if model.connection not in self.connections:
                raise _wrong(f"models.{name}.connection", f"one of {', '.join(self.connections)}")
        if self.default_model not in self.models:
            raise _wrong("default_model", f"one of {', '.join(self.models)}")
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
