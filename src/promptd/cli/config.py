"""`promptd config`, `plugins` and `version`: what this installation is and how it is set up."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from promptd.cli.options import json_option, settings_options
from promptd.cli.output import clean, complain, print_json, print_table


@click.group()
def config() -> None:
    """Check the configuration."""


@config.command()
@json_option
@settings_options
def check(as_json: bool, config: Path | None, home: Path | None) -> None:
    """Check every setting as `serve` would, and print them all; secrets are hidden."""
    from promptd import registry
    from promptd.settings import load

    settings = load(home, config)
    plugins = registry.load()
    configs = registry.check_connections(settings, plugins)
    shown: dict[str, Any] = settings.model_dump(mode="json", by_alias=True)
    for name, connection in settings.connections.items():
        # engine keys come from the engine's own config class: it knows which of them are secrets
        common = connection.model_dump(mode="json", include=set(type(connection).model_fields))
        shown["connections"][name] = {**configs[name].model_dump(mode="json"), **common}
    if as_json:
        print_json(shown)
    else:
        import yaml

        click.echo(clean(yaml.safe_dump(shown, sort_keys=False, allow_unicode=True)), nl=False)
    for problem in plugins.problems:
        complain(f"{problem.plugin}, {problem.entry}: {problem.reason}", warning=True)


@click.command()
@json_option
def plugins(as_json: bool) -> None:
    """List installed engines, guards and faces.

    Those that can't be used are named on standard error, with the reason.
    """
    from promptd import registry

    found = registry.load()
    items: list[dict[str, Any]] = [
        {
            "kind": "engine",
            "name": engine.type_id,
            "title": engine.display_name,
            "capabilities": sorted(engine.capabilities),
            "source": type(engine).__module__,
        }
        for engine in found.engines.values()
    ]
    for kind, things in (("guard", found.guards), ("face", found.faces)):
        items += [
            {"kind": kind, "name": name, "title": "", "capabilities": [], "source": thing.__module__}
            for name, thing in things.items()
        ]
    if as_json:
        problems = [{"plugin": it.plugin, "entry": it.entry, "reason": it.reason} for it in found.problems]
        print_json({"items": items, "problems": problems})
        return
    print_table(
        ("kind", "name", "capabilities", "source", "title"),
        ((it["kind"], it["name"], it["capabilities"], it["source"], it["title"]) for it in items),
    )
    for problem in found.problems:
        complain(f"{problem.plugin}, {problem.entry}: {problem.reason}", warning=True)


@click.command()
@json_option
def version(as_json: bool) -> None:
    """Print the versions of promptd and what it runs on."""
    import platform
    import sqlite3
    from importlib import metadata

    from promptd import __version__

    try:
        llama: str | None = metadata.version("xllamacpp")
    except metadata.PackageNotFoundError:
        llama = None
    parts = {
        "promptd": __version__,
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "xllamacpp": llama,
        "platform": f"{platform.system()} {platform.machine()}",
    }
    if as_json:
        print_json(parts)
    else:
        for name, value in parts.items():
            click.echo(f"{name} {value or 'not installed'}")
