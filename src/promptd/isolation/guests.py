"""A stranger's guard in a process of its own: there an engine of ours makes it and asks it.

What takes that process down, or makes it hang, fails the question. The next one finds a new process.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from functools import partial
from importlib.metadata import EntryPoint
from typing import Any, Final, NoReturn

from pydantic import SecretStr

from promptd.core.calls import Call, Config, Result
from promptd.core.content import Turn
from promptd.core.engine import Engine
from promptd.core.errors import InvalidOutput, PermissionDenied
from promptd.core.guarding import STAGES, GuardTools, Stage
from promptd.core.model import Capability, Verdict
from promptd.core.ports import Guard, HttpResponse
from promptd.isolation.adapter import bound
from promptd.isolation.processes import PluginProcess
from promptd.isolation.redaction import Redactor
from promptd.isolation.rules import Rules
from promptd.isolation.spawned import SpawnedEngine

_MOST_MADE: Final = 8  #: guards that are kept in a process; settings change, and old ones are made again where needed
_BLOCKED_SECONDS: Final = 2.0  #: an event loop that a guard holds up for so long is given up


class GuestConfig(Config):
    """Which guard is asked."""

    entry: str = ""
    settings: dict[str, Any] = {}
    secrets: tuple[SecretStr, ...] = ()  #: among the settings; they are taken out of what it says


class Guest(Engine[GuestConfig]):
    """In the child: makes guards and asks them."""

    type_id = "promptd.guest"
    capabilities = frozenset({Capability.QUERY})

    def __init__(self) -> None:
        self._made: OrderedDict[str, Guard] = OrderedDict()

    async def execute(self, call: Call[GuestConfig]) -> Result:
        said: Any = await self._guard(call.connection).inspect(call.messages)
        if not isinstance(said, Verdict):
            raise InvalidOutput(f"its verdict is {type(said).__name__}")
        return Result(value=[said.allowed, said.reason, said.score, said.categories])

    def _guard(self, wanted: GuestConfig) -> Guard:
        key = wanted.model_dump_json()
        made = self._made.get(key)
        if made is None:
            kind: Any = EntryPoint("guard", wanted.entry, "promptd.guards").load()
            tools = GuardTools(http=_Nothing(), ask=_nothing, embed=_nothing)
            made = self._made[key] = kind(kind.config_class.model_validate(wanted.settings), tools)
            if len(self._made) > _MOST_MADE:
                self._made.popitem(last=False)
        return made


class GuestGuard:
    """In the server: a guard like any other. It replaces nothing: that has to be done at once."""

    def __init__(
        self, place: SpawnedEngine, http: Any, kind: Any, settings: Mapping[str, Any], secrets: Sequence[str]
    ) -> None:
        reach, stages = getattr(kind, "reach", None), getattr(kind, "stages", STAGES)
        self.reach: int | None = reach if type(reach) is int and reach > 0 else None
        self.stages = frozenset(Stage(one) for one in stages)
        hidden = tuple([SecretStr(secret) for secret in secrets])
        config = GuestConfig(entry=entry_of(kind), settings=dict(settings), secrets=hidden)
        self._redact = Redactor(config)
        self._call = partial(Call[Any, Any], connection=config, connection_name="", model="", http=http)
        self._place = place

    async def inspect(self, messages: Sequence[Turn]) -> Verdict:
        """Raises `PromptExecutionError`."""
        result = await self._place.execute(self._call(messages=tuple(messages), capability=Capability.QUERY))
        if not isinstance(result.value, list) or len(result.value) != 4:
            raise InvalidOutput("the guard's process gave no verdict")
        allowed, reason, score, categories = result.value
        return Verdict(allowed, self._redact(reason) if type(reason) is str else reason, score, categories)


class Guests:
    """The processes of one server's guards, one for each class."""

    def __init__(self) -> None:
        self._places: dict[str, SpawnedEngine] = {}

    def guard(self, kind: Any, settings: Mapping[str, Any], http: Any, secrets: Sequence[str] = ()) -> GuestGuard:
        """A guard of the class `kind`, which is made once it is asked. `settings` are its own keys, as JSON has them, with
        `secrets` among their values.

        Raises `ValueError` for stages that there are not.
        """
        entry = entry_of(kind)
        place = self._places.get(entry)
        if place is None:
            rules = Rules(mode="process", blocked_seconds=_BLOCKED_SECONDS)
            process = PluginProcess(entry, rules)
            inner = Guest()
            place = bound(SpawnedEngine, inner)(inner, None, process, f"{Guest.__module__}:{Guest.__qualname__}")
            self._places[entry] = place
        return GuestGuard(place, http, kind, settings, secrets)

    async def close(self) -> None:
        """End the processes."""
        for place in self._places.values():
            await place.vacate()


def entry_of(kind: Any) -> str:
    """Where a class is found."""
    return f"{kind.__module__}:{kind.__qualname__}"


class _Nothing:
    """The way out of a guard in a process of its own: there is none."""

    def request(self, method: str, url: str, **more: Any) -> AbstractAsyncContextManager[HttpResponse]:
        _refuse()

    def allow(self, url: str) -> None:
        _refuse()

    def disallow(self, url: str) -> None:
        _refuse()


def _nothing(*asked: Any, **more: Any) -> Awaitable[Any]:
    _refuse()


def _refuse() -> NoReturn:
    raise PermissionDenied("a guard in a process of its own asks nobody else")
