"""`promptd vault`: the key that seals the settings of stored connections."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click

from promptd.cli.options import json_option, with_client
from promptd.cli.output import complain, print_json

if TYPE_CHECKING:
    from promptd.cli.client import Client

_SECONDS: Final = 600.0


@click.group()
def vault() -> None:
    """Change the key that seals stored secrets; make one."""


@vault.command()
@json_option
@with_client
def rotate(client: Client, as_json: bool) -> None:
    """Seal everything under a fresh key, and forget the old one.

    A change that was interrupted goes on. A key that the server has from its environment is changed there first: put a fresh
    one and a comma in front of it, and restart.
    """
    from promptd.cli.client import at

    done = client.call("POST", at("vault", "rotate"), timeout=_SECONDS)
    if as_json:
        print_json(done)
        return
    click.echo(f"{done['sealed']} sealed anew")
    if not done["forgotten"]:
        complain("the old key can be removed from the server's environment now", warning=True)


@vault.command()
def key() -> None:
    """Print a fresh key, for `PROMPTD_VAULT_KEY`."""
    from promptd.vault import fresh, written

    click.echo(written(fresh()), nl=False)
