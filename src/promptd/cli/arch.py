"""`promptd arch`: run, check and watch with a file of the Arch gateway."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from promptd.cli.arch_logs import logs
from promptd.cli.options import json_option
from promptd.cli.output import clean, complain, print_json
from promptd.cli.serve import serve

if TYPE_CHECKING:
    from promptd.settings import Settings

_HOME: Final = click.Path(path_type=Path, file_okay=False)


@click.group()
def arch() -> None:
    """Work with configuration files of the Arch gateway (now Plano)."""


def _home_option(command: Any) -> Any:
    return click.option(
        "--home",
        type=_HOME,
        envvar="PROMPTD_HOME",
        show_envvar=True,
        help="Folder of database, keys and logs.  [default: ~/.promptd]",
    )(command)


@arch.command()
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.option("--path", default=".", type=click.Path(path_type=Path), help="Folder of the file, where none is named.")
@click.option("--foreground", is_flag=True, help="Taken as it is: promptd runs in the foreground always.")
@click.option("--service", default="all", help="Taken for the original's sake: promptd is one service.")
@click.option("-v", "--verbose", is_flag=True, help="Log everything.")
@click.option("--with-tracing", is_flag=True, hidden=True)
@click.option("--tracing-port", type=int, hidden=True)
@click.option("--docker", is_flag=True, hidden=True)
@click.option("--local-cpu", is_flag=True, hidden=True)
@click.option(
    "--listener-port",
    type=click.IntRange(0, 65535),
    help="Port of the listener where there is no file.  [default: 12000]",
)
@_home_option
@click.pass_context
def up(
    context: click.Context,
    /,
    file: Path | None,
    path: Path,
    foreground: bool,
    service: str,
    verbose: bool,
    home: Path | None,
    **others: Any,
) -> None:
    """Run the server with an Arch file, until Ctrl-C or SIGTERM: `promptd serve --config FILE`.

    Without FILE, it is looked for in the folder: arch_config.yaml, config.yaml, plano_config.yaml. Where the current folder
    has none, all models of each known vendor are served at 127.0.0.1:12000, as `vendor/model`: with the key of the
    environment, such as OPENAI_API_KEY, else with the callers' own. LOG_LEVEL sets the level of the log.
    """
    if file is None and path == Path() and not _is_here():
        found = _start_file(home, others.pop("listener_port"))
    else:
        found = _found(file or path)
    if service != "all":
        complain(f"--service {service} has no effect: promptd is one service", warning=True)
    for name, value in others.items():
        if value:
            complain(f"--{name.replace('_', '-')} has no effect", warning=True)
    level = "debug" if verbose else os.environ.get("LOG_LEVEL", "").lower()
    if level in ("debug", "info", "warning", "error"):
        context.obj = {"PROMPTD_LOG__LEVEL": level}
    context.invoke(serve, config=found, home=home)


@arch.command()
@click.argument("file", type=click.Path(path_type=Path), default=Path())
@json_option
@_home_option
def check(file: Path, as_json: bool, home: Path | None) -> None:
    """Check an Arch file, or the one in a folder, as `up` would; nothing is started, and nobody is asked.

    Prints its era, defaults that were chosen, keys without effect, listeners and providers. Keys are never shown.
    """
    from promptd import registry
    from promptd.app.parts import make
    from promptd.cli.arch_file import fail
    from promptd.core.errors import SettingsError
    from promptd.egress import Egress
    from promptd.settings import load

    found = _found(file)
    try:
        settings = load(home, found)
        plugins = registry.load(isolation=registry.isolation(settings))
        registry.check_plugins(settings.plugins, plugins)
        make(settings, plugins, Egress())
    except SettingsError as error:
        fail(error)
    told = _told(settings)
    if as_json:
        print_json(told)
    else:
        _print(told)


@arch.command()
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--endpoint", default="api", show_default=True, help="What the Arch file calls the application.")
def targets(file: Path, endpoint: str) -> None:
    """Print prompt targets for the routes of a FastAPI or Flask application, as YAML; it is read, never run."""
    from promptd.cli.arch_file import fail
    from promptd.core.errors import SettingsError
    from promptd.dialects import yaml_text
    from promptd.dialects.arch.applications import targets_of

    try:
        found = targets_of(file.read_text(encoding="utf-8-sig"), name=str(file), endpoint=endpoint)
        if not found:
            raise SettingsError(f"{file}: no route of FastAPI or Flask in it")
    except UnicodeDecodeError:
        fail(SettingsError(f"{file}: not a text in UTF-8"))
    except SettingsError as error:
        fail(error)
    click.echo(clean(yaml_text.write({"prompt_targets": found}, name="prompt_targets")), nl=False)


def _is_here() -> bool:
    from promptd.dialects.arch import FILE_NAMES

    return any(Path(name).exists() for name in FILE_NAMES)


def _start_file(home: Path | None, port: int | None) -> Path:
    """A file of ours in the data folder, written anew each time."""
    from promptd.cli.arch_file import fail
    from promptd.core.errors import SettingsError
    from promptd.dialects.arch import FILE_NAMES
    from promptd.dialects.arch.listeners import MODEL_PORT
    from promptd.dialects.arch.starting import starting_file

    path = (home or Path("~/.promptd")).expanduser().absolute() / "arch-start" / FILE_NAMES[0]
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.write_text(starting_file(os.environ, port=MODEL_PORT if port is None else port), encoding="utf-8")
    except OSError as error:
        fail(SettingsError(f"{path}: can't be written: {error.strerror}"))
    complain(f"no Arch file here, so all known vendors are served: {path}", warning=True)
    return path


def _found(path: Path) -> Path:
    """The file that is meant. Ends the command where there is none, or another kind of file."""
    from promptd.cli.arch_file import fail
    from promptd.core.errors import SettingsError
    from promptd.settings import arch_file
    from promptd.settings.arch import place

    try:
        found = place(path)
        if not found.is_file():
            raise SettingsError(f"{found}: no such file")
    except SettingsError as error:
        fail(error)
    if arch_file(found) is None:
        fail(
            SettingsError(
                f"{found}: not an Arch file: it has neither listener nor listeners, llm_providers, "
                "model_providers or prompt_targets, or it can't be read"
            )
        )
    return found


def _told(settings: Settings) -> dict[str, Any]:
    config = settings.arch
    assert config is not None  # `_found` looked
    credentials = {True: "clients bring theirs", False: "none"}
    return {
        "era": config.era,
        "version": config.version,
        "listeners": [
            {"name": one.name, "type": one.kind, "address": one.address, "port": one.port} for one in config.listeners
        ],
        "providers": [
            {
                "name": one.name,
                "model": one.id,
                "default": one.default,
                "base_url": one.base_url,
                "key": "set" if one.access_key else credentials[one.passthrough_auth],
            }
            for one in config.providers
        ],
        "endpoints": {name: list(one.addresses) for name, one in config.endpoints.items()},
        "targets": [
            {"name": one.target.name, "method": one.method, "endpoint": one.endpoint, "path": one.path}
            for one in config.targets
        ],
        "guard": config.jailbreak is not None,
        "chosen": [{"path": one.path, "text": one.text} for one in config.chosen],
        "warnings": [{"path": one.path, "text": one.text} for one in config.warnings],
    }


def _print(told: dict[str, Any]) -> None:
    lines = [f"era {told['era']}, version {told['version']}"]
    lines += [f"listener  {one['name']} ({one['type']}) at {one['address']}:{one['port']}" for one in told["listeners"]]
    for one in told["providers"]:
        where = f", {one['base_url']}" if one["base_url"] else ""
        lines.append(
            f"provider  {one['name']} = {one['model']}{' (default)' if one['default'] else ''}{where}, key: {one['key']}"
        )
    lines += [f"endpoint  {name} at {', '.join(addresses)}" for name, addresses in told["endpoints"].items()]
    lines += [f"target    {one['name']}: {one['method']} {one['endpoint']}{one['path']}" for one in told["targets"]]
    if told["guard"]:
        lines.append("guard     jailbreak")
    lines += [f"chosen    {one['path']}: {one['text']}" for one in told["chosen"]]
    lines += [f"warning   {one['path']}: {one['text']}" for one in told["warnings"]]
    click.echo("\n".join(map(clean, lines)))


arch.add_command(logs)
