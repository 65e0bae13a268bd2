"""Settings: where they come from, which source wins, and what stops the start."""

from __future__ import annotations

import ipaddress
import json
import typing
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from promptd.core.errors import SettingsError
from promptd.core.lifecycle import Status
from promptd.core.ports import Retention
from promptd.settings import Settings, load
from promptd.settings.explain import field_type

Load = Callable[..., Settings]


@pytest.fixture
def read(tmp_path: Path) -> Load:
    def read(text: str | None = None, **environ: str) -> Settings:
        if text is not None:
            (tmp_path / "promptd.yaml").write_text(text, encoding="utf-8")
        return load(tmp_path, None, environ)

    return read


def refused(read: Load, text: str | None = None, **environ: str) -> SettingsError:
    with pytest.raises(SettingsError) as caught:
        read(text, **environ)
    return caught.value


def test_defaults(read: Load, tmp_path: Path) -> None:
    settings = read()
    assert (settings.server.host, settings.server.port) == ("127.0.0.1", 11337)
    assert settings.store_path == tmp_path / "promptd.db"
    assert settings.connections["builtin"].engine == "llamacpp"
    assert settings.models["demo"].connection == "builtin"
    assert settings.default_model == "demo"
    assert settings.retention.rules == ()
    assert settings.keys.admin_key is None


def test_environment_beats_file_beats_default(read: Load) -> None:
    text = "server: {port: 1000, host: 127.0.0.2}"
    assert read(text).server.port == 1000
    settings = read(text, PROMPTD_SERVER__PORT="2000")
    assert (settings.server.port, settings.server.host, settings.server.drain_seconds) == (2000, "127.0.0.2", 20)


def test_settings_are_frozen(read: Load) -> None:
    settings = read()
    with pytest.raises(ValidationError):
        settings.server.port = 1  # type: ignore[misc]
    with pytest.raises(ValidationError):
        settings.default_model = "x"  # type: ignore[misc]


def test_home_and_file_from_the_environment(tmp_path: Path) -> None:
    (tmp_path / "promptd.yaml").write_text("server: {port: 1}")
    (tmp_path / "other.yaml").write_text("server: {port: 2}")
    home = str(tmp_path)
    assert load(None, None, {"PROMPTD_HOME": home}).server.port == 1
    assert load(None, None, {"PROMPTD_HOME": home, "PROMPTD_CONFIG": f"{home}/other.yaml"}).server.port == 2
    assert load(tmp_path, tmp_path / "other.yaml", {"PROMPTD_HOME": "/nowhere"}).server.port == 2


def test_home_defaults_to_a_folder_of_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert load(environ={}).home == tmp_path / ".promptd"


def test_a_named_file_must_exist(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="no such file"):
        load(tmp_path, tmp_path / "missing.yaml", {})
    with pytest.raises(SettingsError, match="can't be read"):
        load(tmp_path, tmp_path, {})


@pytest.mark.parametrize(
    "text", ["", "# nothing\n", "---\n", "server:\n  # port: 1\n", "connections: {}\nmodels: {}\n"]
)
def test_what_says_nothing_means_defaults(read: Load, text: str) -> None:
    assert read(text) == read("")


@pytest.mark.parametrize(
    ("text", "key", "message"),
    [
        ("sever: {}", "sever", 'did you mean "server"?'),
        ("server: {prot: 1}", "server.prot", 'did you mean "port"?'),
        ("log: {jsn: true}", "log.jsn", 'did you mean "json"?'),
        ("log: {json_lines: true}", "log.json_lines", "unknown setting"),
        ("limits: [{nam: x}]", "limits[0].name", "required, but missing"),
        ("home: /tmp", "home", "PROMPTD_HOME"),
        ("server: {port: '80'}", "server.port", "expected a valid integer"),
        ("server: {port: true}", "server.port", "expected a valid integer"),
        ("server: {port: 80.5}", "server.port", "expected a valid integer"),
        ("server: {port: 65536}", "server.port", "expected less than or equal to 65535"),
        ("server: {host: 127}", "server.host", "expected a valid string"),
        ("server: {open_metrics: 1}", "server.open_metrics", "expected a valid boolean"),
        ("server: 5", "server", "expected"),
        ("server: {trusted_proxies: [10.0.0.1/8]}", "server.trusted_proxies[0]", "IPv4 or IPv6 network"),
        ("server: {tls_cert: /dev/nonexistent, tls_key: /dev/nonexistent}", "server.tls_cert", "existing file"),
        ("queue: {lease_seconds: .inf}", "queue.lease_seconds", "finite"),
        ("queue: {lease_seconds: .nan}", "queue.lease_seconds", "finite"),
        ("queue: {lease_seconds: 9}", "queue.beat_seconds", "at most half of queue.lease_seconds"),
        ("queue: {rescue_limit: 2}", "queue.quarantine_after", "at most queue.rescue_limit"),
        ("store: {path: ''}", "store.path", "not empty"),
        ("retry: {base_seconds: 0.5}", "retry.base_seconds", "greater than or equal to 1"),
        ("log: {level: inof}", "log.level", "'info'"),
        ("connections: {'a b': {engine: x}}\nmodels: {m: {connection: a b}}", "connections.a b", "text to match"),
        ("connections: {a: {slots: 3}}\nmodels: {m: {connection: a}}", "connections.a.engine", "required"),
        ("connections: {a: {engine: x, slots: 0}}\nmodels: {m: {connection: a}}", "connections.a.slots", "greater"),
        ("default_model: nope", "default_model", "expected one of demo"),
        ("limits: [{name: a, metric: requests, limit: 0}]", "limits[0].limit", "greater than or equal to 1"),
        ("limits: [{name: a, metric: concurrency, limit: 1, period: day}]", "limits[0]", "no period"),
        ("limits: [{name: a, metric: cost, limit: 1, period: day, window: 9}]", "limits[0]", "no window"),
        ("limits: [{name: a, metric: cost, limit: 1, period: week}]", "limits[0].period", "day"),
        ("limits: [{name: a, metric: cost, limit: 1, scope: planet}]", "limits[0].scope", "pattern"),
        ("limits: [{name: a, metric: cost, limit: 1, scope: 'header:X-Tenant'}]", "limits[0].scope", "pattern"),
        ("limits: [{name: a, metric: cost, limit: 1, scope: all, only: x}]", "limits[0]", "only"),
        ("limits: [{name: a, metric: concurrency, limit: 1, window: 9}]", "limits[0].window", "concurrency"),
        ("limits: [{name: a, metric: concurrency, limit: 1, burst: 9}]", "limits[0].burst", "concurrency"),
        (
            "limits: [{name: a, metric: requests, limit: 1}, {name: a, metric: cost, limit: 1}]",
            "limits[1].name",
            "no other entry",
        ),
        ("guard: {patterns: [{name: a, pattern: x}, {name: a, pattern: y}]}", "guard.patterns[1].name", "no other"),
        ("guard: {blocklist: ['']}", "guard.blocklist[0]", "at least 1 character"),
    ],
)
def test_what_stops_the_start(read: Load, text: str, key: str, message: str) -> None:
    error = refused(read, text)
    assert error.key == key
    assert error.message.startswith(f"{key}: ")
    assert message in error.message


@pytest.mark.parametrize("given", ["tls_cert", "tls_key"])
def test_tls_needs_both_files(read: Load, tmp_path: Path, given: str) -> None:
    (tmp_path / "pem").write_text("")
    error = refused(read, f"server: {{{given}: {tmp_path}/pem}}")
    assert error.key == {"tls_cert": "server.tls_key", "tls_key": "server.tls_cert"}[given]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("server: {port: 1\nlog: [", "line 2"),
        ("a:\n  b: 1\n b: 2", "line 3"),
        ("server:\n  port: 1\n  host: x\n  port: 2", "line 4: the key port is there twice"),
        ("server: {port: 1}\nserver: {port: 2}", "line 2: the key server is there twice"),
        ("1: x", "line 1: the key 1 is not a text"),
        ("on: x", "line 1: the key on is not a text"),
        ("? [a, b]\n: x", "is not a text"),
        ("server: {port: !!int x}", "line 1: not a value of type"),
        ("server: " + "[" * 2000, "nested too deeply"),
        ("x: !!python/object/apply:os.getpid []", "line 1: a value of type"),
        ("x: !!set {a}", "a value of type"),
        ("x: !!binary aGk=", "a value of type"),
        ("x: &a [*a]", "line 1"),
        ("x: *nowhere", "line 1"),
        ("- a", "expected a mapping"),
        ("text", "expected a mapping"),
        ("a: 1\n---\na: 2", "line 2: expected a single document"),
        ("a: \x07", "promptd.yaml"),
    ],
)
def test_yaml_errors_name_the_line(read: Load, text: str, message: str) -> None:
    error = refused(read, text)
    assert "promptd.yaml" in error.message
    assert message in error.message
    assert "\n" not in error.message


def test_a_file_that_is_not_text(read: Load, tmp_path: Path) -> None:
    (tmp_path / "promptd.yaml").write_bytes(b"server: \xff\xfe")
    assert "can't be read" in refused(read).message


def test_dates_stay_texts_and_anchors_work(read: Load) -> None:
    settings = read(
        "connections:\n  a: &a {engine: x, version: 2026-01-02}\n  b: {<<: *a, slots: 7}\nmodels: {m: {connection: b}}"
    )
    assert settings.connections["a"].config == {"version": "2026-01-02"}
    assert (settings.connections["b"].engine, settings.connections["b"].slots) == ("x", 7)


def test_secrets_from_the_environment(read: Load) -> None:
    text = "connections: {a: {engine: x, api_key: '${KEY}', url: 'http://${HOST}/$${HOST}/$HOST'}}\nmodels: {m: {connection: a}}"
    config = read(text, KEY="s3cret", HOST="there").connections["a"].config
    assert config == {"api_key": "s3cret", "url": "http://there/${HOST}/$HOST"}


def test_interpolated_values_take_the_type_of_their_setting(read: Load) -> None:
    assert read("server: {port: '${PORT}', host: '${HOST}'}", PORT="99", HOST="12").server.port == 99
    assert refused(read, "server: {port: '${PORT}'}", PORT="x").key == "server.port"


def test_values_are_not_interpolated_twice(read: Load) -> None:
    text = "connections: {a: {engine: x, api_key: '${KEY}'}}\nmodels: {m: {connection: a}}"
    assert read(text, KEY="${HOME}", HOME="h").connections["a"].config["api_key"] == "${HOME}"


@pytest.mark.parametrize("name", ["NOPE", ""])
def test_a_missing_variable(read: Load, name: str) -> None:
    error = refused(read, f"keys: {{admin_key: '${{{name}}}'}}")
    assert error.key == "keys.admin_key"
    assert "is not set" in error.message


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("PROMPTD_SERVER__PROT", "1", 'unknown setting server.prot, did you mean "port"?'),
        ("PROMPTD_SEVER__PORT", "1", 'unknown setting sever.port, did you mean "server"?'),
        ("PROMPTD_SERVER__PORT__X", "1", "unknown setting server.port.x"),
        ("PROMPTD_LIMITS__0", "{}", "unknown setting limits.0"),
        ("PROMPTD_HOM", "x", 'did you mean "PROMPTD_HOME"?'),
        ("PROMPTD_", "x", "unknown setting"),
        ("PROMPTD_SERVER__PORT", "many", "server.port: expected a valid integer (from PROMPTD_SERVER__PORT)"),
        ("PROMPTD_SERVER__PORT", "", "server.port: expected a valid integer"),
        ("PROMPTD_LIMITS", '[{"name": "a"}]', "(from PROMPTD_LIMITS)"),
        ("PROMPTD_ADMIN_KEY", "short", "keys.admin_key: expected at least 16 characters (from PROMPTD_ADMIN_KEY)"),
    ],
)
def test_variables_that_stop_the_start(read: Load, name: str, value: str, message: str) -> None:
    assert message in refused(read, "", **{name: value}).message


def test_one_setting_by_two_variables(read: Load) -> None:
    message = refused(read, "", PROMPTD_SERVER__PORT="1", PROMPTD_Server__Port="2").message
    assert "given twice" in message


def test_a_variable_inside_something_that_is_no_mapping(read: Load) -> None:
    assert refused(read, "server: 5", PROMPTD_SERVER__PORT="1").key == "server"


def test_variables_of_the_command_line_are_no_settings(read: Load) -> None:
    assert read("", PROMPTD_KEY="k", PROMPTD_URL="u", PROMPTD_HOME="h", HOME="x", PATH="y") == read("")


def test_lists_and_mappings_in_variables_are_json(read: Load) -> None:
    settings = read(
        "",
        PROMPTD_GUARD__BLOCKLIST='["a", "b"]',
        PROMPTD_LIMITS='[{"name": "calls", "metric": "requests", "limit": 3}]',
        PROMPTD_LOG='{"json": true, "level": "debug"}',
        PROMPTD_SERVER__TRUSTED_PROXIES='["10.0.0.0/8", "::1"]',
        PROMPTD_RETENTION__COMPLETED="60",
        PROMPTD_STORE__PATH="x.db",
    )
    assert settings.guard.blocklist == ("a", "b")
    assert settings.limits[0].policy.limit == 3
    assert (settings.log.json_lines, settings.log.level) == (True, "debug")
    assert settings.server.trusted_proxies == (ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("::1"))
    assert settings.retention.rules == (Retention(Status.COMPLETED, 60),)
    assert settings.store_path == settings.home / "x.db"


def test_a_variable_finds_a_connection_of_the_file(read: Load) -> None:
    text = "connections: {Open-AI: {engine: openai}}\nmodels: {m: {connection: Open-AI}}"
    settings = read(text, PROMPTD_CONNECTIONS__OPEN_AI__API_KEY="123", PROMPTD_CONNECTIONS__OPEN_AI__SLOTS="9")
    assert settings.connections["Open-AI"].slots == 9
    assert settings.connections["Open-AI"].config == {"api_key": "123"}
    assert list(settings.connections) == ["Open-AI"]


def test_secrets_are_in_no_text(read: Load) -> None:
    text = "connections: {a: {engine: x, api_key: t0psecret}}\nmodels: {m: {connection: a}}"
    settings = read(text, PROMPTD_ADMIN_KEY="t0psecret-t0psecret")
    assert settings.keys.admin_key is not None
    assert settings.keys.admin_key.get_secret_value() == "t0psecret-t0psecret"
    for shown in (repr(settings), str(settings), str(settings.connections["a"]), f"{settings.keys}"):
        assert "t0psecret" not in shown
    for wrong in (
        "keys: {admin_key: [t0psecret]}",
        "connections: {a: {engine: [t0psecret]}}\nmodels: {m: {connection: a}}",
    ):
        assert "t0psecret" not in str(refused(read, wrong))


def sections(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    yield model
    for field in model.model_fields.values():
        stack: list[Any] = [field.annotation]
        while stack:
            kind = stack.pop()
            stack += typing.get_args(kind)
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                yield from sections(kind)


@pytest.mark.parametrize("section", list(dict.fromkeys(sections(Settings))), ids=lambda section: section.__name__)
def test_every_field_is_described_and_bounded(section: type[BaseModel]) -> None:
    for name, field in section.model_fields.items():
        assert field.description is not None, name
        kind = field_type(section, [field.alias or name])
        if kind in (int, float):
            assert field.metadata or "Annotated" in str(field.annotation), f"{section.__name__}.{name} has no bounds"
        leaf = not (isinstance(kind, type) and issubclass(kind, BaseModel))
        assert field.description or not leaf or name == "limits", f"{section.__name__}.{name} has no description"


@given(
    st.dictionaries(
        st.sampled_from([*Settings.model_fields, "x", "sever", ""]),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["port", "name", "a"]), inner),
            max_leaves=6,
        ),
    )
)
def test_any_tree_gives_settings_or_a_settings_error(
    tmp_path_factory: pytest.TempPathFactory, tree: dict[str, object]
) -> None:
    home = tmp_path_factory.mktemp("home")
    variables = {f"PROMPTD_{key.upper()}": json.dumps(value) for key, value in tree.items() if key != "home"}
    try:
        settings = load(home, None, variables)
    except SettingsError:
        return
    assert settings.default_model in settings.models or not (settings.default_model or settings.models)


WORDS = """server port log connections a engine x models limits : - { } [ ] , &a *a << !!int !!float !t 1 0x 1:2:3 1_0 .nan
1e999 ~ | > ' " # % @ ` ? ${A} $${ ${ 2020-01-01 = on ü"""
words = st.sampled_from([*WORDS.split(), " ", "\n", "\n  ", ": ", "- ", ", ", "\x85"])


@given(st.lists(words, max_size=20).map("".join))
@example("server: {port: !!int ''}")
@example("server: {port: !!int x}")
@example("server: {port: !!float x}")
@example("server: {port: !!bool x}")
@example("log: !!seq {}")
@example("log: !!str []")
@example("log: !!map []")
@example("? &a [*a]\n: x")
@example("? !!str [a]\n: x")
@example("<<: [1]")
@example("x: =")
@example("server: " + "9" * 5000)
@example("server: " + "[" * 2000)
def test_any_file_gives_settings_or_a_settings_error(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    home = tmp_path_factory.mktemp("home")
    (home / "promptd.yaml").write_text(text, encoding="utf-8", newline="")
    try:
        load(home, None, {"A": "1"})
    except SettingsError as error:
        # one line for the log
        assert len(error.message.splitlines()) == 1  # noqa: PT017 (both outcomes are fine)


def test_a_guard_of_answers_needs_a_rule(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"guard\.output"):
        load(tmp_path, environ={"PROMPTD_GUARD__OUTPUT": "true"})
    settings = load(tmp_path, environ={"PROMPTD_GUARD__OUTPUT": "true", "PROMPTD_GUARD__BLOCKLIST": '["badger"]'})
    assert settings.guard.rules == {"blocklist": ("badger",), "whole_words": True}
