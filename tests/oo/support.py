"""A server that records every request, tokens as the contract draws them, and `oo` in this process or as a real one."""

from __future__ import annotations

import base64
import io
import json
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from promptd.oo.root import run

COMMAND = (sys.executable, "-m", "promptd.oo")
SECONDS = 30.0


class Result(NamedTuple):
    code: int
    out: str
    err: str


class Request(NamedTuple):
    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Answer(NamedTuple):
    body: bytes = b"{}"
    status: int = 200
    kind: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()


class Handler(BaseHTTPRequestHandler):
    """One request of a `Recorder`."""

    protocol_version = "HTTP/1.1"
    server: Recorder

    def serve(self) -> None:
        size = int(self.headers.get("Content-Length") or 0)
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.requests.append(Request(self.command, self.path, headers, self.rfile.read(size)))
        self.close_connection = True
        if self.server.script is not None:
            self.server.script(self)
            return
        answer = self.server.answers.pop(0) if self.server.answers else Answer()
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.kind)
        self.send_header("Content-Length", str(len(answer.body)))
        for name, value in answer.headers:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(answer.body)

    do_GET = do_POST = do_PUT = do_DELETE = serve  # noqa: N815  (names of the library)

    def log_request(self, *_: object) -> None:
        """Tests look at `requests`."""


class Recorder(ThreadingHTTPServer):
    """Gives the n-th request the n-th answer, then `{}`; a `script` takes over from both."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.requests: list[Request] = []
        self.answers: list[Answer] = []
        self.script: Callable[[Handler], None] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def will_say(self, *values: Any) -> None:
        self.answers += [Answer(json.dumps(value).encode()) for value in values]


@contextmanager
def recorder() -> Iterator[Recorder]:
    server = Recorder()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class Shell:
    """`oo` in this process, with a home folder of its own."""

    def __init__(self, home: Path, patch: pytest.MonkeyPatch) -> None:
        self.home, self._patch = home, patch
        self.file = home / ".1backend" / "cliConfig.yaml"

    def __call__(self, *arguments: str, given: str = "") -> Result:
        out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8") for _ in range(2))
        with self._patch.context() as patch:
            patch.setenv("HOME", str(self.home))
            patch.setattr(sys, "stdin", io.StringIO(given))
            patch.setattr(sys, "stdout", out)
            patch.setattr(sys, "stderr", err)
            code = run(arguments)
            out.flush()
            err.flush()
        texts = []
        for stream in (out, err):
            assert isinstance(stream.buffer, io.BytesIO)
            texts.append(stream.buffer.getvalue().decode())
        return Result(code, *texts)

    @property
    def config(self) -> dict[str, Any]:
        found = yaml.safe_load(self.file.read_text())
        assert isinstance(found, dict)
        return found

    def write(self, text: str) -> None:
        self.file.parent.mkdir(exist_ok=True)
        self.file.write_text(text)

    @property
    def variables(self) -> dict[str, str]:
        """For a real process: nothing of the machine but where its programs are."""
        return {"PATH": os.environ["PATH"], "HOME": str(self.home), "LC_ALL": "C.UTF-8"}


class Issuer:
    """The token side of a User Svc."""

    def __init__(self) -> None:
        self._key = rsa.generate_private_key(65537, 2048)

    @property
    def public_key(self) -> str:
        return self._key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()

    def jwt(self, slug: str, *, app_id: str = "app-1", alg: str = "RS256") -> str:
        claims = {
            "1ui": f"usr-{slug}",
            "1ai": app_id,
            "1sl": slug,
            "1ro": ["user-svc:user"],
            "1de": "cli",
            "jti": "tok-1",
            "iat": 1_600_000_000,
            "exp": 1_600_000_300,
        }
        signed = ".".join(_part(json.dumps(each).encode()) for each in ({"alg": alg, "typ": "JWT"}, claims))
        return f"{signed}.{_part(self._key.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256()))}"

    def answer(self, slug: str, *, app_id: str = "app-1") -> dict[str, Any]:
        """What login, register and exchange answer."""
        return {
            "token": {
                "id": "tok-1",
                "appId": app_id,
                "userId": f"usr-{slug}",
                "device": "cli",
                "token": self.jwt(slug, app_id=app_id),
                "createdAt": "2030-01-01T00:00:00Z",
                "updatedAt": "2030-01-01T00:00:00Z",
                "expiresAt": "2030-01-01T00:05:00Z",
            }
        }


def _part(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
