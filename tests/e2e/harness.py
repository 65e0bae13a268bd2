"""A real server process, and readers that behave as real ones: they come back with the last event id they saw."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import ssl
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import httpx
import yaml

_LISTENS = re.compile(r"listens on (https?://\S+),")
START_SECONDS = 30.0
PAUSE_SECONDS = 0.1  # between two tries to reach a server that may be gone
_NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # loopback only; loading trusted roots for each client is slow


class Server:
    """`promptd serve` in a data folder of its own; it can be killed and started again on the same port.

    `wrap` is a command in front of it, `variables` are added to its environment.
    """

    def __init__(
        self,
        home: Path,
        config: dict[str, Any],
        *,
        wrap: tuple[str, ...] = (),
        variables: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self.home, self.wrap, self._variables = home, wrap, variables
        home.mkdir(parents=True, exist_ok=True)
        self._config = config
        self.port = 0
        self.url = ""
        self.process: asyncio.subprocess.Process | None = None
        self.log: list[str] = []
        self._reader: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    @property
    def key(self) -> str:
        return (self.home / "cli.key").read_text().strip()

    @property
    def environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("PROMPTD_")}
        return kept | {"PROMPTD_HOME": str(self.home), "HOME": str(self.home)} | dict(self._variables)

    def configure(self) -> None:
        """Write the configuration file."""
        config = self._config | {"server": {"port": self.port} | self._config.get("server", {})}
        (self.home / "promptd.yaml").write_text(yaml.safe_dump(config))

    async def launch(self, *arguments: str) -> asyncio.subprocess.Process:
        """A `promptd` process with the server's environment; what it says on standard error can be read."""
        return await asyncio.create_subprocess_exec(
            *(*self.wrap, sys.executable, "-m", "promptd", *arguments),
            env=self.environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )

    async def command(self, *arguments: str) -> tuple[int, str]:
        """Run a command to its end: exit code and standard error."""
        process = await self.launch(*arguments)
        _, said = await asyncio.wait_for(process.communicate(), START_SECONDS)
        assert process.returncode is not None
        return process.returncode, said.decode()

    async def start(self) -> None:
        self.configure()
        self.process = await self.launch("serve")
        listening: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._reader = asyncio.create_task(self._read(listening))
        try:
            self.url = await asyncio.wait_for(listening, START_SECONDS)
        except BaseException:
            await self.kill()
            raise
        self.port = int(self.url.rpartition(":")[2])

    async def _read(self, listening: asyncio.Future[str]) -> None:
        assert self.process is not None
        assert self.process.stderr is not None
        async for line in self.process.stderr:
            text = line.decode(errors="replace").rstrip()
            self.log.append(text)
            if (match := _LISTENS.search(text)) and not listening.done():
                listening.set_result(match[1])
        if not listening.done():
            listening.set_exception(RuntimeError("the server did not start:\n" + "\n".join(self.log[-20:])))

    async def kill(self) -> None:
        """SIGKILL, to the server's process alone."""
        await self._end(signal.SIGKILL)

    async def stop(self) -> int:
        """SIGTERM; the exit status."""
        return await self._end(signal.SIGTERM)

    async def _end(self, number: int) -> int:
        assert self.process is not None
        assert self._reader is not None
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(number)
        status = await asyncio.wait_for(self.process.wait(), START_SECONDS)
        await self._reader
        return status

    def children(self) -> list[int]:
        """The PIDs of the server's child processes."""
        path = Path(f"/proc/{self.pid}/task/{self.pid}/children")
        return [int(number) for number in path.read_text().split()] if path.exists() else []

    def client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            base_url=f"{self.url}/promptd/v1",
            headers={"authorization": f"Bearer {self.key}"},
            timeout=httpx.Timeout(30, read=60),
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=50),
            verify=_NO_TLS,
        )


@contextlib.asynccontextmanager
async def running(
    home: Path,
    config: dict[str, Any],
    *,
    wrap: tuple[str, ...] = (),
    variables: Mapping[str, str] = MappingProxyType({}),
) -> AsyncIterator[Server]:
    server = Server(home, config, wrap=wrap, variables=variables)
    await server.start()
    try:
        yield server
    finally:
        if server.process is not None and server.process.returncode is None:
            await server.kill()


async def persistently(client: httpx.AsyncClient, method: str, path: str, **options: Any) -> httpx.Response:
    """Call until it is answered: the server may be gone for a while."""
    while True:
        with contextlib.suppress(httpx.TransportError):
            answer = await client.request(method, path, **options)
            if answer.status_code != 503:
                return answer
        await asyncio.sleep(PAUSE_SECONDS)


class Reader:
    """Applies the chunks of one prompt: `progress` appends, `restart` empties, `done` and `error` end."""

    def __init__(self, identifier: str) -> None:
        self.identifier = identifier
        self.text = ""
        self.last: str | None = None
        self.end: dict[str, Any] | None = None
        self.connections = 0

    async def read(self, client: httpx.AsyncClient) -> None:
        """Read until the prompt ends, through as many connections as it takes."""
        while self.end is None:
            with contextlib.suppress(httpx.TransportError):
                await self._connect(client)
            if self.end is None:
                await asyncio.sleep(PAUSE_SECONDS)

    async def _connect(self, client: httpx.AsyncClient) -> None:
        headers = {"last-event-id": self.last} if self.last else {}
        async with client.stream("GET", f"/prompts/{self.identifier}/events", headers=headers) as answer:
            if answer.status_code != 200:
                assert answer.status_code in (404, 503), answer.status_code
                return
            self.connections += 1
            identifier, data = None, ""
            async for line in answer.aiter_lines():
                if line.startswith("id: "):
                    identifier = line[4:]
                elif line.startswith("data: "):
                    data = line[6:]
                elif not line and data:
                    self.apply(json.loads(data))
                    self.last, data = identifier or self.last, ""
                    if self.end is not None:
                        return

    def apply(self, chunk: dict[str, Any]) -> None:
        match chunk["type"]:
            case "progress":
                self.text += chunk["text"]
            case "restart":
                self.text = ""
            case _:
                self.end = chunk
