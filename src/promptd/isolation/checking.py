"""Whether what a plugin gave is what the plugin class promises. Raises `InvalidOutput`, which says no word of the answer."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from operator import is_
from typing import Any, Final

import msgspec
from msgspec import structs

from promptd.core.calls import Result
from promptd.core.descriptors.walking import unfit
from promptd.core.errors import InvalidOutput
from promptd.core.model import Chunk
from promptd.core.prompt_files import PromptFile

_KINDS: Final = ("progress", "done")
_MOST_WARNINGS: Final = 20
_encode = msgspec.msgpack.Encoder().encode
#: of a chunk that is text only, each of the other members is its default itself
_DEFAULTS: Final = Chunk.__struct_defaults__[1:]


def check_chunk(chunk: object, most_bytes: int) -> Chunk:
    """The chunk as plain data, of the right types throughout."""
    if type(chunk) is not Chunk:
        raise InvalidOutput(f"the engine gave {name_of(chunk)}: expected a Chunk")
    if chunk.kind not in _KINDS:
        raise InvalidOutput("the engine gave a chunk of a kind that is not its own: expected progress or done")
    if _says_text_only(chunk):
        if len(chunk.text) > most_bytes:
            raise too_large(most_bytes)
        return chunk
    for value in (chunk.value, chunk.logprobs, *[call.extra for call in _listed(chunk.tool_calls)]):
        _check_json(value)
    outputs = _files(chunk.outputs) if chunk.outputs is not None else None
    plain = structs.replace(chunk, outputs=None) if outputs is not None else chunk
    checked: Chunk = decoded(encoded(plain, most_bytes), Chunk)
    if checked.fraction is not None and not math.isfinite(checked.fraction):
        raise InvalidOutput("fraction: expected a finite number", field="fraction", expected="a finite number")
    if outputs is None and not checked.warnings:
        return checked
    return structs.replace(checked, outputs=outputs, warnings=checked.warnings[:_MOST_WARNINGS])


def check_result(result: object, most_bytes: int) -> Result:
    """The result as plain data, of the right types throughout, its files as they are."""
    if not isinstance(result, Result):
        raise InvalidOutput(f"the engine gave {name_of(result)}: expected a Result")
    files = _files(result.files)
    for value in (result.value, *[call.extra for call in _listed(result.tool_calls)]):
        _check_json(value)
    plain = structs.replace(result, files={}) if result.files else result
    checked: Result = decoded(encoded(plain, most_bytes), Result)
    warnings = checked.warnings[:_MOST_WARNINGS]
    return structs.replace(checked, files=files, warnings=warnings) if files or warnings else checked


def decoded(data: bytes, kind: Any) -> Any:
    """Data of the right types. Raises `InvalidOutput` that names the member."""
    try:
        return msgspec.msgpack.decode(data, type=kind)
    except msgspec.ValidationError as error:
        raise InvalidOutput(f"the engine gave a value with a wrong member: {error}"[:300]) from None


def too_large(most_bytes: int) -> InvalidOutput:
    return InvalidOutput(f"the answer is longer than {most_bytes} bytes")


def _says_text_only(chunk: Chunk) -> bool:
    # by identity: what a stranger's object says to == is anybody's guess
    kind, text, *others = structs.astuple(chunk)
    return type(kind) is str and type(text) is str and text.isascii() and all(map(is_, others, _DEFAULTS))


def _check_json(value: Any) -> None:
    if value is None or type(value) is bool:
        return
    found = unfit(_lists(value))
    if found is not None:
        # names inside a value are the answer's own words
        where = "".join(f"[{step}]" if isinstance(step, int) else ".*" for step in found.steps[:20])
        raise InvalidOutput(f"value{where}: expected {found.expected}", field=f"value{where}", expected=found.expected)


def _lists(value: Any) -> Any:
    """Tuples on the first levels are lists to JSON; `unfit` refuses the rest."""
    if isinstance(value, tuple):
        return [_lists(one) for one in value[:1_000_000]]
    return value


def encoded(value: object, most_bytes: int) -> bytes:
    try:
        data: bytes = _encode(value)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise InvalidOutput(f"the engine gave what no answer can hold ({type(error).__name__})") from None
    if len(data) > most_bytes + 65_536:
        raise too_large(most_bytes)
    return data


def _files(files: object) -> dict[str, tuple[PromptFile, ...]]:
    if not isinstance(files, Mapping):
        raise InvalidOutput(f"files: expected an object with lists of files, not {name_of(files)}")
    kept: dict[str, tuple[PromptFile, ...]] = {}
    for name, listed in files.items():
        if not isinstance(name, str) or isinstance(listed, str | bytes) or not isinstance(listed, Sequence):
            raise InvalidOutput("files: expected an object with lists of files")
        if not all(type(file) is PromptFile for file in listed):
            raise InvalidOutput("files: expected an object with lists of PromptFile")
        kept[name] = tuple(listed)
    return kept


def _listed(value: object) -> Sequence[Any]:
    return [one for one in value if hasattr(one, "extra")] if isinstance(value, tuple | list) else ()


def name_of(value: object) -> str:
    return type(value).__name__[:80]
