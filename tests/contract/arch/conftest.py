"""`promptd serve --config arch_config.yaml` as a process, its providers on sockets, and the official SDKs as clients."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import anthropic
import openai
import pytest

from tests.contract.gateway.hosts import Hosts

START_SECONDS = 40.0
_OPEN = re.compile(r"the (\w+) listener (\S+) is open on (\S+)")
_READY = re.compile(r"listens on (https?://\S+),")


class Process:
    """A server. `listeners` are the addresses of its listeners by name, `log` what it says."""

    def __init__(self, home: Path, text: str, count: int, variables: Mapping[str, str] = MappingProxyType({})) -> None:
        """Return once `count` listeners are open, or the process has ended."""
        home.mkdir(parents=True, exist_ok=True)
        self.home = home
        (home / "arch_config.yaml").write_text(text)
        kept = {name: value for name, value in os.environ.items() if not name.startswith("PROMPTD_")}
        environ = {"PROMPTD_HOME": str(home / "data"), "HOME": str(home), "PROMPTD_SERVER__PORT": "0"}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "promptd", "serve", "--config", str(home / "arch_config.yaml")],
            env={**kept, **environ, "KEY": "sk-upstream", **variables},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.log: list[str] = []
        self.listeners: dict[str, str] = {}
        self._count, self._ready = count, threading.Event()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        assert self._ready.wait(START_SECONDS), self.log

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.log.append(line.rstrip())
            if found := _OPEN.search(line):
                self.listeners[found[2]] = found[3]
            if len(self.listeners) >= self._count and any(_READY.search(one) for one in self.log):
                self._ready.set()
        self._ready.set()

    def stop(self) -> int:
        """The exit status after SIGTERM."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(START_SECONDS)
        self._reader.join(START_SECONDS)
        if self.process.stderr is not None:
            self.process.stderr.close()
        return status


FILE = """
version: v0.4.0
listeners:
  - {{type: model, name: llm, port: 0, address: 127.0.0.1}}
model_providers:
  - {{model: openai/gpt, access_key: $KEY, base_url: {whole}, default: true}}
  - {{model: anthropic/claude, access_key: $KEY, base_url: {whole}}}
  - {{model: groq/llama, access_key: $KEY, base_url: {whole}/v1}}
  - {{model: vercel/any, access_key: $KEY, base_url: {whole}}}
  - {{model: openai/gpt-torn, access_key: $KEY, base_url: {torn}}}
  - {{model: anthropic/claude-torn, access_key: $KEY, base_url: {torn}}}
  - {{model: groq/llama-torn, access_key: $KEY, base_url: {torn}/v1}}
  - {{model: amazon_bedrock/nova, access_key: $KEY, base_url: {whole}}}
  - {{model: amazon_bedrock/nova-torn, access_key: $KEY, base_url: {torn}}}
  - {{model: chatgpt/plus, access_key: $KEY, base_url: {whole}/v1}}
"""


@pytest.fixture(scope="session")
def hosts() -> Iterator[Hosts]:
    hosts = Hosts()
    try:
        yield hosts
    finally:
        hosts.close()


@pytest.fixture(scope="session")
def process(hosts: Hosts, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    text = FILE.format(whole=hosts.whole.origin, torn=hosts.torn.origin)
    made = Process(tmp_path_factory.mktemp("arch"), text, 1)
    try:
        assert "llm" in made.listeners, made.log
        yield made
    finally:
        made.stop()


#: every kind of provider but the one that answers streams only; answers of the torn ones come in pieces of three bytes
MODELS = ("gpt", "claude", "llama", "any", "nova", "gpt-torn", "claude-torn", "llama-torn", "nova-torn")


@pytest.fixture(params=MODELS)
def model(request: pytest.FixtureRequest) -> str:
    """A test that takes it runs once with each provider."""
    name: str = request.param
    return name


@pytest.fixture
async def client(process: Process) -> AsyncIterator[openai.AsyncOpenAI]:
    options: dict[str, Any] = {"base_url": f"{process.listeners['llm']}/v1", "api_key": "--"}
    async with openai.AsyncOpenAI(**options, max_retries=0, timeout=30) as made:
        yield made


@pytest.fixture
async def claude(process: Process) -> AsyncIterator[anthropic.AsyncAnthropic]:
    options: dict[str, Any] = {"base_url": process.listeners["llm"], "api_key": "--"}
    async with anthropic.AsyncAnthropic(**options, max_retries=0, timeout=30) as made:
        yield made
