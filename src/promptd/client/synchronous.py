"""The client for programs without an event loop: a thread of its own has one, and the asynchronous client in it."""

from __future__ import annotations

import asyncio
import ssl
import threading
import weakref
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, Self, TypeVar, Unpack

from promptd.client.asynchronous import AsyncClient, AsyncPrompts, AsyncStream, AsyncTemplate, AsyncTemplates
from promptd.client.models import Done, Event, File, Function, Members, Options, Prompt, Run, Template

T = TypeVar("T")
U = TypeVar("U")


class _Loop:
    """An event loop in a thread, with what lives in it. It ends with whoever uses it."""

    def __init__(self, client: AsyncClient) -> None:
        self._loop = asyncio.new_event_loop()
        thread = threading.Thread(target=self._loop.run_forever, name="promptd client", daemon=True)
        thread.start()
        self.close = weakref.finalize(self, _close, self._loop, thread, client)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        if not self.close.alive:
            work.close()
            raise RuntimeError("the client is closed")
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:  # Ctrl-C, too: what nobody waits for must not go on
            future.cancel()
            raise


class Client:
    """A client of the server at `url` (default: `PROMPTD_URL`, or this machine), with `key` (default: `PROMPTD_API_KEY`).

    The rest is as in `AsyncClient`. It may be used from several threads.

    >>> with Client() as client:
    ...     text = client.templates["greet"](name="Ada")
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
        self._client = AsyncClient(url, key, timeout=timeout, retries=retries, tls=tls)
        self._loop = _Loop(self._client)
        self.templates = Templates(self._loop, self._client.templates)
        self.prompts = Prompts(self._loop, self._client.prompts)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections and end the thread."""
        self._loop.close()

    def upload(self, file: Path | bytes, *, name: str | None = None, media_type: str | None = None) -> File:
        """Store a file on the server, as an input of a template or for a prompt. Raises `PromptdError`, `OSError`."""
        return self._loop.run(self._client.upload(file, name=name, media_type=media_type))


class Templates:
    """`templates["name"]` is a function; iterating gives what is stored."""

    def __init__(self, loop: _Loop, templates: AsyncTemplates) -> None:
        self._loop, self._templates = loop, templates

    def __getitem__(self, name: str) -> SyncTemplate[Any]:
        return SyncTemplate(self._loop, self._templates[name])

    def __iter__(self) -> Iterator[Template]:
        found = aiter(self._templates)
        while (template := self._loop.run(_next(found))) is not None:
            yield template


class SyncTemplate(Generic[T]):
    """As `AsyncTemplate`."""

    def __init__(self, loop: _Loop, template: AsyncTemplate[T]) -> None:
        self._loop, self._template = loop, template

    @property
    def name(self) -> str:
        return self._template.name

    def using(self, **options: Unpack[Options]) -> SyncTemplate[T]:
        """The same function with these options. Raises `TypeError` for one that is not there."""
        return SyncTemplate(self._loop, self._template.using(**options))

    def returning(self, kind: type[U]) -> SyncTemplate[U]:
        """The same function, whose value is converted."""
        return SyncTemplate(self._loop, self._template.returning(kind))

    def __call__(self, /, **inputs: Any) -> T:
        """The result: the object where one was promised, the text otherwise. Raises `PromptdError`."""
        return self._loop.run(self._template(**inputs))

    def run(self, /, **inputs: Any) -> Run:
        """The result with all that belongs to it. Raises `PromptdError`."""
        return self._loop.run(self._template.run(**inputs))

    def stream(self, /, **inputs: Any) -> Stream[T]:
        """Pieces as they come; they end with `Done`, and the stream then has its `value`."""
        return Stream(self._loop, self._template.stream(**inputs))

    def describe(self) -> Function:
        """What goes in and what comes out. Raises `PromptdError`."""
        return self._loop.run(self._template.describe())


class Stream(Generic[T]):
    """As `AsyncStream`."""

    def __init__(self, loop: _Loop, stream: AsyncStream[T]) -> None:
        self._loop, self._stream = loop, stream

    @property
    def prompt_id(self) -> str | None:
        return self._stream.prompt_id

    @property
    def text(self) -> str:
        return self._stream.text

    @property
    def done(self) -> Done | None:
        return self._stream.done

    def __iter__(self) -> Iterator[Event]:
        return self

    def __next__(self) -> Event:
        event: Event | None = self._loop.run(_next(self._stream))
        if event is None:
            raise StopIteration
        return event

    def result(self) -> T:
        """The value, once the rest has come. Raises what the prompt failed with."""
        return self._loop.run(self._stream.result())

    def close(self) -> None:
        """Read no further. The prompt runs on; `prompts.cancel` ends it."""
        self._loop.run(self._stream.close())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Prompts:
    """As `AsyncPrompts`."""

    def __init__(self, loop: _Loop, prompts: AsyncPrompts) -> None:
        self._loop, self._prompts = loop, prompts

    def submit(
        self,
        prompt: str | Sequence[Mapping[str, Any]],
        *,
        idempotency_key: str | None = None,
        **members: Unpack[Members],
    ) -> Prompt:
        """Have a text, or messages, run; the receipt. `members` are those of the API's body: `model`, `parameters`,
        `priority`, `thread_id` … Raises `PromptdError`."""
        return self._loop.run(self._prompts.submit(prompt, idempotency_key=idempotency_key, **members))

    def run(
        self,
        prompt: str | Sequence[Mapping[str, Any]],
        *,
        idempotency_key: str | None = None,
        timeout: float | None = None,
        **members: Unpack[Members],
    ) -> Prompt:
        """As `submit` and `wait`; raises what the prompt failed with."""
        return self._loop.run(self._prompts.run(prompt, idempotency_key=idempotency_key, timeout=timeout, **members))

    def get(self, prompt_id: str) -> Prompt:
        """Raises `NotFound`."""
        return self._loop.run(self._prompts.get(prompt_id))

    def wait(self, prompt_id: str, *, timeout: float | None = None) -> Prompt:
        """The prompt once it is final, however it ended. Raises `Timeout` where that takes longer, `NotFound`."""
        return self._loop.run(self._prompts.wait(prompt_id, timeout=timeout))

    def stream(self, prompt_id: str) -> Stream[Any]:
        """What was said, and then what is being said."""
        return Stream(self._loop, self._prompts.stream(prompt_id))

    def cancel(self, prompt_id: str) -> Prompt:
        """Stop it, whatever it is doing. Raises `NotFound`, `Conflict` where it has ended."""
        return self._loop.run(self._prompts.cancel(prompt_id))


async def _next(found: Any) -> Any:
    """The next one, None at the end: a `StopAsyncIteration` passes no future."""
    return await anext(found, None)


def _close(loop: asyncio.AbstractEventLoop, thread: threading.Thread, client: AsyncClient) -> None:
    for work in (client.close(), loop.shutdown_asyncgens()):
        asyncio.run_coroutine_threadsafe(work, loop).result()
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()
