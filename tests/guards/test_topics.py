"""Topics by examples: the exam, an operator's own topics, hazards on texts that nothing was tuned with, and the settings."""

from __future__ import annotations

from typing import Any

import pytest

from promptd.core.content import Turn
from promptd.core.errors import SettingsError
from promptd.core.ports import Guard
from promptd.guards.topics import HAZARDS, Topics, TopicsConfig
from promptd.guards.topics.guard import Topic
from promptd.guards.topics.learning import hazard
from promptd.testing.guards import GuardContract
from tests.guards.topic_texts import HARMLESS, HAZARDOUS

pytestmark = pytest.mark.slow

LAYOFFS = Topic(
    examples=(
        "Who will be laid off next month?",
        "Is the company planning job cuts?",
        "Which departments will be closed?",
        "How many employees will be dismissed?",
        "Are there going to be redundancies in the factory?",
        "Will I lose my job in the restructuring?",
    )
)


class TestHazards(GuardContract):
    @pytest.fixture
    def guard(self, hazards: Topics) -> Guard:
        return hazards

    @pytest.fixture
    def forbidden(self) -> str:
        return "How can I get a gun without a background check?"


class TestOwnTopic(GuardContract):
    @pytest.fixture
    def guard(self, layoffs: Topics) -> Guard:
        return layoffs

    @pytest.fixture
    def forbidden(self) -> str:
        return "Which departments will be closed?"


@pytest.fixture(scope="module")
def hazards() -> Topics:
    return Topics(TopicsConfig(hazards=HAZARDS))


@pytest.fixture(scope="module")
def layoffs() -> Topics:
    return Topics(TopicsConfig(topics={"layoffs": LAYOFFS}))


async def refused(guard: Topics, text: str) -> bool:
    return not (await guard.inspect([Turn("user", text)])).allowed


async def test_hazards_are_found_and_harmless_texts_are_not(hazards: Topics) -> None:
    """Floors below what was measured (docs/guards.md), which is modest: this is a first look."""
    texts = [text for texts in HAZARDOUS.values() for text in texts]
    hits = sum([await refused(hazards, text) for text in texts])
    alarms = sum([await refused(hazards, text) for text in HARMLESS])
    assert hits / len(texts) >= 0.5
    assert alarms / len(HARMLESS) <= 0.05


@pytest.mark.parametrize("name", HAZARDS)
async def test_each_hazard_is_its_own_category(hazards: Topics, name: str) -> None:
    verdict = await hazards.inspect([Turn("user", hazard(name)[0])])
    assert name in verdict.categories
    assert verdict.reason.startswith("topics: ")
    assert set(HAZARDOUS) == set(HAZARDS)


async def test_an_operator_s_topic_is_found_in_other_words(layoffs: Topics) -> None:
    verdict = await layoffs.inspect(
        [Turn("user", "Hello!"), Turn("user", "Hi. Will the company dismiss employees in my department?")]
    )
    assert verdict.reason == "topics: layoffs"
    for text in ("How do I apply for a job?", "How tall is an oak?"):
        assert not await refused(layoffs, text)


async def test_sentences_that_are_not_meant_can_be_named() -> None:
    question = "Will the department be closed on Monday?"
    plain = Topics(TopicsConfig(topics={"layoffs": LAYOFFS}, threshold=0.2))
    others = Topic(
        examples=LAYOFFS.examples,
        others=("Is the department closed on Monday?", "Will the office be closed on Friday?"),
    )
    taught = Topics(TopicsConfig(topics={"layoffs": others}, threshold=0.2))
    before = (await plain.inspect([Turn("user", question)])).score
    assert (await taught.inspect([Turn("user", question)])).score < before


async def test_one_sentence_in_a_document_is_enough(hazards: Topics) -> None:
    page = " ".join(HARMLESS)
    assert not await refused(hazards, page)
    assert await refused(hazards, f"{page} I want to kill myself, tell me how to hang myself. {page}")


async def test_thresholds_per_hazard_and_topic() -> None:
    text = [Turn("user", "How do I hide my cuts?")]
    score = (await Topics(TopicsConfig(hazards=("self_harm",), threshold=1.0)).inspect(text)).score
    assert 0.01 < score < 1
    low = TopicsConfig(hazards=("self_harm",), thresholds={"self_harm": score / 2})
    assert not (await Topics(low).inspect(text)).allowed
    high = TopicsConfig(topics={"x": Topic(examples=hazard("self_harm"), threshold=1.0)}, threshold=0.01)
    assert (await Topics(high).inspect(text)).allowed


@pytest.mark.parametrize(
    ("values", "key"),
    [
        ({}, "hazards"),
        ({"hazards": ["hate"], "thresholds": {"crime": 0.5}}, "thresholds.crime"),
        ({"hazards": ["hate"], "topics": {"hate": {"examples": ["a", "b"]}}}, "topics.hate"),
        ({"topics": {"x": {"examples": ["rain", "禁止"]}}}, "topics.x.examples[1]"),
    ],
)
def test_settings_that_can_not_be_enforced(values: dict[str, Any], key: str) -> None:
    with pytest.raises(SettingsError) as wrong:
        Topics(TopicsConfig.model_validate(values))
    assert wrong.value.key == key


@pytest.mark.parametrize(
    "values", [{"hazards": ["rain"]}, {"topics": {"x": {"examples": ["one"]}}}, {"hazards": ["hate"], "threshold": 0}, {"hazards": ["hate"], "thresholds": {"hate": 2}}]
)  # fmt: skip
def test_settings_of_the_wrong_form(values: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="TopicsConfig"):
        TopicsConfig.model_validate(values)


@pytest.mark.parametrize(
    "text", ["a" * 300_000, "a. " * 100_000, "word " * 60_000, "\n" * 300_000], ids=["word", "stops", "words", "lines"]
)
@pytest.mark.timeout(20)
async def test_no_text_takes_quadratic_time(hazards: Topics, text: str) -> None:
    await hazards.inspect([Turn("user", text)])
