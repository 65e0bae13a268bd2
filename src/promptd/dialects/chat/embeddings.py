"""`/embeddings`, from both sides."""

from __future__ import annotations

from array import array
from base64 import b64encode
from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct

from promptd.core.errors import InvalidOutput, InvalidRequest
from promptd.core.model import Capability, Chunk, Request, Usage
from promptd.core.parameters import Parameters
from promptd.dialects.asked import Asked
from promptd.dialects.chat import wrong
from promptd.dialects.chat.ends import Counts
from promptd.dialects.counts import decoded_anyway
from promptd.dialects.errors import error_from_object

#: what `Request.echo` holds where the client wants each vector as base64 of its floats
BASE64: Final = "base64"
_MOST: Final = 2048  # inputs of one request, as the vendor has it


class _Body(Struct, frozen=True):
    input: str | list[Any]
    model: str | None = None
    encoding_format: str | None = None
    dimensions: int | None = None
    user: str | None = None


class _Embedding(Struct):
    embedding: list[float]
    index: int | None = None


class _Embeddings(Struct):
    data: list[_Embedding] | None = None
    usage: Counts | None = None
    error: Any = None


_decode_body = msgspec.json.Decoder(_Body)
_untyped = msgspec.json.Decoder(dict[str, Any])
_answer: Final = msgspec.json.Decoder(_Embeddings)
_KNOWN: Final = frozenset(_Body.__struct_fields__) - {"dimensions"}


def decode_embeddings_request(body: bytes, *, tokens: bool = False) -> Asked:
    """A client's request. `tokens`: numbers of tokens are fine too; `Request.texts` is empty then.

    Raises `InvalidRequest` that names the field.
    """
    asked: _Body = wrong.decode(_decode_body, body)
    given = [asked.input] if isinstance(asked.input, str) else asked.input
    if not given:
        raise InvalidRequest(field="input", expected="at least one text")
    if len(given) > _MOST and all(isinstance(item, str) for item in given):
        raise InvalidRequest(field="input", expected=f"at most {_MOST} texts")
    for place, item in enumerate(given):
        if not isinstance(item, str):
            if not _is_token(item) and not (isinstance(item, list) and all(map(_is_token, item))):
                raise InvalidRequest(field=f"input[{place}]", expected="a text")
            if not tokens:
                raise InvalidRequest(field=f"input[{place}]", expected="a text: this model takes no token numbers")
        elif not item:
            raise InvalidRequest(field=f"input[{place}]" if len(given) > 1 else "input", expected="a text")
    if asked.encoding_format not in (None, "float", "base64"):
        raise InvalidRequest(field="encoding_format", expected="float or base64")
    extra = {
        name: value for name, value in wrong.decode(_untyped, body).items() if name not in _KNOWN and value is not None
    }
    texts = tuple(given) if all(isinstance(item, str) for item in given) else ()
    return Asked(
        request=Request(
            texts=texts,
            parameters=Parameters(extra=extra, user=asked.user),
            echo={BASE64: True} if asked.encoding_format == "base64" else {},
        ),
        model=asked.model or None,
        capability=Capability.EMBEDDING,
    )


def _is_token(item: Any) -> bool:
    return isinstance(item, int) and not isinstance(item, bool)


def encode_embeddings(vectors: Sequence[Sequence[float]], *, model: str, usage: Usage, base64: bool = False) -> bytes:
    """The answer that a client gets; `base64`: each vector as its 32 bit floats, little end first."""
    data = [
        {"object": "embedding", "index": index, "embedding": _packed(vector) if base64 else vector}
        for index, vector in enumerate(vectors)
    ]
    counts = {"prompt_tokens": usage.input_tokens, "total_tokens": usage.input_tokens}
    return msgspec.json.encode({"object": "list", "data": data, "model": model, "usage": counts})


def _packed(vector: Sequence[float]) -> str:
    floats = array("f", vector)
    if array("H", [1]).tobytes()[0] == 0:  # this machine writes the big end first
        floats.byteswap()
    return b64encode(floats.tobytes()).decode()


def decode_embeddings(body: bytes, count: int | None = None, *, secrets: Iterable[str] = ()) -> Chunk:
    """A service's answer: the `done` chunk with `count` vectors in the order of the inputs, or with all that there are."""
    try:
        answer = _answer.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        what = "the service sent something that is no list of embeddings"
        mended = decoded_anyway(_answer, body)
        if mended is None:
            raise InvalidOutput(what, detail=str(error)) from error
        answer = mended
    if answer.error is not None:
        raise error_from_object(answer.error, secrets=secrets)
    items = enumerate(answer.data or ())
    vectors = {place if item.index is None else item.index: item.embedding for place, item in items}
    count = len(vectors) if count is None else count
    if sorted(vectors) != list(range(count)):
        raise InvalidOutput(f"expected {count} embeddings, got the numbers {sorted(vectors)[:20]}")
    usage = answer.usage.usage() if answer.usage else Usage()
    value = {"embeddings": [vectors[index] for index in range(count)]}
    return Chunk("done", finish_reason="stop", usage=usage, value=value)
