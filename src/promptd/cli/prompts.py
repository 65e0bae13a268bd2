"""`promptd prompts`: look up, follow, cancel, retry, delete and prune prompts."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

import click

from promptd.cli.exits import CliError, Exit
from promptd.cli.options import Duration, json_option, patience_option, with_client
from promptd.cli.output import clean, complain, is_terminal, print_fields, print_json, print_table

if TYPE_CHECKING:
    from promptd.cli.client import Client

_STATUSES: Final = ("scheduled", "running", "completed", "errored", "abandoned", "canceled")
_FINAL: Final = ("completed", "abandoned", "canceled")
_PAGE: Final = 1000

_ids = click.argument("ids", metavar="ID...", nargs=-1, required=True)


@click.group()
def prompts() -> None:
    """Look up, follow, cancel, retry and delete prompts."""


@prompts.command("list")
@click.option("--status", multiple=True, type=click.Choice(_STATUSES), help="Only with this status; may be repeated.")
@click.option("--model", help="Only of this model.")
@click.option("--user", help="Only of this user.")
@click.option("--thread", help="Only of this conversation.")
@click.option("--order", default="-created_at", show_default=True, help="Field to sort by; - in front: largest first.")
@click.option("--limit", type=click.IntRange(1, _PAGE), default=20, show_default=True, help="Most prompts to print.")
@click.option("--all", "everything", is_flag=True, help="Print all, page by page; with --json one prompt per line.")
@click.option("--count", is_flag=True, help="Print only how many there are.")
@json_option
@with_client
def list_(
    client: Client,
    status: tuple[str, ...],
    thread: str | None,
    limit: int,
    everything: bool,
    count: bool,
    as_json: bool,
    **filters: str | None,
) -> None:
    """List prompts, the newest first."""
    from promptd.cli.client import at

    query: dict[str, str | int | None] = {**filters, "status": ",".join(status) or None, "thread_id": thread}
    if count:
        page = client.call("GET", at("prompts"), query={**query, "limit": 1, "count": "true"})
        if as_json:
            print_json({"count": page["count"]})
        else:
            click.echo(page["count"])
    elif everything:
        _print_all(client.pages(at("prompts"), {**query, "limit": _PAGE}), as_json=as_json)
    else:
        page = client.call("GET", at("prompts"), query={**query, "limit": limit})
        if as_json:
            print_json(page)
        else:
            print_table(_COLUMNS, map(_row, page["items"]))


_COLUMNS: Final = ("id", "status", "model", "user", "created", "attempts", "error")


def _row(prompt: dict[str, Any]) -> tuple[Any, ...]:
    return (
        prompt["id"],
        prompt["status"],
        prompt["model"],
        prompt["user"],
        prompt["created_at"],
        prompt["attempts"],
        (prompt["error"] or {}).get("code"),
    )


def _print_all(pages: Iterator[list[dict[str, Any]]], *, as_json: bool) -> None:
    if not as_json:
        print_table(_COLUMNS, (_row(prompt) for page in pages for prompt in page))
        return
    import json

    for page in pages:
        for prompt in page:
            click.echo(json.dumps(prompt))


@prompts.command()
@click.argument("id_", metavar="ID")
@click.option("--attempts", is_flag=True, help="Show each attempt with its model, times, tokens and cost.")
@json_option
@with_client
def show(client: Client, id_: str, attempts: bool, as_json: bool) -> None:
    """Show one prompt with its request and its answer."""
    from promptd.cli.client import at

    prompt = client.call("GET", at("prompts", id_))
    ledger = client.call("GET", at("prompts", id_, "attempts"))["items"] if attempts else None
    if as_json:
        print_json(prompt if ledger is None else {**prompt, "ledger": ledger})
        return
    answer, error = prompt["answer"] or {}, prompt["error"] or {}
    usage = answer.get("usage") or {}
    print_fields(
        {
            **{name: prompt[name] for name in _SHOWN},
            "finish_reason": answer.get("finish_reason"),
            "tokens": f"{usage.get('input_tokens', 0)} in, {usage.get('output_tokens', 0)} out" if usage else None,
            "error": f"{error['message']} ({error['code']})" if error else None,
        }
    )
    for message in prompt["request"]["messages"]:
        _print_text(message["role"], message["content"])
    for text in prompt["request"]["texts"]:
        _print_text("text", text)
    _print_text("files", _names(prompt["request"]["files"]))
    if answer:
        _print_text("answer", answer["text"])
        _print_text("files of the answer", _names(answer["files"]))
    if ledger is not None:
        click.echo()
        print_table((*_LEDGER, "tokens", "cost"), map(_entry, ledger))


_SHOWN: Final = (
    *("id", "status", "model", "connection", "user", "thread_id", "capability", "priority", "attempts", "failures"),
    *("rescues", "created_at", "started_at", "finished_at", "retry_at", "not_before", "deadline", "metadata"),
)
_LEDGER: Final = ("attempt", "model", "connection", "started_at", "finished_at", "outcome", "code")


def _entry(entry: dict[str, Any]) -> list[Any]:
    usage = entry["usage"] or {}
    tokens = usage.get("input_tokens", 0) + usage.get("output_tokens", 0)
    return [*(entry[name] for name in _LEDGER), tokens, "unknown" if entry["cost"] is None else entry["cost"]]


def _names(files: list[dict[str, str]]) -> str:
    return "\n".join(file["id"] for file in files)


def _print_text(title: str, text: str | None) -> None:
    if text:
        click.echo(f"\n{title}:")
        click.echo(clean(text) if is_terminal(sys.stdout) else text)


@prompts.command()
@click.argument("id_", metavar="ID")
@patience_option
@json_option
@with_client
def follow(client: Client, id_: str, patience: float, as_json: bool) -> Exit:
    """Print a prompt's answer from its beginning, as it comes. Ctrl-C stops following; the prompt runs on."""
    from promptd.cli.answer import Spinner
    from promptd.cli.reader import Reader
    from promptd.cli.watch import watch

    spinner = Spinner()
    reader = Reader(client, patience=patience, notice=spinner.notice)
    return watch(client, reader, reader.follow(id_), spinner, as_json=as_json)


@prompts.command()
@_ids
@json_option
@with_client
def cancel(client: Client, ids: tuple[str, ...], as_json: bool) -> Exit:
    """Cancel prompts that wait or run."""
    return _each(client, ids, "POST", "cancel", as_json=as_json)


@prompts.command()
@_ids
@json_option
@with_client
def retry(client: Client, ids: tuple[str, ...], as_json: bool) -> Exit:
    """Start errored, abandoned or canceled prompts afresh."""
    return _each(client, ids, "POST", "retry", as_json=as_json)


@prompts.command()
@_ids
@json_option
@with_client
def delete(client: Client, ids: tuple[str, ...], as_json: bool) -> Exit:
    """Delete prompts that are completed, abandoned or canceled."""
    return _each(client, ids, "DELETE", None, as_json=as_json)


def _each(client: Client, ids: tuple[str, ...], method: str, verb: str | None, *, as_json: bool) -> Exit:
    """One call per prompt. All are tried; the code of the first failure is the command's."""
    from promptd.cli.client import Unreachable, at

    outcome = Exit.OK
    for id_ in ids:
        try:
            prompt = client.call(method, at("prompts", id_, verb) if verb else at("prompts", id_))
        except Unreachable:
            raise
        except CliError as error:
            complain(f"{id_}: {error.message}")
            outcome = outcome or error.exit_code
            continue
        if as_json:
            print_json(prompt if prompt is not None else {"id": id_, "deleted": True})
        else:
            click.echo(f"{id_}  {prompt['status'] if prompt is not None else 'deleted'}")
    return outcome


@prompts.command()
@click.option(
    "--status", multiple=True, type=click.Choice(_FINAL), help="Only with this status; may be repeated.  [default: all]"
)
@click.option("--older-than", type=Duration(), required=True, help="Finished at least this long ago, such as 30d.")
@click.option("--dry-run", is_flag=True, help="Only say how many would be deleted.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@json_option
@with_client
def prune(client: Client, status: tuple[str, ...], older_than: float, dry_run: bool, yes: bool, as_json: bool) -> None:
    """Delete old prompts that are completed, abandoned or canceled. Needs an admin's key."""
    rules = [{"status": name, "older_than_seconds": older_than} for name in status or _FINAL]
    if not (dry_run or yes):
        if not is_terminal(sys.stdin):
            raise click.UsageError("say --yes, or look first with --dry-run: there is no terminal to ask on")
        found = _prune(client, rules, dry_run=True)["count"]
        if found and not click.confirm(f"Delete {_prompts(found)} for good?", err=True):
            raise click.Abort
    result = _prune(client, rules, dry_run=dry_run)
    if as_json:
        print_json(result)
    else:
        click.echo(f"{_prompts(result['count'])} {'would be ' if dry_run else ''}deleted")


def _prompts(count: int) -> str:
    return "1 prompt" if count == 1 else f"{count} prompts"


def _prune(client: Client, rules: list[dict[str, Any]], *, dry_run: bool) -> dict[str, Any]:
    from promptd.cli.client import at

    result: dict[str, Any] = client.call(
        "POST", at("prompts", "prune"), body={"rules": rules, "dry_run": dry_run}, timeout=600
    )
    return result
