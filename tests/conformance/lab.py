"""A stranger's handler that does what a query's settings say, on a whole server, its answers seen over HTTP."""

from __future__ import annotations

import asyncio
import hashlib
import queue
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal

from pydantic import SecretStr

from promptd import plugins as api
from promptd.core.descriptors import MISSING
from promptd.isolation import Isolation
from tests.faces.client import Http, Response
from tests.faces.conftest import Server, run_server

BASE = "/promptd/v1"
CONNECTION = {"office": {"engine": "acme.probe", "key": "the-key-of-the-office"}}
MODELS = {"office": {"connection": "office"}}


class ProbeConfig(api.Config):
    key: SecretStr = SecretStr("")


class ProbeQuery(api.Config):
    wording: str = "{{name}}"
    behaviour: str = "echo"
    result: Literal["good", "absent", "mistyped", "more"] = "good"


class OutOfPaper(api.QuotaExceeded):
    """A plugin's own kind of error."""


class Probe(api.PromptServiceHandler[ProbeConfig, ProbeQuery]):
    type_id = "acme.probe"
    capabilities = frozenset({api.Capability.QUERY})

    def __init__(self) -> None:
        self.calls: list[api.ExecuteParams[ProbeConfig, ProbeQuery]] = []
        self.hanging = queue.SimpleQueue[api.ExecuteParams[ProbeConfig, ProbeQuery]]()

    def compute_query_input(self, params: api.DescribeParams[ProbeConfig, ProbeQuery]) -> Sequence[api.Param]:
        if params.query.behaviour == "no descriptors":
            raise LookupError("nobody knows")
        fault = {"two of a name": [api.Param("name")], "an illegal name": [api.Param("no name")]}
        fault["required with a default"] = [api.Param("more", default="x")]
        return [
            *(api.Param(name) for name in api.placeholders(params.query.wording)),
            api.Param("count", "integer", required=False, default=3),
            api.Param("note", required=False),
            api.Param("scan", "file", required=False, media_types=("image/png", "text/plain"), max_bytes=1024 * 1024),
            *fault.get(params.query.behaviour, []),
        ]

    def compute_query_output(self, params: api.DescribeParams[ProbeConfig, ProbeQuery]) -> Sequence[api.Param]:
        return [
            api.Param("said"),
            api.Param("count", "integer", required=False),
            api.Param("copy", "file", required=False),
        ]

    async def execute(self, call: api.ExecuteParams[ProbeConfig, ProbeQuery]) -> api.ExecuteResult:
        self.calls.append(call)
        if call.query.behaviour == "hang":
            self.hanging.put_nowait(call)
            await asyncio.Event().wait()
        _misbehave(call.query.behaviour)
        value: dict[str, Any] = {"said": f"{call.text(call.query.wording)} in {call.locale}", "count": 1}
        match call.query.result:
            case "absent":
                del value["said"]
            case "mistyped":
                value["count"] = "1"
            case "more":
                value["extra"] = 1
        copies = [api.PromptFile.from_bytes(file.filename, file.read()) for file in call.files.get("scan", ())]
        return api.ExecuteResult(value=value, files={"copy": copies} if copies else {})


def _misbehave(behaviour: str) -> None:
    kind = getattr(api, behaviour, None)
    if isinstance(kind, type) and issubclass(kind, api.PromptExecutionError):
        raise kind("as it was told", retry_after=7 if kind is api.RateLimited else None)
    match behaviour:
        case "own error":
            raise OutOfPaper("the tray is empty")
        case "unexpected":
            raise LookupError("of an unexpected kind")
        case "exit":
            raise SystemExit(3)
        case "stray cancel":
            raise asyncio.CancelledError
        case "group of one":
            raise BaseExceptionGroup("both", [TimeoutError(), TimeoutError()])
        case "mixed group":
            raise BaseExceptionGroup("two", [TimeoutError(), ConnectionError()])


class Lab:
    """The server and the handler that its plugin brings."""

    def __init__(self, server: Server, probe: Probe) -> None:
        self.server, self.probe = server, probe

    @property
    def admin(self) -> Http:
        return self.server.admin

    async def query(self, name: str = "query", **settings: Any) -> Response:
        """Save a query, as a template with a connection."""
        body = {"connection": "office", "settings": settings, "label": "production"}
        return await self.admin.post(f"{BASE}/templates/{name}/versions", body)

    async def run(self, name: str = "query", inputs: Any = MISSING, **more: Any) -> Response:
        body = {"inputs": {"name": "Ada"} if inputs is MISSING else inputs, **more}
        return await self.server.http.post(f"{BASE}/templates/{name}/run?wait=20", body)

    async def ran(self, inputs: Any = MISSING, **settings: Any) -> Response:
        """What a run of a query with these settings answers."""
        saved = await self.query(**settings)
        assert saved.status == 201, saved.body
        return await self.run(inputs=inputs)


@asynccontextmanager
async def opened(home: Path, **sections: Any) -> AsyncIterator[Lab]:
    """A server whose plugin runs as a stranger's does: in threads of its own."""
    probe = Probe()
    engine = Isolation().isolate("acme-probe", "tests.conformance.lab:Probe", probe, None)
    once = {"connections": CONNECTION, "models": MODELS, "retry": {"max_attempts": 1}}
    try:
        async with run_server(home, engines={"acme.probe": engine}, **(once | sections)) as server:
            yield Lab(server, probe)
    finally:
        await engine.close()


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
