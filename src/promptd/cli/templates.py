"""`promptd templates`: stored prompts, their versions and labels, and the files that they are written in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from promptd.cli.exits import CliError, Exit
from promptd.cli.options import json_option, with_client
from promptd.cli.output import clean, complain, one_line, print_fields, print_json, print_table
from promptd.cli.template_sync import diff, install, pull, push

if TYPE_CHECKING:
    from promptd.cli.client import Client

Json = dict[str, Any]

_TESTING_SECONDS: Final = 3600.0  # cases run one after the other, each as long as its model takes
_MOST_WEIGHT: Final = 1_000_000


class ShareOf(click.ParamType[Json]):
    """`VERSION` or `VERSION:WEIGHT`."""

    name = "version[:weight]"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Json:
        if isinstance(value, dict):
            return value
        number, colon, text = str(value).partition(":")
        try:
            weight = float(text) if colon else 1.0
        except ValueError:
            weight = 0.0
        if not number.isdecimal() or int(number) < 1 or not 0 < weight < _MOST_WEIGHT:
            self.fail(f"{value!r} is not a version; expected something like 3, or 3:0.5 with its weight", param, ctx)
        return {"version": int(number), "weight": weight}


@click.group()
def templates() -> None:
    """Save, compare, label, test and delete stored prompts, and keep them in files."""


for _command in (push, pull, diff, install):
    templates.add_command(_command)


@templates.command("list")
@json_option
@with_client
def list_(client: Client, as_json: bool) -> None:
    """List all templates."""
    from promptd.cli.client import at

    items = [item for page in client.pages(at("templates")) for item in page]
    if as_json:
        print_json({"items": items})
        return
    columns = ("name", "latest", "labels", "guarded", "changed", "user")
    print_table(
        columns,
        (
            (it["name"], it["latest"], _labels(it["labels"]), it["guarded"], it["changed_at"], it["user"])
            for it in items
        ),
    )


@templates.command()
@click.argument("name")
@click.option("--version", type=click.IntRange(min=1), help="This version.")
@click.option("--label", help="The version that this label points at.")
@json_option
@with_client
def show(client: Client, name: str, version: int | None, label: str | None, as_json: bool) -> None:
    """Show a template as the file that `pull` writes: the version that runs, or another one."""
    from promptd.cli.client import at
    from promptd.cli.template_views import held_of, text_of

    view = client.call("GET", at("templates", name, "version"), query={"version": version, "label": label})
    if as_json:
        print_json(view)
        return
    found = client.call("GET", at("templates", name))
    print_fields(
        {
            "name": name,
            "version": f"{view['version']} of {found['latest']}",
            "labels": ", ".join(_labels(found["labels"])),
            "guarded": ", ".join(found["guarded"]),
            "saved": f"{view['created_at']} by {view['user']}",
            "note": view["note"],
            "fault": view["fault"],
        }
    )
    click.echo()
    click.echo(clean(text_of(name, held_of(view))), nl=False)


@templates.command()
@click.argument("name")
@json_option
@with_client
def versions(client: Client, name: str, as_json: bool) -> None:
    """List the newest versions of a template: who saved them, when and why."""
    from promptd.cli.client import at

    found = client.call("GET", at("templates", name, "versions"))
    if as_json:
        print_json(found)
        return
    labels: dict[int, list[str]] = {}
    for label, shares in client.call("GET", at("templates", name))["labels"].items():
        for share in shares:
            labels.setdefault(share["version"], []).append(label)
    print_table(
        ("version", "labels", "saved", "user", "note"),
        (
            (str(it["version"]), labels.get(it["version"], []), it["created_at"], it["user"], it["note"])
            for it in found["items"]
        ),
    )


@templates.command()
@click.argument("name")
@click.argument("label")
@click.argument("shares", metavar="VERSION[:WEIGHT]...", nargs=-1, type=ShareOf())
@click.option("--remove", is_flag=True, help="Take the label away.")
@json_option
@with_client
def label(client: Client, name: str, label: str, shares: tuple[Json, ...], remove: bool, as_json: bool) -> None:
    """Let LABEL point at a version, or at several that share its runs by weight."""
    from promptd.cli.client import at

    if remove is bool(shares):
        raise click.UsageError("give versions, or --remove")
    path = at("templates", name, "labels", label)
    if remove:
        found = client.call("DELETE", path)
    else:
        found = client.call("PUT", path, body={"versions": list(shares)}, timeout=_TESTING_SECONDS)
    _tell_labels(found, as_json=as_json)


@templates.command()
@click.argument("name")
@click.argument("label")
@json_option
@with_client
def rollback(client: Client, name: str, label: str, as_json: bool) -> None:
    """Let LABEL point where it did before its last move."""
    from promptd.cli.client import at

    path = at("templates", name, "labels", label, "rollback")
    _tell_labels(client.call("POST", path, timeout=_TESTING_SECONDS), as_json=as_json)


@templates.command()
@click.argument("name")
@click.argument("labels", metavar="[LABEL]...", nargs=-1)
@click.option("--none", "nothing", is_flag=True, help="Guard no label any more.")
@json_option
@with_client
def guard(client: Client, name: str, labels: tuple[str, ...], nothing: bool, as_json: bool) -> None:
    """Only versions whose cases pass may have these labels from now on."""
    from promptd.cli.client import at

    if nothing is bool(labels):
        raise click.UsageError("give labels, or --none")
    found = client.call("PUT", at("templates", name, "guards"), body={"labels": list(labels)})
    if as_json:
        print_json(found)
    else:
        click.echo(f"{name}  guarded  {', '.join(found['guarded']) or '(nothing)'}")


@templates.command()
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@json_option
@with_client
def delete(client: Client, names: tuple[str, ...], as_json: bool) -> Exit:
    """Delete templates with all their versions; refused while a chain uses one."""
    from promptd.cli.client import Unreachable, at

    outcome = Exit.OK
    for name in names:
        try:
            client.call("DELETE", at("templates", name))
        except CliError as error:
            if isinstance(error, Unreachable):
                raise
            complain(error.message if name in error.message else f"{name}: {error.message}")
            outcome = outcome or error.exit_code
            continue
        if as_json:
            print_json({"name": name, "deleted": True})
        else:
            click.echo(f"{name}  deleted")
    return outcome


# ---------------------------------------------------------------- cases


@templates.command()
@click.argument("what", metavar="[NAME | PATH]...", nargs=-1)
@click.option("--version", type=click.IntRange(min=1), help="This version.")
@click.option("--label", help="The version that this label points at.")
@json_option
@with_client
def test(client: Client, what: tuple[str, ...], version: int | None, label: str | None, as_json: bool) -> Exit:
    """Run the cases of templates: of all that have some, of those that are named, or of those in files.

    A PATH has a `/` or ends with .yaml or .prompt. Templates in files are tried on the server as they are, with its
    partials, and not saved. Exit code 1 where a case fails.
    """
    if (version or label) and len(what) != 1:
        raise click.UsageError("--version and --label are for one template")
    reports: list[Json] = []
    for report in _reports(client, what, {"version": version, "label": label}):
        reports.append(report)
        if not as_json:
            _tell_report(report)
    passed = all(report["passed"] for report in reports)
    if as_json:
        print_json({"passed": passed, "items": reports})
    elif not any(report["cases"] for report in reports):
        complain("there are no cases", warning=True)
    return Exit.OK if passed else Exit.FAILED


def _reports(client: Client, what: tuple[str, ...], query: Json) -> Iterator[Json]:
    """Each as it comes. Raises `CliError`."""
    from promptd.cli.client import Refused, at
    from promptd.cli.template_folder import is_path

    paths = [Path(one) for one in what if is_path(one)]
    if paths and any(query.values()):
        raise click.UsageError("--version and --label are for templates of the server")
    names: Iterable[str] = [one for one in what if not is_path(one)]
    if not what:
        names = (item["name"] for page in client.pages(at("templates")) for item in page)
    for name in names:
        try:
            yield client.call("POST", at("templates", name, "test"), query=query, timeout=_TESTING_SECONDS)
        except Refused as error:
            if error.status == 404 and Path(name).is_dir():
                raise CliError(f"{error.message}; a folder is {name}/", error.exit_code) from None
            raise
    if paths:
        yield from _local_reports(client, paths)


def _local_reports(client: Client, paths: list[Path]) -> Iterator[Json]:
    from promptd.cli import template_folder
    from promptd.cli.client import Refused, at
    from promptd.cli.template_views import body_of

    folder = template_folder.read(paths)
    if folder.problems:
        for problem in folder.problems:
            complain(problem)
        raise CliError("nothing was tried", Exit.USAGE)
    for local in folder.templates.values():
        if not local.held.draft.cases:
            continue
        path = at("templates", local.name, "versions", "test")
        try:
            yield client.call("POST", path, body=body_of(local.held), timeout=_TESTING_SECONDS)
        except Refused as error:
            raise CliError(f"{local.place(error.field)}: {error.message}", error.exit_code) from None


def _tell_report(report: Json) -> None:
    version = f" version {report['version']}" if report["version"] else ""
    for case in report["cases"]:
        click.echo(one_line(f"{report['template']}{version}  {'ok' if case['passed'] else 'failed'}  {case['name']}"))
        for failure in case["failures"]:
            click.echo(f"    {one_line(failure)}")


# ---------------------------------------------------------------- what is printed


def _labels(labels: Json) -> list[str]:
    return [f"{name}={_pointed(shares)}" for name, shares in sorted(labels.items())]


def _pointed(shares: list[Json]) -> str:
    if len(shares) == 1:
        return str(shares[0]["version"])
    return "+".join(f"{share['version']}:{share['weight']:g}" for share in shares)


def _tell_labels(found: Json, *, as_json: bool) -> None:
    if as_json:
        print_json(found)
    else:
        click.echo(f"{found['name']}  {'  '.join(_labels(found['labels'])) or '(no labels)'}")
