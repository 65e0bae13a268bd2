"""`oo permit`: which users and roles may do what."""

from __future__ import annotations

from typing import IO, Any, Final

import click

from promptd.oo.access import Access, with_access
from promptd.oo.failure import Failed
from promptd.oo.output import note, print_table

_TEXTS: Final = ("id", "appHost", "permission")
_LISTS: Final = ("slugs", "roles")


@click.group()
def permit() -> None:
    """Permits: list them, or save them from a file."""


@permit.command(name="list")
@click.option("--permission", help="Only permits for this permission.")
@click.option("--slug", help="Only permits for this user.")
@with_access
def list_(access: Access, permission: str | None, slug: str | None) -> None:
    """List permits."""
    wanted = {name: text for name, text in (("permission", permission), ("slug", slug)) if text}
    found = access.server().ask("POST", "/user-svc/permits", wanted).get("permits") or []
    print_table(
        ("ID", "APP ID", "PERMISSION", "SLUGS", "ROLES"),
        (
            (*(str(each.get(name) or "") for name in ("id", "appId", "permission")), *_joined(each))
            for each in found
            if isinstance(each, dict)
        ),
    )


@permit.command()
@click.argument("file", type=click.File("r", encoding="utf-8"), metavar="FILE")
@with_access
def save(access: Access, file: IO[str]) -> None:
    """Save the permits in FILE (YAML or JSON; - is standard input): one, a list, or a list under `permits`.

    A permit has `permission`, `slugs`, `roles`, and if you like `id` and `appHost` ("*" means every app).
    """
    permits = read(file.read())
    access.server().ask("PUT", "/user-svc/permits", {"permits": permits})
    note(f"saved {len(permits)} permits")


def read(text: str) -> list[dict[str, Any]]:
    """The permits of a file. Raises `Failed` with the path of the member that is wrong."""
    import yaml

    try:
        found = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise Failed(f"the file is not YAML: {' '.join(str(error).split())}") from error
    if isinstance(found, dict):
        found = found.get("permits", [found])
    if not isinstance(found, list) or not found:
        raise Failed("permits: expected a list with at least one permit")
    for number, each in enumerate(found):
        _check(each, f"permits[{number}]")
    return found


def _check(permit: Any, where: str) -> None:
    if not isinstance(permit, dict):
        raise Failed(f"{where}: expected a mapping")
    for name, value in permit.items():
        if name in _TEXTS:
            if not isinstance(value, str):
                raise Failed(f"{where}.{name}: expected a text")
        elif name in _LISTS:
            if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
                raise Failed(f"{where}.{name}: expected a list of texts")
        else:
            raise Failed(f"{where}.{name}: unknown; expected one of {', '.join((*_TEXTS, *_LISTS))}")
    if not permit.get("permission"):
        raise Failed(f"{where}.permission: expected a text that is not empty")


def _joined(permit: dict[str, Any]) -> tuple[str, str]:
    slugs, roles = (",".join(map(str, permit.get(name) or [])) for name in _LISTS)
    return slugs, roles
