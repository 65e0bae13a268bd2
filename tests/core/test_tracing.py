"""The caller's span by its headers, as W3C Trace Context says."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptd.core.tracing import TraceContext, parse

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@pytest.mark.parametrize(
    ("header", "sampled"),
    [
        (f"00-{TRACE}-{SPAN}-01", True),
        (f"00-{TRACE}-{SPAN}-00", False),
        (f"00-{TRACE}-{SPAN}-03", True),
        (f" 00-{TRACE}-{SPAN}-01 ", True),
        (f"cc-{TRACE}-{SPAN}-01-what-comes-later", True),
        (f"cc-{TRACE}-{SPAN}-01", True),
    ],
)
def test_a_trace_is_taken_over(header: str, sampled: bool) -> None:
    assert parse(header) == TraceContext(TRACE, SPAN, sampled)


@pytest.mark.parametrize(
    "header",
    [
        "",
        "00",
        f"00-{TRACE}-{SPAN}",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01-more",
        f"00-{TRACE}-{SPAN}-01more",
        f"cc-{TRACE}-{SPAN}-01more",
        f"00-{TRACE[:-1]}-{SPAN}-01",
    ],
)
def test_what_is_none_is_left(header: str) -> None:
    assert parse(header) is None


@pytest.mark.parametrize(("state", "kept"), [("a=1,b=2", "a=1,b=2"), ("x" * 513, ""), ("a=\x01", ""), ("a=é", "")])
def test_state_is_passed_on_where_it_is_one(state: str, kept: str) -> None:
    found = parse(f"00-{TRACE}-{SPAN}-01", state)
    assert found is not None
    assert found.state == kept


@given(st.text(max_size=80))
def test_anything_may_come(header: str) -> None:
    found = parse(header)
    assert found is None or parse(found.headers()["traceparent"]) == found
