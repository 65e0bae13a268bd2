"""Published npm clients, where this machine can bring them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

INSTALL_SECONDS = 100
_OPTIONS = ("--no-save", "--no-package-lock", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline")


def install(folder: Path, *packages: str) -> Path:
    """The folder, in which node then finds the packages; the test is skipped where they can't be had."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        pytest.skip("node and npm are not installed")
    (folder / "package.json").write_text("{}")
    try:
        done = subprocess.run(
            [npm, "install", *_OPTIONS, *packages],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=INSTALL_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        pytest.skip(f"npm did not bring {' and '.join(packages)} in {INSTALL_SECONDS} s")
    if done.returncode != 0:
        reason = next((line for line in done.stderr.splitlines() if "npm error" in line), "npm gave no reason")
        pytest.skip(f"npm can't bring {' and '.join(packages)}: {reason}")
    return folder
