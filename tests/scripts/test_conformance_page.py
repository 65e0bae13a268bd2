"""The page of conformance: every statement has a test, and the page is written from the marks of collected tests."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.conformance import PAGE, STATEMENTS, faults, page

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
NUMBERS = [number for part in STATEMENTS.values() for number in part]


def test_there_are_46_statements() -> None:
    assert list(range(1, 47)) == NUMBERS


def test_a_statement_without_a_test_and_a_mark_without_a_statement_are_faults() -> None:
    tests = {number: {"tests/test_a.py::test_a"} for number in NUMBERS}
    assert faults(tests) == []
    del tests[7]
    tests[8] = set()
    tests[47] = {"tests/test_a.py::test_b"}
    assert faults(tests) == ["statement 7 has no test", "statement 8 has no test", "there is no statement 47"]


def test_each_test_is_a_link() -> None:
    text = page({40: {"tests/a/test_b.py::TestC::test_d", "tests/a/test_a.py::test_a"}})
    links = "[`test_a`](../../tests/a/test_a.py)<br>[`TestC.test_d`](../../tests/a/test_b.py)"
    assert links in next(line for line in text.splitlines() if line.startswith("| 40 |"))


def test_tests_are_collected_by_their_marks(tmp_path: Path) -> None:
    folder = tmp_path / "tests"
    folder.mkdir()
    marked = '@pytest.mark.formcycle(3)\n@pytest.mark.parametrize("n", [1, 2])\ndef test_marked(n): raise SystemExit\n'
    (folder / "test_one.py").write_text(f"import pytest\n{marked}\ndef test_plain(): pass\n")
    (tmp_path / "pyproject.toml").write_text('[tool.pytest.ini_options]\nmarkers = ["formcycle(*n): x"]\n')
    code = "import sys; sys.path.insert(0, sys.argv[1]); from pathlib import Path; from scripts.conformance import collect; "
    code += "found = collect(Path(sys.argv[2])); print(dict(found.tests), found.broken)"
    done = subprocess.run(
        [sys.executable, "-c", code, str(ROOT), str(tmp_path)], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "{3: {'tests/test_one.py::test_marked'}} []"


@pytest.mark.e2e
def test_the_page_is_fresh() -> None:
    done = subprocess.run(
        [sys.executable, "scripts/conformance.py", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "")


def test_links_of_the_page_lead_somewhere() -> None:
    for name, target in re.findall(r"\[`(?:\w+\.)?(\w+)`\]\(([^)]+)\)", PAGE.read_text(encoding="utf-8")):
        assert f"def {name}(" in (PAGE.parent / target).read_text(encoding="utf-8"), name
