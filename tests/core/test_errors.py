"""The error tree: the drawing, the codes, the statuses; and how failures are rebuilt."""

from __future__ import annotations

import re

import pytest

from promptd.core import errors
from promptd.core.errors import EXECUTION_CODES, PromptdError, PromptExecutionError, leaves

#: without the subclasses that other tests made
ALL = list(leaves())

#: code, retryable, HTTP status: the plugin contract's table
CONTRACT = {
    "execution_failed": (False, 500),
    "invalid_input": (False, 422),
    "input_too_large": (False, 413),
    "unsupported": (False, 422),
    "invalid_output": (True, 502),
    "output_truncated": (False, 502),
    "content_filtered": (False, 422),
    "authentication_failed": (False, 502),
    "permission_denied": (False, 502),
    "resource_not_found": (False, 502),
    "rate_limited": (True, 429),
    "quota_exceeded": (False, 503),
    "network_error": (True, 502),
    "timeout": (True, 504),
    "service_unavailable": (True, 503),
    "cancelled": (False, 409),
    "config_incomplete": (False, 409),
    "config_unusable": (False, 409),
    "handler_unavailable": (False, 503),
    "descriptor_failed": (False, 500),
}


@pytest.mark.formcycle(40)
def test_the_twenty_codes() -> None:
    assert {code: (kind.retryable, kind.http_status) for code, kind in EXECUTION_CODES.items()} == CONTRACT


def test_the_drawing_shows_every_class_at_its_place() -> None:
    assert errors.__doc__ is not None
    drawn: dict[str, str] = {}
    stack: list[str] = []
    for line in errors.__doc__.splitlines()[1:]:
        if not (found := re.match(r"^((?:[│ ]   |├── |└── )*)([A-Z]\w*(?:(?:, | ── )[A-Z]\w*)*)", line)):
            continue
        del stack[len(found[1]) // 4 :]
        for group in re.split(", ", found[2]):
            chain = group.split(" ── ")
            for index, name in enumerate(chain):
                drawn[name] = chain[index - 1] if index else (stack[-1] if stack else "")
        stack.append(found[2])
    assert drawn == {"PromptdError": ""} | {kind.__name__: kind.__bases__[0].__name__ for kind in ALL}


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
def test_every_class_has_what_faces_need(kind: type[PromptdError]) -> None:
    assert re.fullmatch(r"[a-z]+(_[a-z]+)*", kind.code)
    assert 400 <= kind.http_status <= 599
    error = kind("it broke", key="a.b") if kind is errors.SettingsError else kind("it broke")
    assert (error.message, str(error)) == ("it broke", "it broke")
    if kind is not errors.SettingsError:
        assert kind().message == kind.title != PromptdError.title


def test_a_code_means_one_class() -> None:
    by_code: dict[str, type[PromptdError]] = {}
    for kind in ALL:
        first = by_code.setdefault(kind.code, kind)
        assert issubclass(kind, first), kind  # what a caller can tell apart has a code of its own


def test_a_stored_failure_is_rebuilt_by_its_code() -> None:
    for code, kind in EXECUTION_CODES.items():
        assert kind("again").code == code
        assert issubclass(kind, PromptExecutionError)


@pytest.mark.formcycle(40)
def test_a_plugins_subclass_keeps_its_bases_code() -> None:
    class Blocked(errors.RateLimited):
        """A stranger's own."""

    assert (Blocked().code, Blocked().http_status, Blocked().retryable) == ("rate_limited", 429, True)
    assert EXECUTION_CODES["rate_limited"] is errors.RateLimited


def test_detail_is_not_in_the_message() -> None:
    error = errors.NetworkError(detail="key=s3cret", retry_after=2.0)
    assert "s3cret" not in str(error) + error.message
    assert (error.detail, error.retry_after) == ("key=s3cret", 2.0)


def test_an_invalid_request_names_the_field() -> None:
    error = errors.InvalidRequest(field="messages[0].role", expected="user or system")
    assert error.message == "messages[0].role: expected user or system"
    assert errors.InvalidRequest().message == errors.InvalidRequest.title
    assert errors.ContentFiltered(stage="input").stage == "input"
    assert errors.ContentRefused("no", reason="blocklist").reason == "blocklist"
