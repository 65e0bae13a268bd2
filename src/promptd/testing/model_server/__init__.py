"""A scripted model behind the APIs of OpenAI, Anthropic and Amazon Bedrock, on a real socket of 127.0.0.1.

It says what the prompt tells it (`views.py`), checks every request as its vendor would, misbehaves on demand
(`faults.py`), and writes down each exchange with the tokens that it told its client, so that sums can be compared.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from functools import partial
from types import TracebackType
from typing import Any, Final, NamedTuple, Self
from urllib.parse import unquote

import msgspec

from promptd.dialects.event_stream import MEDIA_TYPE
from promptd.testing.faults import Presence, Wire
from promptd.testing.model_server import chat, converse, messages, responses
from promptd.testing.model_server.faults import EARLY, NAMES, REFUSALS, error_body
from promptd.testing.model_server.views import Plan, View, WrongRequest, plan

__all__ = ["NAMES", "Exchange", "ModelServer"]

KEY: Final = "sk-upstream"
MODELS: Final = ("script", "other")


class Dialect(NamedTuple):
    """How one path is read and written. `stream` gives the events; `named`: each event says its type in a line before.

    `framed`: the events are binary messages.
    """

    read: Callable[[dict[str, Any]], View]
    whole: Callable[[View, Plan], Any]
    stream: Callable[[View, Plan], Iterator[Any]]
    named: bool = False
    end: bytes = b""
    framed: bool = False


_DIALECTS: Final = {
    "/v1/chat/completions": Dialect(chat.read, chat.whole, chat.stream, end=chat.DONE),
    "/v1/completions": Dialect(chat.read_completion, chat.whole_completion, chat.stream_completion, end=chat.DONE),
    "/v1/responses": Dialect(responses.read, responses.whole, responses.stream, named=True),
    "/v1/messages": Dialect(messages.read, messages.whole, messages.stream, named=True),
}


def _dialect_of(path: str) -> Dialect | None:
    """Bedrock says in the path which model is asked, and how."""
    found = converse.PATH.fullmatch(path)
    if found is None:
        return _DIALECTS.get(path)
    read = partial(converse.read, model=unquote(found[1]), stream=found[2] == "converse-stream")
    return Dialect(read, converse.whole, converse.stream, framed=True)


class Exchange(msgspec.Struct, kw_only=True):
    """One request and how it went; its tokens are those of the whole answer, told or not.

    `outcome`: `open`, `whole` (answered to the last byte), `refused` (an error's status), `broken` (by a fault), `left`
    (by the client, or by the server's own death).
    """

    method: str
    path: str
    headers: dict[str, str]
    body: Any = None
    model: str = ""
    stream: bool = False
    last: str = ""
    status: int = 0
    outcome: str = "open"
    fault: str = ""
    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0


class ModelServer:
    """The server, an async context manager.

    `exchanges` is its log and `complaints` what was wrong with requests. `trouble` names a fault, or none, for each
    request. `shred`: write answers in packets of so many bytes, wherever that cuts them.
    """

    def __init__(self, *, key: str = KEY, trouble: Callable[[View], str] | None = None, shred: int = 0) -> None:
        self.key, self.trouble, self.shred = key, trouble, shred
        self.exchanges: list[Exchange] = []
        self.complaints: list[str] = []
        self.connections = 0
        self.port = 0
        self.presence = Presence()
        self._gates: dict[str, asyncio.Event] = {}
        self._reached: dict[str, asyncio.Event] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._writers: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> Self:
        await self.come_back()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.leave()

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def base_url(self) -> str:
        """As OpenAI's clients want it, with the version."""
        return f"{self.origin}/v1"

    async def come_back(self) -> None:
        """Listen, on the same port as before."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, backlog=1024)
        self.port = self._server.sockets[0].getsockname()[1]

    async def leave(self) -> None:
        """Die: no listener, and every connection is cut."""
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    def release(self, name: str) -> None:
        """Let answers that wait for `name` go on, those to come too."""
        self._gate(self._gates, name).set()

    async def holding(self, name: str) -> None:
        """Return once an answer waits for `name`."""
        await self._gate(self._reached, name).wait()

    def _gate(self, gates: dict[str, asyncio.Event], name: str) -> asyncio.Event:
        return gates.setdefault(name, asyncio.Event())

    def told(self) -> list[Exchange]:
        """Every exchange whose answer was whole."""
        return [exchange for exchange in self.exchanges if exchange.outcome == "whole" and exchange.status == 200]

    # ---------------------------------------------------------------- one connection

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._writers.add(writer)
        self.connections += 1
        wire = Wire(self.presence, reader, writer)
        try:
            while wire.keep:
                await self._exchange(wire)
        except (ConnectionError, asyncio.IncompleteReadError):
            self.presence.note_leaving()
        except asyncio.CancelledError:
            return  # the server left; nobody waits for this task but `leave`
        finally:
            writer.close()
            self._writers.discard(writer)
            self._tasks.discard(task)

    async def _exchange(self, wire: Wire) -> None:
        head = (await wire.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.strip().split("\r\n")
        method, path, _ = first.split(" ")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        data = await wire.reader.readexactly(int(headers.get("content-length", "0")))
        exchange = Exchange(method=method, path=path.partition("?")[0], headers=headers)
        self.exchanges.append(exchange)
        try:
            await self._answer(wire, exchange, data)
            await wire.writer.drain()
        except (ConnectionError, asyncio.CancelledError):
            exchange.outcome = "broken" if exchange.outcome == "broken" else "left"
            raise
        if exchange.outcome == "open":
            exchange.outcome = "whole"

    async def _answer(self, wire: Wire, exchange: Exchange, data: bytes) -> None:
        anthropic = exchange.path.startswith("/v1/messages") or "anthropic-version" in exchange.headers
        try:
            if (wrong := self._wrong_key(exchange, anthropic)) is not None:
                self.complaints.append(f"{exchange.path}: {wrong}")
                self._refuse(wire, exchange, anthropic, 401, wrong, code="invalid_api_key")
                return
            if exchange.method == "GET" and exchange.path == "/v1/models":
                self._whole(wire, exchange, _models(anthropic))
                return
            exchange.body = msgspec.json.decode(data)
            if not isinstance(exchange.body, dict):
                raise WrongRequest("", "expected an object")
            exchange.model = str(exchange.body.get("model", ""))
            if exchange.path == "/v1/embeddings":
                answer, exchange.input_tokens = chat.embeddings(exchange.body)
                self._whole(wire, exchange, answer)
            elif exchange.path == "/v1/messages/count_tokens":
                view = messages.read(exchange.body, counting=True)
                self._whole(wire, exchange, {"input_tokens": plan(view).input_tokens})
            elif (dialect := _dialect_of(exchange.path)) is not None:
                await self._speak(wire, exchange, dialect, anthropic)
            else:
                self._refuse(wire, exchange, anthropic, 404, f"no such path: {exchange.path}")
        except WrongRequest as error:
            self.complaints.append(f"{exchange.path}: {error}")
            self._refuse(wire, exchange, anthropic, 400, error.message, field=error.field or None)
        except (msgspec.DecodeError, KeyError, TypeError, ValueError) as error:
            self.complaints.append(f"{exchange.path}: {error!r}")
            self._refuse(wire, exchange, anthropic, 400, repr(error))

    def _wrong_key(self, exchange: Exchange, anthropic: bool) -> str | None:
        bearer = exchange.headers.get("authorization", "").removeprefix("Bearer ")
        shown = exchange.headers.get("x-api-key", bearer) if anthropic else bearer
        if shown != self.key:
            return "this is not the key"
        if "x-api-key" in exchange.headers and "anthropic-version" not in exchange.headers:
            return "anthropic-version: this header is required"
        return None

    def _whole(self, wire: Wire, exchange: Exchange, body: Any) -> None:
        exchange.status = 200
        wire.whole(200, body, "x-request-id: req_upstream", "request-id: req_upstream")

    def _refuse(
        self,
        wire: Wire,
        exchange: Exchange,
        anthropic: bool,
        status: int,
        message: str,
        *,
        code: str | None = None,
        field: str | None = None,
        retry_after: str = "",
    ) -> None:
        exchange.status, exchange.outcome = status, "refused"
        headers = ["x-request-id: req_upstream", *([f"retry-after: {retry_after}"] if retry_after else [])]
        if converse.PATH.fullmatch(exchange.path):
            kind = converse.KINDS.get(status, "InternalServerException")
            wire.whole(status, {"message": message}, f"x-amzn-errortype: {kind}:http://errors.example/", *headers)
            return
        wire.whole(status, error_body(anthropic, status, message, code, field), *headers)

    # ---------------------------------------------------------------- one answer

    async def _speak(self, wire: Wire, exchange: Exchange, dialect: Dialect, anthropic: bool) -> None:
        view = dialect.read(exchange.body)
        if view.instructs and messages.INSTRUCTS not in exchange.headers.get("anthropic-beta", ""):
            raise WrongRequest("messages", f"system messages here need the beta {messages.INSTRUCTS}")
        said = plan(view)
        exchange.model, exchange.stream, exchange.last = view.model, view.stream, view.last
        fault = said.fault or (self.trouble(view) if self.trouble is not None else "")
        exchange.fault = fault
        if refusal := REFUSALS.get(fault):
            self._refuse(
                wire,
                exchange,
                anthropic,
                refusal.status,
                (refusal.anthropic if anthropic else "") or refusal.message,
                code=refusal.code,
                retry_after=refusal.retry_after,
            )
            return
        if fault in EARLY:
            await self._misbehave(wire, exchange, fault)
            return
        exchange.status = 200
        exchange.input_tokens, exchange.cached_tokens = said.input_tokens, said.cached_tokens
        exchange.output_tokens = said.output_tokens * view.count
        exchange.reasoning_tokens = said.reasoning_tokens * view.count
        if view.stream:
            await self._stream(wire, exchange, dialect, view, said, fault)
        else:
            await self._send(wire, exchange, dialect, view, said, fault)

    async def _misbehave(self, wire: Wire, exchange: Exchange, fault: str) -> None:
        exchange.outcome = "broken"
        match fault:
            case "garbage":
                wire.whole(200, b"<html>not what you want</html>")
            case "die" | "die-within":
                await wire.writer.drain()
                wire.reset()
            case "stall" | "stall-within":
                await wire.writer.drain()
                await wire.hang()

    async def _send(self, wire: Wire, exchange: Exchange, dialect: Dialect, view: View, said: Plan, fault: str) -> None:
        await self._wait(said, hold=True)
        data = msgspec.json.encode(dialect.whole(view, said))
        if fault in ("die-within", "stall-within"):
            wire.head(200, "application/json", f"content-length: {len(data)}")
            wire.raw(data[: len(data) // 2])
            await self._misbehave(wire, exchange, fault)
            return
        exchange.outcome = "whole"
        wire.head(200, "application/json", f"content-length: {len(data)}", "x-request-id: req_upstream")
        for packet in self._packets(data):
            wire.raw(packet)
            await wire.writer.drain()

    async def _stream(
        self, wire: Wire, exchange: Exchange, dialect: Dialect, view: View, said: Plan, fault: str
    ) -> None:
        kind = MEDIA_TYPE if dialect.framed else "text/event-stream; charset=utf-8"
        wire.head(200, kind, "transfer-encoding: chunked", "x-request-id: req_upstream")
        events = list(dialect.stream(view, said))
        half = len(events) // 2
        for number, event in enumerate(events):
            if fault and number > half:
                exchange.outcome = "broken"
                await self._break(wire, exchange, dialect, fault)
                return
            await self._wait(said, hold=number == half)
            if number == len(events) - 1:
                exchange.outcome = "whole"  # before its client can know
            await self._event(wire, event, dialect)
        await self._bytes(wire, dialect.end)
        wire.end()

    async def _break(self, wire: Wire, exchange: Exchange, dialect: Dialect, fault: str) -> None:
        """End a stream in its middle."""
        match fault:
            case "error-within" if dialect.framed:
                await self._bytes(wire, converse.exception("throttlingException", "Overloaded in the middle"))
                wire.end()
            case "error-within":
                error = error_body(exchange.path == "/v1/messages", 529, "Overloaded in the middle", "overloaded")
                if exchange.path == "/v1/responses":
                    error = {
                        "type": "error",
                        "code": "overloaded",
                        "message": "Overloaded in the middle",
                        "param": None,
                    }
                await self._event(wire, error, dialect)
                wire.end()
            case "no-end":
                wire.end()
            case _:
                await self._misbehave(wire, exchange, fault)

    async def _event(self, wire: Wire, event: Any, dialect: Dialect) -> None:
        if dialect.framed:
            await self._bytes(wire, converse.frame(event))
            return
        data = b"data: " + msgspec.json.encode(event) + b"\n\n"
        await self._bytes(wire, b"event: " + event["type"].encode() + b"\n" + data if dialect.named else data)

    async def _bytes(self, wire: Wire, data: bytes) -> None:
        for packet in self._packets(data):
            wire.chunk(packet)
            await wire.writer.drain()

    def _packets(self, data: bytes) -> list[bytes]:
        size = self.shred or len(data) or 1
        return [data[at : at + size] for at in range(0, len(data), size)]

    async def _wait(self, said: Plan, *, hold: bool) -> None:
        """What the script wants before an event, and at `hold` in the middle of the answer."""
        if hold and said.hold:
            self._gate(self._reached, said.hold).set()
            await self._gate(self._gates, said.hold).wait()
        if said.pace:
            await asyncio.sleep(said.pace)


def _models(anthropic: bool) -> Any:
    if not anthropic:
        listed = [{"id": name, "object": "model", "created": 1_700_000_000, "owned_by": "tests"} for name in MODELS]
        return {"object": "list", "data": listed}
    known = [
        {"type": "model", "id": name, "display_name": name, "created_at": "2026-01-01T00:00:00Z"} for name in MODELS
    ]
    return {"data": known, "has_more": False, "first_id": MODELS[0], "last_id": MODELS[-1]}
