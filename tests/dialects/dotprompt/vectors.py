"""Where the format's public test vectors are, and what is in them. They are read from their place, never copied."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[3]
_FOLDER = Path("shared/data/dotprompt")


def folder() -> Path | None:
    """`DOTPROMPT_VECTORS`, else the shared folder beside the repository, or beside the one that it was cloned from."""
    named = os.environ.get("DOTPROMPT_VECTORS")
    places = [Path(named)] if named else [ROOT.parent / _FOLDER, *(origin / _FOLDER for origin in _origins())]
    return next((place for place in places if place.is_dir()), None)


def cases(place: Path) -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    """Name, template and test of each vector."""
    for file in sorted(place.rglob("*.yaml")):
        for group in yaml.safe_load(file.read_text(encoding="utf-8")):
            for no, test in enumerate(group["tests"]):
                yield f"{file.relative_to(place).with_suffix('')}:{group['name']}:{no}", group, test


def _origins() -> Iterator[Path]:
    """Folders around the repository that this one was cloned from, where that is on this machine."""
    done = subprocess.run(
        ["git", "-C", ROOT, "config", "--get", "remote.origin.url"], capture_output=True, text=True, check=False
    )
    url = done.stdout.strip().removeprefix("file://")
    if url.startswith("/"):
        yield from Path(url).parents
