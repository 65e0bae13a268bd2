"""Static word vectors: what they know, and that no text can make them slow or fail."""

from __future__ import annotations

from importlib.resources import files
from io import BytesIO

import numpy as np
import pytest

from promptd.core.errors import SettingsError
from promptd.vectors import words

ODD = ["", "   ", "?!", "天気はどうですか", "\ud800", "\x00", "\u0300" * 1000]


STORED = (files("promptd") / "models" / "words.npz").read_bytes()


def cosine(one: str, other: str) -> float:
    first, second = words.embed([one, other])
    return float(first @ second)


def test_each_text_is_one_row_of_length_1() -> None:
    rows = words.embed(["what is the weather in Rome", "set a timer"])
    assert rows.shape == (2, words.DIMENSIONS)
    assert rows.dtype == np.float32
    assert np.linalg.norm(rows, axis=1) == pytest.approx([1, 1], abs=1e-5)
    assert words.embed([]).shape == (0, words.DIMENSIONS)


@pytest.mark.parametrize(
    ("text", "near", "far"),
    [
        ("will it rain tomorrow", "weather forecast", "bank account"),
        ("send money to my sister", "transfer cash to an account", "play some music"),
        ("the engine of my car is broken", "vehicle repair", "book a hotel"),
        ("wake me up at six", "set an alarm", "convert dollars to euros"),
        ("physician", "doctor", "guitar"),
    ],
)
def test_what_means_the_same_is_near_without_sharing_a_word(text: str, near: str, far: str) -> None:
    assert cosine(text, near) > cosine(text, far) + 0.1


def test_case_accents_and_punctuation_say_nothing() -> None:
    plain = words.embed(["a cafe in munchen"])
    for text in ("A CAFÉ, in München!", "a cafe\u0301 in mu\u0308nchen"):
        assert words.embed([text]) == pytest.approx(plain, abs=1e-6)


def test_words_that_are_not_known_are_read_in_pieces() -> None:
    assert words.rank("unforgettably") is None
    assert words.embed_sums(["unforgettably"]).any()


def test_sums_of_parts_add_up() -> None:
    whole, first, second = words.embed_sums(["set a timer for the oven", "set a timer", "for the oven"])
    assert whole == pytest.approx(first + second, abs=1e-3)


@pytest.mark.parametrize("text", ODD)
def test_a_text_without_known_words_is_nothing(text: str) -> None:
    assert not words.embed([text, "weather"])[0].any()


def test_frequent_words_come_first() -> None:
    places = [words.rank(word) for word in ("the", "weather", "pizza")]
    assert None not in places
    assert places == sorted(place for place in places if place is not None)
    assert words.rank("zxqv") is None


@pytest.mark.timeout(10)
@pytest.mark.parametrize("text", ["w" * 1_000_000, "word " * 200_000, "e\u0301" * 200_000, "ﷺ" * 200_000])
def test_long_texts_take_linear_time(text: str) -> None:
    assert words.embed([text]).shape == (1, words.DIMENSIONS)


def test_the_file_is_small_and_holds_plain_data() -> None:
    file = files("promptd") / "models" / "words.npz"
    assert len(file.read_bytes()) <= 1_000_000
    with file.open("rb") as stream, np.load(stream, allow_pickle=False) as stored:
        kinds = {name: stored[name].dtype.name for name in stored.files}
    assert set(kinds.values()) == {"uint8", "uint16", "float32"}
    assert words.size() > 10_000


@pytest.mark.parametrize(
    "damaged",
    [b"", b"no archive", STORED[:-100_000], STORED[:300_000] + b"?" * 100 + STORED[300_100:]],
    ids=["empty", "text", "cut", "altered"],
)
def test_a_damaged_file_is_named(damaged: bytes) -> None:
    with pytest.raises(SettingsError, match=r"words\.npz"):
        words.read(BytesIO(damaged))
