"""`oo` as a real process: streams, pipes, signals, terminals and exit codes."""

from __future__ import annotations

import ast
import json
import os
import pty
import signal
import subprocess
import sys
import threading
import tomllib
from importlib import import_module
from pathlib import Path

import click
import pytest

import promptd.oo
from promptd.oo.root import root
from tests.oo.support import COMMAND, SECONDS, Answer, Handler, Issuer, Recorder, Shell

ROOT = Path(__file__).parents[2]
SOURCES = sorted(Path(promptd.oo.__file__).parent.glob("*.py"))


def start(
    shell: Shell,
    *arguments: str,
    stdin: int = subprocess.DEVNULL,
    stdout: int = subprocess.PIPE,
    stderr: int = subprocess.PIPE,
) -> subprocess.Popen[bytes]:
    return subprocess.Popen([*COMMAND, *arguments], env=shell.variables, stdin=stdin, stdout=stdout, stderr=stderr)


class Stream:
    """An event stream that sends its next frame when the test says so."""

    def __init__(self, server: Recorder) -> None:
        self._next = threading.Semaphore(0)
        self._left = threading.Event()
        self._ends = False
        server.script = self._serve

    def _serve(self, handler: Handler) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
        try:
            for number in range(1000):
                assert self._next.acquire(timeout=SECONDS)
                if self._ends:
                    return
                handler.wfile.write(f"data: {number}\n\n".encode())
        except ConnectionError:
            self._left.set()

    def send(self) -> None:
        self._next.release()

    def end(self) -> None:
        self._ends = True
        self._next.release()


def test_each_event_is_printed_before_the_next_is_sent(here: Shell, server: Recorder) -> None:
    stream = Stream(server)
    with start(here, "get", "/prompt-svc/prompts/t1/responses/subscribe") as process:
        assert process.stdout is not None
        for number in range(3):
            stream.send()
            assert process.stdout.readline() == f"data: {number}\n".encode()
            assert process.stdout.readline() == b"\n"
        stream.end()
        assert process.communicate(timeout=SECONDS) == (b"", b"")
    assert process.returncode == 0


def test_ctrl_c_ends_a_stream(here: Shell, server: Recorder) -> None:
    stream = Stream(server)
    with start(here, "get", "/x") as process:
        assert process.stdout is not None
        stream.send()
        assert process.stdout.readline() == b"data: 0\n"
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=SECONDS)
        stream.end()
    assert process.returncode == 130
    assert b"Traceback" not in err


def test_a_reader_that_has_seen_enough_ends_it_quietly(here: Shell, server: Recorder) -> None:
    stream = Stream(server)
    with start(here, "get", "/x") as process:
        assert process.stdout is not None
        stream.send()
        assert process.stdout.readline() == b"data: 0\n"
        process.stdout.close()
        stream.send()
        assert process.wait(SECONDS) == 1
        assert process.stderr is not None
        assert process.stderr.read() == b""
        stream.end()


def test_a_reader_that_never_looked_is_no_noise_either(oo: Shell) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with start(oo, "env", "list", stdout=writer) as process:
        os.close(writer)
        _, err = process.communicate(timeout=SECONDS)
    assert (process.returncode, err) == (1, b"")


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ([], 0),
        (["--help"], 0),
        (["env"], 0),
        (["env", "current"], 0),
        (["nonsense"], 1),
        (["env", "add"], 1),
        (["whoami", "--nonsense"], 1),
        (["env", "select", "nowhere"], 1),
        (["post", "/x", "--a", "b"], 1),
    ],
)
def test_exit_codes(oo: Shell, words: list[str], code: int) -> None:
    with start(oo, *words) as process:
        out, err = process.communicate(timeout=SECONDS)
    assert process.returncode == code
    if code:
        assert out == b""
        assert err.startswith(b"Error: ")
        assert err.count(b"\n") == 1
    else:
        assert out
        assert err == b""


def test_a_fault_of_the_program_itself_is_2(oo: Shell) -> None:
    broken = "import promptd.oo.root, promptd.oo\npromptd.oo.root.run = None\npromptd.oo.main()"
    done = subprocess.run([sys.executable, "-c", broken], env=oo.variables, capture_output=True, timeout=SECONDS)
    assert done.returncode == 2
    assert b"TypeError" in done.stderr


def test_a_full_disk_is_one_line(here: Shell) -> None:
    with Path("/dev/full").open("wb") as full, start(here, "get", "/x", stdout=full.fileno()) as process:
        _, err = process.communicate(timeout=SECONDS)
    assert process.returncode == 1
    assert err == b"Error: input or output: No space left on device\n"


def test_a_file_that_cannot_be_written_keeps_its_old_text(here: Shell) -> None:
    before = here.file.read_bytes()
    limited = ["sh", "-c", 'ulimit -f 0; exec "$@"', "sh", *COMMAND, "env", "add", "new", "http://127.0.0.1:1"]
    done = subprocess.run(limited, env=here.variables, capture_output=True, timeout=SECONDS)
    assert (done.returncode, done.stderr) == (1, b"Error: input or output: File too large\n")
    assert here.file.read_bytes() == before
    assert list(here.file.parent.iterdir()) == [here.file]


def on_terminal(shell: Shell, typed: str, *arguments: str) -> tuple[int, str]:
    """Exit code and all that the terminal showed; `typed` waits in the keyboard's buffer."""
    master, slave = pty.openpty()
    with start(shell, *arguments, stdin=slave, stdout=slave, stderr=slave) as process:
        os.close(slave)
        shown = b""
        for line in typed.splitlines(keepends=True):
            while not shown.endswith(b": "):  # the question: what is typed before it could be thrown away
                shown += os.read(master, 65536)
            os.write(master, line.encode())
            shown += b"\n"
        while packet := _read(master):
            shown += packet
        os.close(master)
        return process.wait(SECONDS), shown.decode()


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 65536)
    except OSError:  # Linux: every process has left the terminal
        return b""


def test_a_terminal_is_asked_and_does_not_show_the_password(here: Shell, server: Recorder, issuer: Issuer) -> None:
    server.will_say(issuer.answer("alice"))
    code, shown = on_terminal(here, "alice\nhidden\n", "login")
    assert code == 0, shown
    assert server.requests[0].json["password"] == "hidden"
    assert "hidden" not in shown


def test_a_new_password_is_asked_for_twice(here: Shell, server: Recorder, issuer: Issuer) -> None:
    server.will_say(issuer.answer("bob"))
    code, shown = on_terminal(here, "one\nother\nsame\nsame\n", "register", "bob")
    assert code == 0, shown
    assert server.requests[0].json["password"] == "same"


def test_a_terminal_gets_no_control_characters_of_others(here: Shell, server: Recorder) -> None:
    frames = b"data: \x1b]0;title\x07 \xc3\xa9\n\n"
    server.answers.append(Answer(frames, kind="text/event-stream"))
    code, shown = on_terminal(here, "", "get", "/x")
    assert code == 0
    assert shown == "data: \ufffd]0;title\ufffd é\r\n\r\n"


def test_the_console_script_is_declared() -> None:
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    module, _, name = scripts["oo"].partition(":")
    assert getattr(import_module(module), name) is promptd.oo.main


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_it_uses_nothing_of_the_server(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        for name in names:
            assert not name.startswith("promptd") or f"{name}.".startswith("promptd.oo."), name


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import json, sys\nfrom promptd.oo.root import run\nrun(['--help'])\n"
        "print(json.dumps(sorted(name for name in sys.modules if '.' not in name)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, timeout=SECONDS)
    loaded = set(json.loads(done.stderr))
    assert not loaded & {"asyncio", "cryptography", "msgspec", "pydantic", "rich", "starlette", "yaml"}


def test_every_command_is_in_the_docs() -> None:
    text = (ROOT / "docs" / "oo.md").read_text()
    for name, command in root.commands.items():
        names = [f"{name} {inner}" for inner in command.commands] if isinstance(command, click.Group) else [name]
        for each in names:
            assert f"`oo {each}" in text, each
