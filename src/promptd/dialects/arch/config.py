"""One model for the files of all eras (contracts/arch.md §1.6). Defaults are decided: nothing here depends on the era."""

from __future__ import annotations

from typing import Final, Literal

from msgspec import Struct, field
from msgspec.structs import replace

from promptd.core.targets import Target

#: A and B have a root `listener`; C and D `listeners` as an object; E as a list
Era = Literal["A", "B", "C", "D", "E"]

#: the default of the files
EVERYWHERE: Final = "0.0.0.0"  # noqa: S104
#: among the targets of an endpoint's connection: where failures are reported to
ERROR_TARGET: Final = "(error)"


def connection_name(endpoint: str) -> str:
    """The house's connection to an endpoint of the file."""
    return f"endpoint:{endpoint}"


class Listener(Struct, frozen=True, kw_only=True):
    """One open port."""

    name: str
    kind: Literal["prompt", "model", "internal"]  #: `internal`: calls to endpoints, absolute-form (11000, 51001 …)
    address: str = EVERYWHERE
    port: int = 10000
    timeout: float = 300.0  #: seconds until the first byte of an answer
    max_retries: int | None = None
    tls_cert: str | None = None
    tls_key: str | None = None


class Endpoint(Struct, frozen=True, kw_only=True):
    """Where an API of the developer is. Several addresses are asked in turn."""

    name: str
    addresses: tuple[str, ...]  #: `http://host:port` each, with scheme and port, without path
    connect_timeout: float = 5.0
    http_host: str | None = None


class Provider(Struct, frozen=True, kw_only=True):
    """A model provider."""

    name: str  #: unique; default: its `model`
    vendor: str  #: prefix of the model: `openai`, `anthropic`, `groq` …
    model: str  #: without its prefix; `*` of a wildcard
    interface: str  #: the API that it speaks: `openai`, `anthropic`, `mistral` …
    access_key: str | None = None  #: expanded
    passthrough_auth: bool = False
    base_url: str | None = None  #: with scheme; None: the vendor's own
    http_host: str | None = None
    headers: dict[str, str] = field(default_factory=dict)  #: expanded; set after authentication
    default: bool = False
    connect_timeout: float | None = None
    path: str = ""  #: where in the file it stands, such as `llm_providers[0]`
    served: str = ""  #: the house's model that it is: its id, or another name where that can't be one

    def __repr__(self) -> str:
        """Without credentials."""
        return f"Provider(name={self.name!r}, id={self.id!r})"

    @property
    def wildcard(self) -> bool:
        return self.model == "*"

    def reached_in(self, seconds: float) -> Provider:
        """The same, with another limit to connecting."""
        return replace(self, connect_timeout=seconds)

    @property
    def id(self) -> str:
        """`vendor/model`."""
        return f"{self.vendor}/{self.model}"


class PromptTarget(Struct, frozen=True, kw_only=True):
    """A target, and how its API is called."""

    target: Target  #: name, description, examples, parameters, default
    endpoint: str
    path: str  #: may hold `{parameter}` and a query
    method: Literal["GET", "POST"]
    dispatch: bool  #: a model phrases the answer (`auto_llm_dispatch_on_response`)
    headers: dict[str, str] = field(default_factory=dict)  #: expanded; they override the built-in ones
    system_prompt: str | None = None

    def __repr__(self) -> str:
        """Without headers: they may be credentials."""
        return f"PromptTarget(name={self.target.name!r}, endpoint={self.endpoint!r}, method={self.method!r})"


class RateLimit(Struct, frozen=True, kw_only=True):
    """Tokens of a model, for those who send a header."""

    model: str  #: with or without prefix, or an alias
    key: str | None  #: name of the header, in lower case; None: every call
    value: str | None  #: None: each value of the header has a bucket of its own
    tokens: int
    seconds: float  #: of the unit
    path: str = ""


class RoutingPreference(Struct, frozen=True, kw_only=True):
    """What some models are good at."""

    name: str
    description: str
    models: tuple[str, ...]
    prefer: Literal["cheapest", "fastest", "none"] = "none"


class Tracing(Struct, frozen=True, kw_only=True):
    """Spans, by OTLP."""

    random_sampling: float = 0.0  #: percent
    endpoint: str | None = None
    header_prefixes: tuple[str, ...] = ()
    static: dict[str, str] = field(default_factory=dict)


class Jailbreak(Struct, frozen=True, kw_only=True):
    """`prompt_guards.input_guards.jailbreak`."""

    message: str = "refrain from discussing jailbreaking."


class ErrorTarget(Struct, frozen=True, kw_only=True):
    """Who is told of failures, and may answer them (contracts/arch.md §3.9)."""

    endpoint: str
    path: str = "/"


class Warned(Struct, frozen=True):
    """Something in the file that has no effect, or a default that the era decided."""

    path: str
    text: str


class ArchConfig(Struct, frozen=True, kw_only=True):
    """A whole file."""

    era: Era
    version: str
    listeners: tuple[Listener, ...]
    providers: tuple[Provider, ...]
    endpoints: dict[str, Endpoint] = field(default_factory=dict)
    targets: tuple[PromptTarget, ...] = ()
    system_prompt: str | None = None
    aliases: dict[str, str] = field(default_factory=dict)  #: alias to a declared model
    ratelimits: tuple[RateLimit, ...] = ()
    routing_preferences: tuple[RoutingPreference, ...] = ()
    routing_model: str | None = None  #: provider or model that routes; None: the built-in matcher
    route_on_user_only: bool = False
    session_ttl: float = 600.0  #: seconds that `X-Model-Affinity` keeps a conversation at its model
    jailbreak: Jailbreak | None = None
    error_target: ErrorTarget | None = None
    intent_threshold: float = 0.8
    optimize_context_window: bool = False
    tracing: Tracing | None = None
    warnings: tuple[Warned, ...] = ()  #: keys without effect
    chosen: tuple[Warned, ...] = ()  #: defaults that differ between eras, as they were decided

    @property
    def lenient_models(self) -> bool:
        """Whether an unknown `model` of a request falls back to the default provider (contracts/arch.md §4.2)."""
        return self.era in ("A", "B")

    @property
    def default_provider(self) -> Provider | None:
        return next((one for one in self.providers if one.default), None)

    @property
    def default_target(self) -> PromptTarget | None:
        return next((one for one in self.targets if one.target.default), None)
