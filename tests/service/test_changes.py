"""Who may have lost power since when."""

from __future__ import annotations

import pytest

from promptd.service import changes as module
from promptd.service.changes import Changes


def test_a_change_is_of_one_user_or_of_all() -> None:
    changes = Changes()
    start = changes.count
    changes.note("ann")
    assert changes.since(start, "ann")
    assert not changes.since(start, "bob")
    seen = changes.count
    assert not changes.since(seen, "ann")
    changes.note()
    assert changes.since(seen, "ann")
    assert changes.since(seen, "bob")
    assert not changes.since(changes.count, "ann")


def test_of_more_users_than_it_remembers_none_is_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST_USERS", 3)
    changes = Changes()
    start = changes.count
    for number in range(5):
        changes.note(str(number))
    assert all(changes.since(start, str(number)) for number in range(5))
    assert not changes.since(changes.count, "0")
    assert not changes.since(2, "nobody"), "the two that are forgotten were there by then"
    assert changes.since(2, "4")
