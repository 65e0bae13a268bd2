"""The rules guard: the exam, each rule, how words can't hide, and which settings stop the start."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pydantic import ValidationError

from promptd.core.content import ToolCall, Turn
from promptd.core.errors import SettingsError
from promptd.core.model import Verdict
from promptd.core.ports import Guard
from promptd.guards.rules import NamedPattern, Rules, RulesConfig, WordList, normalize
from promptd.testing.guards import GuardContract


class TestBlocklist(GuardContract):
    @pytest.fixture
    def guard(self) -> Guard:
        return Rules(RulesConfig(blocklist=("Birnam Wood",)))

    @pytest.fixture
    def forbidden(self) -> str:
        return "birnam wood"


class TestPatterns(GuardContract):
    @pytest.fixture
    def guard(self) -> Guard:
        return Rules(RulesConfig(patterns=(NamedPattern(name="order", pattern=r"\bORD-\d{6}\b"),)))

    @pytest.fixture
    def forbidden(self) -> str:
        return "ORD-123456"


async def reason(config: RulesConfig, *texts: str) -> str:
    verdict = await Rules(config).inspect([Turn("user", text) for text in texts])
    assert verdict.allowed == (verdict.reason == "")
    assert verdict.score == (0.0 if verdict.allowed else 1.0)
    return verdict.reason


def patterns(**named: str) -> tuple[NamedPattern, ...]:
    return tuple(NamedPattern(name=name, pattern=pattern) for name, pattern in named.items())


async def test_by_default_everything_passes() -> None:
    assert await reason(RulesConfig(), "anything at all" * 100_000) == ""


async def test_length_counts_all_messages_and_tool_calls() -> None:
    config = RulesConfig(max_chars=10)
    assert await reason(config, "ä" * 4, "ö" * 6) == ""
    assert await reason(config, "ä" * 5, "ö" * 6) == "length"
    call = Turn("assistant", "12345", tool_calls=(ToolCall(arguments="123456"),))
    assert (await Rules(config).inspect([call])).reason == "length"


@pytest.mark.parametrize(
    ("word", "text"),
    [
        ("foo", "a FOO."),
        ("Straße", "STRASSE 5"),
        ("foo", "ｆｏｏ"),
        ("foo", "f\u200bo\u00ado"),
        ("foo", "\ufefffoo"),
        ("file", "the \ufb01le"),
        ("é", "cafe e\u0301 x"),
        ("Ωmega", "ω\u200dmega"),
        ("two words", "so two\n\t words"),
        ("@all", "hey @all!"),
        ("c++", "write C++ now"),
        ("禁止", "禁止"),
        ("foo", "food and foo"),
    ],
)
async def test_no_spelling_hides_a_word(word: str, text: str) -> None:
    assert await reason(RulesConfig(blocklist=(word,)), text) == f"blocklist: {word}"


@given(
    st.text(
        "ae\u0301\u0327\uff9e\u1100\u1161\u11a8\u314f\u3131\uffc2\u09c7\u09be\u0130\u0345\uac00Σ",
        min_size=1,
        max_size=25,
    )
)
def test_long_texts_are_normalized_as_short_ones(tail: str) -> None:
    """Wherever the text is cut for normalization, no character loses the one it becomes one with."""
    assume(unicodedata.normalize("NFKC", "x" + tail)[0] == "x")
    for padding in range(16_384 - len(tail), 16_385):
        assert normalize("x" * padding + tail) == "x" * padding + normalize(tail)


@pytest.mark.parametrize("text", ["classic", "pass", "assets", "as s", "ass_1", "fo\u00f6"])
async def test_whole_words_only(text: str) -> None:
    assert await reason(RulesConfig(blocklist=("ass", "fo")), text) == ""


async def test_parts_of_words_where_asked_for() -> None:
    config = RulesConfig(blocklist=("ass",), whole_words=False)
    assert await reason(config, "classic") == "blocklist: ass"
    assert await reason(config, "as s") == ""


async def test_patterns_are_named_in_the_order_of_the_settings() -> None:
    config = RulesConfig(patterns=patterns(card=r"\b(?:\d[ -]?){13,16}\b", digits=r"\d{4}", key="(?i)secret key"))
    assert await reason(config, "my card is 4111 1111 1111 1111.") == "pattern: card"
    assert await reason(config, "pin 1234") == "pattern: digits"
    assert await reason(config, "The SECRET KEY") == "pattern: key"
    assert await reason(config, "nothing", "of that") == ""


async def test_a_pattern_sees_one_message_at_a_time() -> None:
    config = RulesConfig(patterns=patterns(start="^now$"))
    assert await reason(config, "not", "now") == "pattern: start"
    assert await reason(config, "not now") == ""


async def test_the_first_broken_rule_is_the_reason() -> None:
    config = RulesConfig(max_chars=9, blocklist=("foo",), patterns=patterns(bar="bar"))
    assert await reason(config, "bar foo xxx") == "length"
    assert await reason(config, "bar foo") == "blocklist: foo"
    assert await reason(config, "bar fo") == "pattern: bar"


@pytest.mark.parametrize(
    "text",
    [
        "a" * 200_000 + "!",
        "a\u0301\u0327" * 300_000,
        "a" + "\u0301\u0327" * 300_000,
        "a" + "\u0301\uff9e" * 300_000,
        "foo" * 100_000,
        "\ufdfa" * 50_000,
    ],
    ids=["backtracking", "marks", "one run of marks", "half-width marks", "many near hits", "long expansions"],
)
async def test_no_text_takes_quadratic_time(text: str) -> None:
    """Each of these takes minutes, or the heat death, with a backtracking engine or plain normalization."""
    config = RulesConfig(blocklist=("foo", "other phrase"), patterns=patterns(evil=r"^(a+)+$", worse=r"(a|aa)+b$"))
    assert await reason(config, text) == ""


@pytest.mark.parametrize(
    ("config", "key"),
    [
        (RulesConfig(patterns=patterns(good="a", bad="(a")), "patterns[1].pattern"),
        (RulesConfig(patterns=patterns(behind="(?<=a)b")), "patterns[0].pattern"),
        (RulesConfig(patterns=patterns(back=r"(a)\1")), "patterns[0].pattern"),
        (RulesConfig(patterns=(*patterns(one="a"), *patterns(one="b"))), "patterns[1].name"),
        (
            RulesConfig(patterns=patterns(**{f"p{n}": rf"[a-{chr(n + 0x400)}]{{1000}}x{n}" for n in range(50)})),
            "patterns",
        ),
        (RulesConfig(blocklist=("fine", " ")), "blocklist[1]"),
        (RulesConfig(blocklist=("\u200b",)), "blocklist[0]"),
    ],
)
def test_rules_that_cannot_be_enforced(config: RulesConfig, key: str) -> None:
    with pytest.raises(SettingsError) as refused:
        Rules(config)
    assert refused.value.key == key
    assert key.split("[")[0] in refused.value.message


def test_a_bad_pattern_is_named_with_its_fault() -> None:
    with pytest.raises(SettingsError, match=r"'card' is not an RE2 pattern: missing \)"):
        Rules(RulesConfig(patterns=patterns(card="(a")))


@pytest.mark.parametrize(
    "values",
    [{"max_chars": 0}, {"patterns": [{"name": "", "pattern": "a"}]}, {"patterns": [{"name": "a"}]}, {"block": ["a"]}],
)
def test_settings_of_the_wrong_form(values: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        RulesConfig.model_validate(values)


# ------------------------------------------------------------------ categories


async def categories(config: RulesConfig, *texts: str) -> dict[str, float]:
    return (await Rules(config).inspect([Turn("user", text) for text in texts])).categories


async def test_a_refusal_tells_every_category() -> None:
    config = RulesConfig(
        blocklist=("mud",),
        lists=(
            WordList(category="violence", words=("dagger", "black  magic")),
            WordList(category="witchcraft", words=("newt", "Black Magic")),
        ),
        patterns=(
            NamedPattern(name="order", pattern=r"ORD-\d+"),
            NamedPattern(name="card", pattern=r"\d{4}-\d{4}", category="pii"),
        ),
    )
    assert await categories(config, "nothing of it") == {}
    assert await categories(config, "a dagger") == {"violence": 1.0}
    assert await categories(config, "Black\u00a0Magic!") == {"violence": 1.0, "witchcraft": 1.0}
    assert await categories(config, "hello", "mud", "ORD-1 and 1234-1234") == {
        "blocklist": 1.0,
        "order": 1.0,
        "pii": 1.0,
    }


async def test_a_text_that_is_too_long_is_only_that() -> None:
    assert await categories(RulesConfig(max_chars=3, blocklist=("long",)), "long") == {"length": 1.0}


def test_a_list_of_words_names_the_one_that_can_not_be_seen() -> None:
    config = RulesConfig(lists=(WordList(category="a", words=("x",)), WordList(category="b", words=("y", "\u200b"))))
    with pytest.raises(SettingsError) as wrong:
        Rules(config)
    assert wrong.value.key == "lists[1].words[1]"


@pytest.mark.parametrize("texts", [("a very bad", "word"), ("card 1234", "5678")])
async def test_what_goes_on_in_the_next_text_is_no_match(texts: tuple[str, ...]) -> None:
    config = RulesConfig(blocklist=("bad word",), patterns=(NamedPattern(name="card", pattern=r"\d{4}\s?\d{4}"),))
    assert (await Rules(config).inspect([Turn("user", text) for text in texts])).allowed


@pytest.mark.parametrize(
    "pattern", [r"^drop", r"\Adrop", r"\bdrop\b", r"tables$", r"tables\z", r"\btables\b", r"\Bables", r"(?m)^drop"]
)
async def test_the_edge_of_each_text_is_an_edge(pattern: str) -> None:
    rules = Rules(RulesConfig(patterns=(NamedPattern(name="edge", pattern=pattern),)))
    turns = [Turn("user", text) for text in ("be kind", "drop tables", "thanks")]
    assert (await rules.inspect(turns)).reason == "pattern: edge"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a BAD\n  word", "blocklist: bad word"),
        ("a bad wordy thing", ""),
        ("badly worded", ""),
        ("Kelvin", "blocklist: kelvin"),
        ("\u212aelvin", "blocklist: kelvin"),  # its letter is no K, and reads like one
        ("a+b", "blocklist: a+b"),
        ("aab", ""),
        ("bad news: ORD-7", "pattern: order"),
        ("fine", ""),
    ],
)
async def test_words_beside_patterns(text: str, said: str) -> None:
    config = RulesConfig(blocklist=("bad word", "kelvin", "a+b"), patterns=patterns(order=r"ORD-\d"))
    assert await reason(config, "hello", text) == said


@given(st.text("adb wor\nORD-7 K\u212a", max_size=12), st.text("adb wor\n", max_size=12))
async def test_patterns_hide_no_word(one: str, other: str) -> None:
    config = RulesConfig(blocklist=("bad word", "ok", "do"))
    alone = await reason(config, one, other)
    assert await reason(config.model_copy(update={"patterns": patterns(order=r"ORD-\d")}), one, other) in (
        alone,
        "pattern: order",
    )


def test_only_what_is_long_takes_a_thread() -> None:
    rules = Rules(RulesConfig(max_chars=100_000, blocklist=("bad",)))
    assert rules.at_once([Turn("user", "fine")]) == Verdict(True)
    assert rules.at_once([Turn("user", "x" * 50_000)]) is None
    told = rules.at_once([Turn("user", "x" * 100_001)])
    assert told is not None
    assert told.reason == "length"


async def test_a_phrase_is_found_over_a_line_s_end() -> None:
    rules = Rules(RulesConfig(blocklist=("bad word",)))
    assert (await rules.inspect([Turn("user", "hello"), Turn("user", "a BAD\n\tword")])).reason == "blocklist: bad word"
