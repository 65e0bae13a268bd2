"""The client for programs with an event loop. `synchronous.py` says the same for those without."""

from __future__ import annotations

import asyncio
import mimetypes
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Generic, Self, TypeVar, Unpack
from uuid import uuid4

import msgspec
from msgspec import Struct

from promptd.client.models import (
    Done,
    Event,
    File,
    Function,
    Members,
    Options,
    Progress,
    Prompt,
    Restart,
    Run,
    Template,
)
from promptd.client.problems import failure_of, of_prompt, prompt_id_of
from promptd.client.transport import Reply, Transport, at
from promptd.core.errors import InvalidOutput, PromptdError, Timeout

T = TypeVar("T")
U = TypeVar("U")

_MOST_WAIT: Final = 60.0  # seconds that one request asks the server to wait

_SENT: Final = ("label", "version", "model", "repair", "locale", "priority", "metadata")


class AsyncClient:
    """A client of the server at `url` (default: `PROMPTD_URL`, or this machine), with `key` (default: `PROMPTD_API_KEY`).

    A call may take `timeout` seconds in all. Refusals that mean "not now" (429, 503) and broken connections are tried again
    `retries` times, after what `Retry-After` says; nothing runs twice by that. `tls` replaces the system's trust store.

    >>> async with AsyncClient() as client:
    ...     text = await client.templates["greet"](name="Ada")
    """

    def __init__(
        self,
        url: str | None = None,
        key: str | None = None,
        *,
        timeout: float = 600.0,
        retries: int = 4,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """Raises `InvalidInput` for a URL or key that can't be one."""
        self._transport = Transport(url, key, timeout=timeout, retries=retries, tls=tls)
        self.templates = AsyncTemplates(self._transport)
        self.prompts = AsyncPrompts(self._transport)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections that wait for the next call."""
        await self._transport.close()

    async def upload(self, file: Path | bytes, *, name: str | None = None, media_type: str | None = None) -> File:
        """Store a file on the server, as an input of a template or for a prompt. Raises `PromptdError`, `OSError`."""
        if isinstance(file, Path):
            name = name or file.name
            content = await asyncio.to_thread(file.read_bytes)
        else:
            content = file
        media_type = media_type or mimetypes.guess_type(name or "")[0] or "application/octet-stream"
        path = at("files")
        headers = {"Content-Type": media_type}
        reply = await self._transport.call("POST", path, query={"name": name}, raw=content, headers=headers, once=True)
        return reply.read(File)


class AsyncTemplates:
    """`templates["name"]` is a function; iterating gives what is stored."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def __getitem__(self, name: str) -> AsyncTemplate[Any]:
        return AsyncTemplate(self._transport, name)

    async def __aiter__(self) -> AsyncIterator[Template]:
        after: str | None = None
        while True:
            reply = await self._transport.call("GET", at("templates"), query={"limit": 100, "after": after})
            page = reply.read(_Page)
            for template in page.items:
                yield template
            after = page.after
            if after is None:
                return


class AsyncTemplate(Generic[T]):
    """A stored template as a function. Options come by `using`, so that every keyword of a call is an input."""

    def __init__(
        self, transport: Transport, name: str, options: Options | None = None, kind: type[T] | None = None
    ) -> None:
        self._transport, self.name = transport, name
        self._options: Options = options or {}
        self._kind = kind

    def using(self, **options: Unpack[Options]) -> AsyncTemplate[T]:
        """The same function with these options. Raises `TypeError` for one that is not there."""
        for name in options.keys() - Options.__annotations__.keys():
            raise TypeError(f"there is no option {name!r}; the options are {', '.join(Options.__annotations__)}")
        return AsyncTemplate(self._transport, self.name, {**self._options, **options}, self._kind)

    def returning(self, kind: type[U]) -> AsyncTemplate[U]:
        """The same function, whose value is converted: into a dataclass, a `TypedDict`, a list of these, a msgspec struct
        or a pydantic model."""
        return AsyncTemplate(self._transport, self.name, self._options, kind)

    async def __call__(self, /, **inputs: Any) -> T:
        """The result: the object where one was promised, the text otherwise. Raises `PromptdError`."""
        run = await self.run(**inputs)
        return await self._result(run.value, run.text)

    async def run(self, /, **inputs: Any) -> Run:
        """The result with all that belongs to it. Raises `PromptdError`."""
        timeout = self._options.get("timeout", self._transport.timeout)
        waits = min(timeout, _MOST_WAIT)
        reply = await self._transport.call(
            "POST",
            at("templates", self.name, "run"),
            query={"wait": f"{waits:.3f}"},
            body=self._body(inputs),
            headers=self._key(),
            waits=waits,
            within=timeout,
        )
        if reply.status == 200:
            return reply.read(Run)
        prompt = await _finished(self._transport, reply.read(Prompt).id, timeout - waits)
        if prompt.answer is None or prompt.template is None:
            raise failure_of(prompt.error, prompt.id)
        answer = prompt.answer
        return Run(
            prompt.id,
            prompt.template,
            answer.text,
            answer.value,
            answer.outputs,
            answer.warnings,
            answer.finish_reason,
            answer.usage,
            prompt.model,
        )

    def stream(self, /, **inputs: Any) -> AsyncStream[T]:
        """Pieces as they come; they end with `Done`, and the stream then has its `value`."""
        begin = (at("templates", self.name, "run"), self._body(inputs), self._key())
        return AsyncStream(self._transport, None, begin, self)

    async def describe(self) -> Function:
        """What goes in and what comes out. Raises `PromptdError`."""
        query = {"label": self._options.get("label"), "version": self._options.get("version")}
        return (await self._transport.call("GET", at("templates", self.name, "function"), query=query)).read(Function)

    def _body(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """What is sent; inputs that are `File`s, or lists of them, go where files belong."""
        values: dict[str, Any] = {}
        files = dict(self._options.get("files", {}))
        for name, value in inputs.items():
            given = [value] if isinstance(value, File) else value
            if isinstance(given, list | tuple) and given and all(isinstance(item, File) for item in given):
                files[name] = [item.id for item in given]
            else:
                values[name] = value
        said = {name: value for name, value in self._options.items() if name in _SENT}
        return {"inputs": values, **({"files": files} if files else {}), **said}

    def _key(self) -> dict[str, str]:
        """With it a request may be sent twice: it runs once."""
        return {"Idempotency-Key": self._options.get("idempotency_key") or uuid4().hex}

    async def _result(self, value: Any, text: str) -> T:
        if value is None and not ("null" in text and await self._promises()):
            value = text
        return value if self._kind is None else _converted(value, self._kind)

    async def _promises(self) -> bool:
        """Whether an object is promised: `null` is one as well."""
        return (await self.describe()).output_schema != {"type": "string"}


class AsyncStream(Generic[T]):
    """The events of one prompt. What came before a `Restart` is void, and no part of `text` any more."""

    def __init__(
        self,
        transport: Transport,
        prompt_id: str | None,
        begin: tuple[str, object, Mapping[str, str]] | None = None,
        template: AsyncTemplate[T] | None = None,
    ) -> None:
        self.prompt_id = prompt_id  #: known with the first event at the latest
        self.text = ""
        self.done: Done | None = None
        self._template = template
        self._value: T | None = None
        self._events = transport.events(prompt_id, begin, self._begun)

    def __aiter__(self) -> AsyncIterator[Event]:
        return self

    async def __anext__(self) -> Event:
        event = await anext(self._events)
        if isinstance(event, Progress):
            self.text += event.text
        elif isinstance(event, Restart):
            self.text = ""
        else:
            self.done = event
            if self._template is not None:
                self._value = await self._template._result(event.value, self.text)
            else:
                self._value = event.value if event.value is not None else self.text  # type: ignore[assignment]
        return event

    async def result(self) -> T:
        """The value, once the rest has come. Raises what the prompt failed with."""
        async for _ in self:
            pass
        if self.done is None:
            raise InvalidOutput("the stream was closed before its end")
        return self._value  # type: ignore[return-value]

    async def close(self) -> None:
        """Read no further. The prompt runs on; `prompts.cancel` ends it."""
        await self._events.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def _begun(self, prompt_id: str) -> None:
        self.prompt_id = prompt_id


class AsyncPrompts:
    """Prompts without a template."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def submit(
        self,
        prompt: str | Sequence[Mapping[str, Any]],
        *,
        idempotency_key: str | None = None,
        **members: Unpack[Members],
    ) -> Prompt:
        """Have a text, or messages, run; the receipt. `members` are those of the API's body: `model`, `parameters`,
        `priority`, `thread_id` … Raises `PromptdError`."""
        return (await self._submitted(prompt, members, idempotency_key, 0.0)).read(Prompt)

    async def run(
        self,
        prompt: str | Sequence[Mapping[str, Any]],
        *,
        idempotency_key: str | None = None,
        timeout: float | None = None,
        **members: Unpack[Members],
    ) -> Prompt:
        """As `submit` and `wait`; raises what the prompt failed with."""
        seconds = self._transport.timeout if timeout is None else timeout
        waits = min(seconds, _MOST_WAIT)
        found = (await self._submitted(prompt, members, idempotency_key, waits)).read(Prompt)
        if not found.final:
            found = await _finished(self._transport, found.id, seconds - waits)
        if found.answer is None:
            raise failure_of(found.error, found.id)
        return found

    async def get(self, prompt_id: str) -> Prompt:
        """Raises `NotFound`."""
        return (await self._transport.call("GET", at("prompts", prompt_id))).read(Prompt)

    async def wait(self, prompt_id: str, *, timeout: float | None = None) -> Prompt:
        """The prompt once it is final, however it ended. Raises `Timeout` where that takes longer, `NotFound`."""
        return await _finished(self._transport, prompt_id, self._transport.timeout if timeout is None else timeout)

    def stream(self, prompt_id: str) -> AsyncStream[Any]:
        """What was said, and then what is being said."""
        return AsyncStream(self._transport, prompt_id)

    async def cancel(self, prompt_id: str) -> Prompt:
        """Stop it, whatever it is doing. Raises `NotFound`, `Conflict` where it has ended."""
        return (await self._transport.call("POST", at("prompts", prompt_id, "cancel"))).read(Prompt)

    async def _submitted(
        self, prompt: str | Sequence[Mapping[str, Any]], members: Members, key: str | None, waits: float
    ) -> Reply:
        said = {"prompt": prompt} if isinstance(prompt, str) else {"messages": prompt}
        return await self._transport.call(
            "POST",
            at("prompts"),
            query={"wait": f"{waits:.3f}"} if waits else None,
            body={**said, **members},
            headers={"Idempotency-Key": key or uuid4().hex},
            waits=waits,
        )


class _Page(Struct, frozen=True):
    items: tuple[Template, ...]
    after: str | None = None


async def _finished(transport: Transport, prompt_id: str, timeout: float) -> Prompt:
    """Raises `Timeout`."""
    path = at("prompts", prompt_id)
    try:
        async with asyncio.timeout(max(0.0, timeout)):
            events: AsyncGenerator[Event, None] = transport.events(prompt_id)
            try:
                async for _ in events:
                    pass
            finally:
                await events.aclose()
    except TimeoutError:
        raise of_prompt(Timeout("no answer in time; the prompt goes on"), prompt_id) from None
    except PromptdError as error:
        if prompt_id_of(error) is None:  # how it ended is in the prompt
            raise
    return (await transport.call("GET", path)).read(Prompt)


def _converted(value: Any, kind: type[U]) -> U:
    try:
        return msgspec.convert(value, kind, dec_hook=_validated)
    except (ValueError, TypeError) as error:
        raise InvalidOutput(f"the value is no {getattr(kind, '__name__', kind)}: {error}") from error


def _validated(kind: Any, value: Any) -> Any:
    """A pydantic model."""
    return kind.model_validate(value)
