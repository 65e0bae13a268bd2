"""The real command as a process, and a server that breaks on script: what a healthy server never does."""

from __future__ import annotations

import asyncio
import json
import os
import sysconfig
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

COMMAND = str(Path(sysconfig.get_path("scripts")) / "promptd")
SECONDS = 30.0


class Result(NamedTuple):
    code: int
    out: str
    err: str


def environment(home: Path, **more: str) -> dict[str, str]:
    """Nothing of the machine but where its programs are."""
    return {"PATH": os.environ["PATH"], "HOME": str(home), "PROMPTD_HOME": str(home), "LC_ALL": "C.UTF-8", **more}


async def start(
    *arguments: str, env: dict[str, str], stdin: int = asyncio.subprocess.DEVNULL, cwd: Path | None = None
) -> asyncio.subprocess.Process:
    pipe = asyncio.subprocess.PIPE
    return await asyncio.create_subprocess_exec(
        COMMAND, *arguments, env=env, cwd=cwd, stdin=stdin, stdout=pipe, stderr=pipe
    )


async def command(*arguments: str, env: dict[str, str], given: bytes | None = None, cwd: Path | None = None) -> Result:
    """Run `promptd` with `arguments`, standard input a pipe with `given` or nothing at all."""
    process = await start(
        *arguments, env=env, stdin=asyncio.subprocess.DEVNULL if given is None else asyncio.subprocess.PIPE, cwd=cwd
    )
    out, err = await asyncio.wait_for(process.communicate(given), SECONDS)
    assert process.returncode is not None
    return Result(process.returncode, out.decode(), err.decode())


class Request(NamedTuple):
    method: str
    path: str
    headers: dict[str, str]
    body: Any


class Connection:
    """What a script does with one request."""

    def __init__(self, request: Request, writer: asyncio.StreamWriter) -> None:
        self.request, self._writer = request, writer

    async def reply(self, status: int, body: Any = None, **headers: str) -> None:
        text = b"" if body is None else json.dumps(body).encode()
        kind = "application/problem+json" if status >= 400 else "application/json"
        lines = [f"HTTP/1.1 {status} X", f"Content-Type: {kind}", f"Content-Length: {len(text)}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        await self.send("\r\n".join([*lines, "", ""]).encode() + text)

    async def stream(self, *frames: str, retry_ms: int = 1, prompt_id: str = "prm_fake") -> None:
        """The head of an event stream and `frames`; the connection ends behind them unless the script goes on."""
        head = f"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nX-Prompt-Id: {prompt_id}\r\n\r\n"
        await self.send("".join([head, f"retry: {retry_ms}\n\n", *frames]).encode())

    async def send(self, raw: bytes) -> None:
        self._writer.write(raw)
        await self._writer.drain()

    def reset(self) -> None:
        """End without a word, as a killed server does."""
        self._writer.transport.abort()


Script = Callable[[Connection], Awaitable[None]]


def frame(identifier: str, kind: str, **data: Any) -> str:
    return f"id: {identifier}\nevent: {kind}\ndata: {json.dumps({'type': kind, **data})}\n\n"


class FakeServer:
    """Answers the n-th request by the n-th script, and keeps what was asked."""

    def __init__(self) -> None:
        self.url = ""
        self.scripts: list[Script] = []
        self.otherwise: Script | None = None  #: for requests beyond the scripts
        self.requests: list[Request] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            first, *lines = head.strip().split("\r\n")
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
            body = await reader.readexactly(int(headers.get("content-length", "0")))
            method, path, _ = first.split(" ")
            request = Request(method, path, headers, json.loads(body) if body else None)
            self.requests.append(request)
            script = self.scripts.pop(0) if self.scripts else self.otherwise
            assert script is not None, f"an unexpected {method} {path}"
            await script(Connection(request, writer))
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the command went away: its own affair
        finally:
            writer.close()


@asynccontextmanager
async def fake_server() -> AsyncIterator[FakeServer]:
    fake = FakeServer()
    server = await asyncio.start_server(fake.serve, "127.0.0.1", 0)
    fake.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server:
        yield fake
