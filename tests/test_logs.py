"""One record is one line, secrets are blanked, and no text can pass for another record."""

from __future__ import annotations

import logging
import sys
from typing import Any

import msgspec
import pytest

from promptd.logs import JsonFormatter, TextFormatter

EVIL = "a\nb\r\x1b[2Jc\x00\x7f\x9b\u2028\u202ed\te"
SECRET = "pk-abcdef-0123456789abcdef"


def record(message: str, *args: Any, **more: Any) -> logging.LogRecord:
    made = logging.LogRecord("lab", logging.INFO, __file__, 1, message, args, more.get("exc_info"))
    made.stack_info = more.get("stack_info")
    made.created = 0.0
    return made


def failed(text: str) -> Any:
    try:
        raise ValueError(text)
    except ValueError:
        return sys.exc_info()


def test_text_is_one_line() -> None:
    line = TextFormatter().format(record("said %s é 漢", EVIL))
    assert line == (r"1970-01-01T00:00:00Z INFO lab: said a\nb\r\x1b[2Jc\x00\x7f\x9b\u2028\u202ed\te é 漢")


def test_a_traceback_keeps_its_lines_and_none_looks_like_a_record() -> None:
    forged = "x\n1970-01-01T00:00:00Z INFO lab: all is well\x1b[0m " + SECRET
    first, *below = TextFormatter().format(record("oh", exc_info=failed(forged))).split("\n")
    assert first == "1970-01-01T00:00:00Z INFO lab: oh"
    assert below[0] == "  Traceback (most recent call last):"
    assert below[-1] == r"  1970-01-01T00:00:00Z INFO lab: all is well\x1b[0m pk-abcdef-…"
    assert all(line.startswith("  ") for line in below)
    _, *stack = TextFormatter().format(record("oh", stack_info="Stack:\nhere")).split("\n")
    assert stack == ["  Stack:", "  here"]


@pytest.mark.parametrize("before", ["", " ", "\x1b", "\n", "\u2028"])
def test_secrets_are_blanked_whatever_stands_before(before: str) -> None:
    for formatter in (TextFormatter(), JsonFormatter()):
        line = formatter.format(record(f"key={before}{SECRET}"))
        assert "0123456789" not in line, formatter
        assert "…" in line


def test_json_is_one_line_and_says_the_same() -> None:
    line = JsonFormatter().format(record("said %s", EVIL, exc_info=failed(EVIL)))
    assert "\n" not in line
    assert msgspec.json.decode(line)["message"] == "said " + EVIL


@pytest.mark.parametrize("formatter", [TextFormatter(), JsonFormatter()])
def test_half_a_character_loses_no_record(formatter: logging.Formatter) -> None:
    assert "INFO" in formatter.format(record("half \ud800")).upper()
