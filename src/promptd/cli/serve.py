"""`promptd serve`: run the server in this process."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click
from click.core import ParameterSource

from promptd.cli.options import settings_options

if TYPE_CHECKING:
    from promptd.settings import Settings

_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)
#: The connection that `--gguf` adds.
_CONNECTION: Final = "gguf"


@click.command()
@click.option("--host", help="Address to listen on.  [default: 127.0.0.1]")
@click.option("--port", type=click.IntRange(0, 65535), help="TCP port; 0 takes a free one.  [default: 11337]")
@click.option("--gguf", type=_FILE, help="Serve this model file, by its name, as the default model.")
@click.option("--tls-cert", type=_FILE, help="PEM certificate chain; needs --tls-key.")
@click.option("--tls-key", type=_FILE, help="PEM private key; needs --tls-cert.")
@click.option(
    "--compat-onebackend",
    "compat",
    is_flag=True,
    help="Be a stand-in for a 1Backend server: its documented first user, GET /health on port 8001, its OB_* variables.",
)
@settings_options
def serve(
    host: str | None,
    port: int | None,
    gguf: Path | None,
    tls_cert: Path | None,
    tls_key: Path | None,
    compat: bool,
    config: Path | None,
    home: Path | None,
) -> None:
    """Run the server until Ctrl-C or SIGTERM.

    Running attempts get time to finish; a second signal cuts that short, and nothing is lost by it. SIGHUP reads the
    configuration again. Options override PROMPTD_* variables, and these the configuration file. With --compat-onebackend,
    OB_SELF_URL, OB_FOLDER, OB_LLM_HOST, OB_TOKEN_EXPIRATION and OB_TOKEN_AUTO_REFRESH_OFF count too, below PROMPTD_*
    variables; OB_TEST=true gives the server an empty home folder for as long as it runs, unless --home names one.

    With an Arch file, its listeners are opened beside the server's own port.
    """
    from promptd.cli import arch_file, onebackend
    from promptd.core.errors import SettingsError
    from promptd.serving import run

    given = {"HOST": host, "PORT": port, "TLS_CERT": tls_cert, "TLS_KEY": tls_key}
    overrides = {f"PROMPTD_SERVER__{name}": str(value) for name, value in given.items() if value is not None}

    #: what another command, such as `arch up`, says in place of variables
    said: dict[str, str] = click.get_current_context().find_object(dict) or {}
    below = said | (onebackend.variables(os.environ) if compat else {})
    named = click.get_current_context().get_parameter_source("home") is ParameterSource.COMMANDLINE
    temporary = onebackend.empty_home(os.environ) if compat and not named else None

    opened: list[Settings] = []

    def read() -> Settings:
        settings = _load(temporary or home, config, {**below, **os.environ, **overrides}, overrides)
        opened[:] = [settings]
        if compat:
            settings = onebackend.with_health_port(settings)
        return settings if gguf is None else _with_model(settings, gguf)

    def started() -> None:
        arch_file.announce(opened[0])
        if compat:
            onebackend.announce()

    try:
        run(read, started)
    except SettingsError as error:
        arch_file.refuse(error, config)
    finally:
        onebackend.discard(temporary)


def _load(
    home: Path | None, config: Path | None, environment: Mapping[str, str], overrides: Mapping[str, str]
) -> Settings:
    """The settings under the options of the command. Raises `SettingsError` in the words of its caller."""
    from promptd.core.errors import SettingsError
    from promptd.settings import load

    try:
        return load(home, config, environment)
    except SettingsError as error:
        said = error.message
        for variable in overrides:
            said = said.replace(variable, "--" + variable.removeprefix("PROMPTD_SERVER__").lower().replace("_", "-"))
        raise SettingsError(said, key=error.key) from None


def _with_model(settings: Settings, gguf: Path) -> Settings:
    """The settings with one more model, named like the file, as the default."""
    from promptd.settings import ConnectionSettings, ModelSettings

    name = re.sub(r"[^A-Za-z0-9._-]", "-", gguf.stem).lstrip("._-")[:128] or _CONNECTION
    connection = ConnectionSettings.model_validate({"engine": "llamacpp", "gguf": str(gguf.absolute())})
    return settings.model_copy(
        update={
            "connections": {**settings.connections, _CONNECTION: connection},
            "models": {**settings.models, name: ModelSettings(connection=_CONNECTION, upstream=name)},
            "default_model": name,
        }
    )
