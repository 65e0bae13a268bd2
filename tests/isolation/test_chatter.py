"""What a plugin's process prints: whole lines without secrets, cut, and a few of many."""

from __future__ import annotations

import asyncio
import logging

import pytest
from pydantic import SecretStr

from promptd.core.calls import Config
from promptd.isolation.chatter import Chatter
from promptd.isolation.redaction import Redactor
from tests.isolation.conftest import Install, MakeCall


class Secretive(Config):
    key: SecretStr = SecretStr("sesame-\u00fc")
    certificate: SecretStr = SecretStr("-----BEGIN-----\nMIIEvgIBADANBg\nend")


def told(*packets: bytes, times: tuple[float, ...] = ()) -> list[str]:
    lines: list[str] = []
    chatter = Chatter(Redactor(Secretive()), lines.append)
    for number, packet in enumerate(packets):
        chatter.feed(packet, times[number] if times else 1.0)
    chatter.end(times[-1] if times else 1.0)
    return lines


def test_no_secret_wherever_packets_end() -> None:
    said = "the key is sesame-\u00fc.\nMIIEvgIBADANBg\r\n\nlast, sesame-\u00fc".encode()
    for cut in range(len(said)):
        assert told(said[:cut], said[cut:]) == ["the key is ***.", "***", "", "last, ***"]


def test_long_lines_are_cut_behind_their_secrets() -> None:
    (line,) = told(*[b"x" * 495 + "sesame-\u00fc".encode() + b"y" * 100] * 20_000)
    assert len(line) == 501
    assert line.endswith("x***yy…")


class Lengthy(Config):
    key: SecretStr = SecretStr("0123456789" * 250)


def test_a_secret_that_is_cut_is_not_told_because_another_one_was_taken_out() -> None:
    secret, lines = Lengthy().key.get_secret_value(), list[str]()
    chatter = Chatter(Redactor(Lengthy()), lines.append)
    chatter.feed(f"{secret} and {secret}\n{secret} and fine\n{'ü' * 5000}\n".encode(), 1.0)
    assert "0123" not in "".join(lines)
    assert lines[1:] == ["*** and fine", "ü" * 500 + "…"]


def test_of_many_lines_some_are_told_and_the_others_counted() -> None:
    lines = told(b"a\n" * 1000, b"b\n", b"c", times=(1.0, 1.9, 2.0))
    assert lines == [*["a"] * 50, "(951 more lines in that second)", "c"]
    assert told(b"a\n" * 51)[-1] == "(1 more lines in that second)"


PRINTS = """
class C(Config):
    key: SecretStr = SecretStr("")

class E(Engine[C]):
    type_id = "acme.prints"

    async def execute(self, call):
        print("connecting with", call.connection.key.get_secret_value(), file=sys.stderr, flush=True)
        return Result(text="fine")
"""


@pytest.mark.e2e
async def test_a_process_that_prints_its_key(
    plugin: Install, make_call: MakeCall, caplog: pytest.LogCaptureFixture
) -> None:
    printed = asyncio.Event()

    class Listening(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if "connecting with" in record.getMessage():
                printed.set()

    caplog.set_level(logging.DEBUG, "promptd.isolation")
    log = logging.getLogger("promptd.isolation.processes")
    listening = Listening()
    log.addHandler(listening)
    try:
        engine = plugin(PRINTS, mode="process")
        await engine.execute(make_call(engine, connection=engine.connection_config_class()(key="sesame")))
        await asyncio.wait_for(printed.wait(), 10)
    finally:
        log.removeHandler(listening)
    assert "connecting with ***" in caplog.text
    assert "sesame" not in caplog.text
