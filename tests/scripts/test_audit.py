"""The audit's verdict, from what the real script makes of an auditor's report."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "audit.py"
FLAW = {"name": "leaky", "version": "1.0", "vulns": [{"id": "CVE-1"}]}
FINE = {"name": "fine", "version": "1.0", "vulns": []}
UNKNOWN = {"name": "odd", "skip_reason": "not found"}


@pytest.mark.parametrize(
    ("auditor", "status", "said"),
    [
        (f"print({json.dumps(json.dumps({'dependencies': [FINE]}))})", 0, "1 packages audited, 0 known"),
        (
            f"print({json.dumps(json.dumps({'dependencies': [FINE, FLAW]}))}); raise SystemExit(1)",
            1,
            "leaky 1.0 has CVE-1",
        ),
        (f"print({json.dumps(json.dumps({'dependencies': [UNKNOWN, FLAW]}))})", 1, "leaky 1.0 has CVE-1"),
        (f"print({json.dumps(json.dumps({'dependencies': [UNKNOWN, FINE]}))})", 0, "NOT COMPLETE"),
        (
            "raise ConnectionError('no route')",
            0,
            "NOT COMPLETE, the database did not answer: ConnectionError: no route",
        ),
        ("", 0, "NOT COMPLETE, the database did not answer: no report"),
    ],
)
def test_only_a_finding_fails_and_silence_is_told(tmp_path: Path, auditor: str, status: int, said: str) -> None:
    (tmp_path / "pip_audit.py").write_text(auditor)
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "requirements.txt"],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == status
    assert said in done.stdout + done.stderr
