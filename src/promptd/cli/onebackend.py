"""What `promptd serve --compat-onebackend` adds: the environment of the original's server, its first user and its ports."""

from __future__ import annotations

import logging
import re
import shutil
import socket
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import click

from promptd.cli.exits import CliError, Exit

if TYPE_CHECKING:
    from promptd.settings import Settings

_log = logging.getLogger("promptd")
HEALTH_PORT: Final = 8001
_TRUE: Final = frozenset({"1", "t", "true"})
_UNITS: Final = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_PART: Final = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h)", re.ASCII)


def variables(environment: Mapping[str, str]) -> dict[str, str]:
    """The `PROMPTD_…` variables that the original's stand for. Raises `CliError` that names the one that is wrong."""
    found = {"PROMPTD_COMPAT__ONEBACKEND__DEFAULT_ADMIN": "true"}
    if url := environment.get("OB_SELF_URL"):
        host, port = _address(url)
        found |= {"PROMPTD_SERVER__HOST": host, "PROMPTD_SERVER__PORT": str(port)}
    if folder := environment.get("OB_FOLDER"):
        found["PROMPTD_HOME"] = folder
    if llm_host := environment.get("OB_LLM_HOST"):
        found["PROMPTD_COMPAT__ONEBACKEND__LLM_HOST"] = llm_host
    if seconds := _seconds(environment.get("OB_TOKEN_EXPIRATION", "")):
        found["PROMPTD_TOKENS__SECONDS"] = str(seconds)
    if "OB_TOKEN_AUTO_REFRESH_OFF" in environment:
        off = _is_true(environment["OB_TOKEN_AUTO_REFRESH_OFF"])
        found["PROMPTD_TOKENS__AUTO_REFRESH"] = "false" if off else "true"
    return found


def empty_home(environment: Mapping[str, str]) -> Path | None:
    """A temporary data folder where `OB_TEST` asks for one, to be removed by `discard` at the end."""
    return Path(tempfile.mkdtemp(prefix="promptd-")) if _is_true(environment.get("OB_TEST", "")) else None


def discard(home: Path | None) -> None:
    if home is not None:
        shutil.rmtree(home, ignore_errors=True)


def with_health_port(settings: Settings) -> Settings:
    """The settings with the port of the original's model engine, unless they have one or it is in use."""
    compat = settings.compat
    if compat.onebackend.health_port is not None or settings.server.port == HEALTH_PORT:
        return settings
    if not _is_free(settings.server.host):
        return settings
    onebackend = compat.onebackend.model_copy(update={"health_port": HEALTH_PORT})
    return settings.model_copy(update={"compat": compat.model_copy(update={"onebackend": onebackend})})


@cache  # what was found at the start stays: at a reload it is this process that uses the port
def _is_free(host: str) -> bool:
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.create_server((host, HEALTH_PORT), family=family):
            return True
    except OSError as error:
        _log.warning(
            "port %d can't be used (%s): GET /health is not served there",
            HEALTH_PORT,
            error.strerror,
            extra={"action": "health_port_taken", "port": HEALTH_PORT},
        )
        return False


def announce() -> None:
    """The line that the original's tests wait for."""
    click.echo("Server started")


def _address(url: str) -> tuple[str, int]:
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host:
        raise CliError(f"OB_SELF_URL: expected a URL such as http://127.0.0.1:11337, not {url!r}", Exit.USAGE)
    return host, port if port is not None else 443 if parts.scheme == "https" else 80


def _seconds(text: str) -> float:
    """Seconds of a Go duration; 0 where nothing is said."""
    said = text.strip()
    if said in ("", "0"):
        return 0.0
    parts = _PART.findall(said)
    if not parts or "".join(number + unit for number, unit in parts) != said:
        raise CliError(f"OB_TOKEN_EXPIRATION: expected a duration such as 5m or 1h30m, not {text!r}", Exit.USAGE)
    return sum(float(number) * _UNITS[unit] for number, unit in parts)


def _is_true(text: str) -> bool:
    return text.strip().lower() in _TRUE
