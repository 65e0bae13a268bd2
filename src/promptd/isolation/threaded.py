"""Isolation by threads: a stranger's engine in its distribution's quarters."""

from __future__ import annotations

import asyncio
import copy
import logging
from collections import OrderedDict
from collections.abc import AsyncGenerator
from dataclasses import replace
from time import monotonic
from typing import Any, Final

from msgspec import structs

from promptd.core.calls import Call, ConnectionTestParams, Standing
from promptd.core.configs import LoadReport
from promptd.core.configs.stored import MAX_ISSUES
from promptd.core.engine import Engine
from promptd.core.errors import ExecutionFailed, PromptdError, Timeout
from promptd.core.forms import Draft
from promptd.core.localisation import Localizer
from promptd.core.model import Chunk
from promptd.isolation.adapter import ApartEngine, configs, without_secrets
from promptd.isolation.border import Border
from promptd.isolation.errands import Errand
from promptd.isolation.faults import error_of, fault
from promptd.isolation.meaning import method_of
from promptd.isolation.quarters import Meaning, Quarters
from promptd.isolation.redaction import RedactingLog, Redactor
from promptd.isolation.results import check, issues

_log = logging.getLogger(__name__)

_STANDING_SECONDS: Final = 1.0
_MOST_REMEMBERED: Final = 256
#: what the host goes on with where the plugin could not tell
_INSTEAD: Final[dict[str, Any]] = {
    "dialects": frozenset(),
    "memory": None,
    "query_model": "",
    "standing": Standing(state="unavailable", reason="the plugin can't tell how it stands"),
}
_TIMELESS: Final = ("dialects", "memory", "query_model")  # they depend on nothing but settings, which never change


class ThreadedEngine(ApartEngine):
    """Runs in a thread of the plugin's; its caller is freed at once, whatever the plugin does."""

    def __init__(self, inner: Engine[Any, Any], localizer: Localizer | None, quarters: Quarters) -> None:
        super().__init__(inner, localizer)
        self._quarters = quarters
        self._logger = logging.getLogger(f"promptd.plugins.{quarters.plugin}")
        self._remembered: OrderedDict[Any, tuple[float, Any, Any]] = OrderedDict()
        quarters.tenants += 1

    async def apart(self, method: str, arguments: tuple[Any, ...], limit_seconds: float | None) -> Any:
        home = asyncio.get_running_loop()
        errand = Errand(home)
        # what an engine starts may go on when the call has ended, and so may its requests
        lasting = Errand(home) if method in ("start", "scale") else errand
        redact = Redactor(*configs(arguments))
        crossed = [self._cross(argument, lasting, redact) for argument in arguments]
        timer = None
        if limit_seconds is not None:
            timer = home.call_later(max(0.0, limit_seconds), errand.fail, Timeout("the engine took too long"))
        try:
            self._quarters.call(
                errand,
                self._method(method),
                crossed,
                lambda result: check(self.inner, method, result, redact, self._quarters.rules.max_answer_bytes),
                self._meaning(redact),
            )
            (result,) = await errand.out.take()
        finally:
            errand.leave()
            if timer is not None:
                timer.cancel()
        _report(arguments, crossed)
        return result

    async def stream(self, call: Call[Any, Any]) -> AsyncGenerator[Chunk, None]:
        home = asyncio.get_running_loop()
        errand = Errand(home)
        out = errand.out
        redact = Redactor(call.connection, call.query)
        timer = None
        if call.deadline is not None:
            limit = max(0.0, call.deadline - monotonic())
            timer = home.call_later(limit, errand.fail, Timeout("the deadline passed while the engine ran"))
        try:
            self._quarters.stream(errand, self.inner.run, self._cross(call, errand, redact), self._meaning(redact))
            while chunks := await out.take():
                for chunk in chunks:
                    if chunk.kind == "done":
                        yield without_secrets(chunk, redact)
                        return
                    yield chunk
            raise ExecutionFailed("the engine ended without a result")
        finally:
            errand.leave()
            if timer is not None:
                timer.cancel()

    def now(self, method: str, *arguments: Any) -> Any:
        """Blocks its caller for a second at most. What never changes is asked once, also where the plugin failed."""
        key = (method, *[argument if isinstance(argument, str) else id(argument) for argument in arguments])
        known = self._remembered.get(key)
        if known is not None and (method in _TIMELESS or monotonic() - known[0] < _STANDING_SECONDS):
            return known[1]
        redact = Redactor(*configs(arguments))
        limit = self._quarters.rules.max_answer_bytes
        try:
            result = self._quarters.now(
                lambda: check(self.inner, method, self._method(method)(*arguments), redact, limit),
                self._meaning(redact),
            )
        except PromptdError as error:
            self.note(method, error)
            result = _INSTEAD[method]
        self._remembered[key] = (monotonic(), result, arguments)  # held, so that their ids stay theirs
        if len(self._remembered) > _MOST_REMEMBERED:
            self._remembered.popitem(last=False)
        return result

    def note(self, method: str, error: PromptdError) -> None:
        _log.warning("plugin %s: %s: %s", self._quarters.plugin, method, error.message)

    async def vacate(self) -> None:
        self._quarters.tenants -= 1
        if self._quarters.tenants <= 0:
            self._quarters.close()

    def standing(self, name: str, connection: Any) -> Standing:
        if reason := self._quarters.unavailable:
            return Standing(state="unavailable", reason=reason)
        return super().standing(name, connection)

    def _method(self, name: str) -> Any:
        if "." not in name:
            return getattr(self.inner, name)
        # where the logic comes from is the plugin's code too
        return lambda *arguments: method_of(self.inner, name)(*arguments)

    def _meaning(self, redact: Redactor) -> Meaning:
        return lambda raised: error_of(fault(self.inner, raised, redact), redact)

    def _cross(self, argument: Any, errand: Errand, redact: Redactor) -> Any:
        """An argument as the plugin gets it."""
        if isinstance(argument, Call):
            return structs.replace(
                argument,
                http=Border(argument.http, errand),
                cancelled=errand.cancelled,
                log=RedactingLog(self._logger, redact),
                value=copy.deepcopy(argument.value) if argument.value else {},
            )
        if isinstance(argument, ConnectionTestParams):
            log = RedactingLog(self._logger, redact)
            return structs.replace(argument, http=Border(argument.http, errand), log=log)
        if isinstance(argument, Draft):
            return replace(argument, http=argument.http and Border(argument.http, errand))
        if isinstance(argument, LoadReport):
            return LoadReport()  # what comes after its caller went must not be seen in it
        return Border(argument, errand) if hasattr(argument, "disallow") else argument


def _report(arguments: tuple[Any, ...], crossed: list[Any]) -> None:
    """What a plugin noted while it read settings, into the report of the one who asked."""
    for ours, theirs in zip(arguments, crossed, strict=True):
        if isinstance(ours, LoadReport):
            for issue in issues(theirs.issues[:MAX_ISSUES]):
                ours.note(issue.kind, issue.path, issue.message)
