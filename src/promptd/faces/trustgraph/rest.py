"""REST: every URL form of every era. What fails is told inside of a 200, because released clients read nothing else."""

from __future__ import annotations

from contextlib import aclosing
from typing import Any, Final, NamedTuple
from urllib.parse import unquote

import msgspec
from starlette.types import Receive, Scope, Send

from promptd.core.errors import Forbidden, InvalidRequest, PayloadTooLarge, PromptdError, Unauthenticated
from promptd.dialects.trustgraph import error_reply, wire_error
from promptd.dialects.trustgraph.replies import Reply
from promptd.faces.asgi import Disconnected, Headers, check_width, encode, log_crash, read_body, send_body
from promptd.faces.leaving import while_connected
from promptd.faces.trustgraph.access import Access, bearer
from promptd.faces.trustgraph.desk import FLOW, IN_FLOWS, SERVICES, Asking, Desk, own_error

START: Final = "/api/v1/"
SOCKETS: Final = ("socket", "mux")
_JSON: Final[Headers] = [(b"content-type", b"application/json; charset=utf-8")]
_TEXT: Final[Headers] = [(b"content-type", b"text/plain; charset=utf-8")]
#: What comes from in front of the services keeps its status.
_KEPT: Final = (Unauthenticated, Forbidden, PayloadTooLarge)
_UNREAD: Final = ("body", "operation")


class Unknown(NamedTuple):
    """A flow has no such service."""


def service_at(path: str) -> str | Unknown | None:
    """The service behind a path below `START`: `prompt`, `flow/<id>/prompt`, `flow/<id>/service/prompt`, `config`, `flow`.

    None where there is nothing. Every id of a flow is good.
    """
    match [unquote(part) for part in path.split("/")]:
        case [service] if service in SERVICES:
            return service
        case [flow, name, service] if flow == FLOW and name and service in IN_FLOWS:
            return service
        case [flow, name, "service", service] if flow == FLOW and name and service:
            return service if service in IN_FLOWS else Unknown()
    return None


class Rest:
    """An ASGI app for all below `START`."""

    def __init__(self, desk: Desk, access: Access, max_body_bytes: int) -> None:
        self._desk, self._access, self._max_body_bytes = desk, access, max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"].removeprefix(START)  # raw where it holds what must not be taken for a `/`
        if path in SOCKETS:
            await send_body(send, 400, _TEXT, b"400: Bad Request\nThis path takes WebSocket connections only.")
            return
        service = service_at(path)
        if service is None:
            await send_body(send, 404, _TEXT, b"404: Not Found")
        elif scope["method"] != "POST":
            await send_body(send, 405, [*_TEXT, (b"allow", b"POST")], b"405: Method Not Allowed")
        elif isinstance(service, Unknown):
            await _tell(send, 404, error_reply({"type": "error", "message": "unknown kind"}))
        else:
            await self._serve(service, scope, receive, send)

    async def _serve(self, service: str, scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope["headers"])
        try:
            asking = Asking(await self._access.caller(bearer(headers), headers), headers)
            body = _parse(await read_body(scope, receive, self._max_body_bytes))
            reply = await self._reply(asking, service, body, scope, receive)
        except Disconnected:
            return
        except PromptdError as error:
            await self._refuse(send, service, error)
        except Exception as error:  # nobody foresaw it: the log gets everything, the caller nothing
            log_crash(error, scope)
            await self._refuse(send, service, PromptdError())
        else:
            prompt = asking.prompt
            await _tell(send, 200, reply, [(b"x-prompt-id", prompt.id.encode())] if prompt is not None else [])

    async def _reply(self, asking: Asking, service: str, body: Any, scope: Scope, receive: Receive) -> Reply:
        """There are no streams here: who asks for one gets the whole text."""
        with while_connected(scope, receive):
            async with aclosing(self._desk.replies(asking, service, body, streaming=False)) as replies:
                return await anext(replies)

    async def _refuse(self, send: Send, service: str, error: PromptdError) -> None:
        await _tell(send, _status(service, error), error_reply(wire_error(error, own_error(service))))


def _status(service: str, error: PromptdError) -> int:
    if isinstance(error, _KEPT):
        return error.http_status
    # what services without a flow can't read at all is refused in front of them
    unread = service not in IN_FLOWS and isinstance(error, InvalidRequest) and error.field in _UNREAD
    return 400 if unread else 200


def _parse(body: bytes) -> Any:
    """Raises `InvalidRequest`, `PayloadTooLarge`."""
    check_width(body)
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise InvalidRequest(f"the body is not JSON: {error}", field="body", expected="JSON") from None


async def _tell(send: Send, status: int, reply: Reply, more: Headers | None = None) -> None:
    await send_body(send, status, [*_JSON, *(more or [])], encode(reply))
