"""A request and who sends it, as far as its head tells: read once for all requests that have the same."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from msgspec import Struct
from starlette.types import Receive, Scope, Send

from promptd.core.model import Caller
from promptd.core.policy import NO_CHARGES, Bill
from promptd.service.keys import Recalled
from promptd.service.visit import Visit

_VISIBLE: Final = re.compile(rb"[\x21-\x7e]{1,128}")
_BEARER: Final = b"bearer "
LONGEST_AFFINITY: Final = 256


class Sender(Struct, eq=False):
    """What the fields of one head say."""

    headers: dict[bytes, bytes]
    request_id: bytes  #: as its caller calls it; empty where that is no name
    secret: str | None  #: a bearer token, or one of the headers that vendors use instead
    affinity: str | None  #: the conversation that it belongs to
    recalled: Recalled | None = None  #: whose secret it is, once that is known


def sender_of(fields: Iterable[tuple[bytes, bytes]]) -> Sender:
    headers = dict(fields)
    given = headers.get(b"x-request-id")
    affinity = headers.get(b"x-session-affinity") or headers.get(b"x-session-id")
    return Sender(
        headers,
        given if given is not None and _VISIBLE.fullmatch(given) else b"",
        _secret(headers),
        affinity.decode("latin-1")[:LONGEST_AFFINITY] if affinity is not None else None,
    )


def _secret(headers: dict[bytes, bytes]) -> str | None:
    given = headers.get(b"authorization")
    if given is not None and given[: len(_BEARER)].lower() == _BEARER:
        return given[len(_BEARER) :].decode("latin-1")
    other = headers.get(b"x-api-key") or headers.get(b"api-key")
    return other.decode("latin-1") if other is not None else None


class Fields(list[tuple[bytes, bytes]]):
    """The fields of a head that many requests have. Nobody changes them."""

    __slots__ = ("sender",)

    def __init__(self, fields: Iterable[tuple[bytes, bytes]], sender: Sender | None = None) -> None:
        super().__init__(fields)
        self.sender: Sender = sender or sender_of(self)

    def changed(self, name: bytes, value: bytes) -> Fields:
        """The same with another value of a field that says nothing of the sender."""
        before = self.sender
        sender = Sender(
            before.headers | {name: value}, before.request_id, before.secret, before.affinity, before.recalled
        )
        return Fields([(known, value if known == name else said) for known, said in self], sender)


class Ask:
    """One request, and who makes it."""

    __slots__ = (
        "caller",
        "charges",
        "headers",
        "prompt_id",
        "receive",
        "request_id",
        "scope",
        "send",
        "sender",
        "visit",
    )

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scope, self.receive, self.send = scope, receive, send
        fields = scope["headers"]
        sender = self.sender = fields.sender if type(fields) is Fields else sender_of(fields)
        self.headers = sender.headers
        self.request_id = b""
        self.charges: Bill = NO_CHARGES  #: what limits count of it
        self.visit: Visit | None = None  #: its prompt, once that is tried
        self.prompt_id: str | None = None  #: that its prompt shall have, where others are made for it before
        self.caller: Caller

    @property
    def params(self) -> dict[str, str]:
        return self.scope.get("path_params", {})  # type: ignore[no-any-return]
