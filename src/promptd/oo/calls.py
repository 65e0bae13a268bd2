"""`oo get|post|put|delete`: one HTTP request from words and flags."""

from __future__ import annotations

import sys
from typing import Any, Final
from urllib.parse import quote, urlencode

import click

from promptd.oo.access import access_of
from promptd.oo.arguments import Arguments, read, tree
from promptd.oo.output import print_json, print_stream
from promptd.oo.wire import HttpError, encode, escape, refusal

#: Clients of this wire add these to every GET; servers ignore them.
_GET_EXTRAS: Final = (("app-host", ""), ("env", ""), ("help", "false"))

#: The methods whose errors name the path.
_NAMING_PATH: Final = frozenset({"POST", "DELETE"})


class Call(click.Command):
    """A command that reads its words itself: flags are members of the body, so none of them can be an option."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args in (["--help"], ["-h"]):
            click.echo(self.get_help(ctx))
            ctx.exit()
        ctx.params["words"] = list(args)
        return []

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        return ["PATH...", "[--KEY=VALUE]..."]


def _call(ctx: click.Context, method: str, words: list[str]) -> None:
    arguments = read(words)
    if method == "GET":
        target, body = with_query(arguments), None
    else:
        target, body = escape(arguments.path), encode(tree(arguments.flags))
    with access_of(ctx).server().call(method, target, body) as reply:
        if reply.status >= 300:
            where = f" to {arguments.path}" if method in _NAMING_PATH else ""
            raise HttpError(reply.status, refusal(reply, reply.read(), where))
        if reply.is_stream:
            print_stream(reply.packets())
        else:
            print_json(reply.read())
    sys.stdout.flush()


def with_query(arguments: Arguments) -> str:
    """The target of a GET: its flags are members of the query string, as typed."""
    given = {key for key, _ in arguments.flags}
    members = [*arguments.flags, *(extra for extra in _GET_EXTRAS if extra[0] not in given)]
    query = urlencode(members, quote_via=quote)
    return escape(arguments.path) + ("&" if "?" in arguments.path else "?") + query


def _command(method: str, summary: str) -> Call:
    def callback(words: list[str]) -> None:
        _call(click.get_current_context(), method, words)

    return Call(method.lower(), callback=callback, help=f"{summary}\n\n{_RULES[method == 'GET']}", short_help=summary)


_RULES: Final[dict[bool, Any]] = {
    True: "Several words make one path. Flags make the query string. An event stream is printed as it comes.",
    False: "Several words make one path. Flags make the JSON body: --a.b=c and --a-b=c nest, a repeated key makes an "
    "array; integers and truth words keep their type, everything else is a text.",
}

get = _command("GET", "Read PATH.")
post = _command("POST", "Send a JSON body to PATH.")
put = _command("PUT", "Send a JSON body to PATH, to create or change what it names.")
delete = _command("DELETE", "Delete what PATH names.")
