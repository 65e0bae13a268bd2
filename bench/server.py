"""A promptd process for measurements: own data folder, pinned cores, its CPU time and memory."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

_LISTENS = re.compile(r"listens on http://[^ ]*:(\d+),")
_TICKS = os.sysconf("SC_CLK_TCK")


class Promptd:
    def __init__(self, process: subprocess.Popen[str], port: int, home: Path) -> None:
        self.process, self.port, self.home = process, port, home
        self.key = (home / "cli.key").read_text().strip()

    @property
    def cpu_seconds(self) -> float:
        """User and system time of the server's process so far, all threads."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS

    @property
    def rss_bytes(self) -> int:
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")


def configuration(**connection: Any) -> dict[str, Any]:
    """One connection that does next to nothing."""
    return {
        "server": {"port": 0},
        "connections": {"noop": {"engine": "scripted", "pieces": 1, "prompt_scripts": False, "slots": 64} | connection},
        "models": {"noop": {"connection": "noop"}},
        "log": {"level": "warning"},
    }


@contextlib.contextmanager
def running(config: dict[str, Any], cores: set[int], home: Path | None = None) -> Iterator[Promptd]:
    with contextlib.ExitStack() as stack:
        if home is None:
            home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="promptd-bench-")))
        (home / "promptd.yaml").write_text(yaml.safe_dump(config | {"log": {"level": "info"}}))
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PROMPTD_")}
        process = subprocess.Popen(
            [sys.executable, "-m", "promptd", "serve"],
            env=environment | {"PROMPTD_HOME": str(home)},
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=lambda: os.sched_setaffinity(0, cores),
        )
        try:
            assert process.stderr is not None
            port = None
            for line in process.stderr:
                if match := _LISTENS.search(line):
                    port = int(match[1])
                    break
                sys.stderr.write(line)
            if port is None:
                raise SystemExit("promptd did not start")
            yield Promptd(process, port, home)
        finally:
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=60)
