"""Templates between files and the HTTP API: what a file says as the body of a call, and what the server shows as a file."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from promptd.cli.client import at
from promptd.core.template import Draft, check_name
from promptd.dialects.template_files import TemplateFile, write_template_file

if TYPE_CHECKING:
    from promptd.cli.client import Client

Json = dict[str, Any]

#: members of a draft that are the server's own matter
_NEVER_SENT: Final = ("settings", "source", "fault")
#: a file in the settings of a query, as the server tells it; only its slot says which one it is
_FILE_MARK: Final = "$file"


class Held(Struct, frozen=True):
    """A template as a file or the server has it: `settings` are those of a query's form."""

    draft: Draft
    settings: Json | None = None

    def same(self, other: Held) -> bool:
        """Whether saving one over the other would change nothing."""
        return plain(self.draft) == plain(other.draft) and self.settings == other.settings


class Remote(Struct, frozen=True):
    """The newest version of a template on the server."""

    name: str
    number: int
    held: Held
    labels: dict[str, Any]
    fault: str = ""


def plain(draft: Draft) -> Draft:
    """Without what no file says."""
    return replace(draft, settings=None, source="", fault="")


def body_of(held: Held, **more: Any) -> Json:
    """A `NewVersion`."""
    told: Json = msgspec.to_builtins(held.draft)
    for name in _NEVER_SENT:
        told.pop(name, None)
    told["dialect"] = str(held.draft.dialect)
    if held.settings is not None:
        told["settings"] = held.settings
    return told | {name: value for name, value in more.items() if value}


def held_of(view: Json) -> Held:
    """What a `VersionView` says."""
    members = {name: view[name] for name in Draft.__struct_fields__ if name in view and name not in _NEVER_SENT}
    return Held(msgspec.convert(members, Draft), _told(view.get("settings")))


def text_of(name: str, held: Held) -> str:
    """As our YAML. Raises `InvalidRequest` where the draft holds what a file can't."""
    return write_template_file(TemplateFile(plain(held.draft), settings=held.settings), name=name)


def remote(client: Client, template: Json) -> Remote:
    """The newest version of what a `TemplateView` tells. Raises `CliError`."""
    name = check_name(str(template["name"]))  # it becomes the name of a file
    view = client.call("GET", at("templates", name, "version"), query={"label": "latest"})
    return Remote(name, view["version"], held_of(view), template["labels"], view["fault"])


def remotes(client: Client) -> Iterator[Remote]:
    """All of them. Raises `CliError`."""
    for page in client.pages(at("templates")):
        for item in page:
            yield remote(client, item)


def partials(client: Client) -> dict[str, str]:
    """The texts that templates share, by name. Raises `CliError`."""
    found = client.call("GET", at("partials"))["items"]
    return {check_name(str(item["name"])): str(item["source"]) for item in found}


def _told(value: Any) -> Any:
    """Settings without what the server tells beside a file's mark: a form sends the mark alone."""
    if isinstance(value, dict):
        if isinstance(value.get(_FILE_MARK), str):
            return {_FILE_MARK: value[_FILE_MARK]}
        return {name: _told(inner) for name, inner in value.items()}
    return [_told(inner) for inner in value] if isinstance(value, list) else value
