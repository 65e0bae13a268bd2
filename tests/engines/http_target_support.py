"""An endpoint on loopback for the `http_target` engine, and its runs as the service makes them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from promptd.core.descriptors import Checked, Checker, check_params
from promptd.core.engine import Call, DescribeParams
from promptd.core.model import Capability
from promptd.core.prompt_files import PromptFile
from promptd.egress import Egress
from promptd.engines.http_target import HttpQuery, HttpTarget, HttpTargetConfig
from promptd.testing.sockets import Reader, Writer, head_of

SECRET = "the-secret-of-the-test"


class Endpoint:
    """Answers each request with the next of `answers`, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, dict[str, str], bytes]] = []
        self.answers: list[tuple[int, dict[str, str], bytes]] = []
        self.url = ""

    def say(self, body: Any, status: int = 200, **headers: str) -> None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.answers.append((status, {name.replace("_", "-"): value for name, value in headers.items()}, data))

    async def handle(self, reader: Reader, writer: Writer) -> None:
        while True:
            head = (await head_of(reader)).decode("latin-1")
            first, *lines = head.strip().split("\r\n")
            method, target, _ = first.split(" ")
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
            body = await reader.readexactly(int(headers.get("content-length", "0")))
            self.asked.append((method, target, headers, body))
            status, said, data = self.answers.pop(0) if self.answers else (200, {}, b"{}")
            lines = [f"HTTP/1.1 {status} -", f"content-length: {len(data)}", *(f"{k}: {v}" for k, v in said.items())]
            writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + data)
            await writer.drain()

    @property
    def last(self) -> tuple[str, str, dict[str, str], bytes]:
        return self.asked[-1]


@asynccontextmanager
async def way(url: str) -> AsyncIterator[Egress]:
    egress = Egress([url])
    try:
        yield egress
    finally:
        await egress.close()


def connection(endpoint: Endpoint, **settings: Any) -> HttpTargetConfig:
    return HttpTargetConfig.model_validate({"base_url": f"{endpoint.url}/api"} | settings)


def query(**settings: Any) -> HttpQuery:
    return HttpQuery.model_validate(settings)


async def run(
    endpoint: Endpoint,
    asked: HttpQuery,
    value: dict[str, Any] | None = None,
    files: dict[str, list[PromptFile]] | None = None,
    **settings: Any,
) -> Checked:
    """As the service does it: inputs are checked, then the engine runs, then outputs are checked."""
    engine, made = HttpTarget(), connection(endpoint, **settings)
    params = DescribeParams[Any, Any](connection=made, query=asked)
    given = Checker(check_params(engine.compute_query_input(params))).check(value or {}, files)
    call: Call[Any, Any] = Call(
        connection=made,
        connection_name="c",
        model="",
        http=Egress([endpoint.url]),
        query=asked,
        value=given.value,
        files=given.files,
        capability=Capability.QUERY,
    )
    try:
        result = await engine.execute(call)
    finally:
        await call.http.close()  # type: ignore[attr-defined] # it is an Egress
    outputs = check_params(engine.compute_query_output(params), where="outputs")
    return Checker(outputs, "output").check(result.value, result.files)
