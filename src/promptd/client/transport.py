"""Requests to one server: with its key, tried again where that is safe, streams gone on with where they broke."""

from __future__ import annotations

import asyncio
import os
import random
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final, NamedTuple, TypeVar
from urllib.parse import quote, urlencode

import msgspec

from promptd.client.models import Done, Event, Failed, Failure, Progress, Prompt, Restart
from promptd.client.problems import error_of, failure_of, is_told, prompt_id_of
from promptd.core.errors import InvalidInput, InvalidOutput, NetworkError, PromptdError, Timeout
from promptd.core.ports import Timeouts
from promptd.dialects.sse import Parser
from promptd.egress import Egress
from promptd.egress.client import Response

BASE: Final = "/promptd/v1"
DEFAULT_URL: Final = "http://127.0.0.1:11337"
_SILENCE: Final = 60.0  # seconds: four heartbeats of the server's default
_MARGIN: Final = 30.0  # what the server may be late with an answer that waits
_FIRST_PAUSE: Final = 0.25  # seconds, doubled with each try
_LONGEST_PAUSE: Final = 30.0  # beyond it, waiting is for the caller to decide
_LARGEST: Final = 256 * 1024 * 1024  # bytes of one answer
_AGAIN: Final = (429, 503)
_KEYS: Final = ("PROMPTD_API_KEY", "PROMPTD_KEY")

T = TypeVar("T")


class Reply(NamedTuple):
    status: int
    headers: Mapping[str, str]
    body: bytes

    def read(self, kind: type[T]) -> T:
        """Raises `InvalidOutput`."""
        try:
            return msgspec.json.decode(self.body, type=kind)
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            raise InvalidOutput(f"this is not what a promptd server says: {error}") from None


class Transport:
    """`timeout` is what an answer may take in all, `retries` how often something is tried again."""

    def __init__(
        self, url: str | None, key: str | None, *, timeout: float, retries: int, tls: ssl.SSLContext | None
    ) -> None:
        """Raises `InvalidInput` for a URL or key that can't be one."""
        self.url = (url or os.environ.get("PROMPTD_URL") or DEFAULT_URL).rstrip("/")
        if "?" in self.url or "#" in self.url:
            raise InvalidInput("url: expected an address without a query", field="url")
        self.timeout = timeout
        self._key = key or next((value for name in _KEYS if (value := os.environ.get(name))), None)
        if self._key is not None and not (self._key.isascii() and self._key.isprintable() and " " not in self._key):
            raise InvalidInput("the key holds characters that no key has", field="key")
        self._retries = retries
        self._egress = Egress([self.url], tls=tls)

    async def close(self) -> None:
        await self._egress.close()

    async def call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str | int | float | None] | None = None,
        body: object = None,
        raw: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        waits: float = 0.0,
        within: float | None = None,
        once: bool = False,
    ) -> Reply:
        """The whole answer. `waits`: the server may take so many seconds longer. Nothing is tried again after `within`
        seconds (default: the client's timeout); `once`: nor where nobody knows whether it arrived. Raises `PromptdError`."""
        encoded = raw if raw is not None else None if body is None else msgspec.json.encode(body)
        timeouts = Timeouts(first_byte=waits + _MARGIN)

        async def attempt() -> Reply:
            async with self._open(method, path, query, encoded, headers or {}, timeouts) as response:
                reply = Reply(response.status, response.headers, await response.read())
            if reply.status >= 300:
                raise error_of(reply.status, reply.body, reply.headers.get("retry-after"))
            return reply

        return await self._persistently(attempt, within, once=once)

    async def events(
        self,
        prompt_id: str | None,
        begin: tuple[str, object, Mapping[str, str]] | None = None,
        told: Callable[[str], None] = lambda prompt_id: None,
    ) -> AsyncGenerator[Event, None]:
        """The events of a prompt to its end. A stream that breaks is gone on with behind the last event.

        Without a `prompt_id`, `begin` (path, body, headers) is posted, which makes the prompt; `told` hears its id.
        Raises `PromptdError`, also what the prompt failed with.
        """
        last: str | None = None
        broken = 0
        while True:
            try:
                async with self._stream(prompt_id, begin, last) as response:
                    prompt_id = response.headers.get("x-prompt-id") or prompt_id
                    if prompt_id is None:
                        raise InvalidOutput("this is not what a promptd server says: a stream without a prompt")
                    told(prompt_id)
                    if response.status == 204:
                        break
                    parser = Parser(_LARGEST)
                    async for packet in response.chunks():
                        for found in parser.feed(packet):
                            last, broken = found.id or last, 0
                            event = _event(found.data)
                            if isinstance(event, Failed):
                                raise failure_of(
                                    Failure(event.code or "", event.message or "") if event.code else None, prompt_id
                                )
                            if event is not None:
                                yield event
                            if isinstance(event, Done):
                                return
            except (NetworkError, Timeout) as error:
                if broken >= self._retries or prompt_id is None or prompt_id_of(error) is not None:
                    raise
            broken += 1
            if broken > self._retries + 1:
                raise NetworkError(f"the stream of {self.url} ends again and again")
            await asyncio.sleep(_pause(broken))
        yield await self._ended(prompt_id)

    async def _ended(self, prompt_id: str) -> Done:
        """The end of a prompt whose stream has nothing more to say."""
        prompt = (await self.call("GET", at("prompts", prompt_id))).read(Prompt)
        if prompt.answer is None:
            raise failure_of(prompt.error, prompt_id)
        answer = prompt.answer
        return Done(answer.finish_reason, answer.usage, answer.value, answer.files)

    @asynccontextmanager
    async def _stream(
        self, prompt_id: str | None, begin: tuple[str, object, Mapping[str, str]] | None, last: str | None
    ) -> AsyncIterator[Response]:
        method, path, body, headers = "GET", "", None, {"Accept": "text/event-stream"}
        if prompt_id is not None:
            path = at("prompts", prompt_id, "events")
            if last is not None:
                headers["Last-Event-ID"] = last
        elif begin is not None:
            method, path, body = "POST", begin[0], msgspec.json.encode(begin[1])
            headers |= begin[2]
        timeouts = Timeouts(first_byte=_SILENCE, between_bytes=_SILENCE)
        async with AsyncExitStack() as opened:

            async def attempt() -> Response:
                async with AsyncExitStack() as trying:
                    exchange = self._open(method, path, None, body, headers, timeouts)
                    response = await trying.enter_async_context(exchange)
                    if response.status >= 300:
                        raise error_of(response.status, await response.read(), response.headers.get("retry-after"))
                    opened.push_async_exit(trying.pop_all())
                    return response

            yield await self._persistently(attempt)

    @asynccontextmanager
    async def _open(
        self,
        method: str,
        path: str,
        query: Mapping[str, str | int | float | None] | None,
        body: bytes | None,
        headers: Mapping[str, str],
        timeouts: Timeouts,
    ) -> AsyncIterator[Response]:
        given = {name: value for name, value in (query or {}).items() if value is not None}
        target = f"{self.url}{path}?{urlencode(given)}" if given else f"{self.url}{path}"
        sent = {"Accept": "application/json", **headers}
        if self._key is not None:
            sent["Authorization"] = f"Bearer {self._key}"
        if body is not None:
            sent.setdefault("Content-Type", "application/json")
        async with self._egress.request(
            method, target, headers=sent, body=body, timeouts=timeouts, max_bytes=_LARGEST
        ) as response:
            yield response

    async def _persistently(
        self, attempt: Callable[[], Awaitable[T]], within: float | None = None, *, once: bool = False
    ) -> T:
        """Tried again where the server says "not now", and where nothing was heard of it."""
        time = asyncio.get_running_loop().time
        until = time() + (self.timeout if within is None else within)
        tries = 0
        while True:
            try:
                return await attempt()
            except PromptdError as error:
                tries += 1
                pause = max(error.retry_after or 0.0, _pause(tries))
                late = pause > _LONGEST_PAUSE or time() + pause > until
                if tries > self._retries or late or not _worth_it(error, once):
                    raise
                await asyncio.sleep(pause)


def at(*parts: str) -> str:
    """The path of an object; each part is one segment, whatever letters it has."""
    return "/".join([BASE, *(quote(part, safe="") for part in parts)])


def _worth_it(error: PromptdError, once: bool) -> bool:
    if prompt_id_of(error) is not None:
        return False  # that prompt has ended, and asking again would tell the same
    if is_told(error):
        return error.retryable and error.http_status in _AGAIN
    return isinstance(error, NetworkError) and not once


def _pause(tries: int) -> float:
    """Seconds; clients that failed together don't come back together."""
    return _FIRST_PAUSE * 2.0 ** (tries - 1) * random.uniform(0.5, 1.5)  # noqa: S311


def _event(data: bytes) -> Event | Failed | None:
    """None for a kind that a newer server has. Raises `InvalidOutput`."""
    try:
        return msgspec.json.decode(data, type=Progress | Restart | Done | Failed)
    except msgspec.ValidationError:
        return None
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise InvalidOutput(f"this is not what a promptd server says: {error}") from None
