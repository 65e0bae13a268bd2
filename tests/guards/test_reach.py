"""Streamed text in the hold-back window: however it is cut, it leaves as if it had been redacted as a whole."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from promptd.core.holdback import HoldBack
from promptd.core.model import Chunk
from promptd.guards.detecting import Detector
from promptd.guards.pii import PII
from promptd.guards.secrets import Secrets
from tests.guards.test_secrets import GITHUB, PEM

FOUND = (
    "ann.example@mail.example.org",
    "4111 1111 1111 1111",
    "DE89 3704 0044 0532 0130 00",
    "+49 89 1234567",
    "SSN 078 05 1120",
    "Steuer-ID: 86095742719",
    GITHUB,
    "postgres://bob:s3cr3tpw@db.example.org/shop",
    'password = "Sommer 2024!"',
    PEM,
    PEM.replace("\n", "\\n"),
    PEM.replace("Proc-Type: 4,ENCRYPTED\n\n", ""),
)
GUARDS = {"pii": PII(), "secrets": Secrets()}


def stream(guard: Detector, text: str, cuts: list[int]) -> str:
    """What leaves of a text that comes in pieces."""
    window = HoldBack(guard.reach)
    left: list[str] = []

    def redact(piece: str) -> str:
        return guard.redact(piece).text

    places = [0, *sorted(cut % (len(text) + 1) for cut in cuts), len(text)]
    for start, end in pairwise(places):
        if start < end:
            window.add(Chunk("progress", text=text[start:end]))
            if window.due and (look := window.look()) is not None:
                left += [chunk.text for chunk in window.release(look, redact)]
    if (look := window.look(complete=True)) is not None:
        left += [chunk.text for chunk in window.release(look, redact)]
    return "".join([*left, *(chunk.text for chunk in window.rest())])


@pytest.mark.parametrize("name", GUARDS)
@settings(max_examples=60, deadline=None)
@given(
    parts=st.lists(
        st.sampled_from((*FOUND, "Oaks grow slowly. " * 30, "A word, and another one; ", "\n\n")), max_size=6
    ),
    cuts=st.lists(st.integers(0, 10_000), max_size=60),
)
def test_what_leaves_is_what_redaction_of_the_whole_gives(name: str, parts: list[str], cuts: list[int]) -> None:
    guard = GUARDS[name]
    text = " ".join(parts)
    assert stream(guard, text, cuts) == guard.redact(text).text


@pytest.mark.parametrize("name", GUARDS)
def test_a_text_in_which_nothing_is_found_leaves_before_its_end(name: str) -> None:
    guard = GUARDS[name]
    window = HoldBack(guard.reach)
    left = ""
    for piece in ["Oaks grow slowly. "] * 200:
        window.add(Chunk("progress", text=piece))
        if window.due and (look := window.look()) is not None:
            left += "".join(chunk.text for chunk in window.release(look, lambda text: guard.redact(text).text))
    assert len(left) > 2000
