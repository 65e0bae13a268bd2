"""Which server a command talks to, and as whom: the global flags over the configuration file."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from promptd.oo.config import DEFAULT_APP_HOST, Environment, changing, default_path, load
from promptd.oo.failure import Failed
from promptd.oo.wire import Server

R = TypeVar("R")
F = TypeVar("F", bound=Callable[..., Any])

DEVICE: Final = "cli"


class Access:
    """The environment and user of one command.

    Raises `Failed` where the file is wrong or the environment does not exist.
    """

    def __init__(self, path: Path, environment: str | None, app_host: str | None) -> None:
        self.path = path
        self.environment: Environment = load(path).environment(environment)
        self._app_host = app_host

    def app_host(self, slug: str | None = None) -> str:
        """The host of the app that a user (default: the selected one) works in."""
        if self._app_host:
            return self._app_host
        slug = slug or self.environment.selected_user
        return self.environment.user(slug).app_host if slug in self.environment.slugs else DEFAULT_APP_HOST

    def token(self) -> str | None:
        """The selected user's token for the app, or None where nobody is logged in.

        For an app without one, another token of the user is exchanged. Raises `Failed` where the server refuses that.
        """
        slug = self.environment.selected_user
        if not slug:
            return None
        host, tokens = self.app_host(), self.environment.user(slug).tokens
        if host in tokens or not tokens:
            return tokens.get(host)
        other = Server(self.environment.url, next(iter(tokens.values())))
        answer = other.ask("PUT", "/user-svc/token/exchange", {"newAppHost": host, "newDevice": DEVICE})
        token = jwt_of(answer)
        with changing(self.path) as config:
            config.environment(self.environment.name).user(slug).keep(host, token)
        return token

    def need_token(self) -> str:
        """Raises `Failed` where nobody is logged in."""
        token = self.token()
        if not token:
            raise Failed(f"nobody is logged in on {self.environment.name}; see `oo login`")
        return token

    def server(self) -> Server:
        return Server(self.environment.url, self.token())

    def keep(self, slug: str, host: str, token: str) -> None:
        """Store a new token, and select its user and app."""
        with changing(self.path) as config:
            config.environment(self.environment.name).log_in(slug, host, token)


def jwt_of(answer: dict[str, Any]) -> str:
    """The JWT in an answer that holds a token. Raises `Failed` if there is none."""
    token = answer.get("token")
    jwt = token.get("token") if isinstance(token, dict) else None
    if not isinstance(jwt, str) or not jwt or not jwt.isascii() or not jwt.isprintable():
        raise Failed("the server answered without a token")
    return jwt


def global_options(command: F) -> F:
    for option in (
        click.option("-a", "--app-host", "app_host", metavar="HOST", help="Work in this app for one command."),
        click.option("-e", "--env", "env_name", metavar="NAME", help="Use this environment for one command."),
    ):
        command = option(command)
    return command


def with_access(command: Callable[..., R]) -> Callable[..., R]:
    """Give a command the global flags, before or behind its name, and the access they make as its first argument."""

    @functools.wraps(command)
    @click.pass_context
    def wrapped(ctx: click.Context, /, *, env_name: str | None, app_host: str | None, **values: Any) -> R:
        return command(access_of(ctx, env_name, app_host), **values)

    return global_options(wrapped)


def access_of(ctx: click.Context, env_name: str | None = None, app_host: str | None = None) -> Access:
    given = ctx.find_root().params
    return Access(default_path(), env_name or given["env_name"], app_host or given["app_host"])
