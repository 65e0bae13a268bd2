"""Sections about the server itself. Each field's description is its line in docs/configuration.md."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import (
    AfterValidator,
    Field,
    IPvAnyNetwork,
    SecretStr,
    StringConstraints,
    model_validator,
)

from promptd.core.lifecycle import Status
from promptd.core.policy import Metric, Period, Policy
from promptd.core.ports import Retention
from promptd.core.routing import Price
from promptd.settings.forms import MIB, AnyPath, Bytes, ExistingFile, HttpUrl, Name, Seconds, Section, Text
from promptd.settings.listeners import ArchSettings, HostName, Origin

_SCOPE: Final = r"^(user|key|team|model|all|header:[a-z0-9!#$%&'*+.^_`|~-]{1,64})$"
Amount = Annotated[float, Field(ge=0, le=1_000_000, allow_inf_nan=False)]


class ServerSettings(Section):
    """The listening socket and what may come through it."""

    host: Text = Field("127.0.0.1", description="Address to listen on. Anything but loopback is reachable by others.")
    port: int = Field(11337, ge=0, le=65535, description="TCP port; 0 lets the system choose one.")
    max_body_bytes: Bytes = Field(32 * MIB, description="Largest request body; a larger one is refused with 413.")
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
    allowed_origins: tuple[Origin, ...] = Field(
        (),
        description="Origins (`https://app.example.com`) of pages that may use what needs no key: listeners of an Arch file, "
        "and TrustGraph's services where they are open. Pages of all others are refused there.",
    )
    allowed_hosts: tuple[HostName, ...] = Field(
        (),
        description="Names of this server beside addresses and `localhost`, `*.example.com` for all below one. What needs "
        "no key is refused under others where it is asked by loopback or by a page.",
    )


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


class LimitSettings(Section):
    """A limit on requests, tokens, cost or concurrency, counted for each user, key, team, model or for all together."""

    name: Name = Field(description="Unique name, shown to callers that reach the limit.")
    metric: Metric = Field(
        description="What is counted. `tokens` are input and output together; `cost` counts billionths (10⁻⁹) of the "
        "price's currency."
    )
    limit: int = Field(ge=1, le=2**62, description="Units per window; for `concurrency`, prompts at once.")
    window: Seconds = Field(60.0, description="Length of the window. Not for `concurrency`, nor beside `period`.")
    period: Period | None = Field(
        None, description="In place of a window, the calendar `day` or `month` (UTC): the limit is a budget."
    )
    scope: Annotated[str, StringConstraints(pattern=_SCOPE)] = Field(
        "user",
        description="Who shares one counter: `user`, `key`, `team`, `model`, `all`, or `header:<name>` (in lower case), all "
        "who send the same value of that header.",
    )
    only: Text | None = Field(
        None,
        description="The one user, key (its id), team, model or header value that it is for. Default: each has a counter.",
    )
    models: tuple[Text, ...] = Field(
        (), description="Patterns (`gpt-*`) of the models whose prompts count. Default: all."
    )
    burst: int | None = Field(
        None,
        ge=1,
        description="Units an idle subject may take at once. Default: the whole limit. Not for `concurrency`, nor beside "
        "`period`.",
    )

    @model_validator(mode="after")
    def _fits(self) -> LimitSettings:
        if self.period is not None:
            if self.metric == "concurrency":
                raise ValueError("no period, because concurrency has none")
            for key in ("window", "burst"):
                if key in self.model_fields_set:
                    raise ValueError(f"no {key} beside a period")
        if self.only is not None and self.scope == "all":
            raise ValueError("no `only`, because `all` is nobody alone")
        return self

    @property
    def policy(self) -> Policy:
        """The same as the policy that counts it."""
        return Policy(
            name=self.name,
            metric=self.metric,
            limit=self.limit,
            window=self.window,
            scope=self.scope,
            burst=self.burst,
            period=self.period,
            only=self.only,
            models=self.models,
        )


class PriceSettings(Section):
    """What a model costs, in units of one currency per million tokens."""

    input_per_million: Amount = Field(description="Price of a million input tokens.")
    output_per_million: Amount = Field(description="Price of a million output tokens.")
    cached_per_million: Amount | None = Field(
        None, description="Price of a million input tokens that the service had in its cache. Default: as other input."
    )
    cache_write_per_million: Amount | None = Field(
        None, description="Price of a million input tokens that it puts into its cache. Default: as other input."
    )

    @property
    def price(self) -> Price:
        """The same per token."""
        return Price(
            _pico(self.input_per_million),
            _pico(self.output_per_million),
            None if self.cached_per_million is None else _pico(self.cached_per_million),
            None if self.cache_write_per_million is None else _pico(self.cache_write_per_million),
        )


def _pico(per_million: float) -> int:
    return round(per_million * 1_000_000)


class RetentionSettings(Section):
    """How long final prompts are kept. By default, for ever."""

    completed: Seconds | None = Field(None, description="Seconds after which a completed prompt is deleted.")
    abandoned: Seconds | None = Field(None, description="Seconds after which an abandoned prompt is deleted.")
    canceled: Seconds | None = Field(None, description="Seconds after which a canceled prompt is deleted.")
    content: Seconds | None = Field(
        None, description="Seconds after which question and answer of a final prompt are removed; its numbers stay."
    )
    keep_attached: bool = Field(
        False,
        description="Keep question and answer of attached prompts (plain calls of OpenAI and Anthropic clients) that do "
        "not say themselves whether to (`store`), nor their keys.",
    )
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


def _filled(secret: SecretStr) -> SecretStr:
    if not secret.get_secret_value():
        raise ValueError("at least one character")
    return secret


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


class FilesSettings(Section):
    """Files that callers upload and engines make."""

    max_upload_bytes: Bytes = Field(1024 * MIB, description="Largest upload; a larger one is refused with 413.")


class DownloadsSettings(Section):
    """Files that the server fetches: models, mostly."""

    hub: HttpUrl = Field(
        "https://huggingface.co",
        description="Base URL of ids such as `owner/repo/file.gguf`, and of the files of the catalogue.",
    )
    allow: tuple[HttpUrl, ...] = Field(
        (),
        description="Private or local addresses (`http://10.0.0.5:8080`) that may be fetched from; public ones may be.",
    )
    at_once: int = Field(3, ge=1, le=100, description="Downloads that run at once; others wait.")
    reserve_bytes: int = Field(1024 * MIB, ge=0, description="Bytes of the disk that downloads leave free.")

    @property
    def origins(self) -> tuple[str, ...]:
        """What may be fetched from besides public addresses: what the operator named."""
        return (*self.allow, self.hub)


class TokensSettings(Section):
    """Tokens of users who log in (JSON Web Tokens, RS256)."""

    seconds: Seconds = Field(300.0, description="Life of a token.")
    auto_refresh: bool = Field(
        True, description="An expired token goes on working as long as its session is not revoked."
    )


class TypeSettings(Section):
    """What a prompt of a type gets that names no model."""

    model: str | None = Field(None, description="Name of the model. Default: the default model, or the first that can.")
    template: str | None = Field(None, description="Raw text around `{prompt}`. Default: the model's own.")


class OneBackendSettings(Section):
    """The 1Backend services."""

    default_admin: bool = Field(
        False,
        description="Give the first user, `1backend`, the documented password `changeme`. Default: a random one, "
        "printed once at the first start.",
    )
    types: dict[str, TypeSettings] = Field({}, description="Prompt type, such as `Text-to-Image`, to what it gets.")
    system_message: str = Field(
        "You are a helpful assistant.", description="What fills `{system_message}` in templates."
    )
    health_port: int | None = Field(
        None, ge=1, le=65535, description="Port that answers `GET /health` while a model runs; the original's is 8001."
    )
    llm_host: Text | None = Field(
        None, description="Host of the address that the status of a model tells. Default: `server.host`."
    )


class TrustGraphSettings(Section):
    """TrustGraph's services under `/api/v1`. Native keys are taken always."""

    open: bool = Field(
        False, description="Let callers without a good token use them too. Only for a network that you trust."
    )
    open_config: bool = Field(
        False, description="Such callers may change prompts and configuration, too. Only together with `open`."
    )
    tokens: tuple[Annotated[SecretStr, AfterValidator(_filled)], ...] = Field(
        (), description="Tokens that are taken besides native keys, for prompts and configuration."
    )
    ports: tuple[Annotated[int, Field(ge=1, le=65535)], ...] = Field(
        (), description="More ports, for clients with a fixed one: 8088, or 8888 from TrustGraph 2.8.6 on."
    )

    @model_validator(mode="after")
    def _opens(self) -> TrustGraphSettings:
        if self.open_config and not self.open:
            raise ValueError("`open_config` only together with `open`")
        return self


class CompatSettings(Section):
    """Faces of other systems."""

    onebackend: OneBackendSettings = Field(OneBackendSettings(), description="")
    trustgraph: TrustGraphSettings = Field(TrustGraphSettings(), description="")
    arch: ArchSettings = Field(ArchSettings(), description="")
