"""What an endpoint answered, as outputs."""

from __future__ import annotations

import asyncio
import os
import re
import tempfile
import weakref
from email.message import Message
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Final
from urllib.parse import unquote, urlsplit

import msgspec

from promptd.core.engine import Result
from promptd.core.errors import InvalidOutput, InvalidRequest
from promptd.core.files import OCTETS, media_type_of, safe_name
from promptd.core.ports import HttpResponse
from promptd.core.prompt_files import PromptFile
from promptd.engines.http_target.config import HttpQuery
from promptd.engines.http_target.params import FILE, TEXT, VALUE, members

_PIECE: Final = 1024 * 1024  # bytes that are written at once
_INDEX: Final = re.compile(r"0|[1-9][0-9]{0,8}")


async def read(query: HttpQuery, response: HttpResponse, url: str) -> Result:
    """The outputs of a response that has an expected status. Raises `InvalidOutput`, `NetworkError`, `Timeout`."""
    if query.response == "file":
        return Result(value={}, files={FILE: (await _kept(response, url),)})
    body = await response.read()
    if query.response == "none":
        return Result(value={})
    if query.response == "text":
        return Result(value={TEXT: _text(response, body)})
    value = await asyncio.to_thread(_picked, body, query.pointer)
    if not query.outputs and not members(query):
        return Result(value={VALUE: value})
    if not isinstance(value, dict):
        where = f" at {query.pointer}" if query.pointer else ""
        raise InvalidOutput(f"expected a JSON object{where}, the endpoint sent something else")
    return Result(value=value)


def pointed(value: Any, pointer: str) -> Any:
    """The part of a JSON value that a JSON pointer names. Raises `InvalidOutput`."""
    for step in pointer.split("/")[1:]:
        name = step.replace("~1", "/").replace("~0", "~")
        if isinstance(value, dict) and name in value:
            value = value[name]
        elif isinstance(value, list) and _INDEX.fullmatch(name) and int(name) < len(value):
            value = value[int(name)]
        else:
            raise InvalidOutput(f"the answer has nothing at {pointer}")
    return value


def _picked(body: bytes, pointer: str) -> Any:
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidOutput("the endpoint sent something that is no JSON", detail=str(error)) from error
    return pointed(value, pointer)


def _text(response: HttpResponse, body: bytes) -> str:
    charset = _headers(response).get_content_charset("utf-8")
    try:
        return body.decode(charset)
    except (LookupError, ValueError) as error:
        raise InvalidOutput(f"the endpoint's text is not {charset[:40]}") from error


# ------------------------------------------------------------------ files


class _Kept:
    """A file on disk that goes when nobody holds it any more."""

    def __init__(self) -> None:
        handle, path = tempfile.mkstemp(prefix="promptd-http-")
        os.close(handle)
        self.path = Path(path)
        self.remove = weakref.finalize(self, partial(self.path.unlink, missing_ok=True))

    def open(self) -> BinaryIO:
        return self.path.open("rb")

    def add(self, data: bytes) -> None:
        with self.path.open("ab") as file:
            file.write(data)


async def _kept(response: HttpResponse, url: str) -> PromptFile:
    """The body as a file, never held in memory whole."""
    kept = await asyncio.to_thread(_Kept)
    try:
        size = await _fill(kept, response)
    except BaseException:
        kept.remove()  # not when the error is forgotten, but now
        raise
    headers = _headers(response)
    name = safe_name(headers.get_filename() or unquote(urlsplit(url).path).rpartition("/")[2])
    try:
        media_type = media_type_of(name, headers.get_content_type() if "content-type" in headers else OCTETS)
    except InvalidRequest:
        media_type = OCTETS
    return PromptFile(name, media_type, size, kept.open)


async def _fill(kept: _Kept, response: HttpResponse) -> int:
    """The number of bytes."""
    waiting, size = bytearray(), 0
    async for packet in response.chunks():
        waiting += packet
        size += len(packet)
        if len(waiting) >= _PIECE:
            await asyncio.to_thread(kept.add, bytes(waiting))
            waiting.clear()
    await asyncio.to_thread(kept.add, bytes(waiting))
    return size


def _headers(response: HttpResponse) -> Message:
    """What says how the body is to be read."""
    message = Message()
    for name in ("content-type", "content-disposition"):
        if name in response.headers:
            message[name] = response.headers[name]
    return message
