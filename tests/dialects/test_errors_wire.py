"""What providers' refusals mean: the provider column of the error table, by status and body."""

import json

import pytest

from promptd.core.errors import (
    AuthenticationFailed,
    ContentFiltered,
    ExecutionFailed,
    InputTooLarge,
    InvalidInput,
    PermissionDenied,
    PromptExecutionError,
    QuotaExceeded,
    RateLimited,
    ResourceNotFound,
    ServiceUnavailable,
    Timeout,
    UnsupportedInput,
)
from promptd.dialects.errors import error_from_object, error_from_response, redact, retry_after

NOON = 1_700_000_000.0  # Tue, 14 Nov 2023 22:13:20 GMT


def error(status: int, body: object = b"", **headers: str) -> PromptExecutionError:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return error_from_response(status, headers, data, now=NOON)


@pytest.mark.parametrize(
    ("status", "meaning"),
    [
        (302, ResourceNotFound),
        (400, InvalidInput),
        (401, AuthenticationFailed),
        (402, QuotaExceeded),
        (403, PermissionDenied),
        (404, ResourceNotFound),
        (405, ResourceNotFound),
        (408, Timeout),
        (410, ResourceNotFound),
        (413, InputTooLarge),
        (415, UnsupportedInput),
        (418, ExecutionFailed),
        (422, InvalidInput),
        (429, RateLimited),
        (500, ServiceUnavailable),
        (501, UnsupportedInput),
        (502, ServiceUnavailable),
        (503, ServiceUnavailable),
        (504, Timeout),
        (520, ServiceUnavailable),
        (524, Timeout),
        (529, ServiceUnavailable),
    ],
)
@pytest.mark.parametrize("body", [b"", b"<html>", b"null", b"[]", b"{}", b'{"error": 5}', b"[" * 100_000])
@pytest.mark.formcycle(40)
def test_the_status_alone(status: int, meaning: type[PromptExecutionError], body: bytes) -> None:
    assert type(error(status, body)) is meaning


@pytest.mark.parametrize(
    ("status", "said", "meaning"),
    [
        (429, {"code": "insufficient_quota"}, QuotaExceeded),
        (429, {"type": "insufficient_quota"}, QuotaExceeded),
        (429, {"message": "You exceeded your current quota, please check"}, QuotaExceeded),
        (429, {"message": "Quota of 5 requests per minute reached"}, RateLimited),
        (400, {"code": "context_length_exceeded", "type": "invalid_request_error"}, InputTooLarge),
        (400, {"message": "This model's maximum context length is 4096 tokens"}, InputTooLarge),
        (400, {"type": "exceed_context_size_error", "code": 400}, InputTooLarge),
        (400, {"code": "content_filter"}, ContentFiltered),
        (400, {"code": "model_not_found"}, ResourceNotFound),
        (400, {"code": "unsupported_parameter"}, UnsupportedInput),
        (401, {"type": "invalid_request_error"}, AuthenticationFailed),
        (404, {"type": "invalid_request_error"}, ResourceNotFound),
        (429, {"type": "server_error"}, RateLimited),
        (503, {"type": "server_error"}, ServiceUnavailable),
        (400, {"message": {"no": "text"}, "code": ["no", "text"]}, InvalidInput),
    ],
)
@pytest.mark.formcycle(40)
def test_the_body_says_more(status: int, said: object, meaning: type[PromptExecutionError]) -> None:
    assert type(error(status, {"error": said})) is meaning
    assert type(error(status, [{"error": said}])) is meaning


def test_a_blocked_input_says_so() -> None:
    blocked = error(400, {"error": {"code": "content_policy_violation"}})
    assert isinstance(blocked, ContentFiltered)
    assert blocked.stage == "input"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"error": {"message": "no"}}, "no"),
        ({"error": "no"}, "no"),
        ({"message": "no"}, "no"),
        ({"detail": "no"}, "no"),
    ],
)
def test_the_provider_is_quoted(body: object, said: str) -> None:
    assert error(400, body).message.endswith(f"(400): {said}")


def test_a_long_speech_is_cut() -> None:
    assert len(error(400, {"error": {"message": "x" * 10_000}}).message) < 600


@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": " 0.5 "}, 0.5),
        ({"retry-after-ms": "250", "retry-after": "7"}, 0.25),
        ({"retry-after": "Tue, 14 Nov 2023 22:14:20 GMT"}, 60.0),
        ({"retry-after": "Tue, 14 Nov 2023 22:14:20 GMT", "date": "Tue, 14 Nov 2023 22:14:10 GMT"}, 10.0),
        ({"retry-after": "Tue, 14 Nov 2023 22:00:00 GMT"}, 0.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-5"}, None),
        ({"retry-after": "1e9"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "٧"}, None),
        ({"retry-after": "9" * 400}, None),
    ],
)
@pytest.mark.formcycle(42)
def test_retry_after(headers: dict[str, str], wait: float | None) -> None:
    assert retry_after(headers, NOON) == wait
    assert error_from_response(429, headers, b"", now=NOON).retry_after == wait


@pytest.mark.parametrize(
    ("said", "meaning"),
    [
        ({"code": 503}, ServiceUnavailable),
        ({"code": 400, "type": "exceed_context_size_error"}, InputTooLarge),
        ({"type": "rate_limit_error"}, RateLimited),
        ({"type": "invalid_request_error"}, InvalidInput),
        ({"message": "worker died"}, ServiceUnavailable),
        ("worker died", ServiceUnavailable),
        ({"code": True}, ServiceUnavailable),
        ({"code": 99999}, ServiceUnavailable),
        (17, ServiceUnavailable),
    ],
)
def test_an_error_inside_a_stream(said: object, meaning: type[PromptExecutionError]) -> None:
    assert type(error_from_object(said)) is meaning


@pytest.mark.formcycle(43)
def test_secrets_are_blotted_out_also_when_one_holds_another() -> None:
    assert (
        redact("key sk-abcdef, part sk-abc, short a", ["sk-abc", "sk-abcdef", "a", ""]) == "key ***, part ***, short a"
    )
    said = error_from_response(401, {}, b'{"error": {"message": "bad key sk-abc"}}', now=NOON, secrets=["sk-abc"])
    assert "sk-abc" not in repr(said) + said.message + str(said.detail)
