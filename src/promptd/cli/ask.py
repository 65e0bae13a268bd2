"""`promptd ask`: submit a prompt and show its answer."""

from __future__ import annotations

import json
import os
import stat
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from promptd.cli.exits import CliError, Exit
from promptd.cli.files import output_option
from promptd.cli.options import Moment, json_option, patience_option, with_client
from promptd.cli.output import complain, print_json

if TYPE_CHECKING:
    from promptd.cli.client import Client
    from promptd.cli.transfer import Attached


@click.command()
@click.argument("text", nargs=-1)
@click.option("-m", "--model", help="Model to ask.  [default: the server's default model]")
@click.option("-t", "--thread", help="Id of the conversation that this belongs to; an unknown one begins it.")
@click.option("-s", "--system", help="Instructions in front of the conversation.")
@click.option("--json-schema", metavar="FILE|JSON", help="The answer must be JSON that fits this JSON Schema.")
@click.option("--template", metavar="FILE|TEXT", help="Raw text around {prompt}, instead of the model's chat format.")
@click.option(
    *("--file", "attachments"),
    multiple=True,
    metavar="PATH|ID",
    help="A file or upload to go with it; may be repeated.",
)
@click.option("--image", "kind", flag_value="image", help="Draw TEXT; the images are saved.")
@click.option("--speech", "kind", flag_value="speech", help="Speak TEXT; the sound is saved.")
@click.option("--transcribe", "kind", flag_value="transcription", help="Write down what is said in --file.")
@output_option
@click.option("--max-tokens", type=click.IntRange(min=1), help="Most tokens of the answer.")
@click.option("--temperature", type=click.FloatRange(min=0), help="0 for the likeliest answer, more for variety.")
@click.option("--priority", type=click.IntRange(-100, 100), help="Higher runs sooner, -100 to 100.  [default: 0]")
@click.option("--deadline", type=Moment(), help="Give up then: a duration like 5m, or a time.")
@click.option("--idempotency-key", help="The same key with the same request again gives the same prompt.")
@click.option("--queue", is_flag=True, help="Print the prompt's id at once and leave it to the server.")
@patience_option
@json_option
@with_client
def ask(
    client: Client,
    text: tuple[str, ...],
    queue: bool,
    as_json: bool,
    patience: float,
    idempotency_key: str | None,
    attachments: tuple[str, ...],
    output: str | None,
    **wishes: Any,
) -> Exit:
    """Ask a model TEXT and print its answer as it comes.

    Standard input is read where TEXT is "-" and where it is a pipe or a file; it takes the place of the "-", or follows
    TEXT. Into a pipe or a file the answer is written when it is complete, exactly as it is stored. Files of the answer
    are saved, and their names printed behind it. Ctrl-C cancels the prompt.
    """
    from promptd.cli.client import make_prompt_id

    needed = not (attachments and wishes["kind"] in ("image", "transcription"))
    body = _body(_question(text, needed=needed), **wishes)
    if idempotency_key is None:
        body["id"] = make_prompt_id()
    attached = _attach(client, attachments, idempotency_key)
    if attached is not None:
        body["files"] = attached.ids
    if queue:
        return _queue(client, body, idempotency_key, attached, as_json=as_json)
    return _stream(client, body, idempotency_key, attached, patience=patience, as_json=as_json, output=output)


def _attach(client: Client, attachments: tuple[str, ...], idempotency_key: str | None) -> Attached | None:
    if not attachments:
        return None
    from promptd.cli.transfer import attach, is_path

    if idempotency_key is not None and any(map(is_path, attachments)):
        # a new upload is a new request, which the key would refuse
        raise click.UsageError("with --idempotency-key, --file takes ids of uploads: see `promptd files upload`")
    return attach(client, attachments)


def _queue(
    client: Client, body: dict[str, Any], idempotency_key: str | None, attached: Attached | None, *, as_json: bool
) -> Exit:
    from promptd.cli.client import Refused, Unreachable, at

    headers = {} if idempotency_key is None else {"Idempotency-Key": idempotency_key}
    try:
        receipt = client.call("POST", at("prompts"), body=body, headers=headers)
    except Refused:
        if attached is not None:
            attached.take_back(client)
        raise
    except Unreachable as error:
        if error.connected and "id" in body:
            raise CliError(f"{error.message}; it may be queued as {body['id']}", error.exit_code) from error
        raise
    if as_json:
        print_json(receipt)
    else:
        click.echo(receipt["id"])
    return Exit.OK


def _stream(
    client: Client,
    body: dict[str, Any],
    idempotency_key: str | None,
    attached: Attached | None,
    *,
    patience: float,
    as_json: bool,
    output: str | None,
) -> Exit:
    from promptd.cli.answer import Spinner
    from promptd.cli.client import Refused, encode
    from promptd.cli.reader import Reader
    from promptd.cli.watch import watch

    def keep(ids: Sequence[str]) -> list[Path]:
        from promptd.cli.transfer import download_all

        return download_all(client, ids, output)

    spinner = Spinner()
    reader = Reader(client, patience=patience, notice=spinner.notice)
    try:
        events = reader.submit(encode(body), prompt_id=body.get("id"), idempotency_key=idempotency_key)
        return watch(client, reader, events, spinner, as_json=as_json, keep=keep)
    except Refused:
        if attached is not None and not reader.acknowledged:
            attached.take_back(client)
        raise
    except KeyboardInterrupt:
        cancel(client, reader.prompt_id)
        return Exit.INTERRUPTED


def cancel(client: Client, prompt_id: str | None) -> None:
    """After Ctrl-C. What came of it is told on standard error."""
    from promptd.cli.client import Refused, at

    if prompt_id is None:
        complain("interrupted before the receipt; the prompt may run on")
        return
    try:
        client.call("POST", at("prompts", prompt_id, "cancel"), timeout=10)
    except Refused as error:
        # 404: it never arrived; 409: it had ended already
        if error.status not in (404, 409):
            complain(f"interrupted, but {prompt_id} was not canceled: {error.message}")
    except CliError as error:
        complain(f"interrupted, but {prompt_id} was not canceled: {error.message}")
    else:
        complain(f"canceled {prompt_id}")


def _body(
    question: str | None,
    *,
    model: str | None,
    thread: str | None,
    system: str | None,
    json_schema: str | None,
    template: str | None,
    kind: str | None,
    max_tokens: int | None,
    temperature: float | None,
    priority: int | None,
    deadline: str | None,
) -> dict[str, Any]:
    if system is not None and template is not None:
        raise click.UsageError("--system and --template exclude each other: put the instructions into the template")
    parameters = {
        "temperature": temperature,
        "max_tokens": max_tokens,
        "json_schema": None if json_schema is None else _schema(json_schema),
        "template": None if template is None else _template(template),
    }
    body: dict[str, Any] = {
        "model": model,
        "thread_id": thread,
        "priority": priority,
        "deadline": deadline,
        "capability": kind,
        "parameters": {name: value for name, value in parameters.items() if value is not None} or None,
    }
    if system is None:
        body["prompt"] = question
    else:
        body["messages"] = [{"role": "system", "content": system}, {"role": "user", "content": question or ""}]
    return {name: value for name, value in body.items() if value is not None}


def _question(words: tuple[str, ...], *, needed: bool) -> str | None:
    """The text of the prompt: words of the command line, and standard input where it has any. None is no text at all."""
    place = words.index("-") if "-" in words else None
    if place is None:
        before, after, given = " ".join(words), "", _piped()
    else:
        before, after = " ".join(words[:place]), " ".join(words[place + 1 :])
        given = _read_stdin()
    question = "\n\n".join(part for part in (before, given, after) if part.strip())
    if not question and needed:
        raise click.UsageError("nothing to ask: give TEXT, or pipe it in")
    return question or None


def _piped() -> str:
    """What a pipe, file or socket on standard input holds; a terminal and /dev/null are left alone."""
    try:
        mode = os.fstat(0).st_mode
    except OSError:
        return ""
    return _read_stdin() if stat.S_ISFIFO(mode) or stat.S_ISREG(mode) or stat.S_ISSOCK(mode) else ""


def _read_stdin() -> str:
    if sys.stdin is None:
        raise click.UsageError("standard input is closed")
    try:
        return sys.stdin.buffer.read().decode("utf-8").rstrip("\n")
    except UnicodeDecodeError as error:
        raise click.UsageError(f"standard input is not UTF-8 text: {error.reason} at byte {error.start}") from None


def _schema(given: str) -> Any:
    text = given if given.lstrip().startswith("{") else _content("--json-schema", given)
    try:
        schema = json.loads(text)
    except ValueError as error:
        raise click.BadParameter(f"not JSON: {error}", param_hint="--json-schema") from None
    if not isinstance(schema, dict):
        raise click.BadParameter("expected a JSON object", param_hint="--json-schema")
    return schema


def _template(given: str) -> str:
    text = given if "{prompt}" in given else _content("--template", given)
    if "{prompt}" not in text:
        raise click.BadParameter("the place for the question, {prompt}, is missing", param_hint="--template")
    return text


def _content(option: str, path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise click.BadParameter(f"{path}: {error.strerror}", param_hint=option) from None
    except UnicodeDecodeError:
        raise click.BadParameter(f"{path} is not UTF-8 text", param_hint=option) from None
