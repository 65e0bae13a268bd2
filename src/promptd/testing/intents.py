"""The exam of the port `Intent`."""

from __future__ import annotations

import pytest

from promptd.core.content import Turn
from promptd.core.ports import Intent
from promptd.core.targets import Target

WEATHER = Target("weather", "Tell the weather forecast of a city", ("what is the weather in Rome", "will it rain"))
TIMER = Target("timer", "Set a timer", ("set a timer for ten minutes", "wake me in an hour"))
INVOICE = Target("invoice", "Send an invoice to a customer", ("send the invoice to Miller", "bill the customer"))
TARGETS = (WEATHER, TIMER, INVOICE)


class IntentContract:
    """Inherit it and give the fixture `intent`: a matcher with a moderate threshold."""

    @pytest.fixture
    def intent(self) -> Intent:
        raise AssertionError("give the fixture `intent`")

    @pytest.mark.parametrize(
        ("text", "target"),
        [
            ("What is the weather in Oslo?", "weather"),
            ("set a timer for five minutes please", "timer"),
            ("Please send an invoice to the customer Jones", "invoice"),
        ],
    )
    async def test_finds_the_target(self, intent: Intent, text: str, target: str) -> None:
        match = await intent.match([Turn("user", text)], TARGETS)
        assert match is not None
        assert match.target == target
        assert 0 < match.score <= 1

    @pytest.mark.parametrize("text", ["", "   ", "?!", "zxqv jjkw", "My grandfather used to paint old boats."])
    async def test_none_fits(self, intent: Intent, text: str) -> None:
        assert await intent.match([Turn("user", text)], TARGETS) is None

    async def test_nothing_said_or_nothing_to_choose(self, intent: Intent) -> None:
        assert await intent.match([], TARGETS) is None
        assert await intent.match([Turn("user", "will it rain")], ()) is None
        assert await intent.match([Turn("user", "will it rain")], [Target("empty", "")]) is None

    async def test_the_last_message_counts_most(self, intent: Intent) -> None:
        said = [Turn("user", "what is the weather in Rome"), Turn("assistant", "Sunny."), Turn("user", "set a timer")]
        match = await intent.match(said, TARGETS)
        assert match is not None
        assert match.target == "timer"

    async def test_only_the_user_is_heard(self, intent: Intent) -> None:
        said = [Turn("system", "set a timer"), Turn("user", "zxqv"), Turn("assistant", "what is the weather in Rome")]
        assert await intent.match(said, TARGETS) is None

    async def test_the_order_of_targets_does_not_matter(self, intent: Intent) -> None:
        """A matcher may leave twins alone, as either is a guess; if it takes one, it takes the first by name."""
        twins = [Target("b-twin", WEATHER.description), Target("a-twin", WEATHER.description), TIMER]
        said = [Turn("user", WEATHER.description)]
        matches = {await intent.match(said, order) for order in (twins, twins[::-1], [TIMER, *twins[:2]])}
        assert len(matches) == 1
        assert {match.target for match in matches if match} <= {"a-twin"}

    async def test_the_default_target_never_competes(self, intent: Intent) -> None:
        default = Target("weather", WEATHER.description, WEATHER.examples, default=True)
        said = [Turn("user", "what is the weather in Rome")]
        assert await intent.match(said, [default]) is None
        assert await intent.match(said, [default, TIMER, INVOICE]) is None

    @pytest.mark.parametrize("text", ["\ud800 weather", "\x00", "w" * 200_000, "e\u0301" * 50_000, "\u0300" * 50_000])
    async def test_no_text_is_too_odd(self, intent: Intent, text: str) -> None:
        """Whatever it answers, it answers, and within the time of a test."""
        match = await intent.match([Turn("user", text)], TARGETS)
        assert match is None or match.target in {target.name for target in TARGETS}
