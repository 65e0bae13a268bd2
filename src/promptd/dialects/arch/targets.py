"""`endpoints`, `prompt_targets` and `error_target`: the developer's API (contracts/arch.md §1.2, §1.3)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, Literal
from urllib.parse import urlsplit

from promptd.core.targets import TYPES, Parameter, ParameterType, Target
from promptd.dialects.arch.config import Endpoint, Era, ErrorTarget, PromptTarget, Warned
from promptd.dialects.arch.durations import positive
from promptd.dialects.arch.faults import fault, shown
from promptd.dialects.arch.providers import address
from promptd.dialects.yaml_text import Path, spelled

_ENDPOINT: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_TARGET: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_. -]{0,127}")
_PLACE: Final = re.compile(r"\{([^{}]*)\}")


def make_endpoints(tree: Mapping[str, Any]) -> dict[str, Endpoint]:
    """Raises `SettingsError`."""
    made = {}
    for name, entry in tree.get("endpoints", {}).items():
        path: Path = ("endpoints", name)
        if not _ENDPOINT.fullmatch(name):
            raise fault("expected a name of letters, digits, `_`, `-` and dots", path)
        given = entry["endpoint"]
        place: Path = (*path, "endpoint")
        texts = [(given, place)] if isinstance(given, str) else [(one, (*place, n)) for n, one in enumerate(given)]
        made[name] = Endpoint(
            name=name,
            addresses=tuple(address(text, where, entry.get("protocol")) for text, where in texts),
            connect_timeout=positive(entry.get("connect_timeout", 5.0), (*path, "connect_timeout")),
            http_host=entry.get("http_host"),
        )
    return made


def make_targets(
    tree: Mapping[str, Any], era: Era, endpoints: Mapping[str, Endpoint]
) -> tuple[tuple[PromptTarget, ...], list[Warned], list[Warned]]:
    """The targets, warnings, and defaults that the era decided. Raises `SettingsError`."""
    entries = tree.get("prompt_targets", [])
    for index, entry in enumerate(entries):
        if "endpoint" not in entry:  # which only agents can do without
            raise fault("'endpoint' is a required property", ("prompt_targets", index), entry)
    old = era in ("A", "B")
    posts = old and not any("http_method" in one["endpoint"] for one in entries)
    method: Literal["GET", "POST"] = "POST" if posts else "GET"
    warnings: list[Warned] = []
    made: list[PromptTarget] = []
    for index, entry in enumerate(entries):
        path: Path = ("prompt_targets", index)
        target = _target(entry, path, warnings)
        if any(one.target.name == target.name for one in made):
            raise fault(f"'{target.name}' is not a unique name", (*path, "name"))
        if target.default and any(one.target.default for one in made):
            raise fault("There must be at most one default prompt target", (*path, "default"))
        where = entry["endpoint"]
        _known(where["name"], endpoints, (*path, "endpoint", "name"))
        made.append(
            PromptTarget(
                target=target,
                endpoint=where["name"],
                path=_path(where["path"], target, (*path, "endpoint", "path"), warnings),
                method=where.get("http_method", "POST" if target.default else method),
                dispatch=entry.get("auto_llm_dispatch_on_response", not (old and target.default)),
                headers=where.get("http_headers", {}),
                system_prompt=entry.get("system_prompt"),
            )
        )
    return tuple(made), warnings, _chosen(entries, old, method)


def _chosen(entries: list[dict[str, Any]], old: bool, method: str) -> list[Warned]:
    chosen = []
    without = [one["name"] for one in entries if "http_method" not in one["endpoint"] and not one.get("default")]
    if without:
        reason = "of a file with `listeners`"
        if old:
            reason = "of an old file that " + ("sets none" if method == "POST" else "sets one elsewhere")
        chosen.append(Warned("prompt_targets[].endpoint.http_method", f"{method}, {reason}: {', '.join(without)}"))
    silent = [one for one in entries if "auto_llm_dispatch_on_response" not in one]
    for said, names in (
        (True, [one["name"] for one in silent if not (old and one.get("default"))]),
        (False, [one["name"] for one in silent if old and one.get("default")]),
    ):
        if names:
            reason = "of an old file" if old else "of a file with `listeners`"
            key = "prompt_targets[].auto_llm_dispatch_on_response"
            chosen.append(Warned(key, f"{str(said).lower()}, {reason}: {', '.join(names)}"))
    return chosen


def make_error_target(tree: Mapping[str, Any], endpoints: Mapping[str, Endpoint]) -> ErrorTarget | None:
    """Raises `SettingsError`."""
    if "error_target" not in tree:
        return None
    entry = tree["error_target"]["endpoint"]
    name = entry["name"]
    # the original's own reference file names the host of an endpoint here
    hosts = {urlsplit(url).hostname: one.name for one in endpoints.values() for url in one.addresses}
    if name not in endpoints:
        name = hosts.get(name.lower(), name)
    _known(name, endpoints, ("error_target", "endpoint", "name"))
    return ErrorTarget(endpoint=name, path=_rooted(entry.get("path", "/")))


def _known(name: str, endpoints: Mapping[str, Endpoint], path: Path) -> None:
    if name not in endpoints:
        raise fault(f"Unknown endpoint {shown(name)}, please add it in endpoints section", path, name)


def _rooted(path: str) -> str:
    return path if path.startswith("/") else f"/{path}"


def _path(text: str, target: Target, path: Path, warnings: list[Warned]) -> str:
    if "#" in text:
        raise fault("expected a path without `#`", path, text)
    if text.startswith("//") or "://" in text.partition("?")[0]:
        raise fault("expected a path, without the host of the endpoint", path, text)
    known = {one.name for one in target.parameters}
    warnings += [
        Warned(spelled(path), f"{{{name}}} is no parameter of the target: its calls will fail")
        for name in dict.fromkeys(_PLACE.findall(text))
        if name not in known
    ]
    return _rooted(text)


def _target(entry: Mapping[str, Any], path: Path, warnings: list[Warned]) -> Target:
    if not _TARGET.fullmatch(entry["name"]):
        raise fault("expected a name of letters, digits, `_`, `-`, dots and spaces", (*path, "name"), entry["name"])
    parameters: list[Parameter] = []
    in_path = set(_PLACE.findall(entry["endpoint"]["path"]))
    for index, given in enumerate(entry.get("parameters", [])):
        place: Path = (*path, "parameters", index)
        one = _parameter(given, place, warnings)
        if any(one.name == other.name for other in parameters):
            raise fault(f"'{one.name}' is not a unique name", (*place, "name"))
        if given.get("in_path", one.name in in_path) != (one.name in in_path):
            warnings.append(Warned(f"{spelled(place)}.in_path", "has no effect: the `{…}` in the path decide"))
        parameters.append(one)
    return Target(
        entry["name"],
        entry["description"],
        tuple(entry.get("examples", ())),
        tuple(parameters),
        entry.get("default", False),
    )


def _parameter(entry: Mapping[str, Any], path: Path, warnings: list[Warned]) -> Parameter:
    kind: ParameterType | None = TYPES.get(entry["type"].strip().lower())
    if kind is None:
        warnings.append(Warned(f"{spelled(path)}.type", f"{entry['type'][:40]!r} is not known, so it is a text"))
    return Parameter(
        name=entry["name"],
        description=entry["description"],
        type=kind or "str",
        required=entry.get("required", False),
        default=entry.get("default"),
        enum=tuple(entry.get("enum", ())),
        format=entry.get("format", ""),
    )
