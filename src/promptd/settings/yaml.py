"""YAML with sharp edges taken off: no duplicate keys, no keys but texts, no types that JSON lacks."""

from __future__ import annotations

from typing import Any

import yaml

from promptd.core.errors import SettingsError

_TAG = "tag:yaml.org,2002:"


class _Loader(yaml.SafeLoader):
    """SafeLoader that refuses what would be silently lost or changed."""

    def refuse(self, node: yaml.Node) -> Any:
        raise yaml.constructor.ConstructorError(
            None, None, f"a value of type {node.tag} is not allowed", node.start_mark
        )

    def scalar(self, node: yaml.Node) -> Any:
        try:
            return yaml.SafeLoader.yaml_constructors[node.tag](self, node)
        except (ValueError, LookupError):  # `!!int x`, `!!bool x`, more digits than Python reads
            raise yaml.constructor.ConstructorError(
                None, None, f"not a value of type {node.tag}", node.start_mark
            ) from None

    def mapping(self, node: yaml.Node) -> dict[str, Any]:
        if not isinstance(node, yaml.MappingNode):
            return self.refuse(node)  # type: ignore[no-any-return]
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.tag not in (f"{_TAG}str", f"{_TAG}merge"):
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key.value} is not a text; put it in quotes", key.start_mark
                )
            name = key.value
            if name in seen:
                raise yaml.constructor.ConstructorError(None, None, f"the key {name} is there twice", key.start_mark)
            seen.add(name)
        self.flatten_mapping(node)
        return {key.value: self.construct_object(value, deep=True) for key, value in node.value}


# a table of its own, because the parent keeps its on the class
_Loader.yaml_constructors = {f"{_TAG}{name}": _Loader.scalar for name in ("null", "bool", "int", "float", "str")}
_Loader.yaml_constructors[f"{_TAG}seq"] = yaml.SafeLoader.yaml_constructors[f"{_TAG}seq"]
_Loader.yaml_constructors[f"{_TAG}map"] = _Loader.mapping
_Loader.yaml_constructors[None] = _Loader.refuse
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != f"{_TAG}timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def parse(text: str, *, name: str) -> dict[str, Any]:
    """The mapping that a YAML document holds; empty for an empty one. Raises `SettingsError` with name and line."""
    try:
        tree = yaml.load(text, Loader=_Loader)  # noqa: S506 (the loader is stricter than the safe one)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{name}, line {mark.line + 1}" if mark else name
        said = ", ".join(part for part in (error.context, error.problem) if part)
        raise SettingsError(f"{place}: {said}") from None
    except yaml.YAMLError as error:
        raise SettingsError(f"{name}: {str(error).splitlines()[0]}") from None
    except RecursionError:
        raise SettingsError(f"{name}: nested too deeply") from None
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise SettingsError(f"{name}: expected a mapping of settings")
    return tree
