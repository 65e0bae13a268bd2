"""`listener` and `listeners`: the ports of a file (contracts/arch.md §1.2, §1.4, §1.5)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal

from promptd.dialects.arch.config import EVERYWHERE, Listener, Warned
from promptd.dialects.arch.durations import seconds
from promptd.dialects.arch.faults import fault
from promptd.dialects.yaml_text import Path

PROMPT_PORT: Final = 10000
MODEL_PORT: Final = 12000
INGRESS: Final = "ingress_traffic"
EGRESS: Final = "egress_traffic"
_LONGEST: Final = 86_400.0  # what 0, no limit, comes to


def make_listeners(tree: Mapping[str, Any]) -> tuple[tuple[Listener, ...], list[Warned]]:
    """The listeners, and those that were added. Raises `SettingsError`."""
    chosen: list[Warned] = []
    if "listener" in tree and "listeners" in tree:
        raise fault("either listener or listeners, not both: they say the same", ("listener",))
    if "listener" in tree:
        made = [_listener(tree["listener"], ("listener",), INGRESS, "prompt", PROMPT_PORT)]
        made.append(Listener(name=EGRESS, kind="model", address=made[0].address, port=MODEL_PORT))
        chosen.append(Warned("listener", f"a model listener at port {MODEL_PORT} is added"))
    elif isinstance(tree.get("listeners"), dict):
        made = _of_object(tree, chosen)
    elif "listeners" in tree:
        made = _of_list(tree["listeners"], chosen)
    else:
        raise fault("'listeners' is a required property", ("listeners",))
    ports: dict[int, str] = {}
    for one in made:
        if one.port in ports:
            raise fault(
                f"port {one.port} is that of the listener {ports[one.port]!r} already", ("listeners",), one.name
            )
        if one.port:
            ports[one.port] = one.name
    return tuple(made), chosen


def _of_object(tree: Mapping[str, Any], chosen: list[Warned]) -> list[Listener]:
    given = tree["listeners"]
    made = []
    if INGRESS in given or "prompt_targets" in tree or "prompt_guards" in tree:
        made.append(_listener(given.get(INGRESS, {}), ("listeners", INGRESS), INGRESS, "prompt", PROMPT_PORT))
    made.append(_listener(given.get(EGRESS, {}), ("listeners", EGRESS), EGRESS, "model", MODEL_PORT))
    chosen += [
        Warned(f"listeners.{one.name}", f"a {one.kind} listener at port {one.port} is added")
        for one in made
        if one.name not in given
    ]
    return made


def _of_list(given: list[dict[str, Any]], chosen: list[Warned]) -> list[Listener]:
    made: list[Listener] = []
    for index, entry in enumerate(given):
        path: Path = ("listeners", index)
        prompts = entry["type"] == "prompt"
        if any(one.name == entry["name"] for one in made):
            raise fault("a name that no other listener has", (*path, "name"), entry["name"])
        if not prompts and any(one.kind == "model" for one in made):
            raise fault("There must be at most one model listener", path)
        port = PROMPT_PORT if prompts else MODEL_PORT
        made.append(_listener(entry, path, entry["name"], "prompt" if prompts else "model", port))
    if not any(one.kind == "model" for one in made):
        name = EGRESS if all(one.name != EGRESS for one in made) else f"{EGRESS}_{MODEL_PORT}"
        made.append(Listener(name=name, kind="model", port=MODEL_PORT))
        chosen.append(Warned("listeners", f"a model listener at port {MODEL_PORT} is added"))
    return made


def _listener(entry: Mapping[str, Any], path: Path, name: str, kind: Literal["prompt", "model"], port: int) -> Listener:
    pair = entry.get("common_tls_context", {}).get("tls_certificates", [{}])[0]
    timeout = seconds(entry["timeout"], (*path, "timeout")) if "timeout" in entry else 300.0
    retries = entry.get("max_retries")
    return Listener(
        name=name,
        kind=kind,
        address=entry.get("address", EVERYWHERE),
        port=int(entry.get("port", port)),
        timeout=timeout or _LONGEST,
        max_retries=None if retries is None else int(retries),
        tls_cert=pair["certificate_chain"]["filename"] if pair else None,
        tls_key=pair["private_key"]["filename"] if pair else None,
    )
