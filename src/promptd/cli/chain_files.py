"""Chains as YAML files. A binding is said by its kind: `text: {reference: inputs.text}`.

```yaml
inputs:
- name: text
actions:
- name: summary
  template: summarise
  bindings:
    text: {reference: inputs.text}
outputs:
  summary: summary.text
```
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import Struct, field

from promptd.core.chain import Action, Binding
from promptd.core.descriptors import Param
from promptd.core.errors import InvalidRequest
from promptd.core.template import check_name
from promptd.dialects import yaml_text

Json = dict[str, Any]

_KINDS: Final = ("literal", "template", "reference", "file")
_MOST_BYTES: Final = 16 * 1024 * 1024


class _Action(Action, frozen=True, forbid_unknown_fields=True):
    bindings: dict[str, dict[str, Any]] = field(default_factory=dict)  # type: ignore[assignment]


class _File(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    name: str | None = None
    description: str = ""
    inputs: tuple[Param, ...] = ()
    actions: tuple[_Action, ...]
    outputs: dict[str, str] = field(default_factory=dict)


def read(path: Path) -> tuple[str, Json]:
    """The chain's name, its file's where it says none, and a `NewChain`. Raises `InvalidRequest`, `OSError`."""
    if path.stat().st_size > _MOST_BYTES:
        raise InvalidRequest(f"{path}: larger than {_MOST_BYTES} bytes", field="name")
    try:
        document = yaml_text.read(path.read_text("utf-8"), name=str(path))
    except UnicodeDecodeError as error:
        raise InvalidRequest(f"{path}: not UTF-8 text: {error.reason} at byte {error.start}", field="name") from None

    def wrong(place: yaml_text.Path, reason: str) -> InvalidRequest:
        spelled = yaml_text.spelled(place)
        said = f"{spelled}: {reason}" if spelled else reason
        return InvalidRequest(f"{path}, line {document.line(place) or 1}: {said}", field=spelled or "chain")

    try:
        file = msgspec.convert(document.value, _File)
    except msgspec.ValidationError as error:
        reason, place = yaml_text.explain(error)
        raise wrong(place, reason) from None
    for number, action in enumerate(file.actions):
        for name, binding in action.bindings.items():
            if len(binding) != 1 or next(iter(binding)) not in _KINDS:
                raise wrong(("actions", number, "bindings", name), f"expected one of {', '.join(_KINDS)} and its value")
    try:
        name = check_name(file.name or path.stem)
    except InvalidRequest as error:
        raise wrong(("name",), f"expected {error.expected}") from None
    return name, _body(file)


def line_of(path: Path, name: str) -> int:
    """Where in the file the member stands that a refusal names; 0 where nobody knows. Raises what `read` raises."""
    import re

    steps = tuple(int(no) if no else step for step, no in re.findall(r"([^.\[\]]+)|\[(\d+)\]", name))
    return yaml_text.read(path.read_text("utf-8"), name=str(path)).line(steps)


def write(view: Json, *, name: str) -> str:
    """A `ChainView` as the text of a file that `read` reads as the same again. Raises `InvalidRequest`."""
    actions = msgspec.convert(view["actions"], tuple[Action, ...])
    shown: Json = {"description": view["description"]} if view["description"] else {}
    inputs = msgspec.to_builtins(msgspec.convert(view["inputs"], tuple[Param, ...]))
    if inputs:
        shown["inputs"] = inputs
    shown["actions"] = [_written(action) for action in actions]
    if view["outputs"]:
        shown["outputs"] = view["outputs"]
    return yaml_text.write(shown, name=name)


def same(body: Json, view: Json) -> bool:
    """Whether saving `body` would change nothing of the chain that the server shows."""
    return body == {
        "description": view["description"],
        "inputs": msgspec.to_builtins(msgspec.convert(view["inputs"], tuple[Param, ...])),
        "actions": [_sent(action) for action in msgspec.convert(view["actions"], tuple[Action, ...])],
        "outputs": view["outputs"],
    }


def _body(file: _File) -> Json:
    actions = [
        msgspec.structs.replace(
            msgspec.convert(msgspec.to_builtins(action) | {"bindings": {}}, Action),
            bindings={name: Binding(*next(iter(said.items()))) for name, said in action.bindings.items()},  # type: ignore[arg-type]
        )
        for action in file.actions
    ]
    return {
        "description": file.description,
        "inputs": msgspec.to_builtins(file.inputs),
        "actions": [_sent(action) for action in actions],
        "outputs": file.outputs,
    }


def _sent(action: Action) -> Json:
    told: Json = msgspec.to_builtins(action)
    return told


def _written(action: Action) -> Json:
    told = _sent(action)
    if action.bindings:
        told["bindings"] = {name: {binding.kind: binding.value} for name, binding in action.bindings.items()}
    return told
