"""`promptd plugins new`: a plugin project that works, to be changed from there."""

from __future__ import annotations

import keyword
import re
from importlib.resources import files
from pathlib import Path
from typing import Final

import click

from promptd.cli.exits import CliError, Exit

_NAME: Final = re.compile(r"[a-z][a-z0-9]*(?:[-_.][a-z0-9]+)*")
_LONGEST: Final = 80
#: where each template file goes; `@PACKAGE@` is replaced in paths, too
_FILES: Final = {
    "pyproject.toml.txt": "pyproject.toml",
    "README.md.txt": "README.md",
    "package.py.txt": "src/@PACKAGE@/__init__.py",
    "handler.py.txt": "src/@PACKAGE@/handler.py",
    "en.json.txt": "src/@PACKAGE@/i18n/en.json",
    "de.json.txt": "src/@PACKAGE@/i18n/de.json",
    "test_handler.py.txt": "tests/test_handler.py",
}


@click.command()
@click.argument("name")
@click.option(
    "--dir",
    "directory",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where the project goes; by default a new folder NAME.",
)
def new(name: str, directory: Path | None) -> None:
    """Write a plugin project named NAME: a handler, its texts, and tests that pass.

    NAME is that of the distribution, such as acme-translate.
    """
    words = _words(name)
    target = directory or Path(name)
    if target.exists() and any(target.iterdir()):
        raise CliError(f"{target}: the folder is not empty", Exit.USAGE)
    for path, text in project(words).items():
        file = target / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    click.echo(f"{target}: a plugin with the type {words['TYPE_ID']}")
    click.echo(f'Next: pip install -e "{target}[test]", then python -m pytest in that folder')


def project(words: dict[str, str]) -> dict[str, str]:
    """Each file of the project by its path."""
    folder = files("promptd.cli") / "plugin_template"
    found = {path: (folder / name).read_text(encoding="utf-8") for name, path in _FILES.items()}
    return {_filled(path, words): _filled(text, words) for path, text in found.items()}


def _words(name: str) -> dict[str, str]:
    package = re.sub(r"[-.]", "_", name)
    if not _NAME.fullmatch(name) or len(name) > _LONGEST or keyword.iskeyword(package):
        raise CliError(f"{name}: expected small letters, digits and dashes, such as acme-translate", Exit.USAGE)
    parts = re.split(r"[-_.]", name)
    return {
        "DISTRIBUTION": name,
        "PACKAGE": package,
        "CLASS": "".join(part.capitalize() for part in parts) + "Handler",
        "TYPE_ID": ".".join((parts[0], "-".join(parts[1:]) or "service")),
        "TITLE": " ".join(part.capitalize() for part in parts),
        "VARIABLE": package.upper(),
    }


def _filled(text: str, words: dict[str, str]) -> str:
    return re.sub(r"@([A-Z_]+)@", lambda found: words[found[1]], text)
