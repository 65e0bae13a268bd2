"""`promptd models` and `promptd connections`: what can be asked, and what serves it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from promptd.cli.exits import Exit
from promptd.cli.options import json_option, with_client
from promptd.cli.output import complain, one_line, print_json, print_table
from promptd.cli.pull import pull
from promptd.cli.stored import COMMANDS as STORED

if TYPE_CHECKING:
    from promptd.cli.client import Client

_LOADING_SECONDS: Final = 600.0  # a large model takes minutes to load


@click.group()
def models() -> None:
    """List, fetch, start and stop models, and choose the default one."""


models.add_command(pull)


@models.command("list")
@click.option("--catalogue", is_flag=True, help="List the models that promptd knows where to fetch.")
@json_option
@with_client
def list_models(client: Client, catalogue: bool, as_json: bool) -> None:
    """List the models that can be asked."""
    from promptd.cli.client import at

    if catalogue:
        _list_catalogue(client, as_json=as_json)
        return
    found = client.call("GET", at("models"))
    if as_json:
        print_json(found)
        return
    print_table(
        ("name", "status", "connection", "engine", "capabilities", "context", "default", "reason"),
        (
            (
                model["name"],
                model["status"],
                model["connection"],
                model["engine"],
                model["capabilities"],
                model["context"],
                "yes" if model["default"] else "",
                model["reason"],
            )
            for model in found["items"]
        ),
    )


def _list_catalogue(client: Client, *, as_json: bool) -> None:
    from promptd.cli.client import at

    found = client.call("GET", at("catalogue"))
    if as_json:
        print_json(found)
        return
    print_table(
        ("name", "title", "quality", "file GB", "memory GB", "ready"),
        (
            (
                item["name"],
                " ".join(filter(None, (item["title"], item["parameters"], item["flavour"], item["version"]))),
                item["quality"],
                item["size"] or "",
                item["memory"] or "",
                "yes" if item["ready"] else "",
            )
            for item in found["items"]
        ),
    )


@models.command()
@click.argument("name")
@json_option
@with_client
def show(client: Client, name: str, as_json: bool) -> None:
    """Show all about one model, also about one that is not fetched yet."""
    from promptd.cli.client import at

    found = client.call("GET", at("models", name))
    if as_json:
        print_json(found)
        return
    served, known = found["served"] or {}, found["catalogue"] or {}
    status = served.get("status") or ("not served" if found["ready"] else "not fetched")
    members = {
        "name": found["name"],
        "status": status,
        "reason": served.get("reason"),
        "default": "yes" if found["default"] else None,
        "engine": served.get("engine") or known.get("engine"),
        "connection": served.get("connection"),
        "capabilities": ", ".join(served.get("capabilities", ())),
        "context": served.get("context"),
        "quality": known.get("quality"),
        "file GB": known.get("size"),
        "memory GB": known.get("memory"),
        "url": known.get("url"),
    }
    for label, value in members.items():
        if value:
            click.echo(f"{label + ':':<14}{one_line(str(value))}")


@models.command()
@click.argument("name")
@json_option
@with_client
def default(client: Client, name: str, as_json: bool) -> None:
    """Make a model the one of prompts that name none, from now on and after a restart."""
    from promptd.cli.client import at

    found = client.call("POST", at("models", name, "default"))
    if as_json:
        print_json(found)
    else:
        click.echo(f"{found['name']}  default")


@models.command()
@click.argument("name")
@json_option
@with_client
def start(client: Client, name: str, as_json: bool) -> None:
    """Load a local model, and wait until it is ready."""
    _change(client, name, "start", as_json=as_json)


@models.command()
@click.argument("name")
@json_option
@with_client
def stop(client: Client, name: str, as_json: bool) -> None:
    """Unload a local model. The next prompt for it loads it again."""
    _change(client, name, "stop", as_json=as_json)


def _change(client: Client, name: str, verb: str, *, as_json: bool) -> None:
    from promptd.cli.client import at

    model: dict[str, Any] = client.call("POST", at("models", name, verb), timeout=_LOADING_SECONDS)
    if as_json:
        print_json(model)
    else:
        click.echo(f"{model['name']}  {model['status']}")


@click.group()
def connections() -> None:
    """List and test the connections to AI systems, and save some."""


for _command in STORED:
    connections.add_command(_command)


@connections.command("list")
@json_option
@with_client
def list_connections(client: Client, as_json: bool) -> None:
    """List connections with their slots and models."""
    from promptd.cli.client import at

    found = client.call("GET", at("connections"))
    if as_json:
        print_json(found)
        return
    columns = ["name", "engine", "busy", "slots", "models"]
    if any("state" in item for item in found["items"]):
        columns.append("state")
    print_table(columns, ([item.get(column, "") for column in columns] for item in found["items"]))
    if found["waiting"]:
        waiting = found["waiting"]
        click.echo("1 prompt is waiting" if waiting == 1 else f"{waiting} prompts are waiting", err=True)


@connections.command()
@click.argument("name")
@json_option
@with_client
def check(client: Client, name: str, as_json: bool) -> Exit:
    """Test whether a connection works: address, key, models."""
    from promptd.cli.client import at

    result = client.call("POST", at("connections", name, "check"), timeout=_LOADING_SECONDS)
    if as_json:
        print_json(result)
    elif result["ok"]:
        click.echo(f"{name}  ok  {result['message']}".rstrip())
        for model in result["models"]:
            click.echo(f"  {model}")
    else:
        complain(f"{name}: {result['message']}")
    return Exit.OK if result["ok"] else Exit.FAILED
