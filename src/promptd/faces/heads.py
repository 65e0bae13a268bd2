"""Heads of requests that come again: most clients send the same one with each body.

What is byte for byte the head that the parser took before, all but the number in `content-length`, means the same: it is
neither parsed nor understood anew. Anything else is the parser's.
"""

from __future__ import annotations

from typing import Any, Final
from weakref import WeakValueDictionary

from starlette.types import ASGIApp
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT

from promptd.faces.senders import Fields

_LONGEST: Final = 4096
_END: Final = b"\r\n\r\n"
_BREAK: Final = b"\r\n"
_LENGTH: Final = b"content-length"
_LENGTH_LINE: Final = b"\r\ncontent-length: "
_MOST_DIGITS: Final = 6
#: fields that change how a message is read, or what comes before its answer
_FRAMING: Final = frozenset({b"transfer-encoding", b"upgrade", b"expect", b"trailer"})


class Head:
    """One head, and what it means. Nothing of it is changed: many requests have it at once."""

    __slots__ = ("__weakref__", "_before", "_behind", "_bytes", "_whole", "app", "scope", "size")

    def __init__(self, before: bytes, length: int, behind: bytes, scope: dict[str, Any], app: ASGIApp) -> None:
        self._before, self._behind = before, behind  #: the number in `content-length`
        self._bytes = b"%b%d%b" % (before, length, behind)
        self.size = len(self._bytes)
        self._whole = self.size + length
        self.scope, self.app = scope, app

    def again(self, data: bytes) -> Head | None:
        """The head of `data`, where that is one whole request, and nothing else in this head than the length is new."""
        if len(data) == self._whole and data.startswith(self._bytes):
            return self
        before, behind = self._before, self._behind
        start = len(before)
        end = data.find(_BREAK, start, start + _MOST_DIGITS + 1)
        length = len(data) - end - len(behind)
        if (
            end < 0
            or len(data) > HIGH_WATER_LIMIT
            or data[start:end] != b"%d" % length
            or not data.startswith(before)
            or not data.startswith(behind, end)
        ):
            return None
        fields: Fields = self.scope["headers"]
        scope = self.scope | {"headers": fields.changed(_LENGTH, data[start:end])}
        return Head(before, length, behind, scope, self.app)


#: what of a scope is of its connection, or of one request
_OWN: Final = frozenset({"client", "extensions", "state"})
#: those of open connections: clients that send the same share it
_shared: Final[WeakValueDictionary[tuple[Any, ...], Head]] = WeakValueDictionary()


def head_of(data: bytes, scope: dict[str, Any], app: ASGIApp) -> Head | None:
    """The head of a request that can be known again; None where a number alone does not say where its message ends.

    `data` is all that came; the parser made `scope` of it, and found that one message ended.
    """
    end = data.find(_END) + len(_END)
    if not len(_END) <= end <= _LONGEST or len(data) > HIGH_WATER_LIMIT:
        return None
    names = [name for name, _ in scope["headers"]]
    before, line, behind = data[:end].partition(_LENGTH_LINE)
    if not line:  # as most clients of Node and Go spell it
        before, line, behind = data[:end].partition(_LENGTH_LINE.title())
    number, _, behind = behind.partition(_BREAK)
    length = len(data) - end
    if names.count(_LENGTH) != 1 or not _FRAMING.isdisjoint(names) or number != b"%d" % length:
        return None
    key = (data[:end], scope["server"], scope["scheme"], scope["root_path"], app)
    found = _shared.get(key)
    if found is None:
        same = {name: value for name, value in scope.items() if name not in _OWN}
        same["headers"] = Fields(scope["headers"])
        found = _shared[key] = Head(before + line, length, _BREAK + behind, same, app)
    return found
