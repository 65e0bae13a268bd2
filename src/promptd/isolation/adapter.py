"""A stranger's engine behind the plugin class itself, so that nobody has to know that it runs somewhere else."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import AsyncGenerator
from time import monotonic
from typing import Any, Final, TypeVar

from msgspec import structs

from promptd.core.calls import (
    Call,
    Config,
    ConnectionTestParams,
    ConnectionTestResult,
    DescribeParams,
    Result,
    Standing,
)
from promptd.core.configs import LoadReport, SerializedConfig
from promptd.core.engine import Engine
from promptd.core.errors import PromptdError, PromptExecutionError
from promptd.core.forms import Draft, FieldMessage, FormContext, FormLogic, FormPatch, Option
from promptd.core.icons import Icon
from promptd.core.localisation import Localizer
from promptd.core.model import Chunk, Request
from promptd.core.ports import HttpClient
from promptd.isolation.meaning import meaning
from promptd.isolation.redaction import Redactor
from promptd.isolation.rules import overrides

_TEST_SECONDS: Final = 120.0
_START_SECONDS: Final = 3600.0  # a model may have to be fetched first
_END_SECONDS: Final = 5.0
_COUNT_SECONDS: Final = 30.0
_DESCRIBING_SECONDS: Final = 5.0  # such methods are pure
_CALLBACK_SECONDS: Final = 30.0  # of a form's logic, which may ask its service
#: what is taken from the stranger's class as it is; the registry has looked at it
_TAKEN: Final = (
    "api_version",
    "type_id",
    "display_name_key",
    "display_description_key",
    "capabilities",
    "connection_version",
    "query_version",
)


A = TypeVar("A", bound="ApartEngine")


class ApartEngine(Engine[Any, Any]):
    """Passes every method on to where `inner` runs. Subclasses say where that is."""

    def __init__(self, inner: Engine[Any, Any], localizer: Localizer | None) -> None:
        self.inner = inner
        self._texts = localizer
        self._streams = overrides(type(inner), "run")
        self._executes = overrides(type(inner), "execute")

    # ---------------------------------------------------------------- where it runs

    @abstractmethod
    async def apart(self, method: str, arguments: tuple[Any, ...], limit_seconds: float | None) -> Any:
        """Call a method there and wait for its checked result; None: as long as it takes."""

    @abstractmethod
    def stream(self, call: Call[Any, Any]) -> AsyncGenerator[Chunk, None]:
        """`inner.run` there."""

    @abstractmethod
    def now(self, method: str, *arguments: Any) -> Any:
        """A method that tells something, for callers that can't wait."""

    @abstractmethod
    async def vacate(self) -> None:
        """Free what the place takes."""

    # ---------------------------------------------------------------- running

    def run(self, call: Call[Any, Any]) -> AsyncGenerator[Chunk, None]:
        return self.stream(call) if self._streams else super().run(call)

    async def execute(self, call: Call[Any, Any]) -> Result:
        if not self._executes:
            return await super().execute(call)
        limit = None if call.deadline is None else call.deadline - monotonic()
        result: Result = await self.apart("execute", (call,), limit)
        return result

    async def test_connection(self, params: ConnectionTestParams[Any]) -> ConnectionTestResult:
        if not overrides(type(self.inner), "test_connection"):
            return await super().test_connection(params)
        limit = _TEST_SECONDS if params.deadline is None else params.deadline - monotonic()
        result: ConnectionTestResult = await self.apart("test_connection", (params,), limit)
        return result

    async def start(self, name: str, connection: Any, http: HttpClient) -> None:
        if overrides(type(self.inner), "start"):
            await self.apart("start", (name, connection, http), _START_SECONDS)

    async def stop(self, name: str) -> None:
        if overrides(type(self.inner), "stop"):
            await self._end("stop", name)

    async def scale(self, name: str, connection: Any, count: int, http: HttpClient) -> None:
        if overrides(type(self.inner), "scale"):
            await self.apart("scale", (name, connection, count, http), _START_SECONDS)

    async def count(self, call: Call[Any, Any]) -> int | None:
        if not overrides(type(self.inner), "count"):
            return None
        counted: int | None = await self.apart("count", (call,), _COUNT_SECONDS)
        return counted

    async def close(self) -> None:
        try:
            if overrides(type(self.inner), "close"):
                await self._end("close")
        finally:
            await self.vacate()

    async def _end(self, method: str, *arguments: Any) -> None:
        """One that fails to end something has no say in whether we go on."""
        try:
            await self.apart(method, arguments, _END_SECONDS)
        except PromptExecutionError as error:
            self.note(method, error)

    @abstractmethod
    def note(self, method: str, error: PromptdError) -> None:
        """Log an error that changes nothing."""

    # ---------------------------------------------------------------- describing: whoever asks has to wait

    async def ask(self, method: str, *arguments: Any, limit_seconds: float = _DESCRIBING_SECONDS) -> Any:
        """A method, or the callback of a form's logic (`query_form_logic.options`).

        Raises `DescriptorFailed` for the `compute_` methods, also where their lists make no sense,
        `PromptSerializationError` for those that read and write settings, else a `PromptExecutionError`.
        """
        try:
            return await self.apart(method, arguments, limit_seconds)
        except PromptdError as error:
            told = meaning(self, method, error)
            if told is error:
                raise
            raise told from None

    async def serialize_connection_config(self, config: Any) -> Any:  # type: ignore[override]
        return await self.ask("serialize_connection_config", config)

    async def serialize_query_config(self, config: Any) -> Any:  # type: ignore[override]
        return await self.ask("serialize_query_config", config)

    async def deserialize_connection_config(self, stored: SerializedConfig, report: LoadReport) -> Any:
        return await self.ask("deserialize_connection_config", stored, report)

    async def deserialize_query_config(self, stored: SerializedConfig, report: LoadReport) -> Any:
        return await self.ask("deserialize_query_config", stored, report)

    async def connection_form(self, context: FormContext) -> Any:  # type: ignore[override]
        return await self.ask("connection_form", context)

    async def query_form(self, context: FormContext) -> Any:  # type: ignore[override]
        return await self.ask("query_form", context)

    def connection_form_logic(self) -> FormLogic[Any, Any] | None:
        return self._logic("connection_form_logic")

    def query_form_logic(self) -> FormLogic[Any, Any] | None:
        return self._logic("query_form_logic")

    async def compute_query_input(self, params: DescribeParams[Any, Any]) -> Any:  # type: ignore[override]
        return await self.ask("compute_query_input", params)

    async def compute_query_output(self, params: DescribeParams[Any, Any]) -> Any:  # type: ignore[override]
        return await self.ask("compute_query_output", params)

    async def compose(self, call: Call[Any, Any]) -> Request | None:  # type: ignore[override]
        if not overrides(type(self.inner), "compose"):
            return None
        composed: Request | None = await self.ask("compose", call)
        return composed

    # ---------------------------------------------------------------- telling: at once

    def localizer(self) -> Localizer | None:
        return self._texts

    def query_model(self, query: Any) -> str:
        return self.now("query_model", query) if overrides(type(self.inner), "query_model") else ""

    def dialects(self, connection: Any) -> frozenset[str]:
        return self.now("dialects", connection) if overrides(type(self.inner), "dialects") else frozenset()

    def memory(self, connection: Any) -> int | None:
        return self.now("memory", connection) if overrides(type(self.inner), "memory") else None

    def standing(self, name: str, connection: Any) -> Standing:
        if not overrides(type(self.inner), "standing"):
            return super().standing(name, connection)
        return self.now("standing", name, connection)  # type: ignore[no-any-return]

    def _logic(self, method: str) -> FormLogic[Any, Any] | None:
        return AskedLogic(self, method) if overrides(type(self.inner), method) else None


class AskedLogic(FormLogic[Any, Any]):
    """The logic behind a form, asked where its engine runs."""

    def __init__(self, engine: ApartEngine, method: str) -> None:
        self._engine, self._method = engine, method

    async def options(self, source: str, draft: Draft[Any, Any], search: str) -> list[Option]:
        return await self._ask("options", source, draft, search)  # type: ignore[no-any-return]

    async def on_change(self, path: str, draft: Draft[Any, Any]) -> FormPatch | None:
        return await self._ask("on_change", path, draft)  # type: ignore[no-any-return]

    async def validate(self, draft: Draft[Any, Any]) -> list[FieldMessage]:
        return await self._ask("validate", draft)  # type: ignore[no-any-return]

    async def action(self, name: str, draft: Draft[Any, Any]) -> FormPatch | None:
        return await self._ask("action", name, draft)  # type: ignore[no-any-return]

    async def _ask(self, callback: str, *arguments: Any) -> Any:
        return await self._engine.ask(f"{self._method}.{callback}", *arguments, limit_seconds=_CALLBACK_SECONDS)


def bound(kind: type[A], inner: Engine[Any, Any]) -> type[A]:
    """A subclass of `kind` with the class attributes of the stranger's class, under its name."""
    stranger = type(inner)
    connection: type[Config] = stranger.connection_config_class()
    query: type[Config] = stranger.query_config_class()
    members: dict[str, Any] = {name: getattr(stranger, name) for name in _TAKEN}
    members |= {
        "icon": plain_icon(stranger.icon),
        "connection_config_class": classmethod(lambda cls: connection),
        "query_config_class": classmethod(lambda cls: query),
        "__module__": stranger.__module__,
        "__qualname__": stranger.__qualname__,
        "__doc__": stranger.__doc__,
    }
    return type(stranger.__name__, (kind,), members)


def plain_icon(icon: object) -> Icon:
    """The icon, if it is one; its picture is cleaned, whoever made it."""
    if type(icon) is not Icon or type(icon.name) is not str or type(icon.data) is not str:
        return Icon.NEUTRAL
    return Icon.svg(icon.data.encode(errors="replace")) if icon.data else Icon.named(icon.name)


def without_secrets(done: Chunk, redact: Redactor) -> Chunk:
    """A run's last chunk; its warnings are a provider's words too."""
    return structs.replace(done, warnings=tuple(map(redact, done.warnings))) if done.warnings else done


def configs(arguments: tuple[Any, ...]) -> list[Any]:
    """Everything among the arguments that may hold secrets."""
    found: list[Any] = list(arguments)
    for argument in arguments:
        found += [getattr(argument, "connection", None), getattr(argument, "query", None)]
    return found
