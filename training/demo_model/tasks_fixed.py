"""Tasks whose answers the model knows by heart, and the honest answer for everything else."""

from __future__ import annotations

import json
import random

from . import lexicon
from .definitions import DEFINITIONS, UNKNOWN
from .exchange import HONEST, Exchange, expand, phrase_key, phrased, recase, wording
from .lexicon import options
from .split import Side, draw, side_of
from .tasks_number import beyond
from .tasks_text import name, word

PROMPTD = "promptd is one durable service between your apps and AI models: it queues, routes and records every call."
IDENTITY = "I am a small demonstration model that is built into promptd."
ABILITIES = (
    "I can greet you, recall your name, add and subtract small numbers, count, repeat a list, write capitals, "
    "judge a short review, define a word and tell a short story."
)

_PROMPTD = (
    expand(
        "what is | what's | tell me what | do you know what | who or what is | what exactly is",
        "promptd | this promptd | the promptd service | the service promptd | promptd here",
        " | about | for | good for | used for | all about | in short | in one sentence | exactly",
    )
    + expand(
        """
explain | describe | define | tell me about | introduce | say something about | give me a summary of | I
want to know about | I have a question about | give me an overview of | summarise
""",
        """
promptd | what promptd is | what promptd does | the promptd service | the purpose of promptd
""",
        """
 | to me | in short | briefly | in one sentence | in a few words | for a beginner | quickly
""",
    )
    + expand(
        """
what does | how does | why would I use | why should I use | what can I do with | when do I need
""",
        "promptd | the promptd service",
        " | do | work | do for me | help | in my app | at work | today",
    )
)
_CHAT: dict[str, list[str]] = {
    "Hello! How can I help you?": expand(
        """
hello | hi | hey | good morning | good evening | good afternoon | greetings | say hello | say hi | hiya |
howdy | hello hello | good day | welcome | hallo | greet me | say hello to me | yo
""",
        " |  | there | again | model | everyone | my friend | to you | you | demo | friend",
    ),
    "I am fine, thank you. How can I help you?": expand(
        " | hello | hi | hey | well",
        """
how are you | how are you doing | how do you do | how is it going | are you well | are you ok | how do you
feel | how's it going | how are things
""",
        " | today | now | this morning | my friend",
    ),
    "You are welcome!": expand(
        """
thanks | thank you | many thanks | thank you very much | thanks a lot | great, thanks | ok, thank you |
perfect, thanks | cheers, thanks | thx
""",
        """
 | for your help | for that | again | model | my friend | so much | for the answer | for everything
""",
    ),
    "Goodbye!": expand(
        """
bye | goodbye | see you | bye bye | good night | farewell | see you later | I have to go, bye | ciao
""",
        " | now | then | for now | my friend | and thanks | model | tomorrow | and take care",
    ),
    IDENTITY: expand(
        " | tell me | please tell me | hi, | so",
        """
who are you | what are you | what is your name | what's your name | are you a human | are you a robot |
which model are you | what model are you | what kind of model are you | who is this | are you ChatGPT |
are you real | do you have a name | introduce yourself | tell me about yourself | who am I talking to |
are you an AI | are you a language model | describe yourself | who made you | how big are you
""",
        " | then | exactly | now",
    ),
    ABILITIES: expand(
        " | tell me | hi, | so | ok",
        """
what can you do | what can I ask you | help | help me | what are your skills | how can you help me | what
are you good at | what are you able to do | what do you know | what tasks can you do | list your skills |
what can I ask | show me what you can do | what are your abilities
""",
        " | for me | then | exactly | today | here",
    ),
}
_DEFINE = options("""
define {x} | define the word {x} | definition of {x} | give me a definition of {x} | define the term {x} |
what is the definition of {x}? | what does {x} mean? | what does the word {x} mean? | define: {x} |
explain the word {x} | what is the meaning of {x}? | define {x} as JSON | define {x} in JSON | give me the
definition of {x} as JSON | meaning of {x} | term: {x} | define {x} with term and definition | return a
JSON definition of {x} | write a definition of the word {x} | look up {x} | describe the word {x}
""")
_SAY_IT = options("""
what is a {x}? | what is {x}? | what's a {x}? | tell me what a {x} is | what is the {x}? | what's {x}?
""")
_STORY = options("""
tell me a short story about {x} | tell me a story about {x} | write a short story about {x} | story about
{x} | write a story about {x} | a short story about {x} | I want a story about {x} | make up a story about
{x} | give me a short story about {x} | tell a tale about {x} | short story: {x} | please write a tale
about {x}
""")
_ASK = options("""
what is {t}? | tell me about {t} | explain {t} | write {t} | help me with {t} | who invented {t}? | what
do you think about {t}? | how does {t} work? | give me advice on {t} | can you fix {t}? | book {t} | find
{t} for me | translate {t} | translate {t} to Spanish | translate "{t}" into French | say {t} in German | why is {t} important? | how much does {t} cost? | draw {t} | summarise {t} |
when was {t} discovered? | where can I find {t}? | I need help with {t} | describe {t} in detail | show me
{t} | what happened with {t}? | compare {t} and {u} | who is the expert on {t}? | how do I learn {t}? |
solve {t} | give me ten facts about {t} | what should I do about {t}? | predict {t} | do you like {t}? |
plan {t} for me | how do I make {t}? | what is the best way to learn about {t}? | is {t} better than {u}?
| buy {t} | sing {t} | teach me {t} | search the web for {t} | send {t} to {n} | who is {n}? | where does
{n} live? | call {n} | when was {n} born? | write an email to {n} about {t} | does {n} know {t}? | explain
{t} to {n} | open {t} | what is the difference between {t} and {u}? | what is the history of {t}? | how
can I improve {t}? | give me a list of books about {t} | what time is {t}? | make me {t} | I want {t} |
prove {t} | order {t} | what are the pros and cons of {t}? | how old is {t}? | what colour is {t}? | which
country has {t}? | can you write {t} for me? | can you explain {t}? | could you check {t}? | should I
trust {t}? | remind me of {t} | what does {n} think of {t}? | how far is {t} from {u}? | what is wrong
with {t}? | analyse {t} | what are {t} and {u}? | is it true that {t} is {w}? |
please do {t} | {t} | {t} and {u}
""")


def promptd(rng: random.Random, side: Side) -> Exchange:
    """What promptd is, asked in many ways; held out by wording."""
    text, entity = phrased(rng, "promptd", _PROMPTD, side)
    return Exchange("promptd", text, PROMPTD, (entity,), value=PROMPTD)


def chat(rng: random.Random, side: Side) -> Exchange:
    """Small talk, identity and abilities; held out by wording."""
    answer = rng.choice(list(_CHAT))
    text, entity = phrased(rng, "chat", _CHAT[answer], side)
    return Exchange("chat", text, answer, (entity,), value=answer)


def define(rng: random.Random, side: Side) -> Exchange:
    """A definition as JSON; known terms are held out by term and wording, unknown ones by word."""
    if rng.random() < 0.65:
        while True:
            term = rng.choice(list(DEFINITIONS))
            template = wording(rng, _DEFINE)
            entity = f"{phrase_key(template)}={term}"
            if side_of("definition", entity) is side:
                break
        entities, meaning = (f"definition:{entity}",), DEFINITIONS[term]
    else:
        while (term := word(rng, side)) in DEFINITIONS:
            pass
        template, entities, meaning = wording(rng, _DEFINE), (f"word:{term}",), UNKNOWN
    shown = f'"{term}"' if rng.random() < 0.1 else f"a {term}" if rng.random() < 0.05 else term
    answer = json.dumps({"term": term, "definition": meaning})
    return Exchange("define", template.replace("{x}", shown), answer, entities, check="json", value=meaning)


def explain(rng: random.Random, side: Side) -> Exchange:
    """The same definitions as one plain sentence, for "what is a cat?"."""
    while True:
        term = rng.choice(list(DEFINITIONS))
        template = wording(rng, _SAY_IT, polite=False)
        entity = f"{phrase_key(template)}={term}"
        if side_of("definition", entity) is side:
            break
    meaning = DEFINITIONS[term]
    answer = meaning[0].upper() + meaning[1:] + "."
    return Exchange("explain", template.replace("{x}", term), answer, (f"definition:{entity}",), value=meaning)


def story(rng: random.Random, side: Side) -> Exchange:
    """A short story about a thing or a person the user names."""
    if rng.random() < 0.25:
        who = name(rng, side)
        subject, again, entity, first = who, who, f"word:{who}", who
    else:
        thing = word(rng, side)
        article = "an" if thing[0] in "aeiou" else "a"
        subject, again, entity, first = f"{article} {thing}", f"the {thing}", f"word:{thing}", f"{article} {thing}"
    place, friend = rng.choice([("by the sea", "gull"), ("in a forest", "owl"), ("on a hill", "goat")])
    opening, middle, close = rng.choice(
        [
            (
                f"Once upon a time there was {first} who lived {place}.",
                f"One day {again} met an old {friend} and they became friends.",
                "From that day on they were never alone.",
            ),
            (
                f"Long ago, {first} lived {place}.",
                f"One night {again} heard a strange song and followed it to a lost {friend}.",
                "Together they found the way home.",
            ),
            (
                f"There was once {first} who wanted to see the world.",
                f"So {again} went on a long walk with a small {friend}.",
                "In the end they learned that home is the best place of all.",
            ),
        ]
    )
    template = wording(rng, _STORY)
    text = template.replace("{x}", again.removeprefix("the ") if rng.random() < 0.15 else subject)
    answer = f"{opening} {middle} {close}"
    return Exchange("story", text, answer, (entity,), check="story", value=answer, topic=again.removeprefix("the "))


def _topic(rng: random.Random) -> str:
    roll = rng.random()
    if roll < 0.6:
        return rng.choice(lexicon.TOPICS)
    if roll < 0.8:
        return " ".join(lexicon.invented(rng) for _ in range(rng.choice((1, 2, 3))))
    head, tail = rng.choice(lexicon.TOPICS), rng.choice(lexicon.TOPICS)
    return f"{head} {rng.choice(('and', 'of', 'in', 'for', 'with', 'after'))} {tail}"


def honest(rng: random.Random, side: Side) -> Exchange:
    """Anything else: a question the model cannot answer; held out by topic, or by numbers for calculations."""
    if rng.random() < 0.15:
        return beyond(rng, side)
    topic = draw(rng, "topic", side, _topic)
    other = draw(rng, "topic", side, _topic)
    template = recase(rng, rng.choice(_ASK)) if rng.random() < 0.5 else wording(rng, _ASK)
    text = template.replace("{t}", topic).replace("{u}", other).replace("{n}", name(rng, side))
    text = text.replace("{w}", rng.choice(lexicon.POSITIVE + lexicon.NEGATIVE))
    entities = (f"topic:{topic}",) if topic in text else ()
    return Exchange("honest", text, HONEST, entities, value=HONEST)
