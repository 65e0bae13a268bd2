"""`oo login`, `register`, `whoami`, `token`, `set-token` and `su`: who the calls are made as."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import Any

import click

from promptd.oo import config as files
from promptd.oo import tokens
from promptd.oo.access import DEVICE, Access, jwt_of, with_access
from promptd.oo.failure import Failed
from promptd.oo.output import note, print_yaml
from promptd.oo.wire import Server


@click.command()
@click.argument("slug", required=False)
@click.argument("password", required=False)
@with_access
def login(access: Access, slug: str | None, password: str | None) -> None:
    """Log in; asks for what is missing.

    Other users of the machine can see a password on the command line: better leave it to be asked for.
    """
    slug = slug or _ask("Slug")
    password = password or _ask("Password", hidden=True)
    _enter(access, "/user-svc/login", {"slug": slug, "password": password})


@click.command()
@click.argument("slug", required=False)
@click.argument("password", required=False)
@click.option("--name", help="Full name.")
@with_access
def register(access: Access, slug: str | None, password: str | None, name: str | None) -> None:
    """Register a new user and log in; asks for what is missing."""
    slug = slug or _ask("Slug")
    password = password or _ask("Password", hidden=True, twice=True)
    _enter(access, "/user-svc/register", {"slug": slug, "password": password} | ({"name": name} if name else {}))


def _enter(access: Access, path: str, body: dict[str, str]) -> None:
    host, slug = access.app_host(body["slug"]), body["slug"]
    answer = Server(access.environment.url).ask("POST", path, {"appHost": host, "device": DEVICE, **body})
    access.keep(slug, host, jwt_of(answer))
    note(f"logged in as {slug} on {access.environment.name}, app {host}")


@click.command()
@click.option("-l", "--long", "is_long", is_flag=True, help="Also server, app id, device, organization and times.")
@with_access
def whoami(access: Access, is_long: bool) -> None:
    """Print the selected user as YAML; the server's public key must have signed the token."""
    token = access.need_token()
    key = Server(access.environment.url).ask("GET", "/user-svc/public-key").get("publicKey")
    said = tokens.verified_claims(token, key if isinstance(key, str) else "")
    user = access.environment.user(access.environment.selected_user)
    shown: dict[str, Any] = {
        "slug": said.get(tokens.SLUG) or access.environment.selected_user,
        "id": said.get(tokens.USER_ID),
        "app": access.app_host(),
        "roles": said.get(tokens.ROLES) or [],
        "tokenHosts": sorted({*user.tokens, access.app_host()}),
    }
    if is_long:
        shown |= {
            "environment": access.environment.name,
            "url": access.environment.url,
            "appId": said.get(tokens.APP_ID),
            "device": said.get(tokens.DEVICE),
            "organization": said.get(tokens.ORGANIZATION),
            "issuedAt": _moment(said.get("iat")),
            "expiresAt": _moment(said.get("exp")),
        }
    print_yaml({name: value for name, value in shown.items() if value not in (None, "")})


@click.command()
@with_access
def token(access: Access) -> None:
    """Print the selected user's JWT."""
    click.echo(access.need_token())


@click.command(name="set-token")
@click.argument("jwt", required=False, metavar="[TOKEN]")
@with_access
def set_token(access: Access, jwt: str | None) -> None:
    """Use a JWT that was made elsewhere; asks for it, or reads a line, where it is missing."""
    jwt = (jwt or _ask("Token", hidden=True)).strip()
    slug = tokens.claims(jwt).get(tokens.SLUG)
    if not isinstance(slug, str) or not slug:
        raise Failed(f"the token names no user: its claim {tokens.SLUG} is missing")
    host = access.app_host(slug)
    access.keep(slug, host, jwt)
    note(f"logged in as {slug} on {access.environment.name}, app {host}")


@click.command()
@click.argument("slug")
@with_access
def su(access: Access, slug: str) -> None:
    """Go on as another user who logged in before; with -a, in that app."""
    host = access.app_host(slug)
    with files.changing(access.path) as config:
        environment = config.environment(access.environment.name)
        environment.select(slug)
        environment.user(slug).select(host)


def _ask(label: str, *, hidden: bool = False, twice: bool = False) -> str:
    """A line of the terminal, or the next one of standard input. Raises `Failed` where there is none."""
    if sys.stdin is not None and sys.stdin.isatty():
        return str(click.prompt(label, hide_input=hidden, confirmation_prompt=twice, err=True))
    line = sys.stdin.readline().rstrip("\r\n") if sys.stdin is not None else ""
    if not line:
        raise Failed(f"{label.lower()} is missing")
    return line


def _moment(seconds: Any) -> str | None:
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        return None
    try:
        return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")
    except (ValueError, OverflowError, OSError):
        return None
