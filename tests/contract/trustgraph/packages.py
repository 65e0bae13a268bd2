"""TrustGraph's published packages, each version in an environment of its own.

`python -m tests.contract.trustgraph.packages` brings them all, so that a slow index costs no test its time. They are kept
in the user's cache: what is there once is not fetched again.
"""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from pathlib import Path
from typing import Final

#: one of each era that clients differ in
VERSIONS: Final = ("0.22.6", "1.8.21", "2.11.1")
#: What API and tools need of what the packages ask for; the rest serves their message bus.
_NEEDS: Final = (
    "aiohttp>=3.10,<4",
    "prometheus-client>=0.20,<1",
    "requests>=2.32,<3",
    "tabulate>=0.9,<1",
    "websockets>=14,<18",
)
_SECONDS: Final = 150
_STAMP: Final = ".complete"


class Unavailable(Exception):
    """The index did not give them; the message says why."""


def environment_of(version: str) -> Path:
    """The folder of a virtual environment that holds `trustgraph-base` and `trustgraph-cli`. Raises `Unavailable`."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    folder = cache / "promptd" / f"trustgraph-{version}-python{python}"
    if (folder / _STAMP).exists():
        return folder
    try:
        venv.create(folder, clear=True, with_pip=True)
        _pip(folder, "--no-deps", f"trustgraph-base=={version}", f"trustgraph-cli=={version}")
        _pip(folder, *_NEEDS)
    except (OSError, subprocess.SubprocessError) as error:
        raise Unavailable(f"trustgraph {version}: {_reason(error)}") from error
    (folder / _STAMP).touch()
    return folder


def _pip(folder: Path, *what: str) -> None:
    subprocess.run(
        [folder / "bin" / "python", "-m", "pip", "--disable-pip-version-check", "install", "--quiet", *what],
        check=True,
        capture_output=True,
        text=True,
        timeout=_SECONDS,
    )


def _reason(error: Exception) -> str:
    said = (error.stderr or "") if isinstance(error, subprocess.CalledProcessError) else ""
    return next((line for line in said.splitlines() if line.startswith("ERROR")), type(error).__name__)


if __name__ == "__main__":
    try:
        for each in VERSIONS:
            environment_of(each)
    except Unavailable as missing:
        sys.exit(str(missing))
