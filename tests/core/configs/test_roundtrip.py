"""Stored and read again, a configuration is the same; broken, it loses what is broken and nothing else."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from promptd.core.configs import LoadReport, SerializedConfig, load, serialize
from promptd.core.configs.paths import spell
from tests.core.configs.models import Settings, configs, full

pytestmark = pytest.mark.slow

Leaves = list[tuple[tuple[str | int, ...], Any]]


def read(model: type[Any], stored: SerializedConfig) -> tuple[Any, LoadReport]:
    report = LoadReport()
    return load(model, stored, report, version=3), report


@pytest.mark.formcycle(15)
def test_all_kinds_of_settings_come_back_equal_and_clean() -> None:
    stored = serialize(full(), 3)
    config, report = read(Settings, stored)
    assert config == full()
    assert config.api_key.get_secret_value() == 'key "1"'
    assert config.certificate.open().read() == b"pem"
    assert (report.status, report.issues) == ("clean", [])
    assert (stored.version, stored.content_type) == (3, "application/json")


def test_equal_configurations_have_equal_bytes() -> None:
    assert serialize(full(), 1).data == serialize(full(), 1).data
    assert json.loads(serialize(full(), 1).data)["names"] == ["a", "b", "c"]


@given(configs())
@settings(max_examples=60, deadline=None)
@pytest.mark.formcycle(15)
def test_whatever_the_model_is_it_comes_back_equal(drawn: tuple[BaseModel, Leaves]) -> None:
    config, _ = drawn
    again, report = read(type(config), serialize(config, 3))
    assert again == config
    assert report.status == "clean"


@given(configs(), st.data())
@settings(max_examples=60, deadline=None)
@pytest.mark.formcycle(18)
def test_one_broken_value_costs_itself_and_nothing_else(drawn: tuple[BaseModel, Leaves], data: st.DataObject) -> None:
    config, leaves = drawn
    if not leaves:
        return
    path, bad = data.draw(st.sampled_from(leaves))
    stored = serialize(config, 3)
    raw = json.loads(stored.data)
    put(raw, path, bad)
    again, report = read(type(config), SerializedConfig(json.dumps(raw).encode(), version=3, files=stored.files))
    assert [(issue.kind, issue.path) for issue in report.issues] == [("invalid_value", spell(path))]
    assert report.status == "adjusted"
    drop(raw, path)
    assert again == read(type(config), SerializedConfig(json.dumps(raw).encode(), files=stored.files))[0]
    assert all(other == path or same(config, again, other) for other, _ in leaves)


@given(st.binary(max_size=40) | st.text(max_size=40).map(str.encode))
@settings(max_examples=60, deadline=None)
@pytest.mark.formcycle(19)
def test_garbage_gives_defaults(garbage: bytes) -> None:
    config, report = read(Settings, SerializedConfig(garbage, version=3))
    assert config == Settings()
    assert report.status in {"unreadable", "incomplete"}


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*Settings.model_fields, "x"]), inner),
    max_leaves=20,
)


@given(st.dictionaries(st.sampled_from([*Settings.model_fields, "x"]), _JSON))
@settings(max_examples=60, deadline=None)
def test_any_object_loads(data: dict[str, Any]) -> None:
    config, _ = read(Settings, SerializedConfig(json.dumps(data).encode()))
    assert isinstance(config, Settings)
    again, report = read(Settings, serialize(config, 3))
    assert again == config
    assert report.status in {"clean", "incomplete"}


def put(raw: Any, path: tuple[str | int, ...], value: Any) -> None:
    for part in path[:-1]:
        raw = raw[part]
    raw[path[-1]] = value


def drop(raw: Any, path: tuple[str | int, ...]) -> None:
    for part in path[:-1]:
        raw = raw[part]
    del raw[path[-1]]


def same(one: Any, other: Any, path: tuple[str | int, ...]) -> bool:
    for part in path:
        one, other = (one[part], other[part]) if isinstance(part, int) else (getattr(one, part), getattr(other, part))
    return bool(one == other)
