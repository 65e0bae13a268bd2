"""What is told to a peer whose request is none, too large or too late."""

from __future__ import annotations

from typing import Final

from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from promptd.core.errors import Overloaded
from promptd.faces.asgi import Problem, encode, problem_of, send_problem


def _problem(status: int, title: str, detail: str, code: str, *, retryable: bool = False) -> Problem:
    return Problem(type="about:blank", title=title, status=status, detail=detail, code=code, retryable=retryable)


MALFORMED: Final = _problem(400, "Bad Request", "this is not an HTTP/1.1 request", "malformed_request")
TUNNEL: Final = _problem(
    501,
    "Not Implemented",
    "CONNECT is refused: what goes through a tunnel can't be read here. Ask with the http:// address of the service",
    "tunnel_refused",
)
HEAD_LATE: Final = _problem(
    408, "Request Timeout", "the request's head did not arrive in time", "request_timeout", retryable=True
)
BODY_LATE: Final = _problem(
    408, "Request Timeout", "the request's body stopped arriving", "request_timeout", retryable=True
)
TARGET_TOO_LONG: Final = _problem(414, "URI Too Long", "the request's target is too long", "target_too_long")
HEAD_TOO_LARGE: Final = _problem(
    431, "Request Header Fields Too Large", "the request's header fields are too large or too many", "head_too_large"
)


class Refused(Exception):
    """Leaves the parser's callback, so that it stops in the middle of its packet."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem


def last_answer(problem: Problem) -> bytes:
    """The problem as a whole answer, behind which its connection ends."""
    body = encode(problem)
    head = b"content-type: application/problem+json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n" % len(body)
    return STATUS_LINE[problem.status] + head + body


async def overloaded(scope: Scope, receive: Receive, send: Send) -> None:
    """The answer above `limit_concurrency`."""
    problem = problem_of(Overloaded("too many connections are open"))
    await send_problem(send, problem, [(b"retry-after", b"1"), (b"connection", b"close")])
