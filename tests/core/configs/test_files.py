"""Files of a configuration: dates decide what is written, and only what is written is opened."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from promptd.core.configs import ConfigFile, FilePlan, LoadReport, StoredFile, load, plan_files, serialize
from promptd.core.errors import PromptSerializationError
from tests.core.configs.models import THEN, Settings, file, full

pytestmark = pytest.mark.slow


def closed(name: str, moment: datetime = THEN, media_type: str = "text/plain") -> StoredFile:
    """A file that must not be opened."""

    def fail() -> None:
        raise AssertionError(name)

    return StoredFile(name, media_type, moment, fail)  # type: ignore[arg-type]


@pytest.mark.formcycle(22, 23)
def test_dates_decide() -> None:
    before = {name: closed(name) for name in ("same", "later", "older", "gone")}
    after = {
        "same": closed("same"),
        "later": closed("later", THEN + timedelta(milliseconds=1)),
        "older": closed("older", THEN - timedelta(days=1)),
        "new": closed("new"),
    }
    assert plan_files(before, after) == FilePlan(write=("new",), rewrite=("later", "older"), delete=("gone",))
    assert plan_files(before, before) == FilePlan()


def test_another_name_is_no_other_content() -> None:
    after = {"a": closed("new name"), "b": closed("b", media_type="image/png"), "c": closed("c")}
    plan = plan_files({name: closed(name) for name in "abc"}, after)
    assert plan == FilePlan(renamed=("a", "b"))


@pytest.mark.formcycle(22)
def test_dates_compare_in_utc_and_whole_milliseconds() -> None:
    there = THEN.astimezone(timezone(timedelta(hours=5)))
    assert plan_files({"a": closed("a", THEN)}, {"a": closed("a", there)}) == FilePlan()
    precise = THEN + timedelta(microseconds=999)
    assert plan_files({"a": closed("a", THEN)}, {"a": closed("a", precise)}) == FilePlan()
    assert closed("a", precise).last_modified == THEN
    assert closed("a", there).last_modified.tzinfo is UTC


@pytest.mark.formcycle(23)
def test_a_naive_date_is_refused() -> None:
    with pytest.raises(PromptSerializationError, match="time zone"):
        file("a", moment=datetime(2026, 1, 1))


def test_a_file_keeps_its_slot_when_the_list_shrinks() -> None:
    stored = serialize(full(), 1)
    assert set(stored.files) == {"certificate", "documents[0]", "documents[1]"}
    config = load(Settings, stored, LoadReport())
    shrunk = config.model_copy(update={"documents": [config.documents[1], file("3.txt")]})
    again = serialize(shrunk, 1)
    assert again.files["documents[1]"].filename == "2.txt"
    assert again.files["documents[1]~2"].filename == "3.txt"
    plan = plan_files(stored.files, again.files)
    assert plan == FilePlan(write=("documents[1]~2",), delete=("documents[0]",))
    assert load(Settings, again, LoadReport()) == shrunk


def test_one_slot_is_never_two_files() -> None:
    one = ConfigFile("1", "text/plain", THEN, file("1").open, slot="s")
    stored = serialize(Settings(documents=[one, one], certificate=one), 1)
    assert len(stored.files) == 3
    assert "s" in stored.files


@pytest.mark.formcycle(22)
def test_storing_opens_nothing() -> None:
    config = Settings(certificate=ConfigFile("a", "text/plain", THEN, closed("a").open))
    assert list(serialize(config, 1).files) == ["certificate"]
