"""What a model takes: estimated from its file's size and header, and from the settings it is served with.

The estimate is made to be rather too high: models with a sliding window take less for their context, and layers on a GPU
take none of the machine's memory. `memory_mb` is the operator's better knowledge.
"""

from __future__ import annotations

import re
import struct
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from promptd.core.errors import ResourceNotFound
from promptd.engines.llamacpp.config import LlamaCppConfig, ModelFile, model_file

_MEGABYTE: Final = 1_000_000
_PROCESS: Final = 64 * _MEGABYTE  # interpreter, library and buffers of a small model
_BUFFERS: Final = 10  # a tenth of the weights for the buffers of a large one
_VALUE_BYTES: Final = 2  # of one number in the context's memory
_HEADER: Final = 256 * 1024  # bytes; what is looked for comes before the vocabulary
_SHARD: Final = re.compile(r"-(\d{5})-of-(\d{5})\.gguf$")
_NUMBERS: Final = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d"}
_TEXT, _ARRAY = 8, 9


def estimate(config: LlamaCppConfig) -> int:
    """Bytes that one child with these settings takes at most; 0 where there is no file to load."""
    if config.memory_mb:
        return config.memory_mb * _MEGABYTE
    try:
        file = model_file(config.gguf)
    except ResourceNotFound:
        return 0  # nothing will be loaded, and the call that tries says why
    weights, trained, per_token = _measure(file)
    tokens = config.context * config.slots or trained
    return weights + weights // _BUFFERS + tokens * per_token + config.prompt_cache_mb * _MEGABYTE + _PROCESS


@lru_cache(maxsize=64)
def _measure(file: ModelFile) -> tuple[int, int, int]:
    """Bytes of the weights, tokens that the model was trained for, and bytes of context per token."""
    known = header(file.path)
    kind = known.get("general.architecture", "")

    def number(name: str, default: int = 0) -> int:
        value = known.get(f"{kind}.{name}", default)
        return value if isinstance(value, int) and value > 0 else default

    layers, heads = number("block_count"), number("attention.head_count", 1)
    width = number("embedding_length") // heads
    each = number("attention.key_length", width) + number("attention.value_length", width)
    grouped = known.get(f"{kind}.attention.head_count_kv", heads)
    in_all = sum(grouped) if isinstance(grouped, tuple) else layers * grouped
    return _weights(file), number("context_length"), in_all * each * _VALUE_BYTES


def _weights(file: ModelFile) -> int:
    """The size of the file, or of all parts of which it is the first."""
    shard = _SHARD.search(file.path)
    if shard is None:
        return file.size
    stem = file.path[: shard.start()]
    parts = (Path(f"{stem}-{n:05}-of-{shard[2]}.gguf") for n in range(1, int(shard[2]) + 1))
    return sum(part.stat().st_size for part in parts if part.is_file())


def header(path: str) -> dict[str, Any]:
    """The first entries of a GGUF file: numbers, texts and tuples of them. Empty for what is none."""
    with Path(path).open("rb") as file:
        data = file.read(_HEADER)
    found: dict[str, Any] = {}
    if data[:4] != b"GGUF":
        return found
    reader = _Reader(data)
    try:
        reader.skip(16)  # magic, version and number of tensors
        for _ in range(reader.number("<Q")):
            key = reader.text()
            if key.startswith("tokenizer."):
                break
            found[key] = reader.value(reader.number("<I"))
    except (struct.error, KeyError, IndexError):
        pass  # cut off, or of a later version: what was found is true nevertheless
    return found


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def skip(self, count: int) -> None:
        self._at += count

    def number(self, form: str) -> Any:
        (value,) = struct.unpack_from(form, self._data, self._at)
        self._at += struct.calcsize(form)
        return value

    def text(self) -> str:
        size = self.number("<Q")
        if self._at + size > len(self._data):
            raise IndexError
        text = self._data[self._at : self._at + size].decode("utf-8", "replace")
        self._at += size
        return text

    def value(self, kind: int) -> Any:
        if kind == _TEXT:
            return self.text()
        if kind == _ARRAY:
            of, count = self.number("<I"), self.number("<Q")
            if count > len(self._data):
                raise IndexError
            return tuple(self.value(of) for _ in range(count))
        return self.number(_NUMBERS[kind])
