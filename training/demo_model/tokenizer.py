"""A byte-level BPE tokenizer in which a word is cut the same way with and without a space before it.

Names are copied from one place to another ("I am Zorvi" -> "Zorvi"), so their pieces must not depend on the
place.  Merges are therefore learned with spaces set apart; afterwards the most frequent whole words of our own
sentences get one more merge with a leading space, which keeps sequences short.  Digits stay single, and so do
capitals in a row: words in capitals are read and written letter by letter.  The splitting rules are those of
llama.cpp's pre-tokenizer "smollm".
"""

from __future__ import annotations

import collections
import json
import re
from collections.abc import Iterable
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

SPECIALS = ["<|pad|>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>"]
VOCAB = 1024
SPACED_WORDS = 192
SPACE = "Ġ"  # how byte-level BPE writes the space byte
_CAPITALS = re.compile("[A-Z](?=[A-Z])")
CHAT_TEMPLATE = (
    "{%- for message in messages -%}"
    "{%- set role = message['role'] -%}"
    "{%- if role == 'developer' -%}{%- set role = 'system' -%}{%- endif -%}"
    "{%- if role not in ['system', 'assistant'] -%}{%- set role = 'user' -%}{%- endif -%}"
    "{{- '<|' + role + '|>' + ((message['content'] or '') | trim) + '<|end|>' -}}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '<|assistant|>' -}}{%- endif -%}"
)


def _splitter(isolate_spaces: bool) -> pre_tokenizers.PreTokenizer:
    steps: list[pre_tokenizers.PreTokenizer] = [pre_tokenizers.Digits(individual_digits=True)]
    if isolate_spaces:
        steps.append(pre_tokenizers.Split(" ", behavior="isolated"))
    steps.append(pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True))
    return pre_tokenizers.Sequence(steps)


def train(texts: list[str]) -> Tokenizer:
    """Learn the vocabulary from our own sentences."""
    learner = Tokenizer(models.BPE())
    learner.pre_tokenizer = _splitter(isolate_spaces=True)
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB - SPACED_WORDS,
        special_tokens=SPECIALS,
        show_progress=False,
        max_token_length=10,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    learner.train_from_iterator((_CAPITALS.sub(r"\g<0> ", text) for text in texts), trainer)
    state = json.loads(learner.to_str())["model"]
    vocab: dict[str, int] = state["vocab"]
    merges = [tuple(pair) for pair in state["merges"]]
    for word in _frequent_words(texts, vocab):
        vocab[SPACE + word] = len(vocab)
        merges.append((SPACE, word))
    return _assemble(vocab, merges)


def _frequent_words(texts: Iterable[str], vocab: dict[str, int]) -> list[str]:
    counts = collections.Counter(w for text in texts for w in re.findall(r"(?<= )[A-Za-z]{2,}", text))
    whole = [w for w, _ in sorted(counts.items(), key=lambda kv: (-kv[1], kv[0])) if w in vocab]
    return whole[: VOCAB - len(vocab)]


def _assemble(vocab: dict[str, int], merges: list[tuple[str, str]]) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=merges))
    tokenizer.pre_tokenizer = _splitter(isolate_spaces=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(SPECIALS)
    return tokenizer


def special(tokenizer: Tokenizer, name: str) -> int:
    """The id of `<|name|>`."""
    found: int | None = tokenizer.token_to_id(f"<|{name}|>")
    if found is None:
        raise KeyError(name)
    return found


def load(path: Path) -> Tokenizer:
    """Read a tokenizer written by `train.py`."""
    return Tokenizer.from_file(str(path))
