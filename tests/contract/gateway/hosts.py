"""The upstreams of the gateway's tests, on a thread of their own, so that synchronous clients can be tested too."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any

from promptd.testing.model_server import Exchange, ModelServer
from promptd.testing.upstream import Upstream

WAIT_SECONDS = 20.0
SHRED = 3  # bytes of a packet: every event and every character is cut somewhere


class Hosts:
    """A model server, one whose answers come in shreds, and one that makes images and sounds."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.whole, self.torn, self.media = ModelServer(), ModelServer(shred=SHRED), Upstream()
        for server in (self.whole, self.torn, self.media):
            self._do(server.__aenter__())

    def close(self) -> None:
        for server in (self.whole, self.torn, self.media):
            self._do(server.__aexit__(None, None, None))
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(WAIT_SECONDS)
        self._loop.close()

    def _do(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(WAIT_SECONDS)

    def holding(self, name: str) -> None:
        """Return once an answer waits for `name`."""
        self._do(self.whole.holding(name))

    def release(self, name: str) -> None:
        self._loop.call_soon_threadsafe(self.whole.release, name)

    def asked(self, words: str) -> list[Exchange]:
        """The exchanges whose last words hold `words`."""
        return [each for server in (self.whole, self.torn) for each in server.exchanges if words in each.last]

    def the(self, words: str) -> Exchange:
        (exchange,) = self.asked(words)
        return exchange

    @property
    def complaints(self) -> list[str]:
        return self.whole.complaints + self.torn.complaints
