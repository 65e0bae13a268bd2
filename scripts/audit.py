"""Known vulnerabilities of the pinned dependencies: `python scripts/audit.py requirements/run.txt`.

A found one fails. A vulnerability database that can't be reached is reported and passes, because a check must also work
on a machine without a network.
"""

from __future__ import annotations

import json
import subprocess
import sys

_SECONDS = 60


def main(path: str) -> int:
    command = [sys.executable, "-m", "pip_audit", "--disable-pip", "--require-hashes", "--progress-spinner=off"]
    try:
        # the exit status can't tell a finding from a failure; only a finding comes with a report
        done = subprocess.run(
            [*command, "--timeout=10", "--format=json", "-r", path],
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        )
        report = json.loads(done.stdout)
    except subprocess.TimeoutExpired:
        return _skipped(f"no answer within {_SECONDS} s")
    except ValueError:
        return _skipped((done.stderr.strip().splitlines() or ["no report"])[-1])
    packages = report["dependencies"]
    found = [(entry["name"], entry["version"], flaw["id"]) for entry in packages for flaw in entry.get("vulns", ())]
    unknown = [entry["skip_reason"] for entry in packages if "skip_reason" in entry]
    for name, version, flaw in found:
        print(f"audit: {name} {version} has {flaw}")
    print(f"audit: {len(packages) - len(unknown)} packages audited, {len(found)} known vulnerabilities")
    if unknown and not found:
        return _skipped(f"{len(unknown)} packages, the first: {unknown[0]}")
    return 1 if found else 0


def _skipped(reason: str) -> int:
    print(f"audit: NOT COMPLETE, the database did not answer: {reason}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
