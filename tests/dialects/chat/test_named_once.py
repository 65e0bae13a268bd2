"""What is told at once of a plain request: that no name stands in one of its objects twice."""

import pytest

from promptd.core.texts import is_plain, names_twice
from promptd.dialects.chat import decode_request


@pytest.mark.parametrize(
    "body",
    [
        b'{"model": "m:1", "messages": [{"role": "user", "content": "at 10:30: ::"}], "temperature": 0.5}',
        b'{"messages":[{"content":"a \\" b","role":"system"},{"role":"user","content":""}],"stream":true,"max_tokens":9}',
        b'{"messages":[{"role":"assistant","content":"1:2"},{"role":"developer","content":"x"}]}',
    ],
)
def test_a_plain_request_is_known_to_have_no_name_twice(body: bytes) -> None:
    asked = decode_request(body)
    assert asked.once
    assert asked.plain
    assert is_plain(asked.request)


@pytest.mark.parametrize(
    "body",
    [
        b'{"model": "a", "model": "b", "messages": [{"role": "user", "content": "x"}]}',
        b'{"model": "a", "mod\\u0065l": "b", "messages": [{"role": "user", "content": "x"}]}',
        b'{"model": "a", "model": "b", "messages": [{"role": "user", "content": "an escaped \\u003a"}]}',
        b'{"messages": [{"role": "user", "content": "x", "content": "y"}]}',
        b'{"messages": [{"role": "user", "content": "x"}], "messages": [{"role": "user", "content": "y"}]}',
        b'{"messages": [{"role": "user", "content": "x", "name": "n", "name": "o"}]}',
        b'{"messages": [{"role": "user", "content": "x", "role": "assistant"}]}',
        b'{"messages": [{"role": "user", "content": "x"}], "metadata": {"a": "b", "a": "c"}}',
        b'{"messages": [{"role": "user", "content": "x"}], "stream_options": {"a": 1, "a": 2}}',
    ],
)
def test_a_name_that_stands_twice_is_never_taken_for_one(body: bytes) -> None:
    assert names_twice(body)
    assert not decode_request(body).once


@pytest.mark.parametrize(
    "more",
    [
        '"messages": [{"role": "user", "content": "x", "name": "n"}]',
        '"messages": [{"role": "user", "content": "x"}], "stop": "y"',
        '"messages": [{"role": "user", "content": "x"}], "stop": ["y"]',
        '"messages": [{"role": "user", "content": "x"}], "user": "y"',
        '"messages": [{"role": "user", "content": "x"}], "metadata": {"y": "z"}',
        '"messages": [{"role": "user", "content": [{"type": "text", "text": "x"}]}]',
        '"messages": [{"role": "user", "content": "x"}, {"role": "tool", "content": "y"}]',
        '"messages": [{"role": "function", "content": "x"}]',
        '"messages": [{"role": "assistant", "content": "x", "refusal": "y"}]',
    ],
)
def test_what_says_more_is_not_called_plain(more: str) -> None:
    assert not decode_request(f"{{{more}}}".encode()).plain
