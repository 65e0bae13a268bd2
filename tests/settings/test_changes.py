"""What a reload makes of two settings: applied keys, keys that wait for a restart, and the settings in between."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from promptd.settings import LIVE, Settings, compare

BASE: dict[str, Any] = {
    "connections": {"one": {"engine": "scripted", "script": []}, "two": {"engine": "scripted"}},
    "models": {"a": {"connection": "one"}, "b": {"connection": "two"}},
    "guard": {"blocklist": ["bad"]},
}
PRICE = {"input_per_million": 1.0, "output_per_million": 2.0}


def made(home: Path, **sections: Any) -> Settings:
    return Settings.model_validate({"home": home, **BASE, **sections})


def test_equal_settings_have_no_changes(tmp_path: Path) -> None:
    changes = compare(made(tmp_path), made(tmp_path))
    assert (changes.changed, changes.restart_required) == ((), ())
    assert changes.settings == made(tmp_path)


@pytest.mark.parametrize(
    ("sections", "changed"),
    [
        ({"retry": {"base_seconds": 1.5}, "log": {"json": True}}, ("retry.base_seconds", "log.json")),
        ({"limits": [{"name": "x", "metric": "requests", "limit": 1}]}, ("limits",)),
        ({"default_model": "b"}, ("default_model",)),
        ({"guard": {"blocklist": ["worse"]}}, ("guard.blocklist",)),
        ({"guard": {}}, ("guard.blocklist",)),
        # changed by a key of its engine, removed, added
        (
            {
                "connections": {
                    "one": {"engine": "scripted", "script": [{"say": "x"}]},
                    "new": {"engine": "scripted"},
                },
                "models": {"a": {"connection": "one"}, "b": {"connection": "new"}},
            },
            ("connections.one", "connections.two", "connections.new", "models.b"),
        ),
        ({"models": {**BASE["models"], "a": {"connection": "one", "price": PRICE}}}, ("models.a",)),
    ],
)
def test_what_takes_effect(tmp_path: Path, sections: dict[str, Any], changed: tuple[str, ...]) -> None:
    wanted = made(tmp_path, **sections)
    changes = compare(made(tmp_path), wanted)
    assert (changes.changed, changes.restart_required) == (changed, ())
    assert changes.settings == wanted
    assert compare(changes.settings, wanted).changed == ()


def test_what_is_fixed_stays_and_is_asked_for_again(tmp_path: Path) -> None:
    running = made(tmp_path, queue={"lease_seconds": 40.0})
    wanted = made(
        tmp_path / "other",
        server={"port": 1},
        queue={"max_waiting": 7},
        keys={"admin_key": "pk-0123456789abcdef"},
    )
    restart = ("home", "server.port", "queue.lease_seconds", "keys.admin_key")
    changes = compare(running, wanted)
    assert (changes.changed, changes.restart_required) == (("queue.max_waiting",), restart)
    assert changes.settings == running.model_copy(update={"queue": changes.settings.queue})
    assert (changes.settings.queue.lease_seconds, changes.settings.queue.max_waiting) == (40.0, 7)
    again = compare(changes.settings, wanted)
    assert (again.changed, again.restart_required) == ((), restart)


def test_secrets_are_compared_and_not_shown(tmp_path: Path) -> None:
    secrets = [
        made(tmp_path, connections={**BASE["connections"], "one": {"engine": "openai", "api_key": f"sk-secret-{n}"}})
        for n in range(2)
    ]
    changes = compare(*secrets)
    assert changes.changed == ("connections.one",)
    assert "sk-secret" not in repr(changes)


def test_live_names_are_settings() -> None:
    for name in LIVE:
        section, _, key = name.partition(".")
        assert section in Settings.model_fields, name
        if key:
            kind: Any = Settings.model_fields[section].annotation
            assert key in kind.model_fields, name


def test_the_docs_name_what_takes_effect() -> None:
    text = (Path(__file__).parents[2] / "docs" / "configuration.md").read_text(encoding="utf-8")
    told = text.partition("## Reload")[2].partition("takes a restart")[0]
    for name in LIVE:
        assert f"`{name}`" in told, name
