"""A `.prompt` file taken apart: what stands between its two `---` lines, and the template below."""

from __future__ import annotations

from typing import Any, Final

from msgspec import Struct

from promptd.core.errors import InvalidRequest
from promptd.dialects import yaml_text

_RULE: Final = "---"
#: The format's own names; a name with a dot is an extension, and any other is somebody's own
RESERVED: Final = frozenset(
    {
        *("config", "description", "ext", "input", "metadata", "model", "name", "output", "raw"),
        *("toolDefs", "tools", "variant", "version"),
    }
)


class PromptFile(Struct, frozen=True):
    """`raw` is the frontmatter as it stands; `name` is what the file is called in messages about it."""

    raw: dict[str, Any]
    body: str
    name: str
    document: yaml_text.Document
    body_line: int = 1  #: on which the template begins

    @property
    def ext(self) -> dict[str, dict[str, Any]]:
        """The extensions, `{"maker.tool": {"key": …}}` for `maker.tool.key`."""
        found: dict[str, dict[str, Any]] = {}
        for key, value in self.raw.items():
            space, dot, last = key.rpartition(".")
            if dot and key not in RESERVED:
                found.setdefault(space, {})[last] = value
        return found

    def fault(self, path: yaml_text.Path, reason: str, *, field: str = "") -> InvalidRequest:
        """What a wrong member at `path`, or at `field` below it, is refused with."""
        field = field or yaml_text.spelled(path)
        line = self.document.line(path) or 1
        return InvalidRequest(f"{self.name}, line {line}: {field}: {reason}", field=field)


def read_document(text: str, *, name: str) -> PromptFile:
    """The parts of a `.prompt` file. With frontmatter the template loses the blank space around it.

    Lines that are empty or begin with `#` may stand before the frontmatter. Raises `InvalidRequest` with the line.
    """
    if len(text) > yaml_text.MAX_LENGTH:
        raise InvalidRequest(f"{name}: longer than {yaml_text.MAX_LENGTH} characters", field=name)
    text = text.removeprefix("\ufeff")
    start, line = _first_rule(text)
    if start < 0:
        return PromptFile({}, text, name, yaml_text.Document(None))
    end = rest = start
    while True:
        if end >= len(text):
            raise InvalidRequest(f"{name}, line {line}: the frontmatter has no second ---", field=name)
        rest = _line_end(text, end)
        if _is_rule(text[end:rest]):
            break
        end = rest
    document = yaml_text.read(text[start:end], name=name, first_line=line + 1)
    value = {} if document.value is None else document.value
    if not isinstance(value, dict):
        raise InvalidRequest(f"{name}, line {line + 1}: expected a mapping between the --- lines", field=name)
    body = text[rest:].lstrip()
    return PromptFile(value, body.rstrip(), name, document, 1 + text.count("\n", 0, len(text) - len(body)))


def _first_rule(text: str) -> tuple[int, int]:
    """Where the frontmatter begins, behind its first rule, and that rule's line; -1 where there is none."""
    at, number = 0, 1
    while at < len(text):
        end = _line_end(text, at)
        line = text[at:end]
        if _is_rule(line):
            return end, number
        if line.strip() and not line.startswith("#"):
            break
        at, number = end, number + 1
    return -1, 0


def _line_end(text: str, at: int) -> int:
    end = text.find("\n", at)
    return len(text) if end < 0 else end + 1


def _is_rule(line: str) -> bool:
    return line.startswith(_RULE) and not line[len(_RULE) :].strip()
