"""§6.15 to 6.23: what is stored is read again, whatever became of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

from promptd.core.calls import Config
from promptd.core.configs import LoadReport, SerializedConfig
from promptd.core.configs.stored import JSON
from promptd.core.engine import Engine
from promptd.testing.conformance.filling import Opened, filled
from promptd.testing.conformance.subject import Subject

_GARBAGE: Final = {
    "nothing": b"",
    "no text": b"\xff\xfe\x00",
    "half a JSON": b'{"a": ',
    "a list": b"[]",
    "null": b"null",
    "another service's data": b'{"conformance_host": "a", "conformance_port": {"b": [1, 2]}}',
    "a deep nest": b'{"a":' * 2000 + b"1" + b"}" * 2000,
}
_UNKNOWN: Final = "conformance_unknown"
_BAD: Final[Any] = {"conformance": [{"no": "value"}]}


def check_roundtrips(subject: Subject) -> None:
    """§6.15, 6.22, 6.23: all settings come back, files unopened."""
    for which, model, config in subject.configs():
        with subject.guarded(15, f"the {which}'s settings to be written and read"):
            stored = written(subject.engine, which, config)
            if not subject.expect(
                isinstance(stored, SerializedConfig), 15, "a SerializedConfig", type(stored).__name__
            ):
                continue
            report = LoadReport()
            again = read(subject.engine, which, stored, report)
            subject.expect(type(again) is model, 15, f"a {model.__name__}", type(again).__name__)
            lost = [name for name in model.model_fields if getattr(again, name, None) != getattr(config, name)]
            subject.expect(not lost, 15, f"the {which}'s settings to come back equal", f"{', '.join(lost)} changed")
            others = [issue for issue in report.issues if issue.kind != "required"]
            subject.expect(
                not others, 15, "a clean report", "; ".join(f"{issue.kind} {issue.path}" for issue in others)
            )
            twice = written(subject.engine, which, again)
            subject.expect(
                dict(twice.files) == dict(stored.files), 22, "files to keep their slots and dates", sorted(twice.files)
            )
        with subject.guarded(22, "files to be written unopened"):
            opened = Opened()
            stored = written(subject.engine, which, filled(model, opened=opened))
            read(subject.engine, which, stored, LoadReport())
            subject.expect(opened.count == 0, 22, "no file to be opened before it has to be", opened.count)


def check_versions(subject: Subject) -> None:
    """§6.16, 6.17: the version is stored, older ones take each step once, newer ones load."""
    for which, model, method in _kinds(subject):
        config, version = filled(model), getattr(subject.kind, f"{which}_version")
        with subject.guarded(16, f"the {which}'s version to be stored"):
            stored = written(subject.engine, which, config)
            subject.expect(stored.version == version, 16, f"the {which}'s version {version} with it", stored.version)
        if method is getattr(Engine, f"deserialize_{which}_config"):
            for old in range(1, version):
                _check_migration(subject, which, old, version)
        with subject.guarded(17, f"settings of a newer {which} to load"):
            stored = written(subject.engine, which, config)
            data = _object(stored)
            if data is None:
                continue
            newer = SerializedConfig(
                json.dumps(data | {_UNKNOWN: 1}).encode(), stored.content_type, version + 1, stored.files
            )
            report = LoadReport()
            again = read(subject.engine, which, newer, report)
            subject.expect(again == config, 17, f"what is known of a newer {which} to be kept", "something was lost")
            named = any(_UNKNOWN in issue.path for issue in report.issues)
            subject.expect(named, 17, "the report to name the unknown field", [one.path for one in report.issues])


def _check_migration(subject: Subject, which: str, old: int, version: int) -> None:
    steps: list[int] = []
    own = getattr(subject.kind, f"migrate_{which}")

    def recorded(self: Any, data: dict[str, Any], from_version: int) -> dict[str, Any]:
        steps.append(from_version)
        lifted: dict[str, Any] = own(self, data, from_version)
        return lifted

    watched: Any = type(subject.kind.__name__, (subject.kind,), {f"migrate_{which}": recorded})
    with subject.guarded(16, f"a {which} of version {old} to load"):
        report = LoadReport()
        read(watched(), which, SerializedConfig(b"{}", JSON, old), report)
        expected = list(range(old, version))
        subject.expect(steps == expected, 16, f"migrate_{which} from version {old} in the steps {expected}", steps)
        failed = [issue for issue in report.issues if issue.kind == "migration_failed"]
        subject.expect(
            not failed, 16, f"migrate_{which} to take settings in which anything may be missing", "it raised"
        )


def check_lenience(subject: Subject) -> None:
    """§6.18, 6.19: a bad value costs itself, garbage costs the settings, and neither raises."""
    for which, model, _ in _kinds(subject):
        for name, garbage in _GARBAGE.items():
            with subject.guarded(19, f"{name} to be read as an empty {which}"):
                report = LoadReport()
                config = read(subject.engine, which, SerializedConfig(garbage, JSON, 1), report)
                subject.expect(type(config) is model, 19, f"a {model.__name__} of {name}", type(config).__name__)
                noted = report.status != "clean"
                subject.expect(noted, 19, f"{name} to be noted in the report", report.status)
        _check_bad_values(subject, which, model)


def _check_bad_values(subject: Subject, which: str, model: type[Config]) -> None:
    config = filled(model)
    with subject.guarded(18, f"the {which}'s settings to be written"):
        stored = written(subject.engine, which, config)
        data = _object(stored)
        if data is None or set(data) != set(model.model_fields):
            return  # a format of its own: only its author knows what a bad value is there
        for name in model.model_fields:
            with subject.guarded(18, f"a {which} with a bad value at {name} to load"):
                report = LoadReport()
                bad = SerializedConfig(
                    json.dumps(data | {name: _BAD}).encode(), stored.content_type, stored.version, stored.files
                )
                again = read(subject.engine, which, bad, report)
                _check_siblings(subject, which, name, config, again, report)


def _check_siblings(subject: Subject, which: str, name: str, config: Config, again: Config, report: LoadReport) -> None:
    lost = [
        other
        for other in type(config).model_fields
        if other != name and getattr(again, other) != getattr(config, other)
    ]
    subject.expect(not lost, 18, f"a bad {which}.{name} to cost itself only", f"{', '.join(lost)} lost too")
    if getattr(again, name) == type(config).model_fields[name].get_default(
        call_default_factory=True, validated_data={}
    ):
        told = any(issue.path == name or issue.path.startswith((f"{name}.", f"{name}[")) for issue in report.issues)
        subject.expect(told, 18, f"the report to name the bad {which}.{name}", [one.path for one in report.issues])


def _kinds(subject: Subject) -> Iterator[tuple[str, type[Config], Any]]:
    for which in ("connection", "query"):
        model: type[Config] = getattr(subject.kind, f"{which}_config_class")()
        yield which, model, getattr(subject.kind, f"deserialize_{which}_config")


def written(engine: Engine[Any, Any], which: str, config: Config) -> SerializedConfig:
    """As the host stores it."""
    stored: SerializedConfig = getattr(engine, f"serialize_{which}_config")(config)
    return stored


def read(engine: Engine[Any, Any], which: str, stored: SerializedConfig, report: LoadReport) -> Config:
    """As the host loads it."""
    config: Config = getattr(engine, f"deserialize_{which}_config")(stored, report)
    return config


def _object(stored: SerializedConfig) -> dict[str, Any] | None:
    if stored.content_type.partition(";")[0].strip().lower() != JSON:
        return None
    data = json.loads(stored.data)
    return data if isinstance(data, dict) else None
