"""Texts for people: literals, or keys that are looked up late, in the reader's language (contracts/formcycle.md §3.2).

A catalogue is a flat JSON object per locale, `i18n/<locale>.json` beside the code that it belongs to. A key is looked for
in the reader's locale, in each shorter form of it (`de-AT`, `de`), in the default locale, and is its own text at last.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from functools import cache
from importlib import import_module
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from msgspec import Struct

#: keys of the host's own catalogue start with this; a plugin's may not be mistaken for them
HOST_PREFIX = "promptd."

_ARGUMENT = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]{0,63})\}")
_LOCALE = re.compile(r"[A-Za-z]{2,8}(?:-[A-Za-z0-9]{1,8}){0,7}")


class Key(Struct, frozen=True):
    """The key of a text and the values of its named arguments (JSON values)."""

    key: str
    args: Mapping[str, Any] = {}


Text = str | Key


class Localizer:
    """The catalogues of one plugin, or of the host. No look-up raises.

    `problems` names the catalogue files that could not be read; they count as empty.
    """

    def __init__(
        self, catalogues: Mapping[str, Mapping[str, str]], *, default: str = "en", problems: Iterable[str] = ()
    ) -> None:
        self._catalogues = {_normal(locale): dict(texts) for locale, texts in catalogues.items()}
        self.default = _normal(default) or "en"
        self.problems = tuple(problems)

    @classmethod
    def beside(cls, module: str, *, default: str = "en") -> Localizer:
        """The catalogues in the folder `i18n` beside `module` (`type(handler).__module__`); none there: an empty one."""
        return _beside(module, default)

    @property
    def locales(self) -> tuple[str, ...]:
        """The locales that have a catalogue, the default one first."""
        return tuple(sorted(self._catalogues, key=lambda locale: (locale != self.default, locale)))

    def text(self, key: str, locale: str, /, **args: Any) -> str:
        """The text of `key`, its `{arguments}` filled in one pass; an argument that is not given stays as it is."""
        found = self.find(key, locale)
        return key if found is None else _fill(found, args)

    def find(self, key: str, locale: str) -> str | None:
        """The text of `key` with its arguments open, or None."""
        for name in (*_shorter(locale), *_shorter(self.default)):
            text = self._catalogues.get(name, {}).get(key)
            if text is not None:
                return text
        return None

    def missing_keys(self, keys: Iterable[str]) -> list[str]:
        """Those of `keys` that the default locale lacks; the host's own keys are its own affair."""
        own = (key for key in dict.fromkeys(keys) if not key.startswith(HOST_PREFIX))
        return [key for key in own if self.find(key, self.default) is None]


def host_localizer() -> Localizer:
    """The host's own texts: titles of errors, messages about settings, buttons of forms."""
    return Localizer.beside(__name__)


def resolve(text: Text, localizer: Localizer | None, locale: str) -> str:
    """What `text` says in `locale`. A literal is itself; a host's key is looked up in the host's catalogue."""
    if not isinstance(text, Key):
        return text if isinstance(text, str) else ""
    if localizer is not None:
        try:
            found = localizer.find(text.key, locale)
        except Exception:  # a plugin's own localizer may raise anything, and a missing text breaks no page
            found = None
        if isinstance(found, str):
            return _fill(found, text.args)
    if text.key.startswith(HOST_PREFIX):
        return host_localizer().text(text.key, locale, **text.args)
    return text.key


@cache
def _beside(module: str, default: str) -> Localizer:
    catalogues: dict[str, dict[str, str]] = {}
    problems: list[str] = []
    for file in _catalogue_files(module):
        try:
            texts = json.loads(file.read_bytes())
            if not isinstance(texts, dict) or not all(isinstance(text, str) for text in texts.values()):
                raise ValueError("it must be one flat object of texts")
            catalogues[file.name.removesuffix(".json")] = texts
        except (OSError, ValueError, RecursionError) as error:
            problems.append(f"i18n/{file.name}: {error}")
    return Localizer(catalogues, default=default, problems=problems)


def _catalogue_files(module: str) -> Iterator[Traversable]:
    for folder in _folders(module):
        try:
            found = sorted(
                (file for file in folder.iterdir() if file.name.endswith(".json")), key=lambda file: file.name
            )
        except OSError:
            continue
        yield from found
        return


def _folders(module: str) -> Iterator[Traversable]:
    """Where the folder can be: in the module's package, also inside an archive, or beside a lone file."""
    loaded = sys.modules.get(module)
    if loaded is None:
        try:
            loaded = import_module(module)
        except ImportError:
            return
    package = loaded.__name__ if hasattr(loaded, "__path__") else (loaded.__package__ or "")
    if package:
        with suppress(ImportError, TypeError):
            yield files(package) / "i18n"
    file = getattr(loaded, "__file__", None)
    if file:
        yield Path(file).parent / "i18n"


def _normal(locale: str) -> str:
    """`de_AT` and `DE-at` are `de-at`; what is no locale is empty."""
    locale = locale.replace("_", "-").partition(".")[0]
    return locale.lower() if len(locale) <= 64 and _LOCALE.fullmatch(locale) else ""


def _shorter(locale: str) -> Iterator[str]:
    locale = _normal(locale)
    while locale:
        yield locale
        locale = locale.rpartition("-")[0]


def _fill(text: str, args: Mapping[str, Any]) -> str:
    return _ARGUMENT.sub(lambda match: _spelled(args[match[1]]) if match[1] in args else match[0], text)


def _spelled(value: Any) -> str:
    if isinstance(value, str):
        return value
    try:
        return json.dumps(value, ensure_ascii=False, default=lambda other: type(other).__name__)
    except (TypeError, ValueError, RecursionError):
        return type(value).__name__
