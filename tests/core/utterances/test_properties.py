"""Whatever is said: nothing is raised, types fit, and every value was said."""

from __future__ import annotations

from datetime import date
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from promptd.core.content import Turn
from promptd.core.model import Caller
from promptd.core.targets import Asking, Parameter, ParameterType
from promptd.core.utterances import Utterance, extract
from promptd.core.utterances.deciding import decided
from promptd.core.utterances.dialogue import read_dialogue
from promptd.core.utterances.grounded import Evidence
from promptd.core.utterances.replies import read_reply
from tests.core.utterances.corpus import ROWS, TARGETS, TODAY

pytestmark = pytest.mark.slow

_TYPES: Final[dict[ParameterType, type | tuple[type, ...]]] = {
    "int": int,
    "float": float,
    "bool": bool,
    "str": str,
    "list": list,
    "dict": dict,
}
_SAID = [said.text for row in ROWS for said in row.utterances]
_PIECES = sorted({word for said in _SAID for word in said.split()})
_TEXTS = st.one_of(
    st.text(max_size=200),
    st.lists(st.sampled_from(_PIECES), max_size=25).map(" ".join),
    st.lists(st.one_of(st.sampled_from(_PIECES), st.text(max_size=5)), max_size=15).map("".join),
)
_PARAMETERS = [one for target in TARGETS.values() for one in target.parameters]
_PARAMETER = st.one_of(
    st.sampled_from(_PARAMETERS),
    st.builds(
        Parameter,
        name=st.one_of(
            st.text(min_size=1, max_size=12),
            st.sampled_from(["x", "dates", "kind_type", "fromDate", "ids", "time_range"]),
        ),
        description=_TEXTS,
        type=st.sampled_from(sorted(_TYPES)),
        enum=st.lists(st.one_of(st.text(max_size=8), st.integers(), st.booleans()), max_size=4).map(tuple),
        format=st.sampled_from(["", "City, State", "YYYY-MM-DD", "HH:MM", "date-time", "%d/%m/%Y"]),
    ),
)
_UTTERANCE = st.builds(
    Utterance, _TEXTS, st.lists(st.sampled_from([one.name for one in _PARAMETERS]), max_size=3).map(tuple)
)


def _fits(parameter: Parameter, value: Any) -> bool:
    if parameter.enum:
        listed = value if parameter.type == "list" else [value]
        return isinstance(listed, list) and all(one in parameter.enum for one in listed)
    exact = parameter.type != "int" or not isinstance(value, bool)
    return exact and isinstance(value, _TYPES[parameter.type])


@settings(max_examples=300, deadline=None)
@given(
    st.lists(_PARAMETER, max_size=5, unique_by=lambda one: one.name),
    st.lists(_UTTERANCE, max_size=4),
    st.dates(),
)
@pytest.mark.arch("5.4.grounded", "9.6")
def test_values_fit_and_were_said(parameters: list[Parameter], said: list[Utterance], today: date) -> None:
    values = extract(parameters, said, today=today)
    assert set(values) <= {one.name for one in parameters}
    evidence = Evidence([one.text for one in said], today)
    for one in parameters:
        if one.name in values:
            assert _fits(one, values[one.name]), (one, values)
            assert evidence.holds(one, values[one.name]), (one, values)


@settings(max_examples=100, deadline=None)
@given(_TEXTS)
def test_the_same_every_time(text: str) -> None:
    parameters = TARGETS["hotel"].parameters
    assert extract(parameters, [Utterance(text)], today=TODAY) == extract(parameters, [Utterance(text)], today=TODAY)


_REPLIES = st.one_of(
    st.text(max_size=100),
    st.lists(
        st.sampled_from(
            [
                '{"name": "weather",',
                '"arguments": {',
                '"days": 2',
                "}",
                "{",
                "]",
                "[",
                "<tool_call>",
                "</tool_call>",
                "```json",
                "```",
                '"',
                ",",
                '{"tool_calls": [',
                '{"required_functions": ["weather"], "clarification": "Which days?"}',
                '{"response": "x"}',
                "null",
                "<think>",
            ]
        ),
        max_size=12,
    ).map("".join),
)


@settings(max_examples=200, deadline=None)
@given(_REPLIES)
@pytest.mark.arch("9.6")
def test_any_reply_is_read(text: str) -> None:
    asking = Asking(caller=Caller("somebody"))
    decision = decided(read_reply(text), tuple(TARGETS.values()), asking).decision
    assert decision.target is None or decision.target in TARGETS
    if decision.target and not decision.question:
        needed = {one.name for one in TARGETS[decision.target].parameters if one.required}
        assert needed <= set(decision.arguments)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.builds(Turn, st.sampled_from(["system", "user", "assistant", "tool"]), _TEXTS), max_size=8),
    st.booleans(),
)
def test_any_conversation_is_read(turns: list[Turn], running: bool) -> None:
    dialogue = read_dialogue(turns, tuple(TARGETS.values()), running=running)
    users = [turn.content for turn in turns if turn.role == "user"]
    assert [one.text for one in dialogue.said] == users[len(users) - len(dialogue.said) :]


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "piece",
    [
        "1 ",
        "a ",
        "in Seattle, ",
        "two hundred ",
        "1/1/2026 ",
        '"',
        "'",
        "{",
        "[1,",
        "::",
        "$",
        "usd/eur ",
        "1,234",
        "note: ",
        "...",
        "to ",
        "a" + " " * 1000,
        "a" + " please" * 100 + " " * 300,
        "a and" + " , " * 300,
    ],
)
@pytest.mark.arch("9.6")
def test_long_texts_take_little_time(piece: str) -> None:
    """Each of these was made to be slow for one of the readers; a reader that is not linear does not end in time."""
    text = piece * (1_000_000 // len(piece))
    said = [Utterance(text, ("location", "days"))] * 40
    for name in ("hotel", "statistics", "meeting", "convert"):
        extract(TARGETS[name].parameters, said, today=TODAY)
    evidence = Evidence([text] * 40, TODAY)
    assert not any(evidence.holds(one, "quite another thing") for one in TARGETS["meeting"].parameters[:2])
