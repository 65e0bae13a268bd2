"""The log on standard error: text for people or one JSON object per line, secrets blanked at this one place."""

from __future__ import annotations

import logging
import re
import sys
import time
from typing import Any, Final

import msgspec

#: our own keys, bearer tokens, and what commonly looks like a vendor's key
_SECRET: Final = re.compile(
    r"\b(pk-[0-9a-z]{6,}-|sk-)[A-Za-z0-9_-]{8,}|(?<=[Bb]earer )[A-Za-z0-9._~+/=-]{8,}|(?<=ticket=)[\w-]+"
)
_PLAIN: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "taskName"}


def redact(text: str) -> str:
    """The text with everything that looks like a secret blanked."""
    return _SECRET.sub(lambda match: f"{match[1] or ''}…", text)


class TextFormatter(logging.Formatter):
    converter = staticmethod(time.gmtime)

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s", "%Y-%m-%dT%H:%M:%SZ")

    def format(self, record: logging.LogRecord) -> str:
        return redact(super().format(record))


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
        return redact(msgspec.json.encode(entry, enc_hook=str).decode())


def set_up(level: str, *, json_lines: bool) -> None:
    """Send every record to standard error. Calling it again replaces the first setting."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if json_lines else TextFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    logging.getLogger("uvicorn").setLevel("WARNING")
