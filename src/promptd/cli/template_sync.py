"""`promptd templates push`, `pull`, `diff` and `install`: templates between files and the server."""

from __future__ import annotations

from difflib import unified_diff
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import click

from promptd.cli.exits import CliError, Exit
from promptd.cli.options import json_option, with_client
from promptd.cli.output import clean, complain, print_json, print_table

if TYPE_CHECKING:
    from promptd.cli.client import Client
    from promptd.cli.template_folder import Folder, LocalTemplate
    from promptd.cli.template_views import Held, Remote

PACKS: Final = ("trustgraph-defaults",)
NEW, CHANGED, UNCHANGED, KEPT = "new", "changed", "unchanged", "kept"

_PATHS: Final = click.Path(path_type=Path, exists=True)
_SECONDS: Final = 600.0  # a guarded label runs the cases of its version


class Step(NamedTuple):
    """What happened, or is to happen, to one template or partial."""

    kind: str
    name: str
    action: str
    version: int | None = None
    place: str = ""


def _print(steps: list[Step], problems: list[str], *, as_json: bool) -> None:
    for problem in problems:
        complain(problem)
    if as_json:
        print_json({"items": [step._asdict() for step in steps], "problems": problems})
    elif steps:
        print_table(("name", "kind", "action", "version", "place"), ((s.name, s.kind, *s[2:]) for s in steps))


# ---------------------------------------------------------------- push


@click.command()
@click.argument("paths", metavar="PATH...", nargs=-1, required=True, type=_PATHS)
@click.option("--label", help="Let this label point at what is pushed, such as production.")
@click.option("--note", default="", help="Why, for those who read the versions later.")
@click.option("--dry-run", is_flag=True, help="Tell what would change, and change nothing.")
@click.option("--keep-going", is_flag=True, help="Push the good ones, also where some are bad.")
@json_option
@with_client
def push(
    client: Client,
    paths: tuple[Path, ...],
    label: str | None,
    note: str,
    dry_run: bool,
    keep_going: bool,
    as_json: bool,
) -> Exit:
    """Bring the templates and partials in files, or in all files of folders, to the server.

    What differs from the newest version becomes a new one. Every file is looked at first, here and by the server; where one
    is bad, nothing is pushed.
    """
    from promptd.cli import template_folder
    from promptd.cli.template_views import partials

    folder = template_folder.read(paths)
    problems = list(folder.problems)
    shared = partials(client)
    known: dict[str, Remote | None] = {name: _remote(client, name) for name in folder.templates}
    changed = _judged(client, folder, known, problems)
    for local in changed:
        for told in local.notes:
            complain(f"{local.path}: {told}", warning=True)
    if problems and not keep_going:
        _print([], problems, as_json=as_json)
        return Exit.USAGE
    steps: list[Step] = []
    for name, partial in folder.partials.items():
        action = NEW if name not in shared else UNCHANGED if shared[name] == partial.source else CHANGED
        if action != UNCHANGED and not dry_run:
            _put_partial(client, name, partial.source)
        steps.append(Step("partial", name, action, None, str(partial.path)))
    for local in folder.templates.values():
        try:
            steps.append(_pushed(client, local, known[local.name], local in changed, label, note, dry_run=dry_run))
        except CliError as error:
            if _hopeless(error):
                raise
            problems.append(f"{local.path}: {error.message}")
    _print(steps, problems, as_json=as_json)
    return Exit.FAILED if problems else Exit.OK


def _judged(
    client: Client, folder: Folder, known: dict[str, Remote | None], problems: list[str]
) -> list[LocalTemplate]:
    """What differs from the server. What the server would refuse is a problem, and leaves the folder."""
    from promptd.cli.client import Refused, at
    from promptd.cli.template_views import body_of

    changed: list[LocalTemplate] = []
    for local in list(folder.templates.values()):
        there = known[local.name]
        if there is not None and not there.fault and there.held.same(local.held):
            continue
        try:
            client.call("POST", at("templates", local.name, "versions", "check"), body=body_of(local.held))
        except Refused as error:
            if _hopeless(error):
                raise
            problems.append(f"{local.place(error.field)}: {error.message}")
            del folder.templates[local.name]
        else:
            changed.append(local)
    return changed


def _pushed(
    client: Client,
    local: LocalTemplate,
    there: Remote | None,
    differs: bool,
    label: str | None,
    note: str,
    *,
    dry_run: bool,
) -> Step:
    action = NEW if there is None else CHANGED if differs else UNCHANGED
    place, version = str(local.path), there.number if there is not None else None
    if differs:
        version = None if dry_run else save(client, local.name, local.held, note=note, label=label)
    elif there is not None and label is not None and not _points(there, label):
        action = f"label {label}"
        if not dry_run:
            _move(client, there, label)
    return Step("template", local.name, action, version, place)


def save(client: Client, name: str, held: Held, *, note: str = "", label: str | None = None) -> int:
    """The number of the version that says so from now on. Raises `CliError`."""
    from promptd.cli.client import at
    from promptd.cli.template_views import body_of

    body = body_of(held, note=note, label=label)
    view = client.call("POST", at("templates", name, "versions"), body=body, timeout=_SECONDS)
    return int(view["version"])


def _points(there: Remote, label: str) -> bool:
    shares = there.labels.get(label, ())
    return [share["version"] for share in shares] == [there.number]


def _move(client: Client, there: Remote, label: str) -> None:
    from promptd.cli.client import at

    body = {"versions": [{"version": there.number}]}
    client.call("PUT", at("templates", there.name, "labels", label), body=body, timeout=_SECONDS)


def _put_partial(client: Client, name: str, source: str) -> None:
    from promptd.cli.client import at

    client.call("PUT", at("partials", name), body={"source": source})


def _remote(client: Client, name: str) -> Remote | None:
    from promptd.cli.client import Refused, at
    from promptd.cli.template_views import remote

    try:
        return remote(client, client.call("GET", at("templates", name)))
    except Refused as error:
        if error.status != 404:
            raise
        return None


def _hopeless(error: CliError) -> bool:
    """Whether the next one would fail in the same way."""
    return error.exit_code in (Exit.UNREACHABLE, Exit.DENIED, Exit.BUSY)


# ---------------------------------------------------------------- pull


@click.command()
@click.argument("root", metavar="DIR", type=click.Path(path_type=Path, file_okay=False))
@click.argument("names", metavar="[NAME]...", nargs=-1)
@click.option("--format", "kind", type=click.Choice(("yaml", "prompt")), default="yaml", show_default=True)
@json_option
@with_client
def pull(client: Client, root: Path, names: tuple[str, ...], kind: str, as_json: bool) -> Exit:
    """Write the newest versions of all templates, or of those that are named, into files below DIR.

    A template goes into the file where it stands already; --format is for new ones. Files that say the same stay as they
    are, with their comments. Partials come along. What no `.prompt` file can say becomes YAML.
    """
    from promptd.cli import template_folder
    from promptd.cli.template_views import partials, remote, remotes
    from promptd.core.connections import SEALED
    from promptd.core.errors import InvalidRequest

    folder = template_folder.read([root]) if root.is_dir() else template_folder.Folder({}, {}, [])
    if folder.problems:
        _print([], folder.problems, as_json=as_json)
        return Exit.USAGE
    from promptd.cli.client import at

    wanted = [remote(client, client.call("GET", at("templates", name))) for name in names] or list(remotes(client))
    steps: list[Step] = []
    problems: list[str] = []

    def put(what: str, name: str, there: template_folder.Written, known: bool, version: int | None) -> None:
        template_folder.save(there, folder)
        if there.note:
            complain(there.note, warning=True)
        steps.append(Step(what, name, CHANGED if known else NEW, version, str(there.path)))

    for one in wanted:
        local = folder.templates.get(one.name)
        if one.fault:
            complain(f"{one.name}: it can't run ({one.fault}) and is left out", warning=True)
        elif one.held.draft.connection is not None and one.held.settings is None:
            problems.append(f"{one.name}: the settings of its query are not for this key")
        elif local is not None and local.held.same(one.held):
            steps.append(Step("template", one.name, UNCHANGED, one.number, str(local.path)))
        else:
            try:
                written = template_folder.write(folder, root, one.name, one.held, prompt=kind == "prompt")
                put("template", one.name, written, local is not None, one.number)
                if SEALED in (one.held.settings or {}):
                    told = "its type is not installed, or the vault's key is another one"
                    complain(f"{one.name}: the settings are written as they lie on the server: {told}", warning=True)
            except InvalidRequest as error:
                problems.append(f"{one.name}: {error.message}")
    for name, source in sorted(partials(client).items()):
        partial = folder.partials.get(name)
        if partial is not None and partial.source == source:
            steps.append(Step("partial", name, UNCHANGED, None, str(partial.path)))
        else:
            put("partial", name, template_folder.write_partial(folder, root, name, source), partial is not None, None)
    _print(steps, problems, as_json=as_json)
    return Exit.FAILED if problems else Exit.OK


# ---------------------------------------------------------------- diff


@click.command()
@click.argument("what", metavar="[DIR | NAME BEFORE AFTER]", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="Also tell what only the server has.")
@with_client
def diff(client: Client, what: tuple[str, ...], everything: bool) -> Exit:
    """Compare the templates in DIR (default: this folder) with the server, or two versions of a template.

    Exit code 1 where they differ.
    """
    from promptd.cli.client import at

    if len(what) == 3 and what[1].isdecimal() and what[2].isdecimal():
        query = {"before": what[1], "after": what[2]}
        shown = str(client.call("GET", at("templates", what[0], "diff"), query=query)["diff"])
    elif len(what) <= 1:
        shown = _compared(client, Path(*what), everything=everything)
    else:
        raise click.UsageError("expected a folder, or the name of a template and two numbers of versions")
    click.echo(clean(shown), nl=False)
    return Exit.FAILED if shown else Exit.OK


def _compared(client: Client, root: Path, *, everything: bool) -> str:
    from promptd.cli import template_folder
    from promptd.cli.template_views import partials, remotes, text_of

    if not root.exists():
        raise click.BadParameter(f"{root} is not there", param_hint="DIR")
    folder = template_folder.read([root])
    if folder.problems:
        for problem in folder.problems:
            complain(problem)
        raise CliError("some files can't be read", Exit.USAGE)
    there = {one.name: one for one in remotes(client)}
    shared = partials(client)
    out: list[str] = []

    def compare(before: str, after: str, old: str, new: str) -> None:
        lines = template_folder.lines
        out.extend(unified_diff(lines(before), lines(after), old, new))

    for name, local in folder.templates.items():
        one, text = there.get(name), text_of(name, local.held)
        if one is None:
            compare("", text, f"server: {name} (nothing)", str(local.path))
        elif not one.held.same(local.held):
            compare(text_of(name, one.held), text, f"server: {name} (version {one.number})", str(local.path))
    for name, partial in folder.partials.items():
        compare(shared.get(name, ""), partial.source, f"server: partial {name}", str(partial.path))
    if everything:
        out += [f"Only on the server: {name}\n" for name in sorted(there.keys() - folder.templates.keys())]
        out += [f"Only on the server: partial {name}\n" for name in sorted(shared.keys() - folder.partials.keys())]
    return "".join(out)


# ---------------------------------------------------------------- packs


@click.command()
@click.argument("pack", type=click.Choice(PACKS))
@click.option("--force", is_flag=True, help="Also over templates that were changed; their old versions stay.")
@click.option("--label", help="Let this label point at what is installed, such as production.")
@json_option
@with_client
def install(client: Client, pack: str, force: bool, label: str | None, as_json: bool) -> Exit:
    """Save the templates of a pack that comes with promptd. What is there already and differs is left alone."""
    steps: list[Step] = []
    for name, held in _pack(pack).items():
        there = _remote(client, name)
        if there is not None and there.held.same(held) and not there.fault:
            steps.append(Step("template", name, UNCHANGED, there.number, pack))
        elif there is not None and not force:
            complain(f"{name}: there is another one already; --force saves this one as its next version", warning=True)
            steps.append(Step("template", name, KEPT, there.number, pack))
        else:
            number = save(client, name, held, note=f"pack {pack}", label=label)
            steps.append(Step("template", name, NEW if there is None else CHANGED, number, pack))
    _print(steps, [], as_json=as_json)
    return Exit.OK


def _pack(name: str) -> dict[str, Any]:
    from promptd.cli.template_views import Held, plain
    from promptd.core.errors import PromptdError
    from promptd.dialects.trustgraph import defaults

    found: dict[str, Held] = {}
    for default in defaults.load():
        if default.draft.fault:
            raise PromptdError(f"the pack {name} is broken: {default.id}: {default.draft.fault}")
        found[default.id] = Held(plain(default.draft))
    return found
