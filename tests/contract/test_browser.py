"""A real browser on a page of another origin: EventSource with a ticket, and with the header that polyfills send."""

from __future__ import annotations

import http.server
import json
import os
import queue
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.contract.stage import LINE_SECONDS, Person, unique

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(90)]

PAGE = Path(__file__).with_name("browser_page.html")
PIECES = ("An answer with <tags>, ", '"quotes" & a snowman ☃')
PROMPT = json.dumps([{"say": PIECES[0]}, {"wait": 0.2}, {"say": PIECES[1]}])  # a script for the engine


class PageServer:
    """Serves the page, and takes what it has to tell."""

    def __init__(self) -> None:
        self.told: queue.Queue[dict[str, Any]] = queue.Queue()
        told = self.told

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                found = self.path.startswith("/?")
                self.send_response(200 if found else 404)
                self.send_header("content-type", "text/html")
                self.end_headers()
                if found:
                    self.wfile.write(PAGE.read_bytes())

            def do_POST(self) -> None:
                told.put(json.loads(self.rfile.read(int(self.headers["content-length"]))))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture(scope="module")
def pages() -> Iterator[PageServer]:
    server = PageServer()
    yield server
    server.close()


@pytest.fixture(scope="module")
def chromium() -> str:
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        pytest.skip("chromium is not installed")
    return path


def visit(chromium: str, folder: Path, pages: PageServer, **asked: str) -> dict[str, Any]:
    """What the page told."""
    browser = subprocess.Popen(
        [
            chromium,
            "--headless=new",
            "--no-sandbox",  # for root; the pages are ours
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--disable-quic",
            "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",  # it asks nobody outside
            "--remote-debugging-port=0",  # keeps it open
            f"--user-data-dir={folder / 'profile'}",
            f"{pages.url}/?{urlencode(asked)}",
        ],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # so that its helpers can be ended with it
    )
    try:
        return pages.told.get(timeout=LINE_SECONDS)
    finally:
        os.killpg(browser.pid, signal.SIGKILL)
        browser.wait()


def check(told: dict[str, Any], person: Person) -> None:
    assert "error" not in told, told
    *pieces, done = told["events"]
    assert pieces == [{"text": piece, "type": "progress"} for piece in PIECES]
    assert done["type"] == "done"
    (message,) = person.call("POST", "/chat-svc/messages", {"ids": [done["messageId"]]})["messages"]
    assert message["text"] == "".join(PIECES)


def asked_of(person: Person, how: str, **more: str) -> dict[str, str]:
    return {"how": how, "server": person.stage.url, "token": person.token, "prompt": PROMPT, **more}


def test_eventsource_reads_a_thread_with_a_ticket(
    chromium: str, pages: PageServer, script_alice: Person, tmp_path: Path
) -> None:
    thread = unique("browser")
    path = f"/prompt-svc/prompts/{thread}/responses/subscribe"
    answer = script_alice.stage.call("POST", "/promptd/v1/tickets", {"path": path}, token=script_alice.token)
    assert answer.status_code == 201, answer.text
    asked = asked_of(script_alice, "ticket", thread=thread, ticket=answer.json()["ticket"])
    check(visit(chromium, tmp_path, pages, **asked), script_alice)
    # it opened one stream, once
    used = script_alice.stage.call("GET", f"{path}?ticket={asked['ticket']}")
    assert used.status_code == 401


def test_a_wrong_ticket_opens_nothing(chromium: str, pages: PageServer, script_alice: Person, tmp_path: Path) -> None:
    asked = asked_of(script_alice, "ticket", thread=unique("browser"), ticket="made-up")
    assert visit(chromium, tmp_path, pages, **asked) == {"how": "ticket", "error": "the stream was refused"}


def test_a_polyfill_reads_a_thread_with_its_header(
    chromium: str, pages: PageServer, script_alice: Person, tmp_path: Path
) -> None:
    asked = asked_of(script_alice, "header", thread=unique("browser"))
    check(visit(chromium, tmp_path, pages, **asked), script_alice)
