"""The page of conformance: every statement has a test, and the page is written from the marks of collected tests."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.conformance import ARCH, CONTRACTS, FORMCYCLE, Contract, Id, faults, page

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


def test_there_are_46_statements() -> None:
    assert list(range(1, 47)) == FORMCYCLE.ids


def test_no_id_stands_for_two_statements() -> None:
    assert len(set(ARCH.ids)) == len(ARCH.ids)


def test_a_statement_without_a_test_and_a_mark_without_a_statement_are_faults() -> None:
    tests: dict[Id, set[str]] = {number: {"tests/test_a.py::test_a"} for number in FORMCYCLE.ids}
    assert faults(FORMCYCLE, tests) == []
    del tests[7]
    tests[8] = set()
    tests[47] = {"tests/test_a.py::test_b"}
    wrong = ["statement 7 has no test", "statement 8 has no test", "there is no statement 47"]
    assert faults(FORMCYCLE, tests) == [f"formcycle: {one}" for one in wrong]


def test_a_list_that_is_not_whole_yet_tells_what_is_missing() -> None:
    contract = Contract("x", "X", (), {"Part": {"1.a": "One.", "1.b": "Two."}}, whole=False)
    tests: dict[Id, set[str]] = {"1.b": {"tests/test_a.py::test_a"}}
    assert faults(contract, tests) == []
    assert faults(contract, {**tests, "1.c": {"tests/test_a.py::test_b"}}) == ["x: there is no statement 1.c"]
    text = page(contract, tests)
    assert "1 of 2 statements are shown." in text
    assert "| 1.a | One. | not shown |" in text


def test_each_test_is_a_link() -> None:
    text = page(FORMCYCLE, {40: {"tests/a/test_b.py::TestC::test_d", "tests/a/test_a.py::test_a"}})
    links = "[`test_a`](../../tests/a/test_a.py)<br>[`TestC.test_d`](../../tests/a/test_b.py)"
    assert links in next(line for line in text.splitlines() if line.startswith("| 40 |"))


def test_tests_are_collected_by_their_marks(tmp_path: Path) -> None:
    folder = tmp_path / "tests"
    folder.mkdir()
    marked = '@pytest.mark.formcycle(3)\n@pytest.mark.arch("1.a")\n@pytest.mark.parametrize("n", [1, 2])\ndef test_marked(n): raise SystemExit\n'
    (folder / "test_one.py").write_text(f"import pytest\n{marked}\ndef test_plain(): pass\n")
    (tmp_path / "pyproject.toml").write_text(
        '[tool.pytest.ini_options]\nmarkers = ["formcycle(*n): x", "arch(*n): x"]\n'
    )
    code = "import sys; sys.path.insert(0, sys.argv[1]); from pathlib import Path; from scripts.conformance import collect; "
    code += "found = collect(Path(sys.argv[2])); print([dict(one) for one in found.tests.values()], found.broken)"
    done = subprocess.run(
        [sys.executable, "-c", code, str(ROOT), str(tmp_path)], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    test = "{'tests/test_one.py::test_marked'}"
    assert done.stdout.strip() == f"[{{3: {test}}}, {{'1.a': {test}}}] []"


@pytest.mark.e2e
def test_the_page_is_fresh() -> None:
    done = subprocess.run(
        [sys.executable, "scripts/conformance.py", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("contract", CONTRACTS, ids=lambda one: one.marker)
def test_links_of_the_page_lead_somewhere(contract: Contract) -> None:
    folder = contract.page.parent
    for group, name, target in re.findall(r"\[`(?:(\w+)\.)?(\w+)`\]\(([^)]+)\)", contract.page.read_text("utf-8")):
        wanted = f"class {group}" if group else f"def {name}("  # a class may have its tests from an exam
        assert wanted in (folder / target).read_text("utf-8"), name
