"""Tasks about numbers: adding, subtracting, counting, comparing."""

from __future__ import annotations

import random

from .exchange import HONEST, Exchange, recase, wording
from .lexicon import options, words
from .split import Side, side_of

LIMIT = 99
STEPS = 24
_ADD = options("""
what is {a} plus {b}? | {a} plus {b} | add {a} and {b} | what is {a} + {b}? | what's {a} + {b}? | how much
is {a} plus {b}? | sum of {a} and {b} | what is the sum of {a} and {b}? | calculate {a} + {b} | how much
is {a} + {b}? | compute {a} + {b} | add {b} to {a} | what do you get if you add {a} and {b}? | what's {a}
plus {b}? | {a} and {b} together?
""")
_SUB = options("""
what is {a} minus {b}? | {a} minus {b} | subtract {b} from {a} | what is {a} - {b}? | what's {a} - {b}? |
how much is {a} minus {b}? | take {b} away from {a} | calculate {a} - {b} | how much is {a} - {b}? |
compute {a} - {b} | what is {b} less than {a}? | what's {a} minus {b}? | what is the difference of {a} and
{b}?
""")
_SIGNS = options("{a}+{b} | {a} + {b} | {a}+{b}= | {a} + {b} = | {a} + {b} = ? | {a}+{b}? | {a} + {b}?")
_WORDS = words("""
zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen
eighteen nineteen twenty
""")
_TIMES = options("""
{a} * {b} | {a}*{b} | what is {a} times {b}? | {a} times {b} | multiply {a} by {b} | divide {a} by {b} | {a} / {b} |
what is {a} divided by {b}? | {a}/{b} | what is {a} * {b}? | {a} x {b} | {a} to the power of {b} | {a}% of {b} |
what is {a} percent of {b}? | the square root of {a} | {a} squared | {a} + {b} + {a} | is {a} a prime number?
""")
_UP = options("""
count from {a} to {b} | count up from {a} to {b} | count {a} to {b} | list the numbers from {a} to {b} |
numbers from {a} to {b} | give me the numbers from {a} to {b} | write the numbers from {a} to {b}
""")
_ONE = options("""
count to {b} | count up to {b} | count from one to {b} | list the first {b} numbers | can you count to
{b}?
""")
_DOWN = options("""
count down from {a} to {b} | count backwards from {a} to {b} | count down {a} to {b} | list the numbers
from {a} down to {b}
""")
_DOWN_ONE = ["count down from {a}", "count backwards from {a}", "count down from {a} to one"]
_LARGER = options("""
which is larger, {a} or {b}? | which number is bigger: {a} or {b}? | larger of {a} and {b} | what is
larger: {a} or {b}? | which is greater, {a} or {b}? | max of {a} and {b}
""")
_SMALLER = options("""
which is smaller, {a} or {b}? | which number is smaller: {a} or {b}? | smaller of {a} and {b} | what is
smaller: {a} or {b}? | which is less, {a} or {b}? | min of {a} and {b}
""")


def pair(rng: random.Random, side: Side) -> tuple[int, int, str]:
    """Two numbers whose unordered pair lies on the wanted side of the split, and the entity."""
    while True:
        a, b = (rng.randint(0, rng.choice((12, 30, LIMIT, LIMIT))) for _ in range(2))
        key = f"{min(a, b)},{max(a, b)}"
        if side_of("pair", key) is side:
            return a, b, f"pair:{key}"


def _fill(text: str, a: int, b: int) -> str:
    return text.replace("{a}", str(a)).replace("{b}", str(b))


def _spoken(rng: random.Random, text: str, a: int, b: int) -> str:
    """Fill a template; small numbers are now and then written as words."""
    if max(a, b) < len(_WORDS) and rng.random() < 0.25 and not set("+-=") & set(text):
        return text.replace("{a}", _WORDS[a]).replace("{b}", _WORDS[b])
    return _fill(text, a, b)


def add(rng: random.Random, side: Side) -> Exchange:
    """The sum of two numbers from 0 to 99."""
    a, b, entity = pair(rng, side)
    text = rng.choice(_SIGNS) if rng.random() < 0.4 else wording(rng, _ADD, polite=rng.random() < 0.3)
    if text.lower().find("add {b}") >= 0:
        a, b = b, a
        text = text.replace("{a}", "{c}").replace("{b}", "{a}").replace("{c}", "{b}")
    return Exchange("add", _spoken(rng, text, a, b), f"{a} + {b} = {a + b}", (entity,), value=str(a + b))


def subtract(rng: random.Random, side: Side) -> Exchange:
    """The difference of two numbers from 0 to 99, which may be negative."""
    a, b, entity = pair(rng, side)
    if a < b and rng.random() < 0.6:
        a, b = b, a
    text = rng.choice(_SIGNS).replace("+", "-") if rng.random() < 0.4 else wording(rng, _SUB, polite=rng.random() < 0.3)
    return Exchange("subtract", _spoken(rng, text, a, b), f"{a} - {b} = {a - b}", (entity,), value=str(a - b))


def count(rng: random.Random, side: Side) -> Exchange:
    """Count up or down between two numbers, at most `STEPS` apart; counts from one are for training only."""
    while True:
        low = 1 if side is Side.TRAIN and rng.random() < 0.4 else rng.randint(0, 60)
        high = low + rng.randint(1, STEPS if rng.random() < 0.5 else 12)
        entity = f"{low},{high}"
        if low == 1 and side is Side.TRAIN:
            entity = ""
            break
        if low != 1 and side_of("span", entity) is side:
            break
    up = rng.random() < 0.7
    templates = (_UP if up else _DOWN) + ((_ONE if up else _DOWN_ONE) * 4 if low == 1 else [])
    numbers = range(low, high + 1) if up else range(high, low - 1, -1)
    text = _spoken(rng, wording(rng, templates, polite=rng.random() < 0.4), numbers[0], numbers[-1])
    answer = ", ".join(map(str, numbers))
    return Exchange("count", text, answer, (f"span:{entity}",) if entity else (), value=answer)


def compare(rng: random.Random, side: Side) -> Exchange:
    """The larger or the smaller of two numbers."""
    while True:
        a, b, entity = pair(rng, side)
        if a != b:
            break
    larger = rng.random() < 0.5
    text = _fill(wording(rng, _LARGER if larger else _SMALLER, polite=False), a, b)
    answer = str(max(a, b) if larger else min(a, b))
    return Exchange("compare", text, answer, (entity,), value=answer)


def _large(rng: random.Random) -> int:
    return rng.choice((rng.randint(LIMIT + 1, 999), rng.randint(1000, 99_999)))


def beyond(rng: random.Random, side: Side) -> Exchange:
    """A calculation that is too hard for the model: large numbers, other operations, long counts."""
    roll = rng.random()
    while True:
        if roll < 0.4:
            a, b = _large(rng), rng.randint(0, LIMIT) if rng.random() < 0.3 else _large(rng)
            text = rng.choice(_SIGNS + _ADD).replace("+", rng.choice("+-"))
        elif roll < 0.8:
            a, b, _ = pair(rng, side)
            text = rng.choice(_TIMES)
        else:
            a, b = rng.randint(1, 9), _large(rng)
            text = rng.choice(_UP + _ONE)
        key = f"{min(a, b)},{max(a, b)}"
        if side_of("pair", key) is side:
            break
    return Exchange("honest", recase(rng, _fill(text, a, b)), HONEST, (f"pair:{key}",), value=HONEST)
