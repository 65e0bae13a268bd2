"""`promptd plugins`: what is installed, and why the rest can't be used."""

from __future__ import annotations

from typing import Any

import click

from promptd.cli.options import json_option
from promptd.cli.output import clean, complain, print_json, print_table
from promptd.cli.plugins_new import new


@click.group(invoke_without_command=True)
@click.option("-v", "--verbose", is_flag=True, help="Also the traceback of each problem.")
@json_option
@click.pass_context
def plugins(context: click.Context, verbose: bool, as_json: bool) -> None:
    """List installed engines, guards and faces.

    Those that can't be used are named on standard error, with the reason.
    """
    if context.invoked_subcommand is not None:
        return
    from promptd import registry
    from promptd.core.localisation import Key, resolve
    from promptd.service.connection_tests import localizer_of

    found = registry.load()
    items: list[dict[str, Any]] = [
        {
            "kind": "engine",
            "name": engine.type_id,
            "title": resolve(Key(engine.display_name_key), localizer_of(engine), "en"),
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
        problems = [
            {"plugin": it.plugin, "entry": it.entry, "reason": it.reason}
            | ({"traceback": it.traceback} if verbose else {})
            for it in found.problems
        ]
        print_json({"items": items, "problems": problems})
        return
    print_table(
        ("kind", "name", "capabilities", "source", "title"),
        ((it["kind"], it["name"], it["capabilities"], it["source"], it["title"]) for it in items),
    )
    for problem in found.problems:
        complain(f"{problem.plugin}, {problem.entry}: {problem.reason}", warning=True)
        if verbose and problem.traceback:
            click.echo(clean(problem.traceback.rstrip()), err=True)


plugins.add_command(new)
