"""Answers whose head is the usual one of its service: nothing but lengths and harmless values differs from the last ones.

To see that a head is such a one is cheaper than to parse it. Whatever is no usual one goes to the parser.
"""

from __future__ import annotations

import re
from typing import Final

_TRIES: Final = 16  # to learn a head takes the time of some requests
_LONGEST: Final = 4096
_END: Final = b"\r\n\r\n"
_STATUS: Final = re.compile(rb"HTTP/1\.1 200( [\t\x20-\x7e\x80-\xff]*)?")
_NAME: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_LENGTH: Final = re.compile(rb"([ \t]*)[0-9]{1,9}")
_ANY_LENGTH: Final = rb"([0-9]{1,9})"
_ANY_VALUE: Final = rb"[\t\x20-\x7e\x80-\xff]*"
#: say something on the body, or on the connection: where one of these is there, the parser has to be asked
_TELLING: Final = frozenset({b"connection", b"content-encoding", b"proxy-connection", b"transfer-encoding", b"upgrade"})


class Heads:
    """What the heads of one service look like."""

    __slots__ = ("_tries", "match")

    def __init__(self) -> None:
        self.match = re.compile(rb"(?!)").match  #: finds the usual head where a packet begins with it, and its length
        self._tries = _TRIES

    def learn(self, packet: bytes) -> None:
        """Take the head of a success for the usual one, if all that it says of its body is the length."""
        end = packet.find(_END, 0, _LONGEST)
        if not self._tries or end < 0:
            return
        self._tries -= 1
        status, *lines = packet[:end].split(b"\r\n")
        if not _STATUS.fullmatch(status):
            return
        parts, lengths = [re.escape(status)], 0
        for line in lines:
            name, _, value = line.partition(b":")
            if name.lower() in _TELLING or not _NAME.fullmatch(name):
                return
            if name.lower() == b"content-length":
                length = _LENGTH.fullmatch(value)
                if length is None:
                    return
                lengths += 1
                parts.append(re.escape(name + b":" + length[1]) + _ANY_LENGTH)
            else:
                parts.append(re.escape(name + b":") + _ANY_VALUE)
        if lengths == 1:
            self.match = re.compile(b"\r\n".join(parts) + _END).match
