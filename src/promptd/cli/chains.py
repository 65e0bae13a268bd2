"""`promptd chains`: stored lists of templates, each fed by the others' outputs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from promptd.cli.exits import CliError, Exit
from promptd.cli.inputs import Given, gather, input_options, print_params
from promptd.cli.options import json_option, with_client
from promptd.cli.output import clean, complain, one_line, print_fields, print_json, print_table

if TYPE_CHECKING:
    from promptd.cli.client import Client

Json = dict[str, Any]

_WAIT: Final = "20s"  # one look at a run; well below the silence that a client takes for death
_OVER: Final = ("completed", "failed", "skipped")


@click.group()
def chains() -> None:
    """Save and run chains of templates."""


@chains.command("list")
@json_option
@with_client
def list_(client: Client, as_json: bool) -> None:
    """List all chains."""
    from promptd.cli.client import at

    items = [item for page in client.pages(at("chains")) for item in page]
    if as_json:
        print_json({"items": items})
        return
    print_table(
        ("name", "actions", "changed", "user", "description"),
        (
            (it["name"], [one["name"] for one in it["actions"]], it["changed_at"], it["user"], it["description"])
            for it in items
        ),
    )


@chains.command()
@click.argument("name")
@json_option
@with_client
def show(client: Client, name: str, as_json: bool) -> None:
    """Show a chain as the file that `push` reads."""
    from promptd.cli import chain_files
    from promptd.cli.client import at

    view = client.call("GET", at("chains", name))
    if as_json:
        print_json(view)
    else:
        click.echo(clean(chain_files.write(view, name=name)), nl=False)


@chains.command()
@click.argument("paths", metavar="PATH...", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True))
@click.option("--dry-run", is_flag=True, help="Tell what would change, and change nothing.")
@json_option
@with_client
def push(client: Client, paths: tuple[Path, ...], dry_run: bool, as_json: bool) -> Exit:
    """Save the chains in files, or in all .yaml files of folders. Where a file can't be read, nothing is saved."""
    found = _read(paths)
    steps: list[tuple[str, str, str]] = []
    outcome = Exit.OK
    for path, name, body in found:
        try:
            steps.append((name, _pushed(client, path, name, body, dry_run=dry_run), str(path)))
        except CliError as error:
            if error.exit_code in (Exit.UNREACHABLE, Exit.DENIED, Exit.BUSY):
                raise
            complain(error.message)
            outcome = Exit.FAILED
    if as_json:
        print_json({"items": [dict(zip(("name", "action", "place"), step, strict=True)) for step in steps]})
    else:
        print_table(("name", "action", "place"), steps)
    return outcome


def _read(paths: tuple[Path, ...]) -> list[tuple[Path, str, Json]]:
    """Raises `CliError` once all that is wrong is told."""
    from promptd.cli import chain_files
    from promptd.core.errors import InvalidRequest

    found: dict[str, tuple[Path, str, Json]] = {}
    bad = 0
    for path in [file for one in paths for file in (sorted(one.rglob("*.yaml")) if one.is_dir() else [one])]:
        try:
            name, body = chain_files.read(path)
            if name in found:
                raise InvalidRequest(f"{path}: the chain {name} is in {found[name][0]} already", field="name")
            found[name] = (path, name, body)
        except InvalidRequest as error:
            complain(error.message)
            bad += 1
        except OSError as error:
            complain(f"{path}: {error.strerror or error}")
            bad += 1
    if bad:
        raise CliError("nothing was saved", Exit.USAGE)
    return list(found.values())


def _pushed(client: Client, path: Path, name: str, body: Json, *, dry_run: bool) -> str:
    from promptd.cli import chain_files
    from promptd.cli.client import Refused, at

    try:
        view = client.call("GET", at("chains", name))
    except Refused as error:
        if error.status != 404:
            raise
        view = None
    if view is not None and chain_files.same(body, view):
        return "unchanged"
    if not dry_run:
        try:
            client.call("PUT", at("chains", name), body=body)
        except Refused as error:
            line = chain_files.line_of(path, error.field)
            raise CliError(f"{path}{f', line {line}' if line else ''}: {error.message}", error.exit_code) from None
    return "new" if view is None else "changed"


@chains.command()
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@with_client
def delete(client: Client, names: tuple[str, ...]) -> None:
    """Delete chains. What runs goes on."""
    from promptd.cli.client import at

    for name in names:
        client.call("DELETE", at("chains", name))
        click.echo(f"{name}  deleted")


# ---------------------------------------------------------------- runs


@chains.command()
@click.argument("name")
@input_options
@click.option("--describe", is_flag=True, help="Show what goes in and what comes out, and run nothing.")
@click.option("--queue", is_flag=True, help="Print the run's id at once and leave it to the server.")
@json_option
@with_client
def run(
    client: Client,
    name: str,
    values: tuple[Given, ...],
    json_values: tuple[Given, ...],
    files: tuple[Given, ...],
    describe: bool,
    queue: bool,
    as_json: bool,
) -> Exit:
    """Run a chain and print its outputs as JSON; its steps are told on standard error as they end. Ctrl-C cancels it."""
    from promptd.cli.client import Refused, at

    chain = client.call("GET", at("chains", name))
    if describe:
        _describe(chain, as_json=as_json)
        return Exit.OK
    inputs = gather(client, chain["inputs"], values, json_values, files)
    try:
        receipt = client.call("POST", at("chains", name, "run"), body=inputs.body())
    except Refused:
        inputs.take_back(client)
        raise
    if not queue:
        return _followed(client, receipt, as_json=as_json)
    if as_json:
        print_json(receipt)
    else:
        click.echo(receipt["id"])
    return Exit.OK


@chains.command()
@click.argument("id_", metavar="ID")
@click.option("--wait", "waits", is_flag=True, help="Wait for its end.")
@json_option
@with_client
def status(client: Client, id_: str, waits: bool, as_json: bool) -> Exit:
    """Show how far a run is."""
    from promptd.cli.client import at

    found = client.call("GET", at("chain-runs", id_))
    while waits and found["status"] == "running":
        found = client.call("GET", at("chain-runs", id_), query={"wait": _WAIT})
    if as_json:
        print_json(found)
        return Exit.OK
    print_fields(
        {
            "id": found["id"],
            "chain": found["chain"],
            "status": found["status"],
            "began": found["created_at"],
            "ended": found["finished_at"],
            "error": found["message"] and f"{found['message']} ({found['code']})",
        }
    )
    click.echo()
    print_table(
        ("step", "status", "prompt", "message"),
        ((step["name"], step["status"], step["prompt"], step["message"]) for step in found["steps"]),
    )
    return Exit.OK


@chains.command()
@click.argument("id_", metavar="ID")
@json_option
@with_client
def cancel(client: Client, id_: str, as_json: bool) -> None:
    """Cancel a run and its prompts."""
    from promptd.cli.client import at

    found = client.call("POST", at("chain-runs", id_, "cancel"))
    if as_json:
        print_json(found)
    else:
        click.echo(f"{found['id']}  {found['status']}")


def _followed(client: Client, found: Json, *, as_json: bool) -> Exit:
    """Until the end. Raises `CliError` with the run's id where the server goes away: the run goes on."""
    from promptd.cli.client import at

    identifier, told = found["id"], set[str]()
    try:
        while True:
            for step in found["steps"]:
                if step["status"] in _OVER and step["name"] not in told:
                    told.add(step["name"])
                    said = f": {step['message']}" if step["message"] else ""
                    click.echo(one_line(f"{step['name']}  {step['status']}{said}"), err=True)
            if found["status"] != "running":
                break
            found = client.call("GET", at("chain-runs", identifier), query={"wait": _WAIT})
    except KeyboardInterrupt:
        return _interrupted(client, identifier)
    except CliError as error:
        raise CliError(
            f"{error.message}; the run goes on: `promptd chains status --wait {identifier}`", error.exit_code
        ) from error
    if as_json:
        print_json(found)
    elif found["status"] == "completed":
        print_json(found["outputs"])
    if found["status"] == "completed":
        return Exit.OK
    complain(f"the run is {found['status']}: {found['message'] or found['code']} ({found['code']})")
    return Exit.PROMPT_FAILED


def _interrupted(client: Client, identifier: str) -> Exit:
    from promptd.cli.client import at

    try:
        client.call("POST", at("chain-runs", identifier, "cancel"), timeout=10)
    except CliError as error:
        complain(f"interrupted, but {identifier} was not canceled: {error.message}")
    else:
        complain(f"canceled {identifier}")
    return Exit.INTERRUPTED


def _describe(chain: Json, *, as_json: bool) -> None:
    if as_json:
        print_json({name: chain[name] for name in ("name", "description", "inputs", "outputs")})
        return
    print_fields({"name": chain["name"], "description": chain["description"], "outputs": ", ".join(chain["outputs"])})
    if chain["inputs"]:
        click.echo()
        print_params(chain["inputs"])
