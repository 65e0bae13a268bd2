"""`promptd keys`: who may use the server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from promptd.cli.options import Moment, json_option, with_client
from promptd.cli.output import print_json, print_table

if TYPE_CHECKING:
    from promptd.cli.client import Client


@click.group()
def keys() -> None:
    """Make, list and revoke API keys."""


@keys.command()
@click.argument("name")
@click.option("--user", help="Who the key is for.  [default: yourself]")
@click.option("--team", help="The user's team.")
@click.option(
    "--permission", "permissions", multiple=True, help="Only this permission; may be repeated.  [default: a user's]"
)
@click.option("--admin", is_flag=True, help="The key may do everything.")
@click.option("--expires", "expires_at", type=Moment(), help="The key's end: a duration like 90d, or a time.")
@json_option
@with_client
def create(
    client: Client, name: str, permissions: tuple[str, ...], admin: bool, as_json: bool, **wishes: str | None
) -> None:
    """Make a key called NAME and print it. It is shown only now: the server keeps a digest."""
    from promptd.cli.client import at

    body: dict[str, Any] = {"name": name, **{key: value for key, value in wishes.items() if value is not None}}
    if permissions:
        body["permissions"] = list(permissions)
    if admin:
        body["admin"] = True
    key = client.call("POST", at("keys"), body=body)
    if as_json:
        print_json(key)
    else:
        click.echo(key["key"])


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
        ("id", "name", "user", "team", "rights", "created", "expires", "revoked"),
        (
            (
                key["id"],
                key["name"],
                key["user"],
                key["team"],
                "admin" if key["admin"] else key["permissions"],
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
