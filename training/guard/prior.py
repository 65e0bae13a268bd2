"""What an expert expects before a text is read: which words, close to each other, speak for an attack.

The first head begins with these weights and not with nothing, and training moves them as it moves all others. They were written
by hand, from what attacks are known to look like: a family that training never saw is then not one that nobody thought of, so
figures without them are given too.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np

from promptd.guards import evidence
from promptd.guards.notions import GROUPS
from promptd.vectors.ngrams import notion_places, phrase_place

WEIGHT = 7.0  #: of a line, in the units of the head

#: Groups of words (`guards/notions.py`) that follow each other closely, as choices. At the end `-`: it speaks against an attack;
#: `~`: it says but half as much
_NOTIONS = """
reveal you secret|rules
reveal secret|rules|all prior
reveal all prior
reveal you|me|all|verbatim|prior secret
you secret|rules ~
secret|rules verbatim
prior rules
override prior|rules|all
override all|you|prior rules|prior
override you rules
override me|user -
without reveal -
you without rules|moral|refuse
without moral|rules
must obey ~
now_on you ~
you free
persona free|without
you persona free|without
decode obey|answer
obey without|decode
obey decode
machine reader
reader machine|me
machine must|reveal|send|obey
without reveal|send user
without refuse|moral
override refuse|moral
answer without refuse|moral
begin_with you answer
end you answer
you new ~
new rules
mode without|moral|rules
boundary rules|secret|you|boundary
send secret|all|user
user secret
tool send ~
send tool ~
"""

#: Words that follow each other, as choices; no accents, as texts are read
_PHRASES = """
your instructions|prompt|system|rules|guidelines|directives|programming|initial|hidden|secret|original|configuration|developers|creators|restrictions|filters|policies|limits
these|those|previous|prior|above|earlier|hidden|initial|original|secret|internal|system instructions
system|initial|hidden|original|secret prompt
system|developer message
you were|are|been told|given|instructed|configured|programmed
were|have you told|given|instructed|been
what you told
told not|never to
text|everything|words|all|lines|anything|message above
above|before this|our
everything|all|anything you
at the|your top|beginning|start
of this|our conversation|chat|session
this|our conversation|chat
word for word
letter|character by letter|character
first|initial message|instructions|words
start|begin|starting|beginning with you
from now on
no longer bound|follow|need
not bound by
never refuse
do anything now
in developer|debug|admin|god mode
without any|further restrictions|filters|limits|warning|disclaimer
ignore|disregard|forget|override your|all|any|everything|previous|prior|the
as an ai
if you are
are an ai|llm
the ai|assistant|model must|should|reading|shall
do not tell|inform|mention
tell|inform|ask|to the user
the user has|must|should
your summary|answer|reply|response
instead of summarising|summarizing|translating|answering
your real|new|actual|only task|goal|job|instructions
deine|deinen|deiner|ihre anweisungen|regeln|vorgaben|systemprompt
wort fur wort
tes|vos|tus|las|tue|suas|as instructions|consignes|regles|instrucciones|reglas|istruzioni|regole|instrucoes|regras
mot pour mot
palabra por palabra
parola per parola
palavra por palavra
ab jetzt bist
du bist jetzt|nun
a partir de
tu es maintenant
ahora eres
"""

_SHARES = {"-": -1.0, "~": 0.5}


def weights(weight: float = WEIGHT) -> Any:
    """Of each place of the table what it weighs for the first head before training, if a line weighs `weight`."""
    found = np.zeros(1 << evidence.BITS)
    for place, share in _expected():
        found[place] += share
    return found * weight


@functools.cache
def _expected() -> tuple[tuple[int, float], ...]:
    recipe = evidence.recipe()
    numbers = {name: number for number, name in enumerate(GROUPS, 1)}
    found: dict[int, float] = {}
    for names, share in _choices(_NOTIONS):
        found |= dict.fromkeys(notion_places([numbers[name] for name in names], recipe), share)
    for words, share in _choices(_PHRASES):
        found[phrase_place(" ".join(words), recipe)] = share
    return tuple(found.items())


def _choices(lines: str) -> Iterator[tuple[tuple[str, ...], float]]:
    for line in lines.strip().splitlines():
        words = line.split()
        share = _SHARES.get(words[-1], 1.0)
        for chosen in itertools.product(*(word.split("|") for word in words if word not in _SHARES)):
            yield chosen, share
