"""The log on standard error: text for people or one JSON object per line, secrets blanked at this one place."""

from __future__ import annotations

import json
import logging
import re
import sys
import time
from typing import Any, Final

import msgspec

#: our own keys, bearer tokens, and what commonly looks like a vendor's key; the letter of an escape is no part of a word
_SECRET: Final = re.compile(
    r"(?:\b|(?<=\\[bfnrt])|(?<=\\x[0-9a-f]{2})|(?<=\\u[0-9a-f]{4}))(pk-[0-9a-z]{6,}-|sk-)[A-Za-z0-9_-]{8,}"
    r"|(?<=[Bb]earer )[A-Za-z0-9._~+/=-]{8,}|(?<=ticket=)[\w-]+"
)
#: What a terminal or a reader of lines would obey instead of showing: controls, line separators, writing direction.
_CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
_PLAIN: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "taskName"}


def redact(text: str) -> str:
    """The text with everything that looks like a secret blanked."""
    return _SECRET.sub(lambda match: f"{match[1] or ''}…", text)


def printable(text: str) -> str:
    r"""The text with each control character as an escape such as `\n` or `\x1b`."""
    return _CONTROL.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


class TextFormatter(logging.Formatter):
    """One record is one line; a traceback follows indented, so that no text in it can pass for a record."""

    converter = staticmethod(time.gmtime)

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s", "%Y-%m-%dT%H:%M:%SZ")

    def format(self, record: logging.LogRecord) -> str:
        record.message = record.getMessage()
        record.asctime = self.formatTime(record, self.datefmt)
        lines = [printable(redact(self.formatMessage(record)))]
        if record.exc_info:
            lines += self._below(self.formatException(record.exc_info))
        if record.stack_info:
            lines += self._below(self.formatStack(record.stack_info))
        return "\n".join(lines)

    @staticmethod
    def _below(text: str) -> list[str]:
        return ["  " + printable(line) for line in redact(text).split("\n")]


class JsonFormatter(logging.Formatter):
    """Machines read `action` and the fields beside it, people `message`."""

    def format(self, record: logging.LogRecord) -> str:
        entry: dict[str, Any] = {
            "time": record.created,
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        entry |= {name: value for name, value in vars(record).items() if name not in _PLAIN}
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        try:
            line = msgspec.json.encode(entry, enc_hook=str).decode()
        except UnicodeEncodeError:  # half a surrogate pair, as in the name of a file: this one escapes it
            line = json.dumps(entry, default=str)
        return redact(line)


def set_up(level: str, *, json_lines: bool) -> None:
    """Send every record to standard error. Calling it again replaces the first setting."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if json_lines else TextFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    logging.getLogger("uvicorn").setLevel("WARNING")
