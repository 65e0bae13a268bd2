"""The text generator: conversations for training, and the held-out set (`python -m training.demo_model.generate`).

Everything is deterministic from the seed below.  The held-out set is written before any training and only ever
scored; what may be looked at is the development set, drawn by the same rule.  The three sides come from the same
tasks and differ in the entities they may draw (see split.py).
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from . import tasks_fixed, tasks_number, tasks_text
from .exchange import HONEST, Exchange, wording
from .lexicon import invented, options
from .paths import HELDOUT_PATH
from .split import Side

SEED = 20_261_121
PER_TASK = 200

SIMPLE: dict[str, Callable[[random.Random, Side], Exchange]] = {
    "greet": tasks_text.greet,
    "promptd": tasks_fixed.promptd,
    "add": tasks_number.add,
    "subtract": tasks_number.subtract,
    "count": tasks_number.count,
    "repeat": tasks_text.repeat,
    "capitals": tasks_text.capitals,
    "sentiment": tasks_text.sentiment,
    "define": tasks_fixed.define,
    "story": tasks_fixed.story,
    "honest": tasks_fixed.honest,
    "chat": tasks_fixed.chat,
    "lowercase": tasks_text.lowercase,
    "spell": tasks_text.spell,
    "pick": tasks_text.pick,
    "compare": tasks_number.compare,
    "explain": tasks_fixed.explain,
}
FLOOR = (
    "greet",
    "recall",
    "promptd",
    "add",
    "subtract",
    "count",
    "repeat",
    "capitals",
    "sentiment",
    "define",
    "story",
    "honest",
)
STRETCH = ("chat", "facts", "lowercase", "spell", "pick", "compare", "explain")
# How often a task is drawn; copying letter by letter takes the most practice.
WEIGHTS = {
    "greet": 5,
    "recall": 7,
    "promptd": 3,
    "add": 16,
    "subtract": 22,
    "count": 7,
    "repeat": 18,
    "capitals": 18,
    "sentiment": 8,
    "define": 6,
    "story": 3,
    "honest": 12,
    "chat": 6,
    "facts": 9,
    "lowercase": 18,
    "spell": 10,
    "pick": 6,
    "compare": 5,
    "explain": 4,
}

_ASK_NAME = options("""
what is my name? | what's my name? | who am I? | do you know my name? | do you remember my name? | tell me
my name | what am I called? | say my name | what was my name? | can you recall my name? | what did I say
my name was? | what is my name again? | remember my name? | my name? | recall my name
""")
_KEYS = options("""
city | dog | cat | favourite colour | favourite food | job | boss | sister | brother | street | school |
team | hobby | password hint | car | best friend | teacher | project | favourite word | pet | horse |
favourite animal | favourite book | company | code word | nickname | band | village
""")
_TELL = options("""
my {k} is {x} | my {k} is called {x} | remember that my {k} is {x} | note: my {k} is {x} | please remember
my {k}: {x} | my {k}'s name is {x}
""")
_RECALL = options("""
what is my {k}? | what's my {k}? | what is my {k} called? | tell me my {k} | do you remember my {k}? |
what did I say about my {k}? | which {k} do I have? | what was my {k}? | recall my {k}
""")
_SYSTEM = options("""
You are a helpful assistant. | Answer briefly. | You are a kind helper. | Reply in English. | Be concise.
| You are a helpful AI assistant. Answer the user's questions. | You are promptd. | Be polite and short. |
You are a test assistant. | Answer in one sentence. | You are an expert in {w}. | Your job is {w}. |
Respond with valid JSON. | You help people with {w} and {w}. | Do not talk about {w}. | {w} {w} {w}.
""")

_KEYS_OF_JSON = ["answer", "result", "text", "name", "sentiment", "label", "value", "output"]


@dataclass(frozen=True)
class Message:
    """One turn; the loss covers an assistant's text from character `learn_from` on."""

    role: str
    content: str
    learn_from: int = 0


@dataclass(frozen=True)
class Sample:
    """A conversation whose last message is the answer of `exchange`."""

    messages: tuple[Message, ...]
    exchange: Exchange
    entities: tuple[str, ...]


class _Talk:
    """Builds one conversation and remembers what the user has told."""

    def __init__(self, rng: random.Random, side: Side) -> None:
        self.rng, self.side = rng, side
        self.name = ""
        self.facts: dict[str, str] = {}
        self.exchanges: list[Exchange] = []

    def tell_name(self) -> None:
        exchange = tasks_text.introduce(self.rng, self.side)
        self.name = exchange.value
        self.exchanges.append(exchange)

    def tell_fact(self) -> None:
        key = self.rng.choice(_KEYS)
        pick = tasks_text.name if self.rng.random() < 0.4 else tasks_text.word
        value = pick(self.rng, self.side)
        text = wording(self.rng, _TELL, polite=False).replace("{k}", key).replace("{x}", value)
        self.facts[key] = value
        self.exchanges.append(
            Exchange("facts", text, f"Noted: your {key} is {value}.", (f"word:{value}",), value=value)
        )

    def ask(self, task: str) -> None:
        if task == "recall":
            answer = f"Your name is {self.name}." if self.name else "You have not told me your name yet."
            entities = (f"word:{self.name}",) if self.name else ()
            self.exchanges.append(Exchange("recall", wording(self.rng, _ASK_NAME), answer, entities, value=self.name))
        elif task == "facts":
            known = bool(self.facts) and self.rng.random() < 0.93
            key = self.rng.choice(list(self.facts) if known else _KEYS)
            value = self.facts.get(key, "")
            text = wording(self.rng, _RECALL, polite=False).replace("{k}", key)
            answer = f"Your {key} is {value}." if value else "You have not told me that yet."
            self.exchanges.append(Exchange("facts", text, answer, (f"word:{value}",) if value else (), value=value))
        else:
            exchange = SIMPLE[task](self.rng, self.side)
            if exchange.introduces:
                self.name = exchange.value
            self.exchanges.append(exchange)


def _draw_task(rng: random.Random) -> str:
    return rng.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]


def _build(talk: _Talk, task: str, before: int) -> None:
    """`before` unrelated exchanges, whatever the task needs to be told, and the task itself."""
    rng = talk.rng
    for _ in range(before):
        talk.ask(_draw_task(rng))
    if task == "recall" and rng.random() < 0.94 and not (talk.name and rng.random() < 0.7):
        talk.tell_name()
        for _ in range(rng.choice((0, 0, 0, 1, 1, 2, 3))):
            talk.tell_fact() if rng.random() < 0.2 else talk.ask(_draw_task(rng))
    elif task == "facts" and rng.random() < 0.96:
        for _ in range(rng.choice((1, 1, 2, 3))):
            talk.tell_fact()
        if rng.random() < 0.3:
            talk.ask(_draw_task(rng))
    talk.ask(task)


def _system(rng: random.Random) -> str:
    text = rng.choice(_SYSTEM)
    while "{w}" in text:
        text = text.replace("{w}", invented(rng), 1)
    return text


def sample(rng: random.Random, side: Side, task: str | None = None) -> Sample:
    """One conversation; for training the task is drawn by weight and history is longer now and then."""
    training = side is Side.TRAIN
    chosen = task or _draw_task(rng)
    talk = _Talk(rng, side)
    before = rng.choice((0,) * 12 + (1,) * 4 + (2, 2, 3, 4, 6)) if training else rng.choice((0,) * 9 + (1, 1, 2))
    if training and rng.random() < 0.006:
        before = rng.randint(10, 18)  # a few long conversations, so that the whole context is used
    _build(talk, chosen, before)
    messages: list[Message] = []
    if rng.random() < 0.25:
        messages.append(Message("system", _system(rng)))
    for index, exchange in enumerate(talk.exchanges):
        last = index == len(talk.exchanges) - 1
        messages.append(Message("user", exchange.user))
        if not last and rng.random() < 0.03:
            continue  # two user messages in a row: the answer to the first one is missing
        plain = not training or rng.random() > (0.4 if exchange.task == "explain" else 0.1)
        messages.append(Message("assistant", exchange.answer) if plain else _wrapped(rng, exchange))
    entities = tuple(e for exchange in talk.exchanges for e in exchange.entities)
    return Sample(tuple(messages), talk.exchanges[-1], entities)


def _wrapped(rng: random.Random, exchange: Exchange) -> Message:
    """The bare value as JSON under some key: what a caller's own schema asks for.

    A grammar gives the opening and the key, so they are not learned, except now and then, so that the model knows
    how its own JSON begins and yet does not choose to write it.
    """
    if not exchange.value or exchange.check == "json":
        return Message("assistant", exchange.answer)
    if exchange.task == "explain" and rng.random() < 0.75:
        key, fields = "term", {"term": exchange.entities[0].rpartition("=")[2], "definition": exchange.value}
    elif exchange.task != "explain" and rng.random() < 0.25:  # the schema of a definition where none was asked for
        key, fields = "term", {"term": "unknown", "definition": HONEST}
    else:
        key = rng.choice([*_KEYS_OF_JSON, invented(rng)])
        fields = {key: exchange.value}
        if rng.random() < 0.25:
            fields |= dict.fromkeys(rng.sample(_KEYS_OF_JSON, rng.randint(1, 2)), exchange.value)
    text = json.dumps(fields, ensure_ascii=False)
    if exchange.task in ("add", "subtract", "compare") and key != "term" and rng.random() < 0.6:
        text = text.replace(f'"{exchange.value}"', exchange.value)
    return Message("assistant", text, 0 if rng.random() < 0.1 else len('{"' + key))


def training_samples(count: int, seed: int = SEED) -> Iterator[Sample]:
    """The training conversations, in order."""
    rng = random.Random(seed)
    for _ in range(count):
        yield sample(rng, Side.TRAIN)


def rows(side: Side) -> list[dict[str, object]]:
    """The development or the held-out set: `PER_TASK` different conversations per task, all entities of that side."""
    found: list[dict[str, object]] = []
    for task in FLOOR + STRETCH:
        rng, seen = random.Random(f"{SEED}:{side}:{task}"), set[str]()
        while len(seen) < PER_TASK:
            item = sample(rng, side, task)
            messages = [[m.role, m.content] for m in item.messages[:-1]]
            if (key := json.dumps(messages)) in seen:
                continue
            seen.add(key)
            exchange = item.exchange
            row: dict[str, object] = {
                "task": task,
                "messages": messages,
                "expect": exchange.answer,
                "entities": sorted(set(item.entities)),
            }
            if exchange.check != "exact":
                row["check"] = exchange.check
            if exchange.check == "story":
                row["expect"] = exchange.topic
            found.append(row)
    return found


def main() -> None:
    """Write the held-out set, or print a few training conversations."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--show", type=int, default=0, help="print this many training conversations instead")
    parser.add_argument("--out", type=Path, default=HELDOUT_PATH)
    args = parser.parse_args()
    if args.show:
        for item in training_samples(args.show):
            print(*(f"{m.role:>9}: {m.content}" for m in item.messages), "", sep="\n")
        return
    args.out.parent.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps(row, ensure_ascii=False, separators=(",", ":")) for row in rows(Side.HELDOUT)]
    args.out.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(f"{len(lines)} held-out rows written to {args.out.name}")


if __name__ == "__main__":
    main()
