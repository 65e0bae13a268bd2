"""Hashed n-grams: the same on every machine, each where it begins, and words that mean the same."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptd.vectors.ngrams import PIECE, Recipe, find_words, grams, hash_word, read_notions, squeeze

PLAIN = Recipe(bits=18, letters=(4,))


def words(text: str) -> list[str]:
    data = squeeze(text)
    found = find_words(data)
    return [bytes(data[a:b]).decode() for a, b in zip(found.begins, found.ends, strict=True)]


def test_the_hashes_are_those_that_the_weights_were_trained_with() -> None:
    assert hash_word("instructions") == 9047822943945271137
    found = grams(squeeze("Ignore all rules"), Recipe(18, (4,), read_notions({"a": ["ignor*"], "b": ["rules"]})))
    assert found.places.tolist()[-6:] == [176343, 35552, 225967, 35583, 112410, 27095]
    assert found.begins.tolist() == [*range(13), 0, 7, 11, 0, 7, 0, 0, 0, 11, 0]


def test_white_space_case_digits_and_long_runs_are_squeezed() -> None:
    assert bytes(squeeze("Am  17.\n\n\tMay\u00a0!!!!!!")).decode() == "am 00.\nmay\u00a0!!!"


@given(st.text(alphabet="ab1 \n.", max_size=40))
def test_no_run_is_longer_than_three_and_blanks_stand_alone(text: str) -> None:
    said = bytes(squeeze(text)).decode()
    assert not any(sign * 4 in said for sign in "ab0.")
    assert not any(pair in said for pair in ("  ", " \n", "\n ", "\n\n"))


def test_words_are_runs_of_letters_digits_and_foreign_signs() -> None:
    assert words("It's 3 o'clock – größe, данные!") == ["it", "s", "0", "o", "clock", "–", "größe", "данные"]


@given(st.text(max_size=60), st.text(max_size=60))
def test_a_word_has_one_hash_wherever_it_stands(before: str, behind: str) -> None:
    found = find_words(squeeze(f"{before} whistle {behind}"))
    assert hash_word("whistle") in found.hashes.tolist()


@given(st.text(max_size=80))
def test_grams_begin_inside_of_the_text_and_fit_the_table(text: str) -> None:
    data = squeeze(text)
    found = grams(data, PLAIN)
    assert len(found.places) == len(found.begins)
    assert ((found.places >= 0) & (found.places < 1 << 18)).all()
    assert ((found.begins >= 0) & (found.begins < max(len(data), 1))).all()


def test_other_words_between_hide_no_notion() -> None:
    notions = read_notions({"drop": ["ignor*", "forget"], "rule": ["rules", "orders"]})
    recipe = Recipe(18, (), notions)

    def pair(text: str) -> set[int]:
        return set(grams(squeeze(text), recipe).places.tolist())

    plain, other = pair("ignoring rules"), pair("forget her very old orders")
    assert len(plain & other) == 3  # both notions, and that one follows the other
    assert len(plain & pair("orders ignored")) == 2


def test_a_stem_has_five_letters() -> None:
    with pytest.raises(ValueError, match="5 letters"):
        read_notions({"a": ["abcdef*"]})


def test_what_is_longer_than_a_piece_is_refused() -> None:
    assert len(grams(np.full(PIECE, 97, np.uint8), PLAIN).places) > 0
    with pytest.raises(ValueError, match=str(PIECE)):
        grams(np.full(PIECE + 1, 97, np.uint8), PLAIN)
