"""Tests of connections, on settings that are stored or only written down in a form."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, Protocol

from msgspec import Struct, field
from pydantic_core import to_jsonable_python

from promptd.core.engine import Config, ConnectionTestParams, ConnectionTestResult, Engine
from promptd.core.errors import InvalidInput, InvalidRequest, PermissionDenied, PromptExecutionError
from promptd.core.localisation import Key, Localizer, Text, resolve
from promptd.core.ports import HttpClient
from promptd.service.callbacks import Callbacks
from promptd.service.redaction import RedactedLog, plain, redacted, spellings

_MOST_LINES: Final = 100
_MOST_MODELS: Final = 5000


class OwnClient(HttpClient, Protocol):
    """A way out for one connection alone."""

    async def close(self) -> None:
        """Close what rests."""


MakeClient = Callable[[Sequence[str]], OwnClient]
"""A client that may call these addresses. Raises `InvalidInput` for what is none, `PermissionDenied` for what the operator does
not let connections call."""


class TestLine(Struct, frozen=True):
    """One step of a test."""

    ok: bool
    text: str


class Tested(Struct, frozen=True, kw_only=True):
    """How a test ended, in the reader's language and without secrets."""

    ok: bool
    message: str
    models: tuple[str, ...] = ()
    checks: tuple[TestLine, ...] = ()
    discovered: dict[str, Any] = field(default_factory=dict)


class ConnectionTests:
    """Each with a way out of its own. `seconds`: how long one test may take."""

    def __init__(self, *, callbacks: Callbacks, client: MakeClient, seconds: float = 30.0) -> None:
        self._callbacks, self._client, self._seconds = callbacks, client, seconds

    async def run(self, engine: Engine[Any, Any], config: Config, *, name: str, locale: str) -> Tested:
        """Test the connection. A failure is a result; raises `InvalidRequest` for addresses that may not be called."""
        client = client_for(self._client, config)
        try:
            return await judged(
                self._callbacks, engine, config, http=client, name=name, locale=locale, seconds=self._seconds
            )
        finally:
            await client.close()


async def judged(
    callbacks: Callbacks,
    engine: Engine[Any, Any],
    config: Config,
    *,
    http: HttpClient,
    name: str,
    locale: str,
    seconds: float,
) -> Tested:
    """Have the engine test the connection `name`. Whatever it does, that is a result."""
    secrets = spellings(config)
    log = RedactedLog(secrets, connection=name)
    localizer = localizer_of(engine)

    def said(text: Text) -> str:
        return plain(resolve(text, localizer, locale), secrets)

    params: ConnectionTestParams[Any] = ConnectionTestParams(
        connection=config,
        connection_name=name,
        http=http,
        locale=locale,
        deadline=asyncio.get_running_loop().time() + seconds,
        log=log,
    )
    try:
        result = await callbacks.call(engine.test_connection, params, seconds=seconds)
    except PromptExecutionError as error:
        log.info("the test of a connection failed: %s", error.detail or error.message)
        return Tested(ok=False, message=said(error.message))
    except TimeoutError:
        log.warning("the test of a connection did not end within %g s", seconds)
        return Tested(ok=False, message=said(Key("promptd.test.late")))
    except Exception as error:  # a stranger's engine may raise anything; details are for the log
        log.warning("the test of a connection raised", exc_info=error)
        return Tested(ok=False, message=said(Key("promptd.test.failed")))
    try:
        return _told(result, said, secrets)
    except Exception as error:  # it may have returned anything
        log.warning("the test of a connection returned something else than a result", exc_info=error)
        return Tested(ok=False, message=said(Key("promptd.test.failed")))


def _told(result: ConnectionTestResult, said: Callable[[Text], str], secrets: Sequence[str]) -> Tested:
    """Raises anything where it is no result."""
    discovered = redacted(result.discovered, secrets)
    return Tested(
        ok=result.ok is True,
        message=said(result.message),
        models=tuple(plain(model, secrets) for model in result.models[:_MOST_MODELS]),
        checks=tuple(TestLine(line.ok is True, said(line.text)) for line in result.checks[:_MOST_LINES]),
        discovered=discovered if isinstance(discovered, dict) else {},
    )


def localizer_of(engine: Engine[Any, Any]) -> Localizer | None:
    """The texts of an engine; none where it can't say."""
    try:
        return engine.localizer()
    except Exception:  # a stranger's code; a missing text breaks no page
        return None


def addresses(config: Config) -> tuple[tuple[str, str], ...]:
    """Every web address in the settings that is no secret, each behind the name of the field that it is in."""
    found: dict[str, str] = {}
    for name, value in config:
        for text in _texts(to_jsonable_python(value, fallback=lambda other: None)):
            if text.startswith(("http://", "https://")):
                found.setdefault(text, name)
    return tuple((name, text) for text, name in found.items())


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)


def client_for(make: MakeClient, config: Config) -> OwnClient:
    """A client for these settings. Raises `InvalidRequest` that names the field of an address that may not be called."""
    named = addresses(config)
    for name, text in named:
        try:
            make([text])
        except (InvalidInput, PermissionDenied) as error:
            what = error.message.removeprefix("url: ")
            raise InvalidRequest(f"{name}: {what}", field=name, expected="an address that may be called") from None
    return make([text for _, text in named])
