"""What is known of one origin that is called, and its connections that wait for their next exchange."""

from __future__ import annotations

from collections import deque

from promptd.egress.connection import Connection
from promptd.egress.heads import Heads
from promptd.egress.policy import Origin


class Pool:
    __slots__ = ("__weakref__", "allowed", "heads", "idle", "origin")

    def __init__(self, origin: Origin) -> None:
        self.origin = origin
        self.allowed = False  #: the policy was asked since it changed, and has nothing against the origin
        self.heads = Heads()  #: of its answers
        self.idle: deque[Connection] = deque()  #: the last one in is the first one out
