"""Templates in files: a tree of `.yaml` and `.prompt` files, partials as `_name.prompt` or in a `.yaml` file.

A template is called as its file, or as the front of a `.prompt` file says; folders are for people.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final, NamedTuple

from promptd.cli.template_views import Held, plain
from promptd.core.errors import InvalidRequest
from promptd.core.template import Draft, check_name
from promptd.dialects import dotprompt, yaml_text
from promptd.dialects.template_files import SUFFIX, TemplateFile, read_template_file, write_template_file

SUFFIXES: Final = (SUFFIX, ".yml", dotprompt.SUFFIX)
_MOST_BYTES: Final = 16 * 1024 * 1024
_STEP: Final = re.compile(r"([^.\[\]]+)|\[(\d+)\]")
#: what a partial is kept in whose name no `.prompt` file can have
_OTHERS: Final = f"_partials{SUFFIX}"


class LocalTemplate(NamedTuple):
    """A template that a file holds; `notes` are for whoever brings it to the server."""

    name: str
    path: Path
    held: Held
    notes: tuple[str, ...] = ()

    def place(self, field: str) -> str:
        """The file, and where it is known the line, that `field` of a refusal is about."""
        line = 0
        if self.path.suffix != dotprompt.SUFFIX:
            named = re.sub(r"^config\b", "settings", field)
            steps = tuple(int(no) if no else name for name, no in _STEP.findall(named))
            line = yaml_text.read(_text(self.path), name=str(self.path)).line(steps)
        return f"{self.path}, line {line}" if line else str(self.path)


class LocalPartial(NamedTuple):
    name: str
    path: Path
    source: str


class Folder(NamedTuple):
    """What files say. `problems` are lines for people, one per file that can't be read."""

    templates: dict[str, LocalTemplate]
    partials: dict[str, LocalPartial]
    problems: list[str]


def is_path(given: str) -> bool:
    """Whether an argument means a file or folder rather than a template's name."""
    return "/" in given or given in (".", "..") or given.endswith(SUFFIXES)


def read(paths: Iterable[Path]) -> Folder:
    """What is in files, and in all files of folders. Raises nothing: what is wrong is in `problems`."""
    found = Folder({}, {}, [])
    for path in _files(paths, found.problems):
        try:
            _read(path, found)
        except InvalidRequest as error:
            told = error.message if str(path) in error.message else f"{path}: {error.message}"
            found.problems.append(told)
        except OSError as error:
            found.problems.append(f"{path}: {error.strerror or error}")
    return found


def _files(paths: Iterable[Path], problems: list[str]) -> list[Path]:
    found: dict[Path, None] = {}
    for path in paths:
        if path.is_dir():
            inside = (file for file in path.rglob("*") if file.suffix in SUFFIXES and file.is_file())
            found |= dict.fromkeys(sorted(file for file in inside if not _hidden(file.relative_to(path))))
        elif path.suffix not in SUFFIXES:
            problems.append(f"{path}: expected a folder, or a file that ends with {' or '.join(SUFFIXES)}")
        else:
            found[path] = None
    return list(found)


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def _text(path: Path) -> str:
    """Every character as it is. Raises `OSError`, `InvalidRequest`."""
    if path.stat().st_size > _MOST_BYTES:
        raise InvalidRequest(f"{path}: larger than {_MOST_BYTES} bytes", field=path.name)
    try:
        return path.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidRequest(f"{path}: not UTF-8 text: {error.reason} at byte {error.start}", field=path.name) from None


def _read(path: Path, found: Folder) -> None:
    text = _text(path)
    if path.suffix != dotprompt.SUFFIX:
        file = read_template_file(text, name=str(path))
        for name, source in file.partials.items():
            _add_partial(found, LocalPartial(_checked(name, path), path, source))
        if file.draft is not None:
            _add(found, path.stem, path, Held(file.draft, file.settings))
    elif dotprompt.read_file_name(path.name).partial:
        name = _checked(dotprompt.read_file_name(path.name).name, path)
        _add_partial(found, LocalPartial(name, path, dotprompt.read_partial_file(text, file=path.name)))
    else:
        imported = dotprompt.read_prompt_file(text, file=path.name)
        _add(found, imported.name, path, Held(imported.draft), imported.notes)


def _add(found: Folder, name: str, path: Path, held: Held, notes: tuple[str, ...] = ()) -> None:
    _checked(name, path)
    before = found.templates.get(name)
    if before is not None:
        raise InvalidRequest(f"{path}: the template {name} is in {before.path} already", field="name")
    if held.draft.fault:
        raise InvalidRequest(f"{path}: fault: a template that can't run is not for the server", field="fault")
    if (held.draft.connection is None) != (held.settings is None):
        raise InvalidRequest(
            f"{path}: a query has a connection and settings, other templates neither", field="settings"
        )
    if held.draft.source:
        notes = (*notes, "source: it stays in the file")
    found.templates[name] = LocalTemplate(name, path, Held(plain(held.draft), held.settings), notes)


def _add_partial(found: Folder, partial: LocalPartial) -> None:
    before = found.partials.get(partial.name)
    if before is not None:
        raise InvalidRequest(
            f"{partial.path}: the partial {partial.name} is in {before.path} already", field="partials"
        )
    found.partials[partial.name] = partial


def _checked(name: str, path: Path) -> str:
    try:
        return check_name(name)
    except InvalidRequest as error:
        raise InvalidRequest(
            f"{path}: {name[:128]!r} can't be a name: expected {error.expected}", field="name"
        ) from None


# ---------------------------------------------------------------- written


class Written(NamedTuple):
    """A file to be written, and what is to be said about it."""

    path: Path
    text: str
    note: str = ""


def write(folder: Folder, root: Path, name: str, held: Held, *, prompt: bool) -> Written:
    """The file of a template: the one that it stands in already, or a new one below `root`, a `.prompt` file where it is
    wanted and possible. Raises `InvalidRequest`."""
    known = folder.templates.get(name)
    if known is not None and known.path.suffix == dotprompt.SUFFIX:
        file, text = dotprompt.write_prompt_file(name, held.draft)
        if file != known.path.name:
            text = _named(name, known.path, held.draft, text)
        return Written(known.path, text)
    note = ""
    if known is None and prompt:
        try:
            file, text = dotprompt.write_prompt_file(name, held.draft)
            return Written(root / file, text)
        except InvalidRequest as error:
            note = f"{name}: written as YAML: {error.message}"
    path = known.path if known is not None else root / f"{name}{SUFFIX}"
    beside = {partial.name: partial.source for partial in folder.partials.values() if partial.path == path}
    draft = TemplateFile(plain(held.draft), beside, held.settings)
    return Written(path, write_template_file(draft, name=str(path)), note)


def _named(name: str, path: Path, draft: Draft, text: str) -> str:
    """A `.prompt` file that is not called as its template. Raises `InvalidRequest` where its front can't say the name."""
    first, _, variant = name.partition(".")
    front = f"name: {yaml_text.write(first, name=name).splitlines()[0]}\n"
    if variant:
        front += f"variant: {yaml_text.write(variant, name=name).splitlines()[0]}\n"
    named = text.replace("---\n", f"---\n{front}", 1)
    read_ = dotprompt.read_prompt_file(named, file=path.name)
    if read_.name != name or plain(read_.draft) != plain(draft):
        raise InvalidRequest(f"{path}: it can't hold {name!r}; rename the file", field="name")
    return named


def write_partial(folder: Folder, root: Path, name: str, source: str) -> Written:
    """The file of a partial: the one that it stands in already, or a new one below `root`. Raises `InvalidRequest`."""
    known = folder.partials.get(name)
    if known is not None and known.path.suffix == dotprompt.SUFFIX:
        return Written(known.path, source)
    if known is None:
        try:
            called, text = dotprompt.write_partial_file(name, source)
            return Written(root / called, text)
        except InvalidRequest:
            pass  # its name can't be that of a file
    path = known.path if known is not None else root / _OTHERS
    beside = {partial.name: partial.source for partial in folder.partials.values() if partial.path == path}
    held = next((one.held for one in folder.templates.values() if one.path == path), None)
    file = TemplateFile(partials=beside | {name: source})
    if held is not None:
        file = TemplateFile(held.draft, file.partials, held.settings)
    return Written(path, write_template_file(file, name=str(path)))


def save(written: Written, folder: Folder) -> None:
    """Put it on disk, whole or not at all, and read it again into `folder`. Raises `OSError`, `InvalidRequest`."""
    path = written.path
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.new")
    try:
        fresh.write_bytes(written.text.encode("utf-8"))
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)
    for names in (folder.templates, folder.partials):
        for name in [name for name, one in names.items() if one.path == path]:
            del names[name]
    _read(path, folder)


def lines(text: str) -> list[str]:
    return [line if line.endswith("\n") else f"{line}\n" for line in text.splitlines(keepends=True)]
