"""The lenient load, step by step: what is lost, what is kept, and what the report says."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Literal

import pytest
from pydantic import BaseModel, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from promptd.core.configs import LoadReport, SerializedConfig, load, serialize
from promptd.core.configs.stored import MAX_ISSUES
from promptd.core.errors import PromptSerializationError
from promptd.core.localisation import Key, resolve
from tests.core.configs.models import Auth, Basic, Plain, Server, Settings, full

pytestmark = pytest.mark.slow

SECRET = "sk-very-secret"


def read(data: Any, model: type[Any] = Settings, **given: Any) -> tuple[Any, LoadReport]:
    report = LoadReport()
    stored = given.pop("stored", None) or SerializedConfig(json.dumps(data).encode())
    return load(model, stored, report, **given), report


def issues(report: LoadReport) -> list[tuple[str, str]]:
    return [(issue.kind, issue.path) for issue in report.issues if issue.kind != "required"]


@pytest.mark.parametrize(
    "stored",
    [
        SerializedConfig(b""),
        SerializedConfig(b"\xff\xfe"),
        SerializedConfig(b"[1]"),
        SerializedConfig(b'{"url": NaN}'),
        SerializedConfig(b'{"a":' * 100_000),
        SerializedConfig(b'{"url": "x"}', content_type="application/x-pickle"),
    ],
    ids=range(6),
)
@pytest.mark.formcycle(19)
def test_what_cannot_be_decoded_gives_defaults(stored: SerializedConfig) -> None:
    config, report = read(None, stored=stored)
    assert config == Settings()
    assert report.status == "unreadable"
    assert issues(report) == [("unreadable", "")]


@pytest.mark.formcycle(19)
def test_settings_of_another_service_give_defaults() -> None:
    config, report = read({"endpoint": "x", "servers": "many", "nested": {"a": 1}}, Plain)
    assert config == Plain()
    assert report.status == "adjusted"
    assert issues(report) == [("unknown_field", "endpoint"), ("unknown_field", "servers"), ("unknown_field", "nested")]


@pytest.mark.formcycle(17)
def test_unknown_fields_go_at_every_depth() -> None:
    config, report = read(
        {
            "url": "u",
            "x": 1,
            "auth": {"user": "me", "y": 2},
            "login": {"kind": "bearer", "token": "t", "user": "of the other kind"},
            "servers": [{"url": "a", "z": {"deep": 1}}],
            "headers": {"any": "name"},
        }
    )
    assert issues(report) == [
        ("unknown_field", "x"),
        ("unknown_field", "auth.y"),
        ("unknown_field", "login.user"),
        ("unknown_field", "servers[0].z"),
    ]
    assert (config.url, config.auth.user, config.login.token.get_secret_value()) == ("u", "me", "t")
    assert (config.servers[0].url, config.headers["any"].get_secret_value()) == ("a", "name")


def test_a_model_that_ignores_unknown_fields_reports_them_all_the_same() -> None:
    class Loose(BaseModel):
        a: int = 1

    class Outer(BaseModel):
        inner: Loose = Loose()
        any_name: dict[str, Loose] = {}

    _, report = read({"inner": {"b": 1}, "any_name": {"k": {"c": 1}}, "d": 1}, Outer)
    assert issues(report) == [
        ("unknown_field", "d"),
        ("unknown_field", "inner.b"),
        ("unknown_field", "any_name.k.c"),
    ]


@pytest.mark.formcycle(18)
def test_an_invalid_value_costs_only_itself() -> None:
    config, report = read(
        {
            "url": 5,
            "auth": {"user": "me", "tries": 99},
            "servers": [{"url": "a", "weight": "heavy"}, "no server", {"url": "b"}],
            "headers": {"a": [], "b": "kept"},
            "since": "never",
        }
    )
    assert {kind for kind, _ in issues(report)} == {"invalid_value"}
    assert sorted(path for _, path in issues(report)) == [
        "auth.tries",
        "headers.a",
        "servers[0].weight",
        "servers[1]",
        "since",
        "url",
    ]
    assert config == Settings(
        auth=Auth(user="me"), servers=[Server(url="a"), Server(url="b")], headers={"b": SecretStr("kept")}
    )


@pytest.mark.formcycle(18)
def test_several_bad_items_of_one_list() -> None:
    config, report = read({"servers": ["x", {"url": "a"}, 7, {"url": "b"}, None]})
    assert [server.url for server in config.servers] == ["a", "b"]
    assert {path for _, path in issues(report)} == {"servers[0]", "servers[2]", "servers[4]"}


def test_a_union_falls_back_as_a_whole_field() -> None:
    config, report = read({"url": "u", "number": {"a": 1}, "login": {"kind": "basic", "user": 7, "password": "p"}})
    assert config == Settings(url="u")
    assert {path for _, path in issues(report)} == {"number", "login"}


def test_an_unknown_kind_of_a_union_falls_back() -> None:
    config, report = read({"url": "u", "login": {"kind": "magic"}})
    assert config.login == Basic()
    assert issues(report) == [("invalid_value", "login")]


def test_a_fault_without_a_place_costs_the_whole_configuration() -> None:
    class Crossed(Plain):
        low: int = 1
        high: int = 2

        @model_validator(mode="after")
        def _ordered(self) -> Crossed:
            if self.low > self.high:
                raise ValueError("low is above high")
            return self

    config, report = read({"low": 5}, Crossed)
    assert config == Crossed()
    assert issues(report) == [("invalid_value", "")]


def test_a_validator_that_raises_anything_does_not_stop_the_load() -> None:
    class Odd(Plain):
        name: str = "n"

        @field_validator("name")
        @classmethod
        def _check(cls, value: str) -> str:
            raise LookupError(value)

    config, report = read({"name": SECRET}, Odd)
    assert config == Odd()
    assert issues(report) == [("invalid_value", "")]


@pytest.mark.formcycle(18)
def test_the_narrowest_place_goes_first() -> None:
    class Wide(Plain):
        auth: Auth = Auth()

        @field_validator("auth", mode="wrap")
        @classmethod
        def _blame_both(cls, value: Any, handler: Callable[[Any], Auth]) -> Auth:
            if value.get("user") != "bad":
                return handler(value)
            error = PydanticCustomError("odd", "odd")
            places: list[InitErrorDetails] = [
                {"type": error, "loc": (), "input": value},
                {"type": error, "loc": ("user",), "input": value},
            ]
            raise ValidationError.from_exception_data("auth", places)

    config, report = read({"auth": {"user": "bad", "tries": 5}}, Wide)
    assert config.auth == Auth(tries=5)
    assert issues(report) == [("invalid_value", "auth.user")]


def test_a_model_without_defaults_is_the_last_resort() -> None:
    class Needy(Plain):
        url: str

    with pytest.raises(PromptSerializationError):
        read({"url": 1}, Needy)


def test_fields_go_by_name_even_if_they_have_an_alias() -> None:
    class Aliased(Plain):
        base_url: str = Field("", alias="baseUrl")
        tries: int = Field(1, validation_alias="maxTries")

    config = Aliased.model_validate({"base_url": "u", "tries": 4}, by_name=True, by_alias=False)
    again, report = read(None, Aliased, stored=serialize(config, 1))
    assert again == config
    assert report.status == "clean"
    again, report = read({"base_url": "u", "tries": "x"}, Aliased)
    assert again.base_url == "u"
    assert issues(report) == [("invalid_value", "tries")]


@pytest.mark.formcycle(9)
def test_no_secret_stands_in_a_report() -> None:
    class Talkative(Plain):
        key: SecretStr = SecretStr("")
        other: str = ""
        kind: Literal["a", "b"] = "a"

        @field_validator("key", "other")
        @classmethod
        def _check(cls, value: Any) -> Any:
            shown = value.get_secret_value() if isinstance(value, SecretStr) else value
            raise ValueError(f"bad value {shown}")

    _, report = read({"key": SECRET, "other": SECRET, "kind": SECRET, "auth": {"key": SECRET}}, Talkative)
    assert {issue.path for issue in report.issues} == {"key", "other", "kind", "auth"}
    for issue in report.issues:
        assert SECRET not in str(issue)
        assert SECRET not in resolve(issue.message, None, "en")


def test_messages_say_what_would_fit() -> None:
    _, report = read({"auth": {"tries": 99}, "since": "never"})
    said = {issue.path: resolve(issue.message, None, "de") for issue in report.issues}
    assert said["auth.tries"] == "Höchstens 9"
    assert said["since"] == "Bitte ein Datum oder eine Uhrzeit eingeben"


class TestVersions:
    @pytest.mark.formcycle(16)
    def test_every_step_runs_once_and_before_validation(self) -> None:
        steps: list[int] = []

        def migrate(data: dict[str, Any], version: int) -> dict[str, Any]:
            steps.append(version)
            return {"address": data["adr"]} if version == 1 else {"url": f"http://{data['address']}"}

        stored = SerializedConfig(b'{"adr": "one"}', version=1)
        config, report = read(None, stored=stored, version=3, migrate=migrate)
        assert steps == [1, 2]
        assert config.url == "http://one"
        assert issues(report) == []

    def test_a_current_version_is_not_migrated(self) -> None:
        def migrate(data: dict[str, Any], version: int) -> dict[str, Any]:
            raise AssertionError(version)

        for version in (3, None):
            config, _ = read(
                None, stored=SerializedConfig(b'{"url": "u"}', version=version), version=3, migrate=migrate
            )
            assert config.url == "u"

    @pytest.mark.formcycle(17)
    def test_a_newer_version_loads_as_far_as_it_fits(self) -> None:
        stored = SerializedConfig(b'{"url": "u", "later": 1}', version=9)
        config, report = read(None, stored=stored, version=2)
        assert config.url == "u"
        assert report.status == "incomplete"
        assert issues(report) == [("newer_version", ""), ("unknown_field", "later")]
        assert stored.data == b'{"url": "u", "later": 1}'
        assert report.issues[0].message == Key("promptd.load.newer", {"stored": 9, "current": 2})

    @pytest.mark.parametrize("result", [KeyError("x"), None, {"url": object()}, {"url": float("nan")}])
    def test_a_step_that_fails_leaves_what_was_there(self, result: Any) -> None:
        def migrate(data: dict[str, Any], version: int) -> Any:
            data.clear()
            if isinstance(result, Exception):
                raise result
            return result

        stored = SerializedConfig(b'{"url": "u"}', version=1)
        config, report = read(None, stored=stored, version=3, migrate=migrate)
        assert config.url == "u"
        assert issues(report) == [("migration_failed", "")]

    def test_a_step_may_give_up(self) -> None:
        def migrate(data: dict[str, Any], version: int) -> dict[str, Any]:
            raise PromptSerializationError("not any more")

        with pytest.raises(PromptSerializationError, match="not any more"):
            read(None, stored=SerializedConfig(b"{}", version=1), version=2, migrate=migrate)


def test_required_settings_that_are_empty_are_noted() -> None:
    _, report = read({"url": "  ", "servers": []})
    assert [(issue.kind, issue.path) for issue in report.issues] == [("required", "url"), ("required", "auth.user")]
    assert report.status == "incomplete"
    _, report = read({}, required=lambda config: [])
    assert report.status == "clean"


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ('"\\ud800"', "auth.user"),
        ("[" * 150 + "]" * 150, "auth.user" + "[0]" * 98),
        ("1e999", "auth.user"),
        ("9" * 5000, "auth.user"),
    ],
    ids=["surrogate", "deep", "infinite", "long"],
)
def test_what_no_json_should_hold_costs_only_itself(text: str, path: str) -> None:
    stored = SerializedConfig(b'{"url": "u", "auth": {"tries": 5, "user": %s}}' % text.encode())
    config, report = read(None, stored=stored)
    assert (config.url, config.auth) == ("u", Auth(tries=5))
    assert issues(report)[0] == ("invalid_value", path)


def test_a_broken_name_is_dropped() -> None:
    config, report = read(None, stored=SerializedConfig(b'{"url": "u", "auth": {"\\ud800": 1}}'))
    assert config.url == "u"
    assert issues(report) == [("unknown_field", "auth")]


def test_a_report_is_bounded_and_keeps_its_status() -> None:
    config, report = read({f"f{n}": n for n in range(MAX_ISSUES + 50)})
    assert config == Settings()
    assert report.status == "incomplete"
    assert len(report.issues) + report.more == MAX_ISSUES + 52
    assert len(report.issues) <= MAX_ISSUES + 2


def test_files_that_are_gone_cost_their_field() -> None:
    stored = serialize(full(), 1)
    lost = {slot: file for slot, file in stored.files.items() if slot != "documents[0]"}
    config, report = read(None, stored=SerializedConfig(stored.data, files=lost))
    assert [file.filename for file in config.documents] == ["2.txt"]
    assert issues(report) == [("invalid_value", "documents[0]")]


class TestRefusedSaves:
    @pytest.mark.formcycle(21)
    def test_numbers_that_are_not_finite(self) -> None:
        class Number(Plain):
            rows: list[float] = []

        with pytest.raises(PromptSerializationError, match=r"rows\[1\]"):
            serialize(Number(rows=[1.0, float("inf")]), 1)

    def test_broken_text(self) -> None:
        class Texts(Plain):
            extra: dict[str, Any] = {}

        with pytest.raises(PromptSerializationError):
            serialize(Texts(extra={"a": "\ud800"}), 1)
        with pytest.raises(PromptSerializationError) as caught:
            serialize(Texts(extra={"a": object(), "b": SECRET}), 1)
        assert SECRET not in str(caught.value)

    def test_values_of_another_type(self) -> None:
        no_model: Any = "no model"
        with pytest.raises(PromptSerializationError):
            serialize(Settings.model_construct(url=SECRET, auth=no_model), 1)
