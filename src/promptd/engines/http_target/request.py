"""A query and its inputs as one HTTP request. What is inserted can't leave its place: not the path's segment, not the
parameter, not the header, not the text in the JSON."""

from __future__ import annotations

import re
from typing import Any, Final
from urllib.parse import quote, unquote, urlencode

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from promptd.core.calls import Call, placeholders
from promptd.core.errors import InputTooLarge, InvalidInput
from promptd.core.model import Blob
from promptd.core.prompt_files import PromptFile
from promptd.dialects.multipart import encode_form
from promptd.engines.http_target.config import HttpQuery, HttpTargetConfig
from promptd.engines.http_target.params import files_of

HttpCall = Call[HttpTargetConfig, HttpQuery]

#: what stays as it is of a path that the author wrote; a placeholder's braces are gone by then
_LITERAL: Final = "/:@!$&'()*+,;=~%-._"
_ONE: Final = re.compile(r"\s*\{\{\s*([A-Za-z_][A-Za-z0-9_]{0,63})\s*\}\}\s*")
_HEADER: Final = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
_FIELD: Final = re.compile(r"[^\x00-\x1f\x7f\"\\\r\n]{1,200}")


class Outgoing(Struct, frozen=True):
    """The request. `headers` have lower-case names."""

    url: str
    headers: dict[str, str]
    body: bytes | None


def build(call: HttpCall) -> Outgoing:
    """The request of a query. Reads its files. Raises `InvalidInput` with the setting's or input's name, `InputTooLarge`,
    `ConfigIncomplete`, `OSError`."""
    config, query = call.connection, call.query
    url = config.address() + _path(call) + _parameters(call)
    content_type, body = _body(call)
    if body is not None and len(body) > config.max_request_bytes:
        raise InputTooLarge(f"the request is larger than {config.max_request_bytes} bytes")
    headers = {name.lower(): _header(call, name, template) for name, template in query.headers.items()}
    if body is not None and content_type:
        headers.setdefault("content-type", content_type)
    headers.setdefault("accept", "application/json" if query.response == "json" else "*/*")
    return Outgoing(url, headers | config.request_headers(), body)


def check_path(path: str) -> str:
    """A path without placeholders, encoded. Raises `InvalidInput`."""
    path = path.strip()
    return _whole(quote(_plain(path), safe=_LITERAL)) if path else ""


def _path(call: HttpCall) -> str:
    template = _plain(call.query.path.strip())
    if not template:
        return ""
    names = placeholders(template)
    # marks in the place of values: what the author wrote is encoded in one way, what is inserted in another
    marks = {name: f"\x00{place}\x00" for place, name in enumerate(names)}
    path = quote(replace(call, value=marks).text(template), safe=_LITERAL + "\x00")
    for name in names:
        text = call.text(f"{{{{{name}}}}}")
        if not text:
            raise InvalidInput(f"{name}: a part of the path can't be empty", field=name)
        path = path.replace(marks[name], _quoted(name, text))
    return _whole(path)


def _plain(path: str) -> str:
    if any(sign in "?#\\" or not sign.isprintable() for sign in path):
        raise InvalidInput("path: expected a path without ?, # and \\; parameters are settings of their own")
    return path


def _whole(path: str) -> str:
    """Servers take such parts for the way out of what the operator named."""
    if any(part in (".", "..") for part in re.split(r"[/\\]", unquote(path))):
        raise InvalidInput("path: expected no part that is . or ..")
    return path if path.startswith("/") else f"/{path}"


def _quoted(name: str, text: str) -> str:
    try:
        return quote(text, safe="")
    except UnicodeEncodeError as error:
        raise InvalidInput(f"{name}: expected Unicode text", field=name) from error


def _parameters(call: HttpCall) -> str:
    """A parameter that is nothing but an absent input is left out."""
    given = [
        (name, call.text(template)) for name, template in call.query.parameters.items() if _present(call, template)
    ]
    if not given:
        return ""
    try:
        return "?" + urlencode(given)
    except UnicodeEncodeError as error:
        raise InvalidInput("parameters: expected Unicode text") from error


def _header(call: HttpCall, name: str, template: str) -> str:
    value = call.text(template).strip()
    if not _HEADER.fullmatch(value):
        raise InvalidInput(f"headers.{name}: the value has characters that no header may have", field=f"headers.{name}")
    return value


def _present(call: HttpCall, template: str) -> bool:
    one = _ONE.fullmatch(template)
    return one is None or one[1] in call.value


# ------------------------------------------------------------------ the body


def _body(call: HttpCall) -> tuple[str, bytes | None]:
    query = call.query
    if query.body == "none":
        return "", None
    if query.body == "inputs":
        return "application/json", _json(dict(call.value))
    if query.body == "json":
        return "application/json", _json(filled(call, query.json_body))
    if query.body == "text":
        return query.content_type, _encoded(call.text(query.text_body))
    if query.body == "file":
        return _file(call)
    fields = [(name, call.text(template)) for name, template in query.form.items() if _present(call, template)]
    try:
        if query.body == "form":
            return "application/x-www-form-urlencoded", urlencode(fields).encode()
        return _multipart(call, fields)
    except UnicodeEncodeError as error:
        raise InvalidInput("form: expected Unicode text") from error


def filled(call: HttpCall, template: Any) -> Any:
    """JSON with its placeholders filled: a text that is one placeholder becomes the value as it is, a member of an
    object whose value is an absent input is left out."""
    if isinstance(template, str):
        one = _ONE.fullmatch(template)
        return call.value.get(one[1]) if one is not None else call.text(template)
    if isinstance(template, dict):
        return {
            name: filled(call, inner)
            for name, inner in template.items()
            if not isinstance(inner, str) or _present(call, inner)
        }
    return [filled(call, inner) for inner in template] if isinstance(template, list) else template


def _multipart(call: HttpCall, fields: list[tuple[str, str]]) -> tuple[str, bytes]:
    if odd := [name for name, _ in fields if not _FIELD.fullmatch(name)]:
        raise InvalidInput(f"form: {odd[0][:40]!r} is no name of a field")
    _check_sizes(call, [file for name in files_of(call.query) for file in call.files.get(name, ())])
    files = [
        (name, Blob(file.filename, file.media_type, file.read()))
        for name in files_of(call.query)
        for file in call.files.get(name, ())
    ]
    return encode_form(fields, files)


def _file(call: HttpCall) -> tuple[str, bytes | None]:
    found = [file for name in files_of(call.query) for file in call.files.get(name, ())]
    if len(found) > 1:
        raise InvalidInput("body: expected one file, there are more")
    _check_sizes(call, found)
    return (found[0].media_type, found[0].read()) if found else ("", None)


def _check_sizes(call: HttpCall, files: list[PromptFile]) -> None:
    """Before any of them is read."""
    if sum(file.size for file in files) > call.connection.max_request_bytes:
        raise InputTooLarge(f"the files are larger than {call.connection.max_request_bytes} bytes in all")


def _json(value: Any) -> bytes:
    try:
        return msgspec.json.encode(value)
    except (TypeError, ValueError, RecursionError, msgspec.MsgspecError) as error:
        raise InvalidInput("body: expected values that JSON can hold") from error


def _encoded(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise InvalidInput("text_body: expected Unicode text") from error
