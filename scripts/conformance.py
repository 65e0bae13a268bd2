"""Writes docs/conformance/*.md: each statement of a contract and the tests that show it.

Tests say it themselves, with `@pytest.mark.formcycle(7, 8)` or `@pytest.mark.arch("1.1.dotenv")`; here they are collected,
never run. `--check` writes nothing and fails where a page is stale. A mark without a statement fails always, and so does a
statement without a test where the list says that all are shown.
"""

from __future__ import annotations

import contextlib
import io
import sys
import tomllib
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[1]
FOLDER: Final = ROOT / "docs" / "conformance"

Id = int | str
#: by title of the part and id, in short
Statements = Mapping[str, Mapping[Id, str]]


@dataclass(frozen=True)
class Contract:
    """Statements, and how tests claim to show them."""

    marker: str
    title: str
    introduction: tuple[str, ...]
    statements: Statements
    whole: bool  #: a statement without a test is a fault

    @property
    def page(self) -> Path:
        return FOLDER / f"{self.marker}.md"

    @property
    def ids(self) -> list[Id]:
        return [one for part in self.statements.values() for one in part]


_FORMCYCLE: Final[Statements] = {
    "Registration": {
        1: "Of two handlers with one `type_id` the first works, built-in ones before plugins; the second is a listed problem.",
        2: "A plugin whose import raises, even `SystemExit`, leaves all others usable and is listed with its traceback.",
        3: "Config classes come from the generic arguments, through subclasses too; an override wins.",
        4: "A config class that can't be made without arguments is refused, and the reason names the field.",
        5: "A handler without icon, localizer, forms, logic and serialisers is complete.",
        6: "Name and description are in the reader's locale, else a shorter one, else English, else the key; no look-up raises.",
    },
    "Forms": {
        7: "A connection form that raises or is invalid costs its own panel only.",
        8: "So does a query form; and a query has no settings before a connection is chosen.",
        9: "A stored secret never leaves: forms, export, logs, errors and history say set or not set.",
        10: "A blank secret keeps the old one, an explicit clear removes it.",
        11: "`options`, `on_change` and `action` work on drafts; those of a query form see the connection.",
        12: "An answer to an older revision changes nothing; a callback that raises keeps what was entered.",
        13: "A hidden field is not required; the server decides again at save what is hidden.",
        14: "Two forms of different types share no element id.",
    },
    "Storage": {
        15: "What is stored comes back equal, with secrets, nested models, dates and files, and a clean report.",
        16: "The version is stored; an older one takes every migration once, in order, before validation.",
        17: "A newer version loads; unknown fields are dropped and told; the bytes stay until a save.",
        18: "An invalid value, however deep, costs itself only, and its path is told.",
        19: "Bytes in another format or of another service give defaults and a status, no exception.",
        20: "A refusal to load makes that object unusable; lists, others and its deletion work.",
        21: "A refusal to save stores neither data nor files.",
        22: "A file with the same date is neither opened nor written, also with a coarser clock.",
        23: "A changed date rewrites that file; new slots are added, missing ones deleted; a naive date is refused.",
        24: "With its type uninstalled an object survives byte for byte, and works after a reinstall.",
        25: "A query that moves to another type is read leniently and shown; nothing changes until it is confirmed.",
    },
    "Descriptors": {
        26: "The same configs give the same descriptors and fingerprint; a changed placeholder changes them and flags bound actions.",
        27: "Duplicate or illegal names and required parameters with a default are `descriptor_failed`.",
        28: "Screen, reference page and JSON Schema agree on names, types, required marks and media types.",
        29: "Objects and arrays are checked at every depth, and the error names the path.",
    },
    "Connection test": {
        30: "It works on unsaved settings and stores none; its text is localised and redacted.",
        31: "A `PromptExecutionError` is `ok = False` with its message; anything else and a deadline an unspecific one.",
        32: "`ok = False` does not prevent saving.",
    },
    "Execution": {
        33: "A missing required input is `invalid_input`, and the handler is not called.",
        34: "So is an unknown name, a wrong type, a number that is not finite, a wrong, large or superfluous file.",
        35: "Absent optional inputs are absent; declared defaults are filled in.",
        36: "A missing or mistyped required output is `invalid_output`; an undeclared one is dropped with a warning.",
        37: "An unexpected exception is `execution_failed`; other runs and the process go on.",
        38: "So are `SystemExit` and a stray `CancelledError`; a real cancellation is `cancelled`.",
        39: "A group whose leaves mean one code is that code, a mixed one `execution_failed`.",
        40: "Every class of §5 arrives with code, status and retry flag; a plugin's subclass as its nearest base.",
        41: "Past the deadline a run ends at once with `timeout`; a plain `def` blocks no other run.",
        42: "`rate_limited` keeps `retry_after`; promptd waits as long, and fails at once where the deadline is nearer.",
        43: "A provider's text has every secret replaced, one inside another too.",
        44: "Files pass unchanged, large ones never whole in memory.",
        45: "100 parallel runs on one instance do not mix values, locales or secrets.",
        46: "A connection or query in use is not deleted; the refusal names its users.",
    },
}


def _arch() -> Statements:
    with (ROOT / "scripts" / "arch_statements.toml").open("rb") as file:
        return tomllib.load(file)


FORMCYCLE: Final = Contract(
    marker="formcycle",
    title="Conformance with the contract of prompt-service plugins",
    introduction=(
        "The 46 statements of the contract in short, and the tests that show each. Written by `python scripts/conformance.py`",
        "from the marks of the tests (`@pytest.mark.formcycle(N)`); `make check` fails where it is stale or a statement has",
        "no test. Authors of handlers run the part that concerns them with `promptd.testing.assert_conforms`",
        "([plugins](../plugins.md#tests)).",
    ),
    statements=_FORMCYCLE,
    whole=True,
)
ARCH: Final = Contract(
    marker="arch",
    title="Conformance with the Arch gateway",
    introduction=(
        "What a gateway for [Arch files](../arch.md) must do, in short, and the tests that show it. Written by",
        "`python scripts/conformance.py` from the marks of the tests (`@pytest.mark.arch(id)`); `make check` fails where it is",
        "stale.",
    ),
    statements=_arch(),
    whole=True,
)
CONTRACTS: Final = (FORMCYCLE, ARCH)


class Marked:
    """A pytest plugin: the marked tests by marker and statement."""

    def __init__(self) -> None:
        self.tests: dict[str, dict[Id, set[str]]] = {one.marker: defaultdict(set) for one in CONTRACTS}
        self.broken: list[str] = []

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        for item in items:
            for marker, tests in self.tests.items():
                for mark in item.iter_markers(marker):
                    for one in mark.args:
                        tests[one].add(item.nodeid.partition("[")[0])

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.broken.append(f"{report.nodeid}: {report.longreprtext.splitlines()[-1:]}")


def collect(root: Path = ROOT) -> Marked:
    """The tests below `root`, collected and not run. What the test files print goes nowhere."""
    marked = Marked()
    words = [f"mark.{one.marker}(" for one in CONTRACTS]
    files = [str(path) for path in sorted((root / "tests").rglob("test_*.py")) if _has(path, words)]
    with contextlib.redirect_stdout(io.StringIO()):
        pytest.main(["--collect-only", "-p", "no:cacheprovider", "-n", "0", *files], plugins=[marked])
    return marked


def _has(path: Path, words: Iterable[str]) -> bool:
    text = path.read_text(encoding="utf-8")
    return any(word in text for word in words)


def faults(contract: Contract, tests: Mapping[Id, Iterable[str]]) -> list[str]:
    """What is wrong: statements without a test, marks without a statement."""
    without = [f"{contract.marker}: statement {one} has no test" for one in contract.ids if not tests.get(one)]
    unknown = [f"{contract.marker}: there is no statement {one}" for one in tests if one not in contract.ids]
    return (without if contract.whole else []) + sorted(unknown)


def page(contract: Contract, tests: Mapping[Id, Iterable[str]]) -> str:
    """The page as Markdown."""
    lines = [f"# {contract.title}", "", *contract.introduction, ""]
    if not contract.whole:
        shown = sum(bool(tests.get(one)) for one in contract.ids)
        lines += [f"{shown} of {len(contract.ids)} statements are shown.", ""]
    for title, statements in contract.statements.items():
        lines += [f"## {title}", "", "| No. | Statement | Shown by |", "| --- | --- | --- |"]
        for one, text in statements.items():
            links = "<br>".join(map(_link, sorted(tests.get(one, ()))))
            lines.append(f"| {one} | {text} | {links or 'not shown'} |")
        lines.append("")
    return "\n".join(lines)


def _link(test: str) -> str:
    path, _, name = test.partition("::")
    return f"[`{name.replace('::', '.')}`](../../{path})"


def main(arguments: list[str]) -> int:
    """The exit code."""
    marked = collect()
    wrong = marked.broken + [fault for one in CONTRACTS for fault in faults(one, marked.tests[one.marker])]
    for one in CONTRACTS:
        text = page(one, marked.tests[one.marker])
        if "--check" in arguments:
            if not one.page.exists() or one.page.read_text(encoding="utf-8") != text:
                wrong.append(f"{one.page.relative_to(ROOT)} is stale: run python scripts/conformance.py")
        elif not wrong:
            one.page.parent.mkdir(parents=True, exist_ok=True)
            one.page.write_text(text, encoding="utf-8")
    for fault in wrong:
        print(fault)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
