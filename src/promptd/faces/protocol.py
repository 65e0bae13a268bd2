"""uvicorn's HTTP protocol with one door more: an app may cut a connection whose peer takes nothing.

A closed transport first tries to flush what is buffered, which a stuck peer never takes; only `abort` frees it.
"""

from __future__ import annotations

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from promptd.faces.asgi import ABORT


class Protocol(HttpToolsProtocol):
    """For `uvicorn.Config(http=…)`."""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = {ABORT: self.transport.abort}  # type: ignore[dict-item]
