"""`promptd call`: run a template like a function."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from promptd.cli.exits import CliError, Exit
from promptd.cli.files import output_option
from promptd.cli.inputs import Given, Inputs, gather, input_options, print_params
from promptd.cli.options import json_option, patience_option, with_client
from promptd.cli.output import clean, complain, print_fields, print_json

if TYPE_CHECKING:
    from promptd.cli.client import Client

Json = dict[str, Any]


@click.command()
@click.argument("name")
@input_options
@click.option("--version", type=click.IntRange(min=1), help="This version.")
@click.option("--label", help="The version that this label points at.  [default: production, else the newest]")
@click.option("-m", "--model", help="Another model than the template names.")
@click.option("--describe", is_flag=True, help="Show what goes in and what comes out, and run nothing.")
@click.option("--stream", is_flag=True, help="Print the text as the model says it, not the result at the end.")
@output_option
@patience_option
@json_option
@with_client
def call(
    client: Client,
    name: str,
    values: tuple[Given, ...],
    json_values: tuple[Given, ...],
    files: tuple[Given, ...],
    version: int | None,
    label: str | None,
    model: str | None,
    describe: bool,
    stream: bool,
    output: str | None,
    patience: float,
    as_json: bool,
) -> Exit:
    """Run the template NAME and print its result: a text as it is, everything else as JSON.

    --json prints the whole prompt. Files of the result are saved where --output is given. Ctrl-C cancels the run.
    """
    from promptd.cli.client import at, encode

    function = _function(client, name, {"version": version, "label": label}, needed=describe)
    if describe and function is not None:
        _describe(function, as_json=as_json)
        return Exit.OK
    inputs = gather(client, None if function is None else function["inputs"], values, json_values, files)
    wishes = {"version": version, "label": label, "model": model}
    body = inputs.body() | {key: value for key, value in wishes.items() if value is not None}
    return _run(
        client,
        at("templates", name, "run"),
        encode(body),
        inputs,
        stream=stream,
        output=output,
        patience=patience,
        as_json=as_json,
    )


def _function(client: Client, name: str, query: Json, *, needed: bool) -> Json | None:
    """What goes in and comes out; None for a key that may run templates and not look at them. Raises `CliError`."""
    from promptd.cli.client import Refused, at

    try:
        found: Json = client.call("GET", at("templates", name, "function"), query=query)
    except Refused as error:
        if error.status != 403 or needed:
            raise
        return None
    return found


def _describe(function: Json, *, as_json: bool) -> None:
    if as_json:
        print_json(function)
        return
    print_fields({"name": function["name"], "version": function["version"], "description": function["description"]})
    if function["inputs"]:
        click.echo()
        print_params(function["inputs"])
    click.echo("\nresult")
    click.echo(clean(json.dumps(function["output_schema"], indent=2, ensure_ascii=False)))


def _run(
    client: Client,
    path: str,
    body: bytes,
    inputs: Inputs,
    *,
    stream: bool,
    output: str | None,
    patience: float,
    as_json: bool,
) -> Exit:
    """A break of the connection costs nothing: the key makes it one run, and the reader comes back to it."""
    import uuid

    from promptd.cli.answer import Silent, Spinner, show, sink_for
    from promptd.cli.ask import cancel
    from promptd.cli.client import Refused, at
    from promptd.cli.reader import Reader

    spinner = Spinner()
    reader = Reader(client, patience=patience, notice=spinner.notice)
    outcome = Exit.OK
    try:
        events = reader.submit(body, prompt_id=None, idempotency_key=f"call-{uuid.uuid4()}", path=path)
        try:
            show(events, sink_for(as_json=as_json) if stream else Silent(), spinner)
        except CliError as error:
            if error.exit_code is not Exit.PROMPT_FAILED:
                raise
            complain(error.message)
            outcome = error.exit_code
    except Refused:
        if not reader.acknowledged:
            inputs.take_back(client)
        raise
    except KeyboardInterrupt:
        cancel(client, reader.prompt_id)
        return Exit.INTERRUPTED
    prompt = client.call("GET", at("prompts", reader.prompt_id or ""))
    if prompt["answer"] is not None:
        _keep(client, prompt["answer"], output)
    if as_json:
        print_json(prompt)
    elif prompt["answer"] is not None and not stream:
        _print_result(prompt["answer"])
    return outcome


def _print_result(answer: Json) -> None:
    from promptd.cli.answer import sink_for

    for warning in answer.get("warnings") or ():
        complain(str(warning), warning=True)
    if answer.get("value") is not None:
        print_json(answer["value"])
        return
    sink = sink_for(as_json=False)
    sink.progress(str(answer["text"]))
    sink.done()


def _keep(client: Client, answer: Json, output: str | None) -> None:
    """Save the files of a result, or say how to get them."""
    named = [file["id"] for found in (answer.get("outputs") or {}).values() for file in found]
    ids = list(dict.fromkeys([*named, *(file["id"] for file in answer.get("files") or ())]))
    if not ids:
        return
    if output is None:
        complain(f"the result has files: `promptd files get {' '.join(ids)}`")
        return
    for path in _saved(client, ids, output):
        complain(f"saved {path}")


def _saved(client: Client, ids: Sequence[str], output: str) -> list[Path]:
    from promptd.cli.transfer import download_all

    return download_all(client, ids, output)
