"""What every HTTP face needs of ASGI: bodies with a bound, JSON out, errors as problems (RFC 9457).

Handlers are plain ASGI callables. An error that is no `PromptdError` is logged and told without details.
"""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Iterable
from typing import Any, Final, TypeVar
from urllib.parse import unquote

import msgspec
from msgspec import UNSET, Struct, UnsetType
from starlette.types import Receive, Scope, Send

from promptd.core.errors import InvalidRequest, NotFound, PayloadTooLarge, PromptdError, Unauthenticated

T = TypeVar("T")
Headers = list[tuple[bytes, bytes]]

_log = logging.getLogger(__name__)
encode: Final = msgspec.json.Encoder().encode
#: Where the codes of problems are explained.
ERROR_PAGE: Final = "/promptd/v1/docs#error-"
#: Key of `scope["extensions"]` under which the server offers a way to cut a connection whose peer reads nothing.
ABORT: Final = "promptd.abort"
#: … and a list for what shall be called when the client of this request has gone before its answer was complete.
GONE: Final = "promptd.gone"
#: … and the request's whole body, where it is there already: bytes, or None where it must be received.
BODY: Final = "promptd.body"
#: … and a way to send a whole answer at once: status, header lines and body; False where it has to go the usual way.
REPLY: Final = "promptd.reply"
#: … and a way to send a piece of one whose length nobody knows: bytes, and with the first one the header lines of a success;
#: False where it has to go the usual way.
WRITE: Final = "promptd.write"
#: Attribute of an app, kept by those around it: how long a peer may take nothing of its answer, and where none says so
STUCK: Final = "stuck_seconds"
STUCK_SECONDS: Final = 60.0

#: Key of a request's scope: host and port of its target, where that is a whole address (absolute form).
AUTHORITY: Final = "promptd.authority"

JSON: Final = (b"content-type", b"application/json")
_PROBLEM: Final = (b"content-type", b"application/problem+json")
_NOTHING: Final[dict[str, Any]] = {}
MOST_VALUES: Final = 200_000  #: of one body
NARROW: Final = 256 * 1024  #: bytes of JSON that hold no more values than a request may, or hardly more


class Disconnected(Exception):
    """The client left before its request was whole; there is nobody to answer."""


class MalformedBody(InvalidRequest):
    """The body is not JSON at all."""

    http_status = 400
    title = "The body is not JSON"


class Problem(Struct, frozen=True, omit_defaults=True):
    """Why a request was refused (RFC 9457). `code` never changes its meaning; `detail` is for people."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    retryable: bool | UnsetType = UNSET  #: the same request may succeed later
    field: str | UnsetType = UNSET  #: the part of the request that is wrong, such as `messages[0].role`
    expected: str | UnsetType = UNSET  #: what fits there
    run_id: str | UnsetType = UNSET  #: the prompt that failed, where there is one


# ---------------------------------------------------------------- requests


def body_at_hand(scope: Scope, limit: int) -> bytes | None:
    """The whole body, once, where nothing has to be waited for. Raises `PayloadTooLarge`."""
    at_once = scope.get("extensions", _NOTHING).get(BODY)
    body: bytes | None = at_once() if at_once is not None else None
    if body is not None and len(body) > limit:
        raise PayloadTooLarge(f"the body is larger than {limit} bytes")
    return body


async def read_body(scope: Scope, receive: Receive, limit: int) -> bytes:
    """The whole body. Raises `PayloadTooLarge` as soon as `limit` bytes are passed, `Disconnected`."""
    body = body_at_hand(scope, limit)
    if body is not None:
        return body
    for name, value in scope["headers"]:
        if name == b"content-length" and int(value) > limit:
            raise PayloadTooLarge(f"the body is larger than {limit} bytes")
    message = await receive()
    if message["type"] == "http.request" and not message.get("more_body", False):
        parts = [message.get("body", b"")]
        size = len(parts[0])
    else:
        parts, size = [], 0
        while True:
            if message["type"] != "http.request":
                raise Disconnected
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            if size > limit or not message.get("more_body", False):
                break
            message = await receive()
    if size > limit:
        raise PayloadTooLarge(f"the body is larger than {limit} bytes")
    return parts[0] if len(parts) == 1 else b"".join(parts)


def is_wide(raw: bytes, most: int = MOST_VALUES) -> bool:
    """Whether JSON holds so many values that decoding it would take seconds and hundreds of megabytes.

    Long texts are no concern: they are counted as one value, whatever is in them.
    """
    if len(raw) <= NARROW:
        return False
    plain = raw.replace(b"\\\\", b"").replace(b'\\"', b"")  # every quote that is left begins or ends a string
    if plain.count(b'"') > 2 * most:
        return True
    outside = b"".join(plain.split(b'"')[::2])
    return sum(map(outside.count, (b",", b"[", b"{"))) > most


def check_width(raw: bytes, most: int = MOST_VALUES) -> None:
    """Raises `PayloadTooLarge` for what `is_wide`."""
    if is_wide(raw, most):
        raise PayloadTooLarge("the body holds too many values")


def decode(decoder: msgspec.json.Decoder[T], body: bytes) -> T:
    """The body as its type. Raises `PayloadTooLarge`, `MalformedBody`, or `InvalidRequest` that names the field."""
    check_width(body)
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise invalid(error, "body") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedBody(f"body: not JSON: {error}", field="body", expected="JSON") from None


_AT = re.compile(r"(?P<what>.*?)(?: - at (?P<key>`key` in )?`(?P<path>[^`]*)`)?", re.DOTALL)
_NAMED = re.compile(r"Object (contains unknown|missing required) field `(.*)`", re.DOTALL)
_KINDS = {
    "str": "a string",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "array": "a list",
    "object": "an object",
    "datetime": "an RFC 3339 time with an offset",
}


def invalid(error: msgspec.ValidationError, root: str) -> InvalidRequest:
    """msgspec's error in our words: `$.messages[0].role` → field `messages[0].role`; `root` names the whole."""
    match = _AT.fullmatch(str(error))
    what, path = (match["what"], match["path"] or "$") if match else (str(error), "$")
    path = path.removeprefix("$").removeprefix(".")
    named = _NAMED.match(what)
    if named is not None:
        field = f"{path}.{named[2]}" if path else named[2]
        if named[1] == "missing required":
            return InvalidRequest(f"{field}: missing", field=field, expected="a value")
        return InvalidRequest(f"{field}: unknown field", field=field, expected="only known fields")
    field = path or root
    if what.startswith("Expected "):
        fits = _plain(what.removeprefix("Expected "))
        return InvalidRequest(field=field, expected=f"{fits} as each name" if match and match["key"] else fits)
    if "RFC3339" in what:
        return InvalidRequest(field=field, expected=_KINDS["datetime"])
    return InvalidRequest(f"{field}: {what[0].lower()}{what[1:]}", field=field, expected="a value that fits the schema")


def _plain(what: str) -> str:
    """`str | null`, got `int` → a string or null."""
    wanted = what.partition(", got ")[0].replace(" with a timezone component", "")
    kinds, _, bound = wanted.removeprefix("`").partition("`")
    return " or ".join(_KINDS.get(kind, kind) for kind in kinds.split(" | ")) + bound


def path_params(scope: Scope) -> dict[str, str]:
    """The path's parameters. Starlette's part of a `Front` matches the raw path, so that a name may hold `%2F`."""
    return {name: unquote(value) for name, value in scope.get("path_params", {}).items()}


# ---------------------------------------------------------------- responses


def lines(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """Headers as a message has them: a line for each, with its break."""
    return "".join([f"{name.decode('latin-1')}: {value.decode('latin-1')}\r\n" for name, value in headers])


def fields(lines: str) -> Headers:
    """What such lines say."""
    pairs = [line.split(b": ", 1) for line in lines.encode("latin-1").split(b"\r\n")[:-1]]
    return [(name, value) for name, value in pairs]


async def send_body(send: Send, status: int, headers: Headers, body: bytes) -> None:
    """A whole response; the content length is added, except where HTTP forbids one."""
    whole = headers if status == 204 else [(b"content-length", b"%d" % len(body)), *headers]
    await send({"type": "http.response.start", "status": status, "headers": whole})
    await send({"type": "http.response.body", "body": body})


async def send_problem(send: Send, problem: Problem, headers: Headers | None = None) -> None:
    await send_body(send, problem.status, [_PROBLEM, *headers] if headers else [_PROBLEM], encode(problem))


async def send_error(send: Send, error: PromptdError) -> None:
    """The problem that an error of the tree is, with `Retry-After` where it knows."""
    headers: Headers = []
    if error.retry_after is not None:
        headers.append((b"retry-after", b"%d" % max(1, math.ceil(error.retry_after))))
    if isinstance(error, Unauthenticated):
        headers.append((b"www-authenticate", b"Bearer"))
    await send_problem(send, problem_of(error), headers)


def problem_of(error: PromptdError) -> Problem:
    field: str = getattr(error, "field", "")
    named = bool(field) or isinstance(error, InvalidRequest)
    return Problem(
        type=ERROR_PAGE + error.code,
        title=error.title,
        status=error.http_status,
        detail=error.message,
        code=error.code,
        retryable=error.retryable,
        field=field if named else UNSET,
        expected=getattr(error, "expected", "") if named else UNSET,
    )


def log_crash(error: Exception, scope: Scope) -> None:
    """An error that nobody foresaw: the log gets everything, the caller nothing."""
    _log.error("%s %s failed", scope["method"], scope["path"], exc_info=error, extra={"action": "request_failed"})


async def send_crash(send: Send, error: Exception, scope: Scope) -> None:
    log_crash(error, scope)
    await send_error(send, PromptdError())


async def not_found(scope: Scope, receive: Receive, send: Send) -> None:
    """The answer for a path that nobody serves."""
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 4404})
        return
    await send_error(send, NotFound("there is nothing at this path"))


async def send_wrong_method(send: Send, allowed: list[str]) -> None:
    allow = ", ".join(allowed)
    problem = Problem(
        type="about:blank",
        title="Method Not Allowed",
        status=405,
        detail=f"this path takes {allow}",
        code="method_not_allowed",
        retryable=False,
    )
    await send_problem(send, problem, [(b"allow", allow.encode())])
