"""The strict decoder itself: it must refuse what the Go client refuses."""

from __future__ import annotations

import pytest

from tests.contract import strict

TIME = "2026-01-02T15:04:05.123456789Z"
THREAD = {"id": "t", "createdAt": TIME, "updatedAt": TIME}


@pytest.mark.parametrize(
    ("shape", "value", "words"),
    [
        (strict.THREAD, {**THREAD, "extra": 1}, "unknown member extra"),
        (strict.THREAD, {"id": "t", "createdAt": TIME}, "updatedAt is missing"),
        (strict.THREAD, {**THREAD, "title": 7}, "title: expected a string"),
        (strict.THREAD, {**THREAD, "id": None}, "id: expected a string"),
        (strict.THREAD, {**THREAD, "createdAt": "2026-01-02T15:04:05"}, "expected a time"),
        (strict.THREAD, {**THREAD, "createdAt": "2026-01-02T15:04:05.1234567890Z"}, "expected a time"),
        (strict.THREAD, {**THREAD, "userIds": "u"}, "userIds: expected a list"),
        (strict.THREADS, {"threads": None}, "threads: expected a list"),
        (strict.THREADS, {"threads": [THREAD, {}]}, r"threads\[1\]: createdAt, id"),
        (strict.PROMPTS, {"prompts": [], "count": 2**31}, "count: expected an int32"),
        (strict.PROMPTS, {"prompts": [], "count": True}, "count: expected an int32"),
        (strict.EVENT, {"type": "restart"}, "is not in the list"),
        (strict.TXT2IMG, {"num_inference_steps": 3}, "unknown member"),
        (strict.CHECK, {"allowed": "true"}, "expected true or false"),
        (strict.USER, {**THREAD, "slug": "s", "labels": {"a": 1}}, r"labels\.a: expected a string"),
        (strict.CHECK, [], "expected an object"),
    ],
)
def test_what_the_client_refuses(shape: strict.Shape, value: object, words: str) -> None:
    with pytest.raises(strict.Refused, match=words):
        shape(value)


def test_null_is_absent_where_it_is_not_needed() -> None:
    strict.THREAD({**THREAD, "title": None})
    strict.DOWNLOADS({"downloads": None})
