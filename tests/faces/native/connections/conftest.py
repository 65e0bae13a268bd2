"""A server with the printer's handler."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.faces.client import Http, Response
from tests.faces.conftest import Serve, Server
from tests.service.connection_lab import KEY, Bare, Brittle, Printer

BASE = "/promptd/v1"


ALL = f"{BASE}/connections"


FORM = f"{BASE}/plugins/acme.printer/forms/connection"


QUERY = f"{BASE}/plugins/acme.printer/forms/query"


class Desk:
    """A server with the printer's handler, and its administrator."""

    def __init__(self, server: Server, printer: Printer) -> None:
        self.server, self.printer = server, printer
        self.http: Http = server.admin

    async def make(self, name: str = "office", **config: Any) -> Any:
        body = {"name": name, "engine": "acme.printer", "config": {"api_key": KEY, **config}}
        made = await self.http.post(ALL, body)
        assert made.status == 201, made.body
        return made.json

    async def edit(self, seen: Any, **members: Any) -> Response:
        return await self.http.call("PUT", f"{ALL}/{seen['id']}", {"changed_at": seen["changed_at"], **members})


@pytest.fixture
async def desk(serve: Serve) -> AsyncIterator[Desk]:
    printer = Printer()
    engines = {engine.type_id: engine for engine in (printer, Brittle(), Bare())}
    async with serve(engines=engines) as server:
        yield Desk(server, printer)
