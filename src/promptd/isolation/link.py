"""Many conversations over one socket between the server and a plugin's process.

Either side opens a conversation with a question, and the other one answers with items, as fast as the asker takes them,
and with an end or a fault. A frame is its length in four bytes, and MessagePack.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

import msgspec

from promptd.isolation.faults import Fault

_OPEN, _ITEM, _END, _FAIL, _CLOSE, _CREDIT, _NOTE = range(7)
_WINDOW: Final = 32  # items that may be on their way in one conversation
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(tuple[int, int, msgspec.Raw]).decode
_question = msgspec.msgpack.Decoder(tuple[str, bytes]).decode
_bytes = msgspec.msgpack.Decoder(bytes).decode
_fault = msgspec.msgpack.Decoder(Fault).decode
_number = msgspec.msgpack.Decoder(int).decode


class Lost(Exception):
    """The other side is gone, or says what nobody can understand."""


class Faulted(Exception):
    """The other side answered with a fault."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.message)
        self.fault = fault


class Inlet:
    """The asker's end of a conversation."""

    def __init__(self, link: Link, number: int) -> None:
        self._link, self.number = link, number
        self._items: deque[bytes] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._end: BaseException | None = None
        self._ended = False
        self._taken = self._held = 0

    async def take(self) -> bytes | None:
        """The next item; None at the end. Raises `Faulted`, `Lost` or what `fail` was given."""
        while not self._items:
            if self._ended:
                if self._end is not None:
                    raise self._end
                return None
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        self._taken += 1
        if self._taken == _WINDOW // 2:
            self._taken = 0
            self._link.send(_CREDIT, self.number, _WINDOW // 2)
        item = self._items.popleft()
        self._held -= len(item)
        return item

    def add(self, item: bytes) -> None:
        self._held += len(item)
        if len(self._items) >= _WINDOW or self._held > self._link.most_bytes:
            raise Lost("it sent more than was asked for")
        self._items.append(item)
        self._wake()

    def fail(self, error: BaseException | None) -> None:
        """The end, unless there was one; items before it are still given."""
        if not self._ended:
            self._ended, self._end = True, error
            self._wake()

    def leave(self) -> None:
        """Take no more; the other side is told, unless it is at its end."""
        if self._link.forget(self) and not self._ended:
            self._ended = True
            self._link.send(_CLOSE, self.number, None)

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class Outlet:
    """The answerer's end of a conversation."""

    def __init__(self, link: Link, number: int) -> None:
        self._link, self.number = link, number
        self._credit = _WINDOW
        self._waiter: asyncio.Future[None] | None = None

    async def put(self, item: bytes) -> None:
        """Give an item, once the asker has room for it. Raises `Lost`."""
        while not self._credit:
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        self._credit -= 1
        self._link.send(_ITEM, self.number, item)
        await self._link.drain()

    def grant(self, credit: int) -> None:
        if not 0 < credit <= _WINDOW or self._credit + credit > _WINDOW:
            raise Lost("it granted what it does not have")
        self._credit += credit
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


Answer = Callable[[str, bytes, Outlet], Awaitable[None]]  #: raises `Faulted` for what went wrong
Note = Callable[[str, bytes], None]


class Link:
    """One side. `live` must run for as long as the link is used; it is of the loop that it runs in.

    `odd` tells the two sides' conversations apart. A frame of more than `most_bytes` ends the link, and so do answers
    of so many that nobody took yet, and more than `most_open` questions of the other side at once.
    """

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        *,
        odd: bool,
        most_bytes: int,
        most_open: int,
        answer: Answer,
        note: Note,
    ) -> None:
        self._reader, self._writer = reader, writer
        self._next, self._mine = (1 if odd else 2), (1 if odd else 0)
        self.most_bytes, self._most_open = most_bytes, most_open
        self._answer, self._note = answer, note
        self._inlets: dict[int, Inlet] = {}
        self._outlets: dict[int, tuple[Outlet, asyncio.Task[None]]] = {}
        self._lost = False

    async def live(self) -> None:
        """Read until the other side is gone. Raises `Lost` where it breaks the rules, `OSError`."""
        try:
            while True:
                try:
                    size = int.from_bytes(await self._reader.readexactly(4))
                    if size > self.most_bytes:
                        raise Lost("it sent a frame that is too long")
                    frame = await self._reader.readexactly(size)
                except asyncio.IncompleteReadError:
                    return
                try:
                    self._read(*_decode(frame))
                except msgspec.DecodeError:
                    raise Lost("it sent what is no frame") from None
        finally:
            self._lost = True
            self._writer.close()
            for _, task in tuple(self._outlets.values()):
                task.cancel()
            for inlet in tuple(self._inlets.values()):
                inlet.fail(Lost("it has ended"))

    def open(self, kind: str, question: bytes) -> Inlet:
        """Ask something. Raises `Lost`."""
        if self._lost:
            raise Lost("it has ended")
        number, self._next = self._next, self._next + 2
        inlet = self._inlets[number] = Inlet(self, number)
        self.send(_OPEN, number, (kind, question))
        return inlet

    def note(self, kind: str, text: bytes) -> None:
        """Say something that nobody answers."""
        self.send(_NOTE, 0, (kind, text))

    def send(self, operation: int, number: int, content: object) -> None:
        if not self._lost:
            frame = _encode((operation, number, content))
            self._writer.write(len(frame).to_bytes(4) + frame)

    async def drain(self) -> None:
        """Wait while the other side takes nothing."""
        with suppress(OSError):  # `live` sees the same
            await self._writer.drain()

    def forget(self, inlet: Inlet) -> bool:
        return self._inlets.pop(inlet.number, None) is not None

    def close(self) -> None:
        """End it; `live` returns."""
        self._writer.close()

    @property
    def lost(self) -> bool:
        return self._lost

    def _read(self, operation: int, number: int, content: msgspec.Raw) -> None:
        if operation == _OPEN:
            kind, question = _question(content)
            if number % 2 == self._mine or number in self._outlets:
                raise Lost("it opened a conversation that is not its own")
            if len(self._outlets) >= self._most_open:
                raise Lost("it asked for too much at once")
            outlet = Outlet(self, number)
            task = asyncio.create_task(self._serve(kind, question, outlet))
            self._outlets[number] = outlet, task
        elif operation == _NOTE:
            self._note(*_question(content))
        elif operation in (_CLOSE, _CREDIT):
            found = self._outlets.get(number)
            if found is not None and operation == _CLOSE:
                found[1].cancel()
            elif found is not None:
                found[0].grant(_number(content))
        else:
            inlet = self._inlets.get(number)
            if inlet is None:
                return  # its asker left
            if operation == _ITEM:
                inlet.add(_bytes(content))
            elif operation == _END:
                inlet.fail(None)
            elif operation == _FAIL:
                inlet.fail(Faulted(_fault(content)))
            else:
                raise Lost("it sent a frame of an unknown kind")

    async def _serve(self, kind: str, question: bytes, outlet: Outlet) -> None:
        try:
            await self._answer(kind, question, outlet)
        except Faulted as error:
            self.send(_FAIL, outlet.number, error.fault)
        except asyncio.CancelledError:
            self.send(_FAIL, outlet.number, Fault(kind="Cancelled"))
            raise
        else:
            self.send(_END, outlet.number, None)
        finally:
            del self._outlets[outlet.number]
