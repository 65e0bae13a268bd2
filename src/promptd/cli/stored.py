"""`promptd connections add`, `show`, `edit` …: connections that a server keeps. Secrets never stand on the command line."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

import click

from promptd.cli.exits import CliError, Exit
from promptd.cli.options import json_option, with_client
from promptd.cli.output import complain, one_line, print_fields, print_json

if TYPE_CHECKING:
    from promptd.cli.client import Client

F = TypeVar("F", bound=Callable[..., Any])
Json = dict[str, Any]

_TESTING_SECONDS: Final = 600.0
_KEY: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*")


class Given(NamedTuple):
    """A setting by its dotted path."""

    path: str
    value: Any


class Assignment(click.ParamType[Given]):
    """`key=text` or `key:=JSON`."""

    name = "key=value"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Given:
        if isinstance(value, Given):
            return value
        key, equals, text = str(value).partition("=")
        as_json = key.endswith(":")
        key = key.removesuffix(":")
        if not equals or not _KEY.fullmatch(key):
            # a secret that was given without its key must not be repeated
            self.fail("expected key=text, key:=JSON or group.key=text", param, ctx)
        if not as_json:
            return Given(key, text)
        try:
            return Given(key, json.loads(text))
        except ValueError:
            self.fail(f"{key}: what stands behind := is not JSON", param, ctx)


class Pair(click.ParamType[Given]):
    """`key=name`, of a variable or a file."""

    name = "key=name"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Given:
        if isinstance(value, Given):
            return value
        key, _, text = str(value).partition("=")
        if not text or not _KEY.fullmatch(key):
            self.fail("expected key=name", param, ctx)
        return Given(key, text)


def _settings_options(command: F) -> F:
    """Where settings come from."""
    for option in (
        click.option("--slots", type=click.IntRange(1, 10_000), help="Prompts that run on it at once."),
        click.option("--description", help="For those who look after it."),
        click.option(
            "--file", "files", type=Pair(), multiple=True, help="key=path: a file to upload; may be repeated."
        ),
        click.option(
            "--secret-env",
            "variables",
            type=Pair(),
            multiple=True,
            metavar="KEY=VARIABLE",
            help="A secret that is in an environment variable; may be repeated.",
        ),
        click.option(
            "--secret",
            "secrets",
            multiple=True,
            metavar="KEY",
            help="A secret that is asked for, or the next line of standard input; may be repeated.",
        ),
        click.option(
            "--set",
            "values",
            type=Assignment(),
            multiple=True,
            help="A setting, such as base_url=https://…, pages:=3 or proxy.host=…; may be repeated.",
        ),
    ):
        command = option(command)
    return command


@click.command()
@click.argument("name")
@click.option("--engine", required=True, help="Its type: see `promptd plugins`.")
@_settings_options
@json_option
@with_client
def add(client: Client, name: str, engine: str, as_json: bool, **wishes: Any) -> None:
    """Save a connection called NAME. It is served at once."""
    from promptd.cli.client import at

    with _filled(client, engine, {}, wishes) as config:
        body = {"name": name, "engine": engine, "config": config, **_facts(wishes)}
        saved = client.call("POST", at("connections"), body=body)
    _tell(saved, "saved", as_json=as_json)


@click.command()
@click.argument("name")
@_settings_options
@click.option("--clear", multiple=True, metavar="KEY", help="A secret to be emptied; may be repeated.")
@click.option("--rename", metavar="NEW", help="Another name.")
@json_option
@with_client
def edit(client: Client, name: str, clear: tuple[str, ...], rename: str | None, as_json: bool, **wishes: Any) -> None:
    """Change a stored connection. What is not said stays; the settings before are kept as a backup."""
    from promptd.cli.client import at

    seen = client.call("GET", at("connections", name))
    body: Json = {"changed_at": seen["changed_at"], **_facts(wishes)}
    if rename is not None:
        body["name"] = rename
    with ExitStack() as stack:
        if clear or any(wishes[source] for source in ("values", "secrets", "variables", "files")):
            if seen["config"] is None:
                raise CliError(f"{name}: {seen['problem'] or 'its settings can not be shown'}")
            body["config"] = stack.enter_context(_filled(client, seen["engine"], seen["config"], wishes))
            body["clear"] = list(clear)
        if len(body) == 1:
            raise click.UsageError("say what is to be different")
        changed = client.call("PUT", at("connections", seen["id"]), body=body)
    _tell(changed, "changed", as_json=as_json)


@click.command()
@click.argument("name")
@json_option
@with_client
def show(client: Client, name: str, as_json: bool) -> None:
    """Show a stored connection; its secrets as set or not set."""
    from promptd.cli.client import at

    seen = client.call("GET", at("connections", name))
    if as_json:
        print_json(seen)
        return
    tested = seen["tested"]
    print_fields(
        {
            "name": seen["name"],
            "id": seen["id"],
            "engine": seen["engine"],
            "state": seen["state"],
            "problem": seen["problem"],
            "description": seen["description"],
            "slots": seen["slots"],
            "changed": seen["changed_at"],
            "tested": tested and f"{'ok' if tested['ok'] else 'failed'} {tested['time']} {tested['message']}",
        }
    )
    for path, value in _flat(seen["config"] or {}):
        click.echo(f"  {path} = {one_line(value)}")
    for issue in (seen["report"] or {}).get("issues", ()):
        complain(f"{issue['path'] or 'settings'}: {issue['message']}", warning=True)


@click.command()
@click.argument("name")
@json_option
@with_client
def test(client: Client, name: str, as_json: bool) -> Exit:
    """Test a connection as it is stored."""
    from promptd.cli.client import at

    result = client.call("POST", at("connections", name, "test"), timeout=_TESTING_SECONDS)
    if as_json:
        print_json(result)
    else:
        for check in result["checks"]:
            click.echo(f"  {'ok' if check['ok'] else 'failed':<7}{one_line(check['text'])}")
        if result["ok"]:
            click.echo(f"{name}  ok  {one_line(result['message'])}".rstrip())
        else:
            complain(f"{name}: {result['message']}")
    return Exit.OK if result["ok"] else Exit.FAILED


@click.command()
@click.argument("name")
@with_client
def delete(client: Client, name: str) -> None:
    """Delete a stored connection for good; refused while templates use it."""
    from promptd.cli.client import at

    client.call("DELETE", at("connections", name))
    click.echo(f"{name}  deleted")


@click.command()
@click.argument("name")
@json_option
@with_client
def restore(client: Client, name: str, as_json: bool) -> None:
    """Exchange the settings with those before the last save."""
    from promptd.cli.client import at

    seen = client.call("GET", at("connections", name))
    body = {"changed_at": seen["changed_at"]}
    _tell(client.call("POST", at("connections", seen["id"], "restore"), body=body), "restored", as_json=as_json)


@click.command()
@click.argument("name")
@with_client
def export(client: Client, name: str) -> None:
    """Print a stored connection as JSON, without its secrets."""
    from promptd.cli.client import at

    print_json(client.call("GET", at("connections", name, "export")))


# ------------------------------------------------------------------ settings


@contextmanager
def _filled(client: Client, engine: str, config: Json, wishes: Mapping[str, Any]) -> Iterator[Json]:
    """`config` with what was given, until it is saved: the server seals files that it keeps, the uploads are in the clear
    and go. Raises `click.UsageError` where a secret stands on the command line."""
    from promptd.cli.client import at
    from promptd.cli.transfer import Attached, upload

    named = client.call("GET", at("plugins", engine, "forms", "connection"))["secrets"] if wishes["values"] else {}
    for given in wishes["values"]:
        if given.path in named:
            raise click.UsageError(
                f"{given.path} is a secret, and others can see the command line: use --secret or --secret-env"
            )
        _put(config, given)
    for path, variable in wishes["variables"]:
        if variable not in os.environ:
            raise CliError(f"{path}: the environment variable {variable} is not set", Exit.USAGE)
        _put(config, Given(path, os.environ[variable]))
    for path in wishes["secrets"]:
        _put(config, Given(path, _asked(path)))
    attached = Attached([], [])
    try:
        for path, file in wishes["files"]:
            attached.sent.append(upload(client, Path(file))["id"])
            _put(config, Given(path, {"$upload": attached.sent[-1]}))
        yield config
    finally:
        attached.take_back(client)


def _asked(path: str) -> str:
    """A secret from the terminal, or the next line of standard input. Raises `CliError` where there is none."""
    if sys.stdin is not None and sys.stdin.isatty():
        return str(click.prompt(path, hide_input=True, err=True))
    line = sys.stdin.readline().rstrip("\r\n") if sys.stdin is not None else ""
    if not line:
        raise CliError(f"{path}: standard input has no line for it", Exit.USAGE)
    return line


def _put(config: Json, given: Given) -> None:
    *groups, last = given.path.split(".")
    inner = config
    for group in groups:
        below = inner.get(group)
        if not isinstance(below, dict):
            below = inner[group] = {}
        inner = below
    inner[last] = given.value


def _facts(wishes: Mapping[str, Any]) -> Json:
    return {name: wishes[name] for name in ("description", "slots") if wishes[name] is not None}


def _flat(config: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, str]]:
    """Each setting by its dotted path; a secret as set or not set, a file by its name."""
    for name, value in config.items():
        path = f"{prefix}{name}"
        if isinstance(value, dict) and "$secret" in value:
            yield path, "(set)"
        elif isinstance(value, dict) and "$file" in value:
            yield path, str(value.get("filename", value["$file"]))
        elif isinstance(value, dict):
            yield from _flat(value, f"{path}.")
        else:
            yield path, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _tell(seen: Json, verb: str, *, as_json: bool) -> None:
    if as_json:
        print_json(seen)
        return
    click.echo(f"{seen['name']}  {verb}  {seen['state']}")
    for issue in (seen["report"] or {}).get("issues", ()):
        complain(f"{issue['path'] or 'settings'}: {issue['message']}", warning=True)


COMMANDS: Final = (add, show, edit, test, delete, restore, export)
