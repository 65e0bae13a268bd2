"""Values of the sample configurations' parameters, out of conversations."""

from __future__ import annotations

import pytest

from promptd.core.targets import Parameter, ParameterType
from promptd.core.utterances import Utterance, extract
from promptd.core.utterances.grounded import Evidence
from tests.core.utterances.corpus import ROWS, TARGETS, TODAY, Row

_NAMES = [f"{row.target}: {row.utterances[-1].text}"[:70] for row in ROWS]


@pytest.mark.parametrize("row", ROWS, ids=_NAMES)
def test_corpus(row: Row) -> None:
    assert extract(TARGETS[row.target].parameters, row.utterances, today=TODAY) == row.values


@pytest.mark.parametrize("row", ROWS, ids=_NAMES)
def test_what_is_extracted_is_grounded(row: Row) -> None:
    evidence = Evidence([one.text for one in row.utterances], TODAY)
    parameters = {one.name: one for one in TARGETS[row.target].parameters}
    assert [name for name, value in row.values.items() if not evidence.holds(parameters[name], value)] == []


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("dict", 'set it to {"a": 1, "b": ["x"]} please', {"a": 1, "b": ["x"]}),
        ("dict", "set it to {} please", None),
        ("dict", 'set it to {"a": "\\u0042"}', None),
        ("list", "[1, 2]", [1, 2]),
        ("list", "[]", None),
        ("list", "[" * 50 + "1" + "]" * 50, None),
    ],
)
def test_json_that_was_said(kind: ParameterType, text: str, value: object) -> None:
    found = extract([Parameter(name="value", type=kind)], [Utterance(text)], today=TODAY)
    assert found == ({} if value is None else {"value": value})


def test_later_answers_win_and_defaults_are_not_filled_in() -> None:
    days = Parameter(name="days", type="int", default=7)
    said = [Utterance("two days"), Utterance("no, three", ("days",)), Utterance("thanks")]
    assert extract([days], said, today=TODAY) == {"days": 3}
    assert extract([days], [Utterance("hello")], today=TODAY) == {}
    assert extract([], said, today=TODAY) == {}


def test_only_the_last_turns_are_heard() -> None:
    days = Parameter(name="days", type="int")
    assert extract([days], [Utterance("two days"), *[Utterance("hm")] * 40], today=TODAY) == {}
