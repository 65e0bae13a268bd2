"""The exam of the port `Intent`."""

from __future__ import annotations

import pytest

from promptd.core.content import Turn
from promptd.core.model import Target
from promptd.core.ports import Intent

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
        twins = [Target("b-twin", WEATHER.description), Target("a-twin", WEATHER.description), TIMER]
        said = [Turn("user", WEATHER.description)]
        matches = {await intent.match(said, order) for order in (twins, twins[::-1], [TIMER, *twins[:2]])}
        assert [match.target for match in matches if match] == ["a-twin"]
