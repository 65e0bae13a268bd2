"""`promptd keys`: who may use the server."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from promptd.cli.options import Duration, Moment, json_option, seconds, with_client
from promptd.cli.output import print_json, print_table

if TYPE_CHECKING:
    from promptd.cli.client import Client

F = TypeVar("F", bound=Callable[..., Any])

_METRICS: Final = ("requests", "input_tokens", "output_tokens", "tokens", "cost", "concurrency")
_PERIODS: Final = ("day", "month")
_NANO: Final = 1_000_000_000
_NEVER: Final = "never"


class Limit(click.ParamType[dict[str, Any]]):
    """`requests=60/1m`, `cost=5/month`, `concurrency=4`: an amount per window, or per calendar day or month."""

    name = "limit"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> dict[str, Any]:
        metric, _, rest = str(value).partition("=")
        amount, _, span = rest.partition("/")
        try:
            number = float(amount) * (_NANO if metric == "cost" else 1)
        except ValueError:
            number = 0.0
        limit: dict[str, Any] = {"name": f"{metric}-{span}" if span else metric, "metric": metric}
        window = seconds(span)
        if metric not in _METRICS or not 1 <= number < 2**62 or (metric == "concurrency") == bool(span):
            self.fail(f"{value!r} is not a limit; expected requests=60/1m, cost=5/month or concurrency=4", param, ctx)
        if span in _PERIODS:
            limit["period"] = span
        elif window:
            limit["window"] = window
        elif span:
            self.fail(f"{span!r} is neither a duration like 1m nor day or month", param, ctx)
        return limit | {"limit": round(number)}


class Label(click.ParamType[tuple[str, str]]):
    """`name=value`."""

    name = "label"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        name, equals, text = str(value).partition("=")
        if not name or not equals:
            self.fail(f"{value!r} is not a label; expected name=value", param, ctx)
        return name, text


def _what_it_may(command: F) -> F:
    """The options that say what a key may do and use up, for new keys and for those that are there."""
    for option in (
        click.option("--label", "labels", type=Label(), multiple=True, help="name=value; may be repeated."),
        click.option(
            "--limit",
            "limits",
            type=Limit(),
            multiple=True,
            help="A limit of its own, such as requests=60/1m, tokens=100000/day, cost=5/month (units of the prices' "
            "currency) or concurrency=4; may be repeated.",
        ),
        click.option("--retention", type=Duration(), help="How long they are stored, such as 30d."),
        click.option(
            "--keep/--no-keep",
            default=None,
            help="Whether question and answer of OpenAI and Anthropic calls are stored.  [default: as the server does]",
        ),
        click.option(
            "--model", "models", multiple=True, help="Only models whose name fits, such as gpt-*; may be repeated."
        ),
        click.option(
            "--permission",
            "permissions",
            multiple=True,
            help="Only this permission; may be repeated.  [default: a user's]",
        ),
        click.option("--team", help="The user's team."),
    ):
        command = option(command)
    return command


def _body(wishes: dict[str, Any]) -> dict[str, Any]:
    """What was said of a key, as the server takes it."""
    body = {name: value for name, value in wishes.items() if value not in (None, ())}
    if "labels" in body:
        body["labels"] = dict(body["labels"])
    return body


@click.group()
def keys() -> None:
    """Make, change, list and revoke API keys."""


@keys.command()
@click.argument("name")
@click.option("--user", help="Who the key is for.  [default: yourself]")
@_what_it_may
@click.option("--admin", is_flag=True, help="The key may do everything.")
@click.option("--expires", "expires_at", type=Moment(), help="The key's end: a duration like 90d, or a time.")
@json_option
@with_client
def create(client: Client, name: str, admin: bool, as_json: bool, **wishes: Any) -> None:
    """Make a key called NAME and print it. It is shown only now: the server keeps a digest."""
    from promptd.cli.client import at

    body = {"name": name} | _body(wishes)
    if admin:
        body["admin"] = True
    key = client.call("POST", at("keys"), body=body)
    if as_json:
        print_json(key)
    else:
        click.echo(key["key"])


class _End(Moment):
    """A point in time, or `never`."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        return _NEVER if value == _NEVER else super().convert(value, param, ctx)


@keys.command()
@click.argument("id_", metavar="ID")
@click.option("--name", help="What it is called.")
@_what_it_may
@click.option("--any-model", is_flag=True, help="All models, from now on.")
@click.option("--no-limits", is_flag=True, help="No limits of its own, from now on.")
@click.option("--expires", "expires_at", type=_End(), help="The key's end: a duration like 90d, a time, or `never`.")
@json_option
@with_client
def edit(client: Client, id_: str, any_model: bool, no_limits: bool, as_json: bool, **wishes: Any) -> None:
    """Change a key, at once. What is not said stays; permissions, models, limits and labels are replaced as a whole."""
    from promptd.cli.client import at

    body = _body(wishes)
    if any_model:
        body["models"] = []
    if no_limits:
        body["limits"] = []
    if body.get("expires_at") == _NEVER:
        body["expires_at"] = None
    if not body:
        raise click.UsageError("say what is to be different")
    key = client.call("PATCH", at("keys", id_), body=body)
    if as_json:
        print_json(key)
    else:
        click.echo(f"{key['id']}  changed")


@keys.command("list")
@json_option
@with_client
def list_(client: Client, as_json: bool) -> None:
    """List the keys that you may see; their secrets are gone."""
    from promptd.cli.client import at

    items = [key for page in client.pages(at("keys")) for key in page]
    if as_json:
        print_json({"items": items})
        return
    print_table(
        ("id", "name", "user", "team", "rights", "models", "limits", "created", "expires", "revoked"),
        (
            (
                key["id"],
                key["name"],
                key["user"],
                key["team"],
                "admin" if key["admin"] else key["permissions"],
                key["models"] or "all",
                [limit["name"] for limit in key["limits"]],
                key["created_at"],
                key["expires_at"],
                key["revoked_at"],
            )
            for key in items
        ),
    )


@keys.command()
@click.argument("id_", metavar="ID")
@json_option
@with_client
def revoke(client: Client, id_: str, as_json: bool) -> None:
    """Revoke a key: it is refused from now on."""
    from promptd.cli.client import at

    key = client.call("DELETE", at("keys", id_))
    if as_json:
        print_json(key)
    else:
        click.echo(f"{key['id']}  revoked")
