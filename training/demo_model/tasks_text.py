"""Tasks about words: greeting, repeating, letter case, spelling, picking, sentiment."""

from __future__ import annotations

import random

from . import lexicon
from .exchange import Exchange, wording
from .lexicon import options
from .split import Side, draw, side_of

_GREETINGS = options("""
hello | hi | hey | good morning | good evening | good afternoon | greetings | hi there | hello there
""")
_INTRO = options("""
my name is {x} | I am {x} | I'm {x} | this is {x} | {x} here | my name's {x} | call me {x} | you can call
me {x} | my name is {x}, nice to meet you | I am called {x} | the name is {x}
""")
_GREET_OTHER = options("""
say hello to {x} | greet {x} | say hi to {x} | please greet {x} | write a greeting for {x} | welcome {x} |
say hello to my friend {x} | greet my colleague {x} | send greetings to {x}
""")
_REPEAT = options("""
repeat: {x} | repeat this list: {x} | repeat the list: {x} | repeat these words: {x} | repeat after me:
{x} | say again: {x} | echo: {x} | copy this list: {x} | copy: {x} | repeat the words {x} | repeat {x} |
write this list again: {x} | say these words: {x} | repeat this: {x} | repeat the following: {x} | give me
this list back: {x} | reply with: {x} | say: {x} | say {x} |
reply with exactly: {x} | reply with the word {x} | say exactly: {x} | say the word {x} |
reply with the single word {x} | only say {x} | answer with {x} |
list these items: {x} | echo this back: {x} | repeat the following list: {x}
""")
_UPPER = options("""
capitals: {x} | {x} in capitals | {x} in upper case | write {x} in capitals | write {x} in capital letters | put {x} in capitals | upper case:
{x} | uppercase: {x} | make {x} upper case | write {x} in upper case | turn {x} into capitals | in
capitals: {x} | convert {x} to uppercase | capital letters: {x} | write this in capitals: {x} | capitalise
{x} | shout {x} | convert to upper case: {x} | write in capitals: {x} | change {x} to capital letters
""")
_LOWER = options("""
write {x} in lower case | {x} in lower case | {x} in small letters | lower case: {x} | lowercase: {x} | make {x} lower case | put {x} in lower case |
convert {x} to lowercase | small letters: {x} | write {x} in small letters | in lower case: {x} | write
this in lower case: {x} | convert to lower case: {x} | turn {x} into lower case
""")
_SPELL = options("""
spell {x} | spell the word {x} | how do you spell {x}? | spell: {x} | spell out {x} | give me the letters
of {x} | what are the letters of {x}?
""")
_FIRST = options("""
what is the first item of: {x}? | first item: {x} | first word of {x} | give me the first word: {x} |
which word comes first: {x}? | what is the first word in this list: {x}?
""")
_LAST = options("""
what is the last item of: {x}? | last item: {x} | last word of {x} | give me the last word: {x} | which
word comes last: {x}? | what is the last word in this list: {x}?
""")
_SENTIMENT = options("""
is this review positive or negative: {x} | is this review positive or negative? {x} | sentiment: {x} | what is the
sentiment of this review: {x} | classify the sentiment: {x} | positive or negative: {x} | classify this review as
positive or negative: {x} | classify this review: {x} | review: {x} Sentiment? | {x} Is this review positive or
negative? | is this positive or negative: {x} | rate this review: {x} | tell me if this review is good or bad: {x}
| what is the sentiment of: {x} | did the customer like it? {x} | is the following review positive or negative? {x}
| sentiment of: {x} | does this review sound positive or negative? {x} | label this review: {x}
""")


def _quote(rng: random.Random, text: str) -> str:
    roll = rng.random()
    return f'"{text}"' if roll < 0.12 else f"'{text}'" if roll < 0.17 else text


def name(rng: random.Random, side: Side) -> str:
    """A name on the wanted side of the split."""
    return draw(rng, "word", side, lexicon.training_name if side is Side.TRAIN else lexicon.name)


def word(rng: random.Random, side: Side) -> str:
    """A lower-case word on the wanted side of the split."""
    return draw(rng, "word", side, lexicon.training_word if side is Side.TRAIN else lexicon.word)


def introduce(rng: random.Random, side: Side, who: str | None = None) -> Exchange:
    """The user gives a name; the answer greets by it."""
    who = who or name(rng, side)
    text = rng.choice(_INTRO)
    if rng.random() < 0.6:
        text = rng.choice(_GREETINGS) + rng.choice([", ", "! ", ". ", " "]) + text
    text = _punctuate(rng, text).replace("{x}", who)
    return Exchange("greet", text, f"Hello, {who}! How can I help you?", (f"word:{who}",), value=who, introduces=True)


def _punctuate(rng: random.Random, text: str) -> str:
    text = text[0].upper() + text[1:] if rng.random() < 0.5 and text[0] != "{" else text
    text = text.lower() if rng.random() < 0.2 else text
    return text + rng.choice(["", "", ".", "!"])


def greet(rng: random.Random, side: Side) -> Exchange:
    """A greeting by name: the user's own or somebody else's."""
    if rng.random() < 0.65:
        return introduce(rng, side)
    who = name(rng, side)
    text = wording(rng, _GREET_OTHER).replace("{x}", who)
    return Exchange("greet", text, f"Hello, {who}! How can I help you?", (f"word:{who}",), value=who)


def _items(rng: random.Random, side: Side, low: int, high: int) -> list[str]:
    """List items of one style: words, names, capitalised or upper-case words."""
    style = rng.random()
    items = [word(rng, side) for _ in range(rng.randint(low, high))]
    if style < 0.12:
        items = [name(rng, side) for _ in items]
    elif style < 0.2:
        items = [item.capitalize() for item in items]
    elif style < 0.24:
        items = [item.upper() for item in items]
    return items


def repeat(rng: random.Random, side: Side) -> Exchange:
    """Give a list of words back, exactly as it was written."""
    joiner = rng.choice([", ", ", ", ", ", ", ", " ", " ", "; ", " - ", "\n", " and "])
    items = _items(rng, side, *((1, 2) if rng.random() < 0.25 else (2, 8)))
    text = joiner.join(items)
    if joiner == ", " and len(items) > 2 and rng.random() < 0.1:
        text = ", ".join(items[:-1]) + " and " + items[-1]
    asked = wording(rng, _REPEAT, polite=rng.random() < 0.3).replace("{x}", _quote(rng, text))
    return Exchange("repeat", asked, text, tuple(f"word:{i}" for i in items), value=text)


def _case_text(rng: random.Random, side: Side) -> tuple[str, tuple[str, ...]]:
    words = [word(rng, side) for _ in range(rng.choice((1, 1, 1, 1, 2, 2, 3)))]
    return " ".join(words), tuple(f"word:{w}" for w in words)


def capitals(rng: random.Random, side: Side) -> Exchange:
    """Write a word or a few in capital letters."""
    text, entities = _case_text(rng, side)
    shown = text.capitalize() if rng.random() < 0.15 else text
    asked = wording(rng, _UPPER, polite=rng.random() < 0.4).replace("{x}", _quote(rng, shown))
    return Exchange("capitals", asked, text.upper(), entities, value=text.upper())


def lowercase(rng: random.Random, side: Side) -> Exchange:
    """Write a word or a few in lower-case letters."""
    text, entities = _case_text(rng, side)
    shown = text.capitalize() if rng.random() < 0.15 else text.upper()
    asked = wording(rng, _LOWER, polite=rng.random() < 0.4).replace("{x}", _quote(rng, shown))
    return Exchange("lowercase", asked, text, entities, value=text)


def spell(rng: random.Random, side: Side) -> Exchange:
    """The letters of a word, one by one."""
    text = word(rng, side)
    asked = wording(rng, _SPELL, polite=rng.random() < 0.3).replace("{x}", _quote(rng, text))
    return Exchange("spell", asked, "-".join(text), (f"word:{text}",), value="-".join(text))


def pick(rng: random.Random, side: Side) -> Exchange:
    """The first or the last item of a list."""
    items = _items(rng, side, 2, 7)
    first = rng.random() < 0.5
    asked = wording(rng, _FIRST if first else _LAST, polite=False).replace("{x}", ", ".join(items))
    answer = items[0] if first else items[-1]
    return Exchange("pick", asked, answer, tuple(f"word:{i}" for i in items), value=answer)


def _review(rng: random.Random) -> tuple[str, bool]:
    good = rng.random() < 0.5
    mine, other = (lexicon.POSITIVE, lexicon.NEGATIVE) if good else (lexicon.NEGATIVE, lexicon.POSITIVE)
    closing = lexicon.LOVED if good else lexicon.HATED
    thing = rng.choice(lexicon.PRODUCTS)

    def opinion(about: str) -> str:
        adjective = rng.choice(mine)
        article = "an" if adjective[0] in "aeiou" else "a"
        forms = [
            f"the {about} was {adjective}",
            f"the {about} is {adjective}",
            f"this {about} is {adjective}",
            f"the {about} was very {adjective}",
            f"a really {adjective} {about}",
            f"{article} {adjective} {about}",
            f"the {about} was so {adjective}",
            f"the {about} was {adjective} and {rng.choice(mine)}",
            f"what {article} {adjective} {about}",
            f"the {about} was not {rng.choice(other)} at all",
            f"the {about} was not {rng.choice(other)}",
            f"the {about} looked {adjective}",
            f"I thought the {about} was {adjective}",
            f"we found the {about} {adjective}",
        ]
        return rng.choice(forms)

    parts = [opinion(thing)]
    if rng.random() < 0.45:
        parts.append(opinion(rng.choice(lexicon.PRODUCTS)))
    if rng.random() < 0.5:
        parts.append(rng.choice(closing))
    if rng.random() < 0.1:
        parts = rng.sample(closing, rng.choice((1, 2)))
    if len(parts) == 2 and rng.random() < 0.35:
        text = f"{parts[0]} and {parts[1]}" if not parts[1].startswith(("the ", "a ")) else f"{parts[0]}, {parts[1]}"
    else:
        text = ". ".join(p[0].upper() + p[1:] for p in parts)
    text = text[0].upper() + text[1:] if rng.random() < 0.8 else text.lower()
    return text + rng.choice([".", ".", "!", ""]), good


def sentiment(rng: random.Random, side: Side) -> Exchange:
    """Whether a short review is positive or negative; held out by the whole text of the review."""
    while True:
        text, good = _review(rng)
        if side_of("review", text) is side:
            break
    shown = f'"{text}"' if rng.random() < 0.15 else text
    template = wording(rng, _SENTIMENT, polite=False)
    if rng.random() < 0.1:
        template = template.replace(" {x}", "\n{x}")
    asked = template.replace("{x}", shown)
    answer = "positive" if good else "negative"
    return Exchange("sentiment", asked, answer, (f"review:{text}",), value=answer)
