"""What an engine gets to see of a thread."""

from __future__ import annotations

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptd.core.content import INSTRUCTIONS, Role, ToolCall, Turn
from promptd.core.history import cut, tokens

turns = st.builds(Turn, st.sampled_from(get_args(Role)), st.text(max_size=40))
histories = st.lists(turns, max_size=12)
now_turns = st.lists(turns, min_size=1, max_size=3)


def user(text: str) -> Turn:
    return Turn("user", text)


def assistant(text: str) -> Turn:
    return Turn("assistant", text)


SYSTEM = Turn("system", "be kind")


def test_everything_that_fits_is_kept_in_order() -> None:
    history = [SYSTEM, user("1"), assistant("2"), user("3"), assistant("4")]
    assert cut(history, [user("5")], 1000) == (*history, user("5"))


def test_the_oldest_exchange_goes_first_and_whole() -> None:
    exchanges = [user("a" * 40), assistant("b" * 40), user("c" * 40), assistant("d" * 40)]
    budget = sum(map(tokens, [SYSTEM, *exchanges[2:], user("now")]))
    kept = (SYSTEM, *exchanges[2:], user("now"))
    assert cut([SYSTEM, *exchanges], [user("now")], budget) == kept
    assert cut([SYSTEM, *exchanges], [user("now")], budget + tokens(exchanges[1])) == kept, "no half exchange"
    assert cut([SYSTEM, *exchanges], [user("now")], budget - 1) == (SYSTEM, user("now"))


def test_a_tool_result_stays_with_its_question() -> None:
    exchange = [
        user("what time?"),
        Turn("assistant", tool_calls=(ToolCall(0, "c1", "clock", "{}"),)),
        Turn("tool", "noon", tool_call_id="c1"),
        assistant("noon"),
    ]
    for budget in range(0, 200, 3):
        kept = cut(exchange, [user("thanks")], budget)
        assert kept in ((user("thanks"),), (*exchange, user("thanks")))


def test_a_new_system_message_replaces_the_old_ones() -> None:
    fresh = Turn("system", "be brief")
    assert cut([SYSTEM, user("1"), assistant("2")], [fresh, user("3")], 1000) == (
        fresh,
        user("1"),
        assistant("2"),
        user("3"),
    )


@pytest.mark.parametrize("budget", [-5, 0, 1])
def test_the_prompt_itself_always_stays(budget: int) -> None:
    long = user("x" * 1000)
    assert cut([SYSTEM, user("1")], [long], budget) == (SYSTEM, long)


def test_the_size_counts_bytes_and_tool_calls() -> None:
    assert tokens(user("x" * 40)) == 14
    assert tokens(user("ü" * 20)) == 14
    assert tokens(Turn("assistant", tool_calls=(ToolCall(0, "", "name", "x" * 36),))) == 14


@given(histories, now_turns, st.integers(-10, 400))
def test_properties(history: list[Turn], now: list[Turn], budget: int) -> None:
    kept = list(cut(history, now, budget))
    # everything of now, in order (a system message may move to the front)
    for role in get_args(Role):
        mine = [turn for turn in now if turn.role == role]
        assert not mine or [turn for turn in kept if turn.role == role][-len(mine) :] == mine
    # nothing is made up
    pool = [*history, *now]
    for turn in kept:
        pool.remove(turn)
    # within the budget, beyond what always stays
    always = list(now) + (
        []
        if any(turn.role in INSTRUCTIONS for turn in now)
        else [turn for turn in history if turn.role in INSTRUCTIONS]
    )
    extra = [turn for turn in kept if not any(turn is other for other in always)]
    assert not extra or sum(map(tokens, kept)) <= budget
    # what is kept of the history is its tail
    plain = [turn for turn in history if turn.role not in INSTRUCTIONS]
    assert extra == plain[len(plain) - len(extra) :]
    assert not extra or extra[0].role == "user" or len(extra) == len(plain)


@given(histories, now_turns, st.integers(0, 300), st.integers(0, 100))
def test_a_larger_budget_never_shows_less(history: list[Turn], now: list[Turn], budget: int, more: int) -> None:
    assert len(cut(history, now, budget + more)) >= len(cut(history, now, budget))
