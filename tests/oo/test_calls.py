"""`oo get|post|put|delete` against a real server: bytes sent, bytes printed, lines about errors."""

from __future__ import annotations

import io
import json
import socket
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptd.oo import wire
from promptd.oo.output import print_json
from tests.oo.support import Answer, Handler, Issuer, Recorder, Shell

EXTRAS = "app-host=&env=&help=false"


def sending(handler: Handler, raw: bytes) -> None:
    """These bytes, and the end of the connection."""
    handler.wfile.write(raw)


@pytest.mark.parametrize("method", ["post", "put", "delete"])
def test_flags_are_the_body(alice: Shell, server: Recorder, issuer: Issuer, method: str) -> None:
    done = alice(method, "/prompt-svc/prompt", "--sync=true", "--prompt=grüß", "--a.b=7.5", "--maxRetries=3")
    assert done.code == 0, done.err
    (request,) = server.requests
    assert (request.method, request.target) == (method.upper(), "/prompt-svc/prompt")
    assert request.body == '{"sync":true,"prompt":"grüß","a":{"b":"7.5"},"maxRetries":3}'.encode()
    assert request.headers["content-type"] == "application/json"
    assert request.headers["authorization"] == f"Bearer {issuer.jwt('alice')}"


@pytest.mark.parametrize("method", ["post", "put", "delete"])
def test_without_flags_the_body_is_an_empty_object(alice: Shell, server: Recorder, method: str) -> None:
    assert alice(method, "/prompt-svc/prompt/p1").code == 0
    (request,) = server.requests
    assert (request.method, request.target, request.body) == (method.upper(), "/prompt-svc/prompt/p1", b"{}")


@pytest.mark.parametrize(
    ("words", "target"),
    [
        (["/model-svc/models"], f"/model-svc/models?{EXTRAS}"),
        (["/model-svc", "models"], f"/model-svc/models?{EXTRAS}"),
        (["/x?limit=5"], f"/x?limit=5&{EXTRAS}"),
        (["/x", "--limit=5", "--q=a b&c"], f"/x?limit=5&q=a%20b%26c&{EXTRAS}"),
        (["/x", "--env=dev"], "/x?env=dev&app-host=&help=false"),
        (["/x", "-e", "dev"], f"/x/-e/dev?{EXTRAS}"),
    ],
    ids=repr,
)
def test_get_has_no_body_and_an_extra_query(alice: Shell, server: Recorder, words: list[str], target: str) -> None:
    assert alice("get", *words).code == 0
    (request,) = server.requests
    assert (request.method, request.target, request.body) == ("GET", target, b"")
    assert request.headers["content-type"] == "application/json"
    assert request.headers["authorization"].startswith("Bearer ")


@pytest.mark.parametrize(
    ("path", "target"),
    [
        ("/model-svc/model/org%2Fname%3Aq4/start", "/model-svc/model/org%2Fname%3Aq4/start"),
        ("/a/100%", "/a/100%"),
        ("/a:b@c;d,e+f!g(h)'i~j_k[l]*$", "/a:b@c;d,e+f!g(h)'i~j_k[l]*$"),
        ("/two words/é#1", "/two%20words/%C3%A9%231"),
        ("/a\r\nX-Evil: 1", "/a%0D%0AX-Evil:%201"),
        ("/\udcff", "/%FF"),
        ("http://elsewhere/x", "/http://elsewhere/x"),
    ],
)
def test_the_path_goes_through_as_typed(here: Shell, server: Recorder, path: str, target: str) -> None:
    assert here("post", path).code == 0
    assert [request.target for request in server.requests] == [target]
    assert "x-evil" not in server.requests[0].headers


def test_an_environment_may_have_a_path_of_its_own(oo: Shell, server: Recorder) -> None:
    oo("env", "add", "deep", f"{server.url}/api/")
    assert oo("post", "/x").code == 0
    assert server.requests[0].target == "/api/x"


def test_nobody_logged_in_sends_no_authorization(here: Shell, server: Recorder) -> None:
    assert here("get", "/user-svc/public-key").code == 0
    assert "authorization" not in server.requests[0].headers


def test_global_flags_work_in_front_of_a_call(oo: Shell, server: Recorder) -> None:
    oo("env", "add", "here", server.url)
    oo("env", "add", "dead", "http://127.0.0.1:1")
    assert oo("post", "/x").code == 1
    assert oo("-e", "here", "post", "/x", "--env=kept").code == 0
    assert server.requests[0].json == {"env": "kept"}


@pytest.mark.parametrize(
    ("sent", "printed"),
    [
        (b'{"z":1,"a":[1,{"b":null}]}', '{\n  "z": 1,\n  "a": [\n    1,\n    {\n      "b": null\n    }\n  ]\n}\n'),
        (b'{"n":1e3,"f":1.50,"m":-0.0,"E":1E+400}', '{\n  "n": 1e3,\n  "f": 1.50,\n  "m": -0.0,\n  "E": 1E+400\n}\n'),
        (b"123456789012345678901234567890", "123456789012345678901234567890\n"),
        (b'{"a":1,"a":2}', '{\n  "a": 1,\n  "a": 2\n}\n'),
        (b' { "e" : { } , "l" : [ ] } \n', '{\n  "e": {},\n  "l": []\n}\n'),
        ('"é\\u00e9\\n\\/"'.encode(), '"é\\u00e9\\n\\/"\n'),
        (b"", "\n"),
        (b"no instances found", "\n"),
        (b"{} {}", "\n"),
        (b"NaN", "\n"),
        (b'{"a":1,}', "\n"),
    ],
    ids=repr,
)
def test_answers_are_indented_and_otherwise_as_sent(here: Shell, server: Recorder, sent: bytes, printed: str) -> None:
    server.answers.append(Answer(sent, kind="text/plain"))
    done = here("get", "/x")
    assert (done.code, done.out, done.err) == (0, printed, "")


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(VALUES)
def test_printing_only_moves_white_space(value: object) -> None:
    shown = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdout", shown)
        print_json(json.dumps(value).encode())
    assert isinstance(shown.buffer, io.BytesIO)
    assert shown.buffer.getvalue().decode() == json.dumps(value, indent=2) + "\n"


def test_an_answer_too_deep_to_print_says_so(here: Shell, server: Recorder) -> None:
    server.answers.append(Answer(b"[" * 50_000 + b"]" * 50_000))
    done = here("get", "/x")
    assert (done.code, done.out, done.err) == (1, "", "Error: the answer is nested too deeply to be printed\n")


@pytest.mark.parametrize(
    ("method", "where"), [("get", ""), ("put", ""), ("post", " to /prompt-svc/x"), ("delete", " to /prompt-svc/x")]
)
def test_a_refusal_is_one_line_on_standard_error(here: Shell, server: Recorder, method: str, where: str) -> None:
    server.answers.append(Answer(b'{"error": "Unauthorized"}\n', status=401))
    done = here(method, "/prompt-svc", "x")
    line = f'Error: HTTP request{where} failed with status 401: {{"error": "Unauthorized"}}\n'
    assert (done.code, done.out, done.err) == (1, "", line)


@pytest.mark.parametrize("status", [400, 404, 422, 429, 500, 503])
def test_every_error_status_fails(here: Shell, server: Recorder, status: int) -> None:
    server.answers.append(Answer(b"", status=status))
    done = here("get", "/x")
    assert (done.code, done.err) == (1, f"Error: HTTP request failed with status {status}: \n")


def test_a_redirect_is_not_followed_with_the_token(alice: Shell, server: Recorder) -> None:
    server.answers.append(Answer(b"", status=307, headers=(("Location", "http://127.0.0.1:1/y"),)))
    done = alice("post", "/x")
    assert done.code == 1
    assert done.err == (
        "Error: HTTP request to /x failed with status 307: calls do not follow to http://127.0.0.1:1/y\n"
    )
    assert len(server.requests) == 1


def test_a_server_that_is_not_there(oo: Shell) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))  # the port is ours, and nothing listens
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        oo("env", "add", "gone", url)
        done = oo("get", "/x")
    assert (done.code, done.out) == (1, "")
    assert done.err == f"Error: can't reach {url}: Connection refused\n"


def test_an_answer_that_breaks_in_the_middle_fails(here: Shell, server: Recorder) -> None:
    half = b'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"a":'
    server.script = lambda handler: sending(handler, half)
    done = here("get", "/x")
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith(f"Error: the connection to {server.url} broke: ")


@pytest.mark.parametrize("head", [b"", b"SSH-2.0-x\r\n"])
def test_something_that_is_no_http_server_fails(here: Shell, server: Recorder, head: bytes) -> None:
    server.script = lambda handler: sending(handler, head)
    done = here("get", "/x")
    assert done.code == 1
    assert done.err.startswith(f"Error: the connection to {server.url} broke: ")


@pytest.mark.parametrize("method", ["get", "post"])
def test_an_event_stream_is_printed_as_it_was_sent(here: Shell, server: Recorder, method: str) -> None:
    frames = 'data: {"type":"progress","text":"é"}\n\n: beat\n\ndata: {"type":"done"}\n\n'.encode()
    server.answers.append(Answer(frames, kind="text/event-stream; charset=utf-8"))
    done = here(method, "/prompt-svc/prompts/t1/responses/subscribe")
    assert (done.code, done.out.encode()) == (0, frames)


@pytest.mark.parametrize(
    "sent",
    [
        b"Content-Length: 100\r\n\r\ndata: 1\n\n",
        b"Transfer-Encoding: chunked\r\n\r\n9\r\ndata: 1\n\n\r\n",
    ],
    ids=["length", "chunked"],
)
def test_a_stream_that_breaks_fails_behind_what_came(here: Shell, server: Recorder, sent: bytes) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
    server.script = lambda handler: sending(handler, head + sent)
    done = here("get", "/x")
    assert (done.code, done.out) == (1, "data: 1\n\n")
    assert done.err.startswith(f"Error: the connection to {server.url} broke")


def test_only_connecting_has_a_limit(here: Shell, server: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sync prompt takes minutes."""
    monkeypatch.setattr(wire, "CONNECT_SECONDS", 0.1)

    def slow(handler: Handler) -> None:
        connection = handler.connection
        connection.settimeout(0.3)  # nothing more comes: this is the wait of a model at work
        with pytest.raises(TimeoutError):
            connection.recv(1)
        connection.settimeout(None)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")

    server.script = slow
    assert here("post", "/prompt-svc/prompt") == (0, "{}\n", "")


@pytest.mark.parametrize("words", [["post"], ["get", "--a=b"], ["put", "/x", "--a", "b"], ["delete", "/x", "--a"]])
def test_wrong_words_fail_before_anything_is_sent(here: Shell, server: Recorder, words: list[str]) -> None:
    done = here(*words)
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith("Error: ")
    assert server.requests == []


@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_help_of_a_call(oo: Shell, flag: str) -> None:
    done = oo("post", flag)
    assert done.code == 0
    assert "oo post PATH... [--KEY=VALUE]..." in done.out
