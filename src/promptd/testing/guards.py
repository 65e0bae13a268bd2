"""The exam of the port `Guard`."""

from __future__ import annotations

import pytest

from promptd.core.content import Document, Refusal, Role, Text, Thinking, ToolCall, Turn
from promptd.core.model import Verdict
from promptd.core.ports import Guard


class GuardContract:
    """Inherit it and give two fixtures: `guard`, and `forbidden`, a text that this guard refuses."""

    @pytest.fixture
    def guard(self) -> Guard:
        raise AssertionError("give the fixture `guard`")

    @pytest.fixture
    def forbidden(self) -> str:
        raise AssertionError("give the fixture `forbidden`")

    async def test_a_harmless_text_passes(self, guard: Guard) -> None:
        verdict = await guard.inspect([Turn("system", "Be brief."), Turn("user", "How tall is an oak?")])
        assert verdict == Verdict(True, "", verdict.score)
        assert 0 <= verdict.score <= 1
        assert verdict.categories == {}

    @pytest.mark.parametrize(
        "messages",
        [[], [Turn("user", "")], [Turn("user", "\x00\n\t")], [Turn("user", "\ud800 lone surrogate")]],
        ids=["no messages", "no text", "control characters", "no UTF-8"],
    )
    async def test_odd_texts_pass(self, guard: Guard, messages: list[Turn]) -> None:
        assert (await guard.inspect(messages)).allowed

    @pytest.mark.parametrize("role", ["system", "user", "assistant", "tool"])
    async def test_every_message_is_judged(self, guard: Guard, forbidden: str, role: Role) -> None:
        hello = Turn("user", "Hello")
        for messages in ([Turn(role, forbidden)], [Turn(role, forbidden), hello], [hello, Turn(role, forbidden)]):
            verdict = await guard.inspect(messages)
            assert not verdict.allowed
            assert verdict.reason
            assert 0 < verdict.score <= 1
            assert all(name and 0 < score <= 1 for name, score in verdict.categories.items())

    async def test_tool_calls_are_judged(self, guard: Guard, forbidden: str) -> None:
        calls = (ToolCall(name="look_up", arguments=f'{{"q": "{forbidden}"}}'),)
        assert not (await guard.inspect([Turn("assistant", tool_calls=calls)])).allowed

    async def test_length_hides_nothing(self, guard: Guard, forbidden: str) -> None:
        filler = "Oaks grow slowly. " * 20_000
        assert (await guard.inspect([Turn("user", filler)])).allowed
        for text in (f"{forbidden} {filler}", f"{filler} {forbidden}", f"{filler} {forbidden} {filler}"):
            assert not (await guard.inspect([Turn("user", text)])).allowed

    async def test_the_verdict_is_always_the_same(self, guard: Guard, forbidden: str) -> None:
        messages = [Turn("user", f"Hello {forbidden}")]
        first = await guard.inspect(messages)
        assert all([await guard.inspect(messages) == first for _ in range(5)])

    async def test_parts_are_judged(self, guard: Guard, forbidden: str) -> None:
        for part in (Text(forbidden), Thinking(forbidden), Refusal(forbidden), Document(text=forbidden)):
            verdict = await guard.inspect([Turn("user", parts=(Text("Hello"), part))])
            assert not verdict.allowed
