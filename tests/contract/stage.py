"""A real server process, and people at a shell in front of it: bash, the installed `oo`, and curl."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import httpx
import yaml

START_SECONDS = 30.0
LINE_SECONDS = 45.0  # the longest command line of a test
ADMIN, ADMIN_PASSWORD = "1backend", "changeme"
HOST = "bookshop"  # the app that everybody logs in to
PASSWORD = "a long enough password"
SELF_SERVICE = (
    *(f"prompt-svc:prompt:{verb}" for verb in ("create", "view", "edit", "delete", "stream")),
    *(f"file-svc:upload:{verb}" for verb in ("create", "view")),
    "model-svc:model:view",
)

_LISTENS = re.compile(r"listens on (https?://\S+),")
_NOTHING: Mapping[str, str] = MappingProxyType({})
_NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # loopback only; loading trusted roots is slow


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def unique(name: str) -> str:
    """A name that no other test uses: the tests share a server."""
    return f"{name}-{uuid.uuid4().hex[:8]}"


class Said(NamedTuple):
    """What a command line printed, and its exit code."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Stage:
    """A server in a data folder of its own."""

    def __init__(
        self,
        home: Path,
        config: dict[str, Any],
        *,
        arguments: Sequence[str] = (),
        variables: Mapping[str, str] = _NOTHING,
    ) -> None:
        self.home = home
        home.mkdir(parents=True)
        (home / "promptd.yaml").write_text(yaml.safe_dump({"server": {"port": 0}} | config))
        self.url = ""
        self.log: list[str] = []
        self._listening = threading.Event()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "promptd", "serve", *arguments],
            env=environment(home) | {"PROMPTD_HOME": str(home)} | dict(variables),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        if not self._listening.wait(START_SECONDS) or not self.url:
            self._end()
            raise RuntimeError("the server did not start:\n" + "\n".join(self.log[-20:]))
        self.http = httpx.Client(base_url=self.url, timeout=LINE_SECONDS, verify=_NO_TLS, trust_env=False)

    def _read(self) -> None:
        """To the end: a full pipe would stop the server."""
        assert self._process.stderr is not None
        for line in self._process.stderr:
            self.log.append(line.rstrip())
            if match := _LISTENS.search(line):
                self.url = match[1]
                self._listening.set()
        self._listening.set()

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    @property
    def native_key(self) -> str:
        return (self.home / "cli.key").read_text().strip()

    def stop(self) -> None:
        """SIGTERM; SIGKILL for one that does not go."""
        self.http.close()
        self._end()

    def _end(self) -> None:
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(START_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._reader.join(START_SECONDS)
        if self._process.stderr is not None:
            self._process.stderr.close()

    def call(self, method: str, path: str, body: Any = None, *, token: str = "") -> httpx.Response:
        """A request without a command line, where it is only the way to something else."""
        headers = {"authorization": f"Bearer {token}"} if token else {}
        content = None if body is None else json.dumps(body)
        return self.http.request(method, path, content=content, headers=headers)

    def log_in(self, slug: str, password: str) -> str:
        """The token."""
        body = {"appHost": HOST, "slug": slug, "password": password, "device": "test"}
        answer = self.call("POST", "/user-svc/login", body)
        assert answer.status_code == 200, answer.text
        token: str = answer.json()["token"]["token"]
        return token

    def permit_everybody(self, *permissions: str) -> None:
        """Let every user do this, as the original's own tests do before they begin."""
        permits = [{"permission": each, "roles": ["user-svc:user"], "appHost": "*"} for each in permissions]
        token = self.log_in(ADMIN, ADMIN_PASSWORD)
        answer = self.call("PUT", "/user-svc/permits", {"permits": permits}, token=token)
        assert answer.status_code == 200, answer.text


class Person:
    """Somebody at a shell: a home folder of their own, logged in through `oo`."""

    def __init__(self, stage: Stage, home: Path, slug: str, password: str, *, new: bool) -> None:
        self.stage, self.home, self.slug = stage, home, slug
        programs = home / "bin"
        programs.mkdir(parents=True)
        oo = programs / "oo"
        oo.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m promptd.oo "$@"\n')
        oo.chmod(0o755)
        self._environment = environment(home) | {
            "PATH": f"{programs}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
            "URL": stage.url,
        }
        verb = "register" if new else "login"
        self.sh(
            f'oo env add here "$URL" && printf "%s\\n" "$SLUG" "$PASSWORD" | oo -a {HOST} {verb}',
            SLUG=slug,
            PASSWORD=password,
        )
        self.token = self.sh("oo token").out.strip()
        self._environment["TOKEN"] = self.token

    def sh(self, line: str, *, code: int = 0, **variables: str) -> Said:
        """Run a line of bash to its end. $URL and $TOKEN are there, and `variables`; it must exit with `code`."""
        shell = subprocess.Popen(
            ["bash", "-c", line],
            env=self._environment | variables,
            cwd=self.home,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,  # so that what the line started can be ended with it
        )
        try:
            out, err = shell.communicate(timeout=LINE_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(shell.pid, signal.SIGKILL)
            out, err = shell.communicate()
        said = Said(shell.returncode, out.decode(), err.decode())
        assert said.code == code, f"{line}\nexit {said.code}, not {code}\n{said.out}\n{said.err}"
        return said

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """A call without a command line, as this person; what it answers."""
        answer = self.stage.call(method, path, body, token=self.token)
        assert answer.status_code == 200, answer.text
        return answer.json()

    @contextlib.contextmanager
    def listening(self, thread: str) -> Iterator[Listener]:
        """`curl -N` on a thread, from the moment on that the server has taken it up."""
        listener = Listener(self._environment | {"THREAD": thread})
        try:
            yield listener
        finally:
            listener.stop()


class Listener:
    """A running `curl -N` on the stream of $THREAD."""

    LINE = (
        'exec curl -sSN -D /dev/stderr "$URL/prompt-svc/prompts/$THREAD/responses/subscribe" '
        '-H "Authorization: Bearer $TOKEN"'
    )

    def __init__(self, variables: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(
            ["bash", "-c", self.LINE],
            env=dict(variables),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self._process.stderr is not None
        # the head comes at once; with it the subscription stands
        head = iter(self._process.stderr.readline, "")
        self.head = [line.strip().lower() for line in iter(lambda: next(head, "").strip(), "")]
        assert self.head, "curl ended without an answer"

    def events(self, *, until: int = 1) -> list[dict[str, Any]]:
        """The chunks up to the given number of `done`s."""
        found: list[dict[str, Any]] = []
        while sum(event["type"] == "done" for event in found) < until:
            found.append(self.next_event())
        return found

    def next_event(self) -> dict[str, Any]:
        """The next chunk. A blank line must end it, or no EventSource would see it."""
        assert self._process.stdout is not None
        guard = threading.Timer(LINE_SECONDS, self._process.kill)
        guard.start()
        try:
            while (line := self._process.stdout.readline()).startswith(":") or line == "\n":
                pass
            assert line.startswith("data: "), f"not an event: {line!r}"
            assert self._process.stdout.readline() == "\n"
        finally:
            guard.cancel()
        event: dict[str, Any] = json.loads(line.removeprefix("data: "))
        return event

    def stop(self) -> None:
        self._process.kill()
        self._process.communicate()


def text_of(events: Sequence[Mapping[str, Any]]) -> str:
    return "".join(event.get("text", "") for event in events)


def environment(home: Path) -> dict[str, str]:
    """The machine's, without what would lead a command to another server."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PROMPTD_", "OB_"))}
    return kept | {"HOME": str(home), "no_proxy": "127.0.0.1,localhost"}
